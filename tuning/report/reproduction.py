"""How to get the same again: the command, the versions, the machine, and the best trial as a few lines of Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuning.results.search import SearchResult, TrialRecord


def snippet(search: SearchResult, trial: TrialRecord, which: int = 0) -> str | None:
    """Python that trains a trial again from the seed of one of its executions; `None` if none has ended."""
    executions = trial.trainings
    if which >= len(executions):
        return None
    execution = executions[which]
    which_one = f"  # trial {trial.number}, training {which + 1} of {len(executions)}"
    if not isinstance(search.config.get("space"), dict):
        return "\n".join(
            [
                "import keras",
                "import keras_tuner",
                "",
                "hp = keras_tuner.HyperParameters()",
                f"hp.values.update({trial.hyperparameters!r})",
                f"keras.utils.set_random_seed({execution.seed}){which_one}",
                f"model = build_model(hp)  # your model function or HyperModel ({_word(search.config.get('hypermodel'))})",
                f"model.fit(...)  # as in your search, {trial.epochs or 'with the same number of'} epochs",
            ]
        )
    of_schedule = ["import keras_optims"] if search.config["space"].get("schedule") else []
    problem, samples = search.config.get("problem"), search.config.get("train_samples")
    known = isinstance(problem, str) and (":" in problem or problem in _built_in())
    objective, best = search.objective, "max" if search.direction == "max" else "min"
    result = "" if execution.score is None else f"  # {execution.score:.6g} in the search"
    way, callbacks = search.way, search.config.get("callbacks")
    arguments = [
        repr(problem) if known else "problem",
        trial.line,
        f"seed={execution.seed}",
        f"epochs={trial.epochs or search.config.get('epochs')}",
        *([] if samples is None else [f"train_samples={samples}"]),
        *([] if way is None else [f"way={way!r}"]),
        *([] if callbacks is None else [f"callbacks={repr(callbacks) if ':' in callbacks else '...'}"]),
    ]
    return "\n".join(
        [
            *sorted({f"import {search.config['space']['call'].rpartition('.')[0]}", "import tuning", *of_schedule} - {"import "}),
            "",
            *([] if known else [f"problem = ...  # your tuning.Problem, called {_word(problem)}"]),
            "model = tuning.train(",
            *(f"    {argument}," for argument in arguments),
            f"){which_one}",
            f"print({best}(model.history.history[{objective!r}])){result}",
        ]
    )


def facts(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What ran where: backend, versions and machine, as (name, value)."""
    machine = config.get("machine") or {}
    accelerators = machine.get("accelerators")
    known = [
        ("backend", config.get("backend")),
        *(config.get("versions") or {}).items(),
        ("platform", machine.get("platform")),
        ("processor", machine.get("processor")),
        ("cores", machine.get("cores")),
        ("memory", f"{machine['memory_gib']} GiB" if machine.get("memory_gib") else None),
        ("accelerators", ", ".join(map(str, accelerators)) or "none" if isinstance(accelerators, list) else None),
    ]
    return [(str(name), str(value)) for name, value in known if value is not None]


def plan(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the search was set up, as (name, value)."""
    names = ("oracle", "trials", "epochs", "repeats", "seed", "train_samples", "batch_size", "objective", "direction")
    known = [(name.replace("_", " "), str(config[name])) for name in names if config.get(name) is not None]
    fixed = config["space"].get("fixed") if isinstance(config.get("space"), dict) else None
    schedule = config["space"].get("schedule") if isinstance(config.get("space"), dict) else None
    if schedule:
        numbers = "".join(f", {name}={value!r}" for name, value in schedule["fixed"].items())
        known.append(("schedule", f"{schedule['name']}, {schedule['steps_per_epoch']} steps an epoch{numbers}"))
    return known + ([("fixed", ", ".join(f"{name}={value!r}" for name, value in fixed.items()))] if fixed else [])


def _built_in() -> Mapping[str, Any]:
    from tuning.problems import PROBLEMS

    return PROBLEMS


def _word(value: Any) -> str:
    return " ".join(str(value).split())
