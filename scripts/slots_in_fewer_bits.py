"""What `slot_dtype` costs and saves: bytes of the slots, milliseconds of a step, and how well MNIST or digits are learned.

    KERAS_BACKEND=tensorflow python scripts/slots_in_fewer_bits.py [--data-dir DIR] [--seeds N]

Digits (of scikit-learn) with a net of one hidden layer, and with `--data-dir` the problem `mnist_mlp` for one epoch. A step is
one of Adam on six matrices of 2048 x 2048; the three are run in turn, and the medians are printed.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_optims
from keras_optims.testing.compiled_step import CompiledStep

DTYPES = (None, "bfloat16", "int8")
MAKERS = {
    "adam": lambda **o: keras_optims.Adam(0.003, **o),
    "adamw": lambda **o: keras_optims.AdamW(0.003, weight_decay=0.1, **o),
    "lion": lambda **o: keras_optims.Lion(0.0005, **o),
    "momentum": lambda **o: keras_optims.Momentum(0.05, **o),
}


def main():
    """Prints the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="a folder with the real MNIST")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'':<10}" + "".join(f"{dtype or 'float32':>22}" for dtype in DTYPES))
    print(f"{'ms a step':<10}" + "".join(f"{1e3 * seconds:>22.1f}" for seconds in steps()))
    for name, make in MAKERS.items():
        print(f"{name:<10}" + "".join(shown(trained_on_digits(make, dtype, arguments.seeds)) for dtype in DTYPES), flush=True)
    if arguments.data_dir:
        for name in ("adam", "lion"):
            print(f"{name}, mnist".ljust(10) + "".join(shown(on_mnist(name, dtype, arguments)) for dtype in DTYPES), flush=True)


def shown(accuracies):
    """The mean, and the standard deviation between seeds."""
    return f"{statistics.mean(accuracies):>13.4f} ± {statistics.stdev(accuracies):.4f}"


def steps(rounds=15):
    """Seconds of a step of Adam for each dtype."""
    shapes = [(2048, 2048)] * 6
    gradients = [np.random.default_rng(0).normal(size=shape).astype("float32") for shape in shapes]
    made, times = [], [[] for _ in DTYPES]
    for dtype in DTYPES:
        variables = [keras.Variable(np.zeros(shape, "float32"), name=f"v{i}") for i, shape in enumerate(shapes)]
        made.append(CompiledStep(keras_optims.Adam(slot_dtype=dtype), variables))
        made[-1](gradients)
    for _ in range(rounds):
        for step, taken in zip(made, times, strict=True):
            begun = time.perf_counter()
            step(gradients)
            np.asarray(keras.ops.convert_to_numpy(step.variables[-1][0, 0]))
            taken.append(time.perf_counter() - begun)
    return [statistics.median(taken) for taken in times]


def trained_on_digits(make, dtype, seeds):
    """Validation accuracies."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    accuracies = []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(512, "relu"), keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(make(slot_dtype=dtype), loss, metrics=["accuracy"])
        model.fit(x[:1400], y[:1400], batch_size=64, epochs=8, verbose=0)
        accuracies.append(model.evaluate(x[1400:], y[1400:], verbose=0)[1])
    return accuracies


def on_mnist(name, dtype, arguments):
    """Validation accuracies after one epoch."""
    from tuning.problems import make_problem

    problem = make_problem("mnist_mlp", arguments.data_dir)
    data, accuracies = problem.load(), []
    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        model = problem.model()
        optimizer = {"adam": keras_optims.Adam(0.001, slot_dtype=dtype), "lion": keras_optims.Lion(0.0003, slot_dtype=dtype)}[
            name
        ]
        model.compile(optimizer, problem.loss, metrics=["accuracy"])
        model.fit(*data.train, batch_size=problem.batch_size, epochs=1, verbose=0)
        accuracies.append(model.evaluate(*data.validation, batch_size=1000, verbose=0)[1])
    return accuracies


if __name__ == "__main__":
    main()
