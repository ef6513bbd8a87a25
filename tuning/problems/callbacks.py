"""Keras callbacks of a problem or a search: where they come from, and new ones for each training."""

from __future__ import annotations

import copy
from typing import Any

import keras

from tuning.errors import SearchError, one_line
from tuning.problems import import_function

Callbacks = Any  # a callback, a sequence of them, a function that returns such, or its "module:function"


def make_callbacks(wanted: Callbacks | None) -> list[keras.callbacks.Callback]:
    """New callbacks for one training.

    Args:
        wanted: a callback or a list of them, which are copied; a function of no arguments that returns such, or its
            `"module:function"`; or `None`.

    Raises:
        SearchError: it is none of these.
    """
    name = "The callbacks function"
    if isinstance(wanted, str):
        name, wanted = f"The function {wanted}", import_function(wanted, "callbacks")
    if callable(wanted) and not isinstance(wanted, keras.callbacks.Callback):
        try:
            made = wanted()
        except Exception as error:
            raise SearchError(f"{name} did not make callbacks: {one_line(error)}") from error
    else:
        made = copied(wanted)
    found = [made] if isinstance(made, keras.callbacks.Callback) else made
    found = [] if found is None else found
    if not isinstance(found, (list, tuple)) or not all(isinstance(each, keras.callbacks.Callback) for each in found):
        raise SearchError(
            f"The callbacks must be Keras callbacks: one, a list, or a function, also as module:function, that returns such; "
            f"received {made!r}."
        )
    return list(found)


def copied(callbacks: Any) -> Any:
    """A copy of callbacks, for one training; `SearchError` if they have something that cannot be copied."""
    try:
        return copy.deepcopy(callbacks)
    except Exception as error:
        raise SearchError(
            f"Callbacks are copied for each training, and these cannot be ({one_line(error)}): open such a thing in their "
            f"on_train_begin, or give `tuning.search` a function that returns new callbacks."
        ) from error
