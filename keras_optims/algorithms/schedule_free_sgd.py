"""Schedule-Free SGD: gradient descent whose mean of weights is as good at each moment as a schedule that ends there.

The weights that are evaluated are an average of all so far, which takes the noise away that a falling learning rate would. The
gradients are taken between that average and the sequence of gradient descent itself, where the interpolation damps the large
steps as momentum does.
"""

import keras

from keras_optims.algorithms import schedule_free
from keras_optims.algorithms.schedule_free import ScheduleFree
from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, SearchRange, weight_decay


@keras.saving.register_keras_serializable(package="keras_optims")
class ScheduleFreeSGD(ScheduleFree):
    """Schedule-Free gradient descent.

    With the weights that are trained y, gradient g at y, learning rate η, weight decay λ, interpolation β, the slot z, which
    starts as y does, and t the number of the step, counted from 1, each step does, element by element,

        η_t = η·min(1, t/T_w),  w = tʳ·(the largest η_t so far)ᵖ,  c = w / Σw
        z ← z − η_t·(g + λ·y)
        x ← (1−c)·x + c·z
        y ← β·x + (1−β)·z

    and x is what is evaluated: `averaged_weights()` and the callback `AveragedWeights` put it in the place of y. It is not kept,
    as it follows from y and z, but where β < 1/2, β follows a schedule or y is of half precision: there it is a slot.

    Args:
        learning_rate: η ≥ 0, which no schedule has to lower. 10 to 50 times that of momentum with a schedule; default 1.0.
        beta: β in [0, 1), where between z and x the gradients are taken. 0.9; 0.95 to 0.98 for long trainings. Default 0.9.
        weight_decay: λ ≥ 0, taken at y, times η_t. Default `None`: none.
        warmup_steps: T_w ≥ 0, the updates over which the rate rises; usually 2 to 5 % of all. Default 0.
        r: r ≥ 0; a larger one makes later weights count more in the mean. Default 0.
        weight_lr_power: p ≥ 0; how much less the weights of the warm-up count. Default 2.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: those of the authors' package schedulefree, which calls β `momentum`: the warm-up's first rate is η/T_w and not
    0, the decay is taken at y. The mean's weights are those of the model's own rate, whatever rules say. With `use_ema=True`
    what is evaluated is the moving average of y.

    Reference: Defazio et al. 2024, "The Road Less Scheduled", https://arxiv.org/abs/2405.15682, eq. 3-5 and Algorithm 1.
    """

    interpolation = "beta"
    elementwise = True

    learning_rate = Hyperparameter(
        1.0, symbol="η", domain=NON_NEGATIVE, search=SearchRange(0.1, 20.0, "log"), meaning="learning rate"
    )
    beta = Hyperparameter(
        0.9,
        symbol="β",
        domain=DECAY_RATE,
        search=SearchRange(0.7, 0.98, "log1m"),
        meaning="share of x in where gradients are taken",
    )
    weight_decay = weight_decay(1e-6, 1e-3)
    warmup_steps = schedule_free.warmup_steps()
    r = schedule_free.r()
    weight_lr_power = schedule_free.weight_lr_power()

    def step_scalars(self, learning_rate):
        """η_t, β, and how far y goes along a step; beside c, of `begin_step`."""
        return self.scalars_of_sequences(learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        """z ← z − η_t·(g + λ·y); x and y follow."""
        self.step_along(gradient, variable, self.scalars(variable, learning_rate))

    def step_rate(self, variable, learning_rate):
        """η_t, at which a gradient moves z."""
        return self.scalars(variable, learning_rate).rate
