"""What a training measures, as numbers: one for each metric, as a search and its store have it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def number(value: Any) -> float:
    """A metric as one number: of one with a value for each class or output, as `keras.metrics.F1Score()`, their mean."""
    return float(np.mean(keras.ops.convert_to_numpy(value))) if _shape(value) else float(value)


def numbers(measured: Mapping[str, Any]) -> dict[str, float]:
    """All metrics of an epoch, each as one number."""
    return {name: number(value) for name, value in measured.items()}


def as_in_fit(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as `model.fit` tells them to callbacks: a number, or an array of several; of one that gives a dict each of it."""
    found: dict[str, Any] = {}
    for name, value in measured.items():
        if isinstance(value, dict):
            found |= as_in_fit(value)
        else:
            found[name] = keras.ops.convert_to_numpy(value) if _shape(value) else float(value)
    return found


def with_several(measured: Mapping[str, Any]) -> list[str]:
    """The names of those that have several values, of which the mean counts."""
    return [name for name, value in measured.items() if math.prod(_shape(value)) > 1]


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))
