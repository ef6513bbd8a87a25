"""What `keras_optims.StepLogger` costs: how much longer a step takes that logs.

    python scripts/benchmark_step_log.py [--steps 300] [--json]        # KERAS_BACKEND=jax|torch for the others

Two nets on random data of MNIST's shape: a perceptron 784-512-256-10 at batch size 128, and the problem `mnist_cnn` at 64. In one
training every second step logs, to a CSV file and to TensorBoard; the others run the function that they run without the callback.
Each step is waited for. Printed are the medians of both kinds, after a warm-up, and what logging adds on every 100th step.
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

WARM_UP = 20  # steps


def perceptron():
    """Three dense layers, 0.54 million weights."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(256, activation="relu"),
            layers.Dense(10),
        ]
    )


NETS = {"784-512-256-10": (perceptron, 128), "mnist_cnn": (mnist_cnn().model, 64)}


class StepTimes(keras.callbacks.Callback):
    """The milliseconds of each step."""

    def __init__(self):
        super().__init__()
        self.taken: list[float] = []

    def on_train_batch_begin(self, batch, logs=None):
        """Starts the clock."""
        self._begun = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Waits for the step."""
        float(logs["loss"])
        self.taken.append(1000 * (time.perf_counter() - self._begun))


def measure(net, batch_size, steps, folder) -> dict[str, float]:
    """Medians of the milliseconds of a step that logs and of one that does not."""
    rng = np.random.default_rng(0)
    x = rng.integers(256, size=(batch_size * steps, 28, 28, 1), dtype="uint8")
    y = rng.integers(10, size=batch_size * steps)
    keras.utils.set_random_seed(0)
    model = net()
    model.compile(keras_optims.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    times = StepTimes()  # first, so that its clock runs while the next one begins the batch
    callbacks = [times, keras_optims.StepLogger(folder / "steps.csv", folder, every=2)]
    model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=callbacks)
    return {"plain": statistics.median(times.taken[WARM_UP::2]), "logged": statistics.median(times.taken[WARM_UP + 1 :: 2])}


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for name, (net, batch_size) in NETS.items():
        with tempfile.TemporaryDirectory() as folder:
            medians = measure(net, batch_size, options.steps, pathlib.Path(folder))
        more = medians["logged"] / medians["plain"] - 1
        results.append({"backend": keras.backend.backend(), "net": name, "milliseconds": medians, "every_100_adds": more / 100})
        if not options.json:
            plain, logged = medians["plain"], medians["logged"]
            print(
                f"{keras.backend.backend():10}  {name:15}  a step {plain:.2f} ms, one that logs {logged:.2f} ms: "
                f"every 100th adds {more / 100:.2%}"
            )
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
