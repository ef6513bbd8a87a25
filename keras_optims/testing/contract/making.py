"""Making the optimizer under check, with or without one of the arguments that most Keras optimizers take."""

from __future__ import annotations

import inspect
from typing import Any

from keras_optims.testing.contract.check import MakeOptimizer, NotApplicable

CLIPPINGS = ("clipnorm", "clipvalue", "global_clipnorm")


def made(make_optimizer: MakeOptimizer, **arguments) -> Any:
    """A new optimizer.

    Raises:
        NotApplicable: it takes one of these arguments not at all.
    """
    for name in arguments:
        if not _takes(make_optimizer, name):
            raise NotApplicable(f"it has no argument {name}")
    try:
        return make_optimizer(**arguments)
    except TypeError as error:
        for name in arguments:  # a function of **kwargs takes everything, and what it calls does not
            if f"unexpected keyword argument '{name}'" in str(error):
                raise NotApplicable(f"it has no argument {name}") from None
        raise


def config_of(make_optimizer: MakeOptimizer) -> dict[str, Any]:
    """The config of such an optimizer."""
    return made(make_optimizer, learning_rate=0.1).get_config()


def bare(make_optimizer: MakeOptimizer, **arguments) -> Any:
    """A new optimizer without clipping, decay, averages, slow weights, loss scale, accumulation, but for what is asked for."""
    config = config_of(make_optimizer)
    off: dict[str, Any] = {name: None for name in (*CLIPPINGS, "loss_scale_factor", "gradient_accumulation_steps")}
    off = {name: value for name, value in off.items() if config.get(name) is not None}
    off |= {name: 0.0 for name in weight_decays(make_optimizer) if config[name]}
    if config.get("use_ema"):
        off["use_ema"] = False
    if config.get("lookahead"):
        off |= {"lookahead": None, "lookahead_alpha": None}
    return made(make_optimizer, **(off | arguments))


def weight_decays(make_optimizer: MakeOptimizer) -> list[str]:
    """The names of its weight decays; most optimizers have one, Muon has two."""
    return [name for name in config_of(make_optimizer) if name.endswith("weight_decay")]


def ties_its_variables(optimizer) -> bool:
    """Whether the gradient of one variable has an effect on the others, as its `begin_step` says, which sees all of them."""
    overrides = getattr(type(optimizer), "overrides", None)
    return overrides is not None and overrides("begin_step")


def numbers_of(config: dict[str, Any]) -> dict[str, float]:
    """The hyperparameters in a config: its floats, but for those that are off (0) and the learning rate.

    A value with which slots begin can have no effect once they exist.
    """
    return {
        name: value
        for name, value in config.items()
        if isinstance(value, float) and value != 0 and name != "learning_rate" and not name.startswith("initial_")
    }


def _takes(make_optimizer: MakeOptimizer, name: str) -> bool:
    try:
        parameters = inspect.signature(make_optimizer).parameters
    except (TypeError, ValueError):  # nothing is known of it
        return True
    return name in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
