"""TensorBoard: `DIRECTORY/tensorboard/TRIAL/executionN`, of a comparison with a folder for each of its searches above that.

The page Time Series has a chart for each metric, HParams a table of the settings with what they reached.
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tuning.runtime.quiet import import_keras_quietly
from tuning.trackers.record import Record
from tuning.trackers.tracker import RUNNING, Outcome, Place, Run, Tracked, as_plain

if TYPE_CHECKING:
    from keras_optims.callbacks.event_file import EventFile


class TensorBoard:
    """See `tuning.trackers.tracker.Tracker`."""

    def __init__(self, place: Place):
        import_keras_quietly()
        from keras_optims.callbacks.event_file import EventFile
        from tuning.training import tensorboard

        self._make_file, self._forms = EventFile, tensorboard
        self._root, self._replaces = place.directory / "tensorboard", not place.only_here
        self.where = f"tensorboard --logdir {self._root}"
        self._files: dict[tuple[int, int], tuple[EventFile, EventFile]] = {}  # of the setting, and of the curves
        self._written: dict[tuple[int, int], dict] = {}  # the settings

    def begin(self, search: Tracked) -> dict[tuple[int, int], str]:
        """Those that the folder's record has."""
        self._search, self._folder = search, self._root / search.group
        self._record = Record(self._folder, {"search": search.id}, self._replaces)
        for key in self._record.before[1]:
            shutil.rmtree(self._folder_of(key), ignore_errors=True)
        return dict(self._record.runs)

    def trial_began(self, trial: int) -> None:
        """Its folders are removed."""
        for key in [key for key in self._record.runs if key[0] == trial]:
            self._remove(key)

    def run_began(self, run: Run) -> None:
        """Makes its folder, with the setting."""
        self._record.note(run.key, RUNNING)
        folder = self._folder_of(run.key)
        shutil.rmtree(folder, ignore_errors=True)
        self._files[run.key] = self._make_file(folder, "setting"), self._make_file(folder, "curves")
        self._write_setting(run)

    def _write_setting(self, run: Run) -> None:
        values = {name: as_plain(value) for name, value in run.hyperparameters.items()}
        if self._search.group:
            values = {"optimizer": self._search.about.get("optimizer", ""), "phase": self._search.about["phase"], **values}
        if values != self._written.get(run.key):
            self._written[run.key] = values
            group = f"{self._search.group} {run.trial}".strip()
            self._files[run.key][0].summary(self._forms.setting_began(values, group, run.begun), when=run.begun)

    def epoch_ended(self, run: Run, epoch: int, metrics: Mapping[str, float], when: float) -> None:
        """A point of each chart."""
        self._files[run.key][1].scalars(epoch, metrics, when)

    def run_ended(self, run: Run, outcome: Outcome) -> None:
        """The score, and what the page HParams shows of the state."""
        of_setting, of_curves = self._files.pop(run.key)
        if run.hyperparameters.keys() - self._written[run.key].keys():  # TensorBoard reads the first setting of a folder
            if of_setting.path is not None:
                of_setting.path.unlink()
            of_setting = self._make_file(self._folder_of(run.key), "setting")
            self._files[run.key] = of_setting, of_curves
            self._write_setting(run)
            del self._files[run.key]
        del self._written[run.key]
        numbers = {name: value for name, value in outcome.numbers.items() if name != "best_epoch"}
        if numbers:
            of_curves.scalars(outcome.best_epoch or 0, numbers, outcome.ended)
        failed = outcome.state in ("failed", "interrupted")
        of_setting.summary(self._forms.setting_ended(failed, outcome.ended), when=outcome.ended)
        self._record.note(run.key, outcome.state)

    def flush(self) -> None:
        """Nothing is kept back."""

    def _folder_of(self, key: tuple[int, int]) -> pathlib.Path:
        return self._folder / self._forms.folder_of(*key)

    def _remove(self, key: tuple[int, int]) -> None:
        shutil.rmtree(self._folder_of(key), ignore_errors=True)
        self._record.note(key, None)
