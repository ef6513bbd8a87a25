"""What a worker does, whatever engine started it: it loads the trainer once, then trains the trials that it is given.

Messages of a worker are pairs (kind, content):

    ready   None: the trainer and its data are loaded
    event   what a trial reports while it runs: `tuning.training.events.EpochEnded`, `ExecutionEnded`, ...
    done    the metrics of the trial's executions, and the hyperparameters that the model has added to the space, if any
    failed  (message, traceback): the trial raised
    fatal   a sentence: this worker cannot train anything, nor can another

If the tuner prunes trials, a worker waits after each EpochEnded for an answer: whether the trial is to stop.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any

from tuning.errors import SearchError, one_line

Send = Callable[[tuple[str, Any]], None]


def load(job: bytes):
    """The trainer, with its data. `SearchError` if this process cannot make it."""
    from tuning.runtime.quiet import import_keras_quietly

    import_keras_quietly()
    from tuning.training.problem_model import ProblemModel

    try:
        trainer = pickle.loads(job)
    except SearchError:
        raise
    except Exception as error:
        raise SearchError(f"A worker cannot load what it is to train: {one_line(error)}.") from error
    if isinstance(trainer.hypermodel, ProblemModel):
        trainer.hypermodel.load()  # bad data is an error of the search, not of its first trial
    return trainer


def train(
    trainer, number: int, config: dict[str, Any], ways, least: float | None, send: Send, answer: Callable[[], bool] | None
) -> None:
    """Trains one trial and sends what comes of it.

    Args:
        trainer: the `tuning.training.trainer.Trainer`.
        number: of the trial.
        config: of its KerasTuner HyperParameters.
        ways: how epochs may be compiled; see `tuning.training.epochs`.
        least: what the trial must score at least for its model to be wanted; `None`: it is not wanted.
        send: takes the messages. If it raises an OSError, whoever wanted the trial is gone, and the error goes up.
        answer: waits for the answer to an epoch; `None`: there is none.
    """
    import keras_tuner

    from tuning.training.events import EpochEnded

    def report(event) -> bool:
        send(("event", event))
        return answer() if answer is not None and isinstance(event, EpochEnded) else False

    hp = keras_tuner.HyperParameters.from_config(config)
    declared = len(hp.space)
    trainer.ways = ways
    try:
        results = trainer.run(number, hp, report, least=least)
    except (BrokenPipeError, ConnectionError, EOFError):
        raise
    except Exception as error:
        send(("failed", (one_line(error), traceback.format_exc())))
    else:
        send(("done", (results, hp.get_config() if len(hp.space) > declared else None)))
