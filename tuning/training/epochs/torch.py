"""Epochs on torch, which runs operation by operation: slices of tensors that are on the device already."""

from __future__ import annotations

import keras
import torch


class Epochs:
    """See `tuning.training.epochs`.

    Args:
        model: compiled and built.
        way: `"eager"`.
    """

    def __init__(self, model: keras.Model, way: str):
        self.way = way
        self._model = model

    def seed(self, seed: int) -> None:
        """Seeds torch's own generator, from which Keras's dropout draws; building a model may have drawn from it."""
        torch.manual_seed(seed)

    def train(self, data, order, batch_size: int) -> None:
        """Trains one epoch on the samples that `order`, an int32 array, names."""
        self._model.train()
        for chosen in torch.as_tensor(order).to(keras.tree.flatten(data)[0].device).split(batch_size):
            self._model.train_step(keras.tree.map_structure(lambda tensor, chosen=chosen: tensor[chosen], data))
        self._model.eval()

    def test(self, data, batch_size: int) -> None:
        """Evaluates all samples in their order."""
        self._model.eval()
        with torch.no_grad():
            for first in range(0, int(keras.tree.flatten(data)[0].shape[0]), batch_size):
                self._model.test_step(
                    keras.tree.map_structure(lambda tensor, first=first: tensor[first : first + batch_size], data)
                )
