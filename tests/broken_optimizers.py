"""For each check of the contract a sound optimizer with one thing broken, which that check must find."""

import itertools
import time

import keras
import numpy as np
from keras import ops

from keras_optims import Adam, GradientDescent, Momentum, averages


class MakesStateLate(Momentum):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate)
        if int(self.iterations) == 1 and len(self.variables) < 7:
            self.add_variable((), name="late")


class BuildsAgain(Momentum):
    def check_known(self, variables):  # what is left to do in a second build
        super().check_known(variables)
        for velocity in self.velocity.variables:
            velocity.assign(ops.zeros_like(velocity))


class HasAWeightAmongItsState(Momentum):
    @property
    def variables(self):
        return [*super().variables, *self.variables_of_the_model()]


class SharesItsSlots(Momentum):
    def update_step(self, gradient, variable, learning_rate):
        for velocity in self.velocity.variables:
            if tuple(velocity.shape) == tuple(variable.shape):
                self.assign(velocity, velocity * self.momentum - gradient * learning_rate)
                self.assign_add(variable, velocity)
                break


class RoundTripsToAnotherRate(Momentum):
    @classmethod
    def from_config(cls, config, custom_objects=None):
        return super().from_config({**config, "learning_rate": config["learning_rate"] / 2}, custom_objects)


class ForgetsNesterov(Momentum):
    def get_config(self):
        return {name: value for name, value in super().get_config().items() if name != "nesterov"}


class RoundsItsConfig(Momentum):
    def get_config(self):
        return super().get_config() | {"learning_rate": float(np.float32(super().get_config()["learning_rate"]))}


def forgets(slot):
    """An optimizer that saves zeros for one of its slots."""

    class Forgets(Momentum):
        def save_own_variables(self, store):
            own: dict = {}
            super().save_own_variables(own)
            for name, value in own.items():
                store[name] = value * 0 if slot in name else value

    return Forgets


class NeedsAllOfItsState(Momentum):
    def load_own_variables(self, store):
        if len(store.keys()) < len(self.variables):
            for velocity in self.velocity.variables:
                velocity.assign(ops.ones_like(velocity))
        super().load_own_variables(store)


class DropsWhatDoesNotFit(Momentum):
    def load_own_variables(self, store):
        if len(store) == len(self.variables):
            super().load_own_variables(store)


class BakesItsLearningRate(Momentum):
    def __init__(self, learning_rate=0.01, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.rate = learning_rate

    def step_scalars(self, learning_rate):
        return super().step_scalars(ops.convert_to_tensor(self.rate))


class BakesItsMomentum(GradientDescent):
    def __init__(self, learning_rate=0.01, momentum=0.9, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        super().build(variables)
        self.velocity = self.add_slot(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        velocity = self.velocity[variable]
        self.assign(velocity, self.momentum * velocity - learning_rate * gradient)
        self.assign_add(variable, velocity)

    def get_config(self):
        return super().get_config() | {"momentum": self.momentum}


class ReadsItsScheduleOnce(Momentum):
    def update_step(self, gradient, variable, learning_rate):
        held = self._learning_rate
        schedule = isinstance(held, keras.optimizers.schedules.LearningRateSchedule)
        super().update_step(gradient, variable, ops.cast(held(0), "float32") if schedule else learning_rate)


class DividesZeroByZero(GradientDescent):
    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, learning_rate * gradient / ops.abs(gradient))


class TakesNoneForZero(Momentum):
    def apply(self, grads, trainable_variables=None):
        grads = list(grads)
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        grads = [ops.ones(v.shape) if g is None else g for g, v in zip(grads, variables, strict=True)]
        super().apply(grads, trainable_variables)


class UpdatesFrozenVariables(Momentum):
    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        for variable in self._trainable_variables:
            variable.assign(variable * 0.99)


class LeavesOutAddedVariables(Momentum):
    def apply(self, grads, trainable_variables=None):
        if trainable_variables is not None and self.built:
            known = [id(variable) for variable in self._trainable_variables]
            pairs = [(g, v) for g, v in zip(grads, trainable_variables, strict=True) if id(v) in known]
            grads, trainable_variables = [g for g, _ in pairs], [v for _, v in pairs]
        super().apply(grads, trainable_variables)


class SharesItsSlotsWithOthers(Momentum):
    slots: dict = {}  # noqa: RUF012 (that is what is broken)

    def build(self, variables):
        super().build(variables)
        for variable in variables:
            if len(variable.shape) == 1 and variable.shape[0] == 3:
                shared = self.slots.setdefault(tuple(variable.shape), self.velocity[variable])
                self.velocity._of[self.key_of(variable)] = shared


class NeedsAnAxis(Momentum):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient - 0 * ops.mean(gradient, axis=0, keepdims=True), variable, learning_rate)


class DividesByItsSize(Momentum):
    def update_step(self, gradient, variable, learning_rate):
        size = int(np.prod(variable.shape))
        super().update_step(gradient * (1 // size + 1), variable, learning_rate)


class SquaresInHalfPrecision(Adam):
    def update_step(self, gradient, variable, learning_rate):
        half = variable.place.rounded_to
        if half is not None:
            gradient = ops.cast(ops.sqrt(ops.square(ops.cast(gradient, half))), "float32") * ops.sign(gradient)
            rates = ops.cast(ops.cast(1.0, half) - ops.cast(0.999, half), "float32")
            gradient = gradient * ops.where(rates > 0, 1.0, 0.0)
        super().update_step(gradient, variable, learning_rate)


class RoundsFloat64(Momentum):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate)
        self.assign(variable, ops.cast(ops.cast(variable, "float32"), variable.dtype))


class IsNotElementwise(Momentum):
    elementwise = True

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient / (1 + ops.max(ops.abs(gradient))), variable, learning_rate)


class DecaysByTheLargest(Momentum):
    elementwise = True
    decay = "own"

    def update_step(self, gradient, variable, learning_rate):
        decay = self.decay_of(variable)
        if decay is not None:
            gradient = gradient + decay * variable / ops.max(ops.abs(variable.value))
        super().update_step(gradient, variable, learning_rate)


class KeepsTheLargest(Momentum):
    """What it keeps in a slot has no effect on the weights."""

    elementwise = True

    def build(self, variables):
        super().build(variables)
        self.largest = self.add_slot(variables, "largest")

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate)
        largest = self.largest[variable]
        self.assign(largest, ops.maximum(largest.value, ops.max(ops.abs(gradient))))


class IsRandom(Momentum):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient * (1 + 1e-3 * np.random.random()), variable, learning_rate)


class CountsInPython(Momentum):
    def update_step(self, gradient, variable, learning_rate):
        self.steps = getattr(self, "steps", itertools.count(1))
        super().update_step(gradient / next(self.steps), variable, learning_rate)


class DoesNotCount(Momentum):
    @property
    def iterations(self):
        return ops.zeros((), "int32")


class AddsAccumulatedGradients(Momentum):
    def make_update(self, gradients, variables):
        steps = self.gradient_accumulation_steps or 1
        super().make_update([gradient * steps for gradient in gradients], variables)


class ForgetsTheLossScale(Momentum):
    def scale_loss(self, loss):
        return loss


def clips(**only):
    """An optimizer whose clipping by that name is done otherwise."""

    class ClipsWrongly(GradientDescent):
        def make_update(self, gradients, variables):
            for name, factor in only.items():
                if getattr(self, name) is not None:
                    gradients = [gradient * factor for gradient in gradients]
            super().make_update(gradients, variables)

    return ClipsWrongly


class ClipsWithOverflow(GradientDescent):
    def make_update(self, gradients, variables):
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))
        super().make_update([gradient / ops.maximum(norm, 1.0) * ops.minimum(norm, 1e18) for gradient in gradients], variables)


class DecaysTwice(Momentum):
    def make_update(self, gradients, variables):
        for variable in variables:
            if self.decays(variable):
                variable.assign(variable * (1 - self.learning_rate * self.weight_decay))
        super().make_update(gradients, variables)


class ExcludesNothing(Momentum):
    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        pass


class ExcludesTooLate(Momentum):
    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        if not self.built:
            super().exclude_from_weight_decay(var_list=var_list, var_names=var_names)


class DecaysItself(GradientDescent):
    """Sound: L2 regularization, in the gradient."""

    decay = "own"

    def update_step(self, gradient, variable, learning_rate):
        decay = self.decay_of(variable)
        super().update_step(gradient if decay is None else gradient + decay * variable, variable, learning_rate)


class NeverDecays(DecaysItself):
    def decay_of(self, variable):
        return None


class ExcludesAll(DecaysItself):
    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        super().exclude_from_weight_decay(var_names=["."])


class DecaysWhatMoves(DecaysItself):
    """It leaves an excluded variable alone only where its gradient is zero."""

    def update_step(self, gradient, variable, learning_rate):
        if self.weight_decay is not None and self.decay_of(variable) is None:
            gradient = gradient * (1 + self.weight_decay)
        super().update_step(gradient, variable, learning_rate)


class FinalizesNothing(Momentum):
    def swap_averaged_weights(self):
        pass


class AveragesEachPart(Momentum):
    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        if self.use_ema and self.gradient_accumulation_steps:
            averages.move(self)


class GoesAstray(GradientDescent):
    def update_step(self, gradient, variable, learning_rate):
        self.assign_add(variable, learning_rate * gradient)


class GoesOnlySoFar(GradientDescent):
    """Converges where that is easy: it never takes a step larger than 1e-3."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, ops.clip(learning_rate * gradient, -1e-3, 1e-3))


class RaisesWhereItIsNeeded(Momentum):
    """No promise is about errors, yet an error where it should work is a finding."""

    def update_step(self, gradient, variable, learning_rate):
        raise RuntimeError(f"not on a {time.strftime('%A')}")


BROKEN = {
    "state_is_built_once": MakesStateLate,
    "build_twice": BuildsAgain,
    "memory_is_not_shared": HasAWeightAmongItsState,
    "each_variable_has_its_own_state": SharesItsSlots,
    "config_round_trip": RoundTripsToAnotherRate,
    "config_keeps_every_argument": ForgetsNesterov,
    "config_is_exact": RoundsItsConfig,
    "saved_model": forgets("velocity"),
    "saved_before_the_first_step": NeedsAllOfItsState,
    "resume": forgets("velocity"),
    "resume_within_an_accumulation": forgets("accumulator"),
    "resume_with_averaged_weights": forgets("average"),
    "state_that_does_not_fit": DropsWhatDoesNotFit,
    "learning_rate_can_be_set": BakesItsLearningRate,
    "hyperparameters_can_be_set": BakesItsMomentum,
    "schedules": ReadsItsScheduleOnce,
    "zero_gradient": DividesZeroByZero,
    "missing_gradient": TakesNoneForZero,
    "frozen_variable": UpdatesFrozenVariables,
    "added_variable": LeavesOutAddedVariables,
    "two_optimizers": SharesItsSlotsWithOthers,
    "shapes": NeedsAnAxis,
    "empty_variable": DividesByItsSize,
    "float16_variables": SquaresInHalfPrecision,
    "bfloat16_variables": SquaresInHalfPrecision,
    "float64_variables": RoundsFloat64,
    "deterministic": IsRandom,
    "compiled_as_eager": CountsInPython,
    "trains_in_fit": DoesNotCount,
    "elementwise": IsNotElementwise,
    "accumulation": AddsAccumulatedGradients,
    "loss_scale": ForgetsTheLossScale,
    "clipnorm": clips(clipnorm=0.5),
    "global_clipnorm": clips(global_clipnorm=0.5),
    "clipvalue": clips(clipvalue=0.5),
    "clipping_of_huge_gradients": ClipsWithOverflow,
    "weight_decay": DecaysTwice,
    "weight_decay_exclusions": ExcludesNothing,
    "weight_decay_exclusions_once_built": ExcludesTooLate,
    "averaged_weights": FinalizesNothing,
    "averaged_weights_under_accumulation": AveragesEachPart,
    "converges_on_a_quadratic": GoesAstray,
    "converges_on_an_ill_conditioned_quadratic": GoesOnlySoFar,
    "converges_on_rosenbrock": GoesOnlySoFar,
    "converges_on_real_digits": GoesOnlySoFar,
}

ALSO_BROKEN = [
    ("elementwise", DecaysByTheLargest),
    ("elementwise", KeepsTheLargest),
    ("weight_decay", NeverDecays),
    ("weight_decay_exclusions", ExcludesAll),
    ("weight_decay_exclusions", DecaysWhatMoves),
]
"""Broken in another way, which the same check must find."""
