"""A program for KerasTuner: a HyperModel that builds and trains as it likes, and searches how it does."""

import keras
import keras_tuner
import numpy as np


class Classifier(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.Input((8,))])
        for i in range(hp.Int("layers", 1, 2)):
            model.add(
                keras.layers.Dense(hp.Int(f"units_{i}", 4, 16, step=4), activation=hp.Choice("activation", ["relu", "tanh"]))
            )
        if hp.Boolean("dropout"):
            model.add(keras.layers.Dropout(0.25))
        model.add(keras.layers.Dense(1, activation="sigmoid"))
        learning_rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
        model.compile(keras.optimizers.Adam(learning_rate), loss="binary_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, x, y, validation_data=None, **kwargs):
        if hp.Boolean("normalize"):
            x = (x - x.mean(axis=0)) / x.std(axis=0)
        return model.fit(
            x,
            y,
            validation_data=validation_data,
            batch_size=hp.Choice("batch_size", [16, 32]),
            shuffle=hp.Boolean("shuffle", default=True),
            **kwargs,
        )


x = np.random.default_rng(0).normal(size=(96, 8)).astype("float32")
y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype("float32")

tuner = keras_tuner.RandomSearch(
    Classifier(),
    objective="val_accuracy",
    max_trials=3,
    executions_per_trial=2,
    overwrite=True,
    directory="my_dir",
    project_name="own_fit",
    seed=7,
)
tuner.search_space_summary()
stopping = keras.callbacks.EarlyStopping("val_loss", patience=2)
tuner.search(x[:64], y[:64], epochs=3, validation_data=(x[64:], y[64:]), callbacks=[stopping])
tuner.results_summary()

models = tuner.get_best_models(num_models=2)
print("best model:", models[0].evaluate(x[64:], y[64:], verbose=0)[1])
best_hp = tuner.get_best_hyperparameters(num_trials=2)[0]
print("best setting:", best_hp.get("learning_rate"), best_hp["batch_size"])

model = tuner.hypermodel.build(best_hp)
history = tuner.hypermodel.fit(best_hp, model, x, y, epochs=2, verbose=0)
print("on all data:", len(history.history["loss"]), "epochs")
