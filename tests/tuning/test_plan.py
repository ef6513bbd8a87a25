"""The plan of a search: checked once, JSON both ways, a file of its own, and what makes two searches the same."""

import dataclasses
import inspect
import json

import pytest

import tuning
from tests import pages
from tests.tuning.conftest import ROOT, one_sentence
from tuning import Plan, SearchError
from tuning.experiments import plan as plans

EVERY = {
    "optimizers": ["adam", "momentum"],
    "problem": "mnist_mlp",
    "trials": 3,
    "epochs": 2,
    "oracle": "asha",
    "sampler": "cmaes",
    "factor": 2,
    "min_epochs": 3,
    "pruner": "median",
    "search": {"beta_1": None, "learning_rate": (0.1, 1.0, "log")},
    "fix": {"amsgrad": True},
    "schedule": "cosine",
    "seed": 7,
    "repeats": 2,
    "train_samples": 100,
    "max_epochs": 100,
    "max_minutes": 1.5,
    "target": 0.5,
    "engine": "ray",
    "workers": 4,
    "threads_per_worker": 2,
    "address": "auto",
    "cpus_per_worker": 0.5,
    "gpus_per_worker": 0,
    "jit": "off",
    "batch_trials": 4,
    "callbacks": "my_module:callbacks",
    "defaults_first": False,
    "start_with": [{"learning_rate": 0.5}],
    "warm_start": "earlier",
    "keep_models": 3,
    "log": ["mlflow", "tensorboard"],
    "directory": "out",
    "data_dir": "data",
    "confirm": {"learning_rate": 0.1},
    "confirmations": 5,
}
OF_A_POPULATION = {"optimizers": ["adam"], "oracle": "pbt", "population": 4, "ready": 2}  # which is no successive halving
AS_WORDS = {"search": ["beta_1", "learning_rate=0.1:1:log"], "fix": ["amsgrad=true"]}


def test_there_is_a_value_of_every_option_below():
    assert {*EVERY, *OF_A_POPULATION} == {"optimizers", *plans.OPTIONS}


def test_it_is_the_same_after_json():
    plan = Plan(**EVERY)
    written = json.loads(json.dumps(plan.to_json()))
    assert set(written) == set(EVERY)
    assert Plan.from_json(written) == plan
    assert Plan(optimizers=["adam"]).to_json() == {"optimizers": ["adam"]}
    assert Plan.from_json(json.loads(json.dumps(Plan(**OF_A_POPULATION).to_json()))) == Plan(**OF_A_POPULATION)


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plan(optimizers=["adam"]).trials = 3


def test_objects_are_written_by_their_name():
    import numpy as np
    import optuna

    import keras_optims
    from keras_optims.hyperparameter import SearchRange

    plan = Plan(
        optimizers=[keras_optims.Adam],
        pruner=optuna.pruners.NopPruner(),
        search={"beta_1": SearchRange(0.5, 0.9, "log1m")},
        fix={"beta_2": np.float32(0.5)},
    )
    assert json.loads(json.dumps(plan.to_json())) == {
        "optimizers": ["keras_optims.algorithms.adam.Adam"],
        "pruner": "NopPruner",
        "search": {"beta_1": [0.5, 0.9, "log1m"]},
        "fix": {"beta_2": 0.5},
    }


# -- what makes two searches the same -------------------------------------------------------------


def test_what_identifies_a_search_and_a_comparison():
    both = {"problem", "epochs", "oracle", "factor", "min_epochs", "population", "ready", "seed", "repeats", "train_samples"}
    both |= {"callbacks"}
    search, comparison = both | {"sampler", "pruner", "jit"}, both | {"search", "fix", "schedule"}
    plan = Plan(**EVERY)
    assert set(plan.identity()) == search
    assert set(plan.identity("comparison")) == comparison
    others = {"problem": "digits_mlp", "oracle": "hyperband", "sampler": "tpe", "pruner": "halving", "jit": "on"}
    others |= {
        "search": {"beta_1": None},
        "fix": {"amsgrad": False},
        "schedule": "wsd",
        "confirm": {},
        "directory": "x",
        "data_dir": "x",
        "defaults_first": True,
        "start_with": [{"beta_1": 0.5}],
        "warm_start": "x",
        "callbacks": "my_module:others",
        "log": "wandb",
    }
    for name in plans.OPTIONS:
        if name in ("engine", "address", "cpus_per_worker", "gpus_per_worker"):
            continue
        before = Plan(**OF_A_POPULATION) if name in OF_A_POPULATION and name not in EVERY else plan
        changed = dataclasses.replace(before, **{name: others.get(name, 9)})
        assert (changed.identity() != before.identity()) == (name in search), name
        assert (changed.identity("comparison") != before.identity("comparison")) == (name in comparison), name


def test_defaults_are_in_the_identity_as_the_stores_have_them():
    plan = Plan(optimizers=["adam"])
    assert plan.identity()["pruner"] is None
    assert plan.identity("comparison")["search"] == plan.identity("comparison")["fix"] == {}
    settled = Plan(optimizers=["adam"], oracle="optuna").settled(epochs=5)
    assert (settled.epochs, settled.sampler) == (5, "tpe")
    assert Plan(optimizers=["adam"], epochs=3).settled(epochs=5).epochs == 3
    population = Plan(optimizers=["adam"], oracle="pbt").settled(epochs=25)
    assert (population.population, population.ready) == (8, 3)


def test_the_store_of_a_search_has_what_it_always_had(tiny):
    result = tuning.search("adam", tiny, trials=1, directory="out", progress=False)
    names = {"optimizer", "problem", "space", "oracle", "sampler", "jit", "batch_trials", "pruner", "grid", "trials", "epochs"}
    names |= {"repeats", "seed", "train_samples", "batch_size", "objective", "direction", "backend", "versions", "machine"}
    assert set(result.config) == names | {"callbacks", "command", "factor", "min_epochs", "population", "ready", "first"}
    without = tuning.search("adam", tiny, trials=1, directory="without", defaults_first=False, progress=False)
    assert set(result.config) - set(without.config) == {"first"}
    assert (result.config["epochs"], result.config["pruner"], result.config["problem"]) == (2, None, tiny)


# -- the file -------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "plan.toml").write_text(text)
        return tmp_path / "plan.toml"

    return write


def toml(value):
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k} = {toml(v)}' for k, v in value.items())}}}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, (list, tuple)) else json.dumps(value)


def test_the_file_on_the_page_is_a_plan(file):
    (block,) = (block for block in pages.indented_blocks(ROOT / "docs/searching.md") if block[0] == 'optimizer = "adam"')
    plan = Plan.load(file("\n".join(block)))
    assert (plan.optimizers, plan.trials, plan.fix) == (("adam",), 24, {"amsgrad": True})
    assert plan.search == {"beta_1": None, "learning_rate": (1e-4, 1e-1, "log")}


def test_a_file_may_say_everything(file):
    written = {**EVERY, "search": {"beta_1": True, "learning_rate": [0.1, 1.0, "log"]}}
    assert Plan.load(file("\n".join(f"{name} = {toml(value)}" for name, value in written.items()))) == Plan(**EVERY)
    written |= AS_WORDS
    assert Plan.load(file("\n".join(f"{name} = {toml(value)}" for name, value in written.items()))) == Plan(**EVERY)
    assert Plan.load(file('optimizer = "adam"')) == Plan(optimizers=["adam"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trails = 3", ["no 'trails'", "Did you mean trials?"]),
        ("train-samples = 3", ["Did you mean train_samples?"]),
        ("fresh = true", ["no 'fresh'"]),
        ("trials = 'many'", ["trials", "at least 1", "'many'"]),
        ("repeats = true", ["repeats", "True"]),
        ("oracle = 'psychic'", ["oracle", "quasirandom", "'psychic'"]),
        ("workers =", ["not TOML", "Invalid value"]),
        ("search = [3]", ["NAME=LOW:HIGH", "3"]),
        ("search = 3", ["search", "mapping", "3"]),
        ("fix = ['amsgrad']", ["NAME=VALUE"]),
        ("fix = ['beta_1=0', 'beta_1=0.5']", ["beta_1 twice"]),
        ("address = 'auto'", ["address", "'ray' alone"]),
        ("optimizers = 'adam'", ["a list"]),
        ("optimizer = 'adam'\noptimizers = ['adam']", ["either"]),
    ],
)
def test_what_a_file_may_not_say_is_one_sentence(text, words, file, command):
    path = file(text)
    status, stdout, stderr = command("tune", "adam", "--plan", path)
    assert (status, stdout) == (2, "")
    for word in [str(path), *words]:
        assert word in one_sentence(stderr)
    with pytest.raises(SearchError):
        Plan.load(path)


def test_a_file_that_is_not_there_or_names_no_optimizer(command, file, tmp_path):
    assert "nowhere.toml cannot be read: No such file" in one_sentence(command("tune", "--plan", "nowhere.toml")[2])
    assert "OPTIMIZER" in one_sentence(command("tune", "--plan", file("trials = 3"))[2])
    assert "OPTIMIZER" in one_sentence(command("compare")[2])
    with pytest.raises(SearchError, match="names no optimizer"):
        Plan.load(file("trials = 3"))


def test_the_command_line_wins_over_the_file():
    base = {"trials": 3, "seed": 1, "search": {"beta_1": None, "epsilon": None}, "fix": {"amsgrad": True, "beta_2": 0.9}}
    changes = {"seed": 0, "search": {"beta_2": None}, "fix": {"epsilon": 1e-8}}
    assert plans.over(base, changes) == {
        "trials": 3,
        "seed": 0,
        "search": {"beta_1": None, "beta_2": None},
        "fix": {"amsgrad": True, "epsilon": 1e-8},
    }
    assert plans.over(base, {}) == base
    assert plans.over({}, changes) == changes


def test_a_search_by_a_file_is_the_search_by_its_options(tiny, command, file):
    said = ["--problem", tiny, "--trials", 2, "--epochs", 1, "--fix", "amsgrad=true", "--seed", 3]
    status, stdout, stderr = command("tune", "adam", *said, "--directory", "words", "--json")
    assert status == 0, stderr
    path = file(f"optimizer = 'adam'\nproblem = '{tiny}'\ntrials = 9\nepochs = 1\nseed = 3\n[fix]\namsgrad = true")
    status, again, stderr = command("tune", "--plan", path, "--trials", 2, "--directory", "words", "--json")
    assert status == 0, stderr
    assert json.loads(again)["trials"] == json.loads(stdout)["trials"]  # found there, and none was added


# -- from Python ----------------------------------------------------------------------------------


def test_search_takes_a_plan_and_changes_of_it(tiny):
    plan = Plan(optimizers=["adam"], problem=tiny, trials=5, directory="out")
    assert len(tuning.search(plan, trials=1, progress=False).trials) == 1


def test_an_option_that_is_not_there_gets_its_hint():
    with pytest.raises(SearchError, match=r"no option 'trails'\. Did you mean trials\?"):
        tuning.search("adam", trails=3)
    with pytest.raises(SearchError, match="confirm is for a search alone"):
        tuning.compare(["adam"], confirm={})


@pytest.mark.parametrize("function", [tuning.search, tuning.compare])
def test_the_signature_shows_all_options(function):
    shown = inspect.signature(function).parameters
    assert set(plans.OPTIONS) <= set(shown)
    assert shown["seed"].default == 0
    assert list(shown)[-4:] == ["fresh", "retry_failed", "progress", "command"]
