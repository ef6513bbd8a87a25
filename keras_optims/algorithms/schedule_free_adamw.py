"""Schedule-Free AdamW: Adam's steps, with an average of the weights in the place of momentum and of the schedule.

Each step is a gradient divided by the root of the mean of its squares, without Adam's first moment: the interpolation between the
average of the weights and the sequence that the steps move takes its place. The average is what is evaluated, and is good at any
moment, so that a training may end whenever one likes.
"""

import keras
from keras import ops

from keras_optims.algorithms import schedule_free
from keras_optims.algorithms.schedule_free import ScheduleFree
from keras_optims.hyperparameter import DECAY_RATE, NON_NEGATIVE, Hyperparameter, SearchRange, epsilon, weight_decay


@keras.saving.register_keras_serializable(package="keras_optims")
class ScheduleFreeAdamW(ScheduleFree):
    """Schedule-Free AdamW.

    With the weights that are trained y, gradient g at y, learning rate η, weight decay λ, the slots z, which starts as y does,
    and v, which starts at zero, and t the number of the step, counted from 1, each step does, element by element,

        η_t = η·min(1, t/T_w),  w = tʳ·(the largest η_t so far)ᵖ,  c = w / Σw
        v ← β₂·v + (1−β₂)·g²
        z ← z − η_t·(g / (√(v/(1−β₂ᵗ)) + ε) + λ·y)
        x ← (1−c)·x + c·z
        y ← β₁·x + (1−β₁)·z

    and x is what is evaluated: `averaged_weights()` and the callback `AveragedWeights` put it in the place of y. It is not kept,
    as it follows from y and z, but where β₁ < 1/2, β₁ follows a schedule or y is of half precision: there it is a slot.

    Args:
        learning_rate: η ≥ 0, which no schedule has to lower. 1 to 10 times that of AdamW with a schedule; default 0.0025.
        beta_1: β₁ in [0, 1), where between z and x the gradients are taken. 0.9; 0.95 to 0.98 for long trainings. Default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of v. Usually 0.99 to 0.999; default 0.999.
        epsilon: ε ≥ 0; keeps the division finite. Default 1e-8.
        warmup_steps: T_w ≥ 0, the updates over which the rate rises; usually 2 to 5 % of all. Default 0.
        weight_decay: λ ≥ 0, taken at y, times η_t. Default `None`: none.
        r: r ≥ 0; a larger one makes later weights count more in the mean. Default 0.
        weight_lr_power: p ≥ 0; how much less the weights of the warm-up count. Default 2.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: those of the authors' package schedulefree: the warm-up's first rate is η/T_w and not 0, the decay is taken at y.
    `keras.optimizers.ScheduleFreeAdamW` computes the same on JAX, without decay and warm-up. On TensorFlow and torch β₁ has no
    effect there, and gradients are taken at x; everywhere its decay is of y alone and not of z, the weights of the warm-up count
    in full, and what is trained is what is evaluated and saved. The mean's weights are those of the model's own rate, whatever
    rules say. With `use_ema=True` what is evaluated is the moving average of y.

    Reference: Defazio et al. 2024, "The Road Less Scheduled", https://arxiv.org/abs/2405.15682, Algorithm 1.
    """

    interpolation = "beta_1"
    elementwise = True

    learning_rate = Hyperparameter(
        0.0025, symbol="η", domain=NON_NEGATIVE, search=SearchRange(5e-4, 2e-2, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.9,
        symbol="β₁",
        domain=DECAY_RATE,
        search=SearchRange(0.7, 0.98, "log1m"),
        meaning="share of x in where gradients are taken",
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.9999, "log1m"), meaning="decay rate of the second moment"
    )
    epsilon = epsilon(1e-8)
    warmup_steps = schedule_free.warmup_steps()
    weight_decay = weight_decay(1e-3, 0.3)
    r = schedule_free.r()
    weight_lr_power = schedule_free.weight_lr_power()

    def build(self, variables):
        """Makes the slots `base_weights` (z), `second_moment` (v) and, where it is needed, `mean_weights` (x)."""
        super().build(variables)
        self.second_moment = self.add_slot(variables, "second_moment", numbers="non_negative")

    def step_scalars(self, learning_rate):
        """η_t, β₁, how far y goes along a step, 1−β₂, the correction of √v and ε in units of √v; beside c, of `begin_step`."""
        correction = ops.sqrt(1 - self.beta_2**self.step_number)
        return {
            **self.scalars_of_sequences(learning_rate),
            "one_minus_beta_2": self.one_minus("beta_2"),
            "correction": correction,
            "epsilon": self.epsilon * correction,
        }

    def update_step(self, gradient, variable, learning_rate):
        """v; z ← z − η_t·(g / (√v̂ + ε) + λ·y); x and y follow."""
        s = self.scalars(variable, learning_rate)
        v = self.second_moment[variable]
        self.assign_add(v, (ops.square(gradient) - v) * s.one_minus_beta_2)
        root = ops.sqrt(v) + s.epsilon
        # Where there was no gradient yet, and ε is 0, the step is 0 and not 0/0.
        self.step_along(gradient * s.correction / ops.where(root > 0, root, 1.0), variable, s)

    def step_rate(self, variable, learning_rate):
        """η_t / (√v̂ + ε), which multiplies the gradient that moves z."""
        s = self.scalars(variable, learning_rate)
        root = ops.sqrt(self.second_moment[variable]) + s.epsilon
        return s.rate * s.correction / ops.where(root > 0, root, 1.0)
