"""Trials that train together in one program (JAX): which ones can, and what becomes of each.

What a trial computes is what it computes alone, within the tolerance of float32: the same initial weights, order of samples and
random numbers, in matrix products of another shape.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_optims.callbacks import averaging_optimizer
from tuning.training import epochs
from tuning.training.assignment import Assignment
from tuning.training.curve import Curve
from tuning.training.events import Chosen, Report
from tuning.training.executions import Member, Trained, run_executions
from tuning.training.keeping import put_state
from tuning.training.live import numbers_of, put_numbers
from tuning.training.snapshot import Snapshot, beginning, taken
from tuning.training.trainer import Trainer, best_epoch

SMALLEST_SEARCH = 8  # trials, for which it is worth measuring how many to train at once


def impossible(trainer: Trainer) -> str | None:
    """Why the trials of a search cannot train together; `None` if they can."""
    if keras.backend.backend() != "jax":
        return f"it needs the JAX backend; received {keras.backend.backend()}"
    if trainer.fit_kwargs.get("callbacks") or getattr(trainer.hypermodel, "own_callbacks", list)():
        return "callbacks see one model at a time"
    if getattr(trainer.hypermodel, "reports_test", False):
        return "the test data are evaluated after each epoch"
    if getattr(trainer.hypermodel, "searches_batch_size", False):
        return "the batch size is searched"
    own = getattr(trainer.hypermodel, "fit_arguments", None)
    if own is not None and "y" not in own():
        return "the data are batches, not arrays"
    if not hasattr(trainer.hypermodel, "fit_arguments") and type(trainer.hypermodel).fit is not keras_tuner.HyperModel.fit:
        return "the HyperModel has a fit of its own"
    return None


def worthwhile() -> bool:
    """Whether many small models at once are much faster on this device: it is an accelerator."""
    import jax

    return jax.default_backend() != "cpu"


class TrialsTogether:
    """Trains trials of one structure together.

    Args:
        trainer: of the search; its models are used.
        size: how many at most.
    """

    def __init__(self, trainer: Trainer, size: int):
        self.trainer, self.size = trainer, size
        self._compiled: dict[int, Any] = {}

    def run(self, members: Sequence[tuple[int, Any, Assignment]], report: Report) -> list[list[dict[str, float]]] | None:
        """Trains trials, each (number, hyperparameters, how), and returns the results of each as `Trainer.run` does.

        `None` if they cannot train together, as their models have different structures; nothing was trained then.
        """
        trainer = self.trainer
        of = [trainer.member(number, hp, asked, report, trainer.fit_kwargs) for number, hp, asked in members]

        def train(members: Sequence[Member], execution: int, seeds: Sequence[int], begins: Sequence[Snapshot | None]):
            return self._train(members, execution, seeds, begins, report)

        return run_executions(trainer, of, train, report)

    def _train(
        self,
        members: Sequence[Member],
        execution: int,
        seeds: Sequence[int],
        begins: Sequence[Snapshot | None],
        report: Report,
    ) -> list[Trained] | None:
        from tuning.training.epochs.together import Together, fit_together, state_of

        trainer, models, states, order_seeds, beginnings = self.trainer, [], [], [], []
        arguments = _arguments(trainer)
        for member, seed, begin in zip(members, seeds, begins, strict=True):
            models.append(trainer.model(member.hp, seed))
            changing, taken_up = bool(member.asked.settings), 0 if begin is None else begin.epoch
            if changing and any(epoch > taken_up for epoch, _ in member.asked.settings):
                return None  # alone they change while it trains
            if models[-1] is not models[0] or averaging_optimizer(models[0]) is not None:  # whose averages are to be validated
                return None
            order_seeds.append(np.random.randint(2**31))  # as `epochs.fit` draws it
            train = _build(models[0], arguments)
            beginnings.append(beginning(models[0], changing))
            if begin is not None:
                if begin.beginning != beginnings[-1]:
                    return None  # alone it trains from its beginning
                numbers = numbers_of(models[0].optimizer)
                put_state(models[0], begin.state)
                if changing:
                    put_numbers(models[0].optimizer, numbers)
            states.append(state_of(models[0]))
        model = models[0]
        if id(model) not in self._compiled:
            way = epochs.settled_way(model, train, arguments.get("batch_size") or 32)
            trainer.settle(report, model)
            self._compiled = {id(model): Together(model, way, self.size)}
        curves = [
            Curve(
                *(member.number, execution, trainer.objective, report, types.SimpleNamespace(stop_training=False)),
                begun=() if begin is None else begin.curve,
            )
            for member, begin in zip(members, begins, strict=True)
        ]
        keeping = [
            member.keeper.callbacks(*(() if begin is None else (begin.curve, begin.best)))
            for member, begin in zip(members, begins, strict=True)
        ]
        trained = arguments.pop("epochs", 1)
        epochs_of = [trainer.epochs_of(member.hp).get("epochs", trained) for member in members]
        snapshots: list[Snapshot | None] = [None] * len(members)

        def epoch_ended(i, epoch, logs, state):
            def arrays():
                return [array for group in state()[:3] for array in group]  # without the metrics

            curves[i].on_epoch_end(epoch, logs)
            for callback in keeping[i]:
                callback.heard(epoch, logs, arrays)
            if epoch + 1 == epochs_of[i] and members[i].leaves:
                snapshots[i] = taken(curves[i], arrays(), keeping[i], beginnings[i])
            return curves[i].stopped or curves[i].diverged

        first = [0 if begin is None else begin.epoch for begin in begins]
        fit_together(self._compiled[id(model)], states, order_seeds, epoch_ended, first=first, epochs_of=epochs_of, **arguments)
        trainer.say_means(curves[0], report)
        return [
            Trained(model, curve, callbacks, snapshot, *best_epoch(curve.epochs, curve, trainer.objective))
            for curve, callbacks, snapshot in zip(curves, keeping, snapshots, strict=True)
        ]


def measure_size(trainer: Trainer, hp, report: Report) -> None:
    """Measures how many models of a setting train fastest together, and reports it."""
    from tuning.training.epochs.together import fastest_size

    model, arguments = trainer.model(hp, 0), _arguments(trainer)
    train, batch_size = _build(model, arguments), arguments.get("batch_size") or 32
    way = epochs.settled_way(model, train, batch_size)
    trainer.settle(report, model)
    size, measured = fastest_size(model, way, train, batch_size)
    report(Chosen("batch_trials", size, {str(size): seconds for size, seconds in measured.items()}))


def _arguments(trainer: Trainer) -> dict[str, Any]:
    """Those of `fit_together` that are the same for all trials."""
    own: dict[str, Any] = getattr(trainer.hypermodel, "fit_arguments", dict)()
    arguments = {**own, **dict(zip(("x", "y", "batch_size", "epochs"), trainer.fit_args, strict=False)), **trainer.fit_kwargs}
    return {name: value for name, value in arguments.items() if name not in ("verbose", "callbacks")}


def _build(model, arguments):
    train, _ = epochs.prepared(
        arguments["x"], arguments["y"], arguments.get("validation_data"), arguments.get("validation_split", 0.0)
    )
    epochs.build(model, train, arguments.get("batch_size") or 32)
    return train
