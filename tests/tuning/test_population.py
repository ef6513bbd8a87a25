"""Population based training: who goes on from whom and with which numbers, and that a search of it loses nothing."""

import math
import os

import keras_tuner
import numpy as np
import pytest

import tuning
from tests.tuning.conftest import one_sentence
from tests.tuning.test_continuing import Crowd, Pretended, files, loss, rows, same
from tuning import SearchError
from tuning.oracles.population import truncated
from tuning.results.search import SearchResult
from tuning.space.perturbing import beside, perturbed
from tuning.training.events import EpochEnded, ExecutionEnded, Left

MIN = keras_tuner.Objective("val_loss", "min")
POPULATION, READY, EPOCHS = 8, 2, 7


def oracle(**options):
    space = keras_tuner.HyperParameters()
    space.merge([tuning.SearchAxis("x", 0.01, 1.0, "log"), tuning.SearchAxis("y", 0.0, 1.0)])
    space.Choice("kind", ["a", "b"])
    space.Int("whole", 1, 9, step=2)
    asked = {
        "hyperparameters": space,
        "population": POPULATION,
        "ready": READY,
        "trials": None,
        "epochs": EPOCHS,
        "live": ("x", "whole"),
        "seed": 4,
    }
    return tuning.make_oracle("pbt", objective=MIN, **{**asked, **options})


def search(directory, engine=None, **options):
    made = oracle(**options)
    tuner = tuning.Tuner(made, lambda hp: None, directory=str(directory), project_name="s", engine=engine or Pretended())
    tuner.search(verbose=0)
    return SearchResult.load(tuner.project_dir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    engine = Pretended()
    result = search(tmp_path_factory.mktemp("whole"), engine)
    return result, engine


# -- selection and perturbation against a few lines of NumPy ------------------------------------------


def twin(scores, direction):
    """(who is replaced, whom they may copy) of scores, NaN for who cannot go on."""
    goodness = np.array(scores) * (1 if direction == "max" else -1)
    order = np.argsort(-np.where(np.isnan(goodness), -np.inf, goodness), kind="stable")
    quarter = max(1, len(scores) // 4)
    best = set(order[:quarter]) & set(np.flatnonzero(~np.isnan(goodness)))
    return (set(order[-quarter:]) | set(np.flatnonzero(np.isnan(goodness)))) - best, best


@pytest.mark.parametrize("members", [2, 3, 4, 8, 21])
def test_the_worst_quarter_and_whoever_cannot_go_on_copy_one_of_the_best_quarter(members):
    chance = np.random.default_rng(members)
    copied = set()
    for _ in range(40):
        scores = np.where(chance.random(members) < 0.2, np.nan, chance.integers(0, 6, members))
        known = [None if np.isnan(score) else float(score) for score in scores]
        for direction in ("max", "min"):
            found = truncated(known, direction, chance)
            replaced, best = twin(scores, direction)
            if not best:
                assert found == []
                continue
            assert {i for i, parent in enumerate(found) if parent != i} == replaced
            assert {found[i] for i in replaced} <= best
            copied |= {(len(best), found[i]) for i in replaced}
    assert len(copied) > members // 4  # not always the same one


@pytest.mark.parametrize(
    ("scale", "low", "high", "place"),
    [
        ("log", 1e-4, 1e-1, math.log),
        ("log1m", 0.5, 0.999, lambda value: -math.log(1 - value)),
        ("linear", -1.0, 3.0, lambda value: value),
    ],
)
def test_a_step_is_one_on_the_scale_and_never_leaves_the_range(scale, low, high, place):
    step = 0.1 * (high - low) if scale == "linear" else math.log(1.25)
    for share in np.random.default_rng(0).random(200):
        value = low + share * (high - low)
        for up in (True, False):
            found = perturbed(value, low, high, scale, up)
            assert low <= found <= high
            there = place(value) + (step if up else -step)
            if place(low) < there < place(high):
                assert place(found) == pytest.approx(there, abs=2e-3 if scale == "log1m" else 1e-5)
            else:
                assert found == pytest.approx(min(max(found, low), high))
    assert low < perturbed(low, low, high, scale, up=False) < high  # at an end it turns round
    assert low < perturbed(high, low, high, scale, up=True) < high
    assert low <= perturbed(high + 1, low, high, scale, up=True) <= high


def test_whole_numbers_stay_whole_and_what_is_off_stays_off():
    for value in range(1, 10):
        for up in (True, False):
            found = perturbed(value, 1, 9, "linear", up, whole=True)
            assert type(found) is int
            assert found == (value + 1 if (up and value < 9) or value == 1 else value - 1)
    assert perturbed(100, 1, 1000, "log", up=True, whole=True) == 125
    assert perturbed(0.0, 0.0, 1.0, "linear", up=True) == 0.0
    assert perturbed(0.05, 0.0, 1.0, "linear", up=False) == pytest.approx(0.15)


def test_of_numbers_with_steps_it_is_the_next_one():
    values = [1, 3, 5, 7]
    assert [beside(value, values, up=True) for value in values] == [3, 5, 7, 5]
    assert [beside(value, values, up=False) for value in values] == [3, 1, 3, 5]
    assert beside(0, [0, 2, 4], up=True) == 0
    assert beside(2, [0, 2, 4], up=False) == 4
    assert beside(5, [5], up=True) == 5


# -- a search -----------------------------------------------------------------------------------------


def last_loss(trial):
    return loss(trial.hyperparameters, trial.epochs - 1)


def test_each_generation_follows_from_the_one_before(whole):
    result, engine = whole
    assert [trial.epochs for trial in result.trials] == [epochs for epochs in (2, 4, 6, 7) for _ in range(POPULATION)]
    exploited = changed = 0
    for first in range(POPULATION, len(result.trials), POPULATION):
        before = result.trials[first - POPULATION : first]
        replaced, best = twin([last_loss(trial) for trial in before], "min")
        for member in range(POPULATION):
            trial = result.trials[first + member]
            parent = result.trials[trial.continues]
            assert (trial.continues - first + POPULATION in best) if member in replaced else parent is before[member]
            assert trial.seeds == parent.seeds == [engine.roots[trial.number]]
            own, its = trial.hyperparameters, parent.hyperparameters
            assert (own["y"], own["kind"]) == (its["y"], its["kind"])  # they are not live
            if member not in replaced:
                assert own == its
                continue
            exploited += 1
            changed += own["x"] != its["x"] and abs(own["whole"] - its["whole"]) == 2
            assert 0.01 <= own["x"] <= 1.0
            assert own["whole"] in (1, 3, 5, 7, 9)
            assert type(own["whole"]) is int
    assert exploited == changed == 3 * 2
    assert result.ended["by"] == "trials"


def test_each_epoch_is_trained_once_and_snapshots_are_swept(whole):
    result, engine = whole
    assert rows(result, "SELECT count(*) FROM epochs") == [(POPULATION * EPOCHS,)]
    assert files(result.directory) == []
    assert rows(result, "SELECT * FROM snapshots") == []
    assert engine.most_files <= 2 * POPULATION
    assert [len(trial.curves[0]["val_loss"]) for trial in result.trials] == [trial.epochs for trial in result.trials]


def test_trials_know_the_settings_that_they_had(whole):
    result, _ = whole
    several = [trial for trial in result.trials if trial.settings]
    assert several
    for trial in result.trials:
        chain = [trial]
        while chain[0].continues is not None:
            chain.insert(0, result.trials[chain[0].continues])
        had = [(before.epochs if before else 0, each) for before, each in zip([None, *chain], chain, strict=False)]
        merged = [(epoch, each.hyperparameters) for i, (epoch, each) in enumerate(had)]
        merged = [pair for i, pair in enumerate(merged) if i == 0 or pair[1] != merged[i - 1][1]]
        assert trial.settings == (merged if len(merged) > 1 else [])
        assert trial.setting == ([[epoch, values] for epoch, values in merged] if len(merged) > 1 else trial.hyperparameters)


class Patient(Crowd):
    """A crowd that waits where the oracle says so, as every engine does."""

    def run(self, source, trainer, run_trial):
        running, over = {}, False
        while running or not over:
            for seat in {*range(self.seats)} - {*running} if not over else ():
                trial = source.next_trial(str(seat))
                over = over or trial is None
                if trial is not None and trial.status != "IDLE":
                    running[seat] = trial
            if running:
                trained(source, running.pop(self.chance.choice(sorted(running))))


def trained(source, trial):
    number, values, asked = int(trial.trial_id), trial.hyperparameters.values, source.assignment(trial)
    losses = [loss(values, epoch) for epoch in range(values["tuner/epochs"])]
    for epoch in range(int(asked.begin[0]) if asked.begin else 0, len(losses)):
        source.record(EpochEnded(number, 0, epoch, {"val_loss": losses[epoch]}))
    if asked.leaves:
        source.record(Left(number, 0, len(losses), str(len(losses)).encode()))
    source.record(ExecutionEnded(number, 0, asked.root, min(losses), 0, 0.0, 1.0))
    source.trial_done(trial, [{"val_loss": min(losses)}])


@pytest.mark.parametrize("seats", [1, 3, 20])
def test_it_is_a_function_of_the_seed_with_any_number_of_workers(seats, whole, tmp_path):
    assert same(search(tmp_path / "0", Patient(seats, seats)), whole[0])
    if seats == 1:
        assert not same(search(tmp_path / "1", seed=5), whole[0])


@pytest.mark.parametrize("killed_at", [0, 3, 8, 13, 31])
def test_a_search_that_was_broken_off_goes_on_to_the_same_end(killed_at, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Pretended(ends_after=killed_at))
    result = search(tmp_path)
    assert same(result, whole[0])
    assert rows(result, "SELECT count(*) FROM epochs") == [(POPULATION * EPOCHS,)]
    assert files(result.directory) == []


def test_with_repeats_each_execution_goes_on_from_its_own(tmp_path):
    result = search(tmp_path, Pretended(executions=2), epochs=4)
    assert rows(result, "SELECT count(*) FROM epochs") == [(POPULATION * 4 * 2,)]


class Failing(Pretended):
    """Some trials fail, others diverge."""

    def __init__(self, failing, diverging=()):
        super().__init__()
        self.failing, self.diverging = failing, diverging

    def run(self, source, trainer, run_trial):
        while (trial := source.next_trial("seat")) is not None:
            number, values = int(trial.trial_id), trial.hyperparameters.values
            if number in self.failing:
                source.trial_failed(trial, f"no luck with {number}", "")
                continue
            score = math.nan if number in self.diverging else loss(values, values["tuner/epochs"] - 1)
            source.trial_done(trial, [{"val_loss": score}])


def test_members_that_fail_or_diverge_are_replaced(tmp_path):
    result = search(tmp_path / "some", Failing({1, 5}, {2, 12}))
    assert len(result.trials) == 4 * POPULATION
    assert not {trial.continues for trial in result.trials} & {1, 5, 2, 12}
    none = search(tmp_path / "none", Failing(set(range(6)), {6, 7}))
    assert len(none.trials) == POPULATION
    assert none.ended == {"by": "oracle", "text": "its schedule is done"}


def test_members_have_the_same_setting_where_there_are_too_few(tmp_path):
    space = keras_tuner.HyperParameters()
    space.Int("x", 1, 3)
    space.Fixed("y", 0.5)
    made = oracle(hyperparameters=space, live=("x",))
    tuner = tuning.Tuner(made, lambda hp: None, directory=str(tmp_path), project_name="few", engine=Pretended())
    tuner.search(verbose=0)
    result = SearchResult.load(tuner.project_dir)
    assert len(result.trials) == 4 * POPULATION
    assert {trial.hyperparameters["x"] for trial in result.trials[:POPULATION]} == {1, 2, 3}
    assert [trial.seeds for trial in result.trials[:POPULATION]] == [[number] for number in range(POPULATION)]


def test_its_first_members_are_the_first_settings(tmp_path):
    first = [{"x": 0.1, "y": 0.5, "kind": "b", "whole": 3}, {"x": 0.3, "y": 0.25, "kind": "a", "whole": 4}]
    result = search(tmp_path, first=first)
    assert [trial.hyperparameters for trial in result.trials[:2]] == first
    assert [trial.epochs for trial in result.trials[: POPULATION + 1]] == [2] * POPULATION + [4]
    assert len(result.trials) == 4 * POPULATION


def test_fewer_trials_and_a_budget_of_epochs_end_it_and_it_goes_on(whole, tmp_path):
    few = search(tmp_path, trials=11)
    assert same(few, SearchResult(few.directory, few.config, whole[0].trials[:11]))
    assert files(few.directory) == []

    def budget(epochs):
        tuner = tuning.Tuner(
            *(oracle(), lambda hp: None),
            directory=str(tmp_path),
            project_name="budget",
            engine=Pretended(),
            max_total_epochs=epochs,
        )
        tuner.search(verbose=0)
        return SearchResult.load(tuner.project_dir)

    part = budget(21)
    assert part.epochs_trained == 20
    assert files(part.directory) != []
    assert same(budget(None), whole[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"population": 1}, "population must be an int of at least 2; received 1"),
        ({"ready": 8}, "ready must be at most the epochs of each member, 7; received 8"),
        ({"first": [{"x": 0.1}] * 9}, "population must be at least 9, as many as there are first trials; received 8"),
        ({"live": ()}, "live must name numbers of the space that may change while a model trains, of x, y, whole; received ()"),
        ({"live": ["x", "z"]}, "of x, y, whole; received ('x', 'z')"),
        ({"live": ["kind"]}, "of x, y, whole; received ('kind',)"),
    ],
)
def test_wrong_options_are_one_sentence(options, words):
    with pytest.raises(SearchError) as caught:
        oracle(**options)
    assert words in str(caught.value)
    with pytest.raises(SearchError, match="ready is of the oracle pbt only; received the oracle 'random' with 2"):
        tuning.make_oracle("random", objective=MIN, hyperparameters=None, trials=1, epochs=1, seed=0, ready=2)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ready", 2], "ready is for the oracle pbt alone; received ready 2 with the oracle 'quasirandom'"),
        (["--oracle", "pbt", "--ready", 9], "ready must be at most the epochs of each member, 2; received 9"),
        (["--oracle", "pbt", "--factor", 2], "factor is for the oracles hyperband and asha alone"),
        (["--oracle", "pbt", "--schedule", "cosine"], "The oracle pbt finds a schedule itself: leave out schedule"),
        (["--oracle", "pbt", "--pruner", "median"], "Population based training stops trials itself and takes no pruner"),
        (["--oracle", "pbt", "--sampler", "tpe"], "A sampler is chosen for optuna and asha only"),
        (
            ["--oracle", "pbt", "--search", "learning_rate=0.1,0.01", "--fix", "beta_1=0.9", "--fix", "beta_2=0.9"],
            "none is searched",
        ),
        (["--oracle", "pbt", "--callbacks", "tiny_problem:callbacks"], "as callbacks may have a state of their own"),
    ],
)
def test_what_the_command_refuses_is_one_sentence(words, said, command, tiny, tmp_path):
    with open(tmp_path / "tiny_problem.py", "a") as file:
        file.write("\n\ndef callbacks():\n    return keras.callbacks.TerminateOnNaN()\n")
    status, _, stderr = command("tune", "adam", "--problem", tiny, "--directory", "out", *words)
    assert status == 2
    assert said in one_sentence(stderr)
    assert not os.path.exists("out/search.sqlite")
