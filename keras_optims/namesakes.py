"""Moving a running training from an optimizer of Keras to ours, and back.

What an optimizer is at a moment is its hyperparameters, its number of steps and its slots. Ours have the same as their namesakes
in Keras, under other names, so that each can go on where the other has stopped.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_optims import keras_seam
from keras_optims.algorithms import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    GradientDescent,
    Lamb,
    Lion,
    Momentum,
    Muon,
    Nadam,
    RMSprop,
    ScheduleFreeAdamW,
)
from keras_optims.arguments import NOT_OF_KERAS
from keras_optims.hyperparameter import Hyperparameter, LiveValue, shown, takes_the_step
from keras_optims.optimizer import Optimizer


@dataclasses.dataclass(frozen=True)
class Namesake:
    """One of our classes and the class of Keras that computes the same.

    Args:
        ours, keras: the classes.
        slots: the attribute with a slot of ours -> that of Keras's with the same slot.
        from_keras, to_keras: called with (ours, Keras's) once all slots are copied, where that is not all.
        same_with: argument of ours -> the only value with which Keras's computes the same.
        as_in_keras: argument of ours -> the value with which ours computes the same as Keras's, whatever the variables.
    """

    ours: type[Optimizer]
    keras: type[keras.optimizers.Optimizer]
    slots: dict[str, str]
    from_keras: Callable[[Any, Any], None] = lambda ours, theirs: None
    to_keras: Callable[[Any, Any], None] = lambda ours, theirs: None
    same_with: dict[str, Any] = dataclasses.field(default_factory=dict)
    as_in_keras: dict[str, Any] = dataclasses.field(default_factory=dict)

    def check(self, name: str, value) -> None:
        """Raises `ValueError` if Keras's computes something else with this value of an argument."""
        if name in self.same_with and value != self.same_with[name]:
            raise ValueError(
                f"{name} means something else or nothing to Keras's {self.keras.__name__}, so that the two compute the same with "
                f"{name}={self.same_with[name]!r} alone; it is {value!r}."
            )


def _with_epsilon(ours, theirs):
    _add_to_all(ours.accumulator.variables, _epsilon_in_the_accumulator(ours))


def _without_epsilon(ours, theirs):
    _add_to_all(theirs._accumulators, -_epsilon_in_the_accumulator(ours))


def _refuse_other_matrices(ours, theirs):
    for variable, adam in zip(ours.variables_of_the_model(), theirs.adam_velocities, strict=True):
        if (variable in ours.velocity) is not (adam is None):
            raise ValueError(
                f"Keras's Muon has matrices with two axes only, and its others go by Adam; {variable.path!r} of shape "
                f"{tuple(variable.shape)} does not here. Make ours with flatten=False."
            )


def _without_beta_1(ours, theirs):
    """Keras's Π has β₁ᵗ in it."""
    power = theirs.beta_1 ** float(ops.convert_to_numpy(theirs.iterations))
    product = float(ops.convert_to_numpy(theirs._u_product))
    ours.schedule_product.assign(product / power if power > 0 else 0.0)


def _with_beta_1(ours, theirs):
    theirs._u_product.assign(ours.schedule_product * theirs.beta_1 ** float(ops.convert_to_numpy(theirs.iterations)))


def _schedule_free():
    """Its namesake, which older versions of Keras do not have."""
    theirs = getattr(keras.optimizers, "ScheduleFreeAdamW", None)
    if theirs is not None:
        slots = {"base_weights": "_momentums", "second_moment": "_velocities"}
        yield Namesake(ScheduleFreeAdamW, theirs, slots, from_keras=lambda ours, theirs: ours.count_all_steps_alike())


def _muon():
    """Its namesake, which in older versions of Keras takes steps of another length and has other slots."""
    theirs = getattr(keras.optimizers, "Muon", None)
    if theirs is not None and "rms_rate" in inspect.signature(theirs).parameters:
        yield Namesake(
            *(Muon, theirs, _MUON),
            to_keras=_refuse_other_matrices,
            same_with=_AS_MUON_OF_KERAS,
            as_in_keras={"flatten": False},
        )


_ADAM = {"first_moment": "_momentums", "second_moment": "_velocities", "largest_second_moment": "_velocity_hats"}
_MUON = {"velocity": "momentums", "adam_first_moment": "momentums", "adam_second_moment": "adam_velocities"}
_AS_MUON_OF_KERAS = {"scale": "match_rms", "coefficients": "original", "exclude_head": False, "ns_dtype": None}
_NADAM = {"first_moment": "_momentums", "second_moment": "_velocities"}
_ADADELTA = {"mean_square": "_accumulated_grads", "mean_squared_step": "_accumulated_delta_vars"}
_FTRL = {"accumulator": "_accumulators", "linear": "_linears"}
_RMSPROP = {"mean_square": "_velocities", "velocity": "_momentums", "mean_gradient": "_average_gradients"}

_OF_THE_SAME_RESULT = ("axes", "lazy", "rules")
"""Arguments that Keras's optimizers lack and may do without: rules are refused by themselves."""

NAMESAKES = (
    Namesake(GradientDescent, keras.optimizers.SGD, {}),
    Namesake(Momentum, keras.optimizers.SGD, {"velocity": "momentums"}),
    Namesake(SGD, keras.optimizers.SGD, {"velocity": "momentums"}),
    Namesake(Adagrad, keras.optimizers.Adagrad, {"accumulator": "_accumulators"}, _with_epsilon, _without_epsilon),
    Namesake(RMSprop, keras.optimizers.RMSprop, _RMSPROP),
    Namesake(Adam, keras.optimizers.Adam, _ADAM),
    Namesake(AdamW, keras.optimizers.AdamW, _ADAM),
    Namesake(Adafactor, keras.optimizers.Adafactor, {"row_mean": "_r", "column_mean": "_c", "mean_square": "_v"}),
    Namesake(Lamb, keras.optimizers.Lamb, {"first_moment": "_momentums", "second_moment": "_velocities"}),
    *_schedule_free(),
    *_muon(),
    Namesake(Nadam, keras.optimizers.Nadam, _NADAM, _without_beta_1, _with_beta_1, {"momentum_decay": 1.0}),
    Namesake(Adamax, keras.optimizers.Adamax, {"first_moment": "_m", "infinity_norm": "_u"}),
    Namesake(Adadelta, keras.optimizers.Adadelta, _ADADELTA),
    Namesake(Ftrl, keras.optimizers.Ftrl, _FTRL, same_with={"weight_decay": None}),
    Namesake(Lion, keras.optimizers.Lion, {"first_moment": "_momentums"}),
)
"""Where several of ours have one namesake, `from_keras` makes the first that fits."""


def from_keras(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Our optimizer that goes on where one of Keras is.

        model.compile(keras_optims.from_keras(model.optimizer), loss=model.loss)

    It has the same hyperparameters and schedules, and if Keras's is built, it is built for the same variables and has the same
    number of steps, slots, averages and half-accumulated gradients. Keras's is left as it is.

    Args:
        optimizer: an optimizer of `keras.optimizers` that has a namesake here, or a `LossScaleOptimizer` around one (which
            becomes one around ours). An SGD becomes `Momentum`, or `GradientDescent` where its momentum is 0: each has the
            slots that Keras's has, and `SGD` here always has a velocity.

    Raises:
        TypeError: an optimizer of another class; a subclass may have changed the formula, so it is another class.
        ValueError: a hyperparameter that ours do not allow, or with which ours compute something else.
    """
    if type(optimizer) is keras.optimizers.LossScaleOptimizer:
        return _rewrapped(optimizer, from_keras)
    namesake = _namesake_of(optimizer)
    arguments = {name: _of_keras(optimizer, name) for name in namesake.ours._declarations if hasattr(optimizer, name)}
    arguments = {**namesake.same_with, **namesake.as_in_keras, **arguments}
    for name, value in arguments.items():
        namesake.check(name, value)
    new = namesake.ours(name=optimizer.name, **arguments)
    _exclude_the_same(new, optimizer)
    if optimizer.built:
        new.build(list(keras_seam.model_variables(optimizer)))
        for own, theirs in _variables(namesake, new, optimizer):
            _assign(own, theirs)
        namesake.from_keras(new, optimizer)
    return new


def to_keras(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer of Keras that goes on where one of ours is: the inverse of `from_keras`.

    Args:
        optimizer: an optimizer of this package that has a namesake in Keras, or a `LossScaleOptimizer` around one.

    Raises:
        TypeError: an optimizer of another class, such as a subclass.
        ValueError: Keras cannot go on from there: there are rules, another hyperparameter than the learning rate follows a
            schedule, the learning rate is a callable of the step, a hyperparameter has a value with which Keras computes
            something else, a loaded state waits for the optimizer to be built, or the weights are swapped.
    """
    if type(optimizer) is keras.optimizers.LossScaleOptimizer:
        return _rewrapped(optimizer, to_keras)
    namesake = next((namesake for namesake in NAMESAKES if namesake.ours is type(optimizer)), None)
    if namesake is None:
        allowed = ", ".join(namesake.ours.__name__ for namesake in NAMESAKES)
        raise TypeError(
            f"to_keras takes exactly these classes of keras_optims, not their subclasses: {allowed}, or a "
            f"LossScaleOptimizer around one; received {_class(optimizer)}."
        )
    if optimizer._untracked.pending_state is not None:
        raise ValueError("to_keras needs the optimizer to be built: it has loaded a state that waits for the variables.")
    if optimizer.rules:
        raise ValueError(
            f"to_keras cannot take over rules, which no optimizer of Keras has; the rules are {list(optimizer.rules)}."
        )
    if optimizer.weights_are_averaged:
        raise ValueError(
            "to_keras needs the weights that are trained; they are averaged now: call swap_averaged_weights() first."
        )
    now = optimizer.arguments_now()
    for name in NOT_OF_KERAS:
        value, default = now[name], namesake.ours._declarations[name].default
        if name not in _OF_THE_SAME_RESULT and value != default:
            raise ValueError(f"to_keras cannot take over {name}, which no optimizer of Keras has; it is {shown(value)}.")
    declared = {name: value for name, value in namesake.ours._declarations.items() if name not in NOT_OF_KERAS}
    arguments = {name: _for_keras(optimizer, value) for name, value in declared.items()}
    for name, value in arguments.items():
        namesake.check(name, value)
    taken = inspect.signature(namesake.keras.__init__).parameters
    for name in sorted(set(declared) - set(taken) - set(namesake.same_with) - set(namesake.as_in_keras)):
        if arguments[name] != declared[name].default:
            raise ValueError(
                f"to_keras cannot take over {name}, which {namesake.keras.__name__} of Keras does not have; it is "
                f"{arguments[name]!r}."
            )
    new = namesake.keras(name=optimizer.name, **{name: value for name, value in arguments.items() if name in taken})
    _exclude_the_same(new, optimizer)
    if optimizer.built:
        new.build(list(keras_seam.model_variables(optimizer)))
        for own, theirs in _variables(namesake, optimizer, new):
            _assign(theirs, own)
        namesake.to_keras(optimizer, new)
    return new


def _namesake_of(optimizer) -> Namesake:
    """That of an optimizer of Keras."""
    for namesake in NAMESAKES:
        if _is_exactly(optimizer, namesake.keras) and not (namesake.ours is GradientDescent and optimizer.momentum != 0):
            return namesake
    allowed = ", ".join(dict.fromkeys(namesake.keras.__name__ for namesake in NAMESAKES))
    raise TypeError(
        f"from_keras takes exactly these classes of keras.optimizers, not their subclasses: {allowed}, or a LossScaleOptimizer "
        f"around one; received {_class(optimizer)}."
    )


def _is_exactly(optimizer, cls) -> bool:
    """On torch, Keras makes an object of a subclass of its own in place of the class."""
    of_torch = keras_seam.is_torch_variant(type(optimizer))
    return type(optimizer) is cls or (of_torch and isinstance(optimizer, cls) and type(optimizer).__name__ == cls.__name__)


def _class(optimizer) -> str:
    return f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"


def _rewrapped(wrapper, moved):
    """A `LossScaleOptimizer` around `moved(the inner optimizer)`, at the same loss scale."""
    inner = moved(wrapper.inner_optimizer)
    new = type(wrapper)(
        inner, initial_scale=wrapper.initial_scale, dynamic_growth_steps=wrapper.dynamic_growth_steps, name=wrapper.name
    )
    if wrapper.built:
        new.build(list(keras_seam.model_variables(inner)))
        new.step_counter.assign(wrapper.step_counter)
        new.dynamic_scale.assign(wrapper.dynamic_scale)
    return new


def _exclude_the_same(new, optimizer):
    """From the weight decay."""
    if isinstance(new, Optimizer):
        new._untracked.excluded = keras_seam.excluded_from_weight_decay(optimizer)
    else:
        keras_seam.set_excluded_from_weight_decay(new, *optimizer._untracked.excluded)


# -- hyperparameters ------------------------------------------------------------------------------


def _of_keras(optimizer, name):
    """The value of an argument of ours, in Keras's optimizer."""
    if name == "learning_rate":
        rate = keras_seam.given_learning_rate(optimizer)
        return ops.convert_to_numpy(rate) if isinstance(rate, keras.Variable) else rate
    value = getattr(optimizer, name)
    if name in ("clipnorm", "clipvalue", "global_clipnorm"):  # Keras clips by a positive number only
        return value if value and value > 0 else None
    if name in ("gradient_accumulation_steps", "ema_overwrite_frequency"):
        return value or None
    return value


def _for_keras(optimizer, declared):
    """The value of an argument of ours, as Keras takes it."""
    name = declared.name
    if not isinstance(declared, Hyperparameter):
        return getattr(optimizer, name)
    held = getattr(optimizer, declared._held)
    if not callable(held) or isinstance(held, keras.Variable):
        value = declared.now(optimizer)
        return float(value) if name == "learning_rate" else value
    is_schedule = isinstance(held, keras.optimizers.schedules.LearningRateSchedule)
    if name != "learning_rate" or not (is_schedule or not takes_the_step(held)):
        allowed = "a schedule or a callable of nothing" if name == "learning_rate" else "a number"
        raise ValueError(f"{name} of an optimizer of Keras is {allowed}, so to_keras cannot take it over; it is {held!r}.")
    return copy.copy(declared.now(optimizer)) if isinstance(held, LiveValue) else held


# -- state ----------------------------------------------------------------------------------------


def _variables(namesake, ours, theirs) -> list:
    """(variable of ours, the same of Keras's): the number of steps, slots, averages and half-accumulated gradients."""
    pairs = [(keras_seam.calls(ours), keras_seam.calls(theirs))]
    for slot, attribute in namesake.slots.items():
        own, other = getattr(ours, slot), getattr(theirs, attribute, None)
        if own is not None and other:  # Keras's SGD has no velocity where its momentum is 0, and then needs none
            pairs += zip(own.of(ours.variables_of_the_model()), other, strict=True)
    if ours.use_ema:
        pairs += zip(ours._untracked.average.of(ours.variables_of_the_model()), keras_seam.averages(theirs), strict=True)
    if ours.gradient_accumulation_steps:
        pairs += zip(ours._untracked.accumulated.of(ours.variables_of_the_model()), keras_seam.accumulators(theirs), strict=True)
    return [pair for pair in pairs if pair[0] is not None]


def _assign(variable, other):
    """Sets a variable to a copy of another one: on JAX a step gives away the arrays that it was called with."""
    variable.assign(ops.copy(ops.cast(ops.convert_to_tensor(other), variable.dtype)))


def _epsilon_in_the_accumulator(optimizer) -> float:
    return float(ops.convert_to_numpy(optimizer.epsilon)) if optimizer.epsilon_is_in_the_accumulator else 0.0


def _add_to_all(accumulators, number):
    for accumulator in accumulators:
        if accumulator is not None:
            accumulator.assign(ops.add(accumulator, number))
