"""Weights to evaluate at that are others than those that are trained: moving averages, and what an algorithm says.

They are put in the weights' place for an evaluation or to save them, and the weights back afterwards, exactly. The moving
averages of `use_ema` are the slot "average", the slow weights of Lookahead the slot "slow"; it holds the weights that are trained
meanwhile. What is a function of several slots has no place of its own to exchange with, so there the weights that are trained are
kept aside for that while. Keras's own optimizers overwrite the weights by their averages at the end of `fit`.
"""

from __future__ import annotations

import contextlib

import numpy as np
from keras import ops

from keras_optims import kernels
from keras_optims.dtypes import is_half, wide
from keras_optims.hyperparameter import state_dtype
from keras_optims.stand_in import is_overwritten, path_of


def check_arguments(optimizer):
    """Raises `ValueError` if arguments contradict one another."""
    k, has_alpha = optimizer.lookahead, optimizer.lookahead_alpha is not None
    if has_alpha != (k is not None):
        raise ValueError(
            "lookahead and lookahead_alpha are given together or not at all, as by keras_optims.Lookahead(optimizer, k, alpha); "
            f"received {'lookahead_alpha alone' if has_alpha else f'lookahead={k} alone'}."
        )
    if k is not None and optimizer.use_ema:
        raise ValueError(
            "lookahead and use_ema=True cannot be combined, as both say at which weights to evaluate; received lookahead="
            f"{k} and use_ema=True."
        )
    if k is not None:
        _check_lookahead(optimizer)


def _check_lookahead(formula):
    """Raises `ValueError` if Lookahead makes no sense around a formula."""
    if formula.overrides("evaluation_weights"):
        why = "has weights to evaluate at of its own"
    elif not formula.starts_from_the_weights:
        why = "computes its weights from its slots alone, and would not go on from the slow ones"
    else:
        return
    raise ValueError(f"Lookahead cannot be combined with {type(formula).__name__}, which {why}.")


def build(optimizer, variables):
    """Makes what the optimizer needs for it."""
    if optimizer.use_ema or optimizer.lookahead:
        averaged = [variable for variable in variables if not is_overwritten(variable)]
        name = "average" if optimizer.use_ema else "slow"
        optimizer._untracked.average = optimizer.add_ungrouped_slot(averaged, name, "variable")
    if optimizer.lookahead:
        for formula in optimizer.formulas():
            _check_lookahead(formula)
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
        why = "is not built yet" if optimizer.evaluates_other_weights else "has not use_ema=True, and no lookahead"
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
    """Whether the weights to evaluate at are those in a slot, "average" or "slow"."""
    of_slots = _evaluating(optimizer, variable).overrides("evaluation_weights")
    average = optimizer._untracked.average
    return average is not None and not of_slots and variable in average


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


def begin(optimizer):
    """Before the first update, and before one from the averages: slow weights begin where the weights are now."""
    if not optimizer.lookahead:
        return

    def begin_here():
        for variable, slow in _pairs(optimizer):
            slow.assign(ops.copy(_exact(optimizer, variable, slow.dtype)))

    are_averaged = ops.convert_to_tensor(optimizer._untracked.averaged) > 0.5
    is_first = ops.cast(optimizer.iterations, state_dtype()) < 0.5  # (the Mac's GPU compares no integers)
    kernels.run_if(ops.logical_or(is_first, are_averaged), begin_here, lambda: None, state=_state(optimizer))


def move(optimizer):
    """Moves the averages to the weights of this update."""
    if optimizer.evaluates_other_weights:
        if optimizer.use_ema:
            _move(optimizer)
        elif optimizer.lookahead:
            optimizer.every(optimizer.lookahead, lambda: _synchronize(optimizer))
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


def _synchronize(optimizer):
    """Lookahead (Zhang et al. 2019): φ ← φ + α·(θ − φ), θ ← φ."""
    for variable, slow in _pairs(optimizer):
        alpha = ops.cast(ops.convert_to_tensor(optimizer.lookahead_alpha), slow.dtype)
        new = slow + alpha * (_exact(optimizer, variable, slow.dtype) - slow)
        if variable.constraint is not None:
            new = variable.constraint(new)
        slow.assign(new)
        kernels.assign(optimizer, variable, ops.copy(new))
        error = _rounding_error(optimizer, variable)
        if error is not None:
            error.assign(ops.cast(new - kernels.rounded(new, variable.dtype), error.dtype))


def _exact(optimizer, variable, dtype):
    """A weight with what rounding has taken from it, where that is kept."""
    value, error = ops.cast(ops.convert_to_tensor(variable), dtype), _rounding_error(optimizer, variable)
    return value if error is None else value + ops.cast(ops.convert_to_tensor(error), dtype)


def _rounding_error(optimizer, variable):
    """The slot variable "rounding_error" of one of the model's variables; `None` where it has none."""
    (error,) = (optimizer.settings_of(variable).formula or optimizer).rounding_error.of([variable])
    return error


def _state(optimizer) -> list:
    """What slow weights are computed of and set in."""
    pairs = [(v, slow, _rounding_error(optimizer, v)) for v, slow in _pairs(optimizer)]
    return [each for triple in pairs for each in triple if each is not None]


def _pairs(optimizer):
    average = optimizer._untracked.average
    return [(variable, average[variable]) for variable in average.of_the_model()]


def begin_fresh(optimizer, loaded):
    """After a part of a state was loaded: averages that were not in it begin with their variables' values of now."""
    if optimizer._untracked.average is None:
        return
    for variable, average in _pairs(optimizer):
        if f"{optimizer._untracked.average.name}/{path_of(variable)}" in loaded.fresh:
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
