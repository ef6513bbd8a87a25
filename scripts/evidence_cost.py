"""What a training step costs with each optimizer, and how many bytes its state has: the table costs.csv.

    python scripts/evidence_cost.py [--problem mnist_mlp ...] [--optimizer adam ...] [--rounds N] [--steps N]

On each problem of `evidence.py`, at its size, a model for each optimizer, in one process. After an epoch that is not counted,
each round trains all of them in turn, in compiled epochs as a search does; the median of the rounds counts. So what else the
machine does falls on all of them alike. What was measured of other problems and optimizers is kept; all that is to be compared
on a problem should be measured by one command.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts.evidence_problems import SIZES, problem_of  # noqa: E402
from scripts.evidence_runs import OPTIMIZERS, say_on_stderr  # noqa: E402
from scripts.evidence_tables import FILES, Cost, read, write  # noqa: E402

TABLES = pathlib.Path("results") / "evidence" / "tables"


def measured(problem: str, optimizers: list[str], rounds: int, steps: int, data_dir=None) -> list[Cost]:
    """The lines of a problem."""
    import keras
    import numpy as np

    import keras_optims
    import tuning
    from tuning.problems import make_problem

    size = SIZES[problem]
    made = make_problem(problem_of(problem), data_dir)
    batch_size = size.batch_size
    train = made.load(size.train, batch_size).train
    all_steps = len(train[0]) // batch_size
    x, y = (side[: steps * batch_size] for side in train)
    taken_steps = len(x) // batch_size
    models, slots, taken = {}, {}, {name: [] for name in optimizers}
    for name in optimizers:
        keras.utils.set_random_seed(0)
        model = models[name] = made.build(size.fix)
        optimizer = keras_optims.OPTIMIZERS[name]()
        before = len(optimizer.variables)
        optimizer.build(model.trainable_variables)
        # Without the copy of small weights that TensorFlow's groups keep: it belongs to a backend, not to the optimizer.
        kept = [each for each in optimizer.variables[before:] if each.name != "grouped_weights"]
        slots[name] = sum(int(np.prod(each.shape)) * np.dtype(each.dtype).itemsize for each in kept)
        model.compile(optimizer, made.loss, jit_compile=False)
        tuning.fit(model, x, y, batch_size=batch_size)
        if (reason := why_not_compiled(model)) is not None:
            raise RuntimeError(f"An epoch of {name} on {problem} was not compiled: {reason}")
    for number in range(rounds):
        for name in optimizers if number % 2 == 0 else reversed(optimizers):
            begun = time.perf_counter()
            tuning.fit(models[name], x, y, batch_size=batch_size)
            taken[name].append(1000 * (time.perf_counter() - begun) / taken_steps)
    weights = {name: sum(int(np.prod(each.shape)) for each in model.trainable_variables) for name, model in models.items()}
    return [
        Cost(problem, name, weights[name], slots[name], all_steps, statistics.median(each), min(each), max(each), rounds)
        for name, each in taken.items()
    ]


def why_not_compiled(model) -> str | None:
    """Why an epoch was left to Keras's own `fit`, if it was."""
    from tuning.training.epochs import left_to_keras

    return left_to_keras(model)


def main(arguments=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", nargs="+", choices=SIZES, default=list(SIZES), metavar="NAME")
    parser.add_argument("--optimizer", nargs="+", choices=OPTIMIZERS, default=OPTIMIZERS, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=64, help="at most, of a round")
    parser.add_argument("--tables", type=pathlib.Path, default=TABLES, help=f"of the table ({TABLES})", metavar="DIR")
    parser.add_argument("--data-dir", help="with the data sets", metavar="DIR")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1 or chosen.steps < 1:
        parser.error(f"--rounds and --steps must be at least 1; received {chosen.rounds} and {chosen.steps}.")
    from tuning.runtime.quiet import import_keras_quietly

    import_keras_quietly()
    for problem in chosen.problem:
        own = measured(problem, chosen.optimizer, chosen.rounds, chosen.steps, chosen.data_dir)
        known = {(line.problem, line.optimizer): line for line in [*read(Cost, chosen.tables), *own]}
        write(known.values(), Cost, chosen.tables)
        say_on_stderr(f"{problem}: {len(own)} optimizers")
    print(chosen.tables / FILES[Cost])


if __name__ == "__main__":
    main()
