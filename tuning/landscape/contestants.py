"""Who runs on a surface: an optimizer of this package or of Keras with its settings, from a text to the object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

import keras_optims
from keras_optims.hyperparameter import Hyperparameter
from tuning.errors import SearchError, one_line
from tuning.landscape.surfaces import Surface
from tuning.space.axes import value_text
from tuning.space.optimizers import constructor_arguments, optimizer_class, ours_like

CORE = ("gradient_descent", "momentum", "adagrad", "rmsprop", "adam")

_OF_MATRICES = {cls.__name__ for cls in keras_optims.FAMILIES["matrix methods"].values()}
_TITLES = {"gradient_descent": "Gradient descent", "adagrad": "AdaGrad", "rmsprop": "RMSProp"}


@dataclasses.dataclass(frozen=True)
class Contestant:
    """An optimizer with its settings.

    Args:
        name: as the command line knows it, e.g. `adam` or `keras:adam`.
        cls: its class.
        settings: the arguments of its constructor; its learning rate is always among them.
    """

    name: str
    cls: type[keras.optimizers.Optimizer]
    settings: Mapping[str, Any]

    def make(self) -> keras.optimizers.Optimizer:
        """The optimizer; `SearchError` if it does not take the settings."""
        try:
            return self.cls(**self.settings)
        except (TypeError, ValueError) as error:
            raise SearchError(f"{self.title} does not accept {_listed(self.settings)}: {one_line(error)}") from error

    @property
    def is_ours(self) -> bool:
        """Whether it is of this package, so that all its hyperparameters can be set at any time."""
        return issubclass(self.cls, keras_optims.Optimizer)

    @property
    def title(self) -> str:
        """Its name for people."""
        name = self.name.rpartition(":")[2]
        return f"{'' if self.is_ours else 'Keras '}{_TITLES.get(name, self.cls.__name__)}"

    @property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """What is declared of its numbers, by name; of Keras's, by our optimizer of the same name, else by any of ours."""
        if self.is_ours:
            return self.cls.hyperparameters()
        return ours_like(self.cls)

    @property
    def label(self) -> str:
        """Its title with η, its γ, ρ or β, and whatever else was set: `Momentum (η=0.01, γ=0.9)`."""
        return f"{self.title} ({', '.join(self.said())})"

    def said(self, without: Sequence[str] = ()) -> list[str]:
        """Each setting as a label says it, `γ=0.9`, but for those of these names."""
        known = self.hyperparameters
        shown = dict(self.settings)
        for name, hyperparameter in known.items():
            if name not in shown and hyperparameter.search is not None and hyperparameter.search.by_default:
                shown[name] = hyperparameter.default if self.is_ours else constructor_arguments(self.cls)[name].default
        order = [name for name in known if name in shown] + [name for name in shown if name not in known]
        return [_said(known, name, shown[name]) for name in order if name not in without]


def contestants(
    texts: Sequence[str], fix: Mapping[str, Any], surface: Surface, settings: Sequence[Mapping[str, Any]]
) -> list[Contestant]:
    """The contestants of a command.

    Args:
        texts: names, each with `keras:` before it if it is one of Keras's.
        fix: settings of all those that have them.
        surface: whose learning rates are the default.
        settings: of each of them alone; these come before `fix`.

    Raises:
        SearchError: an unknown name, a setting that is not the optimizer's or that none of them has, a value that is not allowed.
    """
    classes = [optimizer_class(text) for text in texts]
    for text, cls in zip(texts, classes, strict=True):
        if cls.__name__ in _OF_MATRICES:
            raise SearchError(
                f"{text} is a method for matrices, and the two weights of a landscape are a vector, which it leaves to Adam; run "
                f"adam or adamw instead; received {text!r}."
            )
    for name in fix:
        if not any(name in _settable(cls) for cls in classes):
            known = dict.fromkeys(known for cls in classes for known in _settable(cls))
            raise SearchError(f"--fix {name}: none of the optimizers has it; they have {', '.join(known)}; received {name!r}.")
    return [
        _contestant(text, cls, {**{name: value for name, value in fix.items() if name in _settable(cls)}, **own}, surface)
        for text, cls, own in zip(texts, classes, settings, strict=True)
    ]


def _contestant(name: str, cls: type, settings: dict[str, Any], surface: Surface) -> Contestant:
    declared: dict[str, Any] = {**cls.hyperparameters(), **cls.options()} if issubclass(cls, keras_optims.Optimizer) else {}
    for setting, value in settings.items():
        if setting not in _settable(cls):
            raise SearchError(f"{name} has no setting {setting!r}; it has {', '.join(_settable(cls))}.")
        if isinstance(value, str) and not getattr(declared.get(setting), "choices", ()):
            raise SearchError(f"{setting} of {name} must be a number, true, false or none; received {value!r}.")
        if setting in declared:
            try:
                settings[setting] = declared[setting].validate(value)
            except ValueError as error:
                raise SearchError(str(error)) from error
    contestant = Contestant(name, cls, {"learning_rate": _learning_rate(cls, settings, surface), **settings})
    contestant.make()  # some values are valid alone and not together
    return contestant


def _settable(cls: type) -> list[str]:
    if issubclass(cls, keras_optims.Optimizer):
        return [*cls.hyperparameters(), *cls.options()]
    return [name for name in constructor_arguments(cls) if name != "name"]


_UNITLESS = ("Adadelta", "Prodigy")  # whose η is a factor on a rate of their own
_RELATIVES = {
    "GradientDescent": ("gradient_descent", 1.0),
    "ScheduleFreeSGD": ("gradient_descent", 1.0),
    "RAdam": ("gradient_descent", 1.0),  # of its first steps
    "AdaBelief": ("gradient_descent", 1.0),
    "Ftrl": ("adagrad", 1.0),
    "LARS": ("adam", 50.0),  # η_c is 0.001; momentum makes ten steps of one
    "NovoGrad": ("adam", 0.1),  # each gradient counts 1/(1−β₁) times
}
"""Whose learning rate on a surface suits which class, and by how much it is multiplied; of others their own, else Adam's."""


def _learning_rate(cls: type, settings: Mapping[str, Any], surface: Surface) -> float:
    """That of the surface for the optimizer or the nearest relative: Keras's SGD is gradient descent or momentum."""
    rates = surface.learning_rates
    if cls.__name__ in _UNITLESS:
        return 1.0
    if cls.__name__ == "SGD":
        return rates["momentum" if settings.get("momentum") else "gradient_descent"]
    relative, factor = _RELATIVES.get(cls.__name__, (cls.__name__.lower(), 1.0))
    return rates.get(relative, rates["adam"]) * factor


def _said(known: Mapping[str, Hyperparameter], name: str, value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return name if value else f"{name}={str(value).lower()}"
    return f"{known[name].symbol if name in known else name}={value_text(value)}"


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
