"""Rules: other hyperparameters for some of the variables, such as no weight decay for biases or a smaller rate for an embedding.

A `Rule` says which variables it is for and what holds for them. An optimizer makes a `LiveRule` of each rule it is given, whose
numbers are state of the optimizer, as its own are. When it is built, each variable gets its `Settings`: what all rules together
say about it. Variables with the same settings are updated together.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import warnings
from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from keras_optims.hyperparameter import NON_NEGATIVE, Declared, Hyperparameter, Switch, deserialized, schedules_of, shown
from keras_optims.names import did_you_mean
from keras_optims.stand_in import path_of


@keras.saving.register_keras_serializable(package="keras_optims")
class Rule:
    """Hyperparameters for the variables that it chooses; for the `rules` of an optimizer.

        keras_optims.Adam(1e-3, weight_decay=0.01, rules=[
            keras_optims.Rule(ndim=(0, 1), weight_decay=None),
            keras_optims.Rule("embedding/", learning_rate_multiplier=0.1, beta_2=0.99),
        ])

    A variable is chosen if it has all that is asked for. Where several rules choose it, their multipliers are multiplied, and
    of any other hyperparameter the last rule's value holds. To choose in another way, override `chooses` or `powers` in a
    subclass, and register it with `keras.saving.register_keras_serializable`.

    Args:
        path: a regular expression that is found in the variable's path, such as `"bias$"`, or several, of which one is.
        ndim: the number of the variable's dimensions, or several.
        dtype: the variable's dtype, such as `"bfloat16"`, or several.
        learning_rate_multiplier: by what the learning rate is multiplied for these variables, schedule and all. 0 leaves them as
            they are. A number >= 0, a schedule or a callable of the step; `None`: it is not.
        formula: another optimizer of this package, whose formula and hyperparameters take the place of the optimizer's for these
            variables, as in `Rule(ndim=(0, 1), formula=keras_optims.AdamW(3e-4))`. The optimizer makes one of its own like
            it, which `optimizer.rules[0].formula` is. Rules before this one set nothing for them but multipliers.
        **hyperparameters: hyperparameters of the optimizer by name, as its constructor takes them, and its switches `cautious`
            and `gradient_centralization`: `weight_decay=None` is no decay; `learning_rate=0.1` takes the place of the optimizer's
            rate; setting that one then holds for the others only.

    Raises:
        ValueError: a regular expression, a number of dimensions or a dtype that is none; nothing is set; hyperparameters beside a
            formula, which has its own.
    """

    def __init__(self, path=None, *, ndim=None, dtype=None, learning_rate_multiplier=None, formula=None, **hyperparameters):
        self.path = _patterns(path, "path of a Rule")
        self.ndim = _several(ndim, "ndim of a Rule", int)
        self.dtype = _several(dtype, "dtype of a Rule", str)
        try:
            self.dtype = self.dtype and [keras.backend.standardize_dtype(name) for name in self.dtype]
        except ValueError:
            raise ValueError(f"dtype of a Rule must be a dtype of Keras, such as 'float32'; received {shown(dtype)}.") from None
        if formula is not None and not hasattr(formula, "update_steps"):
            raise ValueError(f"formula of a Rule must be an optimizer of keras_optims; received {shown(formula)}.")
        if formula is not None and hyperparameters:
            raise ValueError(
                "A Rule with a formula sets no hyperparameters beside it; give them to the formula: received "
                f"{', '.join(hyperparameters)} and {shown(formula)}."
            )
        self.formula = formula
        self.settings = dict(hyperparameters)
        if learning_rate_multiplier is not None:
            self.settings[MULTIPLIER.name] = MULTIPLIER.validate(learning_rate_multiplier)
        if not self.settings and formula is None:
            raise ValueError(
                "A Rule must set something: learning_rate_multiplier, formula, or a hyperparameter of the optimizer; "
                "received none."
            )

    def chooses(self, path: str, ndim: int, dtype: str) -> bool:
        """Whether it is for the variable with this path, number of dimensions and dtype."""
        return (
            (self.path is None or any(re.search(pattern, path) for pattern in self.path))
            and (self.ndim is None or ndim in self.ndim)
            and (self.dtype is None or dtype in self.dtype)
        )

    def powers(self, variables) -> list[int | None]:
        """For each variable, how many times the multiplier is applied; `None` for one that is not chosen."""
        described = [(path_of(v), len(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in variables]
        return [1 if self.chooses(*description) else None for description in described]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same rule."""
        return {name: keras.saving.serialize_keras_object(value) for name, value in self._arguments().items()}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**{name: deserialized(value, name, _A_RULES_VALUE) for name, value in config.items()})

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={shown(value)}' for name, value in self._arguments().items())})"

    def _arguments(self) -> dict[str, Any]:
        chosen = {n: getattr(self, n) for n in ("path", "ndim", "dtype", "formula") if getattr(self, n) is not None}
        return {**chosen, **self.settings}


@keras.saving.register_keras_serializable(package="keras_optims")
class LayerwiseDecay(Rule):
    """A learning rate that shrinks from layer to layer, from the top down: η, then η·μ for the layer below, then η·μ².

        keras_optims.AdamW(1e-4, rules=[keras_optims.LayerwiseDecay(0.9)])

    For fine-tuning, where what the lower layers know is general and should change less.

    Args:
        learning_rate_multiplier: what the learning rate is multiplied by from a layer to the one below, usually 0.65 to 0.95.
        layers: what counts as a layer: regular expressions that are found in paths of variables, the bottom first, such as
            `["embedding", "block_0/", "block_1/"]`; variables in which none is found are the top. By default each layer of Keras
            that has variables counts, in the order of the optimizer's variables.

    Raises:
        ValueError: a multiplier below 0; no list of regular expressions.

    Reference: Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification",
    https://arxiv.org/abs/1801.06146, Section 3.1 (discriminative fine-tuning, with a factor of 1/2.6).
    """

    def __init__(self, learning_rate_multiplier=0.9, layers=None):
        super().__init__(learning_rate_multiplier=learning_rate_multiplier)
        self.layers = _patterns(layers, "layers of a LayerwiseDecay")

    def _arguments(self):
        return {**self.settings, "layers": self.layers}

    def powers(self, variables) -> list[int | None]:
        """For each variable, the number of layers above its own."""
        paths = [path_of(variable) for variable in variables]
        if self.layers is None:
            layers = list(dict.fromkeys(path.rpartition("/")[0] for path in paths))
            return [len(layers) - 1 - layers.index(path.rpartition("/")[0]) for path in paths]
        places = [next((i for i, pattern in enumerate(self.layers) if re.search(pattern, path)), None) for path in paths]
        return [0 if place is None else len(self.layers) - place for place in places]


class Patterns(Declared):
    """An argument that is a list of regular expressions, or `None`; it is fixed once the optimizer is built."""

    default = None

    def validate(self, value) -> list[str] | None:
        """Returns it as a list, or raises `ValueError`."""
        return _patterns(value, self.name) if value else None

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else vars(optimizer).get(self._held)

    def __set__(self, optimizer, value):
        value = self.validate(value)
        if getattr(optimizer, "built", False) and value != vars(optimizer).get(self._held):
            raise ValueError(
                f"{self.name} cannot change once {type(optimizer).__name__} is built: its slots depend on it. Make a new "
                f"optimizer; received {value!r}."
            )
        vars(optimizer)[self._held] = value

    def to_config(self, optimizer):
        """The value for `get_config`."""
        return vars(optimizer).get(self._held)  # TensorFlow sets nothing that is what it was

    def from_config(self, value, custom_objects=None):
        """The inverse of `to_config`."""
        return value


class Rules(Declared):
    """The argument `rules` of an optimizer: a list of `Rule`, of which the property gives the `LiveRule`s."""

    default = ()

    def validate(self, value) -> list[Rule]:
        """Returns the rules as a list, or raises `ValueError`."""
        if not isinstance(value, (list, tuple)) or not all(isinstance(rule, Rule) for rule in value):
            raise ValueError(f"{self.name} must be a list of keras_optims.Rule; received {shown(value)}.")
        return list(value)

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else optimizer._untracked.rules

    def __set__(self, optimizer, value):
        value = self.validate(value)
        if optimizer.rules or optimizer.built:
            raise ValueError(
                f"The rules of {type(optimizer).__name__} are given to its constructor and stay; received {value!r}."
            )
        optimizer._untracked.rules = tuple(LiveRule(optimizer, rule, place) for place, rule in enumerate(value))

    def to_config(self, optimizer):
        """The rules for `get_config`, with the numbers of now."""
        return [keras.saving.serialize_keras_object(rule.now()) for rule in optimizer.rules]

    def from_config(self, value, custom_objects=None):
        """The inverse of `to_config`."""
        if not isinstance(value, (list, tuple)):
            return value
        return [
            deserialized(rule, self.name, "a list of what serialize_keras_object makes of a Rule", custom_objects)
            for rule in value
        ]


class LiveRule:
    """A rule of an optimizer, with its numbers live: `optimizer.rules[0].weight_decay = 0.1` holds from the next step on.

    What the rule sets can be read and set as an attribute, as on the optimizer: `learning_rate_multiplier`, `weight_decay` ...

    Args:
        optimizer: the optimizer.
        rule: the rule that it was given.
        place: the rule's place in the list.
    """

    def __init__(self, optimizer, rule: Rule, place: int):
        allowed: dict[str, Any] = {n: h for n, h in optimizer.hyperparameters().items() if n not in _OF_ALL_TOGETHER}
        allowed |= {name: option for name, option in optimizer.options().items() if isinstance(option, Switch)}
        allowed[MULTIPLIER.name] = MULTIPLIER
        for name in rule.settings:
            if name not in allowed:
                raise ValueError(
                    f"A rule of {type(optimizer).__name__} cannot set {name!r}.{did_you_mean(name, allowed)} "
                    f"It can set {', '.join(allowed)}; received {rule!r}."
                )
        # A copy, which lives as long as this: while Keras saves a model, it takes objects of one id for the same.
        own = copy.copy(rule)
        vars(self).update(
            rule=own,
            place=place,
            optimizer=optimizer,
            hyperparameters={name: allowed[name] for name in own.settings},
            formula=None if rule.formula is None else optimizer.adopt(rule.formula, f"rule_{place}_"),
        )
        for name, hyperparameter in self.hyperparameters.items():
            hyperparameter.set(optimizer, self, rule.settings[name])

    def build_formula(self, variables):
        """Builds the rule's formula for those of the variables that it updates."""
        if self.formula is not None:
            self.formula.build([v for v in variables if self.optimizer.settings_of(v).formula is self.formula])

    @property
    def schedules(self) -> dict[str, Any]:
        """The schedules that it has set, as `Optimizer.schedules`."""
        return schedules_of(self, self.hyperparameters)

    def __getattr__(self, name):
        if name in vars(self).get("hyperparameters", ()):
            return self.hyperparameters[name].value(self.optimizer, self)
        raise AttributeError(f"The rule {vars(self).get('rule')!r} has no {name!r}.")

    def __setattr__(self, name, value):
        if name in self.hyperparameters:
            self.hyperparameters[name].set(self.optimizer, self, value)
        elif name.startswith("_"):
            vars(self)[name] = value  # where a hyperparameter holds its variables
        else:
            raise AttributeError(
                f"The rule {self.rule!r} does not set {name}, so there is nothing to change; it sets "
                f"{', '.join(self.hyperparameters)}."
            )

    def __repr__(self):
        return repr(self.now())

    def now(self) -> Rule:
        """The rule, with the numbers of now."""
        self.rule.settings = {name: hyperparameter.now(self) for name, hyperparameter in self.hyperparameters.items()}
        self.rule.formula = self.formula
        return self.rule

    def state_name(self, name: str) -> str:
        """The name under which a hyperparameter of this rule is saved."""
        return f"rule_{self.place}_{name}"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the rules say about a variable; equal for those that are updated together.

    Args:
        holders: (name of a hyperparameter, the rule whose value holds).
        powers: (a rule with a multiplier, how many times it is applied).
        formula: the optimizer in a rule whose formula updates it; `None`: the optimizer's own does.
    """

    holders: tuple[tuple[str, LiveRule], ...] = ()
    powers: tuple[tuple[LiveRule, int], ...] = ()
    formula: Any = None

    def holder(self, name: str) -> LiveRule | None:
        """The rule whose value of a hyperparameter holds; `None`: the optimizer's own holds."""
        return dict(self.holders).get(name)

    def multiplied(self, learning_rate):
        """The learning rate times the multipliers."""
        for rule, power in self.powers:
            multiplier = ops.cast(ops.convert_to_tensor(rule.learning_rate_multiplier), learning_rate.dtype)
            learning_rate = learning_rate * (multiplier if power == 1 else multiplier**power)
        return learning_rate

    def described(self) -> dict[str, Any]:
        """What differs from the optimizer's own, by name: numbers, or schedules and callables as they are."""
        settings = {name: rule.hyperparameters[name].now(rule) for name, rule in self.holders}
        if self.formula is not None:
            settings["formula"] = getattr(self.formula, "described_as", type(self.formula).__name__)
        if self.powers:
            one = ops.ones((), "float32")
            settings[MULTIPLIER.name] = float(f"{float(ops.convert_to_numpy(self.multiplied(one))):.6g}")
        return settings


def settings_of_each(rules: Iterable[LiveRule], variables) -> list[Settings]:
    """What the rules say about each of the variables; warns of a rule that chooses none."""
    holders: list[dict[str, LiveRule]] = [{} for _ in variables]
    powers: list[list[tuple[LiveRule, int]]] = [[] for _ in variables]
    formulas: list[Any] = [None for _ in variables]
    for live in rules:
        chosen = live.rule.powers(variables)
        if variables and all(power is None for power in chosen):
            warnings.warn(
                f"The rule {live.rule!r} chooses none of the {len(variables)} variables, such as {path_of(variables[0])!r}.",
                stacklevel=2,
            )
        for i, power in enumerate(chosen):
            if power is None:
                continue
            if live.formula is not None:
                formulas[i], holders[i] = live.formula, {}
            holders[i].update({name: live for name in live.hyperparameters if name != MULTIPLIER.name})
            if power and MULTIPLIER.name in live.hyperparameters:
                powers[i].append((live, power))
    each = zip(holders, powers, formulas, strict=True)
    return [Settings(tuple(sorted(h.items())), tuple(p), formula) for h, p, formula in each]


WITHOUT_RULES = Settings()

MULTIPLIER = Hyperparameter(1.0, symbol="μ", domain=NON_NEGATIVE, meaning="by what the learning rate is multiplied")
MULTIPLIER.__set_name__(None, "learning_rate_multiplier")

_A_RULES_VALUE = "a number, a text, a list or what serialize_keras_object makes of a schedule or a callable"
_OF_ALL_TOGETHER = ("global_clipnorm", "loss_scale_factor", "lookahead_alpha")


def _several(value, name, kind):
    """One or several values of an argument as a list; `None` as it is."""
    if value is None:
        return None
    values = [value] if isinstance(value, kind) else value
    is_list = isinstance(values, (list, tuple, range)) and len(values) > 0
    if not is_list or not all(isinstance(each, kind) and not isinstance(each, bool) for each in values):
        what = {str: "a text", int: "an int"}[kind]
        raise ValueError(f"{name} must be {what} or a list of them; received {shown(value)}.")
    return list(values)


def _patterns(value, name):
    """As `_several`, of regular expressions."""
    patterns = _several(value, name, str)
    for pattern in patterns or ():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{name} must be a regular expression; received {pattern!r}: {error}.") from None
    return patterns
