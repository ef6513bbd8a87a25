"""How to get the same again: the command, the versions, the machine, and the best trial as a few lines of Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuning.results.search import SearchResult, TrialRecord, setting_in
from tuning.training.seed import execution_seed


def snippet(search: SearchResult, trial: TrialRecord, which: int = 0) -> str | None:
    """Python that trains a trial again from the seed of one of its trainings; `None` if there is no such training."""
    seed, count = _seed(search, trial, which), max(len(trial.trainings), search.config.get("repeats") or 1)
    if seed is None or which >= count:
        return None
    which_one = f"  # trial {trial.number}, training {which + 1} of {count}"
    if not isinstance(search.config.get("space"), dict):
        return "\n".join(
            [
                "import keras",
                "import keras_tuner",
                "",
                "hp = keras_tuner.HyperParameters()",
                f"hp.values.update({(trial.settings[0][1] if trial.settings else trial.hyperparameters)!r})",
                *(f"# from epoch {epoch} on (the first is 0): {values!r}" for epoch, values in trial.settings[1:]),
                f"keras.utils.set_random_seed({seed}){which_one}",
                f"model = build_model(hp)  # your model function or HyperModel ({_word(search.config.get('hypermodel'))})",
                f"model.fit(...)  # as in your search, {trial.epochs or 'with the same number of'} epochs",
            ]
        )
    setting = setting_in(search.config, trial.hyperparameters, trial.epochs, trial.settings)
    of_schedule = ["import keras_optims"] if "keras_optims." in setting.code else []
    module = setting.call.rpartition(".")[0]
    problem, samples = search.config.get("problem"), search.config.get("train_samples")
    known = isinstance(problem, str) and (":" in problem or problem in _built_in())
    objective, best = search.objective, "max" if search.direction == "max" else "min"
    score = trial.executions[which] if which < len(trial.executions) else None
    result = "" if score is None else f"  # {score:.6g} in the search"
    way, callbacks = search.way, search.config.get("callbacks")
    arguments = [
        repr(problem) if known else "problem",
        setting.code,
        f"seed={seed}",
        f"epochs={trial.epochs or search.config.get('epochs')}",
        *([] if samples is None else [f"train_samples={samples}"]),
        *([] if not setting.model else [f"model={setting.model!r}"]),
        *([] if setting.batch_size is None else [f"batch_size={setting.batch_size}"]),
        *([] if way is None else [f"way={way!r}"]),
        *([] if callbacks is None else [f"callbacks={repr(callbacks) if ':' in callbacks else '...'}"]),
    ]
    return "\n".join(
        [
            *sorted({f"import {module.removesuffix('.optimizers')}", "import tuning", *of_schedule} - {"import "}),
            "",
            *([] if known else [f"problem = ...  # your tuning.Problem, called {_word(problem)}"]),
            "model = tuning.train(",
            *(f"    {argument}," for argument in arguments),
            f"){which_one}",
            f"print({best}(model.history.history[{objective!r}])){result}",
        ]
    )


def _seed(search: SearchResult, trial: TrialRecord, which: int) -> int | None:
    """Of a training that has ended, or of one that failed: it follows from the search's own."""
    if which < len(trial.trainings):
        return trial.seeds[which]
    own = search.config.get("seed")
    if not isinstance(own, int) or isinstance(own, bool) or own < 0:
        return None
    continued = {each.number: each.continues for each in search.trials}
    root = trial.number
    while (before := continued.get(root)) is not None and before < root:
        root = before
    return execution_seed(own, root, which)


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
    budget = ("trials", "max_epochs", "max_minutes", "target")
    names = (
        "oracle",
        "population",
        "ready",
        *budget,
        "epochs",
        "repeats",
        "seed",
        "train_samples",
        "batch_size",
        "objective",
        "direction",
    )
    known = [(name.replace("_", " "), str(config[name])) for name in names if config.get(name) is not None]
    space = config["space"] if isinstance(config.get("space"), dict) else {}
    for name, part in space.get("optimizers", {"": space}).items():
        schedule, of = part.get("schedule"), f" of {name}" if name else ""
        if schedule:
            numbers = "".join(f", {number}={value!r}" for number, value in schedule["fixed"].items())
            steps = "" if space.get("samples") is not None else f", {schedule['steps_per_epoch']} steps an epoch"
            known.append((f"schedule{of}", f"{schedule['name']}{steps}{numbers}"))
        known += _pinned(f"fixed{of}", part.get("fixed"))
    pinned = {**space.get("model", {}), **({"batch_size": space["batch_size"]} if "batch_size" in space else {})}
    return known + _pinned("fixed of the problem", pinned)


def _pinned(name: str, values: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    return [(name, ", ".join(f"{each}={value!r}" for each, value in values.items()))] if values else []


def _built_in() -> Mapping[str, Any]:
    from tuning.problems import PROBLEMS

    return PROBLEMS


def _word(value: Any) -> str:
    return " ".join(str(value).split())
