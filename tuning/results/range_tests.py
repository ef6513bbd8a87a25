"""Range tests that are kept in a directory, where the report of its search finds them."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from typing import Any

from tuning.errors import SearchError
from tuning.names import folder_name
from tuning.results.search import write_json
from tuning.space.scale import SCALES

FOLDER = "range-tests"
_SUFFIX = ".json"


@dataclasses.dataclass(frozen=True)
class KeptRangeTest:
    """A range test as it was measured.

    Args:
        title: what was trained on what.
        hyperparameter, symbol, scale: as of `keras_optims.callbacks.sweep.Sweep`.
        values, losses: the losses, and the value of each; `None`: a loss that is no finite number.
        smoothed: of the losses before a divergence.
        value, range, search: what is suggested, or `None`.
        diverged_at: the value with which the loss diverged, or `None`.
    """

    title: str
    hyperparameter: str
    symbol: str
    scale: str
    values: list[float]
    losses: list[float | None]
    smoothed: list[float]
    value: float | None
    range: list[float] | None
    search: str | None
    diverged_at: float | None


_NAMES = [field.name for field in dataclasses.fields(KeptRangeTest)]


def keep(directory: pathlib.Path, optimizer: str, title: str, measured: dict[str, Any]) -> pathlib.Path:
    """Writes what `Sweep.to_json` has measured, and returns the file; an earlier one of the same hyperparameter gives way.

    Args:
        directory: of a search, or where one will be; made if it is not there.
        optimizer: by the name under which it was tested.
        title: of what the test is.
        measured: the test.
    """
    path = directory / FOLDER / f"{folder_name(optimizer)}.{measured['hyperparameter']}{_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SearchError(f"{path.parent} cannot be made: {error.strerror or error}.") from error
    return write_json(path, {"title": title, **measured})


def kept(directory: pathlib.Path) -> list[KeptRangeTest]:
    """The range tests that are kept in a directory, by their files' names.

    Raises:
        SearchError: one of them cannot be read.
    """
    return [_read(path) for path in sorted((directory / FOLDER).glob(f"*{_SUFFIX}")) if not path.name.startswith(".")]


def _read(path: pathlib.Path) -> KeptRangeTest:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = KeptRangeTest(**{name: content[name] for name in _NAMES})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SearchError(f"{path} cannot be read as a range test ({type(error).__name__}): move it away.") from error
    numbers = [*found.values, *(loss for loss in found.losses if loss is not None), *found.smoothed, *(found.range or [])]
    numbers += [each for each in (found.value, found.diverged_at) if each is not None]
    texts = (found.title, found.hyperparameter, found.symbol, found.scale, found.search or "")
    is_right = (
        all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers)
        and all(isinstance(each, str) for each in texts)
        and found.scale in SCALES
        and 0 < len(found.values) == len(found.losses) >= len(found.smoothed)
        and (found.range is None or len(found.range) == 2)
    )
    if not is_right:
        raise SearchError(f"{path} cannot be read as a range test: what it holds is not what one writes. Move it away.")
    return found
