"""Weights & Biases: WANDB_PROJECT, else a project named after the directory; the WANDB_* variables say all else.

Runs have ids that follow from the search, so that one that runs again is the same one. Offline (WANDB_MODE=offline) they lie in
`DIRECTORY/wandb`, from where `wandb sync` sends them.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

from tuning.errors import SearchError, one_line
from tuning.trackers.record import Record
from tuning.trackers.tracker import RUNNING, Outcome, Place, Run, Tracked, as_plain

_FAILED = ("failed", "interrupted")


class WandB:
    """See `tuning.trackers.tracker.Tracker`."""

    def __init__(self, place: Place):
        self._is_offline = os.environ.get("WANDB_MODE") in ("offline", "dryrun", "disabled")
        try:
            import wandb

            if not self._is_offline and not wandb.login():
                raise SearchError("nobody is logged in")
        except ModuleNotFoundError:
            raise
        except Exception as error:
            raise SearchError(
                f"Weights & Biases cannot be used ({one_line(error)}): run `wandb login`, set WANDB_MODE=offline, or leave out "
                f"--log wandb."
            ) from error
        self._wandb = wandb
        self._directory = place.directory
        self._project = os.environ.get("WANDB_PROJECT") or re.sub(r"[/\\#?%:]", "-", place.experiment)[:128]
        self._offline = pathlib.Path(os.environ.get("WANDB_DIR") or place.directory) / "wandb"
        server = f"the project {self._project} of Weights & Biases"
        self.where = f"wandb sync {self._offline}/offline-run-*" if self._is_offline else server
        self._runs: dict[tuple[int, int], Any] = {}

    def begin(self, search: Tracked) -> dict[tuple[int, int], str]:
        """Those that the folder's record has."""
        self._search = search
        project = f"{os.environ.get('WANDB_ENTITY', '')}/{self._project}"
        owner = {"search": search.id, "project": project}
        self._record = Record(self._directory / "wandb" / search.group, owner)
        before, runs = self._record.before
        if before.get("search") not in (None, search.id):
            for key in runs:
                self._remove_offline(f"{before['search']}-{key[0]}-{key[1]}")
        return dict(self._record.runs)

    def trial_began(self, trial: int) -> None:
        """What lies offline is removed; a run on the server goes on, and takes no epoch twice."""
        for key in [key for key in self._record.runs if key[0] == trial]:
            self._remove(key)

    def run_began(self, run: Run) -> None:
        """A run with its configuration."""
        search = self._search
        self._record.note(run.key, RUNNING)
        about = {"epochs": run.epochs, "trial": run.trial, "execution": run.execution, **search.about}
        values = {name: as_plain(value) for name, value in run.hyperparameters.items()}
        self._runs[run.key] = self._wandb.init(
            project=self._project,
            id=self._identity(run.key),
            name=run.name,
            group=search.group or None,
            job_type=search.about["phase"],
            tags=[search.about[name][:64] for name in ("optimizer", "problem") if search.about.get(name)],
            notes=run.line or None,
            config={**about, **values},
            dir=None if os.environ.get("WANDB_DIR") else str(self._directory),
            resume=None if self._is_offline else "allow",
            reinit="create_new",
            settings=self._wandb.Settings(
                console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True
            ),
        )

    def epoch_ended(self, run: Run, epoch: int, metrics: Mapping[str, float], when: float) -> None:
        """A point of each chart."""
        self._runs[run.key].log({**metrics, "epoch": epoch}, step=epoch)

    def run_ended(self, run: Run, outcome: Outcome) -> None:
        """Its score and state are in the summary."""
        there = self._runs.pop(run.key)
        there.config.update({name: as_plain(value) for name, value in run.hyperparameters.items()}, allow_val_change=True)
        about = {"state": outcome.state, "seed": outcome.seed, "message": outcome.message, **outcome.numbers}
        there.summary.update({name: value for name, value in about.items() if value is not None})
        there.finish(exit_code=int(outcome.state in _FAILED))
        self._record.note(run.key, outcome.state)

    def flush(self) -> None:
        """The client sends by itself."""

    def _identity(self, key: tuple[int, int]) -> str:
        return f"{self._search.id}-{key[0]}-{key[1]}"

    def _remove(self, key: tuple[int, int]) -> None:
        self._remove_offline(self._identity(key))
        self._record.note(key, None)

    def _remove_offline(self, identity: str) -> None:
        """Deletes what lies in the folder of a run that no server has yet."""
        for folder in self._offline.glob(f"offline-run-*-{identity}"):
            if not list(folder.glob("*.wandb.synced")):
                shutil.rmtree(folder, ignore_errors=True)
