"""Which optimizer? Searches of all of them with equal budgets, confirmed with fresh seeds; tables of what came out.

    python scripts/evidence.py [DIR] [--problem mnist_mlp ...] [--optimizer adam ...] [--trainings N] [--seeds N] [--minutes M]
                               [--engine local|ray] [--workers N] [--data-dir DIR]
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

from scripts.evidence_problems import SIZES  # noqa: E402
from scripts.evidence_runs import OPTIMIZERS, Study, run_all, say_on_stderr  # noqa: E402


def main(arguments=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", nargs="?", type=pathlib.Path, default=pathlib.Path("results") / "evidence", metavar="DIR")
    parser.add_argument("--problem", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--optimizer", nargs="+", choices=OPTIMIZERS, default=OPTIMIZERS)
    parser.add_argument("--trainings", type=int)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--engine", choices=["local", "ray"], default="local")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data-dir")
    chosen = parser.parse_args(arguments)
    options = {"engine": chosen.engine, "workers": chosen.workers, "data_dir": chosen.data_dir}
    study = Study(chosen.directory, chosen.seeds, chosen.trainings, options)
    run_all(study, chosen.problem, chosen.optimizer, chosen.minutes, say_on_stderr)


if __name__ == "__main__":
    main()
