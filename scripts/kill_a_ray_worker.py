"""A search on two Ray workers of which one is killed midway: every trial completes once, the killed one's runs again.

    python scripts/kill_a_ray_worker.py [--trials 200] [--problem mnist_mlp] [--train-samples 10000] [--epochs 1]

Starts `keras-optims tune adam --engine ray --workers 2`, kills one of its actors with SIGKILL when half of the trials have ended,
waits for the end, and checks the store. Real data are read from the folder that KERAS_OPTIMS_DATA names.
"""

from __future__ import annotations

import argparse
import collections
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from tuning.results.search import SearchResult
from tuning.store.database import exists


def main() -> int:
    """0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--problem", default="mnist_mlp")
    parser.add_argument("--train-samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder) / "search"
        command = [
            *(sys.executable, "-m", "tuning", "tune", "adam", "--engine", "ray", "--workers", "2"),
            *("--problem", options.problem, "--trials", str(options.trials), "--epochs", str(options.epochs)),
            *("--train-samples", str(options.train_samples), "--directory", str(directory)),
        ]
        begun = time.monotonic()
        search = subprocess.Popen(command, cwd=pathlib.Path(__file__).parents[1], stdout=sys.stderr)
        while search.poll() is None and completed(directory) < options.trials // 2:
            time.sleep(0.2)
        victim = actors()[0]
        os.kill(victim, signal.SIGKILL)
        print(f"killed the actor {victim} after {completed(directory)} trials", file=sys.stderr)
        status, seconds = search.wait(), time.monotonic() - begun
        result = SearchResult.load(directory)
    states = dict(collections.Counter(trial.state for trial in result.trials))
    numbers = [trial.number for trial in result.trials]
    each_once = numbers == list(range(options.trials))
    print(f"exit status {status}; {states}; numbers 0 to {numbers[-1]}, each once: {each_once}; {seconds:.0f} s")
    return int(status != 0 or not each_once or "running" in states)


def completed(directory: pathlib.Path) -> int:
    """How many trials have completed so far."""
    return SearchResult.load(directory).count("completed") if exists(directory) else 0


def actors() -> list[int]:
    """The processes of this package's Ray actors."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words.startswith("ray::_Training"):
            found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
