"""An optimizer's arguments: declared on the class, given to the constructor, held as state, written to the config."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import keras

from keras_optims import averages, kernels
from keras_optims.axes import AxesOfVariables
from keras_optims.copying import reduced
from keras_optims.html_table import html_table
from keras_optims.hyperparameter import (
    NON_NEGATIVE,
    POSITIVE,
    UNIT,
    Declared,
    Hyperparameter,
    Interval,
    Option,
    SearchRange,
    Switch,
    as_argument,
    is_like_an_argument,
    schedules_of,
    shown,
)
from keras_optims.names import did_you_mean, meant_by
from keras_optims.rules import WITHOUT_RULES, LiveRule, Rules, Settings
from keras_optims.step import frame_of
from keras_optims.untracked import Untracked


class WithArguments(keras.optimizers.Optimizer):
    """The arguments common to all optimizers, and what follows from those that a class declares."""

    learning_rate: Any = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-4, 1e-1, "log"), meaning="learning rate"
    )
    weight_decay = Hyperparameter(
        None,
        symbol="λ",
        domain=NON_NEGATIVE,
        search=SearchRange(1e-5, 1e-1, "log", by_default=False),
        meaning="decoupled weight decay, times the learning rate",
        off=None,
    )
    clipnorm = Hyperparameter(None, symbol="c", domain=POSITIVE, meaning="largest norm of one gradient", off=None)
    clipvalue = Hyperparameter(None, symbol="c", domain=POSITIVE, meaning="largest element of a gradient", off=None)
    global_clipnorm = Hyperparameter(None, symbol="c", domain=POSITIVE, meaning="largest norm of all gradients", off=None)
    agc = Hyperparameter(
        None, symbol="c", domain=POSITIVE, meaning="largest norm of an output's gradient beside its weights'", off=None
    )
    gradient_centralization = Switch(meaning="take from each output's gradient its mean")
    cautious = Switch(meaning="move only weights whose gradient agrees with their update")
    axes = AxesOfVariables()
    use_ema = Option(False, meaning="keep a moving average of the weights")
    ema_momentum = Option(0.99, domain=UNIT, meaning="how much of the old average stays")
    ema_overwrite_frequency = Option(
        None, domain=Interval(1, float("inf")), integer=True, optional=True, meaning="updates between overwriting the weights"
    )
    lookahead = Option(
        None,
        domain=Interval(1, float("inf"), high_open=True),
        integer=True,
        optional=True,
        meaning="updates between synchronizations",
    )
    lookahead_alpha = Hyperparameter(
        None, symbol="α", domain=Interval(0, 1, low_open=True), meaning="share of the way that slow weights go", off=None
    )
    loss_scale_factor = Hyperparameter(None, symbol="S", domain=POSITIVE, meaning="factor on the loss", off=None)
    gradient_accumulation_steps = Option(
        None, domain=Interval(2, float("inf")), integer=True, optional=True, meaning="calls whose mean gradient makes an update"
    )
    lazy = Option(True, meaning="of a sparse gradient, touch only the rows that the batch has used")
    compensated_summation = Option(False, meaning="keep what rounding takes from half-precision weights")
    slot_dtype = Option(None, choices=("bfloat16", "int8"), optional=True, meaning="in what slots are kept")
    rules = Rules()

    # -- declarations -----------------------------------------------------------------------------

    _declarations: ClassVar[dict[str, Any]] = {}  # each a `Declared` with a default, to_config and from_config
    _hyperparameters: ClassVar[dict[str, Hyperparameter]] = {}
    _options: ClassVar[dict[str, Option]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # The learning rate first, then what the class itself declares, then what it inherits: the order of Keras's arguments.
        declared: dict[str, Any] = {"learning_rate": cls.learning_rate}
        for klass in cls.__mro__:
            for name, value in vars(klass).items():
                if isinstance(value, Declared):
                    declared.setdefault(name, value)
        cls._declarations = declared
        cls._hyperparameters = {name: value for name, value in declared.items() if isinstance(value, Hyperparameter)}
        cls._options = {name: value for name, value in declared.items() if isinstance(value, Option)}
        if cls.__init__ is WithArguments.__init__:
            cls.__signature__ = _signature(declared)
        else:
            of_init = inspect.signature(cls.__init__)
            cls.__signature__ = of_init.replace(parameters=list(of_init.parameters.values())[1:])

    @classmethod
    def declarations(cls) -> dict[str, Declared]:
        """All that the class declares, by name, in the order of the constructor's arguments."""
        return dict(cls._declarations)

    @classmethod
    def hyperparameters(cls) -> dict[str, Hyperparameter]:
        """The hyperparameters by name, in the order of the constructor's arguments."""
        return dict(cls._hyperparameters)

    @classmethod
    def options(cls) -> dict[str, Option]:
        """The options (AMSGrad, Nesterov, accumulation ...) by name, in the order of the constructor's arguments."""
        return dict(cls._options)

    def __init__(self, *args, name=None, **kwargs):
        values = self._bind(args, kwargs)
        if name is not None and not (isinstance(name, str) and "/" not in name):
            raise ValueError(f"name must be None or a text without '/'; received {shown(name)}.")
        # Keras gets a callable for the learning rate, so that it makes no variable of its own.
        super().__init__(learning_rate=_not_yet, name=name)
        self._untracked = Untracked()
        for key in self._declarations:
            setattr(self, key, values[key])
        self.check_arguments()

    def check_arguments(self):
        """Raises `ValueError` if arguments contradict one another; a class with such arguments of its own overrides it."""
        self.check_clipping()
        averages.check_arguments(self)

    def check_clipping(self):
        """Raises `ValueError` if gradients would be clipped in two ways."""
        clippings = {name: holder for name in _CLIPPINGS if self._hyperparameters[name].is_on(holder := self.holder(name))}
        if len(clippings) > 1:
            with kernels.outside_of_a_trace():
                given = ", ".join(f"{name}={self._hyperparameters[name].now(holder)!r}" for name, holder in clippings.items())
            raise ValueError(f"Only one of clipnorm, clipvalue and global_clipnorm can be set; received {given}.")

    @classmethod
    def _bind(cls, args, kwargs) -> dict[str, Any]:
        """The value of each declared argument, given as in a call of the class."""
        allowed = [*cls._declarations, "name"]
        for key in kwargs:
            if key not in allowed:
                hint = did_you_mean(key, allowed)
                raise ValueError(f"{cls.__name__} has no argument {key!r}.{hint} Its arguments are {', '.join(allowed)}.")
        try:
            bound = _signature(cls._declarations).bind(*args, **kwargs)
        except TypeError as error:
            raise ValueError(f"{cls.__name__}(): {error}. Its arguments are {', '.join(allowed)}.") from None
        return {key: bound.arguments.get(key, declared.default) for key, declared in cls._declarations.items()}

    def __setattr__(self, name, value):
        """Sets an attribute; raises `AttributeError` where its name is a misspelled argument's, which would change nothing.

        A class with a constructor of its own may set there what it likes, and each class may in `build`; what is no argument's
        value, such as a slot, may be set anywhere.
        """
        if not (name in vars(self) or hasattr(type(self), name)):
            self.refuse_misspelled(name, value)
        super().__setattr__(name, value)

    def refuse_misspelled(self, name: str, value: Any) -> None:
        """Raises `AttributeError` if a new attribute has nearly an argument's name, and a value that an argument may have."""
        is_watched = not name.startswith("_") and is_like_an_argument(value) and self._is_made_and_not_being_built()
        if is_watched and meant_by(name, self._declarations):
            cls, hint = type(self).__name__, did_you_mean(name, self._declarations)
            raise AttributeError(f"{cls} has no {name!r}, so setting it would change nothing.{hint} Received {shown(value)}.")

    def _is_made_and_not_being_built(self) -> bool:
        untracked = vars(self).get("_untracked")
        if untracked is None or untracked.build_depth > 0:
            return False
        return self.built or type(self).__init__ is WithArguments.__init__

    def __repr__(self) -> str:
        """The call that makes such an optimizer: the arguments that are not at their defaults, with the numbers of now."""
        try:
            parts = [f"{name}={text}" for name, text in self._shown_arguments()]
        except Exception:  # in the middle of a constructor
            parts = ["..."]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """In a notebook: the call that makes it, and the hyperparameters that are on, of its rules too, with what they mean."""
        places = ["", *(f"rules[{rule.place}]." for rule in self.rules)]
        places += [f"rules[{rule.place}].formula." for rule in self.rules if rule.formula is not None]
        rows = [
            [declared.symbol, f"{place}{name}", as_argument(declared.now(holder)), declared.meaning]
            for place, (holder, held) in zip(places, self.holders(), strict=True)
            for name, declared in held.items()
            if declared.is_on(holder)
        ]
        note = f"{int(keras.ops.convert_to_numpy(self.iterations))} updates" if self.built else "not built yet"
        return html_table(repr(self), ["", "hyperparameter", "value", "meaning"], rows, [note])

    def _shown_arguments(self):
        """(name, text) of each argument that is not at its default."""
        parameters = inspect.signature(type(self)).parameters
        names = [name for name, one in parameters.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        for name in dict.fromkeys([*names, *self._declarations]):
            default = parameters[name].default if name in parameters else self._declarations[name].default
            try:
                with kernels.outside_of_a_trace():
                    value = self._now(name)
                if name != "name" and not _equal(value, default):
                    yield name, as_argument(value)
            except Exception:  # a value that is not known while a step is traced, an argument that the class keeps nowhere
                yield name, "..."

    def _now(self, name: str):
        """The current value of an argument, as the constructor takes it."""
        declared = self._declarations.get(name)
        if isinstance(declared, Hyperparameter):
            return declared.now(self)
        value = getattr(self, name)
        return [rule.now() for rule in value] if isinstance(declared, Rules) else value

    def __reduce__(self):
        return reduced(self)

    def arguments_now(self) -> dict[str, Any]:
        """The arguments that make the same optimizer: numbers as in the config, schedules, callables and rules as they are."""
        return {"name": self.name, **{name: self._now(name) for name in self._declarations}}

    def config_is_of_declarations(self) -> bool:
        """Whether the class has left `get_config` as it is."""
        return type(self).get_config is WithArguments.get_config

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same optimizer; numbers exactly as they were given, if they have not changed since."""
        return {"name": self.name, **{name: declared.to_config(self) for name, declared in self._declarations.items()}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
            raise ValueError(f"The config of {cls.__name__} must be a dict, as get_config() makes it; received {shown(config)}.")
        return cls(
            **{
                name: cls._declarations[name].from_config(value, custom_objects) if name in cls._declarations else value
                for name, value in config.items()
            }
        )

    # -- hyperparameters --------------------------------------------------------------------------

    def is_on(self, name: str) -> bool:
        """Whether the hyperparameter `name` was given a value that is not its `off` value; outside of a step, anywhere."""
        everywhere = [holder for holder, held in self.holders() if name in held]
        holders = everywhere if frame_of(self) is None else [self.holder(name)]
        return any(self._hyperparameters[name].is_on(holder) for holder in holders)

    def is_constant(self, name: str) -> bool:
        """Whether the hyperparameter `name` is a number, and not a schedule or a callable."""
        return self._hyperparameters[name].is_constant(self.holder(name))

    def one_minus(self, name: str):
        """1 − the hyperparameter `name`, without the error of its rounding to float32."""
        return self._hyperparameters[name].complement(self, self.holder(name))

    def residual(self, name: str):
        """What rounding to float32 took from the hyperparameter `name`: a scalar, or `None` where that is not kept."""
        return self._hyperparameters[name].residual(self.holder(name))

    @property
    def schedules(self) -> dict[str, Any]:
        """The schedules of `keras_optims.schedules` that hyperparameters follow, by the hyperparameters' names.

        Their numbers can be read and set: `optimizer.schedules["learning_rate"].final = 0.1`.
        """
        return schedules_of(self, self._hyperparameters)

    # -- rules ------------------------------------------------------------------------------------

    def settings_of(self, variable) -> Settings:
        """What the rules say about a variable; nothing, before the optimizer is built."""
        return self._untracked.settings.get(self.key_of(variable), WITHOUT_RULES)

    def holder(self, name: str) -> WithArguments | LiveRule:
        """Who holds the hyperparameter `name`: in a step, the rule that sets it; else the optimizer itself."""
        frame = frame_of(self)
        return (frame and frame.settings.holder(name)) or self

    def holders(self) -> list[tuple[Any, dict[str, Hyperparameter]]]:
        """The optimizer, its rules and the formulas in these, each with the hyperparameters that it holds, by name."""
        formulas = [(rule.formula, rule.formula._hyperparameters) for rule in self.rules if rule.formula is not None]
        rules = [(rule, {n: h for n, h in rule.hyperparameters.items() if isinstance(h, Hyperparameter)}) for rule in self.rules]
        return [(self, self._hyperparameters), *rules, *formulas]

    def variables_of(self, holder: WithArguments | LiveRule, name: str) -> list:
        """The variables for which the hyperparameter `name` of this holder holds."""
        return [v for v in self.variables_of_the_model() if (self.settings_of(v).holder(name) or self) is holder]


_CLIPPINGS = ("clipnorm", "clipvalue", "global_clipnorm")
NOT_OF_KERAS = (
    *("agc", "gradient_centralization", "cautious", "axes", "lookahead", "lookahead_alpha"),
    *("lazy", "compensated_summation", "slot_dtype", "rules"),
)
"""The arguments common to all that Keras's optimizers lack."""


def _not_yet():
    """Stands for the learning rate until the constructor has made its variable."""
    return 0.0


def _equal(value, default) -> bool:
    """Whether an argument is at its default."""
    return value is default or (type(default) in (tuple, list) and list(value) == list(default)) or bool(value == default)


def _signature(declared: dict[str, Declared]) -> inspect.Signature:
    """The constructor's: declared on an algorithm: by position or name; common to all, or declared so: by name only."""
    common = vars(WithArguments)
    positional, by_name = [], []
    for name, value in declared.items():
        if value.keyword_only or (common.get(name) is value and name != "learning_rate"):
            by_name.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value.default))
        else:
            positional.append(inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value.default))
    by_name.append(inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None))
    return inspect.Signature([*positional, *by_name])
