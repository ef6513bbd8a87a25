"""Trainings without any tuning: optimizers as their constructors make them, on the digits of scikit-learn, beside a tuned one.

    python scripts/train_untuned.py [--epochs 20] [--seeds 5]

Prints the test accuracy of each, mean and standard deviation over the seeds, and that of Adam with the best of four learning
rates that fall to 0 in a straight line. That best one is chosen by these accuracies themselves, so it is a little too good.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_optims

BATCH = 32
UNTUNED = {
    name: getattr(keras_optims, name)
    for name in ("Prodigy", "ScheduleFreeAdamW", "ScheduleFreeSGD", "Adam", "AdamW", "RMSprop", "Momentum", "GradientDescent")
}
RATES = (0.001, 0.003, 0.01, 0.03)


def accuracy(make_optimizer, epochs: int, seed: int) -> float:
    """On 397 images, after a training with 1,400."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1400], order[1400:]
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(make_optimizer(), loss, metrics=["accuracy"])
    model.fit(x[train] / 16, y[train], batch_size=BATCH, epochs=epochs, verbose=0)
    optimizer = model.optimizer
    if type(optimizer).__name__.startswith("ScheduleFree"):
        optimizer.swap_averaged_weights()  # to where it is to be evaluated
    return float(model.evaluate(x[test] / 16, y[test], batch_size=len(test), verbose=0, return_dict=True)["accuracy"])


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 on")
    arguments = parser.parse_args()
    steps = arguments.epochs * -(-1400 // BATCH)

    def several(make_optimizer):
        return np.array([accuracy(make_optimizer, arguments.epochs, seed) for seed in range(arguments.seeds)])

    for name, make in UNTUNED.items():
        _say(f"{name}()", several(make))
    tuned = {}
    for rate in RATES:
        falling = keras.optimizers.schedules.PolynomialDecay(rate, steps, 0.0)
        tuned[rate] = several(lambda falling=falling: keras_optims.Adam(falling))
    best = max(tuned, key=lambda rate: tuned[rate].mean())
    _say(f"Adam({best:g} falling to 0)", tuned[best])


def _say(name, found):
    print(f"{name:26} {found.mean():.4f} ± {found.std(ddof=1) if len(found) > 1 else 0.0:.4f}", flush=True)


if __name__ == "__main__":
    main()
