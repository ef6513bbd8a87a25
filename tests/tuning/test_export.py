"""Exports: tables, JSON, and a study that Optuna opens."""

import csv
import json
import os

import pytest

from tests.tuning.conftest import load, one_sentence
from tests.tuning.hand_made import CONFIG, HOSTILE, MIXED, add_trial, make_comparison, make_search
from tuning import SearchError, Store
from tuning.export import export_search as export
from tuning.results.search import SearchResult

pytestmark = pytest.mark.backend("tensorflow")  # what reads a store uses no backend; once is enough


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_per_trial_and_one_per_point_of_the_curves(tmp_path):
    directory = make_search(tmp_path / "search", MIXED)
    trials, curves = export(directory, "csv")
    assert (trials.name, curves.name) == ("trials.csv", "trials-curves.csv")
    result, rows = SearchResult.load(directory), read(trials)
    assert [row["state"] for row in rows] == list(MIXED)
    for row, trial in zip(rows, result.trials, strict=True):
        assert float(row["learning_rate"]) == trial.hyperparameters["learning_rate"]
        assert row["score"] == ("" if trial.score is None else repr(trial.score))
    assert rows[0]["seeds"] == "1000 1001"
    assert float(rows[0]["half_interval_95"]) == pytest.approx(12.706 * 0.00707107 / 2**0.5, rel=1e-3)
    points = [row for row in read(curves) if (row["trial"], row["execution"], row["metric"]) == ("3", "1", "loss")]
    assert [(row["epoch"], float(row["value"])) for row in points] == [("0", 1.0), ("1", 0.5), ("2", pytest.approx(1 / 3))]


def test_csv_holds_no_formulas(tmp_path):
    with Store.create(tmp_path / "search", {**CONFIG, "space": None}, {}) as store:
        add_trial(store, 0, "failed", values={"name": "=HYPERLINK(1)", "x": -1}, message=HOSTILE)
    (row,) = read(export(tmp_path / "search", "csv")[0])
    assert row["name"] == "'=HYPERLINK(1)"
    assert row["x"] == "-1"
    assert row["message"] == HOSTILE


def test_csv_of_a_comparison_has_its_optimizers_seeds_and_differences(command, tmp_path):
    content = json.loads((make_comparison(tmp_path / "compared") / "comparison.json").read_text())
    for entry in content["optimizers"]:
        for name, shift in (("validation", 0), ("test", 0.5)):
            values = [value + shift for value in entry[name]["values"]]
            entry[name] = {**entry[name], "values": values, "seeds": [1, 2, 3, 4]}
    content["optimizers"].append(
        {**entry, "optimizer": "=none", "line": None, "search_score": None, "validation": None, "test": None}
    )
    (tmp_path / "compared" / "comparison.json").write_text(json.dumps(content))
    status, stdout, _ = command("export", "compared", "--to", "csv")
    assert status == 0
    names = ["comparison.csv", "comparison-seeds.csv", "comparison-differences.csv"]
    assert stdout.split() == [os.path.join("compared", name) for name in names]
    optimizers, seeds, (difference,) = (read(tmp_path / "compared" / name) for name in names)
    assert [row["optimizer"] for row in optimizers] == ["adam", "momentum", "'=none"]
    first = content["optimizers"][0]
    assert (optimizers[0]["metric"], float(optimizers[0]["mean"]), optimizers[0]["seeds"]) == (
        "test_accuracy",
        first["test"]["mean"],
        "4",
    )
    assert (optimizers[0]["validation_metric"], float(optimizers[0]["search_score"])) == ("val_accuracy", 0.95)
    assert (optimizers[0]["completed"], optimizers[0]["line"]) == ("16", first["line"])
    assert (optimizers[2]["mean"], optimizers[2]["line"]) == ("", "")
    assert len(seeds) == 8
    assert (seeds[0]["optimizer"], seeds[0]["seed"]) == ("adam", "1")
    assert float(seeds[0]["test"]) == pytest.approx(float(seeds[0]["validation"]) + 0.5)
    assert (difference["one"], difference["other"], difference["significant"]) == ("adam", "momentum", "False")
    assert command("export", "compared", "--to", "csv")[0] == 0
    status, _, stderr = command("export", "compared", "--to", "json")
    assert status == 2
    assert "can be exported to csv, tensorboard, mlflow; for json export its searches one by one" in one_sentence(stderr)


def test_json_is_what_show_prints(command, tmp_path):
    make_search(tmp_path / "search", MIXED)
    (path,) = export("search", "json")
    assert json.loads(path.read_text(encoding="utf-8")) == load(command("show", "search", "--json")[1])


@pytest.fixture
def study(tmp_path):
    """Exports a search and opens it: directory -> the Optuna study."""
    optuna = pytest.importorskip("optuna")
    opened = []

    def open_study(directory):
        (path,) = export(directory, "optuna")
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        opened.append(storage)
        (name,) = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=name, storage=storage)

    yield open_study
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


def test_optuna_opens_the_study(study, tmp_path):
    from optuna.distributions import FloatDistribution

    directory = make_search(tmp_path / "search", MIXED)
    result, opened = SearchResult.load(directory), study(directory)
    assert opened.study_name == "adam on digits_mlp"
    assert opened.direction.name == "MAXIMIZE"
    assert opened.metric_names == ["val_accuracy"]
    names = {"completed": "COMPLETE", "pruned": "PRUNED", "running": "RUNNING", "diverged": "FAIL", "failed": "FAIL"}
    assert [trial.state.name for trial in opened.trials] == [names[state] for state in MIXED]
    assert opened.best_trial.number == result.best.number
    for trial, kept in zip(opened.trials, result.trials, strict=True):
        values = kept.hyperparameters
        assert trial.params["learning_rate"] == values["learning_rate"]
        assert trial.params["1 - beta_1"] == pytest.approx(1 - values["beta_1"], rel=1e-12)
        assert trial.user_attrs["beta_1"] == values["beta_1"]
        assert trial.user_attrs["state"] == kept.state
        assert trial.distributions["learning_rate"] == FloatDistribution(1e-4, 1.0, log=True)
        assert trial.distributions["1 - beta_1"] == FloatDistribution(0.01, 0.5, log=True)
        if kept.state == "completed":
            assert trial.value == kept.score
            assert trial.duration.total_seconds() == pytest.approx(3)
            assert trial.intermediate_values[2] == pytest.approx(kept.score + 0.001)
    assert opened.trials[16].user_attrs["message"] == "RuntimeError: no luck"


def test_choices_integers_and_missing_values_go_to_optuna_too(study, tmp_path):
    space = [
        ["Int", {"name": "units", "min_value": 4, "max_value": 64, "sampling": "log"}],
        ["Choice", {"name": "activation", "values": ["relu", "tanh"]}],
        ["Boolean", {"name": "dropout"}],
    ]
    config = {**CONFIG, "space": space, "optimizer": None, "direction": "min"}
    with Store.create(tmp_path / "search", config, {}) as store:
        for i in range(3):
            values = {"units": 4 + i, "activation": ("relu", "tanh")[i % 2]}
            add_trial(store, i, values=values if i else {**values, "dropout": True}, score=0.5 + i)
    opened = study(tmp_path / "search")
    assert opened.study_name == "search"
    assert opened.direction.name == "MINIMIZE"
    assert opened.best_trial.params == {"units": 4, "activation": "relu", "dropout": True}
    assert opened.trials[2].params == {"units": 6, "activation": "relu"}
    assert opened.trials[0].distributions["dropout"].choices == (False, True)
    assert opened.trials[0].distributions["units"].log


@pytest.mark.parametrize("to", ["csv", "json", "optuna"])
def test_an_export_is_replaced_and_another_file_is_not(to, tmp_path):
    directory = make_search(tmp_path / "search", ("completed",) * 2)
    paths = export(directory, to, tmp_path / "exported")
    before = paths[0].read_bytes()
    with Store.open(directory) as store:
        add_trial(store, 2)
    assert export(directory, to, tmp_path / "exported") == paths
    assert paths[0].read_bytes() != before
    for path in paths:
        path.write_text("a shopping list")
        with pytest.raises(SearchError, match="was not written by this command"):
            export(directory, to, tmp_path / "exported")
        assert path.read_text() == "a shopping list"
        path.unlink()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_the_command(command, tmp_path):
    make_search(tmp_path / "search")
    status, stdout, _ = command("export", "search", "--to", "csv")
    assert (status, stdout.splitlines()) == (0, [os.path.join("search", f"trials{part}.csv") for part in ("", "-curves")])
    status, stdout, _ = command("export", "search", "--to", "json", "--output", "out.json", "--json")
    assert (status, load(stdout)) == (0, {"files": ["out.json"]})
    assert command("export", "search")[0] == 2
    status, _, stderr = command("export", "search", "--to", "json", "--output", os.path.join("nowhere", "x.json"))
    assert status == 2
    assert "cannot be written: No such file or directory" in one_sentence(stderr)
    status, _, stderr = command("export", "nowhere", "--to", "csv")
    assert status == 2
    assert "no search in nowhere" in one_sentence(stderr)
