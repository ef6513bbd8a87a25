"""KerasTuner's distributed mode: a chief that serves the oracle and keeps the store, and workers that come and go.

The same program is started several times, with KERASTUNER_TUNER_ID (that of the chief contains "chief"), KERASTUNER_ORACLE_IP
and KERASTUNER_ORACLE_PORT in its environment. What KerasTuner's own protocol leaves out is added: epochs reach the store as they
happen, failed trials say why, a worker gives a sign of life every few seconds, and the trial of one that is silent for a minute
runs again on another.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tuning.engines import work
from tuning.engines.dispatch import InFlight
from tuning.engines.source import Source, waits_for_ever
from tuning.errors import SearchError, one_line
from tuning.runtime.interruption import Interruption

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
_PARTS = {"done": 2, "failed": 3}  # of what a worker says at a trial's end; see `tuning.engines.work`
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


class Chief:
    """The engine of the chief: it hands trials to whoever asks.

    The requests arrive in threads of gRPC; they are answered in the thread of the search, one after the other.
    """

    def run(self, source: Source, trainer: Trainer, run_trial: Callable[[Any], Any]) -> None:
        """Serves until there are no more trials, and every worker that is alive knows that."""
        self._source = source
        self._in_flight = InFlight(source)
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self._seats: dict[str, str] = {}  # worker -> the seat whose trial it has
        self._free: list[str] = []  # seats, first those whose trial's worker died
        self._last_sign: dict[str, float] = {}  # of the workers that have not been told that the search is over
        self._replies: dict[str, tuple[str, dict]] = {}  # worker -> its last request and the answer
        self._over = False
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

    def _serve(self):
        import grpc

        def call(request: dict[str, Any], context) -> dict[str, Any]:
            try:
                request = understood(request)
            except ValueError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            reply: concurrent.futures.Future = concurrent.futures.Future()
            self._requests.put((request, reply))
            return reply.result()

        threads = concurrent.futures.ThreadPoolExecutor(max_workers=64)
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0), *_ANY_SIZE])
        method = grpc.unary_unary_rpc_method_handler(call, request_deserializer=json.loads, response_serializer=_encode)
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
        except BaseException as error:  # the search ends here; the worker is not to wait for an answer
            reply.set_exception(RuntimeError(one_line(error)))
            raise
        reply.set_result(answer)

    def _next(self, worker: str) -> dict[str, Any]:
        if worker in self._seats:  # it was started again
            self._lose(worker, "ended while it ran it")
            self._last_sign[worker] = time.monotonic()
        if self._source.measuring and self._in_flight.trials:
            return {"status": "IDLE"}
        seat = self._free.pop(0) if self._free else f"seat {len(self._seats)}"
        trial = self._in_flight.begin(seat)
        if trial is not None and trial.status != "IDLE":
            self._seats[worker] = seat
            known = {"least": self._source.least(trial), "ways": self._source.ways}
            return {"status": "RUNNING", "trial": trial.get_state(), **known}
        self._free.insert(0, seat)
        if self._in_flight.trials:  # also after the last trial has begun: its worker may die
            return {"status": "IDLE"}
        if trial is not None:
            raise waits_for_ever(self._source)
        self._over = True
        del self._last_sign[worker]
        return {"status": "STOPPED", "trials": [trial.get_state() for trial in self._source.oracle.trials.values()]}

    def _take(self, worker: str, trial_id: str, kind: str, content) -> dict[str, Any]:
        seat = self._seats.get(worker)
        if seat is None or self._in_flight.trials[seat].trial_id != trial_id:
            return {"stop": True}  # the trial was given to another meanwhile, or this chief was started after the worker
        if kind == "event":
            return {"stop": self._in_flight.take(seat, kind, content)}
        self._free.append(self._seats.pop(worker))
        self._in_flight.take(seat, kind, content)
        return {"stop": True}

    def _lose(self, worker: str, how: str) -> dict[str, Any]:
        """A worker is gone. Its trial belongs to whoever asks next."""
        self._last_sign.pop(worker, None)
        if (seat := self._seats.pop(worker, None)) is not None:
            self._free.insert(0, seat)
            self._in_flight.lost(seat, how)
        return {}


class Link:
    """A worker's link to the chief: the `Source` of its trials.

    Args:
        oracle: of the worker's own program; when the search is over it knows all trials.
        interruption: of the search.
        before_trial: called before a trial is asked for.
        trial_began, trial_ended: called with each trial.
    """

    prunes, measuring = True, False
    ways: tuple[str, ...] | None = None  # of the last trial
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
        self._least: float | None = None
        self._before: dict[str, Any] = {}  # the configuration with which the trial began
        self._left = threading.Event()

    def __enter__(self) -> Link:
        import grpc

        self._rpc_error = grpc.RpcError
        self._channel = grpc.insecure_channel(_address(), options=_ANY_SIZE)
        self._call = self._channel.unary_unary(
            f"/{_SERVICE}/{_METHOD}", request_serializer=_encode, response_deserializer=json.loads
        )
        threading.Thread(target=self._give_signs, daemon=True).start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._left.set()
        if kind is not None:
            with contextlib.suppress(self._rpc_error):  # so that the trial need not wait until this worker is missed
                self._call(self._request("leave"), timeout=2)
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
        self._least, self.ways = answer["least"], None if answer["ways"] is None else tuple(answer["ways"])
        self._trial_began(trial)
        return trial

    def least(self, trial: Trial) -> float | None:
        """As the chief said when it gave the trial."""
        return self._least

    def record(self, event: Event) -> bool:
        """Sends what a trial reports; whether it is to stop."""
        self.check_interruption()
        return self._ask("event", _encode_event(event))["stop"]

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
                return self._call(request, wait_for_ready=True, timeout=max(0.1, end - time.monotonic()))
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:  # the chief has just ended, and may be started again
                    time.sleep(0.2)
                elif error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise SearchError(f"There is no chief at {_address()}: none answered in {CHIEF_SECONDS:g} seconds.") from None
                else:
                    raise SearchError(f"The chief at {_address()} ended: {error.details()}.") from None

    def _request(self, kind: str, content=None) -> dict[str, Any]:
        identity = f"{self._run}-{next(self._serial)}"
        return {"worker": self.seat, "id": identity, "kind": kind, "trial": self._trial_id, "content": content}

    def _give_signs(self) -> None:
        while not self._left.wait(SIGN_SECONDS):
            with contextlib.suppress(self._rpc_error, ValueError):  # ValueError: the channel has just been closed
                self._call(self._request("alive"), timeout=SIGN_SECONDS)


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def _encode_event(event: Event) -> dict[str, Any]:
    content = {"kind": type(event).__name__, **dataclasses.asdict(event)}
    return {name: base64.b85encode(value).decode() if isinstance(value, bytes) else value for name, value in content.items()}


def _decode_event(content: dict[str, Any]):
    from tuning.training import events

    arguments = dict(content)
    if arguments["kind"] == events.BestModel.__name__:
        arguments["content"] = base64.b85decode(arguments["content"])
    kinds = (events.EpochEnded, events.ExecutionEnded, events.Chosen, events.BestModel, events.Noted)
    return {kind.__name__: kind for kind in kinds}[arguments.pop("kind")](**arguments)


def understood(request: Any) -> dict[str, Any]:
    """A worker's request, its event decoded.

    Raises:
        ValueError: why it is none of a worker's.
    """
    if not isinstance(request, dict) or not {"worker", "id", "kind", "trial", "content"} <= request.keys():
        raise ValueError("a request is an object with worker, id, kind, trial and content")
    if not all(isinstance(request[name], str) for name in ("worker", "id", "kind")):
        raise ValueError("worker, id and kind are texts")
    kind, content = request["kind"], request["content"]
    if kind not in ("next", "alive", "leave", "event", "done", "failed"):
        raise ValueError(f"there is no kind {kind[:50]!r}")
    if kind in _PARTS:
        if not (isinstance(content, list) and len(content) == _PARTS[kind]):
            raise ValueError(f"the content of {kind} is a list of {_PARTS[kind]}")
        try:
            _check_grown(content[-1])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"no hyperparameters: {one_line(error)}") from error
    if kind != "event":
        return request
    try:
        return {**request, "content": _decode_event(content)}
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"no event: {one_line(error)}") from error


def _check_grown(config: Any) -> None:
    if config is not None:
        import keras_tuner

        keras_tuner.HyperParameters.from_config(config)
