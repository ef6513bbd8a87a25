"""What comes to a chief's port: a worker's requests are taken, and nothing else ends the search or gets in."""

import concurrent.futures
import copy
import json
import math
import os

import keras_tuner
import pytest

import tuning
from tests.tuning.test_chief_and_workers import free_port
from tuning.engines import chief, requests
from tuning.results.search import SearchResult
from tuning.runtime.interruption import Interruption
from tuning.training.assignment import Assignment
from tuning.training.events import BestModel, Chosen, EpochEnded, ExecutionEnded, Noted

OTHERS = (None, True, -1, 2**70, 10**400, 0.5, math.nan, math.inf, "x", "\ud800", [], [[]], {}, {"x": "x"}, [{"x": 1}])
SECRET = "a secret of 21 letters"


def request(kind, content=None, number=0, worker="w", trial="0"):
    return {"worker": worker, "id": str(number), "kind": kind, "trial": trial, "content": content}


def variants(value, path=()):
    """A nested value with each of its parts replaced by what is of another type: (path, value)."""
    for other in OTHERS:
        if {type(other), type(value)} - {int, float} and type(other) is not type(value):
            yield path, other
    if isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            for where, changed in variants(part, (*path, key)):
                copied = copy.copy(value)
                copied[key] = changed
                yield where, copied


@pytest.fixture
def serving(tmp_path):
    """A chief without a network, on a store: body of a request -> its answer; a ValueError if it is refused."""
    oracle = keras_tuner.oracles.RandomSearchOracle(objective=keras_tuner.Objective("loss", "min"), max_trials=2, seed=3)
    tuner = tuning.Tuner(oracle, lambda hp: hp.Float("x", 0.0, 1.0), directory=tmp_path, project_name="shared", pruner="median")
    with tuner.ledger.opened(2) as source:
        served = chief.Chief()
        served._begin(source, lambda hyperparameters: ())

        def ask(message):
            body = message if isinstance(message, bytes) else requests.encode(message)
            reply = concurrent.futures.Future()
            served._answer(requests.understood(body), reply)
            return reply.result()

        ask.chief, ask.directory = served, tmp_path / "shared"
        yield ask


def events(number):
    begun = {"begun": 1.0, "seconds": 0.5}
    return (
        EpochEnded(number, 0, 0, {"loss": 0.5}),
        Noted("something"),
        Chosen("batch_trials", 2, {"1": 0.5}),
        BestModel(number, b"\x00\xff.keras"),
        ExecutionEnded(number, 0, 7, 0.5, 0, **begun),
    )


def outcome(serving, message):
    """The answer to a request, or why it is refused."""
    try:
        return serving(message)
    except ValueError as error:
        return str(error)


def test_nothing_that_comes_to_the_port_ends_a_search(serving):
    assert serving(request("next", number=1))["status"] == "RUNNING"
    good = [request("event", requests.encode_event(event)) for event in events(0)]
    good += [request("done", [[{"loss": 0.5}], None]), request("failed", ["why", "where", None])]
    ways = [(message, path, changed) for message in good for path, changed in variants(message)]
    for number, (message, path, changed) in enumerate(ways):
        said = outcome(serving, changed | {"id": f"w{number}"} if path and path != ("id",) else changed)
        if path == ("trial",):
            assert said == {"stop": True}  # it has no such trial
        else:
            assert said == {"stop": False} if isinstance(said, dict) else "\n" not in said, (message, path, changed)
        assert list(serving.chief._seats) == ["w"], (message, path, changed)
    assert len(ways) > 500
    for body in (b"", b"\xff", b"[" * 100_000, b"{}", b"[]", b'"next"', b"1e999"):
        with pytest.raises(ValueError, match="a request is"):
            serving(body)
    for wrong, why in (
        (EpochEnded(1, 0, 7, {"loss": 1.0}), "the trial of this worker is 0"),
        (Chosen("way", "magic", {}), "cannot be compiled in this way"),
        (ExecutionEnded(0, 8, 2**63, 0.5, 0, 1.0, 1.0), "from 0 to 2\\*\\*63"),
        (ExecutionEnded(0, 8, 1, 0.5, 0, math.nan, 1.0), "a time is finite"),
        (EpochEnded(0, 0, 9, {"loss": 10**400}), "OverflowError"),
    ):
        with pytest.raises(ValueError, match=why):
            serving(request("event", requests.encode_event(wrong), number=2))
    last = ExecutionEnded(0, 9, 1, 0.5, 0, 1.0, 1.0)
    for _ in range(2):  # the second time its answer was lost
        assert serving(request("event", requests.encode_event(last), number=3)) == {"stop": False}
    with pytest.raises(ValueError, match="this was said before"):
        serving(request("event", requests.encode_event(last), number=4))
    with pytest.raises(ValueError, match="the results have no loss"):
        serving(request("done", [[{"x": 0.5}], None], number=5))
    assert serving(request("done", [[{"loss": 0.5}], None], number=6)) == {"stop": True}
    assert serving(request("next", number=7))["trial"]["trial_id"] == "1"
    assert serving(request("failed", ["caf\udce9", "where", None], number=8, trial="1")) == {"stop": True}
    assert serving(request("next", number=9))["status"] == "STOPPED"
    states = [trial.state for trial in SearchResult.load(serving.directory).trials]
    assert states == ["completed", "failed"]


@pytest.mark.parametrize("event", events(3))
def test_an_event_reaches_the_chief_as_it_was_sent(event):
    assert requests.understood(requests.encode(request("event", requests.encode_event(event))))["content"] == event


@pytest.mark.parametrize(
    ("host", "asks"),
    [
        ("127.0.0.1", False),
        ("localhost", False),
        ("[::1]", False),
        *[(host, True) for host in ("10.0.0.1", "0.0.0.0", "[::]", "node1")],
    ],
)
def test_a_chief_that_other_machines_can_reach_asks_for_a_token(host, asks, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", host)
    if asks:
        with pytest.raises(tuning.SearchError, match=r"would listen at .*, KERAS_OPTIMS_TOKEN"):
            chief._check_reachable(None)
    else:
        chief._check_reachable(None)
    chief._check_reachable(SECRET)
    monkeypatch.setenv("KERAS_OPTIMS_TOKEN", "short")
    with pytest.raises(tuning.SearchError, match="at least 16 characters; received 5"):
        chief.token()


@pytest.mark.parametrize(
    ("given", "says"), [(SECRET, None), ("another secret of mine", "is not the chief's"), (None, "it has no KERAS_OPTIMS_TOKEN")]
)
def test_only_who_has_the_token_is_served(given, says, monkeypatch):
    for name, value in zip(chief._VARIABLES, ("127.0.0.1", str(free_port()), "worker"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KERAS_OPTIMS_TOKEN", SECRET)
    served = chief.Chief()
    served._begin(type("Source", (), {"measuring": False})(), lambda hyperparameters: ())
    server = served._serve()
    if given is None:
        monkeypatch.delenv("KERAS_OPTIMS_TOKEN")
    else:
        monkeypatch.setenv("KERAS_OPTIMS_TOKEN", given)
    try:
        with chief.Link(None, Interruption(), None, None, None) as link, concurrent.futures.ThreadPoolExecutor() as other:
            asked = other.submit(link._ask, "leave")
            if says is None:
                request, reply = served._requests.get(timeout=20)
                assert SECRET not in json.dumps(request)
                reply.set_result({})
                assert asked.result(20) == {}
            else:
                with pytest.raises(tuning.SearchError, match=says):
                    asked.result(20)
                assert served._requests.empty()
    finally:
        server.stop(0).wait()
    assert os.environ["KERASTUNER_ORACLE_IP"] == "127.0.0.1"


def test_what_is_asked_of_a_trial_is_the_same_after_json():
    settings = ((0, {"learning_rate": 0.1, "kind": "a"}), (3, {"learning_rate": 0.08, "kind": "a"}))
    for asked in (Assignment(3), Assignment(3, ("graph",), -math.inf, (b"\x00state", b""), True, settings)):
        assert Assignment.from_json(json.loads(json.dumps(asked.to_json()))) == asked
