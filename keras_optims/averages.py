"""Weights to evaluate at that are others than those that are trained: moving averages, and what an algorithm says.

They are put in the weights' place for an evaluation or to save them, and the weights back afterwards, exactly. The moving
averages of `use_ema` are the slot "average"; it holds the weights that are trained meanwhile. What is a function of several slots
has no place of its own to exchange with, so there the weights that are trained are kept aside for that while. Keras's own
optimizers overwrite the weights by their averages at the end of `fit`.
"""

from __future__ import annotations

import contextlib

import numpy as np
from keras import ops

from keras_optims import kernels
from keras_optims.dtypes import is_half, wide
from keras_optims.hyperparameter import state_dtype
from keras_optims.stand_in import is_overwritten, path_of


def build(optimizer, variables):
    """Makes what the optimizer needs for it."""
    if optimizer.use_ema:
        averaged = [variable for variable in variables if not is_overwritten(variable)]
        optimizer._untracked.average = optimizer.add_ungrouped_slot(averaged, "average", "variable")
    if optimizer.evaluates_other_weights:
        optimizer._untracked.averaged = optimizer.add_variable(
            (), dtype=state_dtype(), aggregation="only_first_replica", name="weights_are_averaged"
        )


def are_in_place(optimizer) -> bool:
    """See `Optimizer.weights_are_averaged`."""
    return bool(optimizer.evaluates_other_weights and optimizer.built and ops.convert_to_numpy(optimizer._untracked.averaged))


def swap(optimizer):
    """See `Optimizer.swap_averaged_weights`."""
    if not (optimizer.evaluates_other_weights and optimizer.built):
        why = "is not built yet" if optimizer.evaluates_other_weights else "has not use_ema=True"
        raise ValueError(f"There are no averaged weights: the optimizer {optimizer.name!r} {why}.")
    if are_in_place(optimizer):
        _put_back(optimizer)
    else:
        _put_in_place(optimizer)


def _put_in_place(optimizer):
    kept = optimizer._untracked.kept
    # Before the first update a weight is its own average, whatever it was when the optimizer was built.
    no_updates = int(ops.convert_to_numpy(optimizer.iterations)) == 0
    new = []
    for variable in optimizer.variables_of_the_model():
        value = None if no_updates else _evaluating(optimizer, variable).evaluation_weights(variable)
        if no_updates and _has_average(optimizer, variable):
            value = ops.convert_to_tensor(variable)
        new.append(None if value is None else ops.copy(value))
    for variable, value in zip(optimizer.variables_of_the_model(), new, strict=True):
        if value is None:
            continue
        trained = ops.copy(ops.convert_to_tensor(variable))
        if not _has_average(optimizer, variable):
            kept[TRAINED, path_of(variable)] = trained
        elif is_half(variable.dtype):  # which holds the float32 average only as it rounds it
            kept[EXACT, path_of(variable)] = ops.cast(value, wide(variable.dtype))
        kernels.assign(optimizer, variable, value)
        if _has_average(optimizer, variable):
            optimizer._untracked.average[variable].assign(ops.cast(trained, optimizer._untracked.average[variable].dtype))
    optimizer._untracked.averaged.assign(1.0)


def _put_back(optimizer):
    kept = optimizer._untracked.kept
    for variable in optimizer.variables_of_the_model():
        path = path_of(variable)
        if _has_average(optimizer, variable):
            slot = optimizer._untracked.average[variable]
            average = kept.get((EXACT, path))
            average = ops.convert_to_tensor(variable) if average is None else average
            average, trained = ops.copy(ops.cast(average, slot.dtype)), ops.copy(ops.convert_to_tensor(slot))
            kernels.assign(optimizer, variable, trained)
            slot.assign(average)
        elif (TRAINED, path) in kept:
            kernels.assign(optimizer, variable, kept[TRAINED, path])
    kept.clear()
    optimizer._untracked.averaged.assign(0.0)


def _has_average(optimizer, variable) -> bool:
    """Whether the weights to evaluate at are those in the slot "average"."""
    of_slots = _evaluating(optimizer, variable).overrides("evaluation_weights")
    return bool(optimizer.use_ema and not of_slots and variable in optimizer._untracked.average)


def _evaluating(optimizer, variable):
    """The optimizer that says at which weights to evaluate: one that a rule has for the variable, if it does, or this one."""
    formula = optimizer.settings_of(variable).formula
    return formula if formula is not None and formula.overrides("evaluation_weights") else optimizer


@contextlib.contextmanager
def in_place(optimizer):
    """See `Optimizer.averaged_weights`."""
    swapped = not are_in_place(optimizer)
    if swapped:
        swap(optimizer)
    try:
        yield
    finally:
        if swapped and are_in_place(optimizer):
            swap(optimizer)


def move(optimizer):
    """Moves the averages to the weights of this update."""
    if optimizer.evaluates_other_weights:
        if optimizer.use_ema:
            _move(optimizer)
        optimizer._untracked.averaged.assign(ops.zeros((), optimizer._untracked.averaged.dtype))


def _move(optimizer):
    # 0 where the average begins with the variable itself: at the first update, and at the first after the weights were the
    # averages; else 1. (The Mac's GPU compares no integers.)
    are_averaged = ops.convert_to_tensor(optimizer._untracked.averaged)
    goes_on = ops.minimum(ops.cast(optimizer.iterations, state_dtype()), 1) * (1 - are_averaged)
    for variable, average in _pairs(optimizer):
        momentum = ops.cast(goes_on * optimizer.ema_momentum, average.dtype)
        average.assign(momentum * average + (1 - momentum) * ops.cast(variable, average.dtype))
    if optimizer.ema_overwrite_frequency:

        def overwrite():
            for variable, average in _pairs(optimizer):
                kernels.assign(optimizer, variable, average)

        kernels.run_if(
            (optimizer.iterations + 1) % optimizer.ema_overwrite_frequency == 0,
            overwrite,
            lambda: None,
            state=[*optimizer.variables_of_the_model(), *optimizer.variables],
        )


def _pairs(optimizer):
    average = optimizer._untracked.average
    return [(variable, average[variable]) for variable in average.of_the_model()]


def begin_fresh(optimizer, loaded):
    """After a part of a state was loaded: averages that were not in it begin with their variables' values of now."""
    if not optimizer.use_ema:
        return
    for variable, average in _pairs(optimizer):
        if f"average/{path_of(variable)}" in loaded.fresh:
            average.assign(ops.copy(ops.cast(ops.convert_to_tensor(variable), average.dtype)))


TRAINED, EXACT = "trained_weights", "exact_average"
"""What is kept aside while weights are averaged, and saved so: trained weights, and averages that half precision rounds."""


class Kept:
    """What an optimizer keeps aside while its weights are averaged, as a state is saved and loaded."""

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self._places: list = []

    def places(self) -> list:
        """((kind, path of the model's variable), tensor) of all that is kept."""
        return list(self._optimizer._untracked.kept.items())

    def places_for(self, saved) -> list:
        """((kind, path of the model's variable), place) of all that may be kept, where a saved state has such entries."""
        kinds = [kind for kind in (TRAINED, EXACT) if any(key.startswith(f"{kind}|") for key in saved)]
        variables = self._optimizer.variables_of_the_model()
        self._places = [
            ((kind, path_of(variable)), KeptPlace(ops.zeros(variable.shape, wide(variable.dtype))))
            for kind in kinds
            for variable in variables
            if kind == TRAINED or is_half(variable.dtype)
        ]
        return self._places

    def take(self):
        """Keeps what has been loaded, in place of what was kept."""
        self._optimizer._untracked.kept.clear()
        self._optimizer._untracked.kept.update({key: place.value for key, place in self._places if place.is_loaded})


class KeptPlace:
    """What is loaded like a variable, and kept.

    Attributes:
        value: the tensor.
        is_loaded: whether it has been assigned.
    """

    def __init__(self, value):
        self.value = value
        self.is_loaded = False
        self.shape, self.dtype = tuple(value.shape), value.dtype

    def assign(self, value):
        """Sets it."""
        self.value, self.is_loaded = ops.convert_to_tensor(np.asarray(value), dtype=self.dtype), True
