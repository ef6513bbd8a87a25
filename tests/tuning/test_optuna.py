"""Optuna's samplers as an oracle: what they see, what they are told, and that a search goes on where it was."""

import json
import math
import pickle

import keras_tuner
import optuna
import pytest
from keras_tuner.engine.trial import Trial

import tuning
from tests.tuning.conftest import one_sentence
from tuning import SearchError
from tuning.oracles.cmaes_state import check_only_cmaes
from tuning.oracles.optuna import OptunaOracle

pytestmark = pytest.mark.backend("tensorflow")  # nothing in here depends on the backend


def every_kind():
    hp = keras_tuner.HyperParameters()
    tuning.Space.of("adam").declare(hp)
    hp.Int("units", 4, 64)
    hp.Int("log_int", 2, 512, sampling="log")
    hp.Int("log_steps", 2, 32, step=2, sampling="log")
    hp.Int("reverse_int", 2, 300, sampling="reverse_log")
    hp.Float("steps", 0, 1, step=0.25)
    hp.Float("log", 1e-4, 1, sampling="log")
    hp.Float("reverse", 1e-4, 1, sampling="reverse_log")
    hp.Choice("kind", ["a", "b", "z"])
    hp.Choice("ordered", [1, 5, 9])
    hp.Boolean("flag")
    hp.Fixed("fixed", 3)
    with hp.conditional_scope("kind", ["a"]):
        hp.Float("only_a", 0, 1)
    with hp.conditional_scope("kind", ["b", "z"]):
        hp.Int("not_a", 5, 9)
    return hp


def plane():
    hp = keras_tuner.HyperParameters()
    for name in ("x", "y"):
        hp.merge([tuning.SearchAxis(name, 0.0, 1.0)])
    return hp


def make(sampler="tpe", space=every_kind, trials=30, direction="min", **kwargs):
    oracle = OptunaOracle(
        sampler,
        objective=keras_tuner.Objective("score", direction),
        hyperparameters=space(),
        max_trials=trials,
        seed=3,
        tune_new_entries=False,
        allow_new_entries=False,
        **kwargs,
    )
    oracle.verbose = 0
    oracle.save = lambda: None
    oracle._save_trial = lambda trial: None
    return oracle


def begin(oracle, worker="worker"):
    return oracle.create_trial(worker)


def end(oracle, trial, score, status="COMPLETED"):
    if status == "COMPLETED":
        oracle.update_trial(trial.trial_id, {"score": score})
    trial.status = status
    oracle.end_trial(trial)


def loss(values):
    """Of `every_kind` or `plane`; some diverge."""
    if "x" in values:
        return math.inf if values["x"] > 0.95 else (values["x"] - 0.2) ** 2 + (values["y"] - 0.7) ** 2
    if values["units"] > 58:
        return math.inf
    return (values["steps"] - 0.5) ** 2 + {"a": 0.0, "b": 1.0, "z": 0.5}[values["kind"]] - values["learning_rate"]


def trials_of(oracle, score=loss):
    proposed = []
    while (trial := begin(oracle)).status == "RUNNING":
        proposed.append(dict(trial.hyperparameters.values))
        end(oracle, trial, score(trial.hyperparameters.values))
    return proposed


def restarted(oracle, **kwargs):
    """The oracle after its state has been written and read."""
    state, records = json.loads(json.dumps([oracle.get_state(), [each.get_state() for each in oracle.trials.values()]]))
    fresh = make(**kwargs)
    for record in records:
        trial = Trial.from_state(record)
        fresh.trials[trial.trial_id] = trial
    fresh.set_state(state)
    return fresh


SAMPLERS = {
    "tpe": lambda: "tpe",
    "cmaes": lambda: "cmaes",
    "of one's own": lambda: optuna.samplers.NSGAIISampler(population_size=5),
    "quasirandom": lambda: optuna.samplers.QMCSampler(),
}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_follow_from_the_seed_and_the_trials_so_far(name):
    space = plane if name == "cmaes" else every_kind
    whole = trials_of(make(SAMPLERS[name](), space))
    assert trials_of(make(SAMPLERS[name](), space, direction="max"), lambda values: -loss(values)) == whole
    oracle = make(SAMPLERS[name](), space)
    for number, expected in enumerate(whole):
        if number in (1, 9, 23):
            oracle = restarted(oracle, sampler=SAMPLERS[name](), space=space)
        trial = begin(oracle)
        assert trial.hyperparameters.values == expected
        end(oracle, trial, loss(expected))


def test_every_kind_of_hyperparameter_takes_its_values():
    space = every_kind()
    proposed = trials_of(make("tpe", trials=60))
    for values in proposed:
        active = {"a": {"only_a"}, "b": {"not_a"}, "z": {"not_a"}}[values["kind"]]
        assert set(values) == {hp.name for hp in space.space if not hp.conditions} | active
        assert 4 <= values["units"] <= 64
        assert 2 <= values["reverse_int"] <= 300
        assert values["fixed"] == 3
        assert type(values["flag"]) is bool
        assert {type(values[name]) for name in ("units", "log_int", "log_steps", "reverse_int")} == {int}
    for name, possible in (
        ("log_steps", {2, 4, 8, 16, 32}),
        ("steps", {0.0, 0.25, 0.5, 0.75, 1.0}),
        ("kind", {"a", "b", "z"}),
        ("ordered", {1, 5, 9}),
        ("flag", {True, False}),
    ):
        assert {values[name] for values in proposed} == possible


def test_the_sampler_sees_the_scale_on_which_an_axis_is_searched():
    oracle = make()
    values = begin(oracle).hyperparameters.values
    seen = oracle._study.trials[0].params
    for axis in every_kind().space[:3]:
        assert 0 <= seen[axis.name] <= 1
        assert axis.prob_to_value(seen[axis.name]) == values[axis.name]
    assert seen["log_int"] == values["log_int"]
    assert oracle._study.trials[0].distributions["log_int"].log


def test_tpe_learns_where_it_is_good_and_where_trials_diverge():
    proposed = trials_of(make("tpe", plane, 50))
    late = proposed[30:]
    assert sum(loss(values) < 0.05 for values in late) >= 10  # by chance about 3
    assert sum(math.isinf(loss(values)) for values in late) <= 1


def test_cmaes_goes_on_with_its_distribution_after_diverged_and_pruned_trials():
    oracle = make("cmaes", plane, 60)
    scores = []
    while (trial := begin(oracle)).status == "RUNNING":
        value = loss(trial.hyperparameters.values)
        scores.append(value)
        if len(scores) % 5 == 0 and math.isfinite(value):
            oracle.tell_pruned(trial.trial_id, {1: value + 0.1})
        end(oracle, trial, value)
    assert max(trial.system_attrs.get("cma:generation", 0) for trial in oracle._study.trials) >= 5
    assert sum(scores[40:]) / 20 < 0.03


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was executed')",)


@pytest.mark.parametrize("pickled", [pickle.dumps(Bomb()), pickle.dumps([Bomb()], 0), pickle.dumps(json.loads), b"", b"\x80\x04"])
def test_a_state_of_the_sampler_that_is_not_cmaes_is_refused_and_not_executed(pickled):
    oracle = make("cmaes", plane, 20)
    for _ in range(12):
        trial = begin(oracle)
        end(oracle, trial, loss(trial.hyperparameters.values))
    state = json.loads(json.dumps(oracle.get_state()))
    made = [record["attributes"] for record in state["optuna"].values() if "cma:optimizer:0" in record["attributes"]]
    assert made
    for attributes in made:
        check_only_cmaes(attributes)
    for key in [key for key in made[-1] if key.startswith("cma:optimizer")]:
        del made[-1][key]
    made[-1]["cma:optimizer:0"] = pickled.hex()
    other = make("cmaes", plane, 20)
    other.trials = oracle.trials
    with pytest.raises(SearchError, match="must be that of CMA-ES"):
        other.set_state(state)


def test_what_optuna_is_told():
    oracle = make("tpe", plane, 5)
    for number in range(5):
        trial = begin(oracle)
        if number == 2:
            oracle.tell_pruned(trial.trial_id, {1: 0.9, 2: 0.8})
        end(oracle, trial, [0.5, math.inf, 0.8, None, 0.1][number], "FAILED" if number == 3 else "COMPLETED")
    for told in (oracle, restarted(oracle, space=plane, trials=5)):
        assert [trial.state.name for trial in told._study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "COMPLETE"]
        assert [trial.value for trial in told._study.trials] == [0.5, math.inf, 0.8, None, 0.1]
        assert told._study.trials[2].intermediate_values == {1: 0.9, 2: 0.8}


def test_workers_get_different_settings_and_an_interrupted_trial_keeps_its_own():
    oracle = make("tpe", plane, 30)
    for _ in range(12):
        trial = begin(oracle)
        end(oracle, trial, loss(trial.hyperparameters.values))
    running = [begin(oracle, f"worker {i}") for i in range(4)]
    values = [trial.hyperparameters.values for trial in running]
    assert len({json.dumps(each) for each in values}) == 4
    assert [trial.state.name for trial in oracle._study.trials[12:]] == ["RUNNING"] * 4
    end(oracle, running[2], 0.3)  # not in the order in which they began
    again = restarted(oracle, space=plane)
    assert [trial.state.name for trial in again._study.trials[12:]] == ["RUNNING", "RUNNING", "COMPLETE", "RUNNING"]
    end(again, again.trials[running[0].trial_id], 0.2)
    assert again._study.trials[12].value == 0.2


def test_an_exhausted_space_ends_the_search_and_nothing_is_tried_twice():
    def small():
        hp = keras_tuner.HyperParameters()
        hp.Choice("letter", ["a", "b", "c"])
        hp.Boolean("flag")
        return hp

    proposed = trials_of(make("tpe", small, 30), lambda values: ord(values["letter"]))
    assert len(proposed) == len({json.dumps(values) for values in proposed}) == 6


def test_kerastuners_own_tuner_takes_it_too(tmp_path):
    class Plain(keras_tuner.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            return loss({"x": trial.hyperparameters.Float("x", 0, 1), "y": trial.hyperparameters.Float("y", 0, 1)})

    def tuner(trials):
        oracle = OptunaOracle("tpe", objective=keras_tuner.Objective("score", "min"), max_trials=trials, seed=1)
        oracle.hyperparameters = plane()
        return Plain(oracle, directory=tmp_path, project_name=f"plain {trials > 6}")

    tuner(15).search(verbose=0)
    whole = tuner(15)
    assert len(whole.oracle.trials) == 15
    for trials in (3, 6):  # goes on from KerasTuner's own files
        tuner(trials).search(verbose=0)
    resumed = tuner(6)

    def settings(tuner):
        return [trial.hyperparameters.values for _, trial in sorted(tuner.oracle.trials.items(), key=lambda item: int(item[0]))]

    assert settings(resumed) == settings(whole)[:6]
    assert sorted(trial.value for trial in resumed.oracle._study.trials) == sorted(
        trial.score for trial in resumed.oracle.trials.values()
    )


def test_nothing_is_logged_and_optunas_own_verbosity_stays(capfd):
    before = optuna.logging.get_verbosity()
    trials_of(make("cmaes", every_kind, 8))
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sampler", "tpe"), ["optuna and asha only", "quasirandom"]),
        (("--oracle", "grid", "--sampler", "cmaes"), ["optuna and asha only", "grid"]),
        (("--oracle", "optuna", "--sampler", "psychic"), ["tpe", "cmaes", "psychic"]),
    ],
)
def test_a_sampler_that_is_not_allowed_is_one_clear_sentence(arguments, words, command, tiny):
    status, stdout, stderr = command("tune", "adam", "--problem", tiny, *arguments)
    assert (status, stdout) == (2, "")
    message = one_sentence(stderr)
    for word in words:
        assert word in message


def test_wrong_samplers_from_python():
    with pytest.raises(SearchError, match=r"tpe, cmaes.*received 3"):
        make(3)
    with pytest.raises(SearchError, match="tpe, cmaes; received 'psychic'"):
        make("psychic")

    def words():
        hp = keras_tuner.HyperParameters()
        hp.Choice("letter", ["a", "b"])
        return hp

    with pytest.raises(SearchError, match="CMA-ES searches numbers"):
        make("cmaes", words)
