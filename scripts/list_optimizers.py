"""Writes tuning/space/optimizers.json: what the command line must know of the optimizers before it imports them."""

import json

import keras_optims
from keras_optims.names import ALIASES
from tuning.space import catalogue


def content() -> str:
    """Of the file."""
    optimizers = {
        name: catalogue.describe(cls, family)
        for family, members in keras_optims.FAMILIES.items()
        for name, cls in members.items()
    }
    return json.dumps({"optimizers": optimizers, "called_elsewhere": ALIASES}, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    catalogue.FILE.write_text(content(), encoding="utf-8")
    print(catalogue.FILE)
