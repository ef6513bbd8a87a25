"""LARS: momentum whose gradient has, in each variable, a length in proportion to the weights.

How far a step may go follows from how large the weights are: one that is as long as they are is no small correction. The ratio
‖θ‖/‖g‖ differs by a factor of hundreds between the layers of one network, so a rate that is right for one layer is too large for
another, and with large batches, which want large rates, the training diverges. LARS multiplies each variable's gradient by its
own ratio.
"""

import keras
from keras import ops

from keras_optims.algorithms.trust_ratio import norm, trust_ratio
from keras_optims.hyperparameter import NON_NEGATIVE, POSITIVE, UNIT, Hyperparameter, Option, SearchRange, weight_decay
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class LARS(Optimizer):
    """LARS: layer-wise adaptive rate scaling.

    With weights θ of one variable, gradient g, learning rate η, momentum μ, trust coefficient η_c, weight decay λ and the
    velocity u, which starts at zero, each step does

        φ = η_c·‖θ‖ / (‖g‖ + λ·‖θ‖)              1 where ‖θ‖ or ‖g‖ is 0
        u ← μ·u − η·φ·(g + λ·θ)
        θ ← θ + u                               with Nesterov θ + μ·u − η·φ·(g + λ·θ)

    The norms are of the variable as a whole: one that is split in two takes other steps.

    Args:
        learning_rate: η ≥ 0. As φ is small, η is large: usually 0.1 to 10, with warm-up; default 1.0.
        momentum: μ in [0, 1], the share of the velocity that is kept. Usually 0.9; default 0.9.
        trust_coefficient: η_c > 0; without momentum a step is at most η·η_c times as long as the variable's weights.
            Default 0.001.
        weight_decay: λ ≥ 0, added to the gradient as an L2 penalty is. Usually 1e-5 to 1e-3; default `None`: none.
        nesterov: whether to apply the velocity once more, looking ahead, as in `Momentum`. Default `False`.
        always_adapt: whether φ also scales the gradients of variables that do not decay. `False`: those are trained by plain
            momentum, φ = 1; with `exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])` that is what all published
            trainings do with biases and normalizations. Default `True`.
        trust_clip: whether φ·η is at most η, φ at most 1. Default `False`.
        rate_outside: whether η multiplies the velocity as it is applied, and not what enters it: u ← μ·u − φ·(g + λ·θ),
            θ ← θ + η·u, as in timm. It differs where η changes: a lower η then acts on the whole velocity at once. Default
            `False`.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: η is inside of the velocity, as in the paper, optax and TensorFlow; `rate_outside` is timm's. φ has the sum of
    the two norms in its denominator, as in the paper and timm; optax has the norm of the sum, ‖g + λ·θ‖. There is no ε beside the
    norms: where one of them is 0, φ is 1.

    Reference: You, Gitman & Ginsburg 2017, "Large Batch Training of Convolutional Networks", https://arxiv.org/abs/1708.03888,
    Algorithm 1.
    """

    decay = "own"

    learning_rate = Hyperparameter(
        1.0, symbol="η", domain=NON_NEGATIVE, search=SearchRange(0.1, 10.0, "log"), meaning="learning rate"
    )
    momentum = Hyperparameter(
        0.9, symbol="μ", domain=UNIT, search=SearchRange(0.8, 0.98, "log1m"), meaning="share of the velocity that is kept"
    )
    trust_coefficient = Hyperparameter(
        0.001,
        symbol="η_c",
        domain=POSITIVE,
        search=SearchRange(1e-4, 1e-1, "log", by_default=False),
        meaning="length of a step, as a share of that of the weights",
    )
    weight_decay = weight_decay(1e-5, 1e-3)
    nesterov = Option(False, meaning="apply the velocity once more, looking ahead")
    always_adapt = Option(True, meaning="scale also the gradients of variables that do not decay")
    trust_clip = Option(False, meaning="let the ratio be no more than 1")
    rate_outside = Option(False, meaning="multiply the velocity by the rate, and not what enters it")

    def build(self, variables):
        """Makes the slot `velocity` (u)."""
        super().build(variables)
        self.velocity = self.add_slot(variables, "velocity")

    def step_scalars(self, learning_rate):
        """μ and η_c."""
        return {"momentum": self.momentum, "trust_coefficient": self.trust_coefficient}

    def update_step(self, gradient, variable, learning_rate):
        """φ; u ← μ·u − η·φ·(g + λ·θ); θ ← θ + u."""
        s = self.scalars(variable, learning_rate)
        velocity, decay = self.velocity[variable], self.decay_of(variable)
        rate = ops.ones_like(learning_rate) if self.rate_outside else learning_rate
        if self.always_adapt or decay is not None:
            rate = rate * self._trust_ratio(gradient, variable, decay, s.trust_coefficient)
        if decay is not None:
            gradient = gradient + decay * variable
        step = rate * gradient
        self.assign(velocity, s.momentum * velocity - step)
        way = s.momentum * velocity - step if self.nesterov else velocity.value
        self.assign_add(variable, learning_rate * way if self.rate_outside else way)

    def _trust_ratio(self, gradient, variable, decay, trust_coefficient):
        """φ."""
        of_weights, of_gradient = norm(variable.value), norm(gradient)
        penalty = 0.0 if decay is None else decay * of_weights
        ratio = ops.where(of_gradient > 0, trust_ratio(trust_coefficient * of_weights, of_gradient + penalty), 1.0)
        return ops.minimum(ratio, 1.0) if self.trust_clip else ratio
