"""What a whole training step takes with Adam of this package and with Adam of Keras: forward, backward, update, metrics, Python.

    python scripts/benchmark_training.py [--backend tensorflow|jax|torch] [--case NAME ...] [--rounds N] [--json]

`scripts/benchmark_update.py` measures the update alone. How much of that a training gains depends on its model: little where a
batch keeps the device busy, more the more variables there are, or weights for each sample. The two models, otherwise the same,
take turns in one process: each round is a `model.fit` of 20 batches; medians count.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
BATCHES = 20  # of a round
CASES = {
    "mlp": "784-128-10, batches of 64",
    "cnn": "two convolutions and two dense layers on 32 x 32 x 3, batches of 128",
    "wide": "three dense layers of 2048, batches of 64",
    "deep": "100 dense layers of 32 with layer normalization, batches of 64",
    "embedding": "mean of 20 rows of an embedding of 300,000 x 64, batches of 64",
}


def model_and_data(name, batch_rng):
    """A model without optimizer, the data of a round, and the size of a batch."""
    import keras
    from keras import layers

    def network(shape, *hidden, dtype="float32"):
        return keras.Sequential([keras.Input(shape, dtype=dtype), *hidden, layers.Dense(10)])

    batch = 128 if name == "cnn" else 64
    y = batch_rng.integers(0, 10, batch * BATCHES)
    if name == "embedding":
        x = batch_rng.integers(0, 300_000, (len(y), 20))
        return network((20,), layers.Embedding(300_000, 64), layers.GlobalAveragePooling1D(), dtype="int32"), x, y, batch
    shape = {"mlp": (784,), "cnn": (32, 32, 3), "wide": (1024,), "deep": (32,)}[name]
    x = batch_rng.normal(size=(len(y), *shape)).astype("float32")
    if name == "cnn":
        convolutions = [layers.Conv2D(filters, 3, strides=2, activation="relu") for filters in (32, 64)]
        hidden = [*convolutions, layers.Flatten(), layers.Dense(128, activation="relu")]
    elif name == "deep":
        hidden = [layer for _ in range(100) for layer in (layers.Dense(32, activation="relu"), layers.LayerNormalization())]
    else:
        hidden = [layers.Dense(128 if name == "mlp" else 2048, activation="relu") for _ in range(1 if name == "mlp" else 3)]
    return network(shape, *hidden), x, y, batch


def measured(name, rounds):
    """`{"ours": milliseconds a step, "keras": the same}`."""
    import keras
    import numpy as np

    import keras_optims

    runs = {}
    for label, optimizer in (("ours", keras_optims.Adam()), ("keras", keras.optimizers.Adam())):
        model, x, y, batch = model_and_data(name, np.random.default_rng(0))
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        runs[label] = lambda model=model, x=x, y=y, batch=batch: model.fit(x, y, batch_size=batch, verbose=0, shuffle=False)
        runs[label]()  # compiles
    times = {label: [] for label in runs}
    for _ in range(rounds):
        for label, run in runs.items():
            began = time.perf_counter()
            run()
            times[label].append((time.perf_counter() - began) / BATCHES * 1e3)
    return {label: statistics.median(each) for label, each in times.items()}


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--backend", choices=["tensorflow", "jax", "torch"], default=os.environ.get("KERAS_BACKEND", "tensorflow")
    )
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"--rounds must be at least 1; received {given.rounds}.")
    os.environ["KERAS_BACKEND"] = given.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    found = {}
    for name in given.case:
        found[name] = measured(name, given.rounds)
        if not given.json:
            ours, theirs = found[name]["ours"], found[name]["keras"]
            print(
                f"{name:10} ours {ours:7.2f} ms, Keras {theirs:7.2f} ms: {theirs / ours:5.2f} times as fast   ({CASES[name]})",
                flush=True,
            )
    if given.json:
        print(json.dumps({"backend": given.backend, "milliseconds": found}))


if __name__ == "__main__":
    main()
