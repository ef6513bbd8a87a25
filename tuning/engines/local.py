"""Trials in several processes of this machine, each running whole trials.

The parent asks the oracle, writes the store and shows the view; a worker only trains. A worker that dies (kill -9, out of
memory) is replaced, and its trial runs again, with the same number, values and seeds.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuning.errors import SearchError, one_line

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial

    from tuning.trial import Trainer
    from tuning.tuner import Tuner

TRIES = 3  # of a trial whose worker dies; after that it counts as failed


class _Worker:
    """A process, the pipe to it, and the trial it is at."""

    def __init__(self, name: str, job: bytes, threads: int):
        self.name = name
        self.trial: Trial | None = None
        context = multiprocessing.get_context("spawn")  # TensorFlow and JAX do not survive a fork
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, job), name=name, daemon=True)
        with _thread_limits(threads):
            self.process.start()
        theirs.close()

    def stop(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class LocalEngine:
    """`workers` processes that train, of which each gets its share of the processor's cores.

    Args:
        workers: at least 1.
    """

    def __init__(self, workers: int):
        self.workers = workers

    def run(self, tuner: Tuner, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]) -> None:
        """Runs trials until there are no more; see `tuning.engines.Engine`."""
        job = _pickled(tuner.trainer(fit_args, fit_kwargs))
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        workers: dict[str, _Worker] = {}
        deaths: dict[str, int] = {}
        idle = [f"worker {i}" for i in range(self.workers)]
        try:
            while True:
                waiting = self._hand_out(tuner, workers, idle, job, threads)
                busy = [worker for worker in workers.values() if worker.trial is not None]
                if not busy:
                    if waiting:
                        raise SearchError(f"{type(tuner.oracle).__name__} waits for a trial, and none is running.")
                    return
                for pipe in multiprocessing.connection.wait([worker.pipe for worker in busy]):
                    worker = next(worker for worker in busy if worker.pipe is pipe)
                    outcome = self._listen(tuner, worker, deaths)
                    if outcome == "free":
                        idle.append(worker.name)
                    elif outcome == "dead":  # the oracle gives its trial to the next worker of this name: that one comes first
                        workers.pop(worker.name).stop()
                        idle.insert(0, worker.name)
        finally:
            for worker in workers.values():
                worker.stop()

    def _hand_out(self, tuner, workers, idle, job, threads) -> bool:
        """Gives trials to idle workers; whether some of them must wait for others' results."""
        for name in list(idle):
            worker = workers.get(name)
            trial = worker.trial if worker is not None else None
            if trial is None:
                trial = tuner.next_trial(name)
            if trial is None:
                return False
            if trial.status == "IDLE":
                return True
            if worker is None:
                worker = workers[name] = _Worker(name, job, threads)
            worker.trial = trial
            idle.remove(name)
            with contextlib.suppress(OSError):  # if it is dead already, listening to it will say so
                worker.pipe.send((int(trial.trial_id), trial.hyperparameters.get_config()))
        return False

    def _listen(self, tuner, worker: _Worker, deaths) -> str:
        """Takes one message of a worker, which is then `busy`, `free` for the next trial, or `dead`."""
        trial = worker.trial
        assert trial is not None
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            worker.trial = None
            deaths[trial.trial_id] = deaths.get(trial.trial_id, 0) + 1
            if deaths[trial.trial_id] >= TRIES:
                how = _exit(worker.process.exitcode)
                tuner.trial_failed(trial, f"The process that ran it {how}, {TRIES} times.", "")
            return "dead"
        if kind == "event":
            tuner.record(content)
            return "busy"
        worker.trial = None
        if kind == "done":
            tuner.trial_done(trial, content)
        elif kind == "fatal":
            raise SearchError(content)
        else:
            tuner.trial_failed(trial, *content)
        return "free"


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed ({signal.Signals(-code).name})"
    return f"ended with status {code}"


def _pickled(trainer: Trainer) -> bytes:
    try:
        return pickle.dumps(trainer)
    except Exception as error:
        raise SearchError(
            f"With more than one worker the problem must be sent to other processes, and this one cannot be "
            f"({one_line(error)}): give it as module:function."
        ) from error


# Each library reads its number of threads from one of these when it is loaded; a user's own setting stays.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "MKL_NUM_THREADS")


@contextlib.contextmanager
def _thread_limits(threads: int):
    """The environment in which a worker starts: without a limit every worker would take all cores."""
    added = [name for name in _THREAD_VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(added, str(threads)))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


# -- in the worker --------------------------------------------------------------------------------


def _work(pipe, job: bytes) -> None:
    """The life of a worker: trials come in through the pipe, events and results go out. It ends when the pipe does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        _serve(pipe, job)


def _serve(pipe, job_bytes: bytes) -> None:
    from tuning.quiet import import_keras_quietly

    import_keras_quietly()
    import keras_tuner

    try:
        trainer = pickle.loads(job_bytes)
    except SearchError as error:
        pipe.recv()
        pipe.send(("fatal", str(error)))
        return

    def report(event):
        pipe.send(("event", event))

    while True:
        number, config = pipe.recv()
        try:
            results = trainer.run(number, keras_tuner.HyperParameters.from_config(config), report)
        except (BrokenPipeError, ConnectionError):
            raise
        except Exception as error:
            pipe.send(("failed", (one_line(error), traceback.format_exc())))
        else:
            pipe.send(("done", results))
