"""FTRL-Proximal: weights that are solved for anew at each step, and are exactly zero where they are not worth it.

Gradient descent moves a weight a little from where it is. "Follow the regularized leader" keeps the sum of all gradients
instead, and sets the weight to what would have been best for all of them together, with a penalty on being large. With an L1
penalty λ₁ that is exactly 0 for each weight whose sum has not grown beyond λ₁, which no step by step decay ever reaches. Google
has used it for models of billions of rare features, most of which it leaves at zero.
"""

import math

import keras
from keras import ops

from keras_optims.hyperparameter import NON_NEGATIVE, POSITIVE, Hyperparameter, Interval, Option, SearchRange
from keras_optims.optimizer import Optimizer


def _penalty(symbol, meaning):
    return Hyperparameter(
        0.0, symbol=symbol, domain=NON_NEGATIVE, search=SearchRange(1e-6, 1.0, "log", by_default=False), meaning=meaning
    )


@keras.saving.register_keras_serializable(package="keras_optims")
class Ftrl(Optimizer):
    """FTRL-Proximal: follow the regularized leader, with rates of each weight's own as in AdaGrad.

    With weights θ, gradient g, learning rate η, the power p = −`learning_rate_power`, and the slots n (accumulator), which starts
    at `initial_accumulator_value`, and z (linear), which starts at zero, each step does, element by element,

        n' = n + g²
        z ← z + g + 2·λₛ·θ − (n'ᵖ − nᵖ)/η · θ
        n ← n'
        θ ← (clip(z, −λ₁, λ₁) − z) / ((β + nᵖ)/η + 2·λ₂)

    Args:
        learning_rate: η > 0, as in `Adagrad`, of the same accumulator. It is a part of z: see the conventions. Usually 0.01
            to 1; default 0.001, as in Keras.
        learning_rate_power: −p ≤ 0, the power with which rates fall with n. −0.5 is AdaGrad's root, 0 a rate that stays. It
            cannot change once the optimizer is built. Default −0.5.
        initial_accumulator_value: n at the start, ≥ 0; default 0.1.
        l1_regularization_strength: λ₁ ≥ 0, which makes weights exactly 0. Default 0.
        l2_regularization_strength: λ₂ ≥ 0, which pulls weights towards 0. Default 0.
        l2_shrinkage_regularization_strength: λₛ ≥ 0, the same as a penalty of the loss, which n does not see. Default 0.
        beta: β ≥ 0, which keeps the first steps from being large, as n at the start does. Usually 1 (in the paper); default 0.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: those of TensorFlow and Keras: λ₂ counts twice what the paper's does. Three things that follow from the
    formula, in all implementations: weights without any gradient become 0 at the first step, and the weights that a model was
    initialized with count for little after it, since z starts at 0. A learning rate that is changed or scheduled changes what z
    means: all weights are scaled with it at once. And a weight decay before the step would be forgotten in it, as the weights
    are computed from z; in Keras it is. Here `weight_decay` shrinks z and θ together, z by the share η·λ in each step, so that
    weights decay as in any other optimizer.

    Reference: McMahan et al. 2013, "Ad Click Prediction: a View from the Trenches", https://doi.org/10.1145/2487575.2488200,
    Algorithm 1.
    """

    # No kernel: TensorFlow's sets a weight to 0 where the gradient is NaN, and keeps it there.
    elementwise = True
    decay = "own"
    starts_from_the_weights = False

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=POSITIVE, search=SearchRange(1e-3, 1.0, "log"), meaning="learning rate"
    )
    learning_rate_power = Option(
        -0.5, domain=Interval(-math.inf, 0, low_open=True), meaning="how rates fall with the accumulator"
    )
    initial_accumulator_value = Option(0.1, domain=NON_NEGATIVE, meaning="the accumulator at the start")
    l1_regularization_strength = _penalty("λ₁", "makes weights exactly zero")
    l2_regularization_strength = _penalty("λ₂", "pulls weights towards zero")
    l2_shrinkage_regularization_strength = _penalty("λₛ", "pulls weights towards zero, as a penalty of the loss")
    beta = Hyperparameter(
        0.0, symbol="β", domain=NON_NEGATIVE, search=SearchRange(1e-2, 10.0, "log", by_default=False), meaning="damps first steps"
    )

    def build(self, variables):
        """Makes the slots `accumulator` (n) and `linear` (z)."""
        super().build(variables)
        start = keras.initializers.Constant(self.initial_accumulator_value)
        self.accumulator = self.add_slot(variables, "accumulator", start)
        self.linear = self.add_slot(variables, "linear")

    def step_scalars(self, learning_rate):
        """η, λ₁, 2·λₛ, and 2·λ₂ + β/η."""
        return {
            "learning_rate": learning_rate,
            "l1": self.l1_regularization_strength,
            "shrinkage": 2 * self.l2_shrinkage_regularization_strength,
            "quadratic": 2 * self.l2_regularization_strength + self.beta / learning_rate,
        }

    def _power(self, n):
        """nᵖ."""
        return ops.sqrt(n) if self.learning_rate_power == -0.5 else ops.power(n, -self.learning_rate_power)

    def update_step(self, gradient, variable, learning_rate):
        """n' = n + g²; z ← z + g + 2·λₛ·θ − (n'ᵖ − nᵖ)/η·θ; θ ← (clip(z, −λ₁, λ₁) − z) / ((β + n'ᵖ)/η + 2·λ₂)."""
        s = self.scalars(variable, learning_rate)
        n, z = self.accumulator[variable], self.linear[variable]
        decay = self.decay_of(variable)
        if decay is not None:
            self.assign_sub(variable, variable * (decay * s.learning_rate))
            self.assign_sub(z, z * (decay * s.learning_rate))
        before = self._power(n)
        self.assign_add(n, ops.square(gradient))
        after = self._power(n)
        sigma = (after - before) / s.learning_rate
        self.assign_add(z, gradient + s.shrinkage * variable - sigma * variable)
        excess = ops.maximum(ops.abs(z) - s.l1, 0.0)
        denominator = after / s.learning_rate + s.quadratic
        # Where no gradient was yet and n started at 0, both are 0.
        weight = excess / ops.where(excess > 0, denominator, 1.0)
        self.assign(variable, -ops.sign(z) * weight)

    def step_rate(self, variable, learning_rate):
        """1 / ((β + nᵖ)/η + 2·λ₂), which multiplies z beyond λ₁."""
        s = self.scalars(variable, learning_rate)
        return 1 / (self._power(ops.convert_to_tensor(self.accumulator[variable])) / s.learning_rate + s.quadratic)
