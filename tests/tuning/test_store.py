"""The store: what anyone who opens it finds, and what happens when it is damaged, foreign, newer, or in use."""

import json
import os
import sqlite3
import stat

import pytest

from tuning import SearchError, Store
from tuning.result import SearchResult
from tuning.store import FILE_NAME, SCHEMA_VERSION, Lock, exists

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


def test_the_best_is_the_earliest_of_equal_ones_and_among_those_that_trained_longest(store):
    add(store, 0, score=0.99, epochs=1)
    add(store, 1, score=0.7, epochs=3)
    add(store, 2, score=0.7, epochs=3)
    result = SearchResult.load(store.path.parent)
    assert [trial.number for trial in result.ranking()] == [1, 2, 0]
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


@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_store(store, read_only):
    add(store, 0)
    path = close(store)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    with pytest.raises(SearchError, match="damaged"):
        opened(path, read_only)
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(SearchError, match="damaged"):
        opened(path, read_only)


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
    with (
        Lock(tmp_path / "search"),
        pytest.raises(SearchError, match=f"Another process .*{os.getpid()}"),
        Lock(tmp_path / "search"),
    ):
        pass
    with Lock(tmp_path / "search"):
        pass


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


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_read_only_directory(store):
    add(store, 0)
    path = close(store)
    os.chmod(path.parent, stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert len(SearchResult.load(path.parent).trials) == 1
        with pytest.raises(SearchError, match="cannot be written"):
            Lock(path.parent).__enter__()
    finally:
        os.chmod(path.parent, stat.S_IRWXU)


def test_reading_leaves_no_files_behind(store):
    add(store, 0)
    SearchResult.load(store.path.parent)
    add(store, 1)
    path = close(store)
    assert len(SearchResult.load(path.parent).trials) == 2
    assert [name.name for name in path.parent.iterdir()] == [FILE_NAME]
