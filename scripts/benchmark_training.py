"""How long a whole training takes, an epoch of `fit`: with ours and with Keras's namesake, in turns in one process.

    python scripts/benchmark_training.py [--backend tensorflow|jax|torch] [--optimizer adam] [--case NAME ...] [--steps N]
                                         [--rounds N] [--jit auto|on|off] [--json]

The models are those of the built-in problems, with their batch sizes; with synthetic data, ResNet-50 (images of 64x64), a
transformer of 6 layers and width 256, three dense layers of 2048 (wide), 100 of 32 with layer normalization (deep), and the mean
of 20 rows of an embedding of 300,000 x 64. Both contestants begin with the same weights, see the same batches, and are trained by
Keras's own `fit`; what is compared is the optimizer alone. A step's cost hardly shows where the model's own work is large;
scripts/benchmark_update.py has the step by itself. The first epoch of each, which compiles, is not counted, and printed. Each
round trains every contestant for an epoch of --steps batches, in turn; what counts is the median of the rounds' ratios. The
seconds of an epoch are the median step times the steps of the problem's whole epoch; synthetic data have none. On a machine that
does other work as well, the ratio of processor time is steadier than that of the clock, but does not see what waits.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time

from tuning.problems import PROBLEMS

NAMES = ("ours", "keras")
SYNTHETIC = ("resnet50", "transformer", "wide", "deep", "embedding")


def main() -> int:
    """Trains the cases and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--backend", choices=["tensorflow", "jax", "torch"], default=os.environ.get("KERAS_BACKEND", "tensorflow")
    )
    parser.add_argument("--optimizer", default="adam", metavar="NAME", help="any name that Keras has a namesake of")
    parser.add_argument("--case", nargs="+", choices=(*PROBLEMS, *SYNTHETIC), default=(*PROBLEMS, *SYNTHETIC), metavar="NAME")
    parser.add_argument("--steps", type=int, default=50, help="at most, of an epoch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--jit", choices=["auto", "on", "off"], default="auto", help="jit_compile of model.compile")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.rounds < 1:
        parser.error(f"--steps and --rounds must be at least 1; received {arguments.steps} and {arguments.rounds}.")
    os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    contestants = contestants_of(arguments.optimizer)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    report = {"backend": arguments.backend, "optimizer": arguments.optimizer, "machine": machine, "cases": {}}
    if not arguments.json:
        print(f"{arguments.optimizer} on {arguments.backend}, {machine}, {arguments.rounds} rounds\n")
        header = ["model", "weights", "ms a step, ours", "Keras", "times as fast (least, most)", "by processor time"]
        print(f"| {' | '.join([*header, 's an epoch, ours', 'Keras', 'first, s'])} |\n|{9 * '---|'}", flush=True)
    for case in arguments.case:
        found = measure(case, contestants, arguments)
        report["cases"][case] = found
        if not arguments.json:
            print(line(case, found), flush=True)
    if arguments.json:
        print(json.dumps(report))
    return 0


def line(case, found):
    """Of the table."""
    ms, whole, first = found["milliseconds"], found["seconds"], found["first"]
    cells = [case, f"{found['weights']:,}", *(f"{ms[name]:.3g}" for name in NAMES)]
    cells += [f"{found['times']:.2f} ({found['least']:.2f}, {found['most']:.2f})", f"{found['processor']:.2f}"]
    cells += [f"{whole[name]:.3g}" if whole else "" for name in NAMES]
    return f"| {' | '.join(cells)} | {first['ours']:.1f}, {first['keras']:.1f} |"


def contestants_of(name):
    """The two that are compared: functions that make a new optimizer of the same setting."""
    import keras_optims
    from keras_optims.namesakes import NAMESAKES

    ours = keras_optims.OPTIMIZERS.get(name)
    if ours is None or ours not in {each.ours for each in NAMESAKES}:
        known = [key for key, value in keras_optims.OPTIMIZERS.items() if value in {each.ours for each in NAMESAKES}]
        sys.exit(f"--optimizer must be one of {', '.join(known)}; received {name!r}.")
    return {"ours": ours, "keras": lambda: keras_optims.to_keras(ours())}


def measure(case, contestants, arguments):
    """What is found of one case."""
    import keras
    import numpy as np

    make, x, y, batch_size, loss, whole = task(case, arguments.steps)
    jit = {"auto": "auto", "on": True, "off": False}[arguments.jit]
    models, first, taken, processor = {}, {}, {name: [] for name in NAMES}, {name: [] for name in NAMES}
    for name, optimizer in contestants.items():
        keras.utils.set_random_seed(0)
        models[name] = make()
        models[name].compile(optimizer(), loss, jit_compile=jit)
        first[name], _ = epoch(models[name], x, y, batch_size)
    for number in range(arguments.rounds):
        for name in NAMES if number % 2 == 0 else NAMES[::-1]:
            for clock, seconds in zip((taken, processor), epoch(models[name], x, y, batch_size), strict=True):
                clock[name].append(seconds)
    times = sorted(ratios(taken))
    step = {name: statistics.median(each) / (len(x) // batch_size) for name, each in taken.items()}
    return {
        "weights": sum(int(np.prod(variable.shape)) for variable in models["ours"].trainable_variables),
        "milliseconds": {name: 1e3 * each for name, each in step.items()},
        "seconds": whole and {name: whole * each for name, each in step.items()},
        "times": statistics.median(times),
        "least": times[0],
        "most": times[-1],
        "processor": statistics.median(ratios(processor)),
        "first": first,
    }


def ratios(taken):
    """Of each round, Keras over ours."""
    return [theirs / ours for ours, theirs in zip(taken["ours"], taken["keras"], strict=True)]


def epoch(model, x, y, batch_size) -> tuple[float, float]:
    """The seconds of one, by the clock and of all processors; `fit` ends when the loss of its last step is there."""
    begun, worked = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=batch_size, epochs=1, shuffle=False, verbose=0)
    return time.perf_counter() - begun, time.process_time() - worked


def task(case, steps):
    """A function that makes the model, samples for at most so many steps, batch size, loss, and a whole epoch's steps."""
    import keras
    import numpy as np

    from tuning.problems import make_problem

    if case in PROBLEMS:
        problem = make_problem(case)
        train, batch_size = problem.load().train, problem.batch_size
        whole = len(train[0]) // batch_size
        x, y = (side[: min(steps, whole) * batch_size] for side in train)
        return problem.build, x, y, batch_size, problem.loss, whole
    make, shape, batch_size = synthetic(case)
    rng = np.random.default_rng(0)
    count = steps * batch_size
    if case in HIGHEST:
        x = rng.integers(HIGHEST[case], size=(count, *shape)).astype("int32")
    else:
        x = rng.normal(size=(count, *shape)).astype("float32")
    y = rng.integers(10, size=(count, *shape) if case == "transformer" else count)
    return make, x, y, batch_size, keras.losses.SparseCategoricalCrossentropy(from_logits=True), None


HIGHEST = {"transformer": 65, "embedding": 300_000}


def synthetic(case):
    """A function that makes the model, the shape of a sample, and the batch size."""
    import keras
    from keras import layers

    from tuning.problems import make_problem

    def chain(shape, *hidden, dtype="float32"):
        return keras.Sequential([keras.Input(shape, dtype=dtype), *hidden, layers.Dense(10)])

    def resnet50():
        return keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None)

    def transformer():
        return make_problem("shakespeare_gpt").build({"layers": 6, "width": 256})

    def wide():
        return chain((1024,), *[layers.Dense(2048, activation="relu") for _ in range(3)])

    def deep():
        return chain((32,), *[layer for _ in range(100) for layer in (layers.Dense(32, "relu"), layers.LayerNormalization())])

    def embedding():
        return chain((20,), layers.Embedding(300_000, 64), layers.GlobalAveragePooling1D(), dtype="int32")

    return {
        "resnet50": (resnet50, (64, 64, 3), 16),
        "transformer": (transformer, (128,), 8),
        "wide": (wide, (1024,), 64),
        "deep": (deep, (32,), 64),
        "embedding": (embedding, (20,), 64),
    }[case]


if __name__ == "__main__":
    sys.exit(main())
