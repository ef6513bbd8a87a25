"""One setting of one optimizer, with its float64 twin and Keras's namesake."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras_optims


@dataclasses.dataclass(frozen=True)
class Variant:
    """One setting of one optimizer.

    `arguments` holds all hyperparameters of the formula, given to the optimizer and to the twin alike. `keras` is the class of
    Keras with the same formula, or `None`; `from_keras` is what Keras's becomes by `from_keras`, where that is another class than
    `make`. `of_the_model` says that variables have an effect on one another, so that the twin's array is the whole model.

    `epsilon_power` is the power of a factor of the gradients by which ε has to grow for the weights to go the same way, or `None`
    where there is none. `overflow` is what a gradient does whose square is infinite: it `"moves"` the weight far away, or it
    `"stops"` it, or the weight is `"nan"`, or the step is no larger than others: `"bounded"`. `rates` are the effective learning
    rates of the last step, in float64, from all gradients and the arguments; `None` where the tests know them otherwise.
    """

    name: str
    make: type[keras_optims.Optimizer]
    twin: Any
    keras: Any
    arguments: dict[str, Any]
    from_keras: type[keras_optims.Optimizer] | None = None
    of_the_model: bool = False
    epsilon_power: int | None = None
    overflow: str = "moves"
    rates: Callable[..., Any] | None = None

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
