"""What the store has of an oracle: put together again after any kill, and said to be damaged where it is."""

import contextlib
import json
import math
import re
import shutil
import sqlite3

import pytest

import tuning
from tests.tuning.conftest import one_sentence, without_times
from tests.tuning.test_pruning import Curves, curves, oracle_of, result
from tuning import SearchError
from tuning.engines.dispatch import dispatch
from tuning.oracles.state import DAMAGES, restore
from tuning.store.database import FILE_NAME, Store

pytestmark = pytest.mark.backend("tensorflow")  # nothing in here depends on the backend


class DiedError(BaseException):
    """In the place of a kill."""


def outcome(tuner):
    return without_times({"trials": [trial.to_json() for trial in result(tuner).trials]})


@pytest.mark.parametrize(("oracle", "pruner"), [("quasirandom", "halving"), ("asha", None), ("hyperband", None)])
def test_a_search_that_dies_before_or_after_any_write_ends_as_an_undisturbed_one(oracle, pruner, tmp_path, monkeypatch):
    options = {"pruner": pruner, "oracle": oracle, "trials": 3, "cls": Short}
    transaction, left = Store._transaction, []

    @contextlib.contextmanager
    def copied(store):
        if store.path.exists():  # what a kill before this write would leave
            left.append(tmp_path / f"killed-{len(left)}")
            shutil.copytree(store.path.parent, left[-1])
        with transaction(store):
            yield

    with monkeypatch.context() as patched:
        patched.setattr(Store, "_transaction", copied)
        whole = curves(tmp_path, name="whole", **options)
        whole.search(epochs=9)
    wanted = outcome(whole)
    assert pruner is None or "pruned" in {trial.state for trial in result(whole).trials}
    assert len(left) > 12
    for folder in [*left, tmp_path / "whole"]:
        again = curves(tmp_path, name=folder.name, **options)
        again.search(epochs=9)
        assert outcome(again) == wanted, folder.name


class Short(Curves):
    epochs = 3

    def run_trial(self, trial, *args, **kwargs):
        self.epochs = min(3, trial.hyperparameters.values.get("tuner/epochs", 3))
        return super().run_trial(trial)


class Workers:
    """An engine whose workers end as soon as they have begun, one after the other."""

    size, where = 2, "worker"

    def __init__(self, dies_at=None):
        self.dies_at, self.began = dies_at, []

    def run(self, source, trainer, run_trial):
        self.said = []
        dispatch(source, self, trainer.structure_of)

    def start(self):
        worker = Worker(self)
        self.said.append((worker, "ready", None))
        return worker

    def listen(self, workers, timeout):
        if len(self.began) == self.dies_at:
            raise DiedError
        yield self.said.pop(0)


class Worker:
    def __init__(self, pool):
        self.pool = pool

    def train(self, number, config, asked):
        self.pool.began.append(number)
        self.pool.said.append((self, "done", ([{"val_loss": 0.5}], None)))


def test_trials_of_workers_that_died_again_and_again_run_once(tmp_path):
    """Those that were to run again, and had not begun, were to run again twice."""
    for dies_at in (2, 1, 1):
        with pytest.raises(DiedError):
            curves(tmp_path, None, trials=6, cls=tuning.Tuner, hypermodel=print, engine=Workers(dies_at)).search()
    workers = Workers()
    curves(tmp_path, None, trials=6, cls=tuning.Tuner, hypermodel=print, engine=workers).search()
    assert sorted(workers.began) == list(range(6))


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Oracle -> the store of a search that was broken off in its third trial, and what is in it of the oracle."""
    found = {}
    for oracle in ORACLES:
        folder = tmp_path_factory.mktemp(oracle)
        tuner = curves(folder, None, oracle, trials=4, cls=Short)
        tuner.dies_at = (2, 0)
        with pytest.raises(KeyboardInterrupt):
            tuner.search(epochs=9)
        path = folder / "search" / FILE_NAME
        with Store.open(path.parent) as store:
            found[oracle] = path, store.oracle_state, (store.oracle_trials(), store.ended())
    return found


ORACLES = ("random", "quasirandom", "grid", "hyperband", "asha", "bayesian", "optuna")

# The entries that the oracle does not need, or knows from elsewhere.
MAY_BE_ANYTHING = ("left_out", "passed")
WRONG = (None, 7, "x", ["x"], [[1]], {"x": 1}, {"x": "99"})
DAMAGED = r"[^\n]* is damaged, or the oracle is not the one that wrote it \([^\n]*\."


def is_taken_up(oracle, state, trials):
    """Whether an oracle takes a state; else it raises what is said of a damaged store."""
    try:
        restore(oracle_of(oracle, 4), json.loads(json.dumps(state)), *trials)
    except DAMAGES:
        return False
    return True


def rewrite(path, state):
    with contextlib.closing(sqlite3.connect(path)) as plain:
        plain.execute("UPDATE search SET oracle = ?", (json.dumps(state),))
        plain.commit()


@pytest.mark.parametrize("oracle", ORACLES)
def test_a_damaged_state_is_said_to_be_or_is_taken_up(oracle, begun):
    path, state, trials = begun[oracle]
    assert is_taken_up(oracle, state, trials)
    said = 0
    for name, value in state.items():
        wrong = [other for other in WRONG if type(other) is not type(value) and not (other == 7 and type(value) is float)]
        for changed in [*({**state, name: each} for each in wrong), {other: state[other] for other in state if other != name}]:
            if is_taken_up(oracle, changed, trials):
                assert value is None or name in MAY_BE_ANYTHING, (name, changed.get(name, "is missing"))
            else:
                said += 1
    assert said > 40
    rewrite(path, {**state, "hyperparameters": 7})
    with pytest.raises(SearchError) as raised:
        curves(path.parents[1], None, oracle, trials=4, cls=Short)
    assert re.fullmatch(DAMAGED, str(raised.value))
    rewrite(path, state)
    curves(path.parents[1], None, oracle, trials=4, cls=Short).search(epochs=9)


def test_damage_within_the_brackets_of_hyperband_is_said(begun):
    path, state, trials = begun["hyperband"]
    (bracket,) = state["brackets"]
    place, *_ = bracket["rounds"][0]
    brackets = [
        7,
        {"rounds": bracket["rounds"]},
        {**bracket, "bracket_num": 7},
        {**bracket, "bracket_num": [0]},
        {**bracket, "rounds": bracket["rounds"][:-1]},
    ]
    for places in ([7], [{"id": "0"}], [{**place, "id": "99"}], [{**place, "past_id": "0"}], [{**place, "id": []}], [place] * 2):
        brackets.append({**bracket, "rounds": [places, *bracket["rounds"][1:]]})
    last_round = [{"past_id": "1", "id": "0"}, {"past_id": "2", "id": "1"}]  # has one place
    rounds = [[{**place, "id": each} for each in "012"], [{"past_id": each, "id": each} for each in "12"], last_round]
    brackets.append({**bracket, "rounds": rounds})
    brackets.append({**bracket, "rounds": [[], [{"past_id": "0", "id": "1"}], []]})
    changes = [{"brackets": [each]} for each in brackets]
    changes += [{"current_bracket": 3}, {"factor": 1}, {"min_epochs": 0}, {"max_epochs": math.inf}]
    assert [change for change in changes if is_taken_up("hyperband", {**state, **change}, trials)] == []
    rewrite(path, {**state, **changes[0]})
    with pytest.raises(SearchError, match=r"wrote it \(ValueError: its brackets have 7\)"):
        curves(path.parents[1], None, "hyperband", trials=4, cls=Short)
    rewrite(path, state)


def test_a_damaged_queue_of_trials_is_one_sentence_of_the_command(tiny, command, tmp_path):
    given = ("tune", "adam", "--problem", tiny, "--trials", 2, "--epochs", 1, "--directory", "out")
    with contextlib.suppress(KeyboardInterrupt), pytest.MonkeyPatch.context() as patched:
        patched.setattr(tuning.training.trainer.Trainer, "run", _interrupted)
        command(*given)
    path = tmp_path / "out" / FILE_NAME
    with Store.open(path.parent) as store:
        state = store.oracle_state
    for queue in (7, ["9"], [["0"]], [{}], "0"):
        rewrite(path, {**state, "retry_queue": queue})
        status, stdout, stderr = command(*given)
        assert (status, stdout) == (2, ""), queue
        assert "out/search.sqlite is damaged, or the oracle is not the one that wrote it" in one_sentence(stderr)
    rewrite(path, {**state, "retry_queue": ["0", "0"]})  # as an earlier version may have left it
    assert command(*given)[0] == 0


def _interrupted(*arguments, **others):
    raise KeyboardInterrupt
