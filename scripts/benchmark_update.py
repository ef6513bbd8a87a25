"""How long an update step takes: ours, Keras's namesake, and the backend's best peer, interleaved in one process.

    python scripts/benchmark_update.py [--backend tensorflow|jax|torch] [--optimizer adam] [--case NAME ...] [--rounds N] [--json]

Gradients are made inside of the compiled step, from one tensor: passing hundreds of arguments alone costs milliseconds and is
not what is measured. Each round runs every contestant once, in turn; the medians and their ratios are what counts, not single
times. The bytes of a step are those that must move: each weight, gradient and slot read once, weights and slots written once.
The share is that of the memory bandwidth which a NumPy triad (a = b + s·c) reaches in the same run.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time

CASES = {
    "mlp": [(784, 128), (128,), (128, 10), (10,)],
    "many": [(1024,)] * 400 + [(32, 35)] * 400,
    "big": [(2048, 2048)] * 6,
    "transformer": [(8000, 256), (512, 256)]
    + 6 * [*[(256, 256), (256,)] * 4, (256, 1024), (1024,), (1024, 256), (256,), *[(256,)] * 4]
    + [(256,), (256,)],
}


def _resnet50():
    """The shapes of ResNet-50's weights (He et al. 2016, Table 1): 161 tensors, 25.6 million numbers."""
    shapes = [(7, 7, 3, 64), (64,), (64,)]
    width = 64
    for blocks, filters in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            for kernel, inner, outer in ((1, width, filters), (3, filters, filters), (1, filters, 4 * filters)):
                shapes += [(kernel, kernel, inner, outer), (outer,), (outer,)]
            if block == 0:
                shapes += [(1, 1, width, 4 * filters), (4 * filters,), (4 * filters,)]
            width = 4 * filters
    return [*shapes, (2048, 1000), (1000,)]


CASES["resnet50"] = _resnet50()

# command-line name -> (class in keras.optimizers, its arguments, slots for each weight, class in torch.optim, function in optax)
NAMESAKES = {
    "gradient_descent": ("SGD", {}, 0, "SGD", "sgd"),
    "momentum": ("SGD", {"momentum": 0.9}, 1, "SGD", "sgd"),
    "adagrad": ("Adagrad", {}, 1, "Adagrad", "adagrad"),
    "rmsprop": ("RMSprop", {}, 1, "RMSprop", "rmsprop"),
    "adam": ("Adam", {}, 2, "Adam", "adam"),
    "adamw": ("AdamW", {}, 2, "AdamW", "adamw"),
}


def main():
    """Runs the cases and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--backend", choices=["tensorflow", "jax", "torch"], default=os.environ.get("KERAS_BACKEND", "tensorflow")
    )
    parser.add_argument("--optimizer", choices=NAMESAKES, default="adam")
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    bandwidth = triad_bandwidth()
    report = {
        "backend": arguments.backend,
        "optimizer": arguments.optimizer,
        "rounds": arguments.rounds,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "triad_gigabytes_per_second": bandwidth / 1e9,
        "cases": {case: measure(case, arguments, bandwidth) for case in arguments.case},
    }
    if arguments.json:
        print(json.dumps(report))


def measure(case, arguments, bandwidth):
    """The medians of one case, printed as a table unless JSON is wanted."""
    shapes = CASES[case]
    contestants, first_call = {}, {}
    for name, make in makers(arguments.backend, arguments.optimizer).items():
        begun = time.perf_counter()
        step = make(shapes)
        step()
        first_call[name] = time.perf_counter() - begun
        for _ in range(2):
            step()
        contestants[name] = step
    times = {name: [] for name in contestants}
    for _ in range(arguments.rounds):
        for name, step in contestants.items():
            begun = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(values) for name, values in times.items()}
    numbers = sum(size(shape) for shape in shapes)
    slots = NAMESAKES[arguments.optimizer][2]
    moved = 4 * numbers * (1 + 2 * (1 + slots))
    rows = {
        name: {
            "milliseconds": 1e3 * median,
            "first_call_seconds": first_call[name],
            "ours_relative_to_it": medians["ours"] / median,
            "gigabytes_per_second": moved / median / 1e9,
            "share_of_triad": moved / median / bandwidth,
        }
        for name, median in medians.items()
    }
    if not arguments.json:
        print(f"\n{case}: {len(shapes)} tensors, {numbers / 1e6:.2f} million numbers", flush=True)
        print(f"  {'':<22}{'ms':>9}{'first call s':>14}{'ours / it':>11}{'GB/s':>8}{'of triad':>10}")
        for name, row in rows.items():
            print(
                f"  {name:<22}{row['milliseconds']:>9.2f}{row['first_call_seconds']:>14.2f}{row['ours_relative_to_it']:>11.2f}"
                f"{row['gigabytes_per_second']:>8.1f}{row['share_of_triad']:>10.0%}",
                flush=True,
            )
    return rows


def size(shape):
    """The number of elements."""
    count = 1
    for length in shape:
        count *= length
    return count


def triad_bandwidth():
    """Bytes per second of a = b + s·c on 64 MB arrays, the median of 15 rounds."""
    import numpy as np

    b, c = np.ones(2**24, np.float32), np.ones(2**24, np.float32)
    a = np.empty_like(b)
    seconds = []
    for _ in range(15):
        begun = time.perf_counter()
        np.multiply(c, np.float32(3), out=a)
        np.add(a, b, out=a)
        seconds.append(time.perf_counter() - begun)
    return 5 * b.nbytes / statistics.median(seconds)  # c, a; a, b, a


def makers(backend, name):
    """Contestant -> a function that makes its step on variables of the given shapes."""
    import keras

    import keras_optims

    keras_name, keras_arguments, _, torch_name, optax_name = NAMESAKES[name]

    def ours():
        return keras_optims.OPTIMIZERS[name]()

    def namesake():
        return getattr(keras.optimizers, keras_name)(**keras_arguments)

    if backend == "tensorflow":
        return {
            "ours": lambda shapes: tensorflow_step(ours(), shapes, False),
            "ours, XLA": lambda shapes: tensorflow_step(ours(), shapes, True),
            "keras": lambda shapes: tensorflow_step(namesake(), shapes, False),
            "keras, XLA": lambda shapes: tensorflow_step(namesake(), shapes, True),
        }
    if backend == "jax":
        import optax

        rate = ours().get_config()["learning_rate"]
        options = {"momentum": 0.9} if name == "momentum" else {}
        return {
            "ours": lambda shapes: jax_step(ours(), shapes),
            "keras": lambda shapes: jax_step(namesake(), shapes),
            "optax": lambda shapes: optax_step(getattr(optax, optax_name)(rate, **options), shapes),
        }
    made = {
        "ours": lambda shapes: keras_on_torch_step(ours(), shapes),
        "keras": lambda shapes: keras_on_torch_step(namesake(), shapes),
    }
    for label, options in {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}.items():
        if label != "fused" or torch_name in ("SGD", "Adagrad", "Adam", "AdamW"):
            options = {**options, "lr": 0.001, **({"momentum": 0.9} if name == "momentum" else {})}
            made[f"torch.optim, {label}"] = lambda shapes, options=options: torch_step(torch_name, options, shapes)
    return made


def start(shapes):
    """One flat array of small random gradients, and the weights to begin with."""
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.normal(size=sum(map(size, shapes))).astype("float32") * 1e-3, [np.ones(shape, np.float32) for shape in shapes]


def tensorflow_step(optimizer, shapes, xla):
    """The gradients are split from one constant, in the graph."""
    import keras
    import tensorflow as tf

    flat, weights = start(shapes)
    variables = [keras.Variable(weight, name=f"v{i}") for i, weight in enumerate(weights)]
    optimizer.build(variables)
    source = tf.Variable(flat, trainable=False)

    @tf.function(jit_compile=xla)
    def step():
        parts = tf.split(source, [size(shape) for shape in shapes])
        optimizer.apply([tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)], variables)

    return step


def _split(flat, shapes):
    offset = 0
    for shape in shapes:
        yield flat[offset : offset + size(shape)].reshape(shape)
        offset += size(shape)


def jax_step(optimizer, shapes):
    """`stateless_apply` under `jax.jit`, all state donated."""
    import jax
    import keras

    flat, weights = start(shapes)
    variables = [keras.Variable(weight, name=f"v{i}") for i, weight in enumerate(weights)]
    optimizer.build(variables)
    return _donating(
        lambda flat, state, values: optimizer.stateless_apply(state, list(_split(flat, shapes)), values)[::-1],
        jax.numpy.asarray(flat),
        [v.value for v in optimizer.variables],
        [v.value for v in variables],
    )


def optax_step(transformation, shapes):
    """The usual optax step under `jax.jit`, all state donated."""
    import jax
    import optax

    flat, weights = start(shapes)
    values = [jax.numpy.asarray(weight) for weight in weights]

    def apply(flat, state, values):
        updates, state = transformation.update(list(_split(flat, shapes)), state, values)
        return state, optax.apply_updates(values, updates)

    return _donating(apply, jax.numpy.asarray(flat), transformation.init(values), values)


def _donating(apply, flat, state, values):
    import jax

    compiled = jax.jit(apply, donate_argnums=(1, 2))
    held = [state, values]

    def step():
        held[:] = compiled(flat, *held)
        jax.block_until_ready(held)

    return step


def keras_on_torch_step(optimizer, shapes):
    """Keras on torch compiles nothing; the gradients are views of one tensor."""
    import keras

    flat, weights = start(shapes)
    variables = [keras.Variable(weight, name=f"v{i}") for i, weight in enumerate(weights)]
    optimizer.build(variables)
    source = keras.ops.convert_to_tensor(flat)
    return lambda: optimizer.apply(list(_split(source, shapes)), variables)


def torch_step(name, options, shapes):
    """torch.optim itself."""
    import torch

    flat, weights = start(shapes)
    parameters = [torch.nn.Parameter(torch.from_numpy(weight)) for weight in weights]
    optimizer = getattr(torch.optim, name)(parameters, **options)
    source = torch.from_numpy(flat)

    def step():
        for parameter, gradient in zip(parameters, _split(source, shapes), strict=True):
            parameter.grad = gradient
        optimizer.step()

    return step


if __name__ == "__main__":
    sys.exit(main())
