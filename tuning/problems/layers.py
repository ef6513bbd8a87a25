"""Layers that several problems have in common."""

from __future__ import annotations

import keras


def hidden(units: int, layers: int, activation: str, dropout: float, **arguments) -> list[keras.Layer]:
    """Dense layers of equally many units, each followed by dropout, if there is any; `arguments`: of each."""
    found: list[keras.Layer] = []
    for _ in range(layers):
        found += [keras.layers.Dense(units, activation=activation, **arguments), *dropped(dropout)]
    return found


def dropped(dropout: float) -> list[keras.Layer]:
    """A layer of dropout, if there is any."""
    return [keras.layers.Dropout(dropout)] if dropout else []
