"""How long a whole training takes, an epoch of `fit`: with ours and with Keras's namesake, in turns in one process.

    python scripts/benchmark_training.py [--backend tensorflow|jax|torch] [--optimizer adam] [--case NAME ...] [--steps N]
                                         [--rounds N] [--jit auto|on|off] [--json]

The models are those of the built-in problems, and, with synthetic data, ResNet-50 (images of 64x64) and a transformer of 6 layers
and width 256. Both contestants begin with the same weights, see the same batches, and are trained by Keras's own `fit`; what is
compared is the optimizer alone. A step's cost hardly shows where the model's own work is large; scripts/benchmark_update.py has
the step by itself. The first epoch of each, which compiles, is not counted, and printed. Each round trains every contestant for
an epoch, in turn; what counts is the median of the rounds' ratios.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time

PROBLEMS = (
    *("digits_mlp", "mnist_mlp", "mnist_cnn", "fashion_mnist_2c2d", "cifar10_cnn", "cifar10_3c3d", "cifar10_resnet20"),
    "shakespeare_gpt",
)
SYNTHETIC = ("resnet50", "transformer")


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
        print("| problem | weights | steps | ours, s | Keras, s | ours / Keras | first epoch, s |")
        print("|---|---|---|---|---|---|---|", flush=True)
    for case in arguments.case:
        found = measure(case, contestants, arguments)
        report["cases"][case] = found
        if not arguments.json:
            seconds, first = found["seconds"], found["first"]
            print(
                f"| {case} | {found['weights']:,} | {found['steps']} | {seconds['ours']:.3g} | {seconds['keras']:.3g} | "
                f"{found['ratio']:.2f} ({found['least']:.2f}-{found['most']:.2f}) | {first['ours']:.1f}, {first['keras']:.1f} |",
                flush=True,
            )
    if arguments.json:
        print(json.dumps(report))
    return 0


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

    make, x, y, batch_size, loss = task(case, arguments.steps)
    jit = {"auto": "auto", "on": True, "off": False}[arguments.jit]
    models, first, taken = {}, {}, {name: [] for name in contestants}
    for name, optimizer in contestants.items():
        keras.utils.set_random_seed(0)
        models[name] = make()
        models[name].compile(optimizer(), loss, jit_compile=jit)
        first[name] = epoch(models[name], x, y, batch_size)
    for number in range(arguments.rounds):
        for name in sorted(models, reverse=number % 2 == 1):
            taken[name].append(epoch(models[name], x, y, batch_size))
    ratios = sorted(ours / theirs for ours, theirs in zip(taken["ours"], taken["keras"], strict=True))
    return {
        "weights": sum(int(np.prod(variable.shape)) for variable in models["ours"].trainable_variables),
        "steps": len(x) // batch_size,
        "seconds": {name: statistics.median(each) for name, each in taken.items()},
        "ratio": statistics.median(ratios),
        "least": ratios[0],
        "most": ratios[-1],
        "first": first,
    }


def epoch(model, x, y, batch_size) -> float:
    """The seconds of one; `fit` ends when the loss of its last step is there."""
    begun = time.perf_counter()
    model.fit(x, y, batch_size=batch_size, epochs=1, shuffle=False, verbose=0)
    return time.perf_counter() - begun


def task(case, steps):
    """A function that makes the model, samples for at most so many steps, the batch size and the loss."""
    import keras
    import numpy as np

    from tuning.problems import make_problem

    if case in PROBLEMS:
        problem = make_problem(case)
        x, y = (side[: steps * problem.batch_size] for side in problem.load().train)
        return problem.build, x, y, problem.batch_size, problem.loss
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rng = np.random.default_rng(0)
    if case == "resnet50":
        x = rng.normal(size=(steps * 16, 64, 64, 3)).astype("float32")

        def resnet50():
            return keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None)

        return resnet50, x, rng.integers(10, size=len(x)), 16, loss
    problem = make_problem("shakespeare_gpt")
    x = rng.integers(65, size=(steps * 8, 128)).astype("uint8")
    return lambda: problem.build({"layers": 6, "width": 256}), x, rng.integers(65, size=x.shape), 8, loss


if __name__ == "__main__":
    sys.exit(main())
