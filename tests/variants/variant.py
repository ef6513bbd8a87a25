"""One setting of one optimizer, with its float64 twin and Keras's namesake."""

import dataclasses
from typing import Any

import keras_optims


@dataclasses.dataclass(frozen=True)
class Variant:
    """One setting of one optimizer.

    `arguments` holds all hyperparameters of the formula, given to the optimizer and to the twin alike. `keras` is the class of
    Keras with the same formula, or `None`. `from_keras` is the class that Keras's becomes by `from_keras`, where it is another
    one. `huge_gradient` is what one too large to be squared does: it "moves" the weight in proportion, "stops" it for its square
    is infinite, "breaks" it, or is no other than any: "bounded". `power_of_epsilon`: ε is in the unit of this power of a
    gradient, so that both can be scaled together; `None` where that changes something.
    """

    name: str
    make: type[keras_optims.Optimizer]
    twin: Any
    keras: Any
    arguments: dict[str, Any]
    from_keras: type[keras_optims.Optimizer] | None = None
    huge_gradient: str = "moves"
    power_of_epsilon: int | None = None

    @property
    def has_kernel(self) -> bool:
        """Whether the class names a kernel, which one backend has at least."""
        return self.make.kernel is not None

    def optimizer(self, **others):
        return self.make(**{**self.arguments, **others})

    def namesake(self, **others):
        return self.keras(**{**self.arguments, **others})

    def __str__(self):
        return self.name
