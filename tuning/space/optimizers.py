"""The optimizers that a search can tune: this package's, Keras's, and any class of one's own; and what they declare."""

from __future__ import annotations

import dataclasses
import inspect
import numbers
from collections.abc import Mapping
from typing import Any

import keras

import keras_optims
from keras_optims.hyperparameter import SearchRange
from tuning.errors import SearchError
from tuning.names import meant
from tuning.space.catalogue import check_optimizer

_NOT_TO_RUN = ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")  # Keras's base class, and what is put around others
_NOT_SETTABLE = ("name", "kwargs")


@dataclasses.dataclass(frozen=True)
class Argument:
    """A number that the constructor of a class of Keras takes, as a search sees a hyperparameter of ours.

    Args:
        name: of the argument.
        default: its value where none is given.
        symbol: as the literature writes it, if an optimizer of this package has one of this name.
        search: where a search looks, if that is known.
        ours: what our optimizer declares of this name.
    """

    name: str
    default: Any
    symbol: str = ""
    search: SearchRange | None = None
    ours: Any = None

    def validate(self, value: Any) -> Any:
        """The value, if it is one that our optimizer would take, or any number or none; else `ValueError`."""
        if self.ours is not None:
            return self.ours.validate(value)
        if value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool)):
            return value
        raise ValueError(f"{self.name} must be a number; received {value!r}.")


@dataclasses.dataclass(frozen=True)
class Choice:
    """An argument that is no number: a flag, or anything that the optimizer itself checks."""

    name: str
    default: Any
    choices: tuple[Any, ...] = ()

    def validate(self, value: Any) -> Any:
        """The value; of a flag `ValueError` if it is none."""
        if isinstance(self.default, bool) and not isinstance(value, bool):
            raise ValueError(f"{self.name} must be True or False; received {value!r}.")
        return value


@dataclasses.dataclass(frozen=True)
class Tunable:
    """An optimizer class and what it declares.

    Args:
        name: as the command line has it: `adam`, `keras:adam`; of a class of one's own its own.
        cls: the class.
        hyperparameters: its numbers, by name.
        options: its other arguments, by name.
    """

    name: str
    cls: type[keras.optimizers.Optimizer]
    hyperparameters: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def is_ours(self) -> bool:
        """Whether its hyperparameters are state, so that another value compiles nothing."""
        return issubclass(self.cls, keras_optims.Optimizer)

    @property
    def named(self) -> str | type:
        """By what a search is told of it."""
        return self.name if self.name in keras_optims.OPTIMIZERS or self.name.startswith("keras:") else self.cls

    @property
    def declared(self) -> dict[str, Any]:
        """All arguments of its constructor."""
        return {**self.hyperparameters, **self.options}


def tunable(optimizer: str | type) -> Tunable:
    """What a name or a class stands for, or `SearchError`."""
    cls = optimizer_class(optimizer)
    names: dict[type, str] = {ours: name for name, ours in keras_optims.OPTIMIZERS.items()}
    names |= {theirs: f"keras:{name}" for name, theirs in of_keras().items()}
    name = names.get(cls, cls.__name__)
    if issubclass(cls, keras_optims.Optimizer):
        return Tunable(name, cls, cls.hyperparameters(), cls.options())
    hyperparameters, options = _of_constructor(cls)
    return Tunable(name, cls, hyperparameters, options)


def optimizer_class(optimizer: str | type) -> type[keras.optimizers.Optimizer]:
    """The class that a command-line name or a class stands for, or `SearchError`."""
    known = of_keras()
    if isinstance(optimizer, str):
        check_optimizer(optimizer)
        if optimizer in keras_optims.OPTIMIZERS:
            return keras_optims.OPTIMIZERS[optimizer]
        name = optimizer.removeprefix("keras:").lower()
        if name in known:
            return known[name]
        raise SearchError(
            f"OPTIMIZER of Keras must be one of {', '.join(f'keras:{each}' for each in sorted(known))}; received {optimizer!r}."
            f"{meant(f'keras:{name}', [f'keras:{each}' for each in known])}"
        )
    if inspect.isclass(optimizer) and issubclass(optimizer, keras.optimizers.Optimizer):
        return optimizer
    raise SearchError(
        f"The optimizer must be a name ({', '.join(keras_optims.OPTIMIZERS)}, or keras:NAME) or a subclass of "
        f"keras.optimizers.Optimizer; received {optimizer!r}."
    )


def of_keras() -> dict[str, type[keras.optimizers.Optimizer]]:
    """Keras's own optimizers, by their names in small letters."""
    return {
        cls.__name__.lower(): cls
        for cls in vars(keras.optimizers).values()
        if inspect.isclass(cls) and issubclass(cls, keras.optimizers.Optimizer) and cls.__name__ not in _NOT_TO_RUN
    }


def public_name(optimizer: type) -> str:
    """How a user's line of Python calls the class: `keras_optims.Adam`, or `their_module.TheirClass`."""
    for module in (keras_optims, keras.optimizers):
        if getattr(module, optimizer.__name__, None) is optimizer:
            return f"{'keras.optimizers' if module is keras.optimizers else 'keras_optims'}.{optimizer.__name__}"
    return f"{optimizer.__module__}.{optimizer.__qualname__}"


def constructor_arguments(cls: type) -> dict[str, inspect.Parameter]:
    """The named arguments of the constructor of a class of Keras."""
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]  # of Keras, whose __new__ hides it
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def ours_like(cls: type) -> dict[str, Any]:
    """What is declared of the numbers of a class of Keras by our optimizer of the same name, else by any of ours."""
    declared: dict[str, Any] = {}
    for ours in sorted(keras_optims.OPTIMIZERS.values(), key=lambda ours: ours.__name__ != cls.__name__):
        declared = {**ours.hyperparameters(), **declared}
    arguments = constructor_arguments(cls)
    return {name: hyperparameter for name, hyperparameter in declared.items() if name in arguments}


def _of_constructor(cls: type) -> tuple[dict[str, Argument], dict[str, Choice]]:
    known, found, options = ours_like(cls), {}, {}
    for name, parameter in constructor_arguments(cls).items():
        default = None if parameter.default is parameter.empty else parameter.default
        is_number = isinstance(default, numbers.Real) and not isinstance(default, bool)
        if name in known:
            found[name] = Argument(name, default, known[name].symbol, known[name].search, known[name])
        elif is_number or (default is None and name.endswith(("norm", "clipvalue", "factor", "decay"))):
            found[name] = Argument(name, default)
        elif name not in _NOT_SETTABLE:
            options[name] = Choice(name, default)
    order = [name for name in known if name in found] + [name for name in found if name not in known]
    return {name: found[name] for name in order}, options
