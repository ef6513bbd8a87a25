"""Writes tuning/space/optimizers.json: what the command line must know of the optimizers before it imports them."""

import json

import keras_optims
from keras_optims.names import ALIASES
from tuning.space import catalogue


def content() -> str:
    """Of the file."""
    optimizers = {
        name: described(cls, family) for family, members in keras_optims.FAMILIES.items() for name, cls in members.items()
    }
    return json.dumps({"optimizers": optimizers, "called_elsewhere": ALIASES}, ensure_ascii=False, indent=1) + "\n"


def described(optimizer, family: str) -> dict:
    """The entry of an optimizer's class."""
    declared = optimizer.hyperparameters()
    axes = {
        name: {
            "symbol": hyperparameter.symbol,
            "default": hyperparameter.default,
            "low": hyperparameter.search.low,
            "high": hyperparameter.search.high,
            "scale": hyperparameter.search.scale,
        }
        for name, hyperparameter in declared.items()
        if hyperparameter.search is not None and hyperparameter.search.by_default
    }
    return {
        "class": f"keras_optims.{optimizer.__name__}",
        "family": family,
        "summary": (optimizer.__doc__ or "").strip().partition("\n")[0].rstrip("."),
        "search": axes,
        "hyperparameters": list(declared),
        "options": list(optimizer.options()),
    }


if __name__ == "__main__":
    catalogue.FILE.write_text(content(), encoding="utf-8")
    print(catalogue.FILE)
