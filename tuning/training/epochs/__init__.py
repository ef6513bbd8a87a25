"""Training and evaluating a model an epoch at a time: what `model.fit` does, without Python between the batches.

Keras hands a model one batch after the other from an iterator that Python drives. For arrays that fit in memory all of that can
be compiled: here the data are put on the device once for all trainings of a process, an epoch gets an order of the samples, and
TensorFlow or JAX runs its steps (torch, which compiles nothing, loops over slices of tensors that are there already). The step
is Keras's own `train_step`, and so are losses, metrics and callbacks.

`compiling` says how an epoch can be compiled, and which way is taken.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import math
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tuning.problems.streams import is_stream
from tuning.training import keras_seam
from tuning.training.epochs.compiling import CLEARLY, USUAL, WAYS, measurements_of, set_way, settle, way_of, ways
from tuning.training.measured import as_in_fit

__all__ = [
    "CLEARLY",
    "USUAL",
    "WAYS",
    "compiled_fit",
    "evaluate",
    "fit",
    "measurements_of",
    "set_way",
    "way_of",
    "ways",
]

MEASURED_STEPS = 8  # at most, of each way and in each turn
_SIGNATURE = inspect.signature(keras.Model.fit)


def fit(
    model: keras.Model,
    x=None,
    y=None,
    *,
    batch_size: int | None = None,
    epochs: int = 1,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    validation_split: float = 0.0,
    validation_data=None,
    validation_batch_size: int | None = None,
    shuffle: bool = True,
    initial_epoch: int = 0,
    **others: Any,
) -> keras.callbacks.History:
    """Trains a compiled model as `model.fit` does, with the same arguments and results, but a compiled epoch at a time.

    The order of the samples is another one than `model.fit` draws. It follows from NumPy's global generator, which
    `keras.utils.set_random_seed` seeds. What a compiled epoch does not serve is left to `model.fit`: data that are not arrays,
    weights of samples or classes, callbacks that want to hear of every batch, a `train_step` or `compute_metrics` of the model's
    own, eager execution and distribution.

        def fit(self, hp, model, *args, **kwargs):  # of a HyperModel; in there model.fit does the same
            return tuning.fit(model, *args, batch_size=hp.Choice("batch_size", [16, 64]), **kwargs)

    Args:
        model: compiled.
        x, y: arrays, or tuples or dicts of arrays, with the samples along the first axis.
        batch_size: samples per step; 32 by default. A last batch may be shorter.
        callbacks: called as by `model.fit`.
        validation_split, validation_data, validation_batch_size: as `model.fit` takes them.
        shuffle: draw a new order for each epoch.
        epochs, initial_epoch: as `model.fit` takes them. An epoch has its order of the samples wherever training begins.
        **others: further arguments of `model.fit`.

    Returns:
        The `History`.
    """
    verbose = others.pop("verbose", 0)
    others = {name: value for name, value in others.items() if value is not None}
    asked = f"{', '.join(others)} is asked for" if others else "verbose asks for progress" if verbose else None
    vars(model)["_why_not"] = reason = asked or why_not(model, x, y, validation_data, callbacks)
    if reason is not None:
        return type(model).fit(
            model,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            validation_batch_size=validation_batch_size,
            shuffle=shuffle and (isinstance(x, keras.utils.PyDataset) or not is_stream(x)),  # others have an order of their own
            initial_epoch=initial_epoch,
            verbose=verbose,
            **others,
        )
    batch_size = batch_size or 32
    train, validation = prepared(x, y, validation_data, validation_split)
    seed = np.random.randint(2**31)
    build(model, train, batch_size)
    compiled = _compiled(model, train, batch_size)
    orders = np.random.default_rng(seed)
    for _ in range(initial_epoch if shuffle else 0):
        orders.permutation(count(train))
    compiled.seed(seed)
    called = keras.callbacks.CallbackList(list(callbacks or ()), add_history=True, model=model, epochs=epochs)
    model.stop_training = False
    logs: dict[str, Any] = {}
    called.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        called.on_epoch_begin(epoch)
        order = orders.permutation(count(train)) if shuffle else np.arange(count(train))
        compiled.train(train, order.astype("int32"), batch_size)
        logs = _metrics(model)
        if validation is not None:
            called.on_test_begin()
            model.reset_metrics()
            compiled.test(validation, validation_batch_size or batch_size)
            results = _metrics(model)
            called.on_test_end(results)
            logs.update({f"val_{name}": value for name, value in results.items()})
        called.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    if isinstance(model.optimizer, keras.optimizers.Optimizer) and epochs > 0:
        model.optimizer.finalize_variable_values(model.trainable_weights)
    called.on_train_end(logs)
    return model.history


@contextlib.contextmanager
def compiled_fit(model: keras.Model) -> Iterator[None]:
    """In the block, `model.fit` is `fit`, with the arguments of the former."""
    if type(model).fit is not keras.Model.fit or "fit" in vars(model):  # it has its own
        yield
        return

    @functools.wraps(keras.Model.fit)
    def fit_of_model(*args, **kwargs):
        given = _SIGNATURE.bind(model, *args, **kwargs).arguments
        return fit(given.pop("self"), **given)

    vars(fit_of_model)["compiled"] = True
    vars(model)["fit"] = fit_of_model
    try:
        yield
    finally:
        vars(model).pop("fit", None)


def left_to_keras(model: keras.Model) -> str | None:
    """Why the last `fit` of this model left its epochs to `model.fit`; `None` if it compiled them."""
    return vars(model).get("_why_not")


def prepared(x, y, validation_data, validation_split: float):
    """The training data and the validation data, or `None`, on the device."""
    if validation_data is not None or not validation_split:
        return _on_device((x, y)), None if validation_data is None else _on_device(tuple(validation_data))
    first = math.floor(count((x, y)) * (1 - validation_split))  # as Keras splits: the last samples, before any shuffling
    return _on_device((x, y), 0, first), _on_device((x, y), first, count((x, y)))


def evaluate(model: keras.Model, x, y, *, batch_size: int | None = 32) -> dict[str, Any]:
    """What `model.evaluate(x, y, batch_size=batch_size, return_dict=True)` returns, computed as `fit` computes it."""
    if why_not(model, x, y, None, ()) is not None:
        return model.evaluate(x, y, batch_size=batch_size, return_dict=True, verbose=0)
    batch_size = batch_size or 32
    data = _on_device((x, y))
    build(model, data, batch_size)
    compiled = _compiled(model, data, batch_size)
    model.reset_metrics()
    compiled.test(data, batch_size)
    return _metrics(model)


# -- the way ---------------------------------------------------------------------------------------


def settled_way(model: keras.Model, train, batch_size: int) -> str:
    """How the epochs of a model are compiled, measured if there is still a choice."""
    order = np.arange(min(count(train) // batch_size or 1, MEASURED_STEPS) * batch_size, dtype="int32") % count(train)

    def measure(way: str):
        compiled = _of_backend().Epochs(model, way)

        def seconds() -> float:
            clock = time.perf_counter()
            compiled.train(train, order, batch_size)
            return (time.perf_counter() - clock) / (len(order) // batch_size)

        return seconds

    return settle(model, measure)


def _compiled(model, train, batch_size):
    """The compiled epochs of a model, made at the first call after `compile`."""
    way = settled_way(model, train, batch_size)
    kept = vars(model).get("_epochs")
    if (
        kept is None
        or kept.way != way
        or kept.optimizer is not model.optimizer
        or kept.loss is not keras_seam.compiled_loss(model)
    ):
        kept = vars(model)["_epochs"] = _of_backend().Epochs(model, way)
        kept.optimizer, kept.loss = model.optimizer, keras_seam.compiled_loss(model)
    return kept


def _of_backend():
    return importlib.import_module(f"tuning.training.epochs.{keras.backend.backend()}")


# -- what is served --------------------------------------------------------------------------------

_BATCH_HOOKS = (
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_batch_begin",
    "on_batch_end",
)


_REPLACED = ("fit", "evaluate", "train_step", "test_step", "make_train_function", "make_test_function", "compute_metrics")


def why_not(model, x, y, validation_data, callbacks) -> str | None:
    """Why `fit` does not compile the epochs of a training like this; `None`: it does."""
    kind = type(model)
    for name in _REPLACED:
        own = getattr(kind, name) is not getattr(keras.Model, name) or name in vars(model)
        if own and not getattr(vars(model).get(name), "compiled", False):
            return f"the model has a {name} of its own"
    for reason, holds in (
        ("the model is not compiled", not model.compiled or model.optimizer is None),
        ("the model runs eagerly", model.run_eagerly),
        ("nothing of the model is trainable", model.built and not model.trainable_variables),
        ("it is distributed", keras.distribution.distribution() or keras_seam.is_distributed(model)),
        ("torch compiles the model", keras.backend.backend() == "torch" and model.jit_compile),
        ("the validation data have weights", isinstance(validation_data, (tuple, list)) and len(validation_data) != 2),
        ("the data are no arrays x and y", y is None or not _are_arrays((x, y), validation_data)),
    ):
        if holds:
            return reason
    hearing = [type(callback).__name__ for callback in callbacks or () if _hears_batches(callback)]
    return f"{', '.join(hearing)} may hear of every batch" if hearing else None


def _are_arrays(train, validation) -> bool:
    if validation is not None and not isinstance(validation, (tuple, list)):
        return False
    arrays = [*keras.tree.flatten(train), *(array for array in keras.tree.flatten(validation) if array is not None)]
    return all(isinstance(array, np.ndarray) or keras.ops.is_tensor(array) for array in arrays)


def _hears_batches(callback) -> bool:
    for name in _BATCH_HOOKS:
        method = getattr(callback, name, None)
        if method is not None and getattr(method, "__func__", method) is not getattr(keras.callbacks.Callback, name):
            return True
    return False


# -- data, metrics ---------------------------------------------------------------------------------

_RESIDENT: dict[tuple, Any] = {}  # (identity, first, last) of a NumPy array -> the tensor, as long as the array lives


def forget_data() -> None:
    """Lets the device's copies of all data go: a new search reads its arrays anew, which may have changed meanwhile."""
    _RESIDENT.clear()


def _on_device(arrays, first: int | None = None, last: int | None = None):
    """The same structure of tensors, put on the device once for each array."""
    return keras.tree.map_structure(lambda array: _tensor(array, first, last), arrays)


def _tensor(array, first, last):
    if not isinstance(array, np.ndarray):
        return array if first is None else array[first:last]
    key = (id(array), first, last)
    if key not in _RESIDENT:
        dtype = keras.backend.floatx() if np.issubdtype(array.dtype, np.floating) else None  # as Keras casts
        weakref.finalize(array, _RESIDENT.pop, key, None)
        _RESIDENT[key] = keras.ops.convert_to_tensor(array[first:last], dtype=dtype)
    return _RESIDENT[key]


def count(data) -> int:
    """How many samples there are."""
    return int(keras.tree.flatten(data)[0].shape[0])


def build(model, data, batch_size) -> None:
    """Makes all variables of a model, its metrics and its optimizer, as `model.fit` does before it compiles anything."""
    keras_seam.make_variables(model, keras.tree.map_structure(lambda tensor: tensor[:batch_size], data))


def _metrics(model) -> dict[str, Any]:
    return as_in_fit(model.get_metrics_result())
