"""Comparing optimizers: equal budgets, fresh and paired seeds, and test data that select nothing."""

import dataclasses
import json
import sqlite3
import sys

import keras
import numpy as np
import pytest
import scipy.stats

import keras_optims
import tuning
from tests.tuning.conftest import JIT, load, one_sentence
from tuning import SearchError
from tuning.console.comparison_table import table
from tuning.results.comparison import Comparison
from tuning.results.search import SearchResult
from tuning.training.seed import execution_seed

pytestmark = pytest.mark.backend("tensorflow")  # nothing in here depends on the backend


def labels(x):
    return (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype("float32")


def model():
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
    )


def problem(test="true", **changes):
    """As small as can be; its test labels are true, or garbage, or there are no test data."""
    x = np.random.default_rng(0).normal(size=(160, 4)).astype("float32")
    y = labels(x)
    tests = {"true": (x[96:], y[96:]), "garbage": (x[96:], 1 - y[96:]), "none": None}
    made = tuning.Problem(
        name="small",
        data=tuning.Data((x[:64], y[:64]), (x[64:96], y[64:96]), tests[test]),
        model=model,
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
        batch_size=16,
        epochs=3,
    )
    return dataclasses.replace(made, **changes)


def compare(directory, optimizers=("momentum", "adam"), made=None, **options):
    options = {"trials": 2, "confirmations": 2, "progress": False, "jit": JIT, **options}
    return tuning.compare(list(optimizers), made or problem(), directory=directory, **options)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison that several tests look at, and leave as it is."""
    return compare(tmp_path_factory.mktemp("compared"), log="tensorboard")


def query(directory, sql):
    with sqlite3.connect(f"file:{directory}/search.sqlite?mode=ro", uri=True) as plain:
        rows = plain.execute(sql).fetchall()
    plain.close()
    return rows


@pytest.mark.backend("tensorflow", "jax")
def test_how_epochs_are_compiled_is_measured_once_for_all(tmp_path):
    compare(tmp_path, trials=1, jit="measure")
    places = [path.parent for path in tmp_path.rglob("search.sqlite")]
    choices = [SearchResult.load(place).choices["way"] for place in places]
    assert len(choices) == 4
    assert choices == choices[:1] * 4
    assert len(choices[0]["seconds_per_step"]) == 2


def test_all_optimizers_have_the_same_budget(compared):
    budgets = []
    for name in ("momentum", "adam"):
        search = SearchResult.load(compared.directory / name)
        assert [trial.epochs for trial in search.trials] == [3, 3]
        budgets.append([trial.seeds for trial in search.trials])
        assert search.config["batch_size"] == 16
    assert budgets[0] == budgets[1] == [[execution_seed(0, trial, 0)] for trial in (0, 1)]
    assert [entry["trials"]["completed"] for entry in compared.optimizers] == [2, 2]


def test_the_confirmation_has_fresh_seeds_the_same_for_all(compared):
    used = {execution_seed(0, trial, execution) for trial in range(1000) for execution in range(3)}
    seeds = [
        [seed for (seed,) in query(compared.directory / f"{name}-confirmation", "SELECT seed FROM executions ORDER BY trial")]
        for name in ("momentum", "adam")
    ]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 2
    assert not used & set(seeds[0])
    for entry in compared.optimizers:
        assert entry["validation"]["seeds"] == entry["test"]["seeds"] == seeds[0]
    assert all(pair["paired"] for pair in compared.differences)


def test_its_trackers_hear_of_each_of_its_trainings(compared):
    """What they make of it: tests/tuning/test_trackers.py."""
    folders = {f"{name}{part}/{trial}" for name in ("momentum", "adam") for part in ("", "-confirmation") for trial in (0, 1)}
    places = {path.parents[1] for path in (compared.directory / "tensorboard").rglob("*.curves")}
    assert {place.relative_to(compared.directory / "tensorboard").as_posix() for place in places} == folders


def test_the_numbers_are_those_of_the_stores(compared):
    samples = {}
    for entry in compared.optimizers:
        search = SearchResult.load(compared.directory / entry["directory"])
        assert (entry["line"], entry["search_score"]) == (search.best.line, search.best.score)
        place = compared.directory / entry["confirmation"]
        assert {row[0] for row in query(place, "SELECT hyperparameters FROM trials")} == {json.dumps(entry["hyperparameters"])}
        values = [
            value
            for (value,) in query(
                place,
                "SELECT value FROM executions JOIN epochs USING (trial, execution) "
                "WHERE epoch = best_epoch AND metric = 'test_accuracy' ORDER BY trial",
            )
        ]
        assert entry["test"]["values"] == values
        assert (entry["test"]["mean"], entry["test"]["sd"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        samples[entry["optimizer"]] = values
    means = [entry["test"]["mean"] for entry in compared.optimizers]
    assert means == sorted(means, reverse=True)
    (pair,) = compared.differences
    one, other = samples[pair["one"]], samples[pair["other"]]
    assert pair["difference"] == pytest.approx(means[0] - means[1])
    assert pair["p"] == pair["p_adjusted"] == pytest.approx(scipy.stats.ttest_rel(one, other).pvalue)
    assert compared.content["test_metric"] == pair["metric"] == "test_accuracy"
    assert compared.content["complete"] is True
    assert compared.content["test_used_for_selection"] is False


def test_it_is_kept_and_shown(compared, command):
    kept = json.loads((compared.directory / "comparison.json").read_text())
    assert kept == compared.to_json()
    status, stdout, _ = command("show", compared.directory, "--json")
    assert (status, load(stdout)) == (0, kept)
    status, stdout, _ = command("show", compared.directory)
    assert status == 0
    for entry in kept["optimizers"]:
        assert entry["line"] in stdout
    assert "2 optimizers on small, 2 trials each, 3 epochs, in" in stdout
    assert "The test data selected nothing" in " ".join(stdout.split())
    assert Comparison.load(compared.directory).to_dataframe().shape == (4, 4)
    status, stdout, _ = command("show", compared.directory / "adam")  # a search of it, by itself
    assert "2 of 2 trials" in stdout


def test_test_data_select_nothing_and_change_nothing(compared, tmp_path):
    found = {test: compare(tmp_path / test, ["adam"], problem(test)).optimizers[0] for test in ("garbage", "none")}
    found["true"] = next(entry for entry in compared.optimizers if entry["optimizer"] == "adam")
    for test in ("garbage", "none"):
        for name in ("line", "search_score", "validation"):
            assert found[test][name] == found["true"][name]
    assert found["garbage"]["test"]["values"] == pytest.approx([1 - value for value in found["true"]["test"]["values"]])
    for directory in (compared.directory, tmp_path / "garbage"):  # which a search does not even look at
        metrics = {metric for (metric,) in query(directory / "adam", "SELECT DISTINCT metric FROM epochs")}
        assert metrics == {"loss", "accuracy", "val_loss", "val_accuracy"}
    without = Comparison.load(tmp_path / "none")
    assert without.content["test_metric"] is found["none"]["test"] is None
    assert "has no test data" in " ".join(table(without).split())


def test_an_interrupted_comparison_goes_on_where_it_was(compared, tmp_path):
    trainings = []

    def interrupting():
        trainings.append(1)
        if len(trainings) == 6:  # 2 and 2 of the searches, 1 of the first confirmation
            raise KeyboardInterrupt
        return model()

    with pytest.raises(KeyboardInterrupt):
        compare(tmp_path / "cut", made=problem(model=interrupting))
    assert Comparison.load(tmp_path / "cut").content["complete"] is False
    assert "Unfinished" in table(Comparison.load(tmp_path / "cut"))
    places = ("momentum", "adam", "momentum-confirmation")
    before = [SearchResult.load(tmp_path / "cut" / place).trials[:1] for place in places]
    resumed = compare(tmp_path / "cut", made=problem(model=interrupting))
    assert len(trainings) == 9
    after = [SearchResult.load(tmp_path / "cut" / place).trials[:1] for place in places]
    assert after == before  # the very same, times and all
    assert [trial.state for (trial,) in before] == ["completed"] * 3
    for entry, undisturbed in zip(resumed.optimizers, compared.optimizers, strict=True):
        assert entry | {"seconds": 0} == undisturbed | {"seconds": 0}
    assert resumed.differences == compared.differences


def test_the_command_says_which_optimizer_is_at_work_and_how_to_go_on(command, tiny, tmp_path):
    (tmp_path / "cut_problem.py").write_text(
        "import dataclasses, pathlib, tiny_problem\n"
        "def model():\n"
        "    if pathlib.Path('out/adam/search.sqlite').exists():\n"
        "        raise KeyboardInterrupt\n"
        "    return tiny_problem.model()\n"
        "def make_problem():\n"
        "    return dataclasses.replace(tiny_problem.make_problem(), model=model)\n"
    )
    arguments = ("compare", "momentum", "adam", "--problem", "cut_problem:make_problem", "--trials", 1, "--directory", "out")
    status, stdout, stderr = command(*arguments, "--confirmations", 1, "--json")
    assert (status, stdout) == (130, "")
    assert "To go on: keras-optims compare momentum adam --problem cut_problem:make_problem --trials 1" in one_sentence(stderr)
    assert "momentum: search (1 of 2)\n" in stderr
    (tmp_path / "cut_problem.py").write_text("from tiny_problem import make_problem\n")
    sys.modules.pop("cut_problem")
    status, stdout, stderr = command(*arguments, "--confirmations", 1, "--json")
    assert status == 0, stderr
    result = load(stdout)
    assert result == json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert result["command"].startswith("keras-optims compare momentum adam")
    assert "adam: confirmation (2 of 2)\n" in stderr
    assert "what one seed shows could be chance" in stderr
    assert result["differences"][0]["p"] is None
    assert "Kept in out (comparison.json)" in stderr


@pytest.mark.slow
def test_a_longer_comparison_extends_the_searches_and_confirms_the_new_best(tmp_path):
    first = compare(tmp_path, ["adam"], trials=1, confirmations=1)
    longer = compare(tmp_path, ["adam", "momentum"], trials=3, confirmations=2)
    assert [entry["trials"]["completed"] for entry in longer.optimizers] == [3, 3]
    assert [entry["test"]["count"] for entry in longer.optimizers] == [2, 2]
    adam = next(entry for entry in longer.optimizers if entry["optimizer"] == "adam")
    assert adam["line"] != first.optimizers[0]["line"]  # a learning rate of 0.0007 is too small for three epochs
    assert SearchResult.load(tmp_path / "adam-confirmation").config["confirms"] == adam["hyperparameters"]
    kept = SearchResult.load(tmp_path / "adam-confirmation-superseded-1")
    assert kept.config["confirms"] == first.optimizers[0]["hyperparameters"]
    fewer = compare(tmp_path, ["adam", "momentum"], trials=3, confirmations=1)
    assert [entry["test"]["seeds"] for entry in fewer.optimizers] == [adam["test"]["seeds"][:1]] * 2
    with pytest.raises(SearchError, match=r"momentum has 3 trials .* budgets are equal; received 2"):
        compare(tmp_path, trials=2)


@pytest.mark.slow
def test_another_comparison_in_the_same_directory_is_an_error(tmp_path):
    compare(tmp_path, ["gradient_descent"], trials=1, confirmations=1)
    for changes, words in (
        ({"seed": 1}, ["comparison", "seed (0 there, 1 now)"]),
        ({"epochs": 4}, ["epochs (3 there, 4 now)"]),
        ({"repeats": 2}, ["repeats (1 there, 2 now)"]),
        ({"oracle": "random"}, ["oracle"]),
        ({"search": {"learning_rate": (0.1, 1.0)}}, ["search"]),
        ({"made": problem(name="other")}, ['problem ("small" there, "other" now)']),
    ):
        with pytest.raises(SearchError) as raised:  # even of optimizers that have no search there yet
            compare(tmp_path, ["adam"], **{"trials": 1, "confirmations": 1, **changes})
        for word in [*words, "--directory", "--fresh"]:
            assert word in str(raised.value)
    anew = compare(tmp_path, ["adam"], trials=1, confirmations=1, seed=1, fresh=True)
    assert anew.content["seed"] == 1
    assert not (tmp_path / "gradient_descent" / "search.sqlite").exists()
    with pytest.raises(SearchError, match="holds a search, not a comparison"):
        compare(tmp_path / "adam")


def test_changes_of_the_space_are_for_those_who_have_the_hyperparameter(tmp_path):
    found = compare(
        *(tmp_path, ["momentum", "adam"]),
        **{
            "trials": 1,
            "repeats": 2,
            "confirmations": 1,
            "search": {"beta_1": (0.1, 0.2)},
            "fix": {"nesterov": True, "learning_rate": 0.01},
        },
    )
    lines = {entry["optimizer"]: entry["line"] for entry in found.optimizers}
    assert "nesterov=True" in lines["momentum"]
    assert "nesterov" not in lines["adam"]
    assert all("learning_rate=0.01" in line for line in lines.values())
    values = {entry["optimizer"]: entry["hyperparameters"] for entry in found.optimizers}
    assert 0.1 <= values["adam"]["beta_1"] <= 0.2
    assert len(SearchResult.load(tmp_path / "adam").trials[0].executions) == found.content["repeats"] == 2
    assert "1 trial each, 3 epochs, 2 repeats" in table(found)


class Broken(keras_optims.Adam):
    """An optimizer of one's own that cannot be built."""

    def build(self, variables):
        raise RuntimeError("no slots for me")


def test_an_optimizer_without_a_completed_trial_does_not_stop_the_others(tmp_path, capsys):
    found = compare(tmp_path, [Broken, keras_optims.Adam], trials=3, confirmations=1, progress=True)
    good, bad = found.optimizers
    assert (good["optimizer"], good["test"]["count"]) == ("adam", 1)
    assert (bad["optimizer"], bad["line"], bad["validation"], bad["test"]) == ("Broken", None, None, None)
    assert bad["trials"]["failed"] == 3
    assert found.differences == []
    assert found.best is good
    assert "Broken has no completed trial (3 failed)." in table(found)
    assert "All 3 trials so far failed with the same error" in capsys.readouterr().err


def test_without_any_usable_trial_the_status_is_1(command, tiny):
    arguments = ("compare", "gradient_descent", "adagrad", "--problem", "tiny_problem:make_regression", "--trials", 1)
    status, stdout, stderr = command(*arguments, "--search", "learning_rate=1e25:1e30", "--json", "--directory", "out")
    assert status == 1, stderr
    assert [entry["trials"]["diverged"] for entry in load(stdout)["optimizers"]] == [1, 1]
    assert "no completed trial (1 diverged)" in stderr


@pytest.mark.slow
def test_when_time_is_up_nothing_is_confirmed_and_the_same_call_goes_on(tmp_path):
    cut = compare(tmp_path, trials=1, confirmations=1, max_minutes=1e-9)
    assert cut.content["complete"] is False
    assert cut.best is None
    done = compare(tmp_path, trials=1, confirmations=1, max_minutes=60)
    assert done.content["complete"] is True
    assert [entry["test"]["count"] for entry in done.optimizers] == [1, 1]


def test_diverged_confirmations_are_told(compared):
    content = json.loads(json.dumps(compared.to_json()))
    entry = content["optimizers"][0]
    entry["confirmations"] |= {"completed": 1, "diverged": 1}
    entry["test"]["count"] = 1
    text = table(Comparison(compared.directory, content))
    assert "1 of 2" in text
    assert f"Of {entry['optimizer']}'s trainings with fresh seeds, 1 diverged: its mean leaves them out." in text


def test_significant_differences_are_told_in_words(compared):
    content = json.loads(json.dumps(compared.to_json()))
    pair = content["differences"][0] | {"one": "adam", "other": "momentum", "difference": 0.0123, "low": 0.0050, "high": 0.0196}
    for p, words in (
        (0.004, "adam is better than momentum: 0.0123 ± 0.0073, p = 0.004"),
        (0.2, "adam and momentum do not differ significantly: 0.0123 ± 0.0073, p = 0.2"),
    ):
        content["differences"] = [pair | {"p_adjusted": p, "significant": p < 0.05}]
        assert words in table(Comparison(compared.directory, content))


def test_a_narrow_terminal_keeps_the_mean_and_its_interval(compared):
    def rows(width):
        lines = table(compared, width).splitlines()
        return lines[2 : 3 + len(compared.optimizers)]

    assert "trials" in rows(None)[0]
    assert "trials" in rows(200)[0]
    assert "±" in rows(50)[1]
    assert max(map(len, rows(50))) <= 50


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["OPTIMIZER"]),
        (("adamant",), ["adam", "'adamant'"]),
        (("adam", "adam"), ["once", "adam"]),
        (("adam", "--confirmations", "0"), ["--confirmations", "at least 1"]),
        (("adam", "momentum", "--search", "rho"), ["rho cannot be searched", "adam has learning_rate, beta_1", "momentum has"]),
        (("adam", "momentum", "--fix", "centered=true"), ["centered cannot be fixed", "adam has", "momentum has"]),
        (("adam", "gradient_descent", "--fix", "learning_rate=0.1"), ["gradient_descent: Nothing is left to search"]),
        (("adam", "--problem", "mnist"), ["digits_mlp", "'mnist'"]),
        (("adam", "--problem", "mnist_mlp", "--data-dir", "nowhere"), ["--data-dir", "nowhere"]),
        (("adam", "--train-samples", "10000"), ["training samples", "10000"]),
    ],
)
def test_wrong_use_is_one_clear_sentence_and_status_2(arguments, words, command, tmp_path):
    status, stdout, stderr = command("compare", *arguments)
    assert (status, stdout) == (2, "")
    assert "Traceback" not in stderr
    for word in words:
        assert word in stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizers": "adam"}, ["list", "'adam'"]),
        ({"optimizers": []}, ["at least one"]),
        ({"optimizers": [keras.layers.Dense]}, ["subclass of keras.optimizers.Optimizer"]),
        ({"confirmations": 0}, ["confirmations", "0"]),
        ({"trials": 0}, ["trials", "0"]),
        ({"repeats": None}, ["repeats", "None"]),
        ({"seed": -1}, ["seed", "-1"]),
    ],
)
def test_wrong_arguments_from_python(changes, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SearchError) as raised:
        tuning.compare(**{"optimizers": ["adam"], **changes})
    for word in words:
        assert word in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_comparison_says_what_to_do(command, tmp_path):
    (tmp_path / "comparison.json").write_text("{")
    status, _, stderr = command("show", ".")
    assert status == 2
    assert "damaged" in one_sentence(stderr)


@pytest.mark.slow
def test_a_search_with_hyperband_compares(command, tiny, tmp_path):
    (tmp_path / "tested_problem.py").write_text(
        "import dataclasses, tiny_problem\n"
        "def make_problem():\n"
        "    made = tiny_problem.make_problem()\n"
        "    data = tiny_problem.data()\n"
        "    return dataclasses.replace(made, data=dataclasses.replace(data, test=data.validation))\n"
    )
    status, stdout, stderr = command(
        *("compare", "gradient_descent", "--problem", "tested_problem:make_problem", "--trials", 4, "--confirmations", 3),
        *("--directory", "out", "--json", "--oracle", "hyperband", "--epochs", 3, "--search", "learning_rate=0.001:1"),
    )
    assert status == 0, stderr
    result = load(stdout)
    for entry in result["optimizers"]:
        assert entry["trials"]["completed"] == 4
        assert entry["test"]["values"] == entry["validation"]["values"]
        assert entry["test"]["count"] == 3
        assert SearchResult.load(tmp_path / "out" / entry["confirmation"]).trials[0].epochs == result["epochs"]
