"""What a search may spend: epochs, minutes, and until which score; and what it says when that ends it."""

import types

import keras_tuner
import numpy as np
import pytest

import tuning
from tests.tuning.conftest import load
from tests.tuning.test_comparison import compare
from tests.tuning.test_continuing import Pretended, same
from tuning import SearchError
from tuning.errors import NoUsableTrialError
from tuning.results.search import SearchResult
from tuning.study.budget import Budget, Spending
from tuning.training.events import EpochEnded

MAX, MIN = keras_tuner.Objective("val_accuracy", "max"), keras_tuner.Objective("val_loss", "min")


class Short:
    """An engine whose trials train 3 epochs and reach 0.1 for each trial before them; `breaks`: it is interrupted in this one."""

    def __init__(self, breaks=None):
        self.breaks = breaks

    def run(self, source, trainer, run_trial):
        name = source.oracle.objective.name
        while (trial := source.next_trial("seat")) is not None:
            number = int(trial.trial_id)
            for epoch in range(3):
                source.record(EpochEnded(number, 0, epoch, {name: 0.1 * number}))
                if number == self.breaks and epoch == 1:
                    raise KeyboardInterrupt
            source.trial_done(trial, [{name: 0.1 * number}])


def tuner_of(directory, oracle="quasirandom", trials=None, epochs=3, objective=MAX, engine=None, **budget):
    space = keras_tuner.HyperParameters()
    for name in ("x", "y"):
        space.merge([tuning.SearchAxis(name, 0.0, 1.0, points=60)])
    made = tuning.make_oracle(oracle, objective=objective, hyperparameters=space, trials=trials, epochs=epochs, seed=4)
    return tuning.Tuner(
        *(made, lambda hp: None),
        **{"directory": str(directory), "project_name": "search", "engine": engine or Short(), **budget},
    )


def search(*arguments, **options):
    tuner = tuner_of(*arguments, **options)
    tuner.search(verbose=0, epochs=options.get("epochs", 3))
    return SearchResult.load(tuner.project_dir)


# -- epochs ---------------------------------------------------------------------------------------


def test_no_trial_begins_whose_epochs_do_not_fit_and_a_larger_budget_goes_on(tmp_path):
    result = search(tmp_path, max_total_epochs=10)
    assert [trial.state for trial in result.trials] == ["completed"] * 3
    assert result.epochs_trained == 9
    said = {"by": "epochs", "text": "9 of at most 10 epochs are trained, and the next trial would train 3"}
    assert result.ended == result.to_json()["ended"] == said
    more = search(tmp_path, max_total_epochs=15)
    assert same(more, search(tmp_path / "whole", max_total_epochs=15))
    assert more.ended == {"by": "epochs", "text": "15 of at most 15 epochs are trained"}
    assert search(tmp_path, max_total_epochs=15, trials=5).ended == {"by": "trials", "text": "all of 5 trials were tried"}


def test_the_epochs_of_each_training_count(tmp_path):
    twice = {"engine": Pretended(executions=2), "executions_per_trial": 2}
    result = search(tmp_path, "hyperband", epochs=3, objective=MIN, max_total_epochs=9, **twice)
    assert [trial.epochs for trial in result.trials] == [1, 1, 1]  # one that goes on would train 4 more
    assert result.epochs_trained == 6


def test_what_an_interrupted_trial_has_trained_is_not_spent(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, engine=Short(breaks=1), max_total_epochs=9)
    assert SearchResult.load(tmp_path / "search").ended is None
    assert SearchResult.load(tmp_path / "search").epochs_trained == 5
    result = search(tmp_path, max_total_epochs=9)
    assert [trial.state for trial in result.trials] == ["completed"] * 3
    assert result.epochs_trained == 9


@pytest.mark.parametrize(("oracle", "most"), [("hyperband", 75), ("asha", None)])
def test_trials_that_go_on_count_their_new_epochs_alone(oracle, most, tmp_path):
    whole = search(tmp_path / "whole", oracle, epochs=9, objective=MIN, engine=Pretended())
    most = most or whole.epochs_trained
    assert whole.epochs_trained == most
    for limit in (1, 5, 10, 11, most - 1, most):
        found = search(tmp_path / "parts", oracle, epochs=9, objective=MIN, engine=Pretended(), max_total_epochs=limit)
        assert limit - 9 < found.epochs_trained <= limit
        assert same_beginning(found, whole)
        assert found.ended["by"] == ("epochs" if limit < most else found.ended["by"])
    assert same(found, whole)


def same_beginning(part, whole):
    shown = [(trial.hyperparameters, trial.epochs, trial.score) for trial in part.trials]
    return shown == [(trial.hyperparameters, trial.epochs, trial.score) for trial in whole.trials[: len(shown)]]


def test_with_several_workers_what_runs_is_reserved_and_nobody_begins_in_vain(tmp_path):
    class Three:
        def run(self, source, trainer, run_trial):
            def done(trial, epochs):
                for epoch in range(epochs):
                    source.record(EpochEnded(int(trial.trial_id), 0, epoch, {"val_accuracy": 0.5}))
                source.trial_done(trial, [{"val_accuracy": 0.5}])

            one, other = source.next_trial("a"), source.next_trial("b")
            assert source.next_trial("c").status == "IDLE"
            assert source.next_trial("a") is one  # as after its worker died
            done(one, 1)
            assert source.next_trial("c").status == "IDLE"
            done(other, 2)
            third = source.next_trial("c")
            assert third.status == "RUNNING"
            done(third, 3)
            assert source.next_trial("a") is None

    result = search(tmp_path, engine=Three(), max_total_epochs=6)
    assert (len(result.trials), result.epochs_trained, result.ended["by"]) == (3, 6, "epochs")


def test_epochs_that_nobody_reports_end_nothing_which_is_said(tmp_path, capsys):
    class Silent:
        def run(self, source, trainer, run_trial):
            while (trial := source.next_trial("seat")) is not None:
                source.trial_done(trial, [{"val_accuracy": 0.5}])

    tuner_of(tmp_path, trials=2, engine=Silent(), max_total_epochs=5).search(epochs=3)
    assert "no number of epochs ends the search" in capsys.readouterr().err


# -- target, minutes, failures --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "target", "reached", "further"), [(MAX, 0.2, 3, 0.5), (MIN, 0.0, 1, -0.1)], ids=["max", "min"]
)
def test_the_target_ends_a_search_and_a_further_one_goes_on(objective, target, reached, further, tmp_path, capsys):
    tuner_of(tmp_path, trials=7, objective=objective, target=target).search(epochs=3)
    result = SearchResult.load(tmp_path / "search")
    assert (len(result.trials), result.ended["by"]) == (reached, "target")
    score = result.best.score
    said = f"trial {reached - 1} reached the target {target:g}: {objective.name} {score:g}"
    assert result.ended["text"] == said
    assert f"the search ended, as {said}\n" in capsys.readouterr().err
    assert len(search(tmp_path, trials=7, objective=objective, target=target).trials) == reached
    assert len(search(tmp_path, trials=7, objective=objective, target=further).trials) == (6 if objective is MAX else 7)


@pytest.mark.parametrize(("objective", "worse"), [(MAX, 0.9674), (MIN, 0.9676)], ids=["max", "min"])
def test_the_float32_nearest_to_the_target_reaches_it(objective, worse):
    spending = object.__new__(Spending)
    spending.budget, spending._oracle = Budget(target=0.9675), types.SimpleNamespace(objective=objective)
    reported = float(np.float32(0.9675))  # which is less than 0.9675, as training says it
    assert spending._reached(reported)
    assert not spending._reached(worse)


@pytest.mark.parametrize("oracle", ["hyperband", "asha"])
def test_a_trial_of_any_number_of_epochs_reaches_the_target_and_is_the_best(oracle, tmp_path):
    """Its score is that of its best epoch, so more epochs could only make it better."""
    whole = search(tmp_path / "whole", oracle, epochs=9)
    assert whole.ranking() == whole.trials[::-1]  # each of them reaches more than those before it
    short = next(trial for trial in whole.trials if trial.epochs < max(each.epochs for each in whole.trials[: trial.number + 1]))
    result = search(tmp_path, oracle, epochs=9, target=short.score)
    assert result.ended["by"] == "target"
    assert (result.best.number, result.best.epochs, len(result.trials)) == (short.number, short.epochs, short.number + 1)


def test_trials_begin_until_the_time_is_over(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(tuning.study.budget.time, "monotonic", lambda: clock[0])

    class Slow:
        def run(self, source, trainer, run_trial):
            while (trial := source.next_trial("seat")) is not None:
                clock[0] += 10
                source.trial_done(trial, [{source.oracle.objective.name: 0.5}])

    whole = search(tmp_path / "whole", trials=9, max_seconds=3600, engine=Slow())
    assert (len(whole.trials), whole.ended["by"]) == (9, "trials")
    cut = search(tmp_path / "cut", trials=9, max_seconds=25, engine=Slow())
    assert (len(cut.trials), cut.ended["by"]) == (3, "minutes")
    again = search(tmp_path / "cut", trials=9, max_seconds=25, engine=Slow())  # a session has its own time
    assert len(again.trials) == 6
    with pytest.raises(KeyboardInterrupt):  # one that is broken off has no end, whatever ended an earlier session
        search(tmp_path / "cut", trials=9, engine=Short(breaks=6))
    assert SearchResult.load(tmp_path / "cut" / "search").ended is None


def test_minutes_and_failures_are_said(tmp_path):
    assert search(tmp_path, max_seconds=0).ended == {"by": "minutes", "text": "its 0 minutes are over"}
    assert search(tmp_path, trials=1).ended["by"] == "trials"

    class Failing:
        def run(self, source, trainer, run_trial):
            while (trial := source.next_trial("seat")) is not None:
                source.trial_failed(trial, "RuntimeError: no luck", "")

    with pytest.raises(NoUsableTrialError):
        search(tmp_path / "failing", engine=Failing())
    ended = SearchResult.load(tmp_path / "failing" / "search").ended
    assert ended["by"] == "failures"
    assert ended["text"].endswith("so the search stops: RuntimeError: no luck")


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"max_total_epochs": 0}, "max_total_epochs must be an int of at least 1; received 0"),
        ({"target": float("nan")}, "target must be a finite number"),
        ({"target": "high"}, "target must be a finite number"),
    ],
)
def test_a_wrong_budget_is_one_sentence(budget, words, tmp_path):
    with pytest.raises(SearchError, match=words):
        tuner_of(tmp_path, **budget)


# -- from the outside -----------------------------------------------------------------------------


@pytest.mark.backend("tensorflow")
def test_the_command_says_why_it_ended(command, tiny):
    where = ("--problem", tiny, "--directory", "out", "--jit", "off")
    status, stdout, stderr = command("tune", "adam", *where, "--max-epochs", 7, "--json")
    assert status == 0, stderr
    result = load(stdout)
    assert [len(trial["curves"][0]["loss"]) for trial in result["trials"]] == [2, 2, 2]
    assert "the search ended, as 6 of at most 7 epochs are trained" in stderr
    assert "some trials, val_accuracy" in stderr
    _, shown, _ = command("show", "out")
    assert "ended: 6 of at most 7 epochs are trained, and the next trial would train 2" in shown
    command("report", "out")
    with open("out/report.html") as page:
        assert "6 of at most 7 epochs are trained" in page.read()
    status, stdout, stderr = command("tune", "adam", *where, "--trials", 12, "--target", 0.1, "--json")
    assert status == 0, stderr
    assert load(stdout)["trials"] == result["trials"]
    assert "reached the target 0.1" in stderr


@pytest.mark.backend("tensorflow")
def test_each_optimizer_of_a_comparison_has_the_budget(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compared = compare(tmp_path, trials=None, confirmations=1, max_epochs=7)
    assert [entry["trials"]["completed"] for entry in compared.optimizers] == [2] * len(compared.optimizers)
    assert [entry["confirmations"]["completed"] for entry in compared.optimizers] == [1] * len(compared.optimizers)
    assert all(entry["ended"]["by"] == "epochs" for entry in compared.optimizers)
    assert compared.content["complete"]
    with pytest.raises(SearchError, match=r"has 6 epochs in .* already: ask for at least as many"):
        compare(tmp_path, trials=None, confirmations=1, max_epochs=5)


@pytest.mark.parametrize(
    ("flag", "value", "words"), [("--max-epochs", 0, "an int of at least 1"), ("--target", "inf", "a finite number")]
)
def test_a_wrong_budget_on_the_command_line_is_one_sentence(flag, value, words, command):
    status, _, stderr = command("tune", "adam", flag, value)
    assert status == 2
    assert words in stderr
    assert "Traceback" not in stderr
