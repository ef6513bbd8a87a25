"""Models that stay compiled from trial to trial.

Building a small model, tracing and compiling it takes far longer than training it for an epoch. So a process keeps the models
that it has compiled. A trial builds its own model, which is cheap as long as nothing is compiled; if one of the same structure is
kept, that one is put into the state of the new one - weights, seed generators, optimizer, hyperparameters - and trained in its
place. What it computes is then the same, bit for bit, as if the new model had been compiled.
"""

from __future__ import annotations

import collections
import functools
import gc
import json
import math
import random
import types
import warnings
from typing import Any

import keras
import numpy as np

import keras_optims
from keras_optims.keras_seam import layers_of
from tuning.runtime.machine import free_memory
from tuning.training import epochs, keras_seam, tensorflow_seam
from tuning.training.live import config_without_numbers, inner

# Of the models of different structure that a process keeps:
LEAST_KEPT, MOST_KEPT = 4, 64
SHARE_OF_MEMORY = 0.25  # of what would be free without them
FORGET_EVERY = 16  # models that had to go: TensorFlow is then told to let go what it still keeps of them
COMPILED_BYTES = 32 * 2**20  # what is compiled of one, beside its variables: measured were 6 to 30 MiB


class WarmModels:
    """The compiled models of a process, by structure.

    Args:
        bound: how many are kept; `None`: as many as fit into `SHARE_OF_MEMORY`. The one that was used longest ago goes first.
        ways: how `tuning.training.epochs.fit` may compile their epochs; `None`: as each model was compiled.
    """

    def __init__(self, bound: int | None = None, ways: tuple[str, ...] | None = None):
        self._bound = bound
        self._kept: collections.OrderedDict[str, keras.Model] = collections.OrderedDict()
        self.ways = ways
        self.hits = 0
        self._gone = 0

    def take(self, fresh: keras.Model) -> keras.Model:
        """The model to train in the place of `fresh`, which has just been built and compiled, or `fresh` itself."""
        key = structure(fresh)
        kept = self._kept.get(key) if key is not None else None
        if key is not None and kept is not None and adopt(kept, fresh):
            self._kept.move_to_end(key)
            self.hits += 1
            return kept
        if self.ways is not None:
            epochs.set_way(fresh, self.ways[0] if len(self.ways) == 1 else self.ways)
        if key is None:
            self._forget()
        else:
            self._kept[key] = fresh
            while not self._fit():
                self._kept.popitem(last=False)
                self._forget()
        return fresh

    def _forget(self) -> None:
        """One more model is gone, or will be after its trial."""
        self._gone += 1
        if self._gone % FORGET_EVERY == 0 and keras.backend.backend() == "tensorflow":
            gc.collect()  # a model refers to itself
            tensorflow_seam.forget_kernels()

    def _fit(self) -> bool:
        """Whether there is room for those that are kept."""
        count = len(self._kept)
        if self._bound is not None or count <= LEAST_KEPT:
            return count <= (self._bound or LEAST_KEPT)
        free = free_memory()
        if count > MOST_KEPT or free is None:
            return False
        held = sum(map(held_bytes, self._kept.values()))
        return held <= SHARE_OF_MEMORY * (held + free)

    def drop(self, model: keras.Model) -> None:
        """Forgets a model whose training was broken off, which may have left it in any state."""
        for key, kept in list(self._kept.items()):
            if kept is model:
                del self._kept[key]


_GLOBAL_GENERATOR: list[keras.random.SeedGenerator] = []


def seed_everything(seed: int) -> None:
    """Begins an execution: all generators are seeded, and names are counted from the start.

    Compiled functions hold on to Keras's global seed generator of the time when they were compiled, so that one is kept, and set
    to the state that a new one would have.
    """
    keras_seam.count_names_from_the_start()
    if not _GLOBAL_GENERATOR:
        keras.utils.set_random_seed(seed)
        _GLOBAL_GENERATOR.append(keras_seam.global_generator())
    reseed(seed)
    keras_seam.set_global_generator(None)
    new = keras_seam.global_generator()
    _GLOBAL_GENERATOR[0].state.assign(new.state.value)
    reseed(seed)  # the generator has drawn its own seed, which is not to change the model's initial weights


def reseed(seed: int) -> None:
    """Seeds the generators of Python, NumPy and the backend."""
    if keras.backend.backend() == "tensorflow" and _GLOBAL_GENERATOR:
        random.seed(seed)
        np.random.seed(seed)
        tensorflow_seam.seed_operations(seed)
        keras_seam.set_global_seed(seed)
    else:
        keras.utils.set_random_seed(seed)
    if _GLOBAL_GENERATOR:
        keras_seam.set_global_generator(_GLOBAL_GENERATOR[0])


def held_bytes(model: keras.Model) -> int:
    """About how much memory a compiled model takes; an optimizer that is not built yet counts as one with two slots."""
    optimizer = model.optimizer
    slots = optimizer.variables if optimizer is not None and optimizer.built else 2 * model.trainable_variables
    return COMPILED_BYTES + sum(math.prod(each.shape) * np.dtype(each.dtype).itemsize for each in [*model.variables, *slots])


def adopt(kept: keras.Model, fresh: keras.Model) -> bool:
    """Puts `kept` into the state of `fresh`, which has the same structure; `False` if that could not be done."""
    if kept.built and not fresh.built:  # a model that learns its input's shape from the data
        try:
            fresh.build_from_config(kept.get_build_config())
        except Exception:
            return False
    mine, new = kept.variables, fresh.variables
    if [_described_variable(v) for v in mine] != [_described_variable(v) for v in new]:
        return False
    for variable, other in zip(mine, new, strict=True):
        variable.assign(other.value)
    if kept.optimizer is not None and kept.optimizer.built:
        fresh.optimizer.build(fresh.trainable_variables)
        adopt_optimizer(kept.optimizer, fresh.optimizer)
    kept.stop_training = False
    return True


def adopt_optimizer(kept: keras.optimizers.Optimizer, fresh: keras.optimizers.Optimizer) -> None:
    """Puts an optimizer into the state of one of the same structure that is built for variables of the same shapes."""
    mine, new = inner(kept), inner(fresh)
    if isinstance(mine, keras_optims.Optimizer):
        for (source, held), (target, _) in zip(new.holders(), mine.holders(), strict=True):
            for hyperparameter in held.values():
                hyperparameter.copy_given(source, target)
    for variable, other in zip(kept.variables, fresh.variables, strict=True):
        variable.assign(other.value)


# -- structure -------------------------------------------------------------------------------------


def structure(model: keras.Model) -> str | None:
    """A text that is equal for models whose compiled functions are the same, or `None` if that cannot be known.

    It holds all that the model, its loss, metrics and optimizer say of themselves, but for the hyperparameters that are state of
    the optimizer. Functions and classes that are made anew each time count as different ones: what they remember cannot be seen.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Keras: that lambdas are unsafe to load
            parts = {
                "class": _identity(type(model)),
                "config": model.get_config(),
                "layers": [[_identity(type(layer)), _functions(layer)] for layer in layers_of(model)],
                "variables": [_described_variable(variable) for variable in model.variables],
                "optimizer": _optimizer_structure(model.optimizer),
                "compiled": {name: value for name, value in keras_seam.compiled_with(model).items() if name != "optimizer"},
                "run": [model.jit_compile, model.run_eagerly, model.steps_per_execution],
                "policy": keras.config.dtype_policy().name,
            }
            return json.dumps(parts, sort_keys=True, default=_described)
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return None


def _optimizer_structure(optimizer) -> Any:
    if optimizer is None:
        return None
    if inner(optimizer) is not optimizer:
        others = {name: value for name, value in optimizer.get_config().items() if name not in ("name", "inner_optimizer")}
        return [_identity(type(optimizer)), others, _optimizer_structure(inner(optimizer))]
    return [_identity(type(optimizer)), config_without_numbers(optimizer, without_those_of_schedules=True)]


def _described(value: Any) -> Any:
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, functools.partial)):
        return _identity(value)
    if hasattr(value, "get_config"):
        return [_identity(type(value)), value.get_config()]
    return [str(type(value)), keras.saving.serialize_keras_object(value)]


def _functions(layer) -> list:
    """The functions among a layer's attributes, such as activations, other than methods."""
    return [
        [name, _identity(value)]
        for name, value in sorted(vars(layer).items())
        if isinstance(value, (types.FunctionType, functools.partial)) and not hasattr(type(layer), name)
    ]


def _identity(value: Any) -> list:
    """Its name and its address: the model in question is kept, and what it refers to with it, so no other has this address."""
    return [getattr(value, "__module__", ""), getattr(value, "__qualname__", str(type(value))), id(value)]


def _described_variable(variable) -> list:
    return [list(variable.shape), str(variable.dtype), bool(variable.trainable)]
