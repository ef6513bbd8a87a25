"""Copies of an optimizer: what `pickle`, `copy.deepcopy` and `copy.copy` make of it.

A copy has the arguments and all of the state. It cannot be built, as slots belong to a model's variables, and a copy is of none
yet: numbers such as the learning rate and the number of steps are there at once, and slots wait until the copy is built for
variables of the same names. From then on it goes on bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_optims import saved


def reduced(optimizer) -> tuple[Callable, tuple]:
    """What `__reduce__` returns.

    Raises:
        TypeError: variables were left out of the weight decay by `var_list`, and a copy could not tell which.
    """
    keys, pattern = optimizer._untracked.excluded
    if keys:
        raise TypeError(
            f"{type(optimizer).__name__} cannot be pickled or copied after exclude_from_weight_decay(var_list=...), as a copy "
            "does not know these variables; give their names instead, var_names=[...], or Rule(..., weight_decay=None)."
        )
    attributes = attributes_of(optimizer)
    state: dict[str, Any] = {}
    optimizer.save_own_variables(state)
    pending = optimizer._untracked.pending_state
    waits = optimizer.built or pending is not None
    if pending is not None:
        state |= pending.saved
    state = {key: ops.convert_to_numpy(value) for key, value in state.items()}
    return restored, (
        type(optimizer),
        config_as_it_is(optimizer),
        attributes,
        pattern,
        state,
        waits,
        pending is not None and pending.partial,
    )


def restored(cls, config: dict[str, Any], attributes, pattern, state: dict[str, np.ndarray], waits: bool, partial: bool):
    """The copy.

    Args:
        cls: the optimizer's class.
        config: as of `get_config`, but with schedules, callables and rules as they are.
        attributes: what else was set: name → value.
        pattern: of the names of variables that are left out of the weight decay, or `None`.
        state: all variables by their names.
        waits: whether there are slots, which the copy takes over when it is built.
        partial: whether these need not fit.
    """
    optimizer = cls.from_config(config)
    for name, value in attributes.items():
        setattr(optimizer, name, value)
    optimizer._untracked.excluded = frozenset(), pattern
    saved.load_from(optimizer, state, partial)
    pending = optimizer._untracked.pending_state
    made: dict[str, Any] = {}
    optimizer.save_own_variables(made)
    for key, (_, variable) in zip(made, saved.named_variables(optimizer), strict=True):
        if key in state and variable.shape == state[key].shape:
            variable.assign(state[key])
            pending.saved[key] = variable  # from now on it stands for itself: setting it before the build is not undone
    if not waits:
        optimizer._untracked.pending_state = None
    return optimizer


def attributes_of(optimizer) -> dict[str, Any]:
    """What is set on an optimizer beside its arguments: name → value."""
    return {name: vars(optimizer)[name] for name in ("group_below", "torch_compile") if name in vars(optimizer)}


def config_as_it_is(optimizer) -> dict[str, Any]:
    """The config with schedules, callables and rules as they are: a pickle knows them by itself, be they registered or not."""
    given = optimizer.arguments_now()
    if optimizer.config_is_of_declarations():
        return given
    return {name: given.get(name, value) for name, value in optimizer.get_config().items()}  # with arguments of its own
