"""All that is used of Keras's private interface; another version of Keras that changes it fails in `tests/test_keras_seam.py`.

A new name here needs a reason: each is something that Keras offers in no public way.
"""

from __future__ import annotations

from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.random import seed_generator

PRIVATE = {
    "_iterations": "the number of calls of `apply`: the public `iterations` is that of updates",
    "_trainable_variables": "the model's variables, which Keras reads in `stateless_apply` and `SwapEMAWeights`",
    "_trainable_variables_indices": "their numbers, by which formulas in Keras's style look up their slots",
    "_var_key": "the identity of a variable, on all replicas",
    "_untrack_variable": "a hyperparameter that becomes a schedule has no variable",
    "_learning_rate": "the learning rate as it was given",
    "_distribution_strategy": "the tf.distribute strategy that an optimizer was made under (TensorFlow)",
}
"""Names of `keras.optimizers.Optimizer`, and why each is used."""

OF_VARIABLES = {"_layout": "how it is sharded over devices (JAX)"}
"""Names of `keras.Variable`."""

OF_MODELS = {
    "_call_has_training_arg": "whether a model's `call` takes `training`",
    "_compute_loss": "the loss, also of a model whose `compute_loss` takes no `training`",
    "_loss_tracker": "the mean of the losses, which `fit` shows",
}
"""Names of `keras.Model`, of which a train step is made."""

OF_LAYERS = {"_flatten_layers": "the layers inside of a model or a layer, all the way down"}
"""Names of `keras.layers.Layer`."""

OF_NAMESAKES = {
    "_model_variables_moving_average": "its averages, where `use_ema`; `SwapEMAWeights` finds ours by it",
    "_accumulated_gradients": "its half-accumulated gradients",
    "_exclude_from_weight_decay": "the keys of the variables left out of the weight decay",
    "_exclude_from_weight_decay_pattern": "the pattern of their names",
}
"""Names that only `from_keras` and `to_keras` use, of Keras's own optimizers; the slots' names are in `namesakes.py`."""


def calls(optimizer) -> Any:
    """The variable that counts the calls of `apply`."""
    return optimizer._iterations


def share_calls(optimizer, other):
    """Makes an optimizer count with another one's variable."""
    optimizer._untrack_variable(optimizer._iterations)
    vars(optimizer)["_iterations"] = other._iterations


def model_variables(optimizer) -> list:
    """The model's variables that an optimizer is built for."""
    return optimizer._trainable_variables


def set_built(optimizer, variables):
    """What Keras's own `build` does, but for averages and accumulators."""
    # Past `__setattr__`, by which TensorFlow would take the model's variables for the optimizer's own.
    vars(optimizer)["_trainable_variables"] = list(variables)
    vars(optimizer)["_trainable_variables_indices"] = {key_of(optimizer, v): i for i, v in enumerate(variables)}
    optimizer.built = True


def global_seed_generator() -> keras.random.SeedGenerator | None:
    """That of which functions draw that are given no seed; `None`: nothing has drawn of it yet."""
    return global_state.get_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR)


def drop_state_on_its_way(model):
    """Has `fit` on JAX, which hands the state from step to step, take it from the variables instead; for where a step raised."""
    if hasattr(model, "_jax_state_synced"):
        model._jax_state_synced = True


def layers_of(model) -> list:
    """A model or layer and all layers inside of it, an outer one before those in it."""
    return list(model._flatten_layers(include_self=True, recursive=True))


def layout_of(variable) -> Any:
    """How a model's variable is sharded over devices; `None` where it is not."""
    return getattr(variable, "_layout", None)


def takes_training(model) -> bool:
    """Whether a model's `call` takes `training`."""
    return model._call_has_training_arg


def loss_of(model, x, y, y_pred, sample_weight):
    """The loss of a batch in training, with the losses that the model's layers have added."""
    return model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)


def loss_tracker(model) -> Any:
    """The metric that `fit` shows as the loss."""
    return model._loss_tracker


def index_of(optimizer, variable) -> int:
    """The place of a model's variable among those that an optimizer is built for.

    Raises:
        ValueError: it is none of them.
    """
    indices = optimizer._trainable_variables_indices
    key = key_of(optimizer, variable)
    if key not in indices:
        raise ValueError(
            f"{type(optimizer).__name__} looks up {variable.name!r} by its number among the model's variables, and it is none of "
            "them. A formula that is declared elementwise works on parts and groups of variables: give it slots by add_slot."
        )
    return indices[key]


def key_of(optimizer, variable) -> Any:
    """The identity of a model's variable."""
    return optimizer._var_key(variable)


def untrack(optimizer, variable):
    """Makes a variable none of the optimizer's."""
    optimizer._untrack_variable(variable)


def given_learning_rate(optimizer) -> Any:
    """The learning rate of any Keras optimizer: a variable, a schedule or a callable."""
    return optimizer._learning_rate


def strategy(optimizer) -> Any:
    """The tf.distribute strategy under which an optimizer was made."""
    return optimizer._distribution_strategy


def averages(optimizer) -> list:
    """The moving averages of one of Keras's own optimizers, in the order of the model's variables."""
    return optimizer._model_variables_moving_average


def accumulators(optimizer) -> list:
    """The accumulated gradients of one of Keras's own optimizers, in the order of the model's variables."""
    return optimizer._accumulated_gradients


def excluded_from_weight_decay(optimizer) -> tuple[frozenset, Any]:
    """(keys of variables, pattern of names or `None`) of one of Keras's own optimizers."""
    keys = getattr(optimizer, "_exclude_from_weight_decay", ())
    return frozenset(keys), getattr(optimizer, "_exclude_from_weight_decay_pattern", None)


def set_excluded_from_weight_decay(optimizer, keys, pattern):
    """Leaves variables out of the weight decay of one of Keras's own optimizers."""
    optimizer._exclude_from_weight_decay, optimizer._exclude_from_weight_decay_pattern = set(keys), pattern


def is_torch_variant(cls) -> bool:
    """Whether a class is what Keras makes on torch in place of one of its optimizers' classes."""
    return cls.__module__.startswith("keras.src.backend.torch.") and issubclass(cls, keras.optimizers.Optimizer)
