"""What a worker does, whatever engine started it: it loads the trainer once, then trains the trials that it is given.

Messages of a worker are pairs (kind, content):

    ready   None: the trainer and its data are loaded
    event   what a trial reports while it runs: `tuning.training.events.EpochEnded`, `ExecutionEnded`, ...
    done    (results, grown): the metrics of the trial's executions, and the configuration of its hyperparameters, if it has
            declared some since it began
    failed  (message, traceback, grown): the trial raised
    fatal   a sentence: this worker cannot train anything, nor can another

If the tuner prunes trials, a worker waits after each EpochEnded for an answer: whether the trial is to stop.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any

from tuning.errors import SearchError, one_line
from tuning.training.assignment import Assignment

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


def train(trainer, number: int, config: dict[str, Any], asked: Assignment, send: Send, answer: Callable[[], bool] | None) -> None:
    """Trains one trial and sends what comes of it.

    Args:
        trainer: the `tuning.training.trainer.Trainer`.
        number: of the trial.
        config: of its KerasTuner HyperParameters.
        asked: how it is to train.
        send: takes the messages. If it raises an OSError, whoever wanted the trial is gone, and the error goes up.
        answer: waits for the answer to an epoch; `None`: there is none.
    """
    import keras_tuner

    from tuning.training.events import EpochEnded

    def report(event) -> bool:
        send(("event", event))
        return answer() if answer is not None and isinstance(event, EpochEnded) else False

    hp = keras_tuner.HyperParameters.from_config(config)
    before = hp.get_config()
    content: tuple[Any, ...]
    try:
        kind, content = "done", (trainer.run(number, hp, report, asked),)
    except (BrokenPipeError, ConnectionError, EOFError):
        raise
    except Exception as error:
        kind, content = "failed", (one_line(error), traceback.format_exc())
    send((kind, (*content, grown(hp, before))))


def grown(hp, before: dict[str, Any]) -> dict[str, Any] | None:
    """The configuration of a trial's hyperparameters, if it is not any more what it was before."""
    now = hp.get_config()
    return None if now == before else now
