"""The store of a search: one SQLite file, written in transactions as results come.

Anyone may open it. The tables (schema version 3, kept in `PRAGMA user_version`; see docs/store.md for queries):

    search      one row: config (JSON: what is searched, how, with which versions), oracle (JSON: the oracle's state, without
                what follows from the trials), created (seconds since 1970)
    trials      number (0, 1, ... in the order of beginning), state (running, completed, pruned, diverged, failed),
                hyperparameters (JSON: name -> value), epochs (how many this trial trains unless it is pruned), score (the
                mean over executions of the objective at its best epoch, of a pruned one the best until it was stopped; NULL
                unless completed or pruned), message and traceback (of a failed one), begun, ended (seconds since 1970),
                oracle_trial (JSON: KerasTuner's own record), ended_order (0, 1, ... in the order of ending), continues (the
                number of the trial whose training this one continues, with its seed; NULL: it begins its own), from_epoch
                (its own epochs begin here; NULL unless it continues one)
    executions  trial, execution (0, 1, ...), seed, score (NULL if it diverged), best_epoch (from 0), begun, seconds
    epochs      trial, execution, epoch (from 0), metric, value (NULL: not a number)
    choices     name, value (JSON): what the search measured and decided once, and as `ended` why it ended
    snapshots   trial, execution, epoch (how many it had trained), bytes, digest (SHA-256, hexadecimal): of the file
                `snapshots/TRIAL-EXECUTION.npz`, from which another trial may continue this one
    curves      a view, with the columns of `epochs`: the curve of a trial from its first epoch, also where it continues another

Version 1 had neither `pruned`, `ended_order` nor `choices`, and version 2 neither `continues`, `from_epoch`, `snapshots` nor
`curves`. Such a store is read as it is, and upgraded when a search goes on.

The journal is a write-ahead log: readers never wait for the search, and a process that is killed at any moment leaves a
valid file with everything up to the last transaction. Such a log does not work where several machines share the
file system, as by NFS: there it is a rollback journal, and readers wait for the moment of a transaction.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tuning.errors import SearchError, StoreError, plain
from tuning.store.filesystem import shared_filesystem
from tuning.store.lock import make_directory
from tuning.store.models import Models
from tuning.store.snapshots import Snapshots

SCHEMA_VERSION = 3
APPLICATION_ID = 0x4B4F5054  # "KOPT", so that `file` and we can tell this file from another SQLite file
FILE_NAME = "search.sqlite"

_CHOICES = "CREATE TABLE choices (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
_SNAPSHOTS = (
    "CREATE TABLE snapshots (trial INTEGER NOT NULL, execution INTEGER NOT NULL, epoch INTEGER NOT NULL, bytes INTEGER NOT NULL, "
    "digest TEXT NOT NULL, PRIMARY KEY (trial, execution)) WITHOUT ROWID"
)
_CURVES = """
CREATE VIEW curves AS
WITH RECURSIVE parts (trial, part, "before") AS (
    SELECT number, number, 9223372036854775807 FROM trials
    UNION ALL
    SELECT parts.trial, trials.continues, min(trials.from_epoch, parts."before") FROM parts
    JOIN trials ON trials.number = parts.part WHERE trials.from_epoch > 0 AND trials.continues < trials.number
)
SELECT parts.trial AS trial, execution, epoch, metric, value FROM parts
JOIN epochs ON epochs.trial = parts.part AND epoch < parts."before"
"""
_SCHEMA = (
    "CREATE TABLE search (id INTEGER PRIMARY KEY CHECK (id = 1), config TEXT NOT NULL, oracle TEXT NOT NULL, "
    "created REAL NOT NULL)",
    "CREATE TABLE trials (number INTEGER PRIMARY KEY, state TEXT NOT NULL, hyperparameters TEXT NOT NULL, epochs INTEGER, "
    "score REAL, message TEXT, traceback TEXT, begun REAL NOT NULL, ended REAL, oracle_trial TEXT NOT NULL, "
    "ended_order INTEGER, continues INTEGER, from_epoch INTEGER)",
    "CREATE TABLE executions (trial INTEGER NOT NULL, execution INTEGER NOT NULL, seed INTEGER NOT NULL, score REAL, "
    "best_epoch INTEGER, begun REAL NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (trial, execution)) WITHOUT ROWID",
    "CREATE TABLE epochs (trial INTEGER NOT NULL, execution INTEGER NOT NULL, epoch INTEGER NOT NULL, metric TEXT NOT NULL, "
    "value REAL, PRIMARY KEY (trial, execution, epoch, metric)) WITHOUT ROWID",
    _CHOICES,
    _SNAPSHOTS,
    _CURVES,
)


class Store:
    """An open store. Use `Store.create` or `Store.open`, and `close` (or `with`)."""

    def __init__(self, connection: sqlite3.Connection, path: pathlib.Path):
        self._connection = connection
        self.path = path
        self._ended = 0  # how many trials have ended

    # -- opening ----------------------------------------------------------------------------------

    @classmethod
    def create(cls, directory: str | os.PathLike, config: dict[str, Any], oracle_state: dict[str, Any]) -> Store:
        """A new store in `directory`, which is made if it does not exist."""
        path = make_directory(directory) / FILE_NAME
        with explained(path):
            connection = _connect(f"{path.resolve().as_uri()}?mode=rwc")
            _choose_journal(connection, path)
            store = cls(connection, path)
            with store._transaction():
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO search VALUES (1, ?, ?, ?)", (json.dumps(config), json.dumps(oracle_state), time.time())
                )
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            return store

    @classmethod
    def open(cls, directory: str | os.PathLike, *, read_only: bool = False) -> Store:
        """The store in `directory`; `SearchError` if there is none, or it cannot be read."""
        path = pathlib.Path(directory) / FILE_NAME
        if not exists(directory):
            raise SearchError(f"There is no search in {directory}: {FILE_NAME} is missing there.")
        with explained(path):
            store = cls(_open(path.resolve().as_uri(), read_only), path)
            store._check()
            if not read_only:
                _choose_journal(store._connection, path)
                store._connection.execute("BEGIN IMMEDIATE")  # fails now if it cannot be written
                store._connection.execute("ROLLBACK")
                store._upgrade()
                store._ended = store._row("SELECT coalesce(max(ended_order), -1) + 1 FROM trials")[0]
            return store

    def _upgrade(self) -> None:
        """Brings a store of an older version to this one, all or nothing."""
        if self._version >= 3:
            return
        with self._transaction():
            if self._version < 2:
                self._connection.execute("ALTER TABLE trials ADD COLUMN ended_order INTEGER")
                self._connection.execute(_CHOICES)
                for order, trial_id in enumerate(self.oracle_state["end_order"]):  # version 1 had the order there only
                    self._connection.execute("UPDATE trials SET ended_order = ? WHERE number = ?", (order, int(trial_id)))
            for statement in (
                "ALTER TABLE trials ADD COLUMN continues INTEGER",
                "ALTER TABLE trials ADD COLUMN from_epoch INTEGER",
                _SNAPSHOTS,
                _CURVES,
            ):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _check(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            raise SearchError(f"{self.path} is not the store of a search, but some other SQLite file.")
        if version > SCHEMA_VERSION:
            raise SearchError(
                f"{self.path} was written by a newer keras-optims (its schema is {version}, this one knows up to "
                f"{SCHEMA_VERSION}): upgrade, or use another directory."
            )
        problem = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            problem = " ".join(problem.removeprefix("*** in database main ***").split())
            raise StoreError(f"{self.path} is damaged ({problem}): restore it from a copy, or start over with --fresh.")

    def close(self) -> None:
        """Closes the file; the write-ahead log is merged into it."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    # -- reading ----------------------------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        """What is searched, how, with which versions."""
        return self._json("SELECT config FROM search")

    @property
    def created(self) -> float:
        """When the search began, in seconds since 1970."""
        return self._row("SELECT created FROM search")[0]

    @property
    def oracle_state(self) -> dict[str, Any]:
        """The state of the oracle after the last transaction."""
        return self._json("SELECT oracle FROM search")

    def oracle_trials(self) -> list[dict[str, Any]]:
        """KerasTuner's records of the trials, in their order."""
        with explained(self.path):
            rows = self._connection.execute("SELECT oracle_trial FROM trials ORDER BY number").fetchall()
            return [json.loads(row[0]) for row in rows]

    def ended(self) -> list[int]:
        """The numbers of the trials that ended, in the order in which they did."""
        order = "ended_order" if self._version >= 2 else "ended"
        with explained(self.path):
            rows = self._connection.execute(f"SELECT number FROM trials WHERE {order} IS NOT NULL ORDER BY {order}").fetchall()
        return [row[0] for row in rows]

    def choices(self) -> dict[str, Any]:
        """What the search has measured and decided once, by name."""
        if self._version < 2:
            return {}
        with explained(self.path):
            rows = self._connection.execute("SELECT name, value FROM choices ORDER BY name").fetchall()
            return {name: json.loads(value) for name, value in rows}

    def epochs_trained(self) -> dict[int, int]:
        """Trial -> how many epochs it has trained itself, in all its executions."""
        with explained(self.path):
            rows = self._connection.execute(
                "SELECT trial, count(*) FROM (SELECT DISTINCT trial, execution, epoch FROM epochs) GROUP BY trial"
            ).fetchall()
            return dict(rows)

    @property
    def _version(self) -> int:
        return self._row("PRAGMA user_version")[0]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table or of the view `curves`, in order, as dicts of column -> value."""
        if self._version < 3 and table in ("curves", "snapshots"):
            return self.rows("epochs") if table == "curves" else []
        of_epoch = "trial, execution, epoch, metric"
        order = {
            **{"trials": "number", "executions": "trial, execution", "snapshots": "trial, execution"},
            **{"epochs": of_epoch, "curves": of_epoch},
        }[table]
        with explained(self.path):
            cursor = self._connection.execute(f"SELECT * FROM {table} ORDER BY {order}")
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
            for row in rows if table == "trials" else ():
                json.loads(row["hyperparameters"])  # what is damaged there is said here
            return rows

    def _json(self, query: str) -> Any:
        with explained(self.path):
            return json.loads(self._row(query)[0])

    def _row(self, query: str) -> tuple:
        with explained(self.path):
            row = self._connection.execute(query).fetchone()
        if row is None:
            raise SearchError(f"{self.path} is damaged (it has no row for its search): start over with --fresh.")
        return row

    # -- writing ----------------------------------------------------------------------------------

    def set_config(self, config: dict[str, Any]) -> None:
        """Replaces the configuration, e.g. when a search is extended to more trials."""
        with self._transaction():
            self._connection.execute("UPDATE search SET config = ?", (json.dumps(config),))

    def set_choice(self, name: str, value: Any) -> None:
        """Keeps a decision, so that a resumed search need not take it again; `value`: as JSON has them."""
        with self._transaction():
            self._connection.execute("INSERT OR REPLACE INTO choices VALUES (?, ?)", (name, json.dumps(value)))

    def set_ended(self, ended: dict[str, Any] | None) -> None:
        """Why the search ended; `None`: it runs, or was broken off."""
        with self._transaction():
            if ended is None:
                self._connection.execute("DELETE FROM choices WHERE name = 'ended'")
            else:
                self._connection.execute("INSERT OR REPLACE INTO choices VALUES ('ended', ?)", (json.dumps(ended),))

    def begin_trial(
        self,
        number: int,
        hyperparameters: dict,
        epochs: int | None,
        oracle_trial: dict,
        oracle_state: dict,
        continues: int | None = None,
    ) -> None:
        """A trial begins, or begins again: what an interrupted run of it left is removed.

        `continues`: the number of the trial whose training it continues.
        """
        with self._transaction():
            self._delete_curves(number)
            self._connection.execute(
                "INSERT OR REPLACE INTO trials (number, state, hyperparameters, epochs, begun, oracle_trial, continues, "
                "from_epoch) VALUES (?, 'running', ?, ?, ?, ?, ?, ?)",
                (
                    *(number, json.dumps(hyperparameters), epochs, time.time(), json.dumps(oracle_trial)),
                    *(continues, None if continues is None else 0),
                ),
            )
            self._save_oracle(oracle_state)

    def begin_failed_again(self) -> None:
        """Lets the trials that failed be as ones that were interrupted."""
        with self._transaction():
            failed = self._connection.execute("SELECT number, oracle_trial FROM trials WHERE state = 'failed'").fetchall()
            for number, record in failed:
                content = {**json.loads(record), "status": "RUNNING", "score": None, "message": None}
                self._connection.execute(
                    "UPDATE trials SET state = 'running', message = NULL, traceback = NULL, ended = NULL, ended_order = NULL, "
                    "oracle_trial = ? WHERE number = ?",
                    (json.dumps(content), number),
                )

    def forget(self, number: int) -> None:
        """Drops the executions and epochs of a running trial that begins again."""
        with self._transaction():
            self._delete_curves(number)

    def _delete_curves(self, number: int) -> None:
        for table in ("executions", "epochs", "snapshots"):
            self._connection.execute(f"DELETE FROM {table} WHERE trial = ?", (number,))

    def begin_from(self, number: int, epoch: int) -> None:
        """A trial that continues another one trains from this epoch on."""
        with self._transaction():
            self._connection.execute("UPDATE trials SET from_epoch = ? WHERE number = ?", (epoch, number))

    def drop_snapshots(self, trials: Iterable[int]) -> None:
        """Forgets the snapshots of these trials."""
        with self._transaction():
            self._connection.executemany("DELETE FROM snapshots WHERE trial = ?", [(number,) for number in trials])

    def add_epoch(self, trial: int, execution: int, epoch: int, metrics: dict[str, float]) -> None:
        """One point of a learning curve."""
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO epochs VALUES (?, ?, ?, ?, ?)",
                [(trial, execution, epoch, name, _number(value)) for name, value in metrics.items()],
            )

    def add_execution(
        self, trial: int, execution: int, seed: int, score: float, best_epoch: int, begun: float, seconds: float
    ) -> None:
        """One training is over."""
        with self._transaction():
            self._connection.execute(
                "INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?, ?)",
                (trial, execution, seed, score if math.isfinite(score) else None, best_epoch, begun, seconds),
            )

    def end_trial(
        self,
        number: int,
        state: str,
        score: float | None,
        oracle_trial: dict,
        oracle_state: dict,
        message: str | None = None,
        traceback: str | None = None,
        hyperparameters: dict | None = None,
        snapshots: Iterable[tuple[int, int, int, str]] = (),
        begun: float | None = None,
    ) -> None:
        """A trial is over: `completed` or `pruned` with a score, `diverged`, or `failed` with a message.

        Args:
            hyperparameters: all of them, if it has declared some after it began.
            snapshots: that it leaves: of each (execution, epoch, bytes, digest).
            begun: when it began to train, if it had waited for a worker.
        """
        texts = [None if text is None else plain(text) for text in (message, traceback)]
        with self._transaction():
            self._connection.execute(
                "UPDATE trials SET state = ?, score = ?, message = ?, traceback = ?, begun = coalesce(?, begun), ended = ?, "
                "oracle_trial = ?, ended_order = ? WHERE number = ?",
                (state, score, *texts, begun, time.time(), json.dumps(oracle_trial), self._ended, number),
            )
            if hyperparameters is not None:
                self._connection.execute(
                    "UPDATE trials SET hyperparameters = ? WHERE number = ?", (json.dumps(hyperparameters), number)
                )
            self._connection.executemany(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)", [(number, *each) for each in snapshots]
            )
            self._save_oracle(oracle_state)
        self._ended += 1

    def _save_oracle(self, state: dict) -> None:
        self._connection.execute("UPDATE search SET oracle = ?", (json.dumps(state),))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def fingerprint(directory: str | os.PathLike) -> tuple:
    """Something that is another whenever the store in `directory` was written since; it costs no look into the store."""
    found: list[tuple[int, ...]] = []
    for suffix in ("", "-wal"):
        try:
            status = os.stat(pathlib.Path(directory) / f"{FILE_NAME}{suffix}")
        except OSError:
            continue
        if status.st_size:  # a reader may leave an empty log for a moment
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def exists(directory: str | os.PathLike) -> bool:
    """Whether there is a store in `directory`. A file that a kill left empty is none."""
    path = pathlib.Path(directory) / FILE_NAME
    if not path.is_file():
        return False
    if path.stat().st_size == 0:  # SQLite takes no log for such a file
        return False
    try:
        connection = _connect(f"{path.resolve().as_uri()}?mode=ro")
        try:  # a kill between making the file and the first transaction leaves a file without tables
            return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError):  # also of SQLite's own message, which quotes what is damaged
        return True  # something is there, and opening it will say what is wrong


def remove(directory: str | os.PathLike) -> None:
    """Deletes the store in `directory` and what came from it: best setting, kept models, snapshots; and nothing else."""
    Models(directory).remove()
    Snapshots(directory).remove()
    for name in ("best.json", *(f"{FILE_NAME}{suffix}" for suffix in ("", "-wal", "-shm", "-journal"))):
        try:
            (pathlib.Path(directory) / name).unlink(missing_ok=True)
        except OSError as error:
            raise SearchError(f"The old search in {directory} cannot be deleted: {error.strerror}.") from error


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)


def _choose_journal(connection: sqlite3.Connection, path: pathlib.Path) -> None:
    """Sets the journal that works where the file is."""
    shared = shared_filesystem(path) is not None
    with contextlib.suppress(sqlite3.OperationalError):  # somebody reads: it stays as it was, which worked until now
        connection.execute(f"PRAGMA journal_mode = {'DELETE' if shared else 'WAL'}")
    # After a transaction the operating system has the log (safe against kill -9), and a checkpoint syncs the disk.
    connection.execute(f"PRAGMA synchronous = {'FULL' if shared else 'NORMAL'}")


def _open(uri: str, read_only: bool) -> sqlite3.Connection:
    """A connection that has read something, so that what cannot be read is an error here.

    A reader opens for writing as well, where it may, and then does not write: only such a connection tidies up the log when
    it is the last one. In a folder that cannot be written to, the log cannot even be opened; if it is empty, that is no loss.
    """
    modes = ("mode=rw", "mode=ro", "mode=ro&immutable=1") if read_only else ("mode=rw",)
    for mode in modes:
        connection = _connect(f"{uri}?{mode}")
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if read_only:
                connection.execute("PRAGMA query_only = ON")
            return connection
        except (sqlite3.Error, UnicodeDecodeError) as error:
            connection.close()
            if mode == modes[-1] or not isinstance(error, sqlite3.OperationalError):
                raise
    raise AssertionError("the last mode returns or raises")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


_FULL = "the disk is full: make room, and the same command goes on"
_REASONS = {
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR_WRITE": "writing failed, as it does when a disk or quota is full: make room, and the same command goes on",
    "SQLITE_BUSY": "another program has locked it",
    "SQLITE_READONLY": "it cannot be written to: change its permissions, or choose another --directory",
    "SQLITE_CANTOPEN": "it cannot be opened: look at the permissions of the file and its folder",
}


@contextlib.contextmanager
def explained(path: pathlib.Path) -> Iterator[None]:
    """Turns what SQLite and JSON say of a store that cannot be used into one sentence for its user."""
    try:
        yield
    except (sqlite3.DatabaseError, json.JSONDecodeError, UnicodeDecodeError) as error:
        name = getattr(error, "sqlite_errorname", "")
        if isinstance(error, sqlite3.OperationalError) and not name.startswith("SQLITE_CORRUPT"):
            reason = next((_REASONS[known] for known in _REASONS if name.startswith(known)), str(error))
            raise StoreError(f"{path} cannot be used ({reason}); what was finished before is kept.") from error
        raise StoreError(
            f"{path} is damaged or not the store of a search ({error}): restore it from a copy, or start over with --fresh."
        ) from error
