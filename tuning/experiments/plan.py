"""The plan of a search or a comparison: all that a person may say of it, in one place. Importing this needs nothing heavy."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import pathlib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, get_type_hints

from tuning.errors import SearchError
from tuning.names import (
    DEFAULT_ORACLE,
    DEFAULT_POPULATION,
    DEFAULT_PRUNER,
    DEFAULT_SAMPLER,
    ENGINES,
    HALVING,
    JIT,
    ORACLES,
    POPULATION,
    PRUNERS,
    SAMPLERS,
    TRACKERS,
    default_ready,
    meant,
)
from tuning.space.schedules import SCHEDULES
from tuning.space.text import parse_fix, parse_search, parse_start


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the value of an option may be.

    Args:
        allowed: as a sentence has it: "must be ...".
        holds: whether a value is allowed.
        read: makes a value of a word, or raises ValueError.
        names: the names that it must be one of, if they are few.
    """

    allowed: str
    holds: Callable[[Any], bool]
    read: Callable[[str], Any] = str
    names: Iterable[str] | None = None

    @classmethod
    def one_of(cls, names: Iterable[str], *, or_object: bool = False) -> Kind:
        """One of these names; or an object that is no text, which whoever uses it checks."""
        return cls(
            f"one of {', '.join(names)}",
            lambda value: value in names if isinstance(value, str) else or_object,
            names=names,
        )

    @classmethod
    def some_of(cls, names: Iterable[str]) -> Kind:
        """One of these names, a list of such, or `None`."""
        return cls(
            f"one or several of {', '.join(names)}",
            lambda value: all(each in names for each in _listed_names(value)),
            names=names,
        )

    def check(self, name: str, value: Any) -> None:
        """Raises `SearchError` if it is not allowed."""
        if not self.holds(value):
            raise SearchError(f"{name} must be {self.allowed}; received {value!r}.")


def _listed_names(value: Any) -> list[Any]:
    """What a list or a tuple has, or a name alone; of anything else, something that is no name."""
    listed = [] if value is None else value if isinstance(value, (list, tuple)) else [value]
    return [each if isinstance(each, str) else None for each in listed]


def _int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _are_settings(value: Any) -> bool:
    """Whether it is a list of (epoch, setting), ascending from epoch 0."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if not all(isinstance(each, (list, tuple)) and len(each) == 2 and isinstance(each[1], Mapping) for each in value):
        return False
    epochs = [epoch for epoch, _ in value]
    return all(map(_int, epochs)) and epochs[0] == 0 and epochs == sorted({*epochs})


COUNT = Kind("an int of at least 1", lambda value: _int(value) and value >= 1, int)
AT_LEAST_2 = Kind("an int of at least 2", lambda value: _int(value) and value >= 2, int)
COUNT_OR_AUTO = Kind(
    "an int of at least 1, or auto",
    lambda value: value == "auto" or COUNT.holds(value),
    lambda text: text if text == "auto" else int(text),
)
SEED = Kind("an int of at least 0", lambda value: _int(value) and 0 <= value < 2**63, int)
POSITIVE = Kind("a number above 0", lambda value: _number(value) and value > 0, float)
COUNT_OR_0 = Kind("an int of at least 0", lambda value: _int(value) and value >= 0, int)
FINITE = Kind("a finite number", _number, float)
NOT_NEGATIVE = Kind("a number of at least 0", lambda value: _number(value) and value >= 0, float)
TEXT = Kind("a text", lambda value: isinstance(value, str))
PATH = Kind("a path", lambda value: isinstance(value, (str, os.PathLike)))
MAPPING = Kind("a mapping of names to values", lambda value: isinstance(value, Mapping))
CALLBACKS = Kind(
    "module:function, a Keras callback, a list of them, or a function that returns one",
    lambda value: ":" in value if isinstance(value, str) else isinstance(value, (list, tuple)) or value is not None,
)
FLAG = Kind("True or False", lambda value: isinstance(value, bool))
SETTING = Kind(
    "a mapping of names to values, or a list of such, each with the epoch from which on it holds",
    lambda value: isinstance(value, Mapping) or _are_settings(value),
)
SETTINGS = Kind(
    "a list of mappings of names to values",
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(each, Mapping) and each for each in value),
)
PROBLEM = Kind("a name, module:function, or a tuning.Problem", lambda value: value is not None)


@dataclasses.dataclass(frozen=True)
class Option:
    """What is known of a field of a plan.

    Args:
        kind: of its value, unless that is the default.
        help, metavar: on the command line; without help it is not there.
        identifies: `"search"`, `"comparison"`: whether such a one with another value is another one.
        reads: of a mapping, makes a name and a value of a word of the command line.
        repeats: whether it is given once for each of its values.
        compares: whether only a comparison has it.
        reads_each: of a list of mappings, makes one of a word of the command line.
        searches: whether only a search has it.
        name, default: of the field.
    """

    kind: Kind
    help: str | None = None
    metavar: str | None = None
    identifies: tuple[str, ...] = ()
    reads: Callable[[str], tuple[str, Any]] | None = None
    repeats: bool = False
    compares: bool = False
    reads_each: Callable[[str], dict[str, Any]] | None = None
    searches: bool = False
    name: str = ""
    default: Any = None

    @property
    def flag(self) -> str:
        """On the command line."""
        return f"--{'no-' if self.default is True else ''}{self.name.replace('_', '-')}"


_OF_PBT = ("population", "ready")
_SEARCH, _COMPARISON, _BOTH = ("search",), ("comparison",), ("search", "comparison")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a search or a comparison is to do.

        plan = tuning.Plan(optimizers=["adam"], problem="digits_mlp", trials=12, fix={"amsgrad": True})
        result = tuning.search(plan)

    `Plan.load("plan.toml")` reads one from a file, which has the same names as keys.

    Args:
        optimizers: names in `keras_optims.OPTIMIZERS`, `"keras:NAME"` of Keras's own, or classes. Of several, a search chooses
            one in each trial, and a comparison searches each.
        problem: a name in `tuning.problems.PROBLEMS`, your own as `"module:function"`, or a `tuning.Problem`.
        trials: how many settings to try; 16, or one sweep of Hyperband, or as many as it takes until ASHA has trained one for all
            epochs, or of a population its members times its intervals, which no number makes more; or, with `max_epochs` or, of a
            search, `max_minutes`, as many as these allow. A search that is resumed with more goes on.
        epochs: of a trial, with Hyperband and ASHA of the longest, of each member of a population in all; by default what the
            problem suggests.
        oracle: `"random"`, `"quasirandom"`, `"grid"` (the finest regular grid of at most `trials` points), `"hyperband"`,
            `"asha"`, `"pbt"` (population based training), `"bayesian"`, or `"optuna"`.
        sampler: of the oracle `optuna`: `"tpe"` (its default), `"cmaes"`, or an Optuna sampler; `asha` may have one, too, in the
            place of the Sobol sequence.
        factor: of Hyperband and ASHA: one of so many trials goes on, for so many times as many epochs; 3.
        min_epochs: of Hyperband and ASHA: no trial trains fewer; 1.
        population: of population based training: how many members train side by side, at least 2; 8.
        ready: of population based training: the epochs of an interval, after which the worst members go on from the best; a tenth
            of `epochs`. The last interval is shorter where that does not divide.
        pruner: stops trials that are not promising: `"none"`, `"median"`, `"halving"`, or an Optuna pruner. With repeats the
            first execution decides. Not with Hyperband, ASHA and populations, which stop trials themselves.
        search: axes to add or change: name -> `(low, high)`, `(low, high, scale)`, a list of values, or `None` for the declared
            range. A name is one of the optimizer, of its schedule, of the problem's model, or `batch_size`; `OPTIMIZER.NAME` and
            `problem.NAME` are of that one alone.
        fix: what to pin: name -> value.
        schedule: what the learning rate follows: `"cosine"`, `"linear"`, `"wsd"` (warm-up, stable, decay), `"onecycle"` (the
            momentum goes with it) or `"constant"` (after a warm-up), over the whole of each trial's training; `None`: it stays as
            it is. `search` and `fix` may name its numbers: `warmup` and `decay`, shares of the training, `final`, `start` and
            `low`, shares of the peak.
        seed: any int >= 0. The same seed gives the same trials.
        repeats: trainings per setting, each from another seed; the score is their mean.
        train_samples: use only so many training samples.
        callbacks: Keras callbacks of every training: one or a list, which are copied for each; or a function of no arguments that
            returns new ones, also as `"module:function"`. They come after those of the problem.
        max_epochs: train so many epochs at most, in all trials and sessions: no trial begins that would train more. Of a
            comparison each optimizer's search has so many.
        max_minutes: begin no trial later than this after the call.
        target: begin no trial any more when the best one has this objective, or a better one.
        engine: `"local"`: on this machine; `"ray"`: on a Ray cluster (docs/scaling.md).
        workers: how many processes train; 1 on the engine `local`: this one. A trial whose process dies runs again, at most
            3 times in all.
        threads_per_worker: threads of each process that trains; by default the cores are divided among them. With the same number
            of threads, trials compute the same, bit for bit on a CPU, with any number of workers (docs/scaling.md).
        address, cpus_per_worker, gpus_per_worker: of the engine `ray`, see `tuning.engines.ray.RayEngine`.
        jit: `"on"` or `"off"`: whether XLA compiles the epochs; `"auto"`: what is usual for the model on this device;
            `"measure"`: the first trial measures what is faster, and all others do the same. (On JAX XLA always does: `"on"`
            compiles a whole epoch.)
        batch_trials: how many trials train together in one program, on JAX with one worker; `"auto"`: 1 on a CPU, on a GPU as
            many as the first one measures to be fastest.
        defaults_first: whether the first trial has the declared defaults: was tuning worth it? They are left out, which is said,
            where one of them lies outside of what is searched. With Hyperband and ASHA it trains all epochs.
        start_with: settings of further first trials, each a mapping of name -> value of axes; others are as declared.
        warm_start: the directory of an earlier search whose trials inform this one: Optuna's sampler knows them from the
            beginning, with other oracles, and with CMA-ES, the best of them is one of the first trials.
        keep_models: of so many of the best trials the model at its best epoch is kept, as `trial-N.keras` in the directory.
        log: where each training is logged besides, live: `"tensorboard"`, `"mlflow"`, `"wandb"`, or several of them. The runs
            are in the directory, unless the client's own environment variables say otherwise (docs/tracking.md).
        directory: of the results; by default `results/OPTIMIZER-PROBLEM`, of a comparison `results/compare-PROBLEM`.
        data_dir: the folder with the data sets.
        confirm: of a search: a setting, name -> value of each axis, or a list of such with the epochs from which on they hold:
            `[(0, {...}), (5, {...})]`. Nothing is searched: this setting is trained `trials` times,
            each from a fresh seed, which depends on `seed` but is none that a search with this `seed` uses; the test data are
            evaluated too, if the problem has any, as `test_*` beside `val_*`. The default directory ends in `-confirmation`.
        confirmations: trainings of each best setting with fresh seeds; by default of a comparison 10, or `repeats` if that is
            more. A search has none by default; else it trains its best setting and the declared defaults so often, in
            `DIRECTORY-confirmation` and `DIRECTORY-confirmation-of-defaults`.

    Raises:
        SearchError: (a ValueError) a value is not allowed.
    """

    optimizers: Sequence[str | type]
    problem: Annotated[
        Any,
        Option(PROBLEM, "see `keras-optims problems`; or your own, module:function (default: digits_mlp)", "P", _BOTH),
    ] = "digits_mlp"
    trials: Annotated[
        int | None, Option(COUNT, "settings to try (default: 16; hyperband, asha: one sweep; pbt: members times intervals)", "N")
    ] = None
    epochs: Annotated[int | None, Option(COUNT, "of a trial (default: what the problem suggests)", "N", _BOTH)] = None
    oracle: Annotated[
        str, Option(Kind.one_of(ORACLES), f"who proposes settings (default: {DEFAULT_ORACLE})", identifies=_BOTH)
    ] = DEFAULT_ORACLE
    sampler: Annotated[
        Any,
        Option(
            Kind.one_of(SAMPLERS, or_object=True),
            f"of the oracle optuna (default: {DEFAULT_SAMPLER}), or of asha in the place of the Sobol sequence",
            identifies=_SEARCH,
        ),
    ] = None
    factor: Annotated[
        int | None,
        Option(AT_LEAST_2, "hyperband, asha: one of so many goes on, for so many times the epochs (default: 3)", "N", _BOTH),
    ] = None
    min_epochs: Annotated[int | None, Option(COUNT, "hyperband, asha: no trial trains fewer (default: 1)", "N", _BOTH)] = None
    population: Annotated[int | None, Option(AT_LEAST_2, "pbt: how many members train side by side (default: 8)", "N", _BOTH)] = (
        None
    )
    ready: Annotated[
        int | None,
        Option(
            COUNT, "pbt: after so many epochs the worst members go on from the best (default: a tenth of --epochs)", "N", _BOTH
        ),
    ] = None
    pruner: Annotated[
        Any,
        Option(
            Kind.one_of(PRUNERS, or_object=True),
            f"stop trials that are not promising: below the median, or by successive halving (default: {DEFAULT_PRUNER})",
            identifies=_SEARCH,
        ),
    ] = DEFAULT_PRUNER
    search: Annotated[
        Mapping[str, Any] | None,
        Option(
            MAPPING,
            "search along this axis, of the optimizer, of the problem's model, or batch_size; SCALE is log, log1m (log in 1-x, "
            "for decay rates) or linear; or VALUE,VALUE,... NAME alone: its usual range",
            *("NAME=LOW:HIGH[:SCALE]", _COMPARISON, parse_search),
        ),
    ] = None
    fix: Annotated[
        Mapping[str, Any] | None,
        Option(MAPPING, "pin a hyperparameter, an option, or what else can be searched", "NAME=VALUE", _COMPARISON, parse_fix),
    ] = None
    schedule: Annotated[
        str | None,
        Option(
            Kind.one_of(SCHEDULES),
            "what the learning rate follows; --search and --fix may name its numbers: warmup (share of the training), final ...",
            identifies=_COMPARISON,
        ),
    ] = None
    seed: Annotated[int, Option(SEED, "the same seed gives the same trials (default: 0)", "S", _BOTH)] = 0
    repeats: Annotated[int, Option(COUNT, "trainings per setting (default: 1)", "K", _BOTH)] = 1
    train_samples: Annotated[int | None, Option(COUNT, "use only so many training samples", "N", _BOTH)] = None
    callbacks: Annotated[
        Any, Option(CALLBACKS, "a function that returns Keras callbacks for a training", "MODULE:FUNCTION", _BOTH)
    ] = None
    max_epochs: Annotated[
        int | None, Option(COUNT, "train so many epochs at most, in all trials; compare: of each optimizer", "N")
    ] = None
    max_minutes: Annotated[float | None, Option(POSITIVE, "begin no trial later than this", "M")] = None
    target: Annotated[float | None, Option(FINITE, "end when the best trial has this objective, or a better one", "X")] = None
    engine: Annotated[
        str, Option(Kind.one_of(ENGINES), "where trials run: on this machine, or on a Ray cluster (default: local)")
    ] = "local"
    workers: Annotated[
        int,
        Option(
            *(COUNT, "processes that train (default: 1); one that dies is replaced, and its trial run again, 3 times in all"),
            "N",
        ),
    ] = 1
    threads_per_worker: Annotated[
        int | None, Option(COUNT, "threads of each process that trains (default: an equal share of the cores)", "N")
    ] = None
    address: Annotated[
        str | None,
        Option(TEXT, "ray: of a running cluster, auto or HOST:PORT (default: a Ray of this search's own)", "A"),
    ] = None
    cpus_per_worker: Annotated[float | None, Option(POSITIVE, "ray: CPUs of a worker (default: an equal share)", "N")] = None
    gpus_per_worker: Annotated[
        float | None, Option(NOT_NEGATIVE, "ray: GPUs of a worker (default: 1, or a share of fewer)", "N")
    ] = None
    jit: Annotated[
        str,
        Option(
            Kind.one_of(JIT),
            "compile with XLA; auto: on a GPU, not on a CPU; measure: the first trial measures both ways (default: auto)",
            identifies=_SEARCH,
        ),
    ] = "auto"
    batch_trials: Annotated[
        int | str,
        Option(
            COUNT_OR_AUTO,
            "train so many trials in one program, on JAX; auto: 1 on a CPU, on a GPU measured (default: auto)",
            "N|auto",
        ),
    ] = "auto"
    defaults_first: Annotated[
        bool, Option(FLAG, "do not begin with the declared defaults as the first trial (default: begin with them)")
    ] = True
    start_with: Annotated[
        Sequence[Mapping[str, Any]] | None,
        Option(
            *(SETTINGS, "a further first trial with these values; what is not named is as declared", "NAME=VALUE,..."),
            reads_each=parse_start,
        ),
    ] = None
    warm_start: Annotated[
        str | os.PathLike | None,
        Option(PATH, "of an earlier search whose trials inform this one", "DIR", searches=True),
    ] = None
    keep_models: Annotated[
        int, Option(COUNT_OR_0, "keep the models of so many of the best trials, as trial-N.keras (default: 1)", "N")
    ] = 1
    log: Annotated[
        Sequence[str] | str | None,
        Option(Kind.some_of(TRACKERS), "log each training there besides, live; may be given several times", repeats=True),
    ] = ()
    directory: Annotated[str | os.PathLike | None, Option(PATH, "of the results (default: {directory})", "DIR")] = None
    data_dir: Annotated[
        str | os.PathLike | None, Option(PATH, "with the data sets (default: the environment's KERAS_OPTIMS_DATA)", "DIR")
    ] = None
    confirm: Annotated[Any, Option(SETTING)] = None
    confirmations: Annotated[
        int | None,
        Option(
            COUNT,
            "trainings of each best setting with fresh seeds; tune: of the declared defaults as well, to say whether tuning was "
            "worth it (default: tune none, compare 10, or --repeats if that is more)",
            "K",
        ),
    ] = None

    def __post_init__(self):
        if isinstance(self.optimizers, (str, type)) or not isinstance(self.optimizers, Sequence) or not self.optimizers:
            raise SearchError(f"The optimizers must be a list of names or classes, at least one; received {self.optimizers!r}.")
        object.__setattr__(self, "optimizers", tuple(self.optimizers))
        for name, option in OPTIONS.items():
            value = getattr(self, name)
            if not (value is None and option.default is None):
                option.kind.check(name, value)
            if isinstance(value, Mapping):
                object.__setattr__(self, name, dict(value))
            elif option.repeats:
                object.__setattr__(self, name, tuple(dict.fromkeys([value] if isinstance(value, str) else value or ())))
        if self.start_with is not None:
            object.__setattr__(self, "start_with", [dict(each) for each in self.start_with])
        for name, oracles in (*((name, HALVING) for name in ("factor", "min_epochs")), *((n, (POPULATION,)) for n in _OF_PBT)):
            if getattr(self, name) is not None and self.oracle not in oracles:
                raise SearchError(
                    f"{name} is for the oracle{'s' * (len(oracles) > 1)} {' and '.join(oracles)} alone; received {name} "
                    f"{getattr(self, name)!r} with the oracle {self.oracle!r}."
                )
        if self.oracle == POPULATION and self.schedule is not None:
            raise SearchError(
                f"The oracle {POPULATION} finds a schedule itself: leave out schedule, or choose another oracle; received the "
                f"schedule {self.schedule!r}."
            )
        for name in ("address", "cpus_per_worker", "gpus_per_worker"):
            if getattr(self, name) is not None and self.engine != "ray":
                raise SearchError(
                    f"{name} is for the engine 'ray' alone; received {name} {getattr(self, name)!r} with the engine "
                    f"{self.engine!r}."
                )

    # -- JSON and files ---------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON has it: a class or another object by its name."""
        values = {name: getattr(self, name) for name in OPTIONS}
        changed = {name: value for name, value in values.items() if value != OPTIONS[name].default}
        return _json({"optimizers": self.optimizers, **changed, **({"search": _listed(self.search)} if self.search else {})})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Plan:
        """The plan of `to_json`, or of a file."""
        return cls(**options_of(content))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Plan:
        """Reads a TOML file; `SearchError` if it is none, or has a key that is none of a plan."""
        found = read(path)
        if "optimizers" not in found:
            raise SearchError(f"The plan {path} names no optimizer.")
        return cls(**found)

    # -- what it is -------------------------------------------------------------------------------

    def settled(self, epochs: int) -> Plan:
        """With what was left open decided: the problem's number of epochs, the sampler of Optuna's oracle, the population."""
        epochs = epochs if self.epochs is None else self.epochs
        decided: dict[str, Any] = {"epochs": epochs}
        if self.oracle == "optuna" and self.sampler is None:
            decided["sampler"] = DEFAULT_SAMPLER
        if self.oracle == POPULATION:
            decided |= {"population": self.population or DEFAULT_POPULATION, "ready": self.ready or default_ready(epochs)}
        return dataclasses.replace(self, **decided)

    def identity(self, of: str = "search") -> dict[str, Any]:
        """What makes it this `"search"` or `"comparison"` and no other, as JSON and the stores have it.

        What follows from it and from the problem belongs to it as well: a search's space, and what `of_problem` gives.
        """
        found = {name: _json(getattr(self, name)) for name, option in OPTIONS.items() if of in option.identifies}
        found |= {name: found[name] or {} for name in ("search", "fix") if name in found}
        found |= {"search": _json(_listed(self.search))} if found.get("search") else {}
        usual = {"pruner": "none", "factor": 3, "min_epochs": 1}  # said or not
        return {name: None if name in usual and value == usual[name] else value for name, value in found.items()}


def _options() -> dict[str, Option]:
    hints, found = get_type_hints(Plan, include_extras=True), {}
    for field in dataclasses.fields(Plan):
        for option in getattr(hints[field.name], "__metadata__", ()):
            found[field.name] = dataclasses.replace(option, name=field.name, default=field.default)
    return found


OPTIONS = _options()


def read(path: str | os.PathLike) -> dict[str, Any]:
    """The keys and values of a plan in a TOML file, checked."""
    try:
        content = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SearchError(f"The plan {path} cannot be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SearchError(f"The plan {path} is not TOML: {error}.") from error
    try:
        found = options_of(content)
        Plan(**{"optimizers": ("adam",), **found})
    except SearchError as error:
        raise SearchError(f"The plan {path}: {error}") from error
    return found


def options_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Plan` that a file or JSON says.

    `optimizer = "adam"` is short for `optimizers = ["adam"]`. Of `search`, `true` is the declared range, `[1, 2]` and
    `[1, 2, "log"]` are ranges, `{values = [1, 2]}` and other lists are values; `search` and `fix` may be lists of what the
    command line takes.
    """
    content = dict(content)
    if "optimizer" in content:
        if "optimizers" in content:
            raise SearchError("A plan has either optimizer or optimizers; received both.")
        content["optimizers"] = [content.pop("optimizer")]
    for name in content:
        if name != "optimizers" and name not in OPTIONS:
            known = ["optimizer", "optimizers", *OPTIONS]
            raise SearchError(f"A plan has no {name!r}.{meant(name, known)} It has {', '.join(known)}.")
    for name, option in OPTIONS.items():
        if option.reads is not None and isinstance(content.get(name), list):
            content[name] = pairs(option, content[name])
        elif option.reads_each is not None and isinstance(content.get(name), list):
            content[name] = [option.reads_each(each) if isinstance(each, str) else each for each in content[name]]
        elif name == "search" and isinstance(content.get("search"), Mapping):
            content["search"] = {axis: _wanted(wanted) for axis, wanted in content["search"].items()}
    return content


def _wanted(wanted: Any) -> Any:
    """An axis of a file or of JSON as `Space.of` takes it: a tuple is a range, a list are values."""
    if wanted is True:
        return None
    if isinstance(wanted, Mapping) and set(wanted) == {"values"}:
        return list(wanted["values"])
    is_range = isinstance(wanted, list) and len(wanted) in (2, 3) and all(map(_number, wanted[:2]))
    return tuple(wanted) if is_range and all(isinstance(scale, str) for scale in wanted[2:]) else wanted


def _listed(search: Mapping[str, Any] | None) -> dict[str, Any]:
    """The inverse of `_wanted`, but for the declared range, which is `None`."""
    return {name: {"values": wanted} if isinstance(wanted, list) else wanted for name, wanted in (search or {}).items()}


def pairs(option: Option, words: Sequence[str]) -> dict[str, Any]:
    """A mapping from words of the command line, each name once."""
    found: dict[str, Any] = {}
    for word in words:
        if option.reads is None or not isinstance(word, str):
            raise SearchError(f"{option.name} takes texts of the form {option.metavar}; received {word!r}.")
        name, value = option.reads(word)
        if name in found:
            raise SearchError(f"{option.flag} is given once for each name; received {name} twice.")
        found[name] = value
    return found


def value_of(option: Option, words: Any) -> Any:
    """The value of an option, from what the command line gives of it."""
    if option.reads is not None:
        return pairs(option, words)
    return words if option.reads_each is None else [option.reads_each(word) for word in words]


def over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Options with changes that win: of `search` and `fix` those of the same name, whichever of the two has it."""
    found = {**base, **changes}
    search, fix = changes.get("search") or {}, changes.get("fix") or {}
    if isinstance(base.get("search"), Mapping):
        found["search"] = {**{name: wanted for name, wanted in base["search"].items() if name not in fix}, **search}
    if isinstance(base.get("fix"), Mapping):
        found["fix"] = {**{name: value for name, value in base["fix"].items() if name not in search}, **fix}
    return found


def plan_of(optimizers: Any, problem: Any, options: Mapping[str, Any]) -> Plan:
    """The plan by the arguments of `tuning.search` or `tuning.compare`; a plan itself, with these changes."""
    for name in options:
        if name not in OPTIONS:
            raise SearchError(f"There is no option {name!r}.{meant(name, OPTIONS)} There are {', '.join(OPTIONS)}.")
    asked = dict(options) if problem is None else {"problem": problem, **options}
    return dataclasses.replace(optimizers, **asked) if isinstance(optimizers, Plan) else Plan(optimizers=optimizers, **asked)


def shows_options(function):
    """Lets a function's signature show the options of a plan in the place of `**options`."""
    signature = inspect.signature(function)
    own = list(signature.parameters.values())[:-1]
    first = [each for each in own if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    shown = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option.default)
        for name, option in OPTIONS.items()
        if name not in signature.parameters
    ]
    function.__signature__ = signature.replace(parameters=[*first, *shown, *own[len(first) :]])
    return function


def _json(value: Any) -> Any:
    """As JSON has it: objects by their name."""
    if isinstance(value, Mapping):
        return {str(name): _json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if all(hasattr(value, name) for name in ("low", "high", "scale")):  # a SearchRange
        return [value.low, value.high, value.scale]
    if hasattr(value, "set_model"):  # a callback
        return {type(value).__qualname__: {name: _json(each) for name, each in vars(value).items() if _plain(name, each)}}
    if inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__}"
    return value.item() if hasattr(value, "item") else type(value).__qualname__  # of NumPy, or of Optuna


def _plain(name: str, value: Any) -> bool:
    return not name.startswith("_") and isinstance(value, (bool, int, float, str)) and value == value
