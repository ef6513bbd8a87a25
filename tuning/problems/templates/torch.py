"""A module of torch, for `--backend torch`: here digits. Put your module and your data in the place of these."""

import keras
import torch
from sklearn.datasets import load_digits

import tuning


class Net(torch.nn.Module):
    """As one writes it in torch."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

    def forward(self, x):
        """Ten numbers for each sample."""
        return self.layers(x)


def data():
    """Called once in each process that trains. A `torch.utils.data.DataLoader` may stand in the place of (x, y)."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    return tuning.Data(train=(x[:1440], y[:1440]), test=(x[1440:], y[1440:]))


def model():
    """A new model for each trial, not compiled."""
    inputs = keras.Input((64,))
    return keras.Model(inputs, keras.layers.TorchModuleWrapper(Net(), output_shape=(None, 10))(inputs))


def make_problem():
    """What `--problem` names."""
    return tuning.Problem(
        name="my_module",
        data=data,
        model=model,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        objective="val_accuracy",
        batch_size=32,
        epochs=10,
    )
