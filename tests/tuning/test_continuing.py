"""Trials that are promoted go on where the one before them ended; what is lost is trained again, and gives the same."""

import os
import random
import sqlite3

import keras
import keras_tuner
import pytest

import tuning
from tests.tuning.conftest import JIT, ROOT
from tuning.results.search import SearchResult
from tuning.space.space import Space
from tuning.store.database import SCHEMA_VERSION, Store
from tuning.store.snapshots import Snapshots
from tuning.training.events import EpochEnded, ExecutionEnded, Left
from tuning.training.problem_model import ProblemModel
from tuning.training.trainer import why_not_continued


def loss(values, epoch):
    return (values["x"] - 0.3) ** 2 + values["y"] / (epoch + 1)


class Pretended:
    """An engine whose trainings follow from the setting; a snapshot is the number of the epochs, as text."""

    def __init__(self, ends_after=None, before=lambda source, number: None, executions=1):
        self.ends_after, self.before, self.executions = ends_after, before, executions
        self.roots, self.most_files = {}, 0

    def run(self, source, trainer, run_trial):
        while (trial := source.next_trial("seat")) is not None:
            number, values = int(trial.trial_id), trial.hyperparameters.values
            self.before(source, number)
            asked, results = source.assignment(trial), []
            self.roots[number] = asked.root
            for execution in range(self.executions):
                first = int(asked.begin[execution]) if asked.begin else 0
                for epoch in range(first, values["tuner/epochs"]):
                    assert not source.record(EpochEnded(number, execution, epoch, {"val_loss": loss(values, epoch)}))
                if self.ends_after is not None and number == self.ends_after:
                    raise KeyboardInterrupt
                if asked.leaves:
                    source.record(Left(number, execution, values["tuner/epochs"], str(values["tuner/epochs"]).encode()))
                best = min(loss(values, epoch) for epoch in range(values["tuner/epochs"]))
                source.record(ExecutionEnded(number, execution, asked.root, best, 0, 0.0, 1.0))
                results.append({"val_loss": best})
            source.trial_done(trial, results)
            self.most_files = max(self.most_files, len(files(source.directory)))


def files(directory):
    folder = os.path.join(directory, "snapshots")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def search(directory, engine, oracle="hyperband", trials=None, epochs=9):
    space = keras_tuner.HyperParameters()
    for name in ("x", "y"):
        space.merge([tuning.SearchAxis(name, 0.0, 1.0, points=60)])
    objective = keras_tuner.Objective("val_loss", "min")
    made = tuning.make_oracle(oracle, objective=objective, hyperparameters=space, trials=trials, epochs=epochs, seed=4)
    tuner = tuning.Tuner(made, lambda hp: None, directory=str(directory), project_name="search", engine=engine)
    tuner.search(verbose=0)
    return SearchResult.load(tuner.project_dir)


def rows(result, query):
    connection = sqlite3.connect(result.directory / "search.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


OWN_EPOCHS = "SELECT count(*) FROM epochs"
CONTINUED = "SELECT number, continues, from_epoch FROM trials WHERE continues IS NOT NULL"


def same(one, other):
    return [
        (trial.hyperparameters, trial.epochs, trial.score, trial.seeds, trial.curves, trial.state) for trial in one.trials
    ] == [(trial.hyperparameters, trial.epochs, trial.score, trial.seeds, trial.curves, trial.state) for trial in other.trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return search(tmp_path_factory.mktemp("whole"), Pretended())


@pytest.mark.parametrize(("epochs", "trained", "before"), [(9, 75, 87), (27, 375, 450)])
def test_a_sweep_trains_the_epochs_of_its_schedule_and_leaves_nothing(epochs, trained, before, tmp_path):
    engine = Pretended()
    result = search(tmp_path, engine, epochs=epochs)
    assert rows(result, OWN_EPOCHS) == [(trained,)]
    assert sum(trial.epochs for trial in result.trials) == before
    for trial in result.trials:  # curves are joined
        assert trial.curves == [{"val_loss": [loss(trial.hyperparameters, epoch) for epoch in range(trial.epochs)]}]
        assert trial.seeds == [engine.roots[trial.number]]
    for number, continues, from_epoch in rows(result, CONTINUED):
        parent = result.trials[continues]
        assert result.trials[number].hyperparameters == parent.hyperparameters
        assert (from_epoch, engine.roots[number]) == (parent.epochs, engine.roots[continues])
    assert files(result.directory) == []
    assert rows(result, "SELECT * FROM snapshots") == []
    assert engine.most_files <= epochs  # a third of the largest round, and what its last trials leave


@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_a_lost_snapshot_costs_time_and_never_a_result(how, whole, tmp_path):
    def lose(source, number):
        for name in files(source.directory) if number == 9 else ():
            path = os.path.join(source.directory, "snapshots", name)
            if how == "deleted":
                os.remove(path)
            else:
                with open(path, "wb") as file:
                    file.write(b"0")

    result = search(tmp_path, Pretended(before=lose))
    assert same(result, whole)
    assert rows(result, OWN_EPOCHS)[0][0] > 75
    assert [row for row in rows(result, CONTINUED) if row[0] == 9] == [(9, 7, 0)]


@pytest.mark.parametrize("killed_at", [5, 10, 12])
def test_a_search_that_was_broken_off_goes_on_from_snapshots(killed_at, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Pretended(ends_after=killed_at))
    folder = tmp_path / "search" / "snapshots"
    (folder / "99-0.npz").write_bytes(b"of no row")
    (folder / ".8-0.npz.123.part").write_bytes(b"half")
    seen = []
    result = search(tmp_path, Pretended(before=lambda source, number: seen.append(files(source.directory))))
    assert not {"99-0.npz", ".8-0.npz.123.part"} & set(seen[0])
    assert same(result, whole)
    assert rows(result, OWN_EPOCHS) == [(75,)]


def test_each_of_several_executions_goes_on_from_its_own(tmp_path):
    result = search(tmp_path, Pretended(executions=2))
    assert rows(result, OWN_EPOCHS) == [(150,)]
    assert all(trial.trained == [trial.epochs] * 2 for trial in result.trials)


def test_a_store_of_version_2_is_read_and_goes_on(whole, tmp_path):
    """What its trials trained from their first epochs stays their own; what is promoted now continues them."""
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Pretended(ends_after=9))
    path = tmp_path / "search" / "search.sqlite"
    connection = sqlite3.connect(path)
    for statement in (
        "DROP VIEW curves",
        "DROP TABLE snapshots",
        "ALTER TABLE trials DROP COLUMN continues",
        "ALTER TABLE trials DROP COLUMN from_epoch",
        "PRAGMA user_version = 2",
    ):
        connection.execute(statement)
    connection.commit()
    connection.close()
    assert [trial.state for trial in SearchResult.load(path.parent).trials] == ["completed"] * 9 + ["running"]
    result = search(tmp_path, Pretended())
    assert same(result, whole)
    assert rows(result, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert files(result.directory) == []


def test_a_chain_that_goes_in_a_circle_ends(tmp_path):
    """As in a store that somebody has written by hand."""
    with Store.create(tmp_path, {}, {}) as store:
        for number, continues in ((0, 1), (1, 0), (2, 2)):
            store.begin_trial(number, {}, 2, {}, {}, continues)
            store.begin_from(number, 1)
            store.add_epoch(number, 0, 1, {"loss": 1.0})
        assert len(store.rows("curves")) == 3


def test_what_cannot_go_on_from_a_snapshot_is_known_before_it_trains(tiny):
    class Fits(keras_tuner.HyperModel):
        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, **kwargs)

    def ours(schedule=None, callbacks=None):
        return ProblemModel(Space.of("adam", schedule=schedule), tiny, callbacks=callbacks)

    plain = keras_tuner.HyperModel()
    stopping = keras.callbacks.EarlyStopping()
    assert why_not_continued(plain, {}) is why_not_continued(ours(), {"epochs": 3}) is None
    assert why_not_continued(plain, {"callbacks": [stopping]}) == "callbacks may have a state of their own"
    assert why_not_continued(ours(callbacks=[stopping]), {}) == "callbacks may have a state of their own"
    assert why_not_continued(Fits(), {}) == "the HyperModel has a fit of its own"
    assert why_not_continued(ours("cosine"), {}) == "its schedule is of all its epochs"
    assert why_not_continued(plain, {"initial_epoch": 2}) == "initial_epoch is given"


def test_it_is_said_once_why_trials_train_their_first_epochs_again(tiny, tmp_path, capsys):
    tuning.search(
        *("adam", tiny),
        oracle="hyperband",
        epochs=3,
        callbacks=lambda: keras.callbacks.EarlyStopping(patience=9),
        jit=JIT,
        directory=tmp_path,
    )
    said = capsys.readouterr().err
    assert said.count("a trial that goes on trains its first epochs again, as callbacks may have a state of their own") == 1


# -- ASHA -----------------------------------------------------------------------------------------


class Crowd(Pretended):
    """The same with several seats, whose trials end in any order."""

    def __init__(self, seats, seed, **of_pretended):
        super().__init__(**of_pretended)
        self.seats, self.chance, self.decided, self.waited = seats, random.Random(seed), [], 0

    def run(self, source, trainer, run_trial):
        running, over = {}, False
        while running or not over:
            for seat in range(self.seats):
                if seat not in running and not over:
                    trial = source.next_trial(str(seat))
                    over = trial is None
                    if trial is not None and trial.status == "IDLE":
                        self.waited += 1
                    elif trial is not None:
                        running[seat] = trial
                        self.decided.append((trial.hyperparameters.values.get("tuner/trial_id"), sorted(source.oracle.end_order)))
            if len(source.oracle.end_order) == self.ends_after:
                raise KeyboardInterrupt
            if running:
                seat = self.chance.choice(sorted(running))
                self.train(source, running.pop(seat))

    def train(self, source, trial):
        values, asked = trial.hyperparameters.values, source.assignment(trial)
        first = int(asked.begin[0]) if asked.begin else 0
        losses = [loss(values, epoch) for epoch in range(values["tuner/epochs"])]
        for epoch in range(first, len(losses)):
            source.record(EpochEnded(int(trial.trial_id), 0, epoch, {"val_loss": losses[epoch]}))
        if asked.leaves:
            source.record(Left(int(trial.trial_id), 0, len(losses), str(len(losses)).encode()))
        source.record(ExecutionEnded(int(trial.trial_id), 0, asked.root, min(losses), 0, 0.0, 1.0))
        source.trial_done(trial, [{"val_loss": min(losses)}])
        self.most_files = max(self.most_files, len(files(source.directory)))


class Again(Crowd):
    """The same once more, in the order in which the trials of a search began and ended, as its store has it."""

    def __init__(self, result):
        super().__init__(0, 0)
        begun = [(trial.begun, trial.number, False) for trial in result.trials]
        self.moments = sorted([*begun, *((trial.ended, trial.number, True) for trial in result.trials)])

    def run(self, source, trainer, run_trial):
        running = {}
        for _, number, ends in self.moments:
            if ends:
                self.train(source, running.pop(number))
            else:
                running[number] = source.next_trial(str(number))
                assert int(running[number].trial_id) == number


def promoted_rightly(result, ended, parent):
    """Whether a trial was among the best third of its rung when these had ended."""
    rung = [result.trials[number] for number in ended if result.trials[number].epochs == parent.epochs]
    better = sum(trial.score < parent.score for trial in rung)
    return better < len(rung) // 3


@pytest.mark.parametrize("seats", [1, 4])
def test_asha_promotes_the_best_third_so_far_never_waits_and_trains_each_epoch_once(seats, tmp_path):
    engine = Crowd(seats, 1)
    result = search(tmp_path, engine, "asha", trials=None if seats == 1 else 60, epochs=27)
    assert len(result.trials) == (40 if seats == 1 else 60)
    assert engine.waited == 0
    assert {trial.epochs for trial in result.trials} == {1, 3, 9, 27}
    for trial, (parent, ended) in zip(result.trials, engine.decided, strict=True):
        assert trial.curves == [{"val_loss": [loss(trial.hyperparameters, epoch) for epoch in range(trial.epochs)]}]
        assert (parent is None) == (trial.epochs == 1)
        if parent is not None:
            assert promoted_rightly(result, [int(each) for each in ended], result.trials[int(parent)])
    continued = rows(result, CONTINUED)
    assert len({parent for _, parent, _ in continued}) == len(continued)  # nobody is promoted twice
    assert rows(result, OWN_EPOCHS) == [(sum(trial.epochs for trial in result.trials) - sum(row[2] for row in continued),)]
    assert len({tuple(trial.hyperparameters.items()) for trial in result.trials}) == len(result.trials) - len(continued)
    assert engine.most_files <= 60 // 3 + seats


def test_what_several_workers_decided_is_replayed_from_the_store(tmp_path):
    result = search(tmp_path, Crowd(4, 2), "asha", trials=60, epochs=27)
    assert same(search(tmp_path / "again", Again(result), "asha", trials=60, epochs=27), result)
    assert not same(search(tmp_path / "alone", Pretended(), "asha", trials=60, epochs=27), result)


def test_asha_in_one_process_is_a_function_of_the_seed_also_after_a_kill(tmp_path):
    whole = search(tmp_path / "whole", Pretended(), "asha")
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "killed", Pretended(ends_after=8), "asha")
    assert same(search(tmp_path / "killed", Pretended(), "asha"), whole)
    more = search(tmp_path / "killed", Pretended(), "asha", trials=30)
    assert same(more, search(tmp_path / "more", Pretended(), "asha", trials=30))


@pytest.mark.parametrize("oracle", ["hyperband", "asha", "pbt"])
@pytest.mark.parametrize("trials", [*range(1, 14), 22, 40])
def test_nothing_is_left_when_all_trials_were_tried(oracle, trials, tmp_path):
    result = search(tmp_path, Crowd(2, trials), oracle, trials=trials)
    assert len(result.trials) == trials or oracle != "asha"
    assert files(result.directory) == []
    assert rows(result, "SELECT * FROM snapshots") == []


@pytest.mark.parametrize("oracle", ["hyperband", "asha", "pbt"])
def test_of_several_trials_that_were_broken_off_each_goes_on_from_its_snapshot(oracle, tmp_path):
    most = 0
    for ends_after in range(2, 38, 2):
        directory = tmp_path / str(ends_after)
        with pytest.raises(KeyboardInterrupt):
            search(directory, Crowd(3, 5, ends_after=ends_after), oracle, trials=40)
        broken = rows(SearchResult.load(directory / "search"), f"{CONTINUED} AND state = 'running'")
        result = search(directory, Pretended(), oracle, trials=40)
        begun = {number: from_epoch for number, _, from_epoch in rows(result, CONTINUED)}
        assert all(begun[number] == result.trials[parent].epochs for number, parent, _ in broken)
        most = max(most, len(broken))
    assert most >= 2


def test_fresh_deletes_snapshots_and_nothing_else(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Pretended(ends_after=9))
    directory = tmp_path / "search"
    (directory / "snapshots" / "mine.txt").write_text("mine")
    assert len(files(directory)) > 1
    tuning.store.database.remove(directory)
    assert files(directory) == ["mine.txt"]
    Snapshots(directory).remove()


def test_docs_say_what_is_in_the_folder():
    assert "snapshots/" in (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
