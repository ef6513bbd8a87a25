"""What a worker says to its chief, as JSON, and what of that a chief takes: whatever else comes to its port ends no search."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from tuning.errors import one_line, plain
from tuning.training import events
from tuning.training.events import Event

KINDS = ("next", "alive", "leave", "event", "done", "failed")
_LARGEST = 2**63  # of whole numbers that a store takes, and one more


def encode(message: dict[str, Any]) -> bytes:
    """A message as it travels."""
    return json.dumps(message).encode()


def proof(token: str, body: bytes) -> str:
    """That who sent this knows the token, which does not travel itself."""
    return hmac.new(token.encode(), body, hashlib.sha256).hexdigest()


def is_proof(given: str | bytes, token: str, body: bytes) -> bool:
    """Whether it is one; how long this takes says nothing of the right one."""
    given = given.encode() if isinstance(given, str) else given
    return hmac.compare_digest(given, proof(token, body).encode())


def encode_event(event: Event) -> dict[str, Any]:
    """An event as JSON."""
    content = {"kind": type(event).__name__, **dataclasses.asdict(event)}
    return {name: base64.b85encode(value).decode() if isinstance(value, bytes) else value for name, value in content.items()}


def understood(body: bytes) -> dict[str, Any]:
    """A worker's request, its event decoded.

    Raises:
        ValueError: why it is none of a worker's.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("a request is JSON") from None
    if not isinstance(request, dict) or not {"worker", "id", "kind", "trial", "content"} <= request.keys():
        raise ValueError("a request is an object with worker, id, kind, trial and content")
    if not all(isinstance(request[name], str) for name in ("worker", "id", "kind")):
        raise ValueError("worker, id and kind are texts")
    kind, content = request["kind"], request["content"]
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind[:50]!r}")
    try:
        if kind == "event":
            content = _event(content)
        elif kind in _PARTS:
            content = _parts(_PARTS[kind], content)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"this is no content of {kind}: {one_line(error)}") from error
    return {**request, "content": content}


def check_of_trial(kind: str, content: Any, number: int, source, heard: set[tuple]) -> None:
    """Raises ValueError if what a worker says cannot be of the trial that it has.

    Args:
        kind, content: of a request.
        number: of the trial.
        source: as an engine knows it.
        heard: what was said of this training before; it grows.
    """
    if kind == "done" and not all(source.oracle.objective.name in result for result in content[0]):
        raise ValueError(f"the results have no {source.oracle.objective.name}")
    if kind != "event":
        return
    if getattr(content, "trial", number) != number:
        raise ValueError(f"the trial of this worker is {number}")
    if isinstance(content, events.Chosen) and content.name == "way" and content.value not in (None, *(source.ways or ())):
        raise ValueError("epochs cannot be compiled in this way")
    if isinstance(content, (events.EpochEnded, events.ExecutionEnded, events.Left)):
        said = (type(content), content.execution, getattr(content, "epoch", None))
        if said in heard:
            raise ValueError("this was said before")
        heard.add(said)


def _parts(checks: Sequence[Callable[[Any], Any]], content: Any) -> list[Any]:
    if not isinstance(content, list) or len(content) != len(checks):
        raise ValueError(f"it is a list of {len(checks)}")
    return [check(part) for check, part in zip(checks, content, strict=True)]


def _event(content: Any) -> Event:
    if not isinstance(content, dict):
        raise TypeError(f"an event is no {type(content).__name__}")
    arguments = dict(content)
    kind = {each.__name__: each for each in _FIELDS}[arguments.pop("kind")]
    return kind(**{name: _FIELDS[kind][name](value) for name, value in arguments.items()})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is no {type(value).__name__}")
    return plain(value)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise ValueError("a whole number is from 0 to 2**63")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"a number is no {type(value).__name__}")
    return float(value)


def _time(value: Any) -> float:
    if not math.isfinite(_number(value)):
        raise ValueError("a time is finite")
    return float(value)


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise TypeError(f"metrics are no {type(value).__name__}")
    return {_text(name): _number(each) for name, each in value.items()}


def _name(value: Any) -> str:
    if value not in ("way", "batch_trials"):
        raise ValueError("nothing else is chosen")
    return value


def _choice(value: Any) -> str | int | None:
    return value if value is None else _text(value) if isinstance(value, str) else max(1, _whole(value))


def _bytes(value: Any) -> bytes:
    return base64.b85decode(_text(value))


def _results(value: Any) -> list[dict[str, float]]:
    if not isinstance(value, list) or not value:
        raise TypeError("results are a list")
    results = [_numbers(each) for each in value]
    if any(each.keys() != results[0].keys() for each in results):
        raise ValueError("each training has the same metrics")
    return results


def _grown(value: Any) -> dict[str, Any] | None:
    """The hyperparameters of a trial that declared some."""
    if value is not None:
        import keras_tuner

        keras_tuner.HyperParameters.from_config(value)
    return value


# Of each event its fields, and of the end of a trial its parts, with what makes sure that it is one.
_FIELDS: dict[type, dict[str, Callable[[Any], Any]]] = {
    events.EpochEnded: {"trial": _whole, "execution": _whole, "epoch": _whole, "metrics": _numbers},
    events.ExecutionEnded: {
        **{"trial": _whole, "execution": _whole, "seed": _whole, "score": _number, "best_epoch": _whole},
        **{"begun": _time, "seconds": _time},
    },
    events.Chosen: {"name": _name, "value": _choice, "seconds_per_step": _numbers},
    events.BestModel: {"trial": _whole, "content": _bytes},
    events.Left: {"trial": _whole, "execution": _whole, "epoch": _whole, "content": _bytes},
    events.Noted: {"text": _text},
}
_PARTS: dict[str, Sequence[Callable[[Any], Any]]] = {"done": (_results, _grown), "failed": (_text, _text, _grown)}
