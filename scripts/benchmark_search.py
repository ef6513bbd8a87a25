"""How many trials per hour a search trains: ours and stock KerasTuner, with the same model, settings, epochs and data.

    python scripts/benchmark_search.py [--backend tensorflow|jax|torch] [--case NAME ...] [--trials N] [--rounds N] [--json]

A case is a problem, a number of training samples, and epochs. The two searches take turns in one process, a few trials each time,
so that both meet the same load of the machine; medians per trial are what counts. Both train the same settings of Adam, drawn
once: stock KerasTuner as its guides show it (`keras_tuner.Tuner` with an optimizer of `keras.optimizers`, which rebuilds and
recompiles the model in each trial, and writes a checkpoint of the weights), ours as `keras-optims tune` does, one trial at a
time. Our first trial, which compiles and measures, is reported by itself.

"bare" is the training alone: one compiled loop over the epochs and evaluations of a model that is there already, no search, no
callbacks. So training / trial is the share of the time that is training; the rest is asking, building, compiling or resetting,
and storing. With --harness also: what the search itself costs in 2,000 trials of zero length, and its memory over 600 real ones.
With --spaces N instead: N trials of our searches of different spaces, which take turns: the learning rate; with it the warm-up
of a cosine schedule; 6 optimizers and 3 activations, that is 18 structures.
Data of the real problems are read from the folder that KERAS_OPTIMS_DATA names.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

CASES = {
    "mnist_mlp": ("mnist_mlp", 10_000, 1),
    "mnist_mlp_full": ("mnist_mlp", None, 3),
    "mnist_cnn": ("mnist_cnn", 10_000, 1),
    "cifar10_3c3d": ("cifar10_3c3d", 2_560, 1),
    "digits_mlp": ("digits_mlp", None, 20),
}
TO_REACH = {"tensorflow": {"mnist_mlp": 8, "mnist_mlp_full": 4, "mnist_cnn": 3}, "jax": {"mnist_mlp": 20}}


def main() -> int:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--backend", choices=("tensorflow", "jax", "torch"), default=os.environ.get("KERAS_BACKEND", "tensorflow")
    )
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=["mnist_mlp", "mnist_mlp_full", "mnist_cnn"])
    parser.add_argument("--trials", type=int, default=4, help="of each search in a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of taking turns (default: %(default)s)")
    parser.add_argument("--harness", action="store_true", help="also the cost and the memory of the search itself")
    parser.add_argument("--spaces", type=int, metavar="N", help="only what N trials of different spaces cost")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.spaces:
        print(json.dumps({"backend": options.backend, "cores": os.cpu_count(), "spaces": spaces(options.spaces)}, indent=2))
        return 0
    results = [measure(case, options.trials, options.rounds) for case in options.case]
    report = {"backend": options.backend, "cores": os.cpu_count(), "cases": results}
    if options.harness:
        report["harness"] = harness()
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_table(report)
    return 0


def measure(case: str, trials: int, rounds: int) -> dict:
    """Seconds per trial of both searches, and what they found."""
    from tuning.problems import make_problem
    from tuning.problems.problem import Data, take
    from tuning.space.space import Space

    name, samples, epochs = CASES[case]
    problem = make_problem(name)
    data = problem.load()
    data = Data(take(data.train, slice(samples)), data.validation)  # 10,000 samples leave a short last batch, for both
    settings = draw(Space.of("adam"), trials * rounds)
    with tempfile.TemporaryDirectory() as folder:
        ours, stock = Ours(problem, data, epochs, settings, folder), Stock(problem, data, epochs, settings, folder)
        ours.run(settings[:1])  # compiles, and measures how
        first = ours.seconds.pop()
        ours.scores.clear()
        bare = Bare(ours)
        for i in range(rounds):
            part = settings[i * trials : (i + 1) * trials]
            stock.run(part)
            ours.run(part)
            bare.run(part)
    stock_trial, trial, training = (statistics.median(each.seconds) for each in (stock, ours, bare))
    return {
        "case": case,
        "samples": len(data.train[1]),
        "epochs": epochs,
        "seconds_per_trial": {"stock": stock_trial, "ours": trial, "bare": training, "our_first": first},
        "trials_per_hour": {"stock": 3600 / stock_trial, "ours": 3600 / trial},
        "times_as_many": stock_trial / trial,
        "to_reach": TO_REACH.get(os.environ["KERAS_BACKEND"], {}).get(case),
        "training_share": {"stock": training / stock_trial, "ours": training / trial},
        "over_bare": trial / training,
        "choices": ours.choices,
        "scores": {"stock": stock.scores, "ours": ours.scores},
    }


OPTIMIZERS = ["adam", "momentum", "rmsprop", "adagrad", "nadam", "lion"]


def spaces(trials: int, problem_name: str = "mnist_cnn", samples: int = 2_048) -> dict:
    """Milliseconds per trial of one epoch, and how many trials found a compiled model, of several spaces that take turns."""
    from tuning.problems import make_problem
    from tuning.problems.problem import Data, take
    from tuning.space.space import Space

    problem = make_problem(problem_name)
    data = problem.load()
    data = Data(take(data.train, slice(samples)), take(data.validation, slice(512)))
    fix, rate = {"beta_1": 0.9, "beta_2": 0.999}, {"learning_rate": (1e-4, 1e-2, "log")}
    structure = problem.structure()
    steps = -(-samples // problem.batch_size)
    chosen = {"activation": ["relu", "gelu", "tanh"]}
    made = {
        "learning rate": Space.of("adam", rate, fix),
        "learning rate, warm-up of a cosine": Space.of("adam", {**rate, "warmup": (0.0, 0.2)}, fix, "cosine").in_steps(steps),
        "6 optimizers, 3 activations": Space.of(OPTIMIZERS, chosen, structure=structure),
        "the same, 4 models kept": Space.of(OPTIMIZERS, chosen, structure=structure),
    }
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        arms, settings = {}, {}
        for i, (name, space) in enumerate(made.items()):
            settings[name] = draw(space, trials)
            arms[name] = Ours(problem, data, 1, settings[name], f"{folder}/{i}", space=space)
        chunk = 6
        for begin in range(0, trials, chunk):
            for name, arm in arms.items():
                arm.run(settings[name][begin : begin + chunk])
                if name.endswith("4 models kept"):
                    arm._trainer.models._bound = 4
    for name, arm in arms.items():
        models = arm._trainer.models
        found[name] = {
            "mean": round(1e3 * statistics.mean(arm.seconds)),
            "median": round(1e3 * statistics.median(arm.seconds)),
            "warm": f"{models.hits} of {trials}",
            "kept": len(models._kept),
        }
    return found


def draw(space, count: int) -> list[dict[str, float]]:
    """Settings, the same ones for both searches."""
    import numpy as np

    generator = np.random.default_rng(0)
    return [{axis.name: axis.prob_to_value(generator.uniform()) for axis in space.hyperparameters().space} for _ in range(count)]


def given(settings, objective):
    """An oracle that proposes these settings, one after the other."""
    import keras_tuner

    class Given(keras_tuner.Oracle):
        def populate_space(self, trial_id):
            number = int(trial_id)
            return (
                {"status": "RUNNING", "values": settings[number]}
                if number < len(settings)
                else {"status": "STOPPED", "values": None}
            )

    hp = keras_tuner.HyperParameters()
    for name in settings[0]:
        hp.Float(name, 0.0, 1.0)
    return Given(
        objective=objective, max_trials=len(settings), hyperparameters=hp, allow_new_entries=False, tune_new_entries=False
    )


class Ours:
    """The search of this package: one tuner for all rounds, so that what is compiled stays compiled.

    `together`: how many trials train in one program, as `--batch-trials` says; `space`: if it is not that of Adam.
    """

    def __init__(self, problem, data, epochs, settings, folder, together=1, space=None):
        from tuning.space.space import Space
        from tuning.training.problem_model import ProblemModel

        self.problem, self.epochs, self.folder, self.together = problem, epochs, folder, together
        self.model = ProblemModel(Space.of("adam") if space is None else space, problem, made=problem, epochs=epochs)
        self.model._data = data
        self.seconds, self.scores, self.choices, self._trainer, self._round = [], [], {}, None, 0

    def run(self, settings):
        """Searches these settings."""
        import tuning
        from tuning.engines.here import HereEngine
        from tuning.results.search import SearchResult
        from tuning.study.ledger import Listener

        outer, last = self, [time.perf_counter()]

        class Timed(tuning.Tuner):
            def trainer(self, *args):
                if outer._trainer is None:
                    outer._trainer = super().trainer(*args)
                return outer._trainer

        class Counting(Listener):
            def trial_ended(self, *arguments):
                outer.seconds.append(time.perf_counter() - last[0])
                last[0] = time.perf_counter()

        self._round += 1
        name = f"ours-{self._round}"
        tuner = Timed(
            given(settings, f"{self.problem.objective}"),
            self.model,
            directory=self.folder,
            project_name=name,
            engine=HereEngine(self.together),
            jit="auto",
            listener=Counting(),
        )
        last[0] = time.perf_counter()
        tuner.search(epochs=self.epochs)
        self.scores += [trial.score for trial in SearchResult.load(f"{self.folder}/{name}").trials]
        from tuning.store.database import Store

        with Store.open(f"{self.folder}/{name}", read_only=True) as store:
            self.choices |= store.choices()


class Stock:
    """KerasTuner as its guides show it."""

    def __init__(self, problem, data, epochs, settings, folder):
        self.problem, self.data, self.epochs, self.folder = problem, data, epochs, folder
        self.seconds, self.scores, self._round = [], [], 0

    def run(self, settings):
        """Searches these settings."""
        import keras
        import keras_tuner

        outer, last = self, [0.0]

        def build(hp):
            model = self.problem.model()
            metrics = [m if isinstance(m, str) else type(m).from_config(m.get_config()) for m in self.problem.metrics]
            optimizer = keras.optimizers.Adam(**{name: hp.get(name) for name in settings[0]})
            model.compile(optimizer=optimizer, loss=self.problem.loss, metrics=metrics)
            return model

        class Timed(keras_tuner.Tuner):
            def on_trial_end(self, trial):
                super().on_trial_end(trial)
                outer.seconds.append(time.perf_counter() - last[0])
                outer.scores.append(self.oracle.get_trial(trial.trial_id).score)
                last[0] = time.perf_counter()

        self._round += 1
        tuner = Timed(given(settings, self.problem.objective), build, directory=self.folder, project_name=f"stock-{self._round}")
        last[0] = time.perf_counter()
        tuner.search(
            *self.data.train,
            epochs=self.epochs,
            batch_size=self.problem.batch_size,
            validation_data=self.data.validation,
            verbose=0,
        )


class Bare:
    """The same epochs of a compiled model, and nothing else."""

    def __init__(self, ours):
        self.ours, self.seconds = ours, []

    def run(self, settings):
        """Trains as often as there are settings."""
        import numpy as np

        from tuning.training import epochs
        from tuning.training.problem_model import fit_arguments

        (model,) = self.ours._trainer.models._kept.values()
        arguments = fit_arguments(self.ours.problem.batch_size, self.ours.model.load())
        train, validation = epochs.prepared(arguments["x"], arguments["y"], arguments["validation_data"], 0.0)
        compiled = epochs._compiled(model, train, arguments["batch_size"])
        for _ in settings:
            begun = time.perf_counter()
            for _ in range(self.ours.epochs):
                compiled.train(train, np.random.permutation(epochs.count(train)).astype("int32"), arguments["batch_size"])
                compiled.test(validation, arguments["validation_batch_size"])
                float(model.get_metrics_result()["loss"])
            self.seconds.append(time.perf_counter() - begun)


def harness() -> dict:
    """What a trial of zero length costs, and how much memory 500 trials of a small model add."""
    spec = importlib.util.spec_from_file_location("benchmark_harness", pathlib.Path(__file__).with_name("benchmark_harness.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with tempfile.TemporaryDirectory() as folder:
        empty = {oracle: module.measure(oracle, 2000, f"{folder}/{oracle}") for oracle in ("random", "quasirandom")}
    return {"empty_trials": empty, "memory": memory(module.resident_kilobytes)}


def memory(resident) -> dict:
    """Kilobytes that the process holds after 100 and after 600 trials of `digits_mlp`, one epoch each."""
    import tuning

    marks = {}

    def search(trials, folder):
        tuning.search("adam", "digits_mlp", trials=trials, epochs=1, directory=folder, progress=False, batch_trials=1)

    with tempfile.TemporaryDirectory() as folder:
        for trials in (100, 350, 600):
            with contextlib.redirect_stdout(sys.stderr):
                search(trials, folder)
            marks[trials] = resident()
    return {"kilobytes_after": marks, "kilobytes_per_trial": (marks[600] - marks[350]) / 250}


def print_table(report: dict) -> None:
    """For people."""
    heads = ("case", "stock", "ours", "bare", "first", "times", "to reach", "share: stock", "ours", "way")
    row = "{:16}" + "{:>10}" * 5 + "{:>10}{:>14}{:>7}  {}"
    print(f"{report['backend']}, {report['cores']} cores; median seconds per trial; share of training in them")
    print(row.format(*heads))
    for case in report["cases"]:
        seconds = [f"{case['seconds_per_trial'][who]:.3f}" for who in ("stock", "ours", "bare", "our_first")]
        shares = [f"{case['training_share'][who]:.0%}" for who in ("stock", "ours")]
        goal, way = case["to_reach"] or "", case["choices"].get("way", {}).get("value")
        print(row.format(case["case"], *seconds, f"{case['times_as_many']:.1f}", goal, *shares, way))
    for case in report["cases"]:
        pairs = zip(case["scores"]["stock"], case["scores"]["ours"], strict=True)
        found = "  ".join(" / ".join("-" if score is None else f"{score:.4f}" for score in pair) for pair in pairs)
        print(f"\n{case['case']}, results of stock / ours: {found}")
    if "harness" in report:
        print(json.dumps(report["harness"], indent=2))


if __name__ == "__main__":
    raise SystemExit(main())
