"""What a range test has measured: a loss for each value of a hyperparameter, and what follows from it."""

from __future__ import annotations

import dataclasses
import functools
import html
import io
import math

import numpy as np

EDGE = 0.1  # the share of the fall after which the loss counts as falling
NOISE = 8.0  # by how many standard errors it must have fallen: the first smoothed loss has more, the smallest is chosen


@dataclasses.dataclass(frozen=True, repr=False)
class Sweep:
    """The losses of a range test, and what they suggest.

    Args:
        hyperparameter: the name of what was swept.
        symbol: as the literature writes it.
        scale: `"log"`, `"log1m"` or `"linear"`, in which the values are equally far from each other.
        values: those that were tried, ascending.
        losses: for each, the loss of the batches that follow the updates with it. Where it diverged, the last one shows it, and
            may be infinite or not a number.
        diverged: whether the loss diverged at the last value.
        smoothing: the standard deviation of the weights by which the loss is smoothed, as a share of the planned values.
        planned: how many values there would have been.
    """

    hyperparameter: str
    symbol: str
    scale: str
    values: tuple[float, ...]
    losses: tuple[float, ...]
    diverged: bool
    smoothing: float
    planned: int

    @functools.cached_property
    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        """The smoothed losses and their slopes, of the values before the divergence: lines fitted with Gaussian weights."""
        losses = np.asarray(self.losses[: len(self.losses) - self.diverged], np.float64)
        if len(losses) == 0:
            return losses, losses
        losses = np.minimum(losses, _ceiling(losses))  # a single batch may lie far above all others
        place = np.arange(len(losses), dtype=np.float64)
        width = max(self.smoothing * self.planned, 1.0)
        offset = place[None, :] - place[:, None]
        weight = np.exp(-0.5 * np.square(offset / width))
        s0, s1, s2 = (np.sum(weight * offset**power, axis=1) for power in range(3))
        t0, t1 = (np.sum(weight * offset**power * losses, axis=1) for power in range(2))
        determinant = np.maximum(s0 * s2 - s1 * s1, np.finfo(np.float64).tiny)
        return (s2 * t0 - s1 * t1) / determinant, (s0 * t1 - s1 * t0) / determinant

    @property
    def smoothed(self) -> list[float]:
        """The losses without most of what one batch differs from another; those before the divergence."""
        return self._fitted[0].tolist()

    @functools.cached_property
    def _lowest(self) -> int | None:
        """The place of the smallest smoothed loss; `None` where it does not lie clearly below the first one."""
        smoothed, _ = self._fitted
        if len(smoothed) < 5:
            return None
        lowest = int(np.argmin(smoothed))
        rest = np.minimum(self.losses[: len(smoothed)], _ceiling(smoothed)) - smoothed
        averaged = 2 * math.sqrt(math.pi) * max(self.smoothing * self.planned, 1.0)  # so many losses are in one smoothed one
        error = float(np.std(rest)) / math.sqrt(averaged)
        return lowest if smoothed[0] - smoothed[lowest] > NOISE * error and lowest > 0 else None

    @property
    def minimum(self) -> float | None:
        """The value with the smallest smoothed loss; `None` where the loss does not clearly fall."""
        return None if self._lowest is None else self.values[self._lowest]

    @property
    def diverged_at(self) -> float | None:
        """The value with which the loss diverged; `None` where it did not."""
        return self.values[len(self.losses) - 1] if self.diverged else None

    @property
    def value(self) -> float | None:
        """The suggestion: where the smoothed loss falls most steeply; `None` where it does not clearly fall."""
        if self._lowest is None:
            return None
        slopes = self._fitted[1][: self._lowest + 1]
        return self._rounded(self.values[int(np.argmin(slopes))])

    @property
    def range(self) -> tuple[float, float] | None:
        """The range to search: from where the loss begins to fall to where it is smallest; `None` as above."""
        if self._lowest is None:
            return None
        smoothed, lowest = self._fitted[0], self._lowest
        fall = smoothed[0] - smoothed[lowest]
        above = np.flatnonzero(smoothed[:lowest] >= smoothed[0] - EDGE * fall)
        low, high = (self._rounded(self.values[place]) for place in (int(above[-1]), lowest))
        return (low, high) if low < high else (self.values[0], self.values[lowest])

    @property
    def search(self) -> str | None:
        """The range as `keras-optims tune --search` takes it, such as `learning_rate=0.001:0.1:log`; `None` as above."""
        return None if self.range is None else f"{self.hyperparameter}={self.range[0]:.12g}:{self.range[1]:.12g}:{self.scale}"

    def _rounded(self, value: float) -> float:
        """Of two significant digits on its scale."""
        return float(f"{1 - float(f'{1 - value:.2g}'):.12g}") if self.scale == "log1m" else float(f"{value:.2g}")

    def __str__(self) -> str:
        tried = f"{self.hyperparameter} from {self.values[0]:.6g} to {self.values[len(self.losses) - 1]:.6g}"
        lines = [f"{tried} ({self.scale}), {len(self.losses)} of {self.planned} values"]
        lines += [] if self.diverged_at is None else [f"the loss diverges at {self.diverged_at:.3g}"]
        if self._lowest is None:
            return "\n".join([*lines, "the loss does not clearly fall: nothing is suggested"])
        smoothed = self._fitted[0]
        lines.append(f"the loss falls most steeply at {self.value:.3g}, and is smallest at {self.minimum:.3g}")
        if self._lowest == len(smoothed) - 1 and not self.diverged:
            lines[-1] += ", the last value: a wider range may show more"
        return "\n".join([*lines, f"search {self.search}"])

    def __repr__(self) -> str:
        return f"<Sweep: {'; '.join(str(self).splitlines())}>"

    def _repr_html_(self) -> str:
        """In a notebook: the picture, where Matplotlib is installed, and the text."""
        text = f"<pre>{html.escape(str(self))}</pre>"
        try:
            figure = self.figure()
        except ImportError:
            return text
        written = io.StringIO()
        figure.savefig(written, format="svg")
        return written.getvalue()[written.getvalue().index("<svg") :] + text

    def to_json(self) -> dict:
        """What `keras-optims range-test --json` prints; a loss that is no finite number is `None`."""
        return {
            **{name: getattr(self, name) for name in ("hyperparameter", "symbol", "scale", "planned", "diverged")},
            "values": list(self.values[: len(self.losses)]),
            "losses": [loss if math.isfinite(loss) else None for loss in self.losses],
            **{name: getattr(self, name) for name in ("smoothed", "value", "minimum", "diverged_at", "range", "search")},
        }

    def figure(self):
        """Draws the sweep.

        Returns:
            A `matplotlib.figure.Figure`, which a notebook shows, and which `savefig("sweep.png")` writes.

        Raises:
            ImportError: Matplotlib is not installed.
        """
        from keras_optims.callbacks.sweep_figure import drawn

        return drawn(self)


def _ceiling(losses: np.ndarray) -> float:
    """Up to where losses count: above the first ones by one and a half times as much as the smallest lies below them."""
    first, lowest = float(np.median(losses[:5])), float(np.min(losses))
    return first + 1.5 * max(first - lowest, 0.1 * abs(first), 1e-12)
