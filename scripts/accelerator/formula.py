"""Adam as a user would write it, on our base class and on Keras's: what a formula without a kernel of its own costs."""

import keras
from keras import ops

from keras_optims import Hyperparameter, Optimizer
from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE


class FormulaOnOurs(Optimizer):
    """m ← β₁·m + (1−β₁)·g; v ← β₂·v + (1−β₂)·g²; θ ← θ − α·m / (√v + ε)."""

    elementwise = True  # each element of the new state depends on that element alone

    learning_rate = Hyperparameter(0.001, symbol="η", domain=NON_NEGATIVE)
    beta_1 = Hyperparameter(0.9, symbol="β₁", domain=DECAY_RATE)
    beta_2 = Hyperparameter(0.999, symbol="β₂", domain=DECAY_RATE)
    epsilon = Hyperparameter(1e-7, symbol="ε", domain=NON_NEGATIVE)

    def build(self, variables):
        """Makes the slots m and v."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.second_moment = self.add_slot(variables, "second_moment")

    def step_scalars(self, learning_rate):
        """α, 1−β₁, 1−β₂ and ε."""
        t = self.step_number
        return {
            "alpha": learning_rate * ops.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t),
            "one_minus_beta_1": self.one_minus("beta_1"),
            "one_minus_beta_2": self.one_minus("beta_2"),
            "epsilon": self.epsilon,
        }

    def update_step(self, gradient, variable, learning_rate):
        """The formula of the class."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        self.assign_add(m, (gradient - m) * s.one_minus_beta_1)
        self.assign_add(v, (ops.square(gradient) - v) * s.one_minus_beta_2)
        self.assign_sub(variable, m * s.alpha / (ops.sqrt(v) + s.epsilon))


class FormulaOnKeras(keras.optimizers.Optimizer):
    """The same, on `keras.optimizers.Optimizer`, as Keras's own optimizers are written."""

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables):
        """Makes the slots m and v."""
        if self.built:
            return
        super().build(variables)
        self.first_moments = [self.add_variable_from_reference(v, name="first_moment") for v in variables]
        self.second_moments = [self.add_variable_from_reference(v, name="second_moment") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        """The formula of the class."""
        rate = ops.cast(learning_rate, variable.dtype)
        t = ops.cast(self.iterations + 1, variable.dtype)
        alpha = rate * ops.sqrt(1 - ops.power(self.beta_2, t)) / (1 - ops.power(self.beta_1, t))
        index = self._get_variable_index(variable)  # as in Keras's guide: it has no public word for it
        m, v = self.first_moments[index], self.second_moments[index]
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        self.assign_sub(variable, m * alpha / (ops.sqrt(v) + self.epsilon))
