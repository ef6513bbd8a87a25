"""The training that each file of this folder does on several devices and on one: same batches, same start, same end.

The devices' shares of a batch differ: the labels of its second half are all 0.
"""

import functools

import keras
import numpy as np

from keras_optims import Adam, AdamW, Momentum, Optimizer, Rule
from tests.stepping import state_of
from tests.variants import EVERYWHERE

STEPS, BATCH = 6, 16
FIRST, SECOND = range(STEPS // 2), range(STEPS // 2, STEPS)


def _batches():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 20, size=(STEPS, BATCH, 4)).astype("int32")
    labels = rng.integers(0, 4, size=(STEPS, BATCH)).astype("int32")
    labels[:, BATCH // 2 :] = 0
    return tokens, labels


TOKENS, LABELS = _batches()


def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(20, 6, name="embedding"),
            keras.layers.Flatten(),
            keras.layers.Dense(16, "relu", name="hidden"),
            keras.layers.Dense(4, name="output"),
        ],
        name="model",
    )


def loss():
    """The mean over a batch, or over a device's share of it."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(optimizer, **kwargs):
    built = model()
    built.compile(optimizer, loss(), **kwargs)
    return built


def fit(model, steps=range(STEPS), **kwargs):
    x, y = TOKENS[steps].reshape(-1, 4), LABELS[steps].reshape(-1)
    return model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, **kwargs)


def _decay_of_kernels():
    optimizer = AdamW(0.01, weight_decay=0.3)
    optimizer.exclude_from_weight_decay(var_names=["bias", "embedding"])
    return optimizer


def _with_rules():
    rules = [Rule(ndim=1, weight_decay=None), Rule("hidden", beta_1=0.5), Rule("embedding", learning_rate_multiplier=0.1)]
    return AdamW(0.01, weight_decay=0.3, clipnorm=0.05, gradient_accumulation_steps=2, rules=rules)


def _scheduled():
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)
    return Adam(rate, beta_1=lambda step: 0.9 - 0.01 * keras.ops.cast(step, "float32"))


class WholeModel(Optimizer):
    """A step with all its moments: a norm of the whole model, a scalar slot of each variable, and a slot renewed now and then."""

    elementwise = True

    def build(self, variables):
        super().build(variables)
        self.steps_taken = self.add_shared("steps_taken")
        self.anchor = self.add_slot(variables, "anchor", "variable")
        self.renewals = self.add_shared("renewals")

    def begin_step(self, gradients, variables):
        self.assign_add(self.steps_taken, 1.0)
        return {"norm": keras.ops.sqrt(sum(keras.ops.sum(keras.ops.square(gradient)) for gradient in gradients))}

    def step_scalars(self, learning_rate):
        return {"rate": learning_rate / (0.01 + self.of_step.norm)}

    def update_step(self, gradient, variable, learning_rate):
        pull = self.anchor[variable] - variable
        self.assign_add(variable, 0.1 * pull - self.scalars(variable, learning_rate).rate * gradient)

    def end_step(self, variables):
        def renew():
            for variable in variables:
                self.assign(self.anchor[variable], variable.value)
            self.assign_add(self.renewals, 1.0)

        self.every(2, renew)


class InOneBatch(Optimizer):
    """Sees all variables at once, and keeps the norm of each one's gradients in a scalar."""

    def build(self, variables):
        super().build(variables)
        self.norm = self.add_slot(variables, "norm", "ones", shape=())

    def update_steps(self, gradients, variables, learning_rates):
        for gradient, variable, rate in zip(gradients, variables, learning_rates, strict=True):
            norm = self.norm[variable]
            self.assign(norm, 0.9 * norm + 0.1 * keras.ops.sqrt(keras.ops.sum(keras.ops.square(gradient))))
            self.assign_sub(variable, rate * gradient / norm)


def _formula_by_rule():
    return InOneBatch(0.05, rules=[Rule(ndim=1, formula=WholeModel(0.02)), Rule("embedding", formula=AdamW(0.01))])


ALL_TOGETHER = {
    "gradient_accumulation_steps": 2,
    "global_clipnorm": 0.05,
    "weight_decay": 0.1,
    "use_ema": True,
    "ema_momentum": 0.7,
    "ema_overwrite_frequency": 2,
}
_OPTIONS = [
    {"clipnorm": 0.05},
    {"global_clipnorm": 0.05},
    {"gradient_accumulation_steps": 3},
    {"loss_scale_factor": 1024.0},
    {"use_ema": True, "ema_momentum": 0.7},
    {"lookahead": 2, "lookahead_alpha": 0.7, "gradient_accumulation_steps": 2},
    ALL_TOGETHER,
]

FORMULAS = {
    "whole model": functools.partial(WholeModel, 0.05, weight_decay=0.1),
    "whole model, accumulated": functools.partial(WholeModel, 0.05, gradient_accumulation_steps=2, use_ema=True),
    "in one batch": functools.partial(InOneBatch, 0.05, weight_decay=0.1),
    "formula by rule": _formula_by_rule,
}
"""Those whose steps take sums over whole variables, or over all of them."""

# One for each way of running: with kernels, by element, by variable, by rows and columns, of lists, of the whole model.
_WAYS = (
    *("nesterov", "adagrad", "centered rmsprop with momentum", "amsgrad"),
    *("nadam", "ftrl", "lamb with decay", "adafactor", "muon", "schedule_free_adamw", "prodigy"),
)

SETTINGS = {variant.name: variant.optimizer for variant in EVERYWHERE if variant.name in _WAYS}
for _options in _OPTIONS:
    SETTINGS["all together" if _options is ALL_TOGETHER else " ".join(_options)] = functools.partial(Momentum, 0.05, **_options)
SETTINGS |= {
    "not lazy": functools.partial(Adam, 0.01, lazy=False),
    "decay of kernels": _decay_of_kernels,
    "schedules": _scheduled,
    "rules": _with_rules,
    **FORMULAS,
}
"""Makers of optimizers, by name."""


def resumable():
    """An optimizer that has all kinds of state; its FIRST steps end in the middle of an accumulation."""
    return Adam(0.01, use_ema=True, ema_momentum=0.8, gradient_accumulation_steps=2, amsgrad=True)


def assert_same_training(ours, single, our_optimizer=None, single_optimizer=None):
    """The weights and the state of two models are the same but for rounding.

    A gradient that is summed in two parts differs from one summed at once by about 1e-7 of its size, each step anew; weights
    and slots move by 0.01 and more in these trainings.
    """
    for a, b in zip(ours.get_weights(), single.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    states = [
        {name.replace("|model|", "|"): value for name, value in state_of(of).items()}  # a loaded model's paths begin with a layer
        for of in (our_optimizer or ours.optimizer, single_optimizer or single.optimizer)
    ]
    assert set(states[0]) == set(states[1])
    for name, expected in states[1].items():
        np.testing.assert_allclose(states[0][name], expected, rtol=0, atol=2e-5 * np.abs(expected).max(), err_msg=name)
