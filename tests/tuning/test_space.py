"""What is searched, and on which scale."""

import json

import keras
import keras_tuner
import numpy as np
import pytest
from keras.optimizers.schedules import CosineDecay

import keras_optims
from keras_optims.hyperparameter import SearchRange
from tuning import SearchError, Space
from tuning.names import ORACLES
from tuning.oracles import make_oracle
from tuning.space.hyperparameters import SearchAxis
from tuning.space.text import parse_fix, parse_search


def axis(scale, low, high, points=10):
    return SearchAxis("x", low, high, scale, points)


@pytest.mark.parametrize(("scale", "low", "high"), [("linear", -1.0, 2.0), ("log", 1e-5, 1.0), ("log1m", 0.5, 0.9999)])
def test_samples_are_uniform_on_their_scale(scale, low, high):
    position = {"linear": lambda x: x, "log": np.log, "log1m": lambda x: -np.log1p(-x)}[scale]
    samples = np.array([axis(scale, low, high).random_sample(seed) for seed in range(20_000)])
    assert samples.min() >= low
    assert samples.max() <= high
    uniform = np.sort((position(samples) - position(low)) / (position(high) - position(low)))
    # The Kolmogorov-Smirnov distance, whose 99.9 % quantile is 1.95 / sqrt(n).
    assert np.abs(uniform - np.linspace(0, 1, len(uniform))).max() < 1.95 / np.sqrt(len(uniform))


def test_log1m_is_not_the_reverse_log_of_kerastuner():
    ours = axis("log1m", 0.9, 0.9999).prob_to_value(0.5)
    assert 1 - ours == pytest.approx(np.sqrt(0.1 * 0.0001), rel=1e-4)  # halfway between 1e-1 and 1e-4, in orders of magnitude


@pytest.mark.parametrize(("scale", "low", "high"), [("linear", -1.0, 2.0), ("log", 1e-5, 1.0), ("log1m", 0.0, 0.9999)])
def test_values_and_their_places_invert_each_other(scale, low, high):
    for place in (0.0, 0.1, 0.5, 0.987, 1.0):
        value = axis(scale, low, high).prob_to_value(place)
        assert axis(scale, low, high).value_to_prob(value) == pytest.approx(place, abs=1e-5)
    assert axis(scale, low, high).prob_to_value(0.0) == low
    assert axis(scale, low, high).prob_to_value(1.0) == high


@pytest.mark.parametrize(("scale", "low", "high"), [("linear", 0.0, 1.0), ("log", 1e-5, 1.0), ("log1m", 0.5, 0.99999)])
def test_sampled_values_are_short_and_print_as_what_they_are(scale, low, high):
    for seed in range(200):
        value = axis(scale, low, high).random_sample(seed)
        assert len(repr(value)) <= 15
        near = 1 - value if scale == "log1m" else value
        assert near == pytest.approx(float(f"{near:.6g}"), rel=1e-9)


def test_an_axis_survives_what_kerastuner_does_with_it():
    hp = keras_tuner.HyperParameters()
    hp.merge([axis("log1m", 0.5, 0.99, 4)])
    copy = keras_tuner.HyperParameters.from_config(json.loads(json.dumps(hp.copy().get_config())))
    assert isinstance(copy.space[0], SearchAxis)
    assert copy.space[0].get_config() == axis("log1m", 0.5, 0.99, 4).get_config()


@pytest.mark.parametrize("name", keras_optims.OPTIMIZERS)
def test_the_default_space_is_what_the_optimizer_declares(name):
    space = Space.of(name)
    declared = keras_optims.OPTIMIZERS[name].hyperparameters()
    expected = {key: value.search for key, value in declared.items() if value.search and value.search.by_default}
    found = {key: SearchRange(axis.low, axis.high, axis.scale) for key, axis in space.axes.items()}
    assert found == expected
    assert "learning_rate" in space.axes or name == "prodigy"  # which finds it itself
    middle = {axis.name: axis.prob_to_value(0.5) for axis in space.hyperparameters().space}
    optimizer = space.build(middle)
    for key, value in middle.items():
        assert float(getattr(optimizer, key)) == pytest.approx(value, rel=1e-6)


def test_what_only_keeps_a_division_finite_is_not_searched_unless_asked():
    assert list(Space.of("adam").axes) == ["learning_rate", "beta_1", "beta_2"]
    assert list(Space.of("adam", search={"epsilon": None}).axes) == ["learning_rate", "beta_1", "beta_2", "epsilon"]


def test_search_and_fix_change_the_space():
    space = Space.of("adam", search={"learning_rate": (1e-3, 1e-2), "epsilon": None}, fix={"beta_2": 0.99, "amsgrad": True})
    assert list(space.axes) == ["learning_rate", "beta_1", "epsilon"]
    assert (space.axes["learning_rate"].low, space.axes["learning_rate"].scale) == (1e-3, "log")
    assert space.fixed == {"beta_2": 0.99, "amsgrad": True}
    config = space.build({"learning_rate": 0.002, "beta_1": 0.8, "epsilon": 1e-5}).get_config()
    assert (config["learning_rate"], config["beta_1"], config["beta_2"]) == (0.002, 0.8, 0.99)
    assert config["amsgrad"] is True


def test_a_class_of_ones_own_is_tunable():
    class Mine(keras_optims.Momentum):
        pass

    assert list(Space.of(Mine).axes) == ["learning_rate", "momentum"]


@pytest.mark.parametrize(
    ("search", "fix", "words"),
    [
        ({"beta_3": (0.1, 0.2)}, {}, ["beta_3", "learning_rate, beta_1"]),
        ({"amsgrad": (0.0, 1.0)}, {}, ["amsgrad", "option"]),
        ({"beta_1": (0.5, 1.0)}, {}, ["beta_1", "HIGH < 1"]),
        ({"beta_1": (0.5, 1.0, "linear")}, {}, ["beta_1", "[0, 1)", "1.0"]),
        ({"learning_rate": (0.0, 1.0)}, {}, ["learning_rate", "LOW > 0"]),
        ({"learning_rate": (0.1, 0.01)}, {}, ["learning_rate", "LOW < HIGH"]),
        ({"learning_rate": (0.1, float("nan"))}, {}, ["learning_rate", "LOW < HIGH"]),
        ({"learning_rate": (0.1, 0.2, "cubic")}, {}, ["linear, log, log1m", "cubic"]),
        ({"learning_rate": 0.1}, {}, ["learning_rate", "(low, high)", "0.1"]),
        ({"learning_rate": [0.1, -1.0]}, {}, ["learning_rate", "[0, ∞)", "-1.0"]),
        ({"learning_rate": [0.1]}, {}, ["learning_rate", "at least two", "[0.1]"]),
        ({"learning_rate": [0.1, 0.1]}, {}, ["learning_rate", "each once", "[0.1, 0.1]"]),
        ({"learning_rate": [0.1, "b"]}, {}, ["learning_rate", "number", "'b'"]),
        ({"amsgrad": [True, 2]}, {}, ["amsgrad", "True or False", "2"]),
        ({"clip_mode": None}, {}, ["clip_mode cannot be searched"]),
        ({"momentum.beta_1": None}, {}, ["momentum.beta_1", "adam has learning_rate"]),
        ({"batch_size": None}, {}, ["batch_size=16,32,64"]),
        ({"batch_size": (0, 8)}, {}, ["batch_size", "at least 1"]),
        ({"batch_size": [16, 32]}, {"batch_size": 16}, ["not both", "batch_size"]),
        ({}, {"batch_size": 1.5}, ["batch_size", "at least 1", "1.5"]),
        ({"learning_rate": ("a", "b")}, {}, ["numbers", "'a'"]),
        ({"clipnorm": None}, {}, ["clipnorm", "no search range"]),
        ({}, {"beta_1": 1.5}, ["beta_1", "[0, 1)", "1.5"]),
        ({}, {"amsgrad": "perhaps"}, ["amsgrad", "perhaps"]),
        ({}, {"gamma": 0.9}, ["gamma", "learning_rate, beta_1"]),
        ({}, {"learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.9}, ["Nothing is left"]),
        ({"beta_1": (0.5, 0.9)}, {"beta_1": 0.9}, ["not both", "beta_1"]),
        ({}, {"clipnorm": 1.0, "clipvalue": 1.0}, ["Adam does not accept the fixed values", "clipvalue"]),
        ({"ema_overwrite_frequency": None}, {}, ["ema_overwrite_frequency has no usual values", "=VALUE,VALUE"]),
        ({"learning_rate": [0.1, CosineDecay(0.1, 9)]}, {}, ["learning_rate can be a number only", "CosineDecay"]),
        ({}, {"learning_rate": CosineDecay(0.1, 9)}, ["learning_rate can be fixed to a number only", "CosineDecay"]),
    ],
)
def test_a_wrong_space_is_one_clear_sentence(search, fix, words):
    with pytest.raises(SearchError) as raised:
        Space.of("adam", search, fix)
    for word in words:
        assert word in str(raised.value)
    assert "\n" not in str(raised.value)


def test_values_of_an_optimizer_of_keras_are_checked_as_far_as_is_known():
    class Own(keras.optimizers.SGD):
        def __init__(self, learning_rate=0.01, strength=0.5, bold=False, **kwargs):
            super().__init__(learning_rate, **kwargs)

    assert Space.of(Own, fix={"strength": 2, "bold": True}).fixed == {"strength": 2, "bold": True}
    for fix, words in (({"strength": "much"}, "strength must be a number; received 'much'"), ({"bold": 1}, "bold must be True")):
        with pytest.raises(SearchError, match=words):
            Space.of(Own, fix=fix)


def test_a_setting_to_confirm_has_a_value_of_each_axis():
    space = Space.of("adam", fix={"beta_1": 0.9})
    space.check_setting({"learning_rate": 0.1, "beta_2": 0.9})
    for values in ({"learning_rate": 0.1}, {"learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.9}):
        with pytest.raises(SearchError, match="A setting to confirm has values of learning_rate, beta_2; received"):
            space.check_setting(values)


def test_axes_and_fixed_values_are_written_as_text():
    assert parse_search("learning_rate=1e-4:1:log") == ("learning_rate", (1e-4, 1.0, "log"))
    assert parse_search("beta_1=0.5:0.9") == ("beta_1", (0.5, 0.9))
    assert parse_search("epsilon") == ("epsilon", None)
    assert parse_fix("nesterov=true") == ("nesterov", True)
    assert parse_fix("gradient_accumulation_steps=4") == ("gradient_accumulation_steps", 4)
    assert parse_fix("beta_1=0.5") == ("beta_1", 0.5)
    assert parse_fix("weight_decay=none") == ("weight_decay", None)
    for text in ("", "=1:2", "x=1", "x=1:2:log:3", "x=a:b"):
        with pytest.raises(SearchError, match="NAME=LOW:HIGH"):
            parse_search(text)
    for text in ("", "x", "x=", "=1"):
        with pytest.raises(SearchError, match="NAME=VALUE"):
            parse_fix(text)


@pytest.mark.parametrize(
    ("trials", "expected"), [(1, [1, 1, 1]), (8, [2, 2, 2]), (12, [3, 2, 2]), (16, [3, 2, 2]), (27, [3, 3, 3])]
)
def test_a_grid_is_the_finest_that_the_budget_allows(trials, expected):
    assert list(Space.of("adam").grid_points(trials).values()) == expected


# -- oracles --------------------------------------------------------------------------------------


def draw(name, seed=0, trials=8, space=None, score=lambda values: values["learning_rate"], resume_at=None):
    """The settings that an oracle proposes, told a score for each; optionally saved, and restored in a new oracle, midway."""
    space = space or Space.of("adam")

    def make():
        points = space.grid_points(trials) if name == "grid" else None
        return make_oracle(
            name,
            objective=keras_tuner.Objective("val_loss", "min"),
            hyperparameters=space.hyperparameters(points),
            trials=trials,
            epochs=4,
            seed=seed,
        )

    def quiet(oracle):
        oracle.verbose = 0
        oracle.save = lambda: None
        oracle._save_trial = lambda trial: None
        return oracle

    oracle, drawn = quiet(make()), []
    while True:
        if len(drawn) == resume_at:
            state = json.loads(json.dumps(oracle.get_state()))
            records = [json.loads(json.dumps(trial.get_state())) for trial in oracle.trials.values()]
            oracle = quiet(make())
            for record in records:
                trial = keras_tuner.engine.trial.Trial.from_state(record)
                oracle.trials[trial.trial_id] = trial
            oracle.set_state(state)
            resume_at = None
        trial = oracle.create_trial("here")
        if trial.status == "STOPPED":
            return drawn
        drawn.append(trial.hyperparameters.values)
        oracle.update_trial(trial.trial_id, {"val_loss": score(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


@pytest.mark.parametrize("name", ORACLES)
def test_an_oracle_stays_in_the_space_and_ends(name):
    drawn = draw(name)
    assert len(drawn) == 8
    for values in drawn:
        assert 1e-4 <= values["learning_rate"] <= 1e-1
        assert 0.5 <= values["beta_1"] <= 0.98
        assert 0.9 <= values["beta_2"] <= 0.9999


@pytest.mark.parametrize("name", ORACLES)
def test_seed_0_is_a_seed(name):
    assert draw(name, seed=0) == draw(name, seed=0)


@pytest.mark.parametrize("name", ["random", "quasirandom", "hyperband", "bayesian"])
def test_other_seeds_propose_others_and_share_nothing(name):
    first, second = ([values["learning_rate"] for values in draw(name, seed=seed, trials=6)] for seed in (0, 1))
    assert not set(first) & set(second)


@pytest.mark.parametrize(
    "name", ["random", "quasirandom", "grid", "hyperband", "optuna", pytest.param("bayesian", marks=pytest.mark.slow)]
)
def test_an_oracle_that_was_saved_and_restored_goes_on_as_if_nothing_had_been(name):
    undisturbed = draw(name, trials=12)
    for moment in (1, 5, 10):
        assert draw(name, trials=12, resume_at=moment) == undisturbed


def test_the_grid_is_complete():
    drawn = draw("grid", trials=12)
    assert len(drawn) == 12
    assert len({json.dumps(values, sort_keys=True) for values in drawn}) == 12
    assert sorted({values["learning_rate"] for values in drawn}) == [1e-4, 0.00316228, 1e-1]
    assert sorted({values["beta_1"] for values in drawn}) == [0.5, 0.98]


def test_quasirandom_fills_every_axis_evenly():
    for name in ("learning_rate", "beta_1"):
        values = [trial[name] for trial in draw("quasirandom", trials=16)]
        axis = next(axis for axis in Space.of("adam").hyperparameters().space if axis.name == name)
        sixteenths = sorted(int(axis.value_to_prob(value) * 16) for value in values)
        assert sixteenths == list(range(16))  # one in each: what a Sobol sequence of a power of two has and chance has not


def test_hyperband_trains_few_settings_long_and_never_promotes_a_diverged_one():
    def score(values):
        return float("inf") if values["learning_rate"] > 3e-2 else values["learning_rate"]

    drawn = draw("hyperband", trials=40, score=score)
    promoted = [values for values in drawn if values["tuner/round"] > 0]
    assert promoted
    assert {values["tuner/epochs"] for values in drawn} == {2, 4}
    sound = [values for values in promoted if values["learning_rate"] <= 3e-2]
    assert len(sound) == len(promoted)


@pytest.mark.slow
def test_the_gaussian_process_learns_from_divergence():
    def score(values):
        return float("inf") if values["learning_rate"] > 1e-3 else -values["learning_rate"]

    drawn = draw("bayesian", trials=20, score=score)
    late = [values["learning_rate"] for values in drawn[12:]]
    assert np.mean(np.array(late) > 1e-3) < 0.7


def test_an_exhausted_space_ends_the_search():
    space = Space.of("adam", search={"learning_rate": (0.1, 0.1000001)}, fix={"beta_1": 0.9, "beta_2": 0.99})
    assert 1 <= len(draw("random", trials=50, space=space)) <= 3
    assert 1 <= len(draw("quasirandom", trials=50, space=space)) <= 3


def test_an_unknown_oracle_is_an_error():
    with pytest.raises(SearchError, match="random, quasirandom, grid, hyperband, asha, pbt, bayesian"):
        draw("psychic")


def test_a_long_quasirandom_search_keeps_its_place():
    assert draw("quasirandom", trials=30, resume_at=25) == draw("quasirandom", trials=30)


@pytest.mark.parametrize("seed", range(3))
def test_quasirandom_does_not_couple_choices(seed):
    options = ("amsgrad", "cautious", "use_ema", "lazy")  # after 4 numbers, in whose dimensions a plain sequence couples two
    space = Space.of("adam", {"epsilon": (1e-9, 1e-6, "log")} | dict.fromkeys(options))
    drawn = draw("quasirandom", seed, trials=16, space=space)
    for count in (8, 16):
        columns = [[values[name] for values in drawn[:count]] for name in options]
        assert all(sum(column) == count / 2 for column in columns)
        for i, one in enumerate(columns):
            for other in columns[:i]:
                assert len(set(zip(one, other, strict=True))) == 4
