"""With what a search begins: the declared defaults, settings that a person names, and what an earlier search has found."""

import json

import keras_tuner
import pytest

import tuning
from tests.tuning.conftest import JIT, load, one_sentence
from tests.tuning.hand_made import make_search, setting
from tests.tuning.test_comparison import compare, problem
from tests.tuning.test_continuing import Pretended, same
from tuning import SearchError
from tuning.results.search import SearchResult
from tuning.results.worth import places
from tuning.space import given
from tuning.space.structure import Structure
from tuning.training.events import EpochEnded

MIN = keras_tuner.Objective("val_loss", "min")
ORACLES = ("random", "quasirandom", "grid", "hyperband", "asha", "bayesian", "optuna", "cmaes")
FIRST = [{"x": 0.5, "y": 0.25}, {"x": 0.125, "y": 0.75}]


class One(Pretended):
    """As `Pretended`, where the oracle says no epochs."""

    def run(self, source, trainer, run_trial):
        if hasattr(source.oracle, "max_epochs"):
            super().run(source, trainer, run_trial)
            return
        while (trial := source.next_trial("seat")) is not None:
            values, number = trial.hyperparameters.values, int(trial.trial_id)
            score = (values["x"] - 0.3) ** 2 + values["y"]
            source.record(EpochEnded(number, 0, 0, {"val_loss": score}))
            if number == self.ends_after:
                raise KeyboardInterrupt
            source.trial_done(trial, [{"val_loss": score}])


def search(directory, name, trials=9, engine=None, **options):
    space = keras_tuner.HyperParameters()
    for axis in ("x", "y"):
        space.merge([tuning.SearchAxis(axis, 0.0, 1.0, points=3, default=0.0)])
    oracle, sampler = ("optuna", "cmaes") if name == "cmaes" else (name, None)
    asked = {"objective": MIN, "hyperparameters": space, "trials": trials, "epochs": 9, "seed": 4, "sampler": sampler}
    made = tuning.make_oracle(oracle, **asked, **options)
    tuner = tuning.Tuner(made, lambda hp: None, directory=str(directory), project_name="s", engine=engine or One())
    tuner.search(verbose=0, epochs=1)
    return SearchResult.load(tuner.project_dir)


def settings(result):
    return [trial.hyperparameters for trial in result.trials]


@pytest.mark.parametrize("name", ORACLES)
def test_every_oracle_begins_with_them_tries_nothing_twice_and_goes_on_after_a_kill(name, tmp_path):
    whole = search(tmp_path / "whole", name, first=FIRST)
    assert settings(whole)[:2] == FIRST
    if name not in ("hyperband", "asha"):
        distinct = {json.dumps(each, sort_keys=True) for each in settings(whole)}
        assert len(distinct) == len(whole.trials) == 9
    for ends_after in (4,) if name == "bayesian" else (0, 1, 4):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / f"{ends_after}", name, first=FIRST, engine=One(ends_after=ends_after))
        assert same(search(tmp_path / f"{ends_after}", name, first=FIRST), whole)


@pytest.mark.parametrize("name", ["random", "quasirandom"])
def test_what_an_oracle_draws_stays_the_same(name, tmp_path):
    alone = search(tmp_path / "alone", name, trials=7)
    assert settings(search(tmp_path / "first", name, first=FIRST))[2:] == settings(alone)


def test_points_of_a_grid_that_were_tried_are_passed_over(tmp_path):
    """Its others come in KerasTuner's order, as in stores that were written by its oracle."""
    whole = search(tmp_path / "known", "grid", trials=9)
    theirs = keras_tuner.oracles.GridSearchOracle(MIN, 9, hyperparameters=whole_space())
    assert settings(whole) == drawn(theirs, 9)
    on_grid = search(tmp_path / "first", "grid", trials=9, first=[settings(whole)[4]])
    assert settings(on_grid) == [settings(whole)[4], *settings(whole)[:4], *settings(whole)[5:]]
    assert on_grid.ended["by"] == "trials"


def whole_space():
    space = keras_tuner.HyperParameters()
    for axis in ("x", "y"):
        space.merge([tuning.SearchAxis(axis, 0.0, 1.0, points=3, default=0.0)])
    return space


def drawn(oracle, count):
    oracle.save = lambda: None
    oracle._save_trial = lambda trial: None
    oracle.verbose = 0
    found = []
    for _ in range(count):
        trial = oracle.create_trial("tuner")
        found.append(trial.hyperparameters.values)
        oracle.update_trial(trial.trial_id, {"val_loss": 0.0})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return found


@pytest.mark.parametrize(("name", "epochs"), [("hyperband", 75), ("asha", None)])
def test_with_successive_halving_they_train_all_epochs_beside_the_schedule(name, epochs, tmp_path):
    alone = search(tmp_path / "alone", name, trials=None)
    result = search(tmp_path / "first", name, trials=None, first=FIRST)
    assert [trial.epochs for trial in result.trials[:2]] == [9, 9]
    assert result.epochs_trained == (epochs or alone.epochs_trained) + 2 * 9
    assert settings(result)[2:] == settings(alone)


def test_an_optuna_sampler_knows_earlier_trials_and_goes_on_with_them(tmp_path):
    earlier = [({"x": 0.3 + 0.01 * i, "y": 0.05 * i}, 0.05 * i) for i in range(12)] + [({"x": 0.9}, float("inf"))]
    told = search(tmp_path / "told", "optuna", trials=6, earlier=earlier)
    alone = search(tmp_path / "alone", "optuna", trials=6)
    distances = [sum(values["y"] for values in settings(each)) for each in (told, alone)]
    assert distances[0] < distances[1]
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut", "optuna", trials=6, earlier=earlier, engine=One(ends_after=3))
    assert same(search(tmp_path / "cut", "optuna", trials=6, earlier=earlier), told)


# -- the settings ---------------------------------------------------------------------------------


def test_the_declared_defaults_of_all_optimizers_are_a_setting():
    import keras_optims

    found = {name: given.defaults(tuning.Space.of(name), Structure(), 32) for name in keras_optims.OPTIMIZERS}
    assert {name: each.missing for name, each in found.items() if each.missing} == {}
    assert {name: each.outside for name, each in found.items() if each.outside} == {
        "adadelta": ("learning_rate 0.001",),
        "muon": ("weight_decay 0.004",),
        "sgd": ("momentum 0.0",),
    }
    assert found["sgd"].values["momentum"] == 0.0
    adam = given.defaults(tuning.Space.of("adam", {"amsgrad": None, "batch_size": [16, 32]}), Structure(), 32)
    assert adam.values == {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "amsgrad": False, "batch_size": 32}


def test_of_several_optimizers_it_is_the_first_one_and_what_depends_on_it():
    space = tuning.Space.of(["momentum", "adam"], fix={"adam.beta_1": 0.5})
    values = given.defaults(space, Structure(), 32).values
    assert values["optimizer"] == "momentum"
    assert set(values) == {"optimizer", *(name for name in space.axes if name.startswith("momentum."))}
    assert given.named(space, Structure(), 32, {"optimizer": "adam", "learning_rate": 0.01}) == {
        "optimizer": "adam",
        "adam.learning_rate": 0.01,
        "adam.beta_2": 0.999,
    }


def test_of_an_earlier_setting_that_is_taken_which_this_space_would_have_too():
    space = tuning.Space.of(["momentum", "adam"])
    both, _ = given.shared(space, space.get_config())
    earlier = {"optimizer": "adam", "adam.learning_rate": 0.01, "momentum.momentum": 0.9, "adam.beta_2": 7.0}
    assert set(both) == set(space.axes)
    assert given.in_both(space, earlier, both) == {"optimizer": "adam", "adam.learning_rate": 0.01}


def test_defaults_outside_of_what_is_searched_are_left_out():
    space = tuning.Space.of("adam", {"learning_rate": (0.01, 0.1), "clipnorm": (0.1, 1.0)})
    assert given.defaults(space, Structure(), 32).missing == (
        "the default of learning_rate, 0.001, is outside of what is searched",
        "the default of clipnorm, None, is outside of what is searched",
    )
    scheduled = tuning.Space.of("adam", {"warmup": None, "final": None}, schedule="cosine")
    assert given.defaults(scheduled, Structure(), 32).missing == ("the default of final, 0.0, is outside of what is searched",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"gamma": 1}, "start_with names what is searched: learning_rate, beta_1, beta_2; received 'gamma'"),
        ({"beta1": 0.9}, "Did you mean beta_1?"),
        ({"learning_rate": "high"}, "learning_rate must be a number from 1e-05 to 0.1, as that is searched; received 'high'"),
        ({"learning_rate": 7}, "learning_rate must be a number from"),
    ],
)
def test_wrong_words_are_one_sentence(words, said):
    space = tuning.Space.of("adam", {"learning_rate": (1e-5, 0.1, "log")})
    with pytest.raises(SearchError) as caught:
        given.named(space, Structure(), 32, words)
    assert said in str(caught.value)


# -- was tuning worth it? -------------------------------------------------------------------------

DEFAULTS = {"first": [{"of": "defaults", "values": setting(0)}]}


def test_a_difference_of_single_trainings_is_not_called_one(tmp_path):
    found = tuning.worth(SearchResult.load(make_search(tmp_path / "s", config=DEFAULTS, executions=1)))
    assert found.confirmed is None
    assert found.difference > 0
    assert "one training each, and the best of 16 trials, so no difference is confirmed" in found.text
    assert tuning.worth(SearchResult.load(make_search(tmp_path / "without"))) is None


@pytest.mark.parametrize(
    ("state", "words"),
    [("diverged", "the declared defaults diverge, and the best setting reached"), ("failed", "the declared defaults fail, and")],
)
def test_defaults_that_reach_nothing_are_told(state, words, tmp_path):
    result = SearchResult.load(make_search(tmp_path / "s", (state, "completed"), config=DEFAULTS))
    assert tuning.worth(result).text.startswith(words)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (("diverged", "failed"), "none of 2 other trials was better than the declared defaults, with val_accuracy"),
        (("diverged",), "the other trial was not better than"),
        (("running",), "no other trial is better than"),
    ],
)
def test_that_the_defaults_are_the_best_is_said(others, words, tmp_path):
    result = SearchResult.load(make_search(tmp_path / "s", ("completed", *others), config=DEFAULTS))
    assert tuning.worth(result).text.startswith(words)
    assert tuning.worth(result).difference == 0


@pytest.mark.parametrize(("gap", "confirmed"), [(0.1, True), (0.0, False), (-0.1, True)])
def test_only_fresh_seeds_confirm_a_difference(gap, confirmed, tmp_path):
    result = SearchResult.load(make_search(tmp_path / "s", config=DEFAULTS))
    scores = (0.7 + gap, 0.7)
    for place, trial, score in zip(places(result.directory), (result.best, result.trials[0]), scores, strict=True):
        config = {"confirms": trial.hyperparameters, "epochs": trial.epochs}
        make_search(place, ("completed",) * 5, config, values=trial.hyperparameters, executions=1, score=score)
        spread(place, score)
    found = tuning.worth(SearchResult.load(tmp_path / "s"))
    assert found.confirmed is confirmed
    assert found.difference == pytest.approx(gap, abs=0.01)
    words = {0.1: "the best setting is better than", 0.0: "no difference is confirmed", -0.1: "the declared defaults are better"}
    assert words[gap] in found.text
    assert "5 trainings each" in found.text


def test_trainings_with_fresh_seeds_of_another_setting_confirm_nothing(tmp_path):
    result = SearchResult.load(make_search(tmp_path / "s", config=DEFAULTS))
    for place, trial in zip(places(result.directory), (result.trials[1], result.trials[0]), strict=True):
        config = {"confirms": trial.hyperparameters, "epochs": trial.epochs}
        make_search(place, ("completed",) * 5, config, values=trial.hyperparameters, executions=1, score=0.7)
    assert result.best is not result.trials[1]
    found = tuning.worth(result)
    assert found.confirmed is None
    assert "one training" in found.text or "trainings each, and the best of" in found.text


def spread(place, score):
    """Gives each training a score of its own."""
    with tuning.Store.open(place) as store, store._transaction():
        shift = 0.003 if place.name.endswith("defaults") else 0.0
        for number in range(5):
            value = score + 0.01 * ((number * 7 + (number % 2) * 100 * shift) % 3 - 1)
            store._connection.execute("UPDATE trials SET score = ? WHERE number = ?", (value, number))
            store._connection.execute("UPDATE executions SET score = ? WHERE trial = ?", (value, number))


# -- from the outside -----------------------------------------------------------------------------


def tune(command, *arguments, status=0):
    got, stdout, stderr = command("tune", "adam", "--directory", "out", "--jit", JIT, "--epochs", 1, "--json", *arguments)
    assert got == status, stderr
    return (load(stdout) if status == 0 else None), stderr


@pytest.mark.backend("tensorflow")
def test_the_command_begins_with_them_and_says_whether_tuning_was_worth_it(command, tiny):
    where = ("--problem", tiny)
    result, stderr = tune(command, *where, "--trials", 3, "--start-with", "learning_rate=0.05,beta_1=0.5")
    first, second, third = (trial["hyperparameters"] for trial in result["trials"])
    assert first == {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999}
    assert second == {"learning_rate": 0.05, "beta_1": 0.5, "beta_2": 0.999}
    assert f"Was tuning worth it? {result['worth']['text'].capitalize()[0]}" in stderr
    assert f"was tuning worth it? {result['worth']['text']}" in command("show", "out")[1]
    command("report", "out")
    with open("out/report.html", encoding="utf-8") as page:
        assert "Was tuning worth it?" in page.read()
    more, _ = tune(command, *where, "--trials", 4)  # it goes on with what it began with
    assert more["trials"][:3] == result["trials"]
    for other in (("--no-defaults-first",), ("--start-with", "beta_1=0.6")):
        _, stderr = tune(command, *where, "--trials", 4, *other, status=2)
        assert "it differs in first" in one_sentence(stderr)
    confirmed, stderr = tune(command, *where, "--trials", 4, "--confirmations", 2)
    assert confirmed["worth"]["confirmed"] in (True, False) or confirmed["worth"]["difference"] == 0
    for place in ("out-confirmation", "out-confirmation-of-defaults"):
        assert len(SearchResult.load(place).trials) == 2
    assert third not in (first, second)


@pytest.mark.backend("tensorflow")
def test_a_search_that_began_without_them_goes_on_without_them(command, tiny):
    result, _ = tune(command, "--problem", tiny, "--trials", 1, "--no-defaults-first")
    assert "first" not in result["config"]
    assert result["worth"] is None
    more, _ = tune(command, "--problem", tiny, "--trials", 2)
    assert more["trials"][0] == result["trials"][0]
    assert "first" not in more["config"]
    _, stderr = tune(command, "--problem", tiny, "--trials", 1, "--fresh", "--search", "learning_rate=0.01:0.1")
    assert "the declared defaults are no trial, as the default of learning_rate, 0.001, is outside" in stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--start-with", "gamma=1"), "received 'gamma'"),
        (("--start-with", "beta_1"), "--start-with takes NAME=VALUE,NAME=VALUE, each name once; received 'beta_1'"),
        (("--warm-start", "nowhere"), "There is no search in nowhere"),
    ],
)
def test_wrong_beginnings_are_one_sentence(arguments, words, command, tiny):
    _, stderr = tune(command, "--problem", tiny, *arguments, status=2)
    assert words in one_sentence(stderr)


@pytest.mark.backend("tensorflow")
def test_an_earlier_search_informs_another_one(tmp_path):
    options = {"epochs": 1, "jit": JIT, "progress": False}
    earlier = tuning.search("adam", problem(), trials=3, directory=tmp_path / "earlier", **options)
    narrow = {"search": {"epsilon": (1e-8, 1e-6, "log")}, "fix": {"beta_2": 0.99}, "warm_start": tmp_path / "earlier"}
    best = earlier.best.hyperparameters
    result = tuning.search("adam", problem(), trials=2, directory=tmp_path / "next", **narrow, **options)
    wanted = {"learning_rate": best["learning_rate"], "beta_1": best["beta_1"], "epsilon": 1e-7}
    assert wanted in settings(result)
    note = result.config["warm_start"]["note"]
    assert note.startswith(f"the best setting of {tmp_path / 'earlier'} (trial {earlier.best.number}) is one of the first trials")
    assert note.endswith("; only one of the two searches has epsilon, beta_2")
    told = tuning.search("adam", problem(), trials=1, directory=tmp_path / "told", oracle="optuna", **narrow, **options)
    assert [score for _, score in told.config["warm_start"]["told"]] == [trial.score for trial in earlier.trials]
    assert settings(told)[0] == {"learning_rate": 0.001, "beta_1": 0.9, "epsilon": 1e-7}
    (tmp_path / "earlier" / "search.sqlite").unlink()  # what it told is in the store
    again = {**narrow, "warm_start": tmp_path / "earlier"}
    assert (
        len(tuning.search("adam", problem(), trials=2, directory=tmp_path / "told", oracle="optuna", **again, **options).trials)
        == 2
    )
    with pytest.raises(SearchError, match="warm_start is for a search alone"):
        compare(tmp_path / "compared", warm_start=tmp_path / "next")
