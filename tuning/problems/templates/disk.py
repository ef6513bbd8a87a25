"""Data that stay on disk: files of NumPy, of which a batch reads what it needs. Put your files in the place of these."""

import pathlib

import keras
import numpy as np
from sklearn.datasets import load_digits

import tuning

FOLDER = pathlib.Path("my_files")  # with x.npy and y.npy; seen from where the command runs
HELD_OUT = 360  # samples at the end, to select settings by


class Batches(keras.utils.PyDataset):
    """The samples from `first` to `last`, in batches. What is read from disk is read in here."""

    def __init__(self, first, last, batch_size=32):
        super().__init__()
        self.x = np.load(FOLDER / "x.npy", mmap_mode="r")[first:last]  # nothing is read yet
        self.y = np.load(FOLDER / "y.npy", mmap_mode="r")[first:last]
        self.batch_size = batch_size

    def __len__(self):
        return len(self.x) // self.batch_size

    def __getitem__(self, number):
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return self.x[part].astype("float32") / 16, np.array(self.y[part])


def write_files():
    """For this example alone: the digits that scikit-learn brings."""
    x, y = load_digits(return_X_y=True)
    FOLDER.mkdir(exist_ok=True)
    np.save(FOLDER / "x.npy", x.astype("uint8"))
    np.save(FOLDER / "y.npy", y)


def data():
    """Called once in each process that trains. Batches need validation data of their own."""
    if not (FOLDER / "y.npy").exists():
        write_files()
    count = len(np.load(FOLDER / "y.npy", mmap_mode="r"))
    return tuning.Data(train=Batches(0, count - HELD_OUT), validation=Batches(count - HELD_OUT, count))


def model():
    """A new model for each trial, not compiled."""
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)])


def make_problem():
    """What `--problem` names."""
    return tuning.Problem(
        name="my_files",
        data=data,
        model=model,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        objective="val_accuracy",
        epochs=5,
    )
