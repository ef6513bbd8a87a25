"""`get_config` and `from_config`: what a saved optimizer is made anew from."""

from __future__ import annotations

import inspect
import json

from keras_optims.testing.contract.check import MakeOptimizer, contract_check, require
from keras_optims.testing.contract.making import made, numbers_of
from keras_optims.testing.contract.walking import require_equal, sample_gradients, walk


@contract_check
def config_round_trip(make_optimizer: MakeOptimizer) -> None:
    """`from_config(get_config())` makes an optimizer of the same config and the same steps, also by way of JSON.

    Saving, cloning and tuning a model go this way.
    """
    optimizer = made(make_optimizer, learning_rate=0.25)
    config = optimizer.get_config()
    again = type(optimizer).from_config(json.loads(json.dumps(config)))
    found = again.get_config()
    require(found == config, f"the config of from_config(config) is another one: {_difference(found, config)}")
    gradients = sample_gradients(3)
    what = "the weights after three steps of from_config(config), and of the original"
    require_equal(walk(again, gradients)[-1], walk(optimizer, gradients)[-1], what)


@contract_check
def config_keeps_every_argument(make_optimizer: MakeOptimizer) -> None:
    """Every argument of the constructor is in the config, with the value that was given.

    What is not in it falls back to its default when a model is loaded.
    """
    optimizer = made(make_optimizer, learning_rate=0.25)
    config = optimizer.get_config()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    arguments = [name for name, parameter in inspect.signature(type(optimizer)).parameters.items() if parameter.kind in named]
    missing = [name for name in arguments if name not in config]
    require(not missing, f"the config lacks {', '.join(missing)}")
    changed = {name: value / 2 for name, value in numbers_of(config).items()}
    changed |= {name: not value for name, value in config.items() if isinstance(value, bool)}
    found = type(optimizer).from_config(config | changed).get_config()
    require(found == config | changed, f"the config gives other values than were given: {_difference(found, config | changed)}")


@contract_check
def config_is_exact(make_optimizer: MakeOptimizer) -> None:
    """The learning rate comes back from the config as the number that was given.

    0.0010000000474974513 in place of 0.001 makes equal configs unequal, and reads badly in every log.
    """
    found = made(make_optimizer, learning_rate=0.001).get_config()["learning_rate"]
    require(found == 0.001, f"a learning rate of 0.001 comes back as {found!r}")


def _difference(found: dict, expected: dict) -> str:
    names = [name for name in sorted({*found, *expected}, key=str) if found.get(name) != expected.get(name)]
    return ", ".join(f"{name} {found.get(name)!r}, not {expected.get(name)!r}" for name in names)
