"""A program for KerasTuner that is started several times: as chief, and as workers."""

import os

import keras
import keras_tuner
import numpy as np


def build(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int("units", 2, 6)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")), loss="mse")
    return model


x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = x.sum(axis=1, keepdims=True)

tuner = keras_tuner.RandomSearch(build, objective="val_loss", max_trials=4, seed=5, directory="my_dir", project_name="shared")
tuner.search(x, y, epochs=1, validation_data=(x, y), verbose=0)
if "chief" not in os.environ["KERASTUNER_TUNER_ID"]:
    print("best setting:", tuner.get_best_hyperparameters()[0].get("units"))
    model = tuner.get_best_models()[0]
    print("best model:", model.evaluate(x, y, verbose=0))
