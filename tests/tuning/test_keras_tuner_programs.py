"""Programs for KerasTuner, which it runs as they are, run when its import is swapped for ours, and nothing else."""

import pathlib
import re

import pytest

from tests.tuning.test_chief_and_workers import free_port
from tuning import SearchResult

PROGRAMS = pathlib.Path(__file__).with_name("keras_tuner_programs")

pytestmark = [pytest.mark.slow, pytest.mark.backend("tensorflow")]


def swapped(name, folder):
    """The program with our package under KerasTuner's name, in this folder."""
    text = (PROGRAMS / name).read_text()
    text, count = re.subn(
        r"^import keras_tuner(?: as (\w+))?$", lambda found: f"import tuning as {found[1] or 'keras_tuner'}", text, flags=re.M
    )
    assert count == 1
    assert "keras_tuner" not in re.sub(r"import tuning as keras_tuner|\bkeras_tuner\.(?!src)", "", text)
    (folder / name).write_text(text)
    return name


def printed(output, beginning):
    """What stands after this at the beginning of a line."""
    (line,) = (line for line in output.splitlines() if line.startswith(f"{beginning}: "))
    return line.removeprefix(f"{beginning}: ")


def test_a_program_with_a_fit_of_its_own(tmp_path, forks):
    status, output = forks.run(tmp_path, swapped("own_fit.py", tmp_path))
    assert status == 0, output
    result = SearchResult.load(tmp_path / "my_dir/own_fit")
    assert [trial.state for trial in result.trials] == ["completed"] * 3
    assert all(len(trial.executions) == 2 and {"batch_size", "shuffle"} <= set(trial.hyperparameters) for trial in result.trials)
    assert "Classifier: 3 trials, val_accuracy (max)" in output
    assert "model.fit, which is slower" not in output
    assert float(printed(output, "best model")) == pytest.approx(max(result.best.executions), abs=1e-6)
    best = result.best.hyperparameters
    assert printed(output, "best setting") == f"{best['learning_rate']} {best['batch_size']}"
    assert printed(output, "on all data") == "2 epochs"


def test_a_program_whose_space_has_conditions(tmp_path, forks):
    for again in range(2):
        status, output = forks.run(tmp_path, swapped("conditional.py", tmp_path))
        assert status == 0, output
        assert output.count("ended: ") == (0 if again else 6)
        assert printed(output, "remaining") == "0"
        assert printed(output, "brackets") == "[1, 3]"
    result = SearchResult.load(tmp_path / "my_dir/conditional")
    assert len(result.trials) == 6
    for trial in result.trials:
        setting = trial.hyperparameters
        assert ("filters" in setting, "depth" in setting) == (setting["kind"] == "cnn", setting["kind"] == "mlp")
        assert ("momentum" in setting) == (setting["optimizer"] == "sgd")
        assert trial.state == "failed" if setting.get("filters") == 8 else trial.state == "completed"
    best = result.best.hyperparameters
    assert printed(output, "best setting") == f"{best['kind']} {best['batch_size']}"


# Each process as after `KERASTUNER_TUNER_ID=chief ... python distributed.py`, but Keras is imported once for all.
STARTED = """
import os
import runpy

started = {}
for name in ("chief", "worker0", "worker1"):
    if (process := os.fork()) == 0:
        os.environ |= {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "PORT"}
        for descriptor in (1, 2):
            os.dup2(os.open(f"{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
        runpy.run_path("distributed.py", run_name="__main__")
        raise SystemExit(0)
    started[process] = name
for _ in range(len(started)):
    process, status = os.wait()
    print(f"{started[process]}: {status}")
"""


def test_a_program_that_is_chief_and_workers(tmp_path, forks):
    swapped("distributed.py", tmp_path)
    (tmp_path / "started.py").write_text(STARTED.replace('"PORT"', f'"{free_port()}"'))
    status, output = forks.run(tmp_path, "started.py")
    said = {name: (tmp_path / f"{name}.txt").read_text() for name in ("chief", "worker0", "worker1")}
    assert status == 0, output
    assert {name: printed(output, name) for name in said} == dict.fromkeys(said, "0"), said
    result = SearchResult.load(tmp_path / "my_dir/shared")
    assert [trial.state for trial in result.trials] == ["completed"] * 4
    for name in ("worker0", "worker1"):
        assert printed(said[name], "best setting") == str(result.best.hyperparameters["units"])
        assert float(printed(said[name], "best model")) == pytest.approx(result.best.score, rel=1e-5)
