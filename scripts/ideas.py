"""The experiments of the pictures on the pages in docs/optimizers: what is particular to an optimizer, beside a plain relative.

Each is two charts of curves that the real optimizers made. `picture_optimizers.py` draws them, and tests/test_ideas.py checks
what the pages say of them. Of the curves of a chart the optimizer's own comes first.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep, as_numpy
from scripts.claims import train


@dataclasses.dataclass(frozen=True)
class Chart:
    """Some curves.

    Args:
        title, x, y: what it shows, and on which axes.
        curves: values along x and y by their name.
        log: which axes are logarithmic: "x", "y", "xy" or none.
        marks: whether the values are points, of which there are few.
        range_y: the ends of the y axis.
        ticks_x: places on the x axis, and what stands there.
    """

    title: str
    x: str
    y: str
    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    log: str = ""
    marks: bool = False
    range_y: tuple[float, float] | None = None
    ticks_x: tuple[list, list] | None = None


def over_steps(values, first=1):
    """A curve with a value for each step."""
    values = np.asarray(values, "float64")
    return np.arange(first, first + len(values)), values


def step_sizes(weights, learning_rate=1.0):
    """The changes of weights from step to step, divided by η."""
    return np.diff(weights.astype("float64"), axis=0) / learning_rate


# -- momentum and acceleration --------------------------------------------------------------------


def sgd() -> tuple[Chart, Chart]:
    """Three settings on a parabola, and γ set anew while the step is compiled."""

    def way(**settings):
        return over_steps(train(keras_optims.SGD(0.05, **settings), 1.0, lambda weight, _: weight, 100)["weights"], 0)

    def lengths(optimizer, steps=30):
        variable = keras.Variable(0.0, name="weight")
        step, weights = CompiledStep(optimizer, [variable]), [0.0]
        for number in range(2 * steps):
            if number == steps:
                optimizer.momentum = 0.8
            step([np.float32(-1)])
            weights.append(float(as_numpy(variable)))
        return over_steps(step_sizes(np.array(weights), 0.01))

    ways = {"γ = 0.9": way(momentum=0.9), "γ = 0.9, Nesterov": way(momentum=0.9, nesterov=True), "γ = 0": way()}
    live = {
        "keras_optims.SGD": lengths(keras_optims.SGD(0.01, momentum=0.5)),
        "keras.optimizers.SGD": lengths(keras.optimizers.SGD(0.01, momentum=0.5)),
    }
    return (
        Chart("on the parabola θ²/2, η = 0.05", "step", "weight θ", ways),
        Chart("γ = 0.5, set to 0.8 after step 30; gradient −1", "step", "Δθ / η", live, range_y=(0, 5.4)),
    )


def adan() -> tuple[Chart, Chart]:
    """A gradient that begins to change its sign from step to step."""
    steps, beta = 120, 0.99
    given = np.where((np.arange(steps) < steps // 2) | (np.arange(steps) % 2 == 0), 1.0, -1.0)
    ours, adam = keras_optims.Adan(0.01), keras_optims.Adam(0.01, 0.98, beta)

    def roots(optimizer):
        kept = train(optimizer, 0.0, lambda _, n: given[n], steps, v=lambda variable: optimizer.second_moment[variable])
        return over_steps(np.sqrt(kept["v"] / (1 - beta ** np.arange(1, steps + 1))))

    def lengths(optimizer):
        weights = train(optimizer, 0.0, lambda _, n: -1.0 if n < steps // 2 else 1.0, steps)["weights"]
        return over_steps(step_sizes(weights, 0.01))

    names = {"Adan": ours, "Adam with the same β": adam}
    divided = {name: roots(optimizer) for name, optimizer in names.items()}
    turned = {
        "Adan": lengths(keras_optims.Adan(0.01)),
        "Adam with the same β": lengths(keras_optims.Adam(0.01, 0.98, beta)),
    }
    return (
        Chart("divisor, with gradients 1 and then ±1 in turn", "step", "divisor", divided, range_y=(0, 3)),
        Chart("steps as the gradient turns from −1 to 1", "step", "Δθ / η", turned),
    )


# -- adaptive rates -------------------------------------------------------------------------------


def adadelta() -> tuple[Chart, Chart]:
    """First steps, with a gradient that is always the same."""

    def lengths(optimizer, gradient=-1.0, steps=1000):
        return over_steps(step_sizes(train(optimizer, 0.0, lambda *_: gradient, steps)["weights"]))

    grown = {
        "Adadelta, ε = 1e-7": lengths(keras_optims.Adadelta(1.0)),
        "RMSProp, η = 0.01": lengths(keras_optims.RMSprop(0.01, 0.95)),
        "Adadelta, ε = 1e-5": lengths(keras_optims.Adadelta(1.0, epsilon=1e-5)),
    }
    sizes = np.logspace(-2, 2, 9)
    own, descent = (
        -train(optimizer, np.zeros(len(sizes)), lambda *_: -sizes, 100)["weights"][-1]
        for optimizer in (keras_optims.Adadelta(1.0), keras_optims.GradientDescent(1e-4))
    )
    moved = {"Adadelta, ε = 1e-7": (sizes, -own), "gradient descent, η = 1e-4": (sizes, -descent)}
    return (
        Chart("length of the steps; gradient −1", "step", "Δθ", grown, log="xy", range_y=(1e-3, 0.1)),
        Chart("moved in 100 steps, by size of gradient", "|g|", "|θ − θ₀|", moved, log="xy"),
    )


def adamax() -> tuple[Chart, Chart]:
    """One large gradient among small ones."""
    steps, at, beta = 400, 50, 0.99
    given = np.where(np.arange(1, steps + 1) == at, 10.0, 1.0)
    ours, adam = keras_optims.Adamax(0.01, 0.9, beta), keras_optims.Adam(0.01, 0.9, beta)
    t = np.arange(1, steps + 1)
    norm = train(ours, 0.0, lambda _, n: given[n], steps, u=lambda variable: ours.infinity_norm[variable])
    root = train(adam, 0.0, lambda _, n: given[n], steps, v=lambda variable: adam.second_moment[variable])
    return (
        Chart(
            "divisor, with one gradient of 10 among ones",
            "step",
            "divisor",
            {"Adamax": over_steps(norm["u"]), "Adam": over_steps(np.sqrt(root["v"] / (1 - beta**t)))},
            range_y=(0, 10.5),
        ),
        Chart(
            "length of the steps",
            "step",
            "|Δθ| / η",
            {
                "Adamax": over_steps(-step_sizes(norm["weights"], 0.01)),
                "Adam": over_steps(-step_sizes(root["weights"], 0.01)),
            },
            range_y=(0, 1.1),
        ),
    )


def nadam() -> tuple[Chart, Chart]:
    """The schedule of β₁, and a turn of the gradients."""
    steps, turn = 40, 20

    def shares(optimizer, steps=100):
        kept = train(optimizer, 0.0, lambda *_: 1.0, steps, product=lambda _: optimizer.schedule_product)
        products = np.concatenate([[1.0], kept["product"].astype("float64")])
        return over_steps(0.9 * products[1:] / products[:-1])  # the product is of μ/β₁

    def lengths(optimizer):
        given = np.where(np.arange(steps) < turn, -1.0, 1.0)
        return over_steps(step_sizes(train(optimizer, 0.0, lambda _, n: given[n], steps)["weights"], 0.01))

    mu = {
        "Nadam, ψ = 1": shares(keras_optims.Nadam(0.01)),
        "Nadam, ψ = 0.004": shares(keras_optims.Nadam(0.01, momentum_decay=0.004)),
        "Adam: β₁": over_steps(np.full(100, 0.9)),
    }
    after = {
        "Nadam, ψ = 1": lengths(keras_optims.Nadam(0.01)),
        "Nadam, ψ = 0.004": lengths(keras_optims.Nadam(0.01, momentum_decay=0.004)),
        "Adam: β₁": lengths(keras_optims.Adam(0.01)),
    }
    return (
        Chart("the share μ of the average in the step", "step", "μ", mu, range_y=(0.4, 0.95)),
        Chart("steps as the gradient turns from −1 to 1", "step", "Δθ / η", after),
    )


def nadamw() -> tuple[Chart, Chart]:
    """A turn of the gradients, and a parabola."""
    steps, turn = 40, 20

    def lengths(optimizer):
        given = np.where(np.arange(steps) < turn, -1.0, 1.0)
        return over_steps(step_sizes(train(optimizer, 0.0, lambda _, n: given[n], steps)["weights"], 0.01))

    def way(optimizer):
        return over_steps(train(optimizer, 1.0, lambda weight, _: weight, 100)["weights"], 0)

    names = {"NAdamW": keras_optims.NAdamW, "AdamW": keras_optims.AdamW}
    settings = {"weight_decay": None, "epsilon": 1e-8}
    return (
        Chart(
            "steps as the gradient turns from −1 to 1",
            "step",
            "Δθ / η",
            {name: lengths(make(0.01, **settings)) for name, make in names.items()},
        ),
        Chart(
            "on the parabola θ²/2, η = 0.1",
            "step",
            "weight θ",
            {name: way(make(0.1, **settings)) for name, make in names.items()},
        ),
    )


def ftrl() -> tuple[Chart, Chart]:
    """Logistic regression with 100 features, of which 8 say something."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 100))
    truth = np.zeros(100)
    truth[:8] = np.linspace(0.4, 1.5, 8)
    names = rng.random(2000) < 1 / (1 + np.exp(-features @ truth))
    batches = rng.integers(0, 2000, size=(500, 50))

    def gradient(weights, number):
        x, y = features[batches[number]], names[batches[number]]
        return x.T @ (1 / (1 + np.exp(-x @ weights)) - y) / len(x)

    def weights(optimizer, penalty=0.0):
        return train(optimizer, np.zeros(100), lambda w, n: gradient(w, n) + penalty * np.sign(w), 500)["weights"]

    strengths = np.array([0.1, 1.0, 3.0, 10.0, 30.0])
    own = [weights(keras_optims.Ftrl(0.2, l1_regularization_strength=each)) for each in strengths]
    others = [weights(keras_optims.Adagrad(0.2), each / 500) for each in strengths]
    shown = own[3]
    ways = {
        "FTRL: a feature that says much": over_steps(shown[:, 7], 0),
        "FTRL: one that says little": over_steps(shown[:, 0], 0),
        "FTRL: one that says nothing": over_steps(shown[:, 50], 0),
    }
    counts = {
        "FTRL, L1 = λ₁": (strengths, np.array([(each[-1] != 0).sum() for each in own])),
        "AdaGrad, the same L1 in the loss": (strengths, np.array([(each[-1] != 0).sum() for each in others])),
    }
    return (
        Chart("three of 100 weights, λ₁ = 10", "step", "weight θ", ways),
        Chart("weights that are not 0 after 500 steps", "λ₁", "number", counts, log="x", marks=True, range_y=(0, 105)),
    )


def radam() -> tuple[Chart, Chart]:
    """First steps, with a gradient that is always the same and in noise."""
    steps, weights = 2000, 400
    noise = 0.1 * np.random.default_rng(0).normal(size=(steps, weights))
    same, contradicting = {}, {}
    for name, make in {"RAdam": keras_optims.RAdam, "Adam": keras_optims.Adam}.items():
        same[name] = over_steps(step_sizes(train(make(0.01), 0.0, lambda *_: -1.0, steps)["weights"], 0.01))
        changes = step_sizes(train(make(0.01), np.zeros(weights), lambda _, n: noise[n], steps)["weights"], 0.01)
        contradicting[name] = over_steps(np.sqrt((changes**2).mean(axis=1)))
    return (
        Chart("length of the steps; gradient −1", "step", "Δθ / η", same, "xy"),
        Chart("mean length of the steps in noise of size 0.1", "step", "|Δθ| / η", contradicting, "xy"),
    )


def adabelief() -> tuple[Chart, Chart]:
    """Steady gradients and contradicting ones, of the same size."""
    steps, weights = 1500, 300
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(steps, weights))
    given = {"steady gradients, 1 ± 0.1": 1 + 0.1 * noise, "contradicting ones, 0.1 ± 1": 0.1 + noise}
    t = np.arange(1, steps + 1)[:, None]
    roots, lengths = {}, {}
    for kind, gradients in given.items():
        ours, adam = keras_optims.AdaBelief(1e-3, rectify=False), keras_optims.Adam(1e-3)
        for name, optimizer, slot in (("AdaBelief", ours, "squared_deviation"), ("Adam", adam, "second_moment")):
            kept = train(
                optimizer,
                np.zeros(weights),
                lambda _, n, gradients=gradients: gradients[n],
                steps,
                v=lambda variable, optimizer=optimizer, slot=slot: getattr(optimizer, slot)[variable],
            )
            root = np.sqrt(kept["v"] / (1 - 0.999**t)).mean(axis=1)
            length = np.sqrt((step_sizes(kept["weights"], 1e-3) ** 2).mean(axis=1))
            roots[f"{name}: {kind}"], lengths[f"{name}: {kind}"] = over_steps(root), over_steps(length)
    order = sorted(roots, key=lambda name: name.split(": ")[1], reverse=True)
    return (
        Chart("divisor, √ŝ or √v̂", "step", "divisor", {n: roots[n] for n in order}, "xy"),
        Chart("mean length of the steps", "step", "|Δθ| / η", {n: lengths[n] for n in order}, "xy"),
    )


def yogi() -> tuple[Chart, Chart]:
    """A burst of large gradients, after which they are small."""
    steps, first, beta = 1300, 400, 0.99
    given = np.ones(steps)
    given[500:520] = 10.0
    names = {
        "Yogi": keras_optims.Yogi(0.01, 0.9, beta, initial_accumulator_value=1.0),
        "Adam": keras_optims.Adam(0.01, 0.9, beta),
    }
    moments, rates = {}, {}
    for name, optimizer in names.items():
        kept = train(
            optimizer,
            0.0,
            lambda _, n: given[n],
            steps,
            v=lambda variable, optimizer=optimizer: optimizer.second_moment[variable],
            rate=optimizer.effective_learning_rate,
        )
        moments[name] = over_steps(kept["v"][first:], first + 1)
        rates[name] = over_steps(kept["rate"][first:] / 0.01, first + 1)
    return (
        Chart("v; 20 gradients of 10 among ones", "step", "v", moments),
        Chart("effective learning rate", "step", "rate / η", rates, range_y=(0, 1.1)),
    )


def adopt() -> tuple[Chart, Chart]:
    """Every third gradient is 4, the others are −1: the mean is positive, so the weight has to fall."""
    given = np.array([4.0, -1.0, -1.0])

    def way(optimizer, steps=600):
        return train(optimizer, 0.0, lambda _, n: given[n % 3], steps)["weights"]

    settings = {"beta_1": 0.0, "beta_2": 1 / 17}
    names = {
        "ADOPT": keras_optims.ADOPT(0.01, **settings),
        "Adam": keras_optims.Adam(0.01, **settings),
        "AMSGrad": keras_optims.Adam(0.01, **settings, amsgrad=True),
    }
    ways = {name: over_steps(way(optimizer), 0) for name, optimizer in names.items()}
    rates = np.array([0.01, 1 / 17, 0.2, 0.4, 0.7, 0.999])

    def means(make):
        ends = [way(make(0.01, 0.0, float(beta)), 900) for beta in rates]
        return np.array([(each[-1] - each[-301]) / 300 / 0.01 for each in ends])  # a hundred rounds, once v is at rest

    moved = {"ADOPT": (rates, means(keras_optims.ADOPT)), "Adam": (rates, means(keras_optims.Adam))}
    return (
        Chart("gradients 4, −1, −1 in turn; β₁ = 0, β₂ = 1/17", "step", "weight θ", ways),
        Chart("mean step by β₂; below 0 is right", "β₂", "mean Δθ / η", moved, marks=True),
    )


def ademamix() -> tuple[Chart, Chart]:
    """How much each gradient counts, and the steps in noise."""
    steps = 300
    ours = keras_optims.AdEMAMix(0.001)
    means = {
        "slow": lambda variable: ours.slow_first_moment[variable],
        "fast": lambda variable: ours.first_moment[variable],
    }
    kept = train(ours, np.zeros(steps), lambda _, n: np.arange(steps) == n, steps, **means)
    names = {"slow mean m₂, β₃ = 0.9999": "slow", "fast mean m₁, β₁ = 0.9": "fast"}
    weights = {name: (np.arange(steps), kept[key][-1][::-1].astype("float64")) for name, key in names.items()}
    given = np.where(np.arange(3000) < 2000, -1.0, 0.0) + np.random.default_rng(0).normal(size=3000)

    def way(optimizer):
        return over_steps(train(optimizer, 0.0, lambda _, n: given[n], 3000)["weights"] / 0.001, 0)

    ways = {
        "AdEMAMix, β₃ = 0.999, α = 2": way(keras_optims.AdEMAMix(0.001, beta_3=0.999)),
        "Adam": way(keras_optims.Adam(0.001)),
    }
    return (
        Chart("weight of a gradient in the means", "age of the gradient (steps)", "weight", weights, "y", range_y=(1e-5, 0.2)),
        Chart("noise of mean −1, after step 2000 of mean 0", "step", "(θ − θ₀) / η", ways),
    )


def adafactor() -> tuple[Chart, Chart]:
    """The estimate beside the full second moment, and what is kept."""
    rng = np.random.default_rng(0)
    shape, steps = (12, 8), 200
    rows, columns = 10 ** rng.uniform(-1, 1, (12, 1)), 10 ** rng.uniform(-1, 1, (1, 8))
    lone = np.ones(shape)
    lone[3, 5] = 10.0
    found = {}
    for name, size in {"scales by row and by column": rows * columns, "one element larger than all": lone}.items():
        variable = keras.Variable(np.ones(shape, "float32"), name="kernel")
        optimizer = keras_optims.Adafactor(1e-3)
        step, full = CompiledStep(optimizer, [variable]), np.zeros(shape)
        for number in range(1, steps + 1):
            gradient = (size * rng.normal(size=shape)).astype("float32")
            step([gradient])
            decay = 1 - number**-0.8
            full = decay * full + (1 - decay) * gradient.astype("float64") ** 2
        row, column = as_numpy(optimizer.row_mean[variable]), as_numpy(optimizer.column_mean[variable])
        found[name] = full.ravel(), (np.outer(row, column) / row.mean()).ravel()
    sides = np.array([64, 128, 256, 512, 1024])

    def kept(make):
        numbers = []
        for side in sides:
            optimizer = make(1e-3)
            optimizer.build([keras.Variable(np.zeros((side, side), "float32"), name="kernel")])
            slots = [v for v in optimizer.variables if v.path.rsplit("/", 1)[-1] not in ("iteration", "learning_rate")]
            numbers.append(sum(int(np.prod(variable.shape)) for variable in slots if len(variable.shape) > 0))
        return sides, np.array(numbers)

    numbers = {
        "keras_optims.Adafactor": kept(keras_optims.Adafactor),
        "Adam": kept(keras_optims.Adam),
        "keras.optimizers.Adafactor": kept(keras.optimizers.Adafactor),
    }
    return (
        Chart("V of rows and columns, and the mean of squares", "mean of the squares", "V", found, "xy", True),
        Chart("numbers kept for an n×n kernel", "n", "numbers", numbers, "xy", True, ticks_x=(sides.tolist(), sides.tolist())),
    )


# -- layer-wise and large batch -------------------------------------------------------------------


SCALES = (0.3, 0.1, 1.0, 3.0, 10.0, 1.0)  # of the kernels of `trained_layers`, beside what Keras makes of them


def trained_layers(optimizer, steps=40):
    """Training of a network of six layers on digits: the lengths of the steps beside those of the kernels, (steps, layers).

    The kernels begin at different scales, and the network computes what it would if they did not.
    """
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(64, activation="relu", use_bias=False) for _ in range(5)] + [keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((64,)), *layers])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    kernels = [layer.kernel for layer in layers]
    for kernel, scale in zip(kernels, SCALES, strict=True):
        kernel.assign(kernel * scale)
    relative, before = [], [as_numpy(kernel) for kernel in kernels]
    for number in range(steps):
        begin = 128 * (number % 14)
        model.train_on_batch(x[begin : begin + 128] / 16, y[begin : begin + 128])
        now = [as_numpy(kernel) for kernel in kernels]
        relative.append([np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in zip(before, now, strict=True)])
        before = now
    return np.array(relative)


def layerwise(names) -> tuple[Chart, Chart]:
    """Of a network of six layers: the first step, and the largest beside the smallest of each step."""
    found = {name: trained_layers(optimizer) for name, optimizer in names.items()}
    numbers = np.arange(1, 7)
    first = {name: (numbers, each[0]) for name, each in found.items()}
    spread = {name: over_steps(each.max(axis=1) / each.min(axis=1)) for name, each in found.items()}
    ticks = (numbers.tolist(), numbers.tolist())
    return (
        Chart("the first step, beside the kernel's length", "layer", "‖Δθ‖ / ‖θ‖", first, "y", True, ticks_x=ticks),
        Chart("the largest of the six, beside the smallest", "step", "ratio", spread, "y"),
    )


def lars() -> tuple[Chart, Chart]:
    """Beside momentum."""
    return layerwise({"LARS, η = 10": keras_optims.LARS(10.0), "momentum, η = 0.1": keras_optims.Momentum(0.1)})


def lamb() -> tuple[Chart, Chart]:
    """Beside Adam."""
    return layerwise({"LAMB, η = 0.01": keras_optims.Lamb(0.01), "Adam, η = 0.001": keras_optims.Adam(0.001)})


def novograd() -> tuple[Chart, Chart]:
    """The directions of steps, and variables whose gradients have different sizes."""
    sizes = np.logspace(-2, 0, 9)
    names = {
        "NovoGrad, η = 0.01": keras_optims.NovoGrad(0.01, weight_decay=None),
        "Adam, η = 0.01": keras_optims.Adam(0.01),
        "momentum, η = 0.01": keras_optims.Momentum(0.01),
    }

    def first(optimizer):
        return sizes, -train(optimizer, np.zeros(len(sizes)), lambda *_: sizes, 1)["weights"][-1]

    scales = np.array([1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0])

    def lengths(optimizer, size=20):
        rng = np.random.default_rng(0)
        variables = [keras.Variable(np.zeros(size, "float32"), name=f"kernel_{n}") for n in range(len(scales))]
        step = CompiledStep(optimizer, variables)
        for _ in range(10):
            noise = rng.normal(1, 0.5, size)
            step([(scale * noise).astype("float32") for scale in scales])
        return scales, np.array([np.linalg.norm(as_numpy(variable)) for variable in variables])

    others = {
        "NovoGrad, η = 0.01": keras_optims.NovoGrad(0.01, weight_decay=None),
        "Adam, η = 0.01": keras_optims.Adam(0.01),
        "momentum, η = 0.01": keras_optims.Momentum(0.01),
    }
    return (
        Chart(
            "first step of a variable's elements",
            "gradient of the element",
            "|Δθ|",
            {name: first(each) for name, each in names.items()},
            "xy",
            True,
        ),
        Chart(
            "way of six variables in 10 steps",
            "scale of the variable's gradient",
            "‖θ − θ₀‖",
            {name: lengths(each) for name, each in others.items()},
            "xy",
            True,
        ),
    )


# -- sign -----------------------------------------------------------------------------------------


def lion() -> tuple[Chart, Chart]:
    """Gradients with more or less noise, and a parabola."""
    steps, copies = 400, 40
    means = np.logspace(-2, 1, 10)
    noise = np.random.default_rng(0).normal(size=(steps, len(means), copies))

    def lengths(optimizer):
        start = np.zeros((len(means), copies))
        weights = train(optimizer, start, lambda _, n: means[:, None] + noise[n], steps)["weights"]
        return means, np.abs(step_sizes(weights, 0.01)[steps // 2 :]).mean(axis=(0, 2))

    def way(optimizer):
        return over_steps(train(optimizer, 1.0, lambda weight, _: weight, 100)["weights"], 0)

    return (
        Chart(
            "mean length of the steps in noise of size 1",
            "mean of the gradient",
            "|Δθ| / η",
            {"Lion": lengths(keras_optims.Lion(0.01)), "Adam": lengths(keras_optims.Adam(0.01, 0.9, 0.99))},
            "x",
            True,
            (0, 1.1),
        ),
        Chart(
            "on the parabola θ²/2, η = 0.05",
            "step",
            "weight θ",
            {"Lion": way(keras_optims.Lion(0.05)), "Adam": way(keras_optims.Adam(0.05, 0.9, 0.99))},
        ),
    )


# -- matrix methods -------------------------------------------------------------------------------

SIDE = 24


def orthogonal(seed):
    """A random rotation."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(SIDE, SIDE)))[0]


def ill_conditioned(turned=True):
    """The gradient of half of the squared, weighted distance of a matrix from 0, and a start; weights from 1 to 1e-3.

    Where it is not turned, the weights belong to the rows, and each element has a curvature of its own.
    """
    left, right = (orthogonal(1), orthogonal(2)) if turned else (np.eye(SIDE), np.eye(SIDE))
    curvature = left @ np.diag(np.logspace(0, -3, SIDE)) @ left.T
    return lambda weights, _: curvature @ weights, left @ orthogonal(3) @ right


def loss_of(weights, gradient):
    """Half of the squared, weighted distance, step by step."""
    return np.array([0.5 * np.sum(each * gradient(each, 0)) for each in weights.astype("float64")])


def train_matrix(optimizer, steps, turned=True):
    """A way of a matrix on this loss, and the loss along it."""
    gradient, start = ill_conditioned(turned)
    weights = train(optimizer, start, gradient, steps)["weights"]
    return weights, loss_of(weights, gradient)


def muon() -> tuple[Chart, Chart]:
    """Singular values of a step, and the loss at the best of several rates."""
    gradient, start = ill_conditioned()
    given = gradient(start, 0)
    numbers = np.arange(1, SIDE + 1)

    def singular(step):
        values = np.linalg.svd(step, compute_uv=False)
        return numbers, values / values[0]

    names = {"Muon": keras_optims.Muon, "AdamW": keras_optims.AdamW, "momentum": keras_optims.Momentum}
    rates = {"Muon": 0.4, "AdamW": 0.4, "momentum": 3.2}  # the largest; each next is half of it
    falling = keras.optimizers.schedules.PolynomialDecay
    steps = 150

    def made(name, rate):
        settings = {"momentum": 0.9} if name == "momentum" else {"weight_decay": None}
        return names[name](rate, **settings)

    values = {"Muon": singular(np.diff(train(made("Muon", 0.01), start, lambda *_: given, 1)["weights"], axis=0)[0])}
    values["AdamW"] = singular(np.diff(train(made("AdamW", 0.01), start, lambda *_: given, 1)["weights"], axis=0)[0])
    values["momentum"] = singular(given)
    losses = {}
    for name in names:
        ways = [train_matrix(made(name, falling(rates[name] / 2.0**n, steps, 0.0)), steps)[1] for n in range(5)]
        losses[name] = over_steps(min((way for way in ways if np.isfinite(way[-1])), key=lambda way: way[-1]), 0)
    return (
        Chart("singular values of the first step", "number", "beside the largest", values, "y", True),
        Chart("loss of a 24×24 matrix", "step", "loss", losses, "y"),
    )


def soap() -> tuple[Chart, Chart]:
    """The same problem along the axes and turned, and how diagonal the second moments are in the basis."""
    steps, rate = 150, 0.05
    falling = keras.optimizers.schedules.PolynomialDecay
    losses = {}
    for name, make in {"SOAP": keras_optims.SOAP, "Adam": keras_optims.Adam}.items():
        for turned, text in ((True, "turned"), (False, "along the axes")):
            settings = {"weight_decay": None, "precondition_frequency": 5} if name == "SOAP" else {"beta_1": 0.95, "beta_2": 0.95}
            optimizer = make(falling(rate, steps, 0.0), **settings)
            losses[f"{name}, {text}"] = over_steps(train_matrix(optimizer, steps, turned)[1], 0)
    gradient, start = ill_conditioned()
    variable = keras.Variable(start.astype("float32"), name="weights")
    optimizer = keras_optims.SOAP(falling(rate, steps, 0.0), weight_decay=None, precondition_frequency=5)
    step = CompiledStep(optimizer, [variable])
    own, turned = [], []
    for number in range(steps):
        step([gradient(as_numpy(variable), number).astype("float32")])
        side, basis = (as_numpy(slot[0][variable])[0].astype("float64") for slot in (optimizer.sides, optimizer.bases))
        for matrix, kept in ((side, own), (basis.T @ side @ basis, turned)):
            kept.append(1 - np.sum(np.diag(matrix) ** 2) / np.sum(matrix**2))
    share = {"in SOAP's basis": over_steps(turned), "in that of the weights": over_steps(own)}
    order = ("SOAP, turned", "Adam, turned", "SOAP, along the axes", "Adam, along the axes")
    return (
        Chart("loss of a 24×24 matrix, η falling from 0.05", "step", "loss", {name: losses[name] for name in order}, "y"),
        Chart("share of L that is off the diagonal", "step", "share of the squares", share, range_y=(-0.02, 1)),
    )


# -- schedule-free and parameter-free -------------------------------------------------------------


def noisy(size, noise, curvature=1.0):
    """Gradients of a parabola with noise, the same for everyone."""
    draws = np.random.default_rng(0).normal(size=(4000, size)) * noise
    return lambda weights, number: curvature * weights + draws[number]


def sequences(optimizer, gradient, start, at):
    """x, y and z of a schedule-free method after each of these numbers of steps."""
    variable = keras.Variable(np.asarray(start, "float32"), name="weights")
    step, found = CompiledStep(optimizer, [variable]), {name: [np.asarray(start, "float32")] for name in "xyz"}
    for number in range(max(at)):
        step([np.asarray(gradient(as_numpy(variable), number), "float32")])
        if number + 1 in at:
            found["y"].append(as_numpy(variable))
            found["z"].append(as_numpy(optimizer.base_weights[variable]))
            with optimizer.averaged_weights():
                found["x"].append(as_numpy(variable))
    return {name: np.stack(values) for name, values in found.items()}


def without_schedule(make, other, rate, plain, curvature, unit):
    """x, y and z in one weight; and in many the loss of x beside those of trainings whose rates fall to 0 at different ends."""
    one = sequences(make(rate), noisy(1, 0.5), [3.0], range(1, 121))
    names = {"x, at which to evaluate": "x", "y, where gradients are taken": "y", "z, which the steps move": "z"}
    left = {name: over_steps(one[key][:, 0], 0) for name, key in names.items()}
    size, ends = 200, (800, 400, 200, 100)
    gradient, start = noisy(size, 1.0, curvature), np.full(size, 3.0)

    def loss(weights):
        return 0.5 * np.mean(curvature * weights.astype("float64") ** 2, axis=1)

    at = np.unique(np.logspace(0, np.log10(800), 60).astype(int))
    found = loss(sequences(make(rate), gradient, start, {*at.tolist(), *ends})["x"])
    ways = []
    for end in sorted(ends):
        falling = keras.optimizers.schedules.PolynomialDecay(plain, end, 0.0)
        ways.append(over_steps(loss(train(other(falling), start, gradient, end)["weights"]), 0))
        ways.append((np.array([np.nan]), np.array([np.nan])))  # a gap between the curves
    right = {
        "x, at which to evaluate": (np.unique([0, *at, *ends]), found),
        f"{unit}, η falling to 0": (
            np.concatenate([x for x, _ in ways]),
            np.concatenate([y for _, y in ways]),
        ),
    }
    return (
        Chart("one weight, gradients θ ± 0.5", "step", "weight", left),
        Chart("loss of 200 weights; schedules of 100 to 800 steps", "step", "loss", right, "xy"),
    )


def schedule_free_sgd() -> tuple[Chart, Chart]:
    """Beside gradient descent."""
    return without_schedule(
        lambda rate: keras_optims.ScheduleFreeSGD(rate),
        lambda rate: keras_optims.GradientDescent(rate),
        *(0.25, 0.2, 1.0, "gradient descent"),
    )


def schedule_free_adamw() -> tuple[Chart, Chart]:
    """Beside AdamW."""
    return without_schedule(
        lambda rate: keras_optims.ScheduleFreeAdamW(rate, beta_2=0.99),
        lambda rate: keras_optims.AdamW(rate, beta_2=0.99, weight_decay=None),
        *(0.2, 0.1, np.logspace(-1, 1, 200), "AdamW"),
    )


def prodigy() -> tuple[Chart, Chart]:
    """Solutions at different distances from the start."""
    far = (0.01, 1.0, 100.0)
    size, steps = 50, 300
    signs = np.where(np.random.default_rng(0).random(size) < 0.5, -1.0, 1.0)
    estimates, distances = {}, {}
    for distance in far:
        aim = distance * signs

        def gradient(weights, _, aim=aim, distance=distance):
            return (weights - aim) / distance

        ours, adam = keras_optims.Prodigy(), keras_optims.Adam(1e-3)
        kept = train(ours, np.zeros(size), gradient, steps, d=lambda _, own=ours: own.d)
        others = train(adam, np.zeros(size), gradient, steps)["weights"]
        estimates[f"Prodigy, {distance:g} away"] = over_steps(kept["d"][:, 0] / distance)
        for name, weights in ((f"Prodigy, {distance:g} away", kept["weights"]), (f"Adam, η = 0.001, {distance:g} away", others)):
            share = np.abs(weights - aim).mean(axis=1) / distance
            distances[name] = over_steps(np.maximum.accumulate(share[::-1])[::-1], 0)
    del distances["Adam, η = 0.001, 0.01 away"]  # which it reaches as soon as Prodigy
    return (
        Chart("d, beside the distance to the solution", "step", "d / distance", estimates, "y"),
        Chart("what is left of the way, from here on at most", "step", "share", distances, "y", range_y=(1e-4, 1.5)),
    )


IDEAS = {
    each.__name__: each
    for each in (
        *(sgd, adan, adadelta, adamax, nadam, nadamw, ftrl, radam, adabelief, yogi, adopt, ademamix, adafactor),
        *(lars, lamb, novograd, lion, muon, soap, schedule_free_sgd, schedule_free_adamw, prodigy),
    )
}
