"""What is measured, and what a search makes best, where a problem does not say it: accuracy of classes, else the loss."""

from __future__ import annotations

from typing import Any

import keras


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
