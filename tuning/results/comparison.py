"""What a comparison found, read from the stores of its searches; importing this needs neither Keras nor pandas."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tuning.errors import SearchError
from tuning.names import counted, folder_name
from tuning.results.notebook import html_of
from tuning.results.search import SearchResult, TrialRecord, json_ready, write_json
from tuning.results.statistics import SIGNIFICANT, difference, holm, plus_minus, summary
from tuning.store import database as stores

FILE_NAME = "comparison.json"


def is_comparison(directory: str | os.PathLike) -> bool:
    """Whether a folder holds a comparison, and not a search."""
    return (pathlib.Path(directory) / FILE_NAME).is_file() and not stores.exists(directory)


class Comparison:
    """Several optimizers after equal budgets, best first.

    A setting, and the epoch of each training that counts, are selected by the objective on the validation data; `test` is the
    test data's metric at that epoch.

    Args:
        directory: of the comparison.
        content: as `comparison.json` has it.
    """

    def __init__(self, directory: str | os.PathLike, content: dict[str, Any]):
        self.directory = pathlib.Path(directory)
        self.content = content

    def __repr__(self) -> str:
        names = ", ".join(entry["optimizer"] for entry in self.optimizers)
        return f"Comparison({self.directory}, {self.content['problem']}: {names})"

    def _repr_html_(self) -> str:
        """In a notebook: each optimizer's mean with its interval, and its best setting."""
        metric = self.content.get("test_metric") or self.content["objective"]
        rows = [
            [entry["optimizer"], with_interval(entry["test"] or entry["validation"]), entry["line"] or "none completed"]
            for entry in self.optimizers
        ]
        differ = [f"{pair['one']} is better than {pair['other']}" for pair in self.differences if pair["significant"]]
        notes = ["Significant: " + "; ".join(differ) if differ else "No difference is significant.", f"in {self.directory}"]
        title = f"{counted(len(rows), 'optimizer')} on {self.content['problem']}"
        return html_of(title, ["optimizer", metric, "best setting"], rows, notes=notes)

    @classmethod
    def load(cls, directory: str | os.PathLike) -> Comparison:
        """Reads `comparison.json`, which is written after each search."""
        path = pathlib.Path(directory) / FILE_NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SearchError(f"There is no comparison in {directory}: {FILE_NAME} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise SearchError(
                f"{path} is damaged ({error}): delete it, and compare again; finished searches are not repeated."
            ) from error
        known = isinstance(content, dict) and {"optimizers", "differences", "objective"} <= content.keys()
        entries = content["optimizers"] if known else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("optimizer") for entry in entries):
            raise SearchError(f"{path} is not the result of a comparison: it must be an object with a list of optimizers.")
        return cls(directory, content)

    @classmethod
    def of(cls, directory: pathlib.Path, header: Mapping[str, Any], names: Sequence[str]) -> Comparison:
        """From the stores of the searches and confirmations, as far as there are any."""
        entries = [_entry(directory, name, header["objective"], header["confirmations"]) for name in names]
        tested = any(entry["test"] for entry in entries)
        which, metric = ("test", test_metric(header["objective"])) if tested else ("validation", header["objective"])
        sign = -1 if header["direction"] == "max" else 1
        entries.sort(key=lambda entry: (entry[which] is None, entry[which] and sign * entry[which]["mean"]))
        content = {
            **header,
            "test_metric": metric if tested else None,
            "optimizers": entries,
            "differences": _differences([entry for entry in entries if entry[which]], which, metric),
            "test_used_for_selection": False,
        }
        return cls(directory, json_ready(content))

    @property
    def optimizers(self) -> list[dict[str, Any]]:
        """An entry for each optimizer, best first, those without a usable trial last."""
        return self.content["optimizers"]

    @property
    def differences(self) -> list[dict[str, Any]]:
        """An entry for each pair of optimizers: one minus other, where one is the better."""
        return self.content["differences"]

    @property
    def best(self) -> dict[str, Any] | None:
        """The entry of the best optimizer; `None` if no optimizer has a completed trial."""
        return next((entry for entry in self.optimizers if entry["line"] is not None), None)

    def to_json(self) -> dict[str, Any]:
        """All of it, as in `comparison.json`."""
        return self.content

    def to_dataframe(self):
        """A pandas DataFrame: one row per optimizer and fresh seed, with the validation and the test value."""
        import pandas

        rows = [
            {"optimizer": entry["optimizer"], "seed": seed, "validation": validation, "test": test}
            for entry in self.optimizers
            if entry["validation"]
            for seed, validation, test in zip(
                entry["validation"]["seeds"],
                entry["validation"]["values"],
                _aligned(entry["test"], entry["validation"]["seeds"]),
                strict=True,
            )
        ]
        return pandas.DataFrame(rows, columns=["optimizer", "seed", "validation", "test"])

    def write(self) -> None:
        """Writes `comparison.json`, all of it or nothing."""
        write_json(self.directory / FILE_NAME, self.content)


def budget(content: Mapping[str, Any]) -> str:
    """What each optimizer's search may spend: `8 trials`, `100 epochs`, or both."""
    most = [counted(content[name], what) for name, what in (("trials", "trial"), ("max_epochs", "epoch")) if content.get(name)]
    return " and ".join(most) or "one sweep"


def with_interval(sample: Mapping[str, Any] | None) -> str:
    """`0.9708 ± 0.0075`; a dash where there is no value."""
    if sample is None:
        return "-"
    return plus_minus(sample["mean"], None if sample["low"] is None else (sample["high"] - sample["low"]) / 2)


def test_metric(objective: str) -> str:
    """The test data's name of the objective: `test_accuracy` for `val_accuracy`."""
    return f"test_{objective.removeprefix('val_')}"


def confirmation_directory(directory: pathlib.Path, name: str) -> pathlib.Path:
    """Where the confirmation of an optimizer's best setting lies."""
    return directory / f"{folder_name(name)}-confirmation"


def load_search(directory: pathlib.Path) -> SearchResult | None:
    """The search in `directory`, or `None` if none has begun."""
    return SearchResult.load(directory) if stores.exists(directory) else None


def confirmed_epochs(search: SearchResult, trial: TrialRecord) -> int | None:
    """For how many epochs the setting of a trial is confirmed: as many as the longest trials of its search train.

    In a population, whose trials are intervals of a training, all have as many as the best one.
    """
    if search.config.get("population"):
        return trial.epochs if search.best is None else search.best.epochs
    return search.config.get("epochs", trial.epochs)


def confirms(confirmation: SearchResult | None, search: SearchResult | None, trial: TrialRecord | None) -> bool:
    """Whether it is this trial's setting that was confirmed, and not one that a longer search has surpassed."""
    return (
        confirmation is not None
        and search is not None
        and trial is not None
        and confirmation.config.get("confirms") == trial.setting
        and confirmation.config.get("epochs") == confirmed_epochs(search, trial)
    )


def _entry(directory: pathlib.Path, name: str, objective: str, confirmations: int) -> dict[str, Any]:
    search = load_search(directory / folder_name(name))
    confirmation = load_search(confirmation_directory(directory, name))
    best = search.best if search is not None else None
    confirmed = confirmation.trials[:confirmations] if confirmation is not None and confirms(confirmation, search, best) else []
    completed = [trial for trial in confirmed if trial.state == "completed"]
    tests = {trial.seeds[0]: at_best_epoch(trial, test_metric(objective)) for trial in completed}
    return {
        "optimizer": name,
        "directory": folder_name(name),
        "confirmation": confirmation_directory(directory, name).name if confirmed else None,
        "line": best.line if best else None,
        "hyperparameters": best.hyperparameters if best else None,
        "search_score": best.score if best else None,
        "trials": _counts(search.trials if search is not None else []),
        "ended": search.ended if search is not None else None,
        "epochs_trained": search.epochs_trained if search is not None else 0,
        "seconds": sum(trial.seconds or 0.0 for trial in search.trials) if search is not None else 0.0,
        "confirmations": _counts(confirmed),
        "validation": _sample({trial.seeds[0]: trial.score for trial in completed}),
        "test": _sample(tests),
    }


def at_best_epoch(trial: TrialRecord, metric: str) -> float | None:
    """A metric of a trial's first training, at the epoch that its score is of."""
    values, epoch = trial.curves[0].get(metric), trial.best_epochs[0]
    return values[epoch] if values and epoch is not None else None


def _sample(by_seed: Mapping[int, float | None]) -> dict[str, Any] | None:
    known = {seed: value for seed, value in by_seed.items() if value is not None}
    if not known:
        return None
    found = summary(list(known.values()))
    return {
        **{name: getattr(found, name) for name in ("mean", "sd", "low", "high", "count")},
        "values": list(known.values()),
        "seeds": list(known),
    }


def _counts(trials: Sequence[TrialRecord]) -> dict[str, int]:
    counts = dict.fromkeys(("completed", "diverged", "failed", "running"), 0)
    for trial in trials:
        counts[trial.state] = counts.get(trial.state, 0) + 1
    return counts


def _differences(entries: Sequence[dict[str, Any]], which: str, metric: str) -> list[dict[str, Any]]:
    pairs = []
    for one, other in itertools.combinations(entries, 2):
        samples = [dict(zip(entry[which]["seeds"], entry[which]["values"], strict=True)) for entry in (one, other)]
        pairs.append((one["optimizer"], other["optimizer"], difference(*samples)))
    adjusted = holm([found.p for _, _, found in pairs])
    return [
        {
            "one": one,
            "other": other,
            "metric": metric,
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "p": found.p,
            "p_adjusted": p,
            "significant": p is not None and p < SIGNIFICANT,
            "paired": found.paired,
        }
        for (one, other, found), p in zip(pairs, adjusted, strict=True)
    ]


def _aligned(sample: dict[str, Any] | None, seeds: Sequence[int]) -> list[float | None]:
    values = dict(zip(sample["seeds"], sample["values"], strict=True)) if sample else {}
    return [values.get(seed) for seed in seeds]
