"""What the Schedule-Free optimizers share: three sequences of weights, of which two are kept.

Lowering the learning rate at the end of a training averages the noise of the last steps away; averaging the weights does so,
too, and at any time, so that no end has to be known beforehand. But an average of all weights so far lags behind. Schedule-Free
learning takes the gradients at points y between the average x and the sequence z that the steps move: so x keeps up, and is as
good at each moment as a schedule that ends there.
"""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from keras_optims import kernels
from keras_optims.dtypes import is_half
from keras_optims.hyperparameter import NON_NEGATIVE, Hyperparameter, Interval, Option, shown
from keras_optims.optimizer import Optimizer

LEAST_BETA = 0.5
"""For a smaller β, x is not found from y and z to float32's digits."""


class ScheduleFree(Optimizer):
    """The sequences x, y and z, for a subclass that says which way a step goes.

    The model's weights are y. With z the slot `base_weights`, which starts as they do, the rate η_t after warm-up, and the
    direction d that the subclass finds of the gradient at y,

        w = tʳ·(the largest η so far)ᵖ,  c = w / Σw
        d ← d + λ·y
        z ← z − η_t·d
        x ← (1−c)·x + c·z
        y ← β·x + (1−β)·z

    x is not kept where it follows from the other two, x = y + (1 − 1/β)·(z − y): where β is a number of at least 1/2, and y has
    float32's digits. Elsewhere it is the slot `mean_weights`.
    """

    interpolation: ClassVar[str]
    """The name of the hyperparameter that is β."""

    elementwise = True
    decay = "own"

    def build(self, variables):
        """Makes the slots `base_weights` (z) and, where it is needed, `mean_weights` (x); the largest rate so far, and Σw."""
        super().build(variables)
        own = self.variables_it_updates(variables)
        self.base_weights = self.add_slot(own, "base_weights", "variable")
        self.mean_weights = self.add_slot([v for v in own if not self._has_recoverable_mean(v)], "mean_weights", "variable")
        self.largest_rate, self.sum_of_weights = self.add_shared("largest_rate"), self.add_shared("sum_of_weights")

    def _has_recoverable_mean(self, variable) -> bool:
        """Whether x follows from y and z."""
        declared: Hyperparameter = self._hyperparameters[self.interpolation]
        holder = self.settings_of(variable).holder(self.interpolation) or self
        with kernels.outside_of_a_trace():
            return declared.is_constant(holder) and declared.now(holder) >= LEAST_BETA and not is_half(variable.dtype)

    def begin_step(self, gradients, variables):
        """c, the warm-up's share of the rate, and whether this is the first update."""
        t = self.step_number
        warm = ops.minimum(t / self.warmup_steps, 1.0) if self.warmup_steps else ops.ones_like(t)
        largest = ops.maximum(ops.convert_to_tensor(self.largest_rate), self.learning_rate * warm)
        weight = t**self.r * largest**self.weight_lr_power
        total = self.sum_of_weights + weight
        self.assign(self.largest_rate, largest)
        self.assign(self.sum_of_weights, total)
        return {"c": ops.where(total > 0, weight / ops.where(total > 0, total, 1.0), 0.0), "warm": warm, "is_first": t < 1.5}

    def scalars_of_sequences(self, learning_rate) -> dict[str, Any]:
        """η_t, β, and how far y goes along d, for `step_scalars`."""
        rate, beta = learning_rate * self.of_step.warm, getattr(self, self.interpolation)
        return {
            "rate": rate,
            "beta": beta,
            "rate_of_y": rate * (self.one_minus(self.interpolation) + beta * self.of_step.c),
        }

    def step_along(self, direction, variable, s):
        """Moves the sequences for a step in a direction.

        Args:
            direction: d without the decay.
            variable: what stands in for the variable, y.
            s: its scalars.
        """
        y, z = variable.value, self.base_weights[variable]
        # The sequences begin where the first gradient was taken, as where weights are loaded once the optimizer is built.
        old_z = ops.where(s.is_first > 0, y, z.value)
        decay = self.decay_of(variable)
        if decay is not None:
            direction = direction + decay * y
        self.assign(z, old_z - s.rate * direction)
        if variable in self.mean_weights:
            x = self.mean_weights[variable]
            old_x = ops.where(s.is_first > 0, y, x.value)
            self.assign(x, old_x + s.c * (z - old_x))
            self.assign(variable, z + s.beta * (x - z))
        else:
            self.assign(variable, y + s.c * (old_z - y) - s.rate_of_y * direction)

    def evaluation_weights(self, variable):
        """x, at which to evaluate; with `use_ema=True` the moving average of y."""
        if self.use_ema or variable not in self.base_weights:
            return super().evaluation_weights(variable)
        if variable in self.mean_weights:
            return ops.convert_to_tensor(self.mean_weights[variable])
        with self.using(self.settings_of(variable)):
            return self._mean(variable, getattr(self, self.interpolation))

    def _mean(self, variable, beta):
        """x, of y and z."""
        y, z = ops.convert_to_tensor(variable), ops.convert_to_tensor(self.base_weights[variable])
        return y + ops.cast(1 - 1 / ops.convert_to_tensor(beta), y.dtype) * (z - y)

    def count_all_steps_alike(self):
        """Sets x and Σw to what they are where each step so far has had the rate of now, from y, z and the number of steps."""
        rate, steps = ops.convert_to_tensor(self.learning_rate), ops.cast(self.iterations, "float32")
        weight = rate**self.weight_lr_power
        self.assign(self.largest_rate, ops.where(steps > 0, rate, 0.0))
        self.assign(self.sum_of_weights, steps * (weight if self.r == 0 else weight * steps**self.r / (self.r + 1)))
        for variable in self.mean_weights.of_the_model():
            with self.using(self.settings_of(variable)):
                self.assign(self.mean_weights[variable], self._mean(variable, getattr(self, self.interpolation)))

    def before_change(self, name, before, after, variables):
        """Where β changes, x and z stay, and y follows.

        Raises:
            ValueError: x is not kept, and could not be found of y and z.
        """
        super().before_change(name, before, after, variables)
        recovered = [v for v in variables if v in self.base_weights and v not in self.mean_weights]
        if name != self.interpolation or not recovered:
            return
        if isinstance(after, float) and after < LEAST_BETA:
            raise ValueError(
                f"{name} of this {type(self).__name__} cannot become smaller than {LEAST_BETA}: the weights to evaluate at "
                "follow from those that are trained, which needs a larger one. Make a new optimizer, which keeps them; "
                f"received {shown(after)}."
            )
        if isinstance(after, float) and self.weights_are_averaged:
            raise ValueError(
                f"{name} of this {type(self).__name__} cannot change while the weights are those to evaluate at: call "
                "swap_averaged_weights() first."
            )
        for variable in recovered:
            y, z = ops.convert_to_tensor(variable), ops.convert_to_tensor(self.base_weights[variable])
            moved = z + ops.cast(after, y.dtype) * (self._mean(variable, before) - z)
            kernels.assign(self, variable, ops.where(self.number_of_calls > 0, moved, y))


def warmup_steps() -> Option:
    """T_w."""
    steps = Interval(0, float("inf"), high_open=True)
    return Option(0, domain=steps, integer=True, meaning="updates over which the rate rises to its full size")


def r() -> Option:
    """r."""
    return Option(0.0, domain=NON_NEGATIVE, meaning="power of the step's number in the mean's weights")


def weight_lr_power() -> Option:
    """p."""
    return Option(2.0, domain=NON_NEGATIVE, meaning="power of the largest rate so far in the mean's weights")
