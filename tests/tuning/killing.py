"""Searches whose trials take some milliseconds, killed again and again. Run by test_killing.py in a process of its own.

    python -m tests.tuning.killing DIRECTORY SEED CASES_AS_JSON

All that takes long is imported once; each try is a fork of this process, and kill -9 ends it at a random moment. Printed is, for
each case, how many kills hit a running search, and what the store held after each of them and at the end.
"""

import json
import os
import pathlib
import random
import select
import signal
import sys
import time
import traceback

import cmaes  # noqa: F401
import keras_tuner
import optuna  # noqa: F401
import scipy.stats.qmc  # noqa: F401

import tuning
import tuning.oracles
import tuning.study.tuner
from tuning.store.database import Store, exists
from tuning.store.models import model_path
from tuning.training.events import BestModel, EpochEnded, ExecutionEnded, Left

EPOCHS = 4
KEPT_MODELS, MODEL_BYTES = 2, 2**22  # writing one takes about as long as a trial


class Light(tuning.Tuner):
    """Trains nothing: the curve follows from the setting."""

    started = None  # the pipe in which to say that the search runs

    def on_search_begin(self):
        if self.started is not None:
            os.write(self.started, b"!")

    def run_trial(self, trial, *args, **kwargs):
        return list(self.training(trial))[-1]

    def training(self, trial):
        """Its epochs one by one, and then its result."""
        number, values = int(trial.trial_id), trial.hyperparameters.values
        begun, losses = time.time(), []
        for epoch in range(values.get("tuner/epochs", EPOCHS)):
            time.sleep(0.001)
            losses.append((values["x"] - 0.3) ** 2 + values["y"] / (epoch + 1))
            if self.record(EpochEnded(number, 0, epoch, {"loss": losses[-1], "val_loss": losses[-1]})):
                break
            yield None
        loss = float("nan") if values["x"] > 0.9 else min(losses)  # some diverge
        self.record(ExecutionEnded(number, 0, number, loss, 0, begun, time.time() - begun))
        if self.ledger.assignment(trial).least is not None:
            self.record(BestModel(number, content(number)))
        if self.ledger.assignment(trial).leaves:
            self.record(Left(number, 0, values["tuner/epochs"], b"state"))
        yield {"val_loss": loss}


class InTurns:
    """Seats whose trials train an epoch at a time, in turns: as many workers, without what it takes to start them.

    Args:
        seats: how many.
        tuner: the `Light` one.
    """

    def __init__(self, seats, tuner):
        self.seats, self.tuner = seats, tuner

    def run(self, source, trainer, run_trial):
        running, chance, over = {}, random.Random(os.getpid()), False
        while running or not over:
            for seat in range(self.seats):
                if seat not in running and not over:
                    trial = source.next_trial(f"worker {seat}")
                    over = trial is None
                    if trial is not None and trial.status != "IDLE":
                        running[seat] = (trial, self.tuner.training(trial))
            if running:
                seat = chance.choice(sorted(running))
                trial, steps = running[seat]
                if (result := next(steps)) is not None:
                    del running[seat]
                    source.trial_done(trial, [result])


def content(number):
    """Of the model of a trial."""
    return number.to_bytes(8, "little") * (MODEL_BYTES // 8)


def make_tuner(case, directory, name, started=None):
    hyperparameters = keras_tuner.HyperParameters()
    for axis in ("x", "y"):
        hyperparameters.merge([tuning.SearchAxis(axis, 0.0, 1.0, points=8)])
    oracle = tuning.make_oracle(
        case["oracle"],
        objective=keras_tuner.Objective("val_loss", "min"),
        hyperparameters=hyperparameters,
        trials=case["trials"],
        epochs=EPOCHS,
        seed=0,
        sampler=case.get("sampler"),
        first=case.get("first", ()),
        population=case.get("population"),
        ready=case.get("ready"),
    )
    pruner = case.get("pruner")
    tuner = Light(oracle, directory=str(directory), project_name=name, pruner=pruner, keep_models=KEPT_MODELS)
    if "seats" in case:
        tuner.engine = InTurns(case["seats"], tuner)
    tuner.started = started
    return tuner


def fork(case, directory, name) -> tuple[int, int]:
    """Starts a search in a child; its number, and the pipe that tells when the search runs."""
    hears, tells = os.pipe()
    child = os.fork()
    if child:
        os.close(tells)
        return child, hears
    status = 1
    try:
        make_tuner(case, directory, name, tells).search(epochs=EPOCHS)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def held(directory, name):
    """The trials in the store, and how many executions each has."""
    if not exists(directory / name):
        return []
    with Store.open(directory / name, read_only=True) as store:
        rows, executions = store.rows("trials"), [row["trial"] for row in store.rows("executions")]
    wanted = ("number", "state", "hyperparameters", "epochs", "score", "begun", "ended")
    return [{**{key: row[key] for key in wanted}, "executions": executions.count(row["number"])} for row in rows]


def has_epochs(directory):
    """Whether an epoch has ended, of any trial."""
    with Store.open(directory, read_only=True) as store:
        return bool(store.rows("epochs"))


def kept(directory, name):
    """The numbers of the trials whose models are there, and of those among them that are not whole."""
    numbers = [number for number in range(256) if model_path(directory / name, number).exists()]
    return numbers, [number for number in numbers if model_path(directory / name, number).read_bytes() != content(number)]


def torment(case, directory, chance):
    """Kills a search at random moments until it is done."""
    snapshots, models, hits, late, idle, longest = [], [], 0, 0, 0, 0.05
    while True:
        child, hears = fork(case, directory, "killed")
        select.select([hears], [], [], 60)
        if hits < case["kills"]:
            time.sleep(chance.uniform(0, longest))
            os.kill(child, signal.SIGKILL)  # it stays a zombie, and its number its own, until it is waited for
        _, status = os.waitpid(child, 0)
        runs = os.read(hears, 1) == b"!"
        os.close(hears)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        hits += runs
        late += runs and has_epochs(directory / "killed")
        before = finished(snapshots[-1]) if snapshots else 0
        snapshots.append(held(directory, "killed"))
        models.append(kept(directory, "killed"))
        idle = idle + 1 if finished(snapshots[-1]) == before else 0
        if idle >= 3:  # else a slow machine, or a slow oracle, would never come to its next trial
            longest *= 1.5
    child, hears = fork(case, directory, "whole")
    assert os.waitpid(child, 0)[1] == 0
    os.close(hears)
    ends = {name: held(directory, of) for name, of in (("end", "killed"), ("whole", "whole"))}
    ends |= {f"models_of_{name}": kept(directory, of) for name, of in (("end", "killed"), ("whole", "whole"))}
    return {"hits": hits, "late": late, "snapshots": snapshots, "models": models, **ends, "left": left(directory / "killed")}


def left(directory):
    """The files in a search's folder."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def finished(rows):
    return sum(row["state"] != "running" for row in rows)


def main():
    directory, seed, cases = pathlib.Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    chance, results = random.Random(seed), {}
    for name, case in cases.items():
        begun = time.perf_counter()
        results[name] = torment(case, directory / name, chance)
        results[name]["seconds"] = time.perf_counter() - begun
    print(json.dumps(results))


if __name__ == "__main__":
    main()
