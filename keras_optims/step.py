"""The order of a step, and what belongs to one step.

A step is: the loss scale is divided out; gradients are averaged over an accumulation; they are clipped; `begin_step`; then for
the variables of each set of settings weight decay and formula; `end_step`; last the moving average of the weights, and
constraints.

What belongs to one step travels in a `Frame`, which is made for it: the settings that hold, and what is computed once. The
optimizer finds the frame that it works in by `frame_of`; none is ever put on the optimizer, so that frames nest.
"""

from __future__ import annotations

import contextvars
import dataclasses
import types
import warnings
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_optims import averages, kernels
from keras_optims.clipping import adaptively_clipped, centralized, clipped, is_centralized
from keras_optims.fit import check_gradients
from keras_optims.hyperparameter import state_dtype
from keras_optims.row_gradient import values_of, with_values
from keras_optims.rules import WITHOUT_RULES, Settings
from keras_optims.stand_in import StandIn, is_overwritten, path_of

_FRAMES: contextvars.ContextVar[tuple[Frame, ...]] = contextvars.ContextVar("frames", default=())


def frame_of(optimizer) -> Frame | None:
    """The innermost frame in which this optimizer is at work."""
    return next((frame for frame in reversed(_FRAMES.get()) if frame.optimizer is optimizer), None)


@dataclasses.dataclass(eq=False)
class Frame:
    """An optimizer's formula at work in one step, on variables that have the same settings.

    While it is entered (`with frame:`), the optimizer's hyperparameters are those of the settings.

    Args:
        optimizer: the optimizer whose formula it is.
        settings: what the rules say about the variables.
        of_step: what its `begin_step` has returned, by name.
        memo: what has been computed once, by what it depends on.
    """

    optimizer: Any
    settings: Settings = WITHOUT_RULES
    of_step: types.SimpleNamespace = dataclasses.field(default_factory=types.SimpleNamespace)
    memo: dict = dataclasses.field(default_factory=dict)
    at_work: list[StandIn] = dataclasses.field(default_factory=list, init=False)
    _tokens: list = dataclasses.field(default_factory=list, init=False)

    def __enter__(self):
        self._tokens.append(_FRAMES.set((*_FRAMES.get(), self)))
        return self

    def __exit__(self, *error):
        _FRAMES.reset(self._tokens.pop())

    def under(self, settings: Settings) -> Frame:
        """The same for variables with other settings."""
        return Frame(self.optimizer, settings, self.of_step, self.memo)

    def inside(self) -> Frame:
        """The same in a function that is traced by itself: what is computed once there stays there."""
        return Frame(self.optimizer, self.settings, self.of_step, dict(self.memo))

    def on_a_replica(self, of_step: dict, rate=None) -> Frame:
        """The same on one replica of several, with its own tensors."""
        own = Frame(self.optimizer, self.settings, types.SimpleNamespace(**of_step))
        if rate is not None:
            own.memo[self.settings, "rate"] = rate
        return own

    # -- what is computed once --------------------------------------------------------------------

    def once(self, what, compute: Callable[[], Any]):
        """The result of `compute()`, which depends on the settings and on `what`."""
        key = (self.settings, what)
        if key not in self.memo:
            with self:
                self.memo[key] = compute()
        return self.memo[key]

    def rate(self):
        """The learning rate, with multipliers, in the dtype of the hyperparameters."""
        return self.once("rate", lambda: self.settings.multiplied(self.optimizer.learning_rate))

    def rate_in(self, dtype: str):
        """The learning rate in the dtype of a variable's arithmetic."""
        return self.once(("rate", dtype), lambda: ops.cast(ops.convert_to_tensor(self.rate()), dtype))

    def decay_in(self, dtype: str):
        """λ in the dtype of a variable's arithmetic."""
        return self.once(("decay", dtype), lambda: ops.cast(ops.convert_to_tensor(self.optimizer.weight_decay), dtype))

    def compute(self, place):
        """Computes here what depends on the settings alone, so that a function which is traced by itself has it from outside."""
        self.scalars(place.dtype)
        self.rate_in(place.dtype)
        if place.decays:
            self.decay_in(place.dtype)

    def scalars(self, dtype: str, learning_rate=None) -> types.SimpleNamespace:
        """`begin_step`'s and `step_scalars`'s scalars in a dtype; for another learning rate than the step's, if one is given."""
        if any(learning_rate is own for own in (None, self.rate(), self.memo.get((self.settings, ("rate", dtype))))):
            return self.once(("scalars", dtype), lambda: self._computed(dtype, self.rate()))
        known = self.once(("scalars of", dtype, id(learning_rate)), lambda: (self._computed(dtype, learning_rate), learning_rate))
        return known[0]  # beside the rate, which is kept alive, so that its id stays its own

    def _computed(self, dtype, learning_rate):
        if not hasattr(learning_rate, "assign"):  # a tensor, in whatever dtype it was passed
            learning_rate = ops.cast(learning_rate, state_dtype())
        values = {**vars(self.of_step), **self.optimizer.step_scalars(learning_rate)}
        return types.SimpleNamespace(**{name: ops.cast(value, dtype) for name, value in values.items()})

    # -- the formula ------------------------------------------------------------------------------

    def run(self, gradient, variable: StandIn):
        """Weight decay and the formula for one variable, in this frame, and writes what they have assigned."""
        self.at_work[:] = [variable]
        self._begin(variable)
        self.optimizer.update_step(gradient, variable, self.rate_in(variable.dtype))
        self._end(gradient, variable)
        commit([variable])

    def run_all(self, gradients, variables: list[StandIn]):
        """As `run`, of a list of variables, by the optimizer's `update_steps`; each has settings of its own."""
        self.at_work[:] = variables
        frames = [self.under(variable.place.settings) for variable in variables]
        for frame, variable in zip(frames, variables, strict=True):
            frame._begin(variable)
        rates = [frame.rate_in(variable.dtype) for frame, variable in zip(frames, variables, strict=True)]
        with self:
            self.optimizer.update_steps(gradients, variables, rates)
        for frame, gradient, variable in zip(frames, gradients, variables, strict=True):
            frame._end(gradient, variable)
        commit(variables)

    def _begin(self, variable):
        if self._rounds(variable):
            variable.assign_add(self.optimizer.rounding_error[variable])
        if variable.place.decays and self.optimizer.decay == "decoupled":
            decay, rate = self.decay_in(variable.dtype), self.rate_in(variable.dtype)
            self.optimizer.assign(variable, self.optimizer.decayed(variable.value, decay, rate))
        if self.is_cautious():
            variable.watch()

    def _end(self, gradient, variable):
        if variable.watched_from is not None:
            variable.assign(_masked(gradient, variable))
        if self._rounds(variable):
            rounded = kernels.rounded(variable.value, variable.place.rounded_to)
            self.optimizer.rounding_error[variable].assign(variable.value - rounded)

    def is_cautious(self) -> bool:
        """Whether only those of the variables' elements move whose gradient agrees with their update."""
        return (self.settings.holder("cautious") or self.optimizer)._cautious

    def _rounds(self, variable) -> bool:
        return self.optimizer.compensated_summation and variable.place.rounded_to is not None


_LEAST_SHARE = 1e-3


def _masked(gradient, variable: StandIn):
    """The weights after an update of which only the part is made that goes down the gradient (Liang et al. 2024).

    What is left is made longer by as much as there is less of it: it is divided by the share of the elements that move, but by
    no less than 1e-3.
    """
    before, moved = variable.watched_from, variable.moved()
    agrees = ops.cast(moved * gradient < 0, variable.dtype)
    share = ops.maximum(ops.mean(agrees), _LEAST_SHARE) if 0 not in variable.shape else 1.0
    return before + moved * (agrees / share)


def commit(variables: list[StandIn]):
    """Writes what has been assigned to stand-ins, and to those of their slots, to its places."""
    family = [each for variable in variables for each in variable.family()]
    written = [each for each in family if each.assigned]
    values = kernels.apart([each.value for each in written], [each.read_value for each in family])
    for each, value in zip(written, values, strict=True):
        each.place.write(value)


def run_if(optimizer, predicate, action, otherwise=lambda: None):
    """Runs one of two functions that assign the optimizer's variables, the model's, or what stands in for them in this step."""
    frame = frame_of(optimizer)
    at_work = [] if frame is None else frame.at_work
    family = [s for v in at_work for s in (v, *map(v.slot, optimizer._untracked.slots.of_the_formula(v)))]
    before = [(each.value, each.assigned) for each in family]
    assigned: set[int] = set()

    def of(function):
        def run():
            for each, held in zip(family, before, strict=True):
                each.hold(*held)
            function()
            assigned.update(i for i, each in enumerate(family) if each.assigned)
            return [each.value for each in family]

        return run

    state = [*optimizer.variables_of_the_model(), *optimizer.variables]
    values = kernels.run_if(predicate, of(action), of(otherwise), state)
    for i, (each, value) in enumerate(zip(family, values, strict=True)):
        each.hold(value, i in assigned)


# -- the order ------------------------------------------------------------------------------------


def apply(optimizer, gradients, variables):
    """What `Optimizer.apply` does once the optimizer is built for the variables; one gradient for each of them."""
    with kernels.no_gradient():
        gradients, variables = _given(gradients, variables)
        check_gradients(gradients, variables)
        gradients, variables = _others_than_overwritten(optimizer, gradients, variables)
        if gradients:
            gradients = kernels.prepared(optimizer, gradients, variables)
            if optimizer.loss_scale_factor is not None:
                gradients = [with_values(g, _divided(values_of(g), optimizer.loss_scale_factor)) for g in gradients]
            recorder = optimizer._untracked.recorder
            if recorder is None:
                step(optimizer, gradients, variables)
            else:
                recorder.step(gradients, variables)
        kernels.count(optimizer.number_of_calls)


def _divided(values, factor):
    return values / ops.cast(factor, values.dtype)


def _given(gradients, variables):
    """Those of which there is a gradient."""
    missing = [path_of(variable) for gradient, variable in zip(gradients, variables, strict=True) if gradient is None]
    if not missing:
        return gradients, variables
    if len(missing) == len(variables):
        raise ValueError("There is no gradient of any variable.")
    warnings.warn(
        f"Gradients do not exist for variables {missing}, which stay as they are. Did you forget the loss of a compiled model?",
        stacklevel=4,
    )
    pairs = [pair for pair in zip(gradients, variables, strict=True) if pair[0] is not None]
    return [gradient for gradient, _ in pairs], [variable for _, variable in pairs]


def _others_than_overwritten(optimizer, gradients, variables):
    """Overwrites variables by their gradients that Keras means so (scales of float8); returns the others."""
    if not any(map(is_overwritten, variables)):
        return gradients, variables
    steps, others = optimizer.gradient_accumulation_steps, []
    for gradient, variable in zip(gradients, variables, strict=True):
        if not is_overwritten(variable):
            others.append((gradient, variable))
        elif not steps:
            variable.assign(gradient)
        else:  # the largest of those that are accumulated
            largest = optimizer._untracked.accumulated[variable]
            now = ops.equal((optimizer.number_of_calls + 1) % steps, 0)
            highest = ops.maximum(gradient, ops.cast(largest, gradient.dtype))
            variable.assign(ops.where(now, highest, ops.cast(variable, highest.dtype)))
            largest.assign(ops.where(now, ops.zeros_like(highest), highest))
    return [gradient for gradient, _ in others], [variable for _, variable in others]


def step(optimizer, gradients, variables):
    """What is done with gradients that are `kernels.prepared`: an update, or a part of the accumulation of one."""
    steps = optimizer.gradient_accumulation_steps
    if not steps:
        optimizer.make_update(gradients, variables)
    else:
        accumulators = [optimizer._untracked.accumulated[variable] for variable in variables]

        def update():
            optimizer.make_update(mean_gradients(optimizer, gradients, variables), variables)
            for each in optimizer._untracked.accumulated.variables:
                each.assign(ops.zeros(each.shape, each.dtype))

        def accumulate():
            for gradient, each in zip(gradients, accumulators, strict=True):
                each.assign(gradient + each)

        run_if(optimizer, (optimizer.number_of_calls + 1) % steps == 0, update, accumulate)
    for variable in variables:
        if variable.constraint is not None:
            variable.assign(variable.constraint(variable))


def mean_gradients(optimizer, gradients, variables) -> list:
    """The gradients of an update that is made now: the mean of these and those that are accumulated."""
    steps = optimizer.gradient_accumulation_steps
    if not steps:
        return gradients
    return [(g + optimizer._untracked.accumulated[variable]) / steps for g, variable in zip(gradients, variables, strict=True)]


def update(optimizer, gradients, variables):
    """One update: clip, decay, step, average."""
    averages.begin(optimizer)
    gradients = clipped(gradients, global_clipnorm=optimizer.global_clipnorm)
    frames: dict[int, Frame] = {}
    parts = []
    for settings, its_gradients, its_variables in _by_settings(optimizer, gradients, variables):
        formula = settings.formula or optimizer
        frame = frames.setdefault(id(formula), Frame(formula)).under(settings)
        with frame:
            its_gradients = clipped(its_gradients, clipnorm=formula.clipnorm, clipvalue=formula.clipvalue)
            its_gradients = _by_outputs(formula, its_gradients, its_variables)
        parts.append((frame, its_gradients, its_variables))
    for own in frames.values():
        of_formula = [part for part in parts if part[0].optimizer is own.optimizer]
        _update_by(own, of_formula)
    averages.move(optimizer)


def _by_outputs(formula, gradients, variables) -> list:
    """The gradients after adaptive clipping and centralization, which go by the outputs of a variable."""
    clips, centralizes = formula.is_on("agc"), formula.gradient_centralization
    if not (clips or centralizes):
        return gradients
    done = []
    for gradient, variable in zip(gradients, variables, strict=True):
        axes = formula.axes_of(variable)
        if clips:
            gradient = adaptively_clipped(gradient, variable, axes, formula.agc)
        if centralizes and is_centralized(axes, variable.shape):
            gradient = centralized(gradient, axes)
        done.append(gradient)
    return done


def _by_settings(optimizer, gradients, variables) -> list[tuple[Settings, list, list]]:
    """(settings, gradients, variables) of the variables that have the same settings."""
    if not optimizer.rules and optimizer._untracked.rest is None:
        return [(WITHOUT_RULES, gradients, variables)]
    parts: dict[Settings, tuple[list, list]] = {}
    for gradient, variable in zip(gradients, variables, strict=True):
        its_gradients, its_variables = parts.setdefault(optimizer.settings_of(variable), ([], []))
        its_gradients.append(gradient)
        its_variables.append(variable)
    return [(settings, *part) for settings, part in parts.items()]


def _update_by(own: Frame, parts):
    """The part of an update that one formula makes: (frame, gradients, variables) for each set of settings."""
    formula = own.optimizer
    everything = [pair for _, gradients, variables in parts for pair in zip(gradients, variables, strict=True)]
    if formula.overrides("begin_step"):
        stand_ins = [StandIn(formula.place_of(variable)) for _, variable in everything]
        own.at_work[:] = stand_ins
        with own:
            returned = formula.begin_step([gradient for gradient, _ in everything], stand_ins)
            commit(stand_ins)
        vars(own.of_step).update(returned or {})
    if formula.overrides("update_steps"):
        kernels.update_list(own, [gradient for gradient, _ in everything], [variable for _, variable in everything])
    else:
        for frame, gradients, variables in parts:
            with frame:
                kernels.update(frame, gradients, variables)
    if formula.overrides("end_step"):
        stand_ins = [StandIn(formula.place_of(variable)) for _, variable in everything]
        own.at_work[:] = stand_ins
        with own:
            formula.end_step(stand_ins)
            commit(stand_ins)
