"""Trials in several processes of this machine, each running whole trials.

The parent asks the oracle, writes the store and shows the view; a worker only trains. A worker that dies (kill -9, out of
memory) is replaced, and its trial runs again, with the same number, values and seeds, at most `dispatch.TRIES` times in all.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tuning.engines import work
from tuning.engines.dispatch import dispatch
from tuning.engines.source import Source
from tuning.errors import SearchError, one_line
from tuning.training.assignment import Assignment

if TYPE_CHECKING:
    from tuning.training.trainer import Trainer


class LocalEngine:
    """`workers` processes that train, of which each gets its share of the processor's cores.

    Args:
        workers: at least 1.
        threads: of each one; by default the cores are divided among them.
    """

    def __init__(self, workers: int, threads: int | None = None):
        self.workers = workers
        self.threads = threads

    def run(self, source: Source, trainer: Trainer, run_trial: Callable[[Any], Any]) -> None:
        """Runs trials until there are no more; see `tuning.engines.Engine`."""
        environment = worker_environment(max(1, cores() // self.workers), alone=False, threads=self.threads)
        pool = _Processes(self.workers, _pickled(trainer), source.prunes, environment)
        try:
            dispatch(source, pool, trainer.structure_of)
        finally:
            pool.close()


class _Processes:
    """The pool of `tuning.engines.dispatch`: processes, each at the other end of a pipe."""

    where = "worker process"

    def __init__(self, size: int, job: bytes, answers: bool, environment: dict[str, str]):
        self.size = size
        self._arguments = (job, answers, environment)
        self._all: list[_Process] = []

    def start(self) -> _Process:
        worker = _Process(*self._arguments)
        self._all.append(worker)
        return worker

    def listen(self, workers: Sequence[_Process], timeout: float | None) -> Iterator[tuple[_Process, str, Any]]:
        for pipe in multiprocessing.connection.wait([worker.pipe for worker in workers], timeout):
            worker = next(worker for worker in workers if worker.pipe is pipe)
            try:
                kind, content = worker.pipe.recv()
            except (EOFError, OSError):
                yield worker, "dead", worker.wait()
            else:
                yield worker, kind, content

    def close(self) -> None:
        for worker in self._all:
            worker.end()
        for worker in self._all:
            worker.discard()


class _Process:
    """A worker process and the pipe to it."""

    def __init__(self, job: bytes, answers: bool, environment: dict[str, str]):
        context = multiprocessing.get_context("spawn")  # TensorFlow and JAX do not survive a fork
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, job, answers), daemon=True)
        with _environment(environment):
            self._process.start()
        theirs.close()

    def train(self, number: int, config: dict[str, Any], asked: Assignment) -> None:
        self._send((number, config, asked))

    def answer(self, stop: bool) -> None:
        self._send(stop)

    def _send(self, message) -> None:
        with contextlib.suppress(OSError):  # it is dead, and listening to it will say so
            self.pipe.send(message)

    def wait(self) -> str:
        """How the process, which has closed its pipe, came to its end."""
        self._process.join()
        code = self._process.exitcode
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL, as the system does when memory runs out)"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"was killed ({signal.Signals(-code).name})"
        return f"ended with status {code}"

    def end(self) -> None:
        self.pipe.close()
        self._process.terminate()

    def discard(self) -> None:
        self.end()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _pickled(trainer: Trainer) -> bytes:
    try:
        return pickle.dumps(trainer)
    except Exception as error:
        raise SearchError(
            f"With more than one worker the problem must be sent to other processes, and this one cannot be "
            f"({one_line(error)}): give it as module:function."
        ) from error


# -- the environment of a worker ------------------------------------------------------------------

# Each library reads its number of threads from one of these when it is loaded: OpenMP and MKL (torch, NumPy), TensorFlow, JAX.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC")
# Without these the first process on a GPU takes all of its memory.
_SHARED_GPU = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def cores() -> int:
    """How many of the machine's cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))  # type: ignore[attr-defined,unused-ignore]
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def worker_environment(share: int, *, alone: bool, threads: int | None = None) -> dict[str, str]:
    """What a worker's environment needs, so that workers share cores and GPU; what the user has set stays.

    Args:
        share: of the cores, the threads of each library.
        alone: it has its GPU, if any, to itself.
        threads: of each library, whatever the environment says.
    """
    wanted = dict.fromkeys(_THREAD_VARIABLES, str(share)) | ({} if alone else _SHARED_GPU)
    wanted = {name: value for name, value in wanted.items() if name not in os.environ}
    return wanted if threads is None else wanted | dict.fromkeys(_THREAD_VARIABLES, str(threads))


@contextlib.contextmanager
def _environment(changed: dict[str, str]):
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# -- in the worker --------------------------------------------------------------------------------


def _work(pipe, job: bytes, answers: bool) -> None:
    """The life of a worker: trials come in through the pipe, messages go out. It ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    _end_with_parent()
    _die_before_parent()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        try:
            trainer = work.load(job)
        except SearchError as error:
            pipe.send(("fatal", str(error)))
            return
        pipe.send(("ready", None))
        while True:
            number, config, asked = pipe.recv()
            work.train(trainer, number, config, asked, pipe.send, pipe.recv if answers else None)


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers, and one in the middle of an epoch would not notice for long."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch():
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _die_before_parent() -> None:
    """When memory runs out, Linux is to kill a worker, which is replaced, rather than the process that keeps the results."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as file:
        adjustment = int(file.read())
        file.seek(0)
        file.write(str(min(1000, adjustment + 300)))
