"""KerasTuner's chief and workers, as processes on loopback: each trial ends up in the chief's store, exactly once."""

import concurrent.futures
import socket
import subprocess
import sys
import textwrap
import time

import keras_tuner
import pytest

import tuning
from tests.tuning.conftest import JIT, environment, without_times
from tests.tuning.test_interruption import count
from tuning.engines import chief
from tuning.results.search import SearchResult
from tuning.space.space import Space
from tuning.training.problem_model import ProblemModel

PROGRAM = """
    import os, sys, time
    import keras_tuner
    import tuning
    from tuning.engines import chief
    from tuning.training.events import EpochEnded, ExecutionEnded

    chief.SIGN_SECONDS, chief.LOST_SECONDS, chief.ASK_AGAIN_SECONDS = 0.3, 3.0, 0.1
    WHO = os.environ["KERASTUNER_TUNER_ID"]


    def build(hp):
        hp.Float("x", 0.0, 1.0)


    class Light(tuning.Tuner):
        def run_trial(self, trial, seconds):
            assert self._searching.assignment(trial).ways == ("usual",)  # as the chief says
            number, x = int(trial.trial_id), trial.hyperparameters.values["x"]
            for epoch in range(2):
                time.sleep(seconds)
                self.record(EpochEnded(number, 0, epoch, {"val_loss": x - epoch}))
            self.record(ExecutionEnded(number, 0, 1, x - 1, 1, time.time(), 2 * seconds))
            if number == 2:
                raise RuntimeError("number 2 cannot be trained")
            return float("nan") if number == 3 else x - 1


    tuner = Light(
        keras_tuner.oracles.RandomSearchOracle(objective=keras_tuner.Objective("val_loss", "min"), max_trials=8, seed=3),
        build,
        directory=sys.argv[1],
        project_name="shared",
        jit="auto" if WHO == "chief" else None,
    )
    tuner.search(float(sys.argv[2]))
    print(WHO, tuner.get_best_hyperparameters()[0].values["x"])
"""


def begin(name, port, directory, seconds=0.15, **changes):
    changes |= {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    (directory / "program.py").write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, "program.py", "out", str(seconds)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=directory, env=environment(**changes), text=True, **pipes)


def free_port():
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def wait_until(condition, *processes):
    end = time.monotonic() + 120
    while not condition():
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_trials_end_in_the_chief_s_store_once_even_if_a_worker_and_the_chief_are_killed(tmp_path):
    port, store = free_port(), tmp_path / "out" / "shared"
    first = begin("chief", port, tmp_path)
    workers = [begin(f"worker{i}", port, tmp_path) for i in range(2)]
    try:
        wait_until(lambda: count(store, "running") == 2, first, *workers)
        workers[0].kill()  # says nothing any more: after LOST_SECONDS its trial belongs to another
        wait_until(lambda: count(store) >= 2, first, workers[1])
        first.kill()
        first.communicate()
        finished = {trial.number: trial for trial in SearchResult.load(store).trials if trial.state != "running"}
        second = begin("chief", port, tmp_path)
        said = [process.communicate(timeout=120) for process in (second, workers[1])]
        assert [process.returncode for process in (second, workers[1])] == [0, 0], said
    finally:
        for process in (first, *workers):
            process.kill()
            process.communicate()
    trials = SearchResult.load(store).trials
    states = {2: "failed", 3: "diverged"}
    assert [trial.state for trial in trials] == [states.get(number, "completed") for number in range(8)]
    assert trials[2].message == "RuntimeError: number 2 cannot be trained"
    for number, trial in finished.items():
        assert trial == trials[number]
    with tuning.Store.open(store, read_only=True) as opened:
        epochs = [(row["trial"], row["epoch"]) for row in opened.rows("epochs")]
    assert epochs == [(number, epoch) for number in range(8) for epoch in range(2)]
    best = {float(stdout.split()[1]) for stdout, _ in said}  # each process knows the best setting in the end
    assert len(best) == 1


def test_a_schedule_through_a_chief_and_a_worker_gives_the_trials_of_one_process(tiny, tmp_path, monkeypatch):
    """As `--schedule cosine --search warmup=0:0.2`, with a chief in a thread, which trains nothing."""
    space = Space.of("adam", {"warmup": (0.0, 0.2)}, schedule="cosine").in_steps(4)
    objective = keras_tuner.Objective("val_accuracy", "max")

    def tuner(folder):
        oracle = tuning.make_oracle(
            "quasirandom", objective=objective, hyperparameters=space.hyperparameters(), trials=4, epochs=2, seed=0
        )
        return tuning.Tuner(oracle, ProblemModel(space, tiny, epochs=2), directory=tmp_path, project_name=folder, jit=JIT)

    def trials(folder):
        found = [trial.to_json() for trial in SearchResult.load(tmp_path / folder).trials]
        assert all({"warmup", "learning_rate"} <= set(trial["hyperparameters"]) for trial in found)
        return without_times({"trials": found})

    tuner("alone").search(epochs=2, verbose=0)
    monkeypatch.setattr(chief, "ASK_AGAIN_SECONDS", 0.05)
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(free_port()))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    serving = tuner("shared")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    training = tuner("shared")
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        served = threads.submit(serving.search, epochs=2, verbose=0)
        training.search(epochs=2, verbose=0)
        served.result(timeout=60)
    assert trials("shared") == trials("alone")
    assert training.get_best_hyperparameters()[0].values == serving.get_best_hyperparameters()[0].values


def test_the_role_is_what_the_environment_says(monkeypatch):
    for name in chief._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert chief.role() is None
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(tuning.SearchError, match="must also have KERASTUNER_ORACLE_PORT and KERASTUNER_TUNER_ID"):
        chief.role()
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    assert chief.role() == "chief"
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker7")
    assert chief.role() == "worker"
    with pytest.raises(tuning.SearchError, match="KERASTUNER_ORACLE_IP is set"):
        tuning.search("adam", trials=1, progress=False)
