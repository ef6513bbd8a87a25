"""The facts that need Keras and its backend; a stage is a function without arguments that returns them, ready for JSON."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

STAGES = {
    "starting": "devices:starting",
    "devices": "devices:devices",
    "kernels": "kernels:kernels",
    "placement": "kernels:placement",
    "elementary": "parity:elementary",
    "optimizers": "parity:optimizers",
    "forward": "forward:forward",
    "synchronized": "speed:synchronized",
    "optimizer_speed": "speed:optimizers",
    "model_speed": "speed:models",
    "protected": "forward:protected",
}
"""Stage → module:function, in the order in which they are measured. The last one needs a process of its own."""


def only_on_tensorflow(why: str) -> Callable[[Callable[[], dict]], Callable[[], dict]]:
    """Declares a stage that does not apply to other backends; `why` says so in the report, with the `{backend}` in it."""

    def declared(stage: Callable[[], dict]) -> Callable[[], dict]:
        @functools.wraps(stage)
        def measured() -> dict:
            import keras

            return (
                stage() if keras.backend.backend() == "tensorflow" else {"skipped": why.format(backend=keras.backend.backend())}
            )

        return measured

    return declared


def number_or_none(value: float) -> float | None:
    """As JSON holds it: `None` for what is infinite or no number."""
    return float(value) if math.isfinite(value) else None
