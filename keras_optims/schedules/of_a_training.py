"""Schedules of a whole training, in shares of its steps: cosine, linear, warm-up-stable-decay."""

from __future__ import annotations

from typing import ClassVar

import keras
from keras import ops

from keras_optims.hyperparameter import Option
from keras_optims.schedules.bends import before, cosine, ratio, straight
from keras_optims.schedules.schedule import FINITE, SHARE, SHARE_OF_STEPS, STEPS, Number, Schedule

PEAK = Number(FINITE, "the largest value", is_a_value=True)
TOTAL = Number(STEPS, "batches of the whole training", whole=True)
WARMUP = Number(SHARE_OF_STEPS, "share of the steps in which it grows from 0")
FINAL = Number(SHARE, "share of the peak that it ends with")


class _Decaying(Schedule):
    arguments: ClassVar = {"peak": PEAK, "steps": TOTAL, "warmup": WARMUP, "final": FINAL}

    def __init__(self, peak: float, steps: int, warmup: float = 0.0, final: float = 0.0):
        super().__init__(peak=peak, steps=steps, warmup=warmup, final=final)

    def reach(self):
        peak, warmup, final = (self._arguments_now()[name] for name in ("peak", "warmup", "final"))
        return [peak, peak * final, *([0.0] if warmup else [])]

    def formula(self, step, of):
        x = step / of.steps
        way = ratio(x - of.warmup, 1.0 - of.warmup)
        return of.peak * before(x, of.warmup, ratio(x, of.warmup), self.decayed(way, of))

    def decayed(self, way, of):
        """The share of the peak, `way` of the way from the end of the warm-up to that of the training."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_optims")
class Cosine(_Decaying):
    """Warm-up, then half a period of the cosine, from the peak down to a share of it (Loshchilov & Hutter 2017).

        keras_optims.AdamW(keras_optims.schedules.Cosine(1e-3, steps=10_000, warmup=0.05, final=0.1))

    In the first `warmup * steps` steps it grows linearly from 0 to the peak. With u, the share of what is left that is over,

        value = peak · (final + (1 − final) · (1 + cos πu) / 2)

    It stays at `final * peak` from step `steps` on.

    Args:
        peak: the largest value.
        steps: the batches of the whole training: epochs times batches of an epoch.
        warmup: the share of the steps in which it grows, in [0, 1).
        final: the share of the peak that it ends with.

    Reference: Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    https://arxiv.org/abs/1608.03983, eq. 5. `keras.optimizers.schedules.CosineDecay` with `warmup_target` is the same
    with `decay_steps` counted from the end of the warm-up.
    """

    def decayed(self, way, of):  # noqa: D102
        return cosine(1.0, of.final, way)


@keras.saving.register_keras_serializable(package="keras_optims")
class Linear(_Decaying):
    """Warm-up, then a straight line from the peak to a share of it, by default to zero (Devlin et al. 2019).

        keras_optims.AdamW(keras_optims.schedules.Linear(1e-3, steps=10_000, warmup=0.1))

    In the first `warmup * steps` steps it grows linearly from 0 to the peak. With u, the share of what is left that is over,

        value = peak · (1 − (1 − final) · u)

    It stays at `final * peak` from step `steps` on.

    Args:
        peak: the largest value.
        steps: the batches of the whole training: epochs times batches of an epoch.
        warmup: the share of the steps in which it grows, in [0, 1).
        final: the share of the peak that it ends with.

    Reference: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
    https://arxiv.org/abs/1810.04805, Appendix A.2.
    """

    def decayed(self, way, of):  # noqa: D102
        return straight(1.0, of.final, way)


@keras.saving.register_keras_serializable(package="keras_optims")
class WarmupStableDecay(Schedule):
    """Warm-up, then the peak for most of the training, then a short decay at its end (Hu et al. 2024).

        keras_optims.AdamW(keras_optims.schedules.WarmupStableDecay(1e-3, steps=10_000, warmup=0.05, decay=0.2))

    A training on the plateau can be made longer without a decision beforehand: set `steps`, and only the decay moves. With u, the
    share of the decay that is over, the value there is

        shape "linear":  peak · (1 − (1 − final) · u)
        shape "sqrt":    peak · (1 − (1 − final) · √u)

    Args:
        peak: the largest value.
        steps: the batches of the whole training: epochs times batches of an epoch.
        warmup: the share of the steps in which it grows from 0, in [0, 1).
        decay: the share of the steps in which it decays, at their end, in [0, 1). Together with `warmup` no more than 1.
        final: the share of the peak that it ends with.
        shape: of the decay. The square root falls faster at first, and ended best in the experiments of Hägele et al.

    Reference: Hu et al. 2024, "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies",
    https://arxiv.org/abs/2404.06395, Section 4 (whose decay is exponential); Hägele et al. 2024, "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations", https://arxiv.org/abs/2405.18392 (both shapes).
    """

    arguments: ClassVar = {
        "peak": PEAK,
        "steps": TOTAL,
        "warmup": WARMUP,
        "decay": Number(SHARE_OF_STEPS, "share of the steps in which it decays"),
        "final": FINAL,
        "shape": Option("linear", choices=("linear", "sqrt"), meaning="of the decay"),
    }

    def __init__(
        self,
        peak: float,
        steps: int,
        warmup: float = 0.0,
        decay: float = 0.2,
        final: float = 0.0,
        shape: str = "linear",
    ):
        super().__init__(peak=peak, steps=steps, warmup=warmup, decay=decay, final=final, shape=shape)

    def check(self):  # noqa: D102
        warmup, decay = self._given["warmup"], self._given["decay"]
        if warmup + decay > 1:
            raise ValueError(f"warmup and decay must be no more than 1 together; received warmup={warmup!r} and decay={decay!r}.")

    def reach(self):  # noqa: D102
        peak, warmup, final = (self._arguments_now()[name] for name in ("peak", "warmup", "final"))
        return [peak, peak * final, *([0.0] if warmup else [])]

    def formula(self, step, of):  # noqa: D102
        x = step / of.steps
        way = ops.where(of.decay > 0.0, ratio(x - (1.0 - of.decay), of.decay), 0.0)  # without decay it stays at the peak
        way = ops.sqrt(way) if of.shape == "sqrt" else way
        return of.peak * before(x, of.warmup, ratio(x, of.warmup), straight(1.0, of.final, way))
