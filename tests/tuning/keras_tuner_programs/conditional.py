"""A program for KerasTuner: which hyperparameters there are depends on the values of others, and trials may fail."""

import keras
import keras_tuner as kt
import numpy as np


def build_model(hp):
    inputs = keras.Input((8, 8, 1))
    kind = hp.Choice("kind", ["mlp", "cnn"])
    if kind == "cnn":
        with hp.conditional_scope("kind", ["cnn"]):
            filters = hp.Int("filters", 2, 8, step=2)
            pooling = hp.Choice("pooling", ["max", "average"])
        if filters == 8:
            raise kt.errors.FailedTrialError("too large")
        x = keras.layers.Conv2D(filters, 3, activation="relu")(inputs)
        x = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[pooling](2)(x)
        x = keras.layers.Flatten()(x)
    else:
        x = keras.layers.Flatten()(inputs)
        with hp.conditional_scope("kind", ["mlp"]):
            for i in range(hp.Int("depth", 1, 2)):
                x = keras.layers.Dense(hp.Int(f"units_{i}", 4, 16), activation="relu")(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    optimizer = hp.Choice("optimizer", ["sgd", "adam"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        momentum = hp.Float("momentum", 0.0, 0.9, step=0.1) if optimizer == "sgd" else None
    made = keras.optimizers.SGD(0.05, momentum=momentum) if optimizer == "sgd" else keras.optimizers.Adam(0.01)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(made, loss=loss, metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")])
    return model


class BatchSizes(kt.Tuner):
    def run_trial(self, trial, *args, **kwargs):
        kwargs["batch_size"] = trial.hyperparameters.Int("batch_size", 16, 64, step=16)
        return super().run_trial(trial, *args, **kwargs)

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        print("ended:", trial.trial_id, trial.status)


x = np.random.default_rng(0).normal(size=(80, 8, 8, 1)).astype("float32")
y = (x.sum(axis=(1, 2, 3)) > 0).astype("int32") + (x[:, 0, 0, 0] > 1)

tuner = BatchSizes(
    oracle=kt.oracles.BayesianOptimizationOracle(
        objective=kt.Objective("val_accuracy", direction="max"), max_trials=6, num_initial_points=4, seed=3
    ),
    hypermodel=build_model,
    directory="my_dir",
    project_name="conditional",
)
tuner.search(x, y, epochs=1, validation_split=0.25, verbose=0)
best = tuner.get_best_hyperparameters()[0]
print("best setting:", best.values["kind"], best.values["batch_size"])
print("remaining:", tuner.remaining_trials)

hyperband = kt.Hyperband(build_model, "val_loss", max_epochs=3, factor=3, directory="my_dir", project_name="hyperband")
hyperband.search(x, y, validation_split=0.25, verbose=0)
print("brackets:", sorted({trial.hyperparameters.get("tuner/epochs") for trial in hyperband.oracle.trials.values()}))
