"""What is measured, and what a search makes best, where nobody says it: accuracy of classes, else the loss; large or small."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras

from tuning.errors import SearchError


def usual_metrics(loss: Any) -> tuple[str, ...]:
    """Accuracy, if the loss is one of classes, a cross-entropy; else none."""
    try:
        made = keras.losses.get(loss)
    except (TypeError, ValueError):  # one for each output, or wrong, which `compile` will say
        return ()
    name = getattr(made, "__name__", type(made).__name__)
    return ("accuracy",) if "crossentropy" in name.lower().replace("_", "") else ()


def usual_objective(metrics: Any) -> str:
    """`val_accuracy`, if that is among the metrics, else `val_loss`."""
    flat = isinstance(metrics, (list, tuple))
    measured = flat and any(getattr(metric, "name", metric) == "accuracy" for metric in metrics)
    return "val_accuracy" if measured else "val_loss"


LARGE_IS_BETTER = frozenset(
    name.lower()
    for name in (
        *("Acc", "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy"),
        *("TopKCategoricalAccuracy", "SparseTopKCategoricalAccuracy"),
        *("TruePositives", "TrueNegatives", "Precision", "Recall", "AUC", "F1Score", "FBetaScore"),
        *("SensitivityAtSpecificity", "SpecificityAtSensitivity", "PrecisionAtRecall", "RecallAtPrecision"),
        *("IoU", "BinaryIoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"),
        *("CosineSimilarity", "R2Score", "PearsonCorrelation", "ConcordanceCorrelation"),
    )
)
"""Metrics of Keras; of all others that it has a small value is better. KerasTuner takes half of these for the others."""

_NEITHER = frozenset(("get", "serialize", "deserialize", "loss", "metric", "mean", "sum", "meanmetricwrapper"))


def known_direction(objective: str, metrics: Any = None, loss: Any = None) -> str | None:
    """Whether an objective should be large or small, `"max"` or `"min"`; `None`: that is not known.

    Args:
        objective: the name of a metric, as `model.fit` reports it: `"val_f1_score"`, `"val_OUTPUT_mae"`, `"auc_1"`.
        metrics, loss: as `model.compile` takes them, as far as they are known.
    """
    name = objective.removeprefix("val_").removeprefix("weighted_")
    of_outputs = {**(loss if isinstance(loss, Mapping) else {}), **(metrics if isinstance(metrics, Mapping) else {})}
    outputs = [output for output in of_outputs if name.startswith(f"{output}_")]
    if outputs:
        output = max(outputs, key=len)
        name = name.removeprefix(f"{output}_")
        metrics = of_outputs[output] if isinstance(metrics, Mapping) and output in metrics else ()
    for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
        if not isinstance(metric, str) and name in (getattr(metric, "name", None), getattr(metric, "__name__", None)):
            return _of_object(metric)
    return "min" if name == "loss" else _of_name(re.sub(r"_\d+$", "", name))


def _of_object(metric: Any) -> str | None:
    if metric is getattr(keras.losses, "cosine_similarity", None):  # the loss is the negative of the metric
        return "min"
    kinds = [metric.__name__] if hasattr(metric, "__name__") else [kind.__name__ for kind in type(metric).__mro__]
    return next(filter(None, map(_of_name, kinds)), None)


def _of_name(name: str) -> str | None:
    plain = name.replace("_", "").lower()
    if plain in LARGE_IS_BETTER:
        return "max"
    known = {each.replace("_", "").lower() for module in (keras.metrics, keras.losses) for each in vars(module)}
    return "min" if plain in {*known, "crossentropy", "ce", "mse", "mae", "mape", "msle", "bce"} - _NEITHER else None


def oddly_directed(objective: Any) -> list[tuple[str, str]]:
    """The names of an oracle's objectives whose direction is not that which is known of the metric, and that direction."""
    named = getattr(objective, "name_to_direction", None) or {objective.name: objective.direction}  # several, or one
    return [each for each in named.items() if known_direction(each[0]) not in (None, each[1])]


def with_direction(objective: Any) -> Any:
    """What KerasTuner's oracles take, with the direction that is known of the metric, where it is only named.

    Raises:
        SearchError: it is not known.
    """
    if isinstance(objective, list):
        return [with_direction(each) for each in objective]
    if not isinstance(objective, str):
        return objective
    direction = known_direction(objective)
    if direction is None:
        raise SearchError(
            f"Whether {objective} should be small or large is not known: give tuning.Objective({objective!r}, 'min'), or 'max'."
        )
    from keras_tuner import Objective

    return Objective(objective, direction)
