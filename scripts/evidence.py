"""Which optimizer? Searches of all of them with equal budgets, confirmed with fresh seeds, and the tables of what came out.

    python scripts/evidence.py [DIR] [--problem mnist_mlp ...] [--optimizer adam ...] [--trials N] [--seeds N] [--minutes M]
                               [--engine local|ray] [--workers N] [--data-dir DIR] [--tables DIR] [--tables-only]

Each optimizer is searched on each problem by ASHA over its default range, for as many epochs as --trials whole trainings have;
then its best setting and its default setting are trained with fresh seeds, the same for all. All optimizers go on the cheapest
problem first. It may be interrupted at any time, and the same command goes on; with other optimizers or problems on other
machines, too, if the folders of DIR are put together. With one worker what comes out is a function of the seeds; with several,
what ASHA promotes depends on who was faster, so that a search may end with another setting. All searches in DIR are over the same
ranges: where a default range has changed since, new searches go to another folder. In the end, and with --tables-only at once,
the tables of all that is complete in DIR are written: into DIR/tables, or with --tables docs/evidence those of the documentation.
`evidence_cost.py` measures what a step costs, and `evidence_pages.py` renews docs/which.md.
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
# The processes that a search starts import the problems by name.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))

from scripts import ranges  # noqa: E402
from scripts.evidence_problems import SIZES  # noqa: E402
from scripts.evidence_runs import OPTIMIZERS, Study, run_all, say_on_stderr  # noqa: E402
from scripts.evidence_tables import Setup, Training, Trial, of_stores, write  # noqa: E402
from tuning.command.arguments import reading  # noqa: E402
from tuning.errors import SearchError  # noqa: E402
from tuning.experiments.plan import COUNT, POSITIVE  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    results = pathlib.Path("results") / "evidence"
    made.add_argument(
        "directory", nargs="?", type=pathlib.Path, default=results, metavar="DIR", help=f"of the stores (default: {results})"
    )
    made.add_argument("--problem", nargs="+", choices=SIZES, default=list(SIZES), metavar="NAME", help=", ".join(SIZES))
    made.add_argument(
        "--optimizer", nargs="+", choices=OPTIMIZERS, default=OPTIMIZERS, metavar="NAME", help="default: all but sgd"
    )
    own = ", ".join(f"{name} {size.trainings}" for name, size in SIZES.items())
    made.add_argument(
        "--trials", type=reading(COUNT), metavar="N", help=f"a search trains as many epochs as so many trainings ({own})"
    )
    made.add_argument("--seeds", type=reading(COUNT), default=10, metavar="N", help="of the best and of the default setting (10)")
    made.add_argument("--minutes", type=reading(POSITIVE), metavar="M", help="begin nothing new after them")
    made.add_argument("--engine", choices=["local", "ray"], default="local")
    made.add_argument("--workers", type=reading(COUNT), default=1, metavar="N", help="processes that train (1)")
    made.add_argument("--data-dir", metavar="DIR", help="with the data sets")
    made.add_argument("--tables", type=pathlib.Path, metavar="DIR", help="where they are written (default: DIR/tables)")
    made.add_argument("--tables-only", action="store_true", help="train nothing")
    return made


def main(arguments=None) -> int:
    """The command."""
    from tuning.runtime.quiet import import_keras_quietly

    chosen = parser().parse_args(arguments)
    options = {"engine": chosen.engine, "workers": chosen.workers, "data_dir": chosen.data_dir}
    study = Study(chosen.directory, chosen.seeds, chosen.trials, options)
    folder, left = chosen.tables or chosen.directory / "tables", 0
    try:
        if not chosen.tables_only:
            import_keras_quietly()
            left = run_all(study, chosen.problem, chosen.optimizer, chosen.minutes, say_on_stderr)
        *lines, searched = of_stores(study)
        tables = dict(zip((Setup, Trial, Training), lines, strict=True))
        if not tables[Setup]:
            raise SearchError(f"Nothing is complete in {chosen.directory}: there is nothing to write tables of.")
        for kind, own in tables.items():
            write(own, kind, folder)
        ranges.write(searched, folder)
    except SearchError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say_on_stderr("interrupted: the same command goes on")
        return 130
    say_on_stderr(f"{left} are left" if left else "all is done")
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
