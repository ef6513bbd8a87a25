"""Trials that train together in one program (JAX): which ones can, and what becomes of each.

What a trial computes is what it computes alone, within the tolerance of float32: the same initial weights, order of samples and
random numbers, in matrix products of another shape.
"""

from __future__ import annotations

import time
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
from tuning.training.events import Chosen, ExecutionEnded, Left, Report
from tuning.training.keeping import Keeper, put_state
from tuning.training.live import numbers_of, put_numbers
from tuning.training.seed import execution_seed
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
        results: list[list[dict[str, float]]] = [[] for _ in members]
        running = list(range(len(members)))
        objective, executions = self.trainer.objective, self.trainer.executions
        continued = [self.trainer.continued(asked, report, self.trainer.fit_kwargs) for _, _, asked in members]
        keepers = [
            Keeper(number, objective, asked.least, executions, possible and asked.leaves)
            for (number, _, asked), possible in zip(members, continued, strict=True)
        ]
        for execution in range(self.trainer.executions):
            begun, clock = time.time(), time.perf_counter()
            seeds = [execution_seed(self.trainer.search_seed, members[i][2].root, execution) for i in running]
            begins = [self.trainer.begins(members[i][2], execution, members[i][1]) if continued[i] else None for i in running]
            keeping = [
                keepers[i].callbacks(*(() if begin is None else (begin.curve, begin.best)))
                for i, begin in zip(running, begins, strict=True)
            ]
            trained = self._train([members[i] for i in running], execution, seeds, begins, keeping, report)
            if trained is None:
                return None
            model, curves, snapshots = trained
            for i, snapshot in zip(running, snapshots, strict=True):
                if snapshot is not None and continued[i] and members[i][2].leaves:
                    report(Left(members[i][0], execution, snapshot.epoch, snapshot.content()))
            seconds = (time.perf_counter() - clock) / len(running)  # each one's share
            going_on = []
            for i, seed, curve, callbacks in zip(running, seeds, curves, keeping, strict=True):
                metrics, best = best_epoch(curve.epochs, curve, objective)
                report(ExecutionEnded(members[i][0], execution, seed, metrics[objective.name], best, begun, seconds))
                results[i].append(metrics)
                if not curve.stopped and not curve.diverged:
                    keepers[i].execution_ended(model, callbacks, metrics[objective.name], best)
                    going_on.append(i)
            running = going_on
            if not running:
                break
        for i in running:
            keepers[i].trial_ended(results[i], report)
        return results

    def _train(
        self, members, execution, seeds, begins, keeping, report
    ) -> tuple[keras.Model, list[Curve], list[Snapshot | None]] | None:
        from tuning.training.epochs.together import Together, fit_together, state_of

        trainer, models, states, order_seeds, beginnings = self.trainer, [], [], [], []
        arguments = _arguments(trainer)
        for (_, hp, asked), seed, begin in zip(members, seeds, begins, strict=True):
            models.append(trainer.model(hp, seed))
            changing, first = bool(asked.settings), 0 if begin is None else begin.epoch
            if changing and any(epoch > first for epoch, _ in asked.settings):
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
                *(number, execution, trainer.objective, report, types.SimpleNamespace(stop_training=False)),
                begun=() if begin is None else begin.curve,
            )
            for (number, *_), begin in zip(members, begins, strict=True)
        ]
        trained = arguments.pop("epochs", 1)
        epochs_of = [trainer.epochs_of(hp).get("epochs", trained) for _, hp, _ in members]
        snapshots: list[Snapshot | None] = [None] * len(members)

        def epoch_ended(i, epoch, logs, state):
            def arrays():
                return [array for group in state()[:3] for array in group]  # without the metrics

            curves[i].on_epoch_end(epoch, logs)
            for callback in keeping[i]:
                callback.heard(epoch, logs, arrays)
            if epoch + 1 == epochs_of[i] and members[i][2].leaves:
                snapshots[i] = taken(curves[i], arrays(), keeping[i], beginnings[i])
            return curves[i].stopped or curves[i].diverged

        first = [0 if begin is None else begin.epoch for begin in begins]
        fit_together(self._compiled[id(model)], states, order_seeds, epoch_ended, first=first, epochs_of=epochs_of, **arguments)
        return model, curves, snapshots


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
