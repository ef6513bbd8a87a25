"""One setting of one optimizer, with its float64 twin and Keras's namesake."""

import dataclasses
from typing import Any

import keras_optims


@dataclasses.dataclass(frozen=True)
class Variant:
    """One setting of one optimizer.

    `arguments` holds all hyperparameters of the formula, given to the optimizer and to the twin alike. `keras` is the class of
    Keras with the same formula, or `None`. `of_the_model` says that variables have an effect on one another, so that the twin's
    array is the whole model.
    """

    name: str
    make: type[keras_optims.Optimizer]
    twin: Any
    keras: Any
    arguments: dict[str, Any]
    of_the_model: bool = False

    @property
    def elementwise(self) -> bool:
        """Whether elements have no effect on one another: a variable may be split, and several may be one."""
        return self.make.elementwise and not self.of_the_model

    @property
    def takes_rows(self) -> bool:
        """Whether a sparse gradient moves its rows alone."""
        return self.make.elementwise and not self.make.overrides("begin_step")

    @property
    def has_kernel(self) -> bool:
        """Whether there is a kernel of its formula."""
        return self.make.fused_kernel is not None

    def optimizer(self, **others):
        return self.make(**{**self.arguments, **others})

    def namesake(self, **others):
        return self.keras(**{**self.arguments, **others})

    def __str__(self):
        return self.name
