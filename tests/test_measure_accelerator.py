"""`scripts/measure_accelerator.py` on the CPU, with small sizes: it keeps its time, and leaves nothing out silently."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_optims
from scripts import benchmark_update, measure_accelerator
from scripts.accelerator import steps, table
from scripts.accelerator.children import Child
from scripts.accelerator.formula import FormulaOnKeras, FormulaOnOurs

ROOT = pathlib.Path(__file__).parents[1]
STAGES = [name for name, _ in measure_accelerator.Measurement(measure_accelerator._options(["--device", "cpu"]))._stages()]


def silent(what):
    pass


# -- steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [20_000, 1_000_000, 10**9])
def test_the_transformer_has_so_many_parameters(parameters):
    shapes = steps.transformer(parameters)
    assert sum(map(benchmark_update.size, shapes)) == pytest.approx(parameters, rel=0.01)
    assert len(shapes) > 8


@pytest.mark.parametrize("make", [FormulaOnOurs, FormulaOnKeras])
def test_the_formulas_of_a_user_are_adam(make):
    ends = []
    for optimizer in (make(0.01), keras_optims.Adam(0.01)):
        variable = keras.Variable(np.linspace(-1, 1, 5, dtype="float32"))
        optimizer.build([variable])
        for factor in (1.0, -0.5, 2.0):
            optimizer.apply([keras.ops.multiply(variable.value, factor)], [variable])
        ends.append(keras.ops.convert_to_numpy(variable.value))
    np.testing.assert_allclose(*ends, rtol=1e-5)


def test_every_contestant_is_measured_or_says_why_not():
    rows = list(steps.one_by_one("adam", 20_000, None, 600, 0.01, silent))
    names = [row["contestant"] for row in rows]
    assert {name.split(",")[0] for name in names} >= {"ours", "Keras", "formula on ours", "formula on Keras"}
    assert not [name for name in steps.contestants("momentum", []) if "formula" in name]
    peer = {"tensorflow": "Keras, XLA", "jax": "optax", "torch": "torch.optim, fused"}[keras.backend.backend()]
    assert peer in names
    for row in rows:
        if row["contestant"] == "optax" and "not_measured" in row:
            assert "optax" in row["not_measured"]
            continue
        assert row["bytes"] == 4 * row["parameters"] * 7
        assert row["gigabytes_per_second"] == pytest.approx(row["bytes"] / row["milliseconds"] / 1e6)


def test_contestants_in_turn_make_the_same_rows(monkeypatch):
    monkeypatch.setitem(benchmark_update.CASES, "resnet50", [(30, 20), (20,)])
    rows = list(steps.together("momentum", 600, 0.01, silent))
    assert {(row["parameters"], row["tensors"], row["bytes"]) for row in rows if "bytes" in row} == {(620, 2, 4 * 620 * 5)}
    assert next(row["contestant"] for row in rows if "bytes" in row).startswith("ours")


def test_what_is_not_compiled_in_time_does_not_take_part():
    rows = list(steps.together("adam", 0, 0.01, silent))
    assert [row["not_measured"] for row in rows] == ["out of time"] * len(steps.contestants("adam", []))


def test_parameters_are_halved_until_they_fit(monkeypatch):
    def contestants(name, shapes):
        def make():
            if sum(map(benchmark_update.size, shapes)) > 5_000_000:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4294967296 bytes.")
            return lambda: None

        return {"ours": make, "wrong": lambda: 1 / 0}

    monkeypatch.setattr(steps, "contestants", contestants)
    monkeypatch.setattr(benchmark_update, "waiting", lambda: silent)
    ours, wrong = steps.one_by_one("adam", 8_000_000, None, 600, 0.01, silent)
    assert ours["halved_from"] == 8_000_000
    assert ours["parameters"] == pytest.approx(4_000_000, rel=0.01)
    assert wrong == {"contestant": "wrong", "not_measured": "ZeroDivisionError: division by zero"}
    ours, _ = steps.one_by_one("adam", 8_000_000, 16_000_000, 600, 0.01, silent)
    assert ours["parameters"] == pytest.approx(500_000, rel=0.01)


def test_the_bandwidth_is_that_of_three_arrays():
    row = steps.bandwidth(100_000, 0.01)
    assert row["bytes"] == 1_200_000
    assert row["gigabytes_per_second"] == pytest.approx(row["bytes"] / row["milliseconds"] / 1e6)


# -- trials ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:(currentThread|getName)\\(\\) is deprecated:DeprecationWarning")  # KerasTuner's own
def test_trials_without_mnist_are_of_random_images_and_say_so(tmp_path, monkeypatch):
    from scripts.accelerator.trials import trials_per_hour

    monkeypatch.setenv("KERAS_OPTIMS_DATA", str(tmp_path))
    rows = list(trials_per_hour("mnist_mlp", 256, 2, 2, 600, silent))
    assert [row["contestant"] for row in rows] == ["ours, one by one", "stock KerasTuner", "ours, --batch-trials 2"]
    assert {row["data"] for row in rows} == {"synthetic, of MNIST's shapes"}
    if keras.backend.backend() != "jax":
        assert rows.pop()["not_measured"] == "it needs the JAX backend"
    for row in rows:
        assert "not_measured" not in row, row
        assert row["trials_per_hour"] == pytest.approx(3600 / row["seconds_per_trial"])


@pytest.mark.data
def test_trials_take_mnist_where_it_is(data_dir):
    from scripts.accelerator.trials import problem_and_data

    problem, data = problem_and_data("mnist_cnn")
    assert data == "MNIST"
    assert len(problem.load(640).train[1]) == 640


# -- processes and time ---------------------------------------------------------------------------

STUB = """
import json, os, sys, time
for line in sys.stdin:
    kind = json.loads(line)["kind"]
    print(json.dumps({"doing": "the first"}), flush=True)
    print(json.dumps({"row": {"process": os.getpid()}}), flush=True)
    if kind == "hang":
        time.sleep(600)
    if kind == "crash":
        print("so it ends", file=sys.stderr, flush=True)
        os.abort()
    print(json.dumps({"error": "wrong"} if kind == "raise" else {"done": True}), flush=True)
"""


@pytest.mark.backend("tensorflow")
def test_a_stage_that_hangs_crashes_or_raises_costs_itself_alone(tmp_path, monkeypatch):
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Child("tensorflow", "cpu", "stub") as child:

        def rows(kind, seconds):
            return list(child.rows({"kind": kind}, seconds, silent))

        first = rows("good", 60)
        assert rows("good", 60) == first
        assert rows("good", 1) == [{"not_measured": "out of time"}]
        _, hung = rows("hang", 3)
        assert hung["not_measured"] == "out of time: no result within 3 s, at: the first"
        second, crashed = rows("crash", 60)
        assert second != first[0]
        assert crashed["not_measured"] == "the process was ended by SIGABRT, at: the first: so it ends"
        third, raised = rows("raise", 60)
        assert raised["not_measured"] == "wrong"
        assert rows("good", 60) == [third]
    with pytest.raises(ProcessLookupError):
        os.kill(third["process"], 0)


def command(*arguments):
    return [sys.executable, ROOT / "scripts/measure_accelerator.py", "--device", "cpu", "--quick", *arguments]


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_it_keeps_its_time_and_names_every_stage(tmp_path):
    file = tmp_path / "measured.json"
    arguments = ["--backend", "tensorflow", "--minutes", "0.6", "--parameters", "2e4", "--json", file]
    made = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    report = json.loads(file.read_text())
    assert report["seconds"] < 36, made.stderr
    assert {row["stage"] for row in report["measurements"]} >= {"doctor", "start", "bandwidth"} | {
        stage.replace("1e9", "2e4") for stage in STAGES
    }
    assert made.returncode == (0 if any("bytes" in row for row in report["measurements"]) else 1)
    assert made.stdout.splitlines()[0].endswith(f"{report['seconds']:.0f} s of 36 s.")
    assert all("not_measured" in row or len(row) > 3 for row in report["measurements"])
    assert "out of time" in made.stdout


@pytest.mark.backend("tensorflow")
def test_what_there_is_comes_out_when_it_is_ended():
    with subprocess.Popen(
        command("--backend", "tensorflow"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        first = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        report, said = process.communicate()
    assert first.startswith("tensorflow, doctor, processor: pass")
    measured, *_, last = json.loads(report)["measurements"]
    assert (measured["check"], last["not_measured"]) == ("processor", "interrupted")
    assert "Not measured:" in said
    assert process.returncode == 1


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("arguments", [("--minutes", "0"), ("--parameters", "many"), ("--backend", "numpy")])
def test_wrong_options_are_refused_in_one_sentence(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        measure_accelerator.main(list(arguments))
    assert ended.value.code == 2
    assert arguments[1] in capsys.readouterr().err.splitlines()[-1]


# -- the table ------------------------------------------------------------------------------------


def test_the_table_is_read_at_100_columns_and_leaves_nothing_out():
    speed = {"milliseconds": 8.4, "rounds": 9, "bytes": 28, "gigabytes_per_second": 3331.2, "share_of_bandwidth": 0.9}
    step = {"backend": "tensorflow", "stage": "step of Momentum on ResNet-50", "contestant": "formula on Keras, graph", **speed}
    step |= {"parameters": 25_600_000, "halved_from": 10**9, "first_call_seconds": 12.3, "ours_relative_to_it": 0.25}
    trials = {
        "backend": "tensorflow",
        "stage": "trials of mnist_cnn",
        "contestant": "ours, --batch-trials 32",
        "seconds_per_trial": 0.03,
    }
    trials |= {"data": "synthetic, of MNIST's shapes", "trials_per_hour": 123456, "first_seconds": 44.4}
    lost = [{**trials, "backend": "torch", "contestant": who, "not_measured": "it needs JAX " * 20} for who in ("one", "two")]
    rows = [{"backend": "tensorflow", "stage": "start", "device": "NVIDIA H100 80GB HBM3"}, step, trials, *lost]
    report = {"measurements": rows, "seconds": 470, "minutes": 8, "machine": {"processor": "AMD EPYC", "cores": 16}}
    text = table.tables(report)
    assert max(map(len, text.splitlines())) <= 100
    for part in (
        "NVIDIA H100",
        "formula on Keras, graph",
        "halved until",
        "3331",
        "90 %",
        "0.25",
        "123456",
        "synthetic",
        "one; two",
    ):
        assert part in text
