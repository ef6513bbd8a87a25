"""Small models and data for the tests."""

import keras
import numpy as np


def data(samples=64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 8)).astype("float32")
    y = (x[:, :3] @ rng.normal(size=(3, 4))).argmax(axis=1)
    return x, y


def dense_model(dropout=0.0, seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.BatchNormalization()]
    if dropout:
        layers.append(keras.layers.Dropout(dropout, seed=1))
    return keras.Sequential([*layers, keras.layers.Dense(4)])


def compiled(optimizer, model=None, **kwargs):
    model = dense_model() if model is None else model
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, **kwargs)
    return model


def fit(model, epochs=1, **kwargs):
    x, y = data()
    return model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, **kwargs)


def weights(model):
    return [np.array(w) for w in model.get_weights()]
