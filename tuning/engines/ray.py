"""Trials on a Ray cluster: an actor for each worker, which keeps its models warm and its data loaded.

The driver, which is this process, asks the oracle, writes the store and shows the view, as with `tuning.engines.local`. When an
actor dies, or the node that it is on, its trial runs again on another one, and Ray places a new actor as soon as there is room.
The actors belong to the driver and end with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import pathlib
import queue
import re
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tuning.engines import ray_seam, work
from tuning.engines.dispatch import dispatch
from tuning.engines.local import worker_environment
from tuning.engines.source import Source
from tuning.errors import SearchError, missing_packages_explained, one_line
from tuning.runtime.quiet import stderr_kept_back
from tuning.training.assignment import Assignment

if TYPE_CHECKING:
    from tuning.training.trainer import Trainer

PLACEMENT_SECONDS = 120.0  # without any worker placed, after which a search gives up
CONNECT_SECONDS = 10.0
# Besides what `worker_environment` adds: these mean on a worker what they mean here.
_FORWARDED = re.compile(r"KERAS_|TF_|XLA_|JAX_|TORCH_|PYTORCH_|(OMP_NUM_THREADS|MKL_NUM_THREADS|NPROC|PYTHONPATH)$")
# Of the current folder only Python files go to the nodes of a cluster: no data, no results, nothing in hidden folders.
_NOT_SENT = [".?*", "?*.*", "!*.py", "__pycache__", "venv", "node_modules"]


class RayEngine:
    """`workers` actors that train, placed by Ray wherever there is room for them.

    Args:
        workers: at least 1.
        address: of a running cluster, `"auto"` for the one that this machine is part of, or `"HOST:PORT"`; by default what
            RAY_ADDRESS says, and without that a Ray is started on this machine for this search alone.
        cpus_per_worker: an int, or a fraction below 1; by default as many as let the cluster hold all the workers.
        gpus_per_worker: likewise; by default 1, or, if there are fewer GPUs than workers, a fraction, or 0 if there are none.
        threads: of each worker; by default as many as its CPUs.
        placement_seconds: without any worker placed for so long, the search gives up.

    Raises:
        SearchError: Ray is not installed, or an argument is wrong.
    """

    def __init__(
        self,
        workers: int,
        *,
        address: str | None = None,
        cpus_per_worker: float | None = None,
        gpus_per_worker: float | None = None,
        threads: int | None = None,
        placement_seconds: float = PLACEMENT_SECONDS,
    ):
        self.workers = workers
        self.address = address or os.environ.get("RAY_ADDRESS")
        self.cpus_per_worker = _checked("cpus_per_worker", cpus_per_worker)
        self.gpus_per_worker = _checked("gpus_per_worker", gpus_per_worker, or_zero=True)
        self.threads = threads
        self.placement_seconds = placement_seconds
        if self.address is not None and not re.fullmatch(r"auto|[^/\s]+:\d+", self.address):
            raise SearchError(f"The address of a Ray cluster must be 'auto' or HOST:PORT; received {self.address!r}.")
        with missing_packages_explained():
            if importlib.util.find_spec("ray") is None:  # says so without the second that the import takes
                raise ModuleNotFoundError("No module named 'ray'", name="ray")

    def run(self, source: Source, trainer: Trainer, run_trial: Callable[[Any], Any]) -> None:
        """Runs trials until there are no more; see `tuning.engines.Engine`."""
        with _connected(self.address, _module_folder(trainer.hypermodel)) as ray:
            job = ray.cloudpickle.dumps(trainer)
            cpus, gpus = self._resources(ray)
            environment = worker_environment(max(1, int(cpus)), alone=gpus == int(gpus), threads=self.threads)
            pool = _Actors(ray, self.workers, job, source.prunes, cpus, gpus, environment, self.placement_seconds)
            try:
                dispatch(source, pool, trainer.structure_of)
            finally:
                pool.close()

    def _resources(self, ray) -> tuple[float, float]:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        amounts = [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes]
        gpus = self.gpus_per_worker
        if gpus is None:
            gpus = min(1.0, fair_share([gpus for _, gpus in amounts], self.workers))
        cpus = self.cpus_per_worker
        if cpus is None:
            # On a node with GPUs for k workers only k of them take CPUs.
            places = [sys.maxsize if gpus == 0 else int(node_gpus / gpus) for _, node_gpus in amounts]
            cpus = fair_share([cpus for cpus, _ in amounts], self.workers, places) or 1.0
        return cpus, gpus


def _checked(name: str, value: float | None, *, or_zero: bool = False) -> float | None:
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not (0 < value < 1 or (value >= 1 - or_zero and value == int(value))):
        allowed = "an int of at least 0" if or_zero else "an int of at least 1"
        raise SearchError(f"{name} must be {allowed}, or a fraction below 1; received {value!r}.")
    return float(value)


def fair_share(amounts: Sequence[float], workers: int, places: Sequence[int] | None = None) -> float:
    """The most that each worker can have if all of them are to be placed: an int, or one part in so many; 0 if they cannot be.

    Args:
        amounts: what each node has.
        workers: how many there are.
        places: how many workers each node has room for otherwise.
    """
    limits = [sys.maxsize] * len(amounts) if places is None else places

    def holds(share: float) -> bool:
        return sum(min(int(amount / share + 1e-9), limit) for amount, limit in zip(amounts, limits, strict=True)) >= workers

    whole = range(int(max(amounts, default=0)), 0, -1)
    return next(filter(holds, [*map(float, whole), *(1 / part for part in range(2, workers + 1))]), 0.0)


class _Actors:
    """The pool of `tuning.engines.dispatch`: Ray actors."""

    where = "worker on the Ray cluster"

    def __init__(
        self,
        ray,
        size: int,
        job: bytes,
        answers: bool,
        cpus: float,
        gpus: float,
        environment: dict[str, str],
        placement_seconds: float,
    ):
        self.size = size
        self._ray = ray
        self._arguments = (ray.put(job), answers, os.getcwd())  # the job goes into Ray's store once, however many actors come
        self._wanted = {"num_cpus": cpus, "num_gpus": gpus}
        self._placement_seconds = placement_seconds
        self._unplaced_since: float | None = None  # when all workers that there are began to wait for a place
        self._all: set[_Actor] = set()
        forwarded = {name: value for name, value in os.environ.items() if _FORWARDED.match(name)}
        if "PYTHONPATH" in forwarded:
            forwarded["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, forwarded["PYTHONPATH"].split(os.pathsep)))
        self._class = ray.remote(_Training).options(
            **self._wanted,
            max_restarts=0,  # the dispatcher does it
            max_concurrency=2,  # one for `listen`, which waits, one for `tell`
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": forwarded | environment},
        )

    def start(self) -> _Actor:
        worker = _Actor(self._ray, self._class.remote(*self._arguments))
        self._all.add(worker)
        return worker

    def listen(self, workers: Sequence[_Actor], timeout: float | None) -> Iterator[tuple[_Actor, str, Any]]:
        """Each worker owes an answer to its call of `listen`: what it has to say."""
        by_reference = {worker.owed: worker for worker in workers}
        for reference in self._wait(list(by_reference), timeout):
            worker = by_reference[reference]
            try:
                messages = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                self._all.discard(worker)
                yield worker, "dead", _cause(error)
                continue
            worker.placed = True
            worker.listen()
            for kind, content in messages:
                if kind != "placed":
                    yield worker, kind, content

    def _wait(self, references: list, timeout: float | None) -> list:
        """Those of the references that are ready; in between it looks whether any worker has a place."""
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            part = max(0.0, min(1.0, end - time.monotonic()))
            if not references:  # a worker is to be started later, and there is none now
                time.sleep(part)
            elif self._ray.wait(references, num_returns=1, timeout=part)[0]:
                return self._ray.wait(references, num_returns=len(references), timeout=0)[0]
            if time.monotonic() >= end:
                return []
            self._check_placement()

    def _check_placement(self) -> None:
        now = time.monotonic()
        if not self._all or any(worker.placed for worker in self._all):
            self._unplaced_since = None
        elif self._unplaced_since is None:
            self._unplaced_since = now
        elif now - self._unplaced_since > self._placement_seconds:
            there = self._ray.cluster_resources()
            raise SearchError(
                f"No worker could be placed within {self._placement_seconds:g} seconds: each wants "
                f"{self._wanted['num_cpus']:g} CPUs and {self._wanted['num_gpus']:g} GPUs, and the cluster has "
                f"{there.get('CPU', 0):g} and {there.get('GPU', 0):g} in all; ask for less (--cpus-per-worker, "
                f"--gpus-per-worker), or try again when there is room."
            )

    def close(self) -> None:
        for worker in self._all:
            worker.discard()


class _Actor:
    """The driver's side of a worker."""

    def __init__(self, ray, handle):
        self._ray, self._handle = ray, handle
        self.placed = False
        self.listen()

    def listen(self) -> None:
        self.owed = self._handle.listen.remote()

    def train(self, number: int, config: dict[str, Any], asked: Assignment) -> None:
        self._handle.tell.remote((number, config, asked))

    def answer(self, stop: bool) -> None:
        self._handle.tell.remote(stop)

    def discard(self) -> None:
        with contextlib.suppress(Exception):  # it may be dead, which is what is wanted
            self._ray.kill(self._handle)


def _cause(error: Exception) -> str:
    """How an actor died, in a few words; Ray says it in a page."""
    text = str(error)
    if "OutOfMemory" in type(error).__name__ or "memory monitor" in text or "low on memory" in text:
        return "was killed, as memory ran out"
    if re.search(r"\bnode\b[^.]*\b(died|dead|terminated|removed|failed)", text):
        return "died with its node"
    if "worker process has died" in text:
        return "died (killed, out of memory, or a crash)"
    return f"died ({one_line(error)})"


# -- the connection -------------------------------------------------------------------------------


@contextlib.contextmanager
def _connected(address: str | None, folder: pathlib.Path | None):
    """Ray, connected: to what this program has connected it to already, to the cluster at `address`, or to one of its own.

    Args:
        address: of a cluster.
        folder: whose Python files its nodes need.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # the workers are what this Ray is there for
    import ray

    if ray.is_initialized():
        yield ray
        return
    settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        settings |= {"address": "local", "include_dashboard": False, "object_store_memory": 512 * 2**20}
    else:
        _check_reachable(address)
        settings["address"] = address
        if folder is not None:
            settings["runtime_env"] = {"working_dir": str(folder), "excludes": _NOT_SENT}
    with ray_seam.silent():
        try:
            _init(ray, address, settings)
            yield ray
        finally:
            ray.shutdown()


def _init(ray, address: str | None, settings: dict[str, Any]) -> None:
    failure: Exception | None = None
    with _handler_kept(), ray_seam.on_loopback(address is None), stderr_kept_back(), warnings.catch_warnings():
        # JAX warns of any fork; Ray's children become other programs at once.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        try:
            ray.init(**settings)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            failure = error  # which says enough: what came on stderr before is not shown
    if failure is not None and address is None:
        raise SearchError(f"Ray cannot be started here: {one_line(failure)}") from failure
    if failure is not None:
        hint = "" if "RAY_AUTH_MODE" in os.environ else " If it wants a token, set RAY_AUTH_MODE=token."
        raise SearchError(f"There is no Ray cluster to join ({address}): {one_line(failure)}.{hint}") from failure


def _check_reachable(address: str) -> None:
    """Ray itself tries for a minute, and then ends the process."""
    host, _, port = address.rpartition(":")
    if host:
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise SearchError(f"There is no Ray cluster at {address}: {one_line(error)}.") from error


@contextlib.contextmanager
def _handler_kept():
    """Ray puts its own handler of SIGTERM in place, which ends the process; the search's stays."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    with contextlib.suppress(ValueError):  # not in the main thread: then Ray has not done it either
        signal.signal(signal.SIGTERM, before)


def _module_folder(hypermodel) -> pathlib.Path | None:
    """The current folder, if the problem is a module in it."""
    from tuning.training.problem_model import ProblemModel

    if not isinstance(hypermodel, ProblemModel) or not isinstance(hypermodel.source, str) or ":" not in hypermodel.source:
        return None
    module = sys.modules.get(hypermodel.source.partition(":")[0])
    here = pathlib.Path.cwd()
    file = getattr(module, "__file__", None)
    return here if file and pathlib.Path(file).resolve().is_relative_to(here.resolve()) else None


# -- in the worker --------------------------------------------------------------------------------


class _Training:
    """The actor. It trains in one thread, always the same; Ray's own threads carry the messages."""

    def __init__(self, job: bytes, answers: bool, folder: str):
        self._said: queue.SimpleQueue = queue.SimpleQueue()
        self._told: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._live, args=(job, answers, folder), daemon=True).start()

    def listen(self) -> list[tuple[str, Any]]:
        """What there is to say, as soon as there is anything."""
        messages = [self._said.get()]
        with contextlib.suppress(queue.Empty):
            while True:
                messages.append(self._said.get_nowait())
        return messages

    def tell(self, command) -> None:
        """A trial, or the answer to an epoch."""
        self._told.put(command)

    def _live(self, job: bytes, answers: bool, folder: str) -> None:
        try:
            self._said.put(("placed", None))
            _enter(folder)
            try:
                trainer = work.load(job)
            except SearchError as error:
                self._said.put(("fatal", str(error)))
                return
            self._said.put(("ready", None))
            while True:
                number, config, asked = self._told.get()
                work.train(trainer, number, config, asked, self._said.put, self._told.get if answers else None)
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # the thread alone would leave a worker that says nothing any more


def _enter(folder: str) -> None:
    """The driver's current folder, where the node has it; modules come first from what the driver has sent."""
    sent = os.getcwd()
    if os.path.isdir(folder):
        os.chdir(folder)
    sys.path[:0] = [path for path in dict.fromkeys([sent, os.getcwd()]) if path not in sys.path]
