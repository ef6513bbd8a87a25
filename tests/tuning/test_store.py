"""The store: what anyone who opens it finds, and what happens when it is damaged, foreign, newer, or in use."""

import contextlib
import errno
import fcntl
import json
import math
import os
import pathlib
import random
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import time

import keras_tuner
import pytest

import tuning
from tests.tuning.conftest import ROOT, load, one_sentence
from tuning import SearchError, Store
from tuning.results.search import SearchResult
from tuning.store import database, lock
from tuning.store.database import FILE_NAME, SCHEMA_VERSION, exists
from tuning.store.filesystem import shared_filesystem
from tuning.store.lock import Lock
from tuning.store.models import Models
from tuning.store.snapshots import Snapshots
from tuning.study.ledger import Listener

CONFIG = {
    "optimizer": "adam",
    "space": {"call": "keras_optims.Adam", "axes": {"learning_rate": {"symbol": "η"}}, "fixed": {"amsgrad": True}},
    "objective": "val_accuracy",
    "direction": "max",
}


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "search", CONFIG, {"seed": 1}) as store:
        yield store


def add(store, number, state="completed", score=0.5, epochs=2):
    store.begin_trial(number, {"learning_rate": 0.1 * (number + 1)}, epochs, {"id": number}, {"seed": number})
    for epoch in range(epochs):
        store.add_epoch(number, 0, epoch, {"loss": 1.0 / (epoch + 1), "val_accuracy": score or float("nan")})
    store.add_execution(number, 0, 123, score if score is not None else float("nan"), 1, 1000.0, 2.5)
    store.end_trial(number, state, score, {"id": number, "ended": True}, {"seed": number + 100})


def test_a_plain_query_finds_the_results(store):
    add(store, 0)
    add(store, 1, "diverged", None)
    with sqlite3.connect(store.path) as plain:
        assert plain.execute("SELECT number, state, score FROM trials").fetchall() == [
            (0, "completed", 0.5),
            (1, "diverged", None),
        ]
        assert json.loads(plain.execute("SELECT hyperparameters FROM trials WHERE number = 1").fetchone()[0]) == {
            "learning_rate": 0.2
        }
        curve = plain.execute("SELECT epoch, value FROM epochs WHERE trial = 0 AND metric = 'loss' ORDER BY epoch").fetchall()
        assert curve == [(0, 1.0), (1, 0.5)]
        assert plain.execute("SELECT value FROM epochs WHERE trial = 1 AND metric = 'val_accuracy'").fetchall() == [
            (None,),
            (None,),
        ]
        assert plain.execute("SELECT seed, best_epoch, seconds FROM executions WHERE trial = 0").fetchall() == [(123, 1, 2.5)]
        assert plain.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    plain.close()


def test_a_trial_that_begins_again_leaves_nothing_of_its_first_try(store):
    store.begin_trial(0, {"learning_rate": 0.1}, 2, {}, {})
    store.add_epoch(0, 0, 0, {"loss": 9.0})
    add(store, 0)
    assert {row["value"] for row in store.rows("epochs") if row["metric"] == "loss"} == {1.0, 0.5}
    assert len(store.rows("trials")) == 1


def test_the_oracle_is_saved_with_the_trial(store):
    add(store, 0)
    assert store.oracle_state == {"seed": 100}
    assert store.oracle_trials() == [{"id": 0, "ended": True}]


def test_the_result_is_read_while_the_store_is_written(store):
    add(store, 0, score=0.7)
    add(store, 1, score=0.9)
    store.begin_trial(2, {"learning_rate": 0.3}, 2, {}, {})
    store.add_epoch(2, 0, 0, {"loss": 0.1})
    result = SearchResult.load(store.path.parent)
    assert [trial.state for trial in result.trials] == ["completed", "completed", "running"]
    assert result.best.number == 1
    assert result.best.line == "keras_optims.Adam(learning_rate=0.2, amsgrad=True)"
    assert result.best.curves == [{"loss": [1.0, 0.5], "val_accuracy": [0.9, 0.9]}]
    assert result.best.executions == [0.9]
    assert "0.9" in repr(result)
    json.dumps(result.to_json(), allow_nan=False)


def test_the_best_has_the_best_score_and_of_equal_ones_trained_longest_or_began_first(store):
    add(store, 0, score=0.7, epochs=1)
    add(store, 1, score=0.7, epochs=3)
    add(store, 2, score=0.7, epochs=3)
    add(store, 4, score=0.99, epochs=1)
    result = SearchResult.load(store.path.parent)
    assert [trial.number for trial in result.ranking()] == [4, 1, 2, 0]
    result.config["direction"] = "min"
    add(store, 3, score=0.6, epochs=3)
    assert SearchResult(result.directory, result.config, SearchResult.load(result.directory).trials).best.number == 3


def test_a_dataframe_has_a_row_per_trial(store):
    add(store, 0)
    add(store, 1, "failed", None)
    frame = SearchResult.load(store.path.parent).to_dataframe()
    assert list(frame.columns) == ["learning_rate", "epochs", "state", "score", "sd", "low", "high", "seconds"]
    assert list(frame.index) == [0, 1]
    assert frame.loc[1, "state"] == "failed"


def test_best_json_is_written_whole(store):
    add(store, 0)
    path = SearchResult.load(store.path.parent).write_best()
    assert json.loads(path.read_text())["settings"] == {"learning_rate": 0.1, "amsgrad": True}
    assert [name for name in os.listdir(path.parent) if "best" in name] == ["best.json"]


def test_choices_are_kept_as_json(store):
    assert store.choices() == {}
    store.set_choice("jit", {"on": True, "milliseconds": [1.5, 3.0]})
    store.set_choice("jit", {"on": False})
    store.set_choice("batch", None)
    assert store.choices() == {"jit": {"on": False}, "batch": None}
    with Store.open(store.path.parent, read_only=True) as reader:
        assert reader.choices() == store.choices()


def test_the_order_of_ending_is_kept(store):
    for number in range(3):
        store.begin_trial(number, {}, 1, {}, {})
    for number in (2, 0):
        store.end_trial(number, "completed", 0.5, {}, {})
    assert store.ended() == [2, 0]
    path = close(store)
    with Store.open(path.parent) as again:
        again.end_trial(1, "pruned", 0.1, {}, {})
        assert again.ended() == [2, 0, 1]
        assert [row["ended_order"] for row in again.rows("trials")] == [1, 2, 0]


class Light(tuning.Tuner):
    """Trains nothing; waits for `seconds`, and leaves a curve of some length."""

    epochs = 3

    def run_trial(self, trial, *args, **kwargs):
        number, score = int(trial.trial_id), trial.hyperparameters["x"] ** 2
        for epoch in range(self.epochs):
            self.record(tuning.training.events.EpochEnded(number, 0, epoch, {"loss": score / (epoch + 1), "val_loss": score}))
        self.record(tuning.training.events.ExecutionEnded(number, 0, 7, score, 0, time.time(), 0.0))
        return {"val_loss": score}


def light(directory, trials, oracle="quasirandom", **kwargs):
    space = keras_tuner.HyperParameters()
    for name in ("x", "y"):
        space.merge([tuning.SearchAxis(name, 0.0, 1.0, points=40)])
    objective = keras_tuner.Objective("val_loss", "min")
    made = tuning.make_oracle(oracle, objective=objective, hyperparameters=space, trials=trials, epochs=3, seed=4)
    return Light(made, directory=str(directory), project_name="search", **kwargs)


# -- the documented schema ------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")


def test_the_documented_tables_and_columns_are_those_that_there_are(store):
    documented: dict[str, list[str]] = {}
    table = None
    for name, column in re.findall(r"^\| (?:`(\w+)`)? ?\| `(\w+)` \|", PAGE, flags=re.MULTILINE):
        table = name or table
        documented.setdefault(table, []).append(column)
    with sqlite3.connect(store.path) as plain:
        names = [row[0] for row in plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert documented == {name: [row[1] for row in plain.execute(f"PRAGMA table_info({name})")] for name in names}
    plain.close()
    assert f"version {SCHEMA_VERSION} of the schema" in PAGE


def test_the_documented_queries_have_answers(store):
    add(store, 0)
    add(store, 1, "diverged", None)
    queries = re.findall(r"^```sql\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert len(queries) == 6
    with sqlite3.connect(store.path) as plain:
        assert all(plain.execute(query).fetchall() for query in queries)
    plain.close()


# -- what is written for a trial does not grow ----------------------------------------------------


@pytest.mark.parametrize("oracle", ["random", "quasirandom", "grid", "optuna"])
def test_what_is_written_for_a_trial_does_not_grow(oracle, tmp_path, monkeypatch):
    written, connect = [0], sqlite3.connect

    def traced(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(lambda statement: written.append(written.pop() + len(statement)))
        return connection

    class Counting(Listener):
        def trial_ended(self, number, state, score, message):
            written.append(0)

    monkeypatch.setattr(sqlite3, "connect", traced)
    light(tmp_path, 150, oracle, listener=Counting()).search()
    early, late = written[10:30], written[-21:-1]
    assert len(written) == 151
    assert sum(early) > 20 * 1000  # the statements with their values were seen
    assert sum(late) <= 1.08 * sum(early)  # some numbers get longer


# -- stores of the first version ------------------------------------------------------------------

VERSION_1 = (
    "CREATE TABLE search (id INTEGER PRIMARY KEY CHECK (id = 1), config TEXT NOT NULL, oracle TEXT NOT NULL, "
    "created REAL NOT NULL)",
    "CREATE TABLE trials (number INTEGER PRIMARY KEY, state TEXT NOT NULL, hyperparameters TEXT NOT NULL, epochs INTEGER, "
    "score REAL, message TEXT, traceback TEXT, begun REAL NOT NULL, ended REAL, oracle_trial TEXT NOT NULL)",
    "CREATE TABLE executions (trial INTEGER NOT NULL, execution INTEGER NOT NULL, seed INTEGER NOT NULL, score REAL, "
    "best_epoch INTEGER, begun REAL NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (trial, execution)) WITHOUT ROWID",
    "CREATE TABLE epochs (trial INTEGER NOT NULL, execution INTEGER NOT NULL, epoch INTEGER NOT NULL, metric TEXT NOT NULL, "
    "value REAL, PRIMARY KEY (trial, execution, epoch, metric)) WITHOUT ROWID",
    "PRAGMA application_id = 0x4B4F5054",
    "PRAGMA user_version = 1",
    "PRAGMA journal_mode = WAL",
)


def version_1(directory, tuner):
    """The store of a search as version 1 wrote it."""
    found, state = SearchResult.load(tuner.project_dir), json.loads(json.dumps(tuner.oracle.get_state()))
    (directory / "search").mkdir(parents=True)
    plain = sqlite3.connect(directory / "search" / FILE_NAME)
    for statement in VERSION_1:
        plain.execute(statement)
    config = {name: value for name, value in found.config.items() if name not in ("sampler", "pruner")}
    plain.execute("INSERT INTO search VALUES (1, ?, ?, 1000.0)", (json.dumps(config), json.dumps(state)))
    for trial, record in zip(found.trials, tuner.oracle.trials.values(), strict=True):
        plain.execute(
            "INSERT INTO trials VALUES (?, ?, ?, ?, ?, NULL, NULL, 1000.0, ?, ?)",
            (
                *(trial.number, trial.state, json.dumps(trial.hyperparameters), trial.epochs, trial.score),
                *(1000.0, json.dumps(record.get_state())),
            ),
        )
    plain.commit()
    plain.close()
    return directory / "search" / FILE_NAME


@pytest.mark.parametrize("oracle", ["random", "quasirandom", "grid", "hyperband"])
def test_a_search_of_version_1_is_read_as_it_is_and_goes_on(oracle, tmp_path):
    begun = light(tmp_path / "begun", 3, oracle)
    begun.search()
    path = version_1(tmp_path / "old", begun)
    before = path.read_bytes()
    found = SearchResult.load(path.parent)
    assert [trial.state for trial in found.trials] == ["completed"] * 3
    with Store.open(path.parent, read_only=True) as reader:
        assert reader.choices() == {}
        assert len(reader.ended()) == 3
    assert path.read_bytes() == before

    resumed = light(tmp_path / "old", 9, oracle)
    assert path.read_bytes() == before
    resumed.search()
    whole = light(tmp_path / "whole", 9, oracle)
    whole.search()

    def settings(tuner):
        return [(trial.hyperparameters, trial.score) for trial in SearchResult.load(tuner.project_dir).trials]

    assert settings(resumed) == settings(whole)
    with Store.open(path.parent) as upgraded:
        assert upgraded.ended() == list(range(9))
        upgraded.set_choice("jit", True)
        assert upgraded._row("PRAGMA user_version") == (SCHEMA_VERSION,)


def test_an_upgraded_store_has_the_order_in_which_the_trials_ended(tmp_path):
    begun = light(tmp_path / "begun", 3)
    begun.search()
    begun.oracle.end_order = ["2", "0", "1"]
    path = version_1(tmp_path / "old", begun)
    with Store.open(path.parent) as upgraded:
        assert upgraded.ended() == [2, 0, 1]


def test_infinities_are_kept_and_what_is_no_number_is_null(tmp_path):
    with Store.create(tmp_path, {}, {}) as made:
        made.begin_trial(0, {}, 1, {}, {})
        values = {"a": math.inf, "b": -math.inf, "c": math.nan, "d": 0.5}
        made.add_epoch(0, 0, 0, values)
        assert {row["metric"]: row["value"] for row in made.rows("epochs")} == {**values, "c": None}
        for execution, score in enumerate((math.inf, math.nan, 0.5)):
            made.add_execution(0, execution, 1, score, 0, 1.0, 1.0)
        assert [row["score"] for row in made.rows("executions")] == [None, None, 0.5]


def test_an_empty_file_is_no_store_whatever_log_lies_beside_it(tmp_path):
    with Store.create(tmp_path / "whole", {}, {}):
        shutil.copytree(tmp_path / "whole", tmp_path / "torn")
    (tmp_path / "torn" / FILE_NAME).write_bytes(b"")
    assert (tmp_path / "torn" / f"{FILE_NAME}-wal").stat().st_size > 0
    assert not exists(tmp_path / "torn")
    with Store.create(tmp_path / "torn", {"new": True}, {}) as made:
        assert made.config == {"new": True}
    assert exists(tmp_path / "torn")


def test_a_kill_while_a_store_is_upgraded_leaves_the_old_one(tmp_path, monkeypatch):
    begun = light(tmp_path / "begun", 3)
    begun.search()
    path = version_1(tmp_path / "old", begun)
    monkeypatch.setattr(tuning.store.database, "SCHEMA_VERSION", "(")  # the last statement of the upgrade fails
    monkeypatch.setattr(Store, "_check", lambda self: None)
    with pytest.raises(SearchError):
        Store.open(path.parent)
    monkeypatch.undo()
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (1,)
        assert "ended_order" not in plain.execute("SELECT sql FROM sqlite_master WHERE name = 'trials'").fetchone()[0]
    plain.close()


class Mine(keras_tuner.oracles.RandomSearchOracle):
    """A user's own: it counts what it proposed, and retries what has no score."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.proposed = 0

    def populate_space(self, trial_id):
        self.proposed += 1
        return super().populate_space(trial_id)

    def get_state(self):
        return {**super().get_state(), "proposed": self.proposed}

    def set_state(self, state):
        super().set_state(state)
        self.proposed = state["proposed"]


def test_ones_own_oracle_gets_its_whole_state_back(tmp_path):
    def tuner(trials):
        space = keras_tuner.HyperParameters()
        space.Float("x", 0.0, 1.0)
        objective = keras_tuner.Objective("val_loss", "min")
        made = Mine(objective=objective, max_trials=trials, seed=1, hyperparameters=space)
        return Light(made, directory=str(tmp_path), project_name="search")

    first = tuner(4)
    first.search()
    second = tuner(4)
    assert second.oracle.proposed == 4
    assert json.dumps(second.oracle.get_state(), sort_keys=True) == json.dumps(first.oracle.get_state(), sort_keys=True)
    second = tuner(6)
    second.search()
    assert second.oracle.proposed == 6


# -- what can be wrong ----------------------------------------------------------------------------


def close(store):
    store.close()
    return store.path


def opened(path, read_only=True):
    return Store.open(path.parent, read_only=read_only)


def test_a_directory_without_a_search(tmp_path):
    assert not exists(tmp_path)
    with pytest.raises(SearchError, match="no search in"):
        Store.open(tmp_path)
    (tmp_path / FILE_NAME).touch()  # a kill before the first transaction
    assert not exists(tmp_path)


def finished_search(directory):
    tuner = light(directory, 12)
    tuner.search()
    return pathlib.Path(tuner.project_dir) / FILE_NAME


DAMAGES = {
    "truncated to half": lambda content: content[: len(content) // 2],
    "truncated in the header": lambda content: content[:60],
    "zeros": lambda content: bytes(len(content)),
    "random bytes": lambda content: random.Random(0).randbytes(len(content)),
    "random after the first page": lambda content: content[:4096] + random.Random(0).randbytes(len(content) - 4096),
    "zeros in the middle": lambda content: content[:8192] + bytes(8192) + content[16384:],
    "text": lambda content: b"this is not a database" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_said_to_be_and_left_as_it_is(damage, tmp_path, command):
    path = finished_search(tmp_path)
    damaged = DAMAGES[damage](path.read_bytes())
    path.write_bytes(damaged)
    for read_only in (True, False):
        with pytest.raises(SearchError, match="is damaged"):
            opened(path, read_only)
        assert path.read_bytes() == damaged
    with pytest.raises(SearchError, match="damaged"):
        light(tmp_path, 12)
    status, stdout, stderr = command("show", path.parent)
    assert (status, stdout) == (2, "")
    assert "damaged" in one_sentence(stderr)
    assert path.read_bytes() == damaged


def test_wherever_a_store_is_overwritten_it_is_read_or_said_to_be_damaged(tmp_path):
    path = finished_search(tmp_path)
    content, chance = path.read_bytes(), random.Random(0)
    said = 0
    for _ in range(60):
        place, length = chance.randrange(100, len(content) - 64), chance.choice((1, 8, 64))
        damaged = content[:place] + chance.randbytes(length) + content[place + length :]
        path.write_bytes(damaged)
        try:
            light(tmp_path, 12)
            SearchResult.load(path.parent)
            message = ""
        except SearchError as error:
            message = str(error)
        said += bool(message)
        assert "\n" not in message
        assert path.read_bytes() == damaged
    assert said >= 10


def test_a_damaged_log_loses_what_came_after_the_damage_and_nothing_else(tmp_path):
    path = finished_search(tmp_path)
    whole = [trial.to_json() for trial in SearchResult.load(path.parent).trials]
    with Store.open(path.parent) as store:
        for number in range(12, 18):
            add(store, number)
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            (copy / name).write_bytes((path.parent / name).read_bytes())
    log = copy / f"{FILE_NAME}-wal"
    content = log.read_bytes()
    log.write_bytes(content[: len(content) // 2] + random.Random(0).randbytes(len(content) - len(content) // 2))
    found = SearchResult.load(copy)
    assert [trial.to_json() for trial in found.trials][:12] == whole
    assert 12 < len(found.trials) < 18
    log.write_bytes(random.Random(0).randbytes(5000))
    assert len(SearchResult.load(copy).trials) >= 12


def test_some_other_database(tmp_path):
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    with pytest.raises(SearchError, match="other SQLite file"):
        Store.open(tmp_path)


def test_a_store_of_a_newer_version(store):
    path = close(store)
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(SearchError, match="newer keras-optims"):
        opened(path, read_only=False)
    assert path.read_bytes() == before


def test_one_process_at_a_time(tmp_path):
    Lock(tmp_path / "search").path.write_text("12345678901\n")  # of a process that was there before
    with (
        Lock(tmp_path / "search"),
        pytest.raises(SearchError, match=rf"Another process \(number {os.getpid()}\) is searching"),
        Lock(tmp_path / "search"),
    ):
        pass
    with Lock(tmp_path / "search"):
        pass


def test_who_looks_for_a_moment_whether_a_search_runs_keeps_nobody_from_searching(tmp_path, monkeypatch):
    path = tmp_path / lock.FILE_NAME
    path.touch()
    with open(path) as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        monkeypatch.setattr(lock.time, "sleep", lambda seconds: look.close())
        with Lock(tmp_path):
            assert look.closed
            assert lock.is_running(tmp_path)
    assert not lock.is_running(tmp_path)
    assert not lock.is_running(tmp_path / "nowhere")


def test_what_cannot_be_written_or_deleted_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "locked" / lock.FILE_NAME).mkdir(parents=True)
    with (
        pytest.raises(SearchError, match=r"search\.lock cannot be written: Is a directory; choose another"),
        Lock(tmp_path / "locked"),
    ):
        pass

    def full(*arguments, **others):
        raise OSError(errno.ENOSPC, "No space left on device")

    models, snapshots = Models(tmp_path), Snapshots(tmp_path)
    models.put(1, b"one")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(SearchError, match=r"\.trial-2\.keras\.part cannot be written: No space left on device\."):
            models.put(2, b"two")
    assert sorted(os.listdir(tmp_path)) == [".trial-1.keras.part", "locked"]
    models.ended(1, [1])
    snapshots.put(1, 0, b"state")
    Store.create(tmp_path / "old", CONFIG, {}).close()
    monkeypatch.setattr(pathlib.Path, "unlink", full)
    for call, words in (
        (lambda: models.ended(3, [3]), "trial-1.keras cannot be deleted: No space left"),
        (lambda: snapshots.keep(()), "1-0.npz cannot be deleted: No space left"),
        (lambda: database.remove(tmp_path / "old"), "The old search in .*old cannot be deleted: No space left"),
    ):
        with pytest.raises(SearchError, match=words):
            call()


def test_a_store_without_its_row_is_damaged(store):
    with store._transaction():
        store._connection.execute("DELETE FROM search")
    with pytest.raises(SearchError, match=r"is damaged .it has no row for its search.: start over with --fresh"):
        store.config  # noqa: B018


def test_a_file_where_a_directory_should_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SearchError, match="cannot be made"):
        Store.create(tmp_path / "file" / "search", CONFIG, {})


def test_a_full_disk_is_said_and_keeps_what_was_there(store):
    add(store, 0)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then answers as on a full disk
    with pytest.raises(SearchError, match="full"):
        store.add_epoch(0, 1, 0, {f"metric {i}": 1.0 for i in range(2000)})
    assert len(store.rows("epochs")) == 4


@pytest.fixture
def mounted(tmp_path):
    """A small file system of its own: bytes -> its folder. Only the administrator can have one."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mount(*options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip("this user cannot mount a file system")
        return folder

    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only the administrator of a Linux machine can mount a file system")
    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


def finishes_once_there_is_room(directory, room):
    """A search that ends because the disk is full, with one sentence, then ends well, and repeats nothing."""
    with pytest.raises(SearchError, match=r"full.*make room") as raised:
        light(directory, 60).search()
    assert "\n" not in str(raised.value)
    before = SearchResult.load(directory / "search").trials
    finished = [trial for trial in before if trial.state == "completed"]
    assert 3 <= len(finished) < 60
    assert {trial.state for trial in before} <= {"completed", "running"}
    room()
    resumed = light(directory, 60)
    resumed.search()
    found = SearchResult.load(resumed.project_dir)
    assert found.count("completed") == 60
    assert found.trials[: len(finished)] == finished


def test_a_disk_that_becomes_full_ends_the_search_which_goes_on_when_there_is_room(mounted):
    folder = mounted("size=400k")
    finishes_once_there_is_room(folder, lambda: mounted("remount", "size=10m"))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_quota_that_is_used_up_ends_the_search_which_goes_on_when_there_is_more(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        finishes_once_there_is_room(tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_the_command_says_that_the_disk_is_full(command, tiny):
    import resource

    arguments = ("tune", "adam", "--problem", tiny, "--trials", 3, "--directory", "out", "--json")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, before[1]))
        status, stdout, stderr = command(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (status, stdout) == (2, "")
    assert "make room, and the same command goes on" in one_sentence(stderr)
    status, stdout, stderr = command(*arguments)
    assert status == 0, stderr
    assert [trial["state"] for trial in load(stdout)["trials"]] == ["completed"] * 3


def test_a_trial_is_not_to_blame_for_a_disk_that_is_full_for_a_moment(tmp_path, monkeypatch):
    written, add_epoch = [], Store.add_epoch

    def full_once(store, *args):
        written.append(args)
        if len(written) == 8:
            pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
            store._connection.execute(f"PRAGMA max_page_count = {pages}")
            try:
                add_epoch(store, *args[:3], {f"metric {i}": 1.0 for i in range(2000)})
            finally:
                store._connection.execute("PRAGMA max_page_count = 1000000")
        add_epoch(store, *args)

    monkeypatch.setattr(Store, "add_epoch", full_once)
    with pytest.raises(SearchError, match="the disk is full"):
        light(tmp_path, 5).search()
    assert [trial.state for trial in SearchResult.load(tmp_path / "search").trials] == ["completed"] * 2 + ["running"]
    light(tmp_path, 5).search()
    assert SearchResult.load(tmp_path / "search").count("completed") == 5


def read_only_is_said(directory, before):
    assert len(SearchResult.load(directory / "search").trials) == 12
    with pytest.raises(SearchError, match=r"cannot be written"):
        light(directory, 13).search()
    with pytest.raises(SearchError, match=r"cannot be (made|written)"):
        light(directory / "new", 2).search()
    assert (directory / "search" / FILE_NAME).read_bytes() == before


def test_a_read_only_file_system(mounted):
    folder = mounted("size=10m")
    path = finished_search(folder)
    before = path.read_bytes()
    mounted("remount", "ro")
    read_only_is_said(folder, before)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_read_only_directory(tmp_path):
    path = finished_search(tmp_path)
    before = path.read_bytes()
    for folder in (path.parent, tmp_path):
        os.chmod(folder, stat.S_IRUSR | stat.S_IXUSR)
    try:
        read_only_is_said(tmp_path, before)
    finally:
        for folder in (tmp_path, path.parent):
            os.chmod(folder, stat.S_IRWXU)


def test_reading_leaves_no_files_behind(store):
    add(store, 0)
    SearchResult.load(store.path.parent)
    add(store, 1)
    path = close(store)
    assert len(SearchResult.load(path.parent).trials) == 2
    assert [name.name for name in path.parent.iterdir()] == [FILE_NAME]


def test_where_machines_share_the_files_the_journal_is_one_that_works_there(tmp_path, monkeypatch):
    def journal():
        with contextlib.closing(sqlite3.connect(tmp_path / "search.sqlite")) as plain:
            return plain.execute("PRAGMA journal_mode").fetchone()[0]

    monkeypatch.setattr("tuning.store.database.shared_filesystem", lambda path: "nfs4")
    with Store.create(tmp_path, {}, {}) as store:
        store.begin_trial(0, {}, 1, {}, {})
        assert {path.name for path in tmp_path.iterdir()} == {"search.sqlite"}
        with Store.open(tmp_path, read_only=True) as reader:
            assert reader.rows("trials")[0]["state"] == "running"
    assert journal() == "delete"
    for kind, mode in ((None, "wal"), ("cifs", "delete")):  # it was copied there
        monkeypatch.setattr("tuning.store.database.shared_filesystem", lambda path, kind=kind: kind)
        Store.open(tmp_path, read_only=True).close()
        Store.open(tmp_path).close()
        assert journal() == mode


def test_a_file_system_that_machines_share_is_known(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    lines = ["overlay / overlay rw 0 0", f"host:/a {tmp_path}/a\\040b nfs4 rw 0 0", f"tmpfs {tmp_path}/a\\040b/fast tmpfs rw 0 0"]
    mounts.write_text("\n".join([*lines, f"x {tmp_path}/c ext4 rw 0 0", f"y {tmp_path}/c fuse.sshfs rw 0 0"]))
    monkeypatch.setattr("tuning.store.filesystem.MOUNTS", mounts)
    kinds = {name: shared_filesystem(tmp_path / name) for name in ("a b/out", "a b/fast/out", "c", "a", "a bc")}
    assert kinds == {"a b/out": "nfs4", "a b/fast/out": None, "c": "fuse.sshfs", "a": None, "a bc": None}
    monkeypatch.setattr("tuning.store.filesystem.MOUNTS", tmp_path / "none")
    assert shared_filesystem(tmp_path) is None
