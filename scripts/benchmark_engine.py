"""How many trials of zero length a search can hand out and keep in a second: the most that any number of workers can use.

    python scripts/benchmark_engine.py [--engine local|ray] [--address A] [--workers N] [--trials N] [--json]
    python scripts/benchmark_engine.py --structures 48 [--rounds N]    # real trials of 6 optimizers and 3 activations

Everything is real but the training: the oracle proposes, the trial goes to a worker process, comes back with one epoch and one
execution, and each of its four steps is written to the store in a transaction. The clock starts when the first trial has come
back, so that the start of the processes is not in it. Also told: the bytes that go over the wire, and how the time of the driver,
which is one thread, divides.

With --structures N, N trials of `mnist_cnn` really train, of 18 structures (6 optimizers, 3 activations), 2,048 samples, 1 epoch:
once as a search hands them out, so that a worker gets one whose structure it has compiled, and once first come, first served.
Both take turns, each time with new processes; told are the seconds between the first and the last trial that came back, and how
many trials were warm.
"""

import argparse
import collections
import contextlib
import json
import pickle
import platform
import statistics
import sys
import tempfile
import time

from tuning.runtime.quiet import import_keras_quietly

import_keras_quietly()

import tuning  # noqa: E402
from tuning.oracles import make_oracle  # noqa: E402
from tuning.problems import make_problem  # noqa: E402
from tuning.study.ledger import Listener  # noqa: E402
from tuning.training.events import EpochEnded, ExecutionEnded, Noted  # noqa: E402
from tuning.training.problem_model import ProblemModel  # noqa: E402
from tuning.training.trainer import Trainer  # noqa: E402


class InstantTrainer(Trainer):
    """Says that it has trained."""

    def run(self, trial, hp, report, asked=None, **hooks):
        """One epoch and one execution, at once."""
        metrics = {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.4, "val_accuracy": 0.9}
        report(EpochEnded(trial, 0, 0, metrics))
        report(ExecutionEnded(trial, 0, 1, 0.9, 0, time.time(), 0.0))
        return [metrics]


class Telling(Trainer):
    """Tells of each trial that had a compiled model."""

    def run(self, trial, hp, report, asked=None, **hooks):
        """As any trainer."""
        hits = self.models.hits
        results = super().run(trial, hp, report, asked, **hooks)
        if self.models.hits > hits:
            report(Noted(f"trial {trial} was warm"))
        return results


class Alike(Telling):
    """To whose search all trials are of one structure: first come, first served."""

    def structure_of(self, hp):
        """The same of all."""
        return ()


class Around:
    """An engine around another, which trains with another trainer."""

    def __init__(self, engine, trainer):
        self.engine, self.trainer = engine, trainer

    def run(self, source, trainer, run_trial):
        """As the other engine, with the other trainer."""
        names = ("objective", "search_seed", "executions", "fit_args", "fit_kwargs", "ways")
        settings = {name: getattr(trainer, name) for name in names}
        self.engine.run(source, self.trainer(trainer.hypermodel, **settings), run_trial)


class Hears(Listener):
    """Counts the trials that were warm, and takes the times."""

    def __init__(self):
        self.warm, self.ended = 0, []

    def noted(self, text):
        """One more was warm."""
        self.warm += text.endswith("was warm")

    def trial_ended(self, number, state, score, message):
        """Takes the time."""
        self.ended.append(time.perf_counter())


class Timed:
    """An engine around another, which counts the driver's time in the calls that the other makes of the search's source."""

    def __init__(self, engine):
        self.engine = engine

    def __getattr__(self, name):
        return getattr(self.source, name)

    def run(self, source, trainer, run_trial):
        """With a trainer that does not train."""
        self.source = source
        self.trainer_bytes = len(pickle.dumps(trainer))
        self.spent = collections.Counter()
        self.ended = []
        settings = {"objective": trainer.objective, "search_seed": 0, "executions": 1, "fit_args": (), "fit_kwargs": {}}
        self.engine.run(self, InstantTrainer(None, **settings), run_trial)

    @contextlib.contextmanager
    def _counted(self, name):
        begun = time.perf_counter()
        yield
        self.spent[name] += time.perf_counter() - begun

    def next_trial(self, seat):
        """As the source's."""
        with self._counted("next_trial"):
            trial = self.source.next_trial(seat)
        if trial is not None:
            self.trial_bytes = len(pickle.dumps((0, trial.hyperparameters.get_config())))
        return trial

    def record(self, event):
        """As the source's."""
        self.event_bytes = len(pickle.dumps(event)) if isinstance(event, EpochEnded) else self.event_bytes
        with self._counted("record"):
            return self.source.record(event)

    def trial_done(self, trial, results):
        """As the source's."""
        with self._counted("trial_done"):
            self.source.trial_done(trial, results)
        self.ended.append(time.perf_counter())
        if len(self.ended) == 1:
            self.spent.clear()


def measure(engine, workers, count, address=None):
    """Runs a search of `count` trials."""
    problem = make_problem("digits_mlp", None)
    space = tuning.Space.of("adam", None, None)
    objective = trials_objective()
    with tempfile.TemporaryDirectory() as directory:
        timed = Timed(make_engine(engine, workers, address))
        tuner = tuning.Tuner(
            make_oracle(
                "quasirandom", objective=objective, hyperparameters=space.hyperparameters(None), trials=count, epochs=1, seed=0
            ),
            ProblemModel(space, "digits_mlp", None, None, problem),
            directory=directory,
            project_name="benchmark",
            engine=timed,
        )
        tuner.search(epochs=1)
    seconds = timed.ended[-1] - timed.ended[0]
    kept = len(timed.ended) - 1
    return {
        "engine": engine,
        "workers": workers,
        "trials": kept,
        "seconds": seconds,
        "trials_per_second": kept / seconds,
        "first_quarter": (kept // 4) / (timed.ended[kept // 4] - timed.ended[0]),
        "last_quarter": (kept // 4) / (timed.ended[-1] - timed.ended[-1 - kept // 4]),
        "milliseconds_per_trial": {name: 1000 * spent / kept for name, spent in timed.spent.items()},
        "bytes": {"trainer": timed.trainer_bytes, "trial": timed.trial_bytes, "epoch": timed.event_bytes},
        "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
    }


OPTIMIZERS = ["adam", "momentum", "rmsprop", "adagrad", "nadam", "lion"]


def measure_structures(engine, workers, count, address=None, rounds=2):
    """Seconds and warm trials of searches over 18 structures, with and without regard to them."""
    problem = make_problem("mnist_cnn", None)
    space = tuning.Space.of(OPTIMIZERS, {"activation": ["relu", "gelu", "tanh"]}, structure=problem.structure())
    found = {"by structure": [], "first come, first served": []}
    for _ in range(rounds):
        for (name, runs), trainer in zip(found.items(), (Telling, Alike), strict=True):
            hears = Hears()
            with tempfile.TemporaryDirectory() as directory:
                tuner = tuning.Tuner(
                    make_oracle(
                        "quasirandom",
                        objective=trials_objective(),
                        hyperparameters=space.hyperparameters(None),
                        trials=count,
                        epochs=1,
                        seed=0,
                    ),
                    ProblemModel(space, "mnist_cnn", None, 2048, problem, epochs=1),
                    directory=directory,
                    project_name="benchmark",
                    engine=Around(make_engine(engine, workers, address), trainer),
                    listener=hears,
                    keep_models=0,
                    jit="auto",
                )
                tuner.search(epochs=1)
            runs.append({"seconds": hears.ended[-1] - hears.ended[0], "warm": hears.warm})
            print(f"{name}: {runs[-1]}", file=sys.stderr)
    return {
        "engine": engine,
        "workers": workers,
        "trials": count,
        "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
        **{
            name: {key: statistics.median(run[key] for run in runs) for key in ("seconds", "warm")} | {"runs": runs}
            for name, runs in found.items()
        },
    }


def trials_objective():
    """What the benchmark's searches make best."""
    import keras_tuner

    return keras_tuner.Objective("val_accuracy", "max")


def make_engine(name, workers, address):
    """The engine by name."""
    if name == "ray":
        from tuning.engines.ray import RayEngine

        return RayEngine(workers, address=address)
    from tuning.engines.local import LocalEngine

    return LocalEngine(workers)


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--address", help="of a Ray cluster")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--structures", type=int, metavar="N", help="N real trials of 18 structures instead")
    parser.add_argument("--rounds", type=int, default=2, help="of --structures (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.structures:
        result = measure_structures(options.engine, options.workers, options.structures, options.address, options.rounds)
        print(json.dumps(result, indent=2))
        return
    result = measure(options.engine, options.workers, options.trials, options.address)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['engine']}, {result['workers']} workers: {result['trials_per_second']:.0f} trials/s over {result['trials']}")
    print(f"  {result['first_quarter']:.0f} in the first quarter, {result['last_quarter']:.0f} in the last")
    parts = ", ".join(f"{name} {spent:.2f}" for name, spent in result["milliseconds_per_trial"].items())
    print(f"  the driver's milliseconds per trial: {parts}")
    print("  bytes: " + ", ".join(f"{name} {size:,}" for name, size in result["bytes"].items()))


if __name__ == "__main__":
    main()
