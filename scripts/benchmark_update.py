"""How long an update step takes: ours, Keras's namesake, and the backend's best peer, interleaved in one process.

    python scripts/benchmark_update.py [--backend tensorflow|jax|torch] [--optimizer adam] [--case NAME ...] [--rules]
                                       [--formula] [--beside NAME ...] [--set ARGUMENT=VALUE ...] [--rounds N]
                                       [--only CONTESTANT ...] [--json]

Gradients are made inside of the compiled step, from one tensor: passing hundreds of arguments alone costs milliseconds and is
not what is measured. Each round runs every contestant once, in turn; the medians and their ratios are what counts, not single
times. The bytes of a step are those that must move: each weight, gradient and slot read once, weights and slots written once.
The share is that of the memory bandwidth that a NumPy triad (a = b + s·c) reaches in the same run. Of the embedding only the rows
of the batch must move; where a backend knows no sparse gradients, all of it does.
"""

import argparse
import concurrent.futures
import importlib
import importlib.util
import json
import operator
import os
import platform
import statistics
import sys
import time

BLOCKS = 6 * [*[(256, 256), (256,)] * 4, (256, 1024), (1024,), (1024, 256), (256,), *[(256,)] * 4]
CASES = {
    "mlp": [(784, 128), (128,), (128, 10), (10,)],
    "many": [(1024,)] * 400 + [(32, 35)] * 400,
    "big": [(2048, 2048)] * 6,
    "transformer": [(8000, 256), (512, 256), *BLOCKS, (256,), (256,)],
    "blocks": BLOCKS,  # of the transformer: what methods for matrices are for
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
CASES["embedding"] = [(300_000, 64)]
TOUCHED = 256  # rows of the embedding that the batch of a step uses

# command-line name -> (class in keras.optimizers, its arguments, slots for each weight, class in torch.optim, function in optax)
NAMESAKES = {
    "gradient_descent": ("SGD", {}, 0, "SGD", "sgd"),
    "momentum": ("SGD", {"momentum": 0.9}, 1, "SGD", "sgd"),
    "adagrad": ("Adagrad", {}, 1, "Adagrad", "adagrad"),
    "rmsprop": ("RMSprop", {}, 1, "RMSprop", "rmsprop"),
    "adam": ("Adam", {}, 2, "Adam", "adam"),
    "adamw": ("AdamW", {}, 2, "AdamW", "adamw"),
    "nadamw": ("AdamW", {}, 2, None, "nadamw"),  # which Keras lacks
}


def peers_of(name):
    """What an optimizer is measured against, as in `NAMESAKES`: others against those of its class's name, where there are any."""
    import keras
    import numpy as np

    import keras_optims

    if name in NAMESAKES:
        return NAMESAKES[name]
    if name not in keras_optims.OPTIMIZERS:
        sys.exit(f"--optimizer must be one of {', '.join(keras_optims.OPTIMIZERS)}; received {name!r}.")
    made = keras_optims.OPTIMIZERS[name]()
    made.build([keras.Variable(np.ones((512, 512), "float32"), name="theta")])
    slots = round(sum(size(variable.shape) for variable in made.variables) / 512**2)
    class_name = type(made).__name__
    of_torch = [known for known in _names_in("torch.optim") if known.lower() == class_name.lower()]
    of_optax = [
        f"{module}.{known}".removeprefix("optax.")
        for module in ("optax", "optax.contrib")
        for known in _names_in(module)
        if known in (name, class_name.lower())
    ]
    return (
        class_name if hasattr(keras.optimizers, class_name) else None,
        {},
        slots,
        of_torch[0] if of_torch else None,
        of_optax[0] if of_optax else None,
    )


def _names_in(module):
    return dir(importlib.import_module(module)) if importlib.util.find_spec(module.partition(".")[0]) else []


def main():
    """Runs the cases and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--backend", choices=["tensorflow", "jax", "torch"], default=os.environ.get("KERAS_BACKEND", "tensorflow")
    )
    parser.add_argument("--optimizer", default="adam", metavar="NAME", help="any name of keras_optims.OPTIMIZERS")
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument(
        "--rules", action="store_true", help="also ours with a rule: half the rate for all that has one dimension"
    )
    parser.add_argument("--formula", action="store_true", help="the same formula without a kernel, beside ours with one")
    parser.add_argument("--beside", nargs="+", default=[], metavar="NAME", help="others of ours to measure in the same rounds")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="ARGUMENT=VALUE", help='also ours with these arguments, as ns_dtype="bfloat16"'
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="CONTESTANT", help="ours and these, such as optax, instead of all"
    )
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
    contestants, first_call, wait = {}, {}, waiting()
    for name, make in chosen(contestants_of(case, arguments), arguments.only).items():
        step = make(shapes)
        begun = time.perf_counter()
        wait(step())
        first_call[name] = time.perf_counter() - begun
        for _ in range(2):
            wait(step())
        contestants[name] = step
    times = {name: [] for name in contestants}
    for _ in range(arguments.rounds):
        for name, step in contestants.items():
            begun = time.perf_counter()
            wait(step())
            times[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(values) for name, values in times.items()}
    numbers = sum(size(shape) for shape in shapes)
    touched = TOUCHED * shapes[0][1] if case == "embedding" else numbers
    slots = peers_of(arguments.optimizer)[2]
    moved = bytes_of_a_step(touched, slots)
    rows = {
        name: {
            "milliseconds": 1e3 * median,
            "mean_milliseconds": 1e3 * statistics.fmean(times[name]),
            "first_call_seconds": first_call[name],
            "ours_relative_to_it": medians["ours"] / median,
            "gigabytes_per_second": moved / median / 1e9,
            "share_of_triad": moved / median / bandwidth,
        }
        for name, median in medians.items()
    }
    if not arguments.json:
        print(f"\n{case}: {len(shapes)} tensors, {numbers / 1e6:.2f} million numbers", flush=True)
        print(f"  {'':<22}{'ms':>9}{'mean':>9}{'first call s':>14}{'ours / it':>11}{'GB/s':>8}{'of triad':>10}")
        for name, row in rows.items():
            print(
                f"  {name:<22}{row['milliseconds']:>9.2f}{row['mean_milliseconds']:>9.2f}"
                f"{row['first_call_seconds']:>14.2f}{row['ours_relative_to_it']:>11.2f}"
                f"{row['gigabytes_per_second']:>8.1f}{row['share_of_triad']:>10.0%}",
                flush=True,
            )
    return rows


def bytes_of_a_step(numbers, slots):
    """Those that must move, of so many float32 weights: gradient, weight and slots read, weight and slots written."""
    return 4 * numbers * (1 + 2 * (1 + slots))


def size(shape):
    """The number of elements."""
    count = 1
    for length in shape:
        count *= length
    return count


def triad_bandwidth():
    """Bytes per second of a = b + s·c on 64 MB arrays, on all cores, the median of 15 rounds.

    It goes through them in pieces that stay in the cache between the two NumPy calls, so each array crosses the bus once.
    """
    import numpy as np

    length, piece, cores = 2**24, 2**15, os.cpu_count() or 1
    a, b, c = (np.ones(length, np.float32) for _ in range(3))

    def run(core):
        for start in range(core * piece, length, cores * piece):
            part = slice(start, start + piece)
            np.multiply(c[part], np.float32(3), out=a[part])
            np.add(a[part], b[part], out=a[part])

    seconds = []
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:  # NumPy computes without Python's lock
        for _ in range(15):
            begun = time.perf_counter()
            list(pool.map(run, range(cores)))
            seconds.append(time.perf_counter() - begun)
    return 3 * b.nbytes / statistics.median(seconds)


def contestants_of(case, arguments):
    """Contestant -> a function that makes its step on variables of the given shapes."""
    if arguments.formula:
        return formulas(case, arguments.backend, arguments.optimizer)
    made = makers(case, arguments.backend, arguments.optimizer, arguments.rules)
    others = {f"our {name}": makers(case, arguments.backend, name, False)["ours"] for name in arguments.beside}
    if arguments.set:
        given = {name: _value(text) for name, _, text in (each.partition("=") for each in arguments.set)}
        others[f"ours, {' '.join(arguments.set)}"] = makers(case, arguments.backend, arguments.optimizer, False, given)["ours"]
    return made | others


def chosen(contestants, only):
    """Ours and those that are asked for, of all contestants."""
    unknown = set(only) - set(contestants)
    if unknown:
        sys.exit(f"--only must be of {', '.join(contestants)}; received {', '.join(sorted(unknown))}.")
    return {name: make for name, make in contestants.items() if not only or name in ("ours", *only)}


def _value(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def formulas(case, backend, name):
    """As `makers`: ours with its kernel, and the same formula under other classes, which have none."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # where it is run as a module
    from accelerator.formula import FormulaOnKeras

    import keras_optims

    ours = keras_optims.OPTIMIZERS[name]
    written_again = {"update_step": lambda self, *arguments: ours.update_step(self, *arguments), "elementwise": True}
    formula = type("Formula", (ours,), written_again)
    steps = {
        "tensorflow": lambda o, shapes: tensorflow_step(o, tensorflow_inputs(case), False),
        "jax": jax_step,
        "torch": keras_on_torch_step,
    }
    makes = {"ours": ours, "formula": formula}
    if backend == "torch":
        makes["formula, torch.compile"] = type("Formula", (ours,), {**written_again, "torch_compile": True})
    makes |= {"formula, Keras's base": FormulaOnKeras} if name == "adam" else {}
    return {label: lambda shapes, make=make: steps[backend](make(), shapes) for label, make in makes.items()}


def makers(case, backend, name, rules, given=None):
    """Contestant -> a function that makes its step on variables of the given shapes."""
    import keras

    import keras_optims

    keras_name, keras_arguments, _, torch_name, optax_name = peers_of(name)

    def ours(**arguments):
        return keras_optims.OPTIMIZERS[name](**arguments, **(given or {}))

    def with_rules():
        return ours(rules=[keras_optims.Rule(ndim=1, learning_rate_multiplier=0.5, weight_decay=None)])

    def namesake():
        return getattr(keras.optimizers, keras_name)(**keras_arguments)

    if backend == "tensorflow":
        made = {
            "ours": lambda shapes: tensorflow_step(ours(), tensorflow_inputs(case), False),
            **({"ours, a rule": lambda shapes: tensorflow_step(with_rules(), tensorflow_inputs(case), False)} if rules else {}),
            "ours, XLA": lambda shapes: tensorflow_step(ours(), tensorflow_inputs(case), True),
        }
        if keras_name:
            made["keras"] = lambda shapes: tensorflow_step(namesake(), tensorflow_inputs(case), False)
            made["keras, XLA"] = lambda shapes: tensorflow_step(namesake(), tensorflow_inputs(case), True)
        if keras_name and importlib.util.find_spec("tf_keras") and hasattr(legacy(), keras_name):
            made["tf_keras, legacy"] = lambda shapes: legacy_step(getattr(legacy(), keras_name)(**keras_arguments), case)
        return made
    if backend == "jax":
        if optax_name:
            import optax

            peer = operator.attrgetter(optax_name)(optax)
        rate = ours().get_config()["learning_rate"]
        options = {"momentum": 0.9} if name == "momentum" else {}
        return {
            "ours": lambda shapes: jax_step(ours(), shapes),
            **({"ours, a rule": lambda shapes: jax_step(with_rules(), shapes)} if rules else {}),
            **({"keras": lambda shapes: jax_step(namesake(), shapes)} if keras_name else {}),
            **({"optax": lambda shapes: optax_step(peer(rate, **options), shapes)} if optax_name else {}),
        }
    made = {
        "ours": lambda shapes: keras_on_torch_step(ours(), shapes),
        **({"ours, a rule": lambda shapes: keras_on_torch_step(with_rules(), shapes)} if rules else {}),
        **({"keras": lambda shapes: keras_on_torch_step(namesake(), shapes)} if keras_name else {}),
    }
    if torch_name is None:
        return made
    if torch_name == "Muon":
        return {**made, "torch.optim": lambda shapes: torch_step(torch_name, {}, shapes)}
    for label, options in {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}.items():
        if label != "fused" or torch_name in ("SGD", "Adagrad", "Adam", "AdamW"):
            options = {**options, "lr": 0.001, **({"momentum": 0.9} if name == "momentum" else {})}
            made[f"torch.optim, {label}"] = lambda shapes, options=options: torch_step(torch_name, options, shapes)
    return made


def waiting():
    """A function that takes what a step returned, and returns when the device has done all that was asked of it."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.block_until_ready
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            return lambda result: torch.cuda.synchronize()
        return lambda result: torch.mps.synchronize() if torch.backends.mps.is_available() else None
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return lambda result: None

    def wait(variables):
        tf.test.experimental.sync_devices()
        keras.ops.convert_to_numpy(min(variables, key=lambda variable: size(variable.shape)))  # depends on the step

    return wait


def start(shapes):
    """One flat array of small random gradients, and the weights to begin with. Other functions `begin` make tensors instead."""
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.normal(size=sum(map(size, shapes))).astype("float32") * 1e-3, [np.ones(shape, np.float32) for shape in shapes]


def tensorflow_step(optimizer, inputs, xla):
    """A `tf.function` that makes the gradients and applies them; `inputs`: of `tensorflow_inputs` or `dense_inputs`."""
    import keras
    import tensorflow as tf

    weights, gradients = inputs
    variables = [keras.Variable(weight, name=f"v{i}") for i, weight in enumerate(weights)]
    optimizer.build(variables)
    apply = tf.function(lambda: optimizer.apply(gradients(), variables), jit_compile=xla, autograph=False)
    return _returning(apply, variables)


def legacy():
    """tf_keras's optimizers with TensorFlow's kernels, of before Keras 2.11."""
    import tf_keras

    return tf_keras.optimizers.legacy


def legacy_step(optimizer, case):
    """The same with `apply_gradients` of tf_keras."""
    import tensorflow as tf

    weights, gradients = tensorflow_inputs(case)
    variables = [tf.Variable(weight) for weight in weights]
    optimizer._create_all_weights(variables)

    def apply():
        optimizer.apply_gradients(zip(gradients(), variables, strict=True))

    return _returning(tf.function(apply, autograph=False), variables)


def _returning(apply, variables):
    """A step that returns what `waiting` takes."""

    def step():
        apply()
        return variables

    return step


def tensorflow_inputs(case):
    """The weights, and a function that makes the gradients in the graph.

    The gradients of the case with 800 small tensors are split from one tensor. The others are read from a variable each, which
    copies nothing: TensorFlow copies what it splits.
    """
    import tensorflow as tf

    shapes = CASES[case]
    if case not in ("embedding", "many"):
        return dense_inputs(shapes)
    flat, weights = start(shapes)
    if case == "embedding":
        values, rows = tf.Variable(flat[: TOUCHED * shapes[0][1]].reshape(TOUCHED, -1)), tf.Variable(touched_rows(shapes[0][0]))
        return weights, lambda: [tf.IndexedSlices(values.value(), rows.value(), tf.constant(shapes[0]))]
    source, sizes = tf.Variable(flat), [size(shape) for shape in shapes]
    return weights, lambda: list(map(tf.reshape, tf.split(source, sizes), shapes))


def dense_inputs(shapes, begin=start):
    """As `tensorflow_inputs`, of any shapes, with gradients that are read from a variable each."""
    import tensorflow as tf

    flat, weights = begin(shapes)
    sources = [tf.Variable(gradient) for gradient in _split(flat, shapes, tf.reshape)]
    return weights, lambda: [source.value() for source in sources]


def touched_rows(rows):
    """The rows of a batch; a few of them twice."""
    import numpy as np

    return np.random.default_rng(1).integers(0, rows, TOUCHED).astype("int64")


def _split(flat, shapes, reshape=lambda part, shape: part.reshape(shape)):
    offset = 0
    for shape in shapes:
        yield reshape(flat[offset : offset + size(shape)], shape)
        offset += size(shape)


def jax_step(optimizer, shapes, begin=start):
    """`stateless_apply` under `jax.jit`, all state donated."""
    import jax
    import keras

    flat, weights = begin(shapes)
    variables = [keras.Variable(weight, name=f"v{i}") for i, weight in enumerate(weights)]
    optimizer.build(variables)
    return _donating(
        lambda flat, state, values: optimizer.stateless_apply(state, list(_split(flat, shapes)), values)[::-1],
        jax.numpy.asarray(flat),
        [v.value for v in optimizer.variables],
        [v.value for v in variables],
    )


def optax_step(transformation, shapes, begin=start):
    """The usual optax step under `jax.jit`, all state donated."""
    import jax
    import optax

    flat, weights = begin(shapes)
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
        return held

    return step


def keras_on_torch_step(optimizer, shapes, begin=start):
    """Keras on torch compiles nothing; the gradients are views of one tensor."""
    import keras

    flat, weights = begin(shapes)
    variables = [keras.Variable(weight, name=f"v{i}") for i, weight in enumerate(weights)]
    optimizer.build(variables)
    source = keras.ops.convert_to_tensor(flat)
    return lambda: optimizer.apply(list(_split(source, shapes)), variables)


def torch_step(name, options, shapes, begin=start):
    """torch.optim itself, on Keras's device."""
    import keras
    import torch

    flat, weights = begin(shapes)
    parameters = [torch.nn.Parameter(keras.ops.convert_to_tensor(weight)) for weight in weights]
    if name == "Muon":  # which takes nothing but matrices
        others = torch.optim.AdamW([parameter for parameter in parameters if parameter.ndim != 2], lr=0.001, foreach=True)
        optimizers = [torch.optim.Muon([parameter for parameter in parameters if parameter.ndim == 2], lr=0.001), others]
    else:
        optimizers = [getattr(torch.optim, name)(parameters, **options)]
    source = keras.ops.convert_to_tensor(flat)

    def step():
        for parameter, gradient in zip(parameters, _split(source, shapes), strict=True):
            parameter.grad = gradient
        for optimizer in optimizers:
            optimizer.step()

    return step


if __name__ == "__main__":
    sys.exit(main())
