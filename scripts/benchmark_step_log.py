"""What `keras_optims.StepLogger` costs: a training with it and the same training without, in turns.

    python scripts/benchmark_step_log.py [--rounds 9] [--steps 100] [--json]        # KERAS_BACKEND=jax|torch for the others

Two nets on random data of MNIST's shape: a perceptron 784-512-256-10 at batch size 128, and the problem `mnist_cnn` at 64. In
each round `model.fit` trains one model for so many steps three times: without the callback, with it on every 100th step, and on
every step. Printed are medians over the rounds: the milliseconds a step without it, what the callback adds to them on every 100th
step, and how many steps one logged step costs more than another. Where the first of these drowns in noise, a hundredth of the
second tells the cost.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import keras
import numpy as np

import keras_optims
from tuning.problems.mnist import mnist_cnn

EVERY = {"without": None, "every 100": 100, "every step": 1}


def perceptron():
    """Three dense layers, 0.54 million weights."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(256, activation="relu"),
            layers.Dense(10),
        ]
    )


NETS = {"784-512-256-10": (perceptron, 128), "mnist_cnn": (mnist_cnn().model, 64)}


def measure(net, batch_size, steps, rounds, folder) -> dict[str, list[float]]:
    """The milliseconds a step of each round, by how it is logged."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch_size * steps, 28, 28, 1)).astype("float32")
    y = rng.integers(10, size=batch_size * steps)
    keras.utils.set_random_seed(0)
    model = net()
    model.compile(keras_optims.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callbacks = {
        name: [] if every is None else [keras_optims.StepLogger(folder / f"{every}.csv", folder / f"{every}", every)]
        for name, every in EVERY.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in EVERY}
    for repeat in range(rounds + 1):  # the first is the warm-up
        for name in EVERY:
            begun = time.perf_counter()
            model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=callbacks[name])
            if repeat:
                taken[name].append(1000 * (time.perf_counter() - begun) / steps)
    return taken


def added(taken: dict[str, list[float]], name: str) -> float:
    """What logging adds to a step, as a share of it: the median over the rounds, whose trainings run right after each other."""
    return statistics.median(time / without - 1 for time, without in zip(taken[name], taken["without"], strict=True))


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for name, (net, batch_size) in NETS.items():
        with tempfile.TemporaryDirectory() as folder:
            taken = measure(net, batch_size, options.steps, options.rounds, pathlib.Path(folder))
        result = {
            "backend": keras.backend.backend(),
            "net": name,
            "milliseconds_per_step": statistics.median(taken["without"]),
            "every_100_adds": added(taken, "every 100"),
            "steps_per_logged_step": added(taken, "every step"),
        }
        results.append(result)
        if not options.json:
            print(
                f"{result['backend']:10}  {name:15} {result['milliseconds_per_step']:6.2f} ms a step; every 100th logged: "
                f"{result['every_100_adds']:+.1%}; a logged step costs {result['steps_per_logged_step']:.2f} steps more"
            )
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
