"""AdaGrad: give each weight a learning rate of its own.

Momentum still moves all weights at one rate, whether their gradients are large or small, frequent or rare. AdaGrad divides each
weight's step by the root of the sum of all its squared gradients so far: a weight that has seen few or small ones takes large
steps, one that has seen many takes small ones. That is right for rare features. But the sum only ever grows, so every rate falls
towards zero, and a long training stalls.
"""

import keras
from keras import ops

from keras_optims import kernels
from keras_optims.hyperparameter import NON_NEGATIVE, Hyperparameter, Option, SearchRange, epsilon
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Adagrad(Optimizer):
    """AdaGrad: learning rates that adapt to each weight's past gradients.

    With weights θ, gradient g, learning rate η and the accumulator G, which starts at `initial_accumulator_value`, each
    step does, element by element,

        G ← G + g²
        θ ← θ − η·g / √(G + ε)

    The slot holds G + ε, so that one fused kernel can do both lines, and `optimizer.epsilon = ...` moves it. What of G is below
    float32's rounding of ε (6e-8 of it) is lost meanwhile, and does not come back with a smaller ε. An ε that follows a schedule
    is not in the slot.

    Args:
        learning_rate: η ≥ 0; the first steps are about this long, later ones shorter. Usually 0.01 to 1 (1 in the paper);
            default 0.001, as in Keras.
        initial_accumulator_value: G at the start, ≥ 0; it keeps the first steps from being large where the first
            gradients are small. Default 0.1.
        epsilon: ε ≥ 0; keeps the division finite where G is 0. Default 1e-7.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: ε is inside the root and G starts at 0.1, as in Keras. torch has ε outside, √G + ε, and G start at 0; the paper
    has the δ of its diagonal matrix outside (Fig. 1).

    Reference: Duchi, Hazan & Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization",
    https://jmlr.org/papers/v12/duchi11a.html, Fig. 1 with diagonal matrices.
    """

    kernel = "adagrad"
    elementwise = True

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-3, 1.0, "log"), meaning="learning rate"
    )
    initial_accumulator_value = Option(0.1, domain=NON_NEGATIVE, meaning="the accumulator at the start")
    epsilon = epsilon()

    @property
    def epsilon_is_in_the_accumulator(self) -> bool:
        """Whether the slot holds G + ε rather than G."""
        return self.is_constant("epsilon")

    def build(self, variables):
        """Makes the slot `accumulator` (G + ε)."""
        super().build(variables)
        starts = [keras.initializers.Constant(self._start(variable)) for variable in variables]
        self.accumulator = self.add_slot(variables, "accumulator", starts, numbers="non_negative")

    def _start(self, variable) -> float:
        """What the accumulator of a variable holds at first."""
        with self.using(self.settings_of(variable)), kernels.outside_of_a_trace():
            epsilon = float(ops.convert_to_numpy(self.epsilon)) if self.epsilon_is_in_the_accumulator else 0.0
        return self.initial_accumulator_value + epsilon

    def before_change(self, name, before, after, variables):
        """A new ε moves the accumulator."""
        if name == "epsilon":
            for accumulator in self.accumulator.of(variables):
                # In this order: G + ε rounded is never less than ε, so G never becomes negative. The sum of the two ε might.
                total = ops.subtract(accumulator, before)
                accumulator.assign(ops.add(total, after))

    def step_scalars(self, learning_rate):
        """η, and the ε that is not in the accumulator yet."""
        return {"learning_rate": learning_rate, "epsilon": 0.0 if self.epsilon_is_in_the_accumulator else self.epsilon}

    def update_step(self, gradient, variable, learning_rate):
        """G ← G + g²; θ ← θ − η·g / √(G + ε)."""
        s = self.scalars(variable, learning_rate)
        accumulator = self.accumulator[variable]
        self.assign_add(accumulator, ops.square(gradient))
        self.assign_sub(variable, s.learning_rate * gradient / ops.sqrt(accumulator + s.epsilon))

    def step_rate(self, variable, learning_rate):
        """η / √(G + ε)."""
        s = self.scalars(variable, learning_rate)
        return s.learning_rate / ops.sqrt(ops.add(self.accumulator[variable], s.epsilon))
