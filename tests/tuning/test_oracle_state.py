"""What the store has of an oracle: put together again after any kill, and said to be damaged where it is."""

import contextlib
import json
import re
import sqlite3

import pytest

import tuning
from tests.tuning.conftest import one_sentence, without_times
from tests.tuning.test_pruning import Curves, curves, result
from tuning import SearchError
from tuning.engines.dispatch import dispatch
from tuning.store.database import FILE_NAME, Store

pytestmark = pytest.mark.backend("tensorflow")  # nothing in here depends on the backend


class DiedError(BaseException):
    """In the place of a kill."""


class DyingStore:
    """Counts the transactions of stores, and dies before or after one of them."""

    def __init__(self, monkeypatch):
        self.count, self.dies_before, self.dies_after = 0, None, None
        transaction = Store._transaction

        @contextlib.contextmanager
        def counted(store):
            self.count += 1
            if self.count == self.dies_before:
                raise DiedError
            with transaction(store):
                yield
            if self.count == self.dies_after:
                raise DiedError

        monkeypatch.setattr(Store, "_transaction", counted)

    def dies(self, **when):
        self.count, self.dies_before, self.dies_after = 0, when.get("before"), when.get("after")


def outcome(tuner):
    return without_times({"trials": [trial.to_json() for trial in result(tuner).trials]})


@pytest.mark.parametrize(("oracle", "pruner"), [("quasirandom", "halving"), ("asha", None)])
def test_a_search_that_dies_before_or_after_any_write_ends_as_an_undisturbed_one(oracle, pruner, tmp_path, monkeypatch):
    options = {"pruner": pruner, "oracle": oracle, "trials": 3, "cls": Short}
    store = DyingStore(monkeypatch)
    whole = curves(tmp_path, name="whole", **options)
    whole.search(epochs=9)
    wanted, writes = outcome(whole), store.count
    assert pruner is None or "pruned" in {trial.state for trial in result(whole).trials}
    assert writes > 12
    for when in [*({"before": write} for write in range(2, writes + 1)), {"after": writes}]:
        name = "-".join(map(str, *when.items()))
        store.dies(**when)
        with pytest.raises(DiedError):
            curves(tmp_path, name=name, **options).search(epochs=9)
        store.dies()
        again = curves(tmp_path, name=name, **options)
        again.search(epochs=9)
        assert outcome(again) == wanted, when


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
    """Oracle -> the store of a search that was broken off in its third trial, and the state of the oracle in it."""
    found = {}
    for oracle in ("random", "quasirandom", "grid", "hyperband", "asha", "bayesian", "optuna"):
        folder = tmp_path_factory.mktemp(oracle)
        tuner = curves(folder, None, oracle, trials=4, cls=Short)
        tuner.dies_at = (2, 0)
        with pytest.raises(KeyboardInterrupt):
            tuner.search(epochs=9)
        path = folder / "search" / FILE_NAME
        with Store.open(path.parent) as store:
            found[oracle] = path, store.oracle_state
    return found


# The entries that the oracle does not need, or knows from elsewhere.
MAY_BE_ANYTHING = ("left_out", "passed")
WRONG = (None, 7, "x", ["x"], [[1]], {"x": 1}, {"x": "99"})


def refusal(call):
    """What the `SearchError` says that a call raises; `None` if it raises none."""
    try:
        call()
    except SearchError as error:
        return str(error)
    return None


def rewrite(path, state):
    with contextlib.closing(sqlite3.connect(path)) as plain:
        plain.execute("UPDATE search SET oracle = ?", (json.dumps(state),))
        plain.commit()


@pytest.mark.parametrize("oracle", ["random", "quasirandom", "grid", "hyperband", "asha", "bayesian", "optuna"])
def test_a_damaged_state_is_said_to_be_or_is_taken_up(oracle, begun):
    path, state = begun[oracle]
    said = 0
    for name, value in state.items():
        wrong = [other for other in WRONG if type(other) is not type(value) and not (other == 7 and type(value) is float)]
        for changed in [*({**state, name: each} for each in wrong), {other: state[other] for other in state if other != name}]:
            rewrite(path, changed)
            error = refusal(lambda: curves(path.parents[1], None, oracle, trials=4, cls=Short))
            if error is None:
                assert value is None or name in MAY_BE_ANYTHING, (name, changed.get(name, "is missing"))
            else:
                said += 1
                assert re.fullmatch(r"[^\n]* is damaged, or the oracle is not the one that wrote it \([^\n]*\.", error)
    assert said > 40
    rewrite(path, state)
    curves(path.parents[1], None, oracle, trials=4, cls=Short).search(epochs=9)


@pytest.mark.parametrize("queue", [7, ["9"], [["0"]], [{}], "0"])
def test_a_damaged_queue_of_trials_is_one_sentence_of_the_command(queue, tiny, command, tmp_path):
    given = ("tune", "adam", "--problem", tiny, "--trials", 2, "--epochs", 1, "--directory", "out")
    with contextlib.suppress(KeyboardInterrupt), pytest.MonkeyPatch.context() as patched:
        patched.setattr(tuning.training.trainer.Trainer, "run", _interrupted)
        command(*given)
    path = tmp_path / "out" / FILE_NAME
    with Store.open(path.parent) as store:
        state = store.oracle_state
    rewrite(path, {**state, "retry_queue": queue})
    status, stdout, stderr = command(*given)
    assert (status, stdout) == (2, "")
    assert "out/search.sqlite is damaged, or the oracle is not the one that wrote it" in one_sentence(stderr)
    rewrite(path, {**state, "retry_queue": ["0", "0"]})  # as an earlier version may have left it
    assert command(*given)[0] == 0


def _interrupted(*arguments, **others):
    raise KeyboardInterrupt
