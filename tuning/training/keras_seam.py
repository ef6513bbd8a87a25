"""All that searching uses of Keras's private interface; a version that changes it fails in `tests/tuning/test_seams.py`.

What the optimizers use of it stands in `keras_optims.keras_seam`.
"""

from __future__ import annotations

import io
from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.random import seed_generator
from keras.src.saving import saving_lib
from keras.src.utils.naming import reset_uids

OF_MODELS = {
    "_compile_loss": "the loss as it was compiled: another one is another training",
    "_compile_config": "the arguments of `compile`, also of loss and metrics",
    "_symbolic_build": "makes all variables of model, metrics and optimizer",
}
"""Names of a compiled `keras.Model`, and why each is used."""

OF_MODULES = {
    ("keras.src.utils.naming", "reset_uids"): "names are counted from the start in each trial",
    ("keras.src.random.seed_generator", "global_seed_generator"): "compiled functions hold on to the one of their time",
    ("keras.src.random.seed_generator", "GLOBAL_SEED_GENERATOR"): "where Keras keeps it",
    ("keras.src.backend.common.global_state", "set_global_attribute"): "puts it there",
    ("keras.src.backend.common.global_state", "get_global_attribute"): "looks there",
    ("keras.src.saving.saving_lib", "get_attr_skipset"): "what of Keras's own classes is never saved",
    ("keras.src.saving.saving_lib", "save_model"): "writes a model into memory, too; the public one wants a path",
}
"""(Module, name), and why each is used."""


def compiled_loss(model: keras.Model) -> Any:
    """The loss of a compiled model, as Keras made it."""
    return model._compile_loss


def compiled_with(model: keras.Model) -> dict[str, Any]:
    """The arguments of a model's `compile`."""
    return model._compile_config.config


def make_variables(model: keras.Model, batch) -> None:
    """Makes all variables of a model, its metrics and its optimizer, as `model.fit` does before it compiles anything."""
    model._symbolic_build(data_batch=batch)


def is_distributed(model: keras.Model) -> bool:
    """Whether a model was made under a `tf.distribute` strategy."""
    return bool(getattr(model, "_distribute_strategy", None))


def count_names_from_the_start() -> None:
    """Layers and variables get their names as in a fresh process."""
    reset_uids()


def remember_what_is_never_saved() -> None:
    """Lets Keras find out once which attributes of its classes no file has, a fourth of the time that saving a small model takes.

    It keeps them under another name than that under which it looks for them.
    """
    for kind in ("Layer", "Functional", "Sequential", "Metric", "Optimizer", "Loss"):
        name = f"saving_attr_skiplist_{kind}"
        if global_state.get_global_attribute(name) is None:
            global_state.set_global_attribute(name, saving_lib.get_attr_skipset(kind))


def saved(model: keras.Model) -> bytes:
    """A model as the content of a `.keras` file."""
    remember_what_is_never_saved()
    content = io.BytesIO()
    saving_lib.save_model(model, content)
    return content.getvalue()


def global_generator() -> keras.random.SeedGenerator:
    """Keras's global seed generator; a new one, if there is none."""
    return seed_generator.global_seed_generator()


def set_global_generator(generator: keras.random.SeedGenerator | None) -> None:
    """Puts a generator in the place of Keras's global one, or takes that away."""
    global_state.set_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR, generator)


def set_global_seed(seed: int) -> None:
    """What `keras.utils.set_random_seed` tells Keras itself."""
    global_state.set_global_attribute("global_random_seed", seed)
    set_global_generator(None)
