"""`scripts/benchmark_time_to_target.py`: every contestant trains the same, ends at the target, and is counted right."""

import dataclasses
import json
import math

import numpy as np
import pytest

import tuning
from scripts import benchmark_time_to_target as benchmark
from scripts.time_to_target import searchers, tables
from scripts.time_to_target.arms import ARMS, run
from scripts.time_to_target.cases import CASES, Case, Enough, Watch
from scripts.time_to_target.runs import Runs
from scripts.time_to_target.task import Skipped, logarithmic, prepared, setting
from tests.tuning.conftest import ROOT
from tuning.names import ORACLES
from tuning.space.space import Space

pytestmark = pytest.mark.backend("tensorflow")

CASE = Case("digits_mlp", 128, 3, 2.0, 60.0)
CONDITIONS = {**CASES["mnist_mlp"].conditions(), "backend": "tensorflow", "cores": 2}


class AfterEpochs(Watch):
    """Ends a search after so many epochs."""

    def __init__(self, epochs):
        super().__init__(2.0, math.inf)
        self.most = epochs

    def ends(self, accuracy):
        if self.heard(accuracy) or self.epochs == self.most:
            raise Enough


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:(currentThread|getName)\\(\\) is deprecated:DeprecationWarning")  # KerasTuner's own
@pytest.mark.parametrize(
    "name", ["quasirandom", "asha_tpe", "optuna", "pbt", "keras_tuner_hyperband", "keras_tuner_bayesian", "optuna_keras"]
)
def test_each_contestant_ends_when_the_watch_says_so(tmp_path, name):
    watch = AfterEpochs(2)
    if name == "pbt" and "pbt" not in ORACLES:
        pytest.skip("there is no oracle pbt")
    run(ARMS[name], prepared(CASE, 0, str(tmp_path), watch))
    line = watch.line()
    assert line["epochs"] == 2
    assert not line["reached"]
    assert 0 < line["best"] < 1
    assert line["best"] == line["improvements"][-1][2]
    assert tuning.Tuner.on_epoch_end.__qualname__ == "Tuner.on_epoch_end"  # nobody hears the next search


def test_a_search_that_ends_before_the_target_begins_anew_with_another_seed(tmp_path):
    seeds = []

    def search(task):
        seeds.append(task.seed)
        for _ in range(3):
            task.watch.ends(0.1 * len(seeds))

    task = prepared(CASE, 7, str(tmp_path), Watch(0.15, math.inf))
    run(dataclasses.replace(ARMS["asha"], search=search), task)
    assert seeds == [7, 1007]
    assert task.watch.line()["reached"]
    assert task.watch.epochs == 4
    with pytest.raises(RuntimeError, match="without having trained"):
        run(dataclasses.replace(ARMS["asha"], search=lambda task: None), task)


def test_who_is_not_installed_is_left_out_with_a_sentence(tmp_path):
    with pytest.raises(Skipped, match="no_such_package cannot be imported"):
        run(dataclasses.replace(ARMS["asha"], needs=("no_such_package",)), prepared(CASE, 0, str(tmp_path), Watch(1, 1)))
    with pytest.raises(Skipped, match="has no oracle 'oracular'"):
        searchers.ours(prepared(CASE, 0, str(tmp_path), Watch(1, 1)), oracle="oracular")


def test_all_search_one_space():
    space = Space.of("adam")
    ranges = logarithmic(space.axes)
    assert list(ranges) == ["learning_rate", "1-beta_1", "1-beta_2"]
    for end in (0, 1):
        values = setting({name: ends[end] for name, ends in ranges.items()})
        for name, axis in space.axes.items():
            assert min(abs(values[name] - axis.low), abs(values[name] - axis.high)) < 1e-12


def test_the_watch_counts_nothing_after_the_end():
    watch = Watch(0.5, math.inf)
    assert [watch.heard(value) for value in (0.1, 0.05, 0.6, 0.9)] == [False, False, True, True]
    line = watch.line()
    assert (line["epochs"], line["reached"], line["best"]) == (3, True, 0.6)
    assert [best for _, _, best in line["improvements"]] == [0.1, 0.6]
    assert Watch(0.9675, math.inf).heard(np.float32(0.9675))  # which is 0.96749997
    watch = Watch(0.5, 0.0)
    assert watch.heard(0.1)
    assert not watch.line()["reached"]


# -- runs -----------------------------------------------------------------------------------------


def line_of(arm, seed, seconds, reached=True, epochs=10, best=0.97):
    used = None if arm == "ray_asha" else 2 * seconds
    found = {"limit": 100.0, "seconds": seconds, "processor_seconds": used, "reached": reached, "epochs": epochs, "best": best}
    return {"problem": "mnist_mlp", "arm": arm, "seed": seed, "conditions": CONDITIONS, **found}


def test_what_was_run_is_not_run_again(tmp_path, monkeypatch, capsys):
    ran = []

    def spawned(case, name, seed):
        ran.append((case.problem, name, seed))
        if name == "ray_asha":
            return {"skipped": "ray.tune cannot be imported"}
        if (name, seed) == ("optuna", 1) and ran.count(ran[-1]) == 1:
            return {"failed": "MemoryError"}
        found = line_of(name, seed, 1.0, reached=name == "asha" or case.seconds > 100)
        return {**found, "limit": case.seconds}

    monkeypatch.setattr(benchmark, "spawned", spawned)
    command = ["--problem", "mnist_mlp", "--arm", "asha", "ray_asha", "optuna", "--seeds", "2", "--results", str(tmp_path)]
    assert benchmark.main(command) == 1
    assert [run[1:] for run in ran] == [("asha", 0), ("ray_asha", 0), ("optuna", 0), ("asha", 1), ("optuna", 1)]
    said = capsys.readouterr().err
    assert "ray_asha, seed 0: left out, as ray.tune cannot be imported" in said
    assert "optuna, seed 1: failed: MemoryError" in said
    assert benchmark.main(command) == 0
    assert [run[1:] for run in ran[5:]] == [("ray_asha", 0), ("optuna", 1)]
    assert benchmark.main([*command, "--seconds", "200"]) == 0  # what was cut off is run again, what reached the target is not
    assert [run[1:] for run in ran[7:]] == [("ray_asha", 0), ("optuna", 0), ("optuna", 1)]
    assert benchmark.main([*command, "--report"]) == 0
    table = capsys.readouterr().out
    assert "| `--oracle asha` | 2 of 2 | 1 (1.0 to 1.0) | 2 | 10 | 1.0 |" in table
    assert "| `--oracle optuna --pruner median` | 2 of 2 |" in table

    with pytest.raises(SystemExit) as ended:
        benchmark.main([*command, "--target", "0.5"])
    assert ended.value.code == 2
    assert "under other conditions" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        benchmark.main(["--calibrate", "0"])
    assert ended.value.code == 2
    assert "must be an int of at least 1; received '0'" in capsys.readouterr().err
    (tmp_path / "runs.jsonl").write_text("{half a li")
    with pytest.raises(SystemExit) as ended:
        benchmark.main([*command, "--report"])
    assert ended.value.code == 2
    assert "line 1: must be JSON" in capsys.readouterr().err


@pytest.mark.slow
def test_a_process_of_one_run_prints_one_line_of_json(capsys):
    assert benchmark.main(["--problem", "digits_mlp", "--arm", "asha", "--seed", "0", "--seconds", "0.001"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["epochs"] == 1
    assert not line["reached"]


# -- tables ---------------------------------------------------------------------------------------


def test_a_run_that_did_not_reach_the_target_took_longer_than_all_others():
    lines = [
        *[line_of("asha", seed, 10.0 + seed, epochs=20 + seed) for seed in range(3)],
        *[line_of("hyperband", seed, 30.0) for seed in range(2)],
        line_of("hyperband", 2, 100.2, reached=False, epochs=300),
        line_of("keras_tuner_bayesian", 0, 90.0),
        *[line_of("keras_tuner_bayesian", seed, 101.0, reached=False, epochs=40 + seed) for seed in (1, 2)],
        line_of("optuna_keras", 0, 55.0),
        *[line_of("ray_asha", seed, 30.0 + 10 * seed) for seed in range(2)],
        *[line_of("asha_whole", seed, 5.0 + seed, best=0.96 + seed / 1000) for seed in range(3)],
    ]
    table = tables.report(lines)
    assert f"| `mnist_mlp`, 10,000 samples, accuracy {CONDITIONS['target']:g} |" in table
    assert "| `--oracle asha` | 3 of 3 | 11 (10.0 to 12.0) | 22 | 21 | 1.0 |" in table
    assert "| `--oracle hyperband` | 2 of 3 | 30 (30.0 to > 100.2) | 60 | 10 | 2.7 |" in table
    assert "| KerasTuner: BayesianOptimization | 1 of 3 | > 101 (90.0 to > 101.0) | > 202 | > 41 | > 9.2 |" in table
    assert "| Ray Tune: ASHA | 2 of 2 | 35 (30.0 to 40.0) |  | 10 | 3.2 |" in table
    assert "| Optuna: TPE, median pruner | 1 of 1 | 55 | 110 | 10 | 5.0 |" in table
    assert "| `mnist_mlp` | `--oracle asha`: 11 | > 101; < 0.11; < 0.11 | 55; 0.20; 0.20 | 35; 0.31 |" in table
    assert "| `--oracle asha` | 6.0 (5.0 to 7.0) | 10 | 0.9610 (0.9600 to 0.9620) | 3 |" in table
    assert tables.report([]) == "Nothing was run yet."


def test_calibration_says_how_many_settings_reach_the_target():
    case = dataclasses.replace(CASES["mnist_mlp"], target=0.9)
    said = tables.quantiles(case, ([0.1, 0.5, 0.8, 0.95], 0.85))
    assert "4 random settings" in said
    assert "50%: 0.6500" in said
    assert said.endswith("the declared defaults: 0.8500; 25% reach 0.9")


def test_the_page_shows_the_runs_that_are_kept():
    kept = Runs(ROOT / "docs" / "time_to_target", "tensorflow")
    page = (ROOT / "docs" / "oracles.md").read_text(encoding="utf-8")
    assert f"<!-- time to target -->\n\n{tables.report(kept.lines)}\n\n<!-- end of time to target -->" in page
    for name, case in CASES.items():
        if any(line["problem"] == name for line in kept.lines):
            assert f"accuracy {case.target:g}" in page
