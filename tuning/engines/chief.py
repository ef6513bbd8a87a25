"""KerasTuner's distributed mode: a chief that serves the oracle and keeps the store, and workers that come and go.

The same program is started several times, with KERASTUNER_TUNER_ID (that of the chief contains "chief"), KERASTUNER_ORACLE_IP
and KERASTUNER_ORACLE_PORT in its environment. What KerasTuner's own protocol leaves out is added: epochs reach the store as they
happen, failed trials say why, a worker gives a sign of life every few seconds, and the trial of one that is silent for a minute
runs again on another.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ipaddress
import itertools
import json
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tuning.engines import requests, work
from tuning.engines.dispatch import InFlight
from tuning.engines.matching import Matching, StructureOf
from tuning.engines.source import Source, waits_for_ever
from tuning.errors import SearchError, one_line
from tuning.runtime.interruption import Interruption
from tuning.training.assignment import Assignment

if TYPE_CHECKING:
    import keras_tuner
    from keras_tuner.engine.trial import Trial

    from tuning.training.events import Event
    from tuning.training.trainer import Trainer

SIGN_SECONDS = 5.0  # between a worker's signs of life
LOST_SECONDS = 60.0  # without one, after which a worker counts as dead
CHIEF_SECONDS = 600.0  # that a worker waits for a chief to answer: for it to start, or to be started again
ASK_AGAIN_SECONDS = 0.5  # while the oracle waits for other trials to end

_VARIABLES = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")
_TOKEN, _PROOF, _SHORTEST = "KERAS_OPTIMS_TOKEN", "keras-optims-proof", 16
_SERVICE, _METHOD = "keras_optims.Chief", "Call"
_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]  # gRPC's own limit is 4 MiB


def role() -> str | None:
    """`"chief"` or `"worker"`, as KerasTuner's environment variables say, or `None`."""
    given = [name for name in _VARIABLES if os.environ.get(name)]
    if _VARIABLES[0] not in given:
        return None
    if missing := [name for name in _VARIABLES if name not in given]:
        raise SearchError(f"With KERASTUNER_ORACLE_IP the environment must also have {' and '.join(missing)}.")
    return "chief" if "chief" in os.environ["KERASTUNER_TUNER_ID"] else "worker"


def _address() -> str:
    return f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"


def token() -> str | None:
    """The secret of a chief and its workers, if the environment has one."""
    given = os.environ.get(_TOKEN) or None
    if given is not None and len(given) < _SHORTEST:
        raise SearchError(f"{_TOKEN} must have at least {_SHORTEST} characters; received {len(given)}.")
    return given


def _check_reachable(known: str | None) -> None:
    """Raises `SearchError` if other machines can reach a chief that asks for no token."""
    host = os.environ["KERASTUNER_ORACLE_IP"]
    try:
        only_here = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        only_here = host == "localhost"
    if known is None and not only_here:
        raise SearchError(
            f"The chief would listen at {host}, where other machines can reach it: give it and the workers the same secret, "
            f"{_TOKEN}, such as `python -c 'import secrets; print(secrets.token_urlsafe())'` prints."
        )


class Chief:
    """The engine of the chief: it hands trials to whoever asks.

    The requests arrive in threads of gRPC; they are answered in the thread of the search, one after the other.
    """

    def run(self, source: Source, trainer: Trainer, run_trial: Callable[[Any], Any]) -> None:
        """Serves until there are no more trials, and every worker that is alive knows that."""
        self._begin(source, trainer.structure_of)
        server = self._serve()
        try:
            while not self._over or self._last_sign:
                with contextlib.suppress(queue.Empty):
                    self._answer(*self._requests.get(timeout=0.5))
                for worker, sign in list(self._last_sign.items()):
                    if time.monotonic() - sign > LOST_SECONDS:
                        self._lose(worker, f"gave no sign of life for {LOST_SECONDS:g} seconds")
        finally:
            server.stop(grace=1).wait()
            while not self._requests.empty():  # their threads would wait for ever
                self._requests.get()[1].set_exception(RuntimeError("the search is over"))

    def _begin(self, source: Source, structure_of: StructureOf) -> None:
        self._source = source
        self._in_flight = InFlight(source)
        self._matching = Matching(structure_of)
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._seats: dict[str, str] = {}  # worker -> the seat whose trial it has
        self._free: list[str] = []  # seats, first those whose trial's worker died
        self._waiting: list[str] = []  # seats whose trial is at no worker yet
        self._last_sign: dict[str, float] = {}  # of the workers that have not been told that the search is over
        self._replies: dict[str, tuple[str, dict]] = {}  # worker -> its last request and the answer
        self._heard: dict[str, set[tuple]] = {}  # seat -> what was said of its training
        self._over = False

    def _serve(self):
        import grpc

        known = token()
        _check_reachable(known)

        def call(body: bytes, context) -> dict[str, Any]:
            given = dict(context.invocation_metadata()).get(_PROOF, "")
            if known is not None and not requests.is_proof(given, known, body):
                wrong = f"its {_TOKEN} is not the chief's" if given else f"it has no {_TOKEN}"
                context.abort(grpc.StatusCode.UNAUTHENTICATED, wrong)
            try:
                request = requests.understood(body)
                reply: concurrent.futures.Future = concurrent.futures.Future()
                self._requests.put((request, reply))
                return reply.result()
            except ValueError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                raise

        threads = concurrent.futures.ThreadPoolExecutor(max_workers=64)
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0), *_ANY_SIZE])
        method = grpc.unary_unary_rpc_method_handler(call, response_serializer=requests.encode)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: method}),))
        try:
            if server.add_insecure_port(_address()) == 0:
                raise RuntimeError("the port is taken")
        except RuntimeError as error:
            raise SearchError(f"The chief cannot listen at {_address()}: {one_line(error)}.") from error
        server.start()
        return server

    def _answer(self, request: dict[str, Any], reply: concurrent.futures.Future) -> None:
        worker, kind = request["worker"], request["kind"]
        repeated, answer = self._replies.get(worker, ("", {}))
        try:
            if request["id"] != repeated:  # else its answer was lost on the way
                if kind != "alive" or worker in self._last_sign:
                    self._last_sign[worker] = time.monotonic()
                if kind == "next":
                    answer = self._next(worker)
                elif kind == "alive":
                    answer = {}
                elif kind == "leave":
                    answer = self._lose(worker, "was interrupted")
                else:
                    answer = self._take(worker, request["trial"], kind, request["content"])
                if kind != "alive":
                    self._replies[worker] = (request["id"], answer)
        except _RefusedError as error:
            reply.set_exception(ValueError(str(error)))
            return
        except BaseException as error:  # the search ends here; the worker is not to wait for an answer
            reply.set_exception(RuntimeError(one_line(error)))
            raise
        reply.set_result(answer)

    def _next(self, worker: str) -> dict[str, Any]:
        if worker in self._seats:  # it was started again
            self._lose(worker, "ended while it ran it")
            self._last_sign[worker] = time.monotonic()
        if self._source.measuring and self._seats:
            return {"status": "IDLE"}
        oracle_waits = self._ask_for_trials()
        if self._waiting:
            waiting = {seat: self._in_flight.trials[seat] for seat in self._waiting}
            seat = self._matching.choose(worker, waiting, len(self._last_sign))
            self._waiting.remove(seat)
            self._seats[worker], self._heard[seat] = seat, set()
            trial, asked = self._in_flight.hand_out(seat)
            return {"status": "RUNNING", "trial": trial.get_state(), "asked": asked.to_json()}
        if self._in_flight.trials:  # also after the last trial has begun: its worker may die
            return {"status": "IDLE"}
        if oracle_waits:
            raise waits_for_ever(self._source)
        self._over = True
        del self._last_sign[worker]
        return {"status": "STOPPED", "trials": [trial.get_state() for trial in self._source.oracle.trials.values()]}

    def _ask_for_trials(self) -> bool:
        """Asks for a trial, and for those that are to wait; whether the oracle waits for others to end."""
        while not self._waiting or (
            self._source.looks_ahead and len(self._waiting) <= self._matching.ahead(len(self._last_sign))
        ):
            seat = self._free.pop(0) if self._free else f"seat {len(self._seats) + len(self._waiting)}"
            trial = self._in_flight.begin(seat)
            if trial is None or trial.status == "IDLE":
                self._free.insert(0, seat)
                return trial is not None
            self._matching.saw(trial)
            self._waiting.append(seat)
        return False

    def _take(self, worker: str, trial_id: str, kind: str, content) -> dict[str, Any]:
        seat = self._seats.get(worker)
        if seat is None or self._in_flight.trials[seat].trial_id != trial_id:
            return {"stop": True}  # the trial was given to another meanwhile, or this chief was started after the worker
        try:
            requests.check_of_trial(kind, content, int(trial_id), self._source, self._heard[seat])
        except ValueError as error:
            raise _RefusedError(str(error)) from error
        if kind == "event":
            return {"stop": self._in_flight.take(seat, kind, content)}
        self._free.append(self._seats.pop(worker))
        self._in_flight.take(seat, kind, content)
        return {"stop": True}

    def _lose(self, worker: str, how: str) -> dict[str, Any]:
        """A worker is gone. Its trial belongs to whoever asks next."""
        self._last_sign.pop(worker, None)
        self._matching.forget(worker)
        if (seat := self._seats.pop(worker, None)) is not None:
            self._free.insert(0, seat)
            self._in_flight.lost(seat, how)
        return {}


class _RefusedError(Exception):
    """A request that cannot be of the worker's trial; the search goes on."""


class Link:
    """A worker's link to the chief: the `Source` of its trials.

    Args:
        oracle: of the worker's own program; when the search is over it knows all trials.
        interruption: of the search.
        before_trial: called before a trial is asked for.
        trial_began, trial_ended: called with each trial.
    """

    prunes, measuring, looks_ahead, ways = True, False, False, None
    choices: dict[str, Any] = {}  # noqa: RUF012  the chief's

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        interruption: Interruption,
        before_trial: Callable[[], None],
        trial_began: Callable[[Trial], None],
        trial_ended: Callable[[Trial], None],
    ):
        self.oracle = oracle
        self.seat = os.environ["KERASTUNER_TUNER_ID"]
        self._interruption = interruption
        self._before_trial, self._trial_began, self._trial_ended = before_trial, trial_began, trial_ended
        self._run = uuid.uuid4().hex
        self._serial = itertools.count()
        self._trial_id: str | None = None
        self._asked = Assignment(0)
        self._before: dict[str, Any] = {}  # the configuration with which the trial began
        self._left = threading.Event()

    def __enter__(self) -> Link:
        import grpc

        self._rpc_error = grpc.RpcError
        self._channel = grpc.insecure_channel(_address(), options=_ANY_SIZE)
        self._call = self._channel.unary_unary(f"/{_SERVICE}/{_METHOD}", response_deserializer=json.loads)
        self._token = token()
        threading.Thread(target=self._give_signs, daemon=True).start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._left.set()
        if kind is not None:
            with contextlib.suppress(self._rpc_error):  # so that the trial need not wait until this worker is missed
                self._send(self._request("leave"), timeout=2)
        self._channel.close()

    def next_trial(self, seat: str) -> Trial | None:
        """The next trial, or `None` if the search is over; then this worker's oracle knows all trials."""
        from keras_tuner.engine.trial import Trial

        self._before_trial()
        while (answer := self._ask("next"))["status"] == "IDLE":
            time.sleep(ASK_AGAIN_SECONDS)
        if answer["status"] == "STOPPED":
            self.oracle.trials = {state["trial_id"]: Trial.from_state(state) for state in answer["trials"]}
            return None
        trial = Trial.from_state(answer["trial"])
        self._trial_id, self._before = trial.trial_id, trial.hyperparameters.get_config()
        self._asked = Assignment.from_json(answer["asked"])
        return trial

    def begins(self, trial: Trial) -> None:
        """A trial begins to train, as the chief knows."""
        self._trial_began(trial)

    def assignment(self, trial: Trial) -> Assignment:
        """As the chief said when it gave the trial."""
        return self._asked

    def record(self, event: Event) -> bool:
        """Sends what a trial reports; whether it is to stop."""
        self.check_interruption()
        return self._ask("event", requests.encode_event(event))["stop"]

    def trial_done(self, trial: Trial, results: list[dict[str, float]]) -> None:
        """A trial came to its end."""
        self._ask("done", [results, work.grown(trial.hyperparameters, self._before)])
        self._trial_ended(trial)

    def trial_failed(self, trial: Trial, message: str, trace: str) -> None:
        """A trial raised."""
        self._ask("failed", [message, trace, work.grown(trial.hyperparameters, self._before)])
        self._trial_ended(trial)

    def begin_again(self, trial: Trial) -> None:
        """Never called: a worker trains its trials one by one."""
        raise NotImplementedError

    def check_interruption(self) -> None:
        """Raises KeyboardInterrupt if one came."""
        self._interruption.check()

    def _ask(self, kind: str, content=None) -> dict[str, Any]:
        import grpc

        request, end = self._request(kind, content), time.monotonic() + CHIEF_SECONDS
        while True:
            try:
                return self._send(request, wait_for_ready=True, timeout=max(0.1, end - time.monotonic()))
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:  # the chief has just ended, and may be started again
                    time.sleep(0.2)
                elif error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise SearchError(f"There is no chief at {_address()}: none answered in {CHIEF_SECONDS:g} seconds.") from None
                elif error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT):
                    raise SearchError(f"The chief at {_address()} refuses this worker: {error.details()}.") from None
                else:
                    raise SearchError(f"The chief at {_address()} ended: {error.details()}.") from None

    def _send(self, request: dict[str, Any], **options) -> dict[str, Any]:
        body = requests.encode(request)
        metadata = [] if self._token is None else [(_PROOF, requests.proof(self._token, body))]
        return self._call(body, metadata=metadata, **options)

    def _request(self, kind: str, content=None) -> dict[str, Any]:
        identity = f"{self._run}-{next(self._serial)}"
        return {"worker": self.seat, "id": identity, "kind": kind, "trial": self._trial_id, "content": content}

    def _give_signs(self) -> None:
        while not self._left.wait(SIGN_SECONDS):
            with contextlib.suppress(self._rpc_error, ValueError):  # ValueError: the channel has just been closed
                self._send(self._request("alive"), timeout=SIGN_SECONDS)
