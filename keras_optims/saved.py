"""What an optimizer saves, and how it takes over what was saved."""

from __future__ import annotations

from keras_optims import averages, kernels, state
from keras_optims.fit import check_saved
from keras_optims.quantized import StoredSmaller
from keras_optims.stand_in import path_of


def save(optimizer, store):
    """Writes each variable of the optimizer under its slot's and its model variable's name."""
    state.save([*named_variables(optimizer), *averages.Kept(optimizer).places()], store)


def load(optimizer, store):
    """Reads what `save` wrote."""
    _load(optimizer, state.read(store), partial=False)


def load_from(optimizer, source, partial: bool) -> state.LoadedState:
    """Reads the state in a file or a dict; see `Optimizer.load_state`."""
    return _load(optimizer, state.read_source(source), partial)


def _load(optimizer, saved, partial):
    domains = dict(pair for holder, held in optimizer.holders() for each in held.values() for pair in each.numbers(holder))
    check_saved(saved, domains, optimizer.name)
    optimizer._untracked.pending_state = None
    if optimizer.built:
        return _assign(optimizer, saved, partial)
    optimizer._untracked.pending_state = state.PendingState(saved, partial)
    return optimizer._untracked.pending_state.loaded


def take_pending(optimizer):
    """Takes over the state that was loaded before the optimizer was built, if there is one."""
    pending = optimizer._untracked.pending_state
    if pending is not None:
        with kernels.outside_of_a_trace():  # TensorFlow builds an optimizer while it traces the first step
            loaded = _assign(optimizer, pending.saved, pending.partial)
        vars(pending.loaded).update(vars(loaded))
        optimizer._untracked.pending_state = None  # only now: what does not fit is an error each time, and never forgotten


def _assign(optimizer, saved, partial):
    if partial:
        _prepare_what_stays(optimizer, saved)
    kept = averages.Kept(optimizer)
    named = [*named_variables(optimizer), *kept.places_for(saved)]
    loaded = state.load(named, saved, optimizer.name, partial, made_by_build(optimizer))
    kept.take()
    averages.begin_fresh(optimizer, loaded)
    return loaded


def _prepare_what_stays(optimizer, saved):
    """Tells the optimizer of each hyperparameter that the state changes, for the slots of which the state has nothing."""
    for holder, held in optimizer.holders():
        of = holder if hasattr(holder, "before_change") else optimizer
        for name, hyperparameter in held.items():
            variable, key = hyperparameter.variable_of(holder), holder.state_name(name)
            if variable is not None and key in saved and saved[key].shape == ():
                of.before_change(name, variable, saved[key], optimizer.variables_of(holder, name))


def named_variables(optimizer) -> list:
    """((slot's name, path of the model's variable or None), variable) of all that is saved: numbers, and then slot by slot."""
    named: list = []
    for formula in optimizer.formulas():
        untracked = formula._untracked
        slots = [slot for slot in formula._untracked.slots.all if slot.name not in untracked.unsaved]
        of_slots = {id(variable) for slot in formula._untracked.slots.all for variable in slot.variables}
        others = [variable for variable in formula.own_variables() if id(variable) not in of_slots]
        of_others = [(untracked.state_keys.get(id(variable), (variable.name, None)), variable) for variable in others]
        named += [(key, variable) for key, variable in of_others if key[0] not in untracked.unsaved]
        each = [(slot, variable) for slot in slots for variable in slot.of_the_model()]
        named += [
            ((slot.name, path_of(v)), slot[v]) for slot, v in each if not isinstance(slot[v], StoredSmaller)
        ]  # theirs: above
    return named


def made_by_build(optimizer) -> set[str]:
    """The names of the numbers that are made when an optimizer is built, and not before."""
    known = [formula._untracked for formula in optimizer.formulas()]
    return {untracked.state_keys[identity][0] for untracked in known for identity in untracked.made_by_build}
