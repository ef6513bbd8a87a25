"""Trains one small model with each optimizer of the package, on the Keras backend that KERAS_BACKEND names.

    python scripts/train_each.py [NAME ...]

With names, such as adam, with those optimizers alone.
"""

import sys

import keras
import numpy as np

import keras_optims

x = np.random.default_rng(0).normal(size=(2000, 8)).astype("float32")
y = (x[:, 0] * x[:, 1] > 0).astype("int32")  # no line separates the two classes

RATES = {"ftrl": 0.1, "adadelta": 1.0, "lars": 0.5, "prodigy": 1.0}  # whose rates have another unit; of the others, 0.01

for name in sys.argv[1:] or keras_optims.OPTIMIZERS:
    optimizer = keras_optims.OPTIMIZERS[name]
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer(learning_rate=RATES.get(name, 0.01)), loss=loss, metrics=["accuracy"])
    history = model.fit(x, y, batch_size=50, epochs=5, verbose=0).history
    print(f"{keras.backend.backend()}  {name:20}  loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}")
    assert history["loss"][-1] < history["loss"][0], f"{name} made no progress"
