"""How sensitive results are to each hyperparameter: real searches, the table of their trials, and what the documents show of it.

    python scripts/sensitivity.py search [--problem digits_mlp ...] [--optimizer adam ...] [--trials N] [--epochs N]
    python scripts/sensitivity.py picture [adam ...]     # docs/pictures/sensitivity_adam.png ..., from the table
    python scripts/sensitivity.py table [adam ...]       # the tables of the pages, and with story or story.ko those of the story

`search` tries settings that are spread evenly (quasirandom, one training for each) over the ranges of this study, in
docs/sensitivity/ranges.csv, and trains the best setting and the default setting with three fresh seeds. The searches are kept in
results/sensitivity, where the same command goes on with them; every training is a line of docs/sensitivity/trials.csv. All of it
takes about an hour; two commands with different optimizers, each with TF_NUM_INTRAOP_THREADS=1, took half of that on 2 cores.
MNIST and CIFAR-10 are looked for as by `keras-optims tune`.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts.chromium import write_png  # noqa: E402
from scripts.searches import searched_and_confirmed  # noqa: E402
from scripts.sensitivity_pictures import picture  # noqa: E402
from scripts.sensitivity_tables import STORIES, table  # noqa: E402
from scripts.sensitivity_trials import (  # noqa: E402
    AXES,
    BUDGETS,
    STUDIED,
    TABLE,
    Training,
    read,
    write,
)

PICTURES = ROOT / "docs" / "pictures"
STORES = pathlib.Path("results") / "sensitivity"
SEEDS = 3  # with which the best setting and the default setting of an optimizer are trained


def searched(problem: str, optimizer: str, trials: int | None, epochs: int | None, folder: pathlib.Path) -> list[Training]:
    """The trainings of an optimizer on a problem, of which those that are in the folder already are not repeated."""
    budget = BUDGETS[problem]
    common = {"epochs": epochs or budget.epochs, "train_samples": budget.train_samples, "jit": "off"}  # the same compiler for all
    ranges = {name: (axis.low, axis.high, axis.scale) for name, axis in AXES[optimizer].items()}
    spread = {"trials": trials or budget.trials, "oracle": "quasirandom", "defaults_first": False, "search": ranges}
    results = searched_and_confirmed(optimizer, problem, folder / f"{optimizer}-{problem}", SEEDS, spread, common)
    return [
        Training(problem, optimizer, kind, trial.number, trial.hyperparameters, trial.state, trial.score)
        for kind, result in results.items()
        for trial in result.trials
    ]


def search(arguments):
    """The subcommand: searches, and puts what was found into the table in place of what it had of these."""
    from tuning.runtime.quiet import import_keras_quietly

    import_keras_quietly()
    for problem in arguments.problem:
        for optimizer in arguments.optimizer:
            own = searched(problem, optimizer, arguments.trials, arguments.epochs, arguments.directory)
            known = read(arguments.table) if arguments.table.exists() else []
            write([line for line in known if (line.problem, line.optimizer) != (problem, optimizer)] + own, arguments.table)
    print(arguments.table)


def print_tables(arguments):
    """The subcommand."""
    trainings = read()
    for name in arguments.names or arguments.known:
        print(f"{name}\n\n{table(name, trainings)}\n")


def draw(arguments):
    """The subcommand."""
    trainings = read()
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or arguments.known:
        path = PICTURES / f"sensitivity_{name}.png"
        write_png(picture(name, trainings), path)
        print(path)


def main(arguments=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("search", help="search, and write the table of all trainings")
    command.add_argument("--problem", nargs="+", choices=BUDGETS, default=list(BUDGETS))
    command.add_argument("--optimizer", nargs="+", choices=STUDIED, default=list(STUDIED))
    budgets = "; ".join(f"{problem}: {each.trials} trials of {each.epochs} epochs" for problem, each in BUDGETS.items())
    command.add_argument("--trials", type=int, help=f"for each optimizer and problem, instead of {budgets}")
    command.add_argument("--epochs", type=int, help="of each trial")
    command.add_argument("--directory", type=pathlib.Path, default=STORES, help="of the searches")
    command.add_argument("--table", type=pathlib.Path, default=TABLE)
    command.set_defaults(call=search)
    command = commands.add_parser("picture", help="draw the pictures of docs/optimizers")
    command.add_argument("names", nargs="*", metavar="OPTIMIZER", help="without names, all")
    command.set_defaults(call=draw, known=list(STUDIED))
    command = commands.add_parser("table", help="print the tables of docs/optimizers and of the story")
    command.add_argument("names", nargs="*", metavar="NAME", help="an optimizer, story or story.ko; without names, all")
    command.set_defaults(call=print_tables, known=[*STUDIED, *STORIES])
    chosen = parser.parse_args(arguments)
    unknown = [name for name in getattr(chosen, "names", []) if name not in chosen.known]
    if unknown:
        parser.error(f"There is no {unknown[0]!r}; the names are {', '.join(chosen.known)}.")
    chosen.call(chosen)


if __name__ == "__main__":
    main()
