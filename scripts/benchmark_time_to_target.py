"""How long a search takes until a training reaches a validation accuracy that few settings reach: ours and the peers.

    python scripts/benchmark_time_to_target.py [--problem P ...] [--arm A ...] [--seeds N] [--results DIR]
    python scripts/benchmark_time_to_target.py --report [--results DIR] [--page docs/oracles.md]
    python scripts/benchmark_time_to_target.py --calibrate N [--problem P ...]

A run is one contestant ("arm") with one seed, in a process of its own. Its clock runs from its first call of a search, with
imports done and the data in memory, and what it compiles counts. It ends at the end of the first epoch, of any trial, whose
validation accuracy is at least the target, or when its time is up: then the target counts as not reached. All have the same
problem, data, batch size, epochs of a trial, and space: learning rate, β₁ and β₂ of Adam in the ranges that it declares, on its
scales. The seeds take turns: each arm runs with seed 0, then each with seed 1.

The arms: this package's searches with the options that the table shows, else as they are, so that the declared defaults come
first; stock KerasTuner as its guides show it; Optuna as its example with Keras writes it (a new model in each trial, its epochs
a `tf.function`), and with `jit_compile=True`; Ray Tune, where `ray[tune]` is installed, with one CPU for each trial. Those
with `_whole` search once until they come to their own end, and no target ends them.

What was run is in DIR/runs.jsonl, a line for each run, and is not run again, unless it was cut off earlier than --seconds says
now. `--report` prints it as tables, and renews them in the page that `--page` names; what docs/oracles.md shows is kept in
docs/time_to_target. `--calibrate` trains N random settings for all epochs, and says what they reach, which is
how the targets were chosen. Data of the real problems are read from the folder that KERAS_OPTIMS_DATA names.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts.time_to_target.arms import ARMS, run  # noqa: E402
from scripts.time_to_target.cases import CASES, Case, Watch  # noqa: E402
from scripts.time_to_target.runs import Runs  # noqa: E402
from scripts.time_to_target.tables import quantiles, report  # noqa: E402
from scripts.time_to_target.task import Skipped, prepared  # noqa: E402
from tuning.command.arguments import reading  # noqa: E402
from tuning.experiments.plan import COUNT  # noqa: E402
from tuning.store.files import replacing  # noqa: E402

REAL = ["mnist_mlp", "mnist_cnn", "cifar10_cnn"]


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problem", nargs="+", choices=list(CASES), default=REAL)
    parser.add_argument("--arm", nargs="+", choices=list(ARMS), default=list(ARMS), help="(default: all)")
    parser.add_argument("--seeds", type=reading(COUNT), default=5, help="how many, from 0 on (default: %(default)s)")
    parser.add_argument("--results", default="time_to_target", help="folder of what was run (default: %(default)s)")
    parser.add_argument("--target", type=float, help="validation accuracy (default: of the problem)")
    parser.add_argument("--seconds", type=float, help="that a run may take (default: of the problem)")
    parser.add_argument(
        "--backend", choices=("tensorflow", "jax", "torch"), default=os.environ.get("KERAS_BACKEND", "tensorflow")
    )
    parser.add_argument("--report", action="store_true", help="print the tables of what was run")
    parser.add_argument("--page", type=pathlib.Path, metavar="FILE", help="with --report: put them into this page, too")
    parser.add_argument("--calibrate", type=reading(COUNT), metavar="N", help="train N random settings, and say what they reach")
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)  # the process of one run
    options = parser.parse_args(arguments)
    if options.page is not None and not (options.report and options.page.is_file()):
        parser.error(f"--page must be a page that is there, with --report; received {options.page}.")
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    changed = {name: value for name in ("target", "seconds") if (value := getattr(options, name)) is not None}
    cases = [dataclasses.replace(CASES[name], **changed) for name in options.problem]
    if options.seed is not None:
        print(json.dumps(one(cases[0], options.arm[0], options.seed)), flush=True)
        return 0
    try:
        if options.calibrate is not None:
            for case in cases:
                print(quantiles(case, calibrated(case, options.calibrate)), flush=True)
            return 0
        runs = Runs(pathlib.Path(options.results), options.backend)
        if not options.report:
            return several(runs, cases, options.arm, options.seeds)
        tables = report(runs.lines)
        print(tables)
        if options.page is not None:
            renew(options.page, tables)
    except ValueError as error:
        parser.error(str(error))
    return 0


def renew(page: pathlib.Path, tables: str) -> None:
    """Puts the tables into a page, between the lines that say so."""
    from scripts.evidence_pages import replaced

    text = replaced(page.read_text(encoding="utf-8"), "time to target", tables)
    with replacing(page) as part:
        part.write_text(text, encoding="utf-8")


def several(runs: Runs, cases: list[Case], arms: list[str], seeds: int) -> int:
    """Runs what is not there yet, and says how it goes; 1 if a run failed."""
    skipped: set[str] = set()
    failed = 0
    for case in cases:
        runs.check(case)
    for seed in range(seeds):
        for case in cases:
            for name in arms:
                if name in skipped or runs.has(case, name, seed):
                    continue
                line = spawned(case, name, seed)
                print(f"{case.problem}, {name}, seed {seed}: {_said(line)}", file=sys.stderr, flush=True)
                if "skipped" in line:
                    skipped.add(name)
                elif "failed" in line:
                    failed += 1
                else:
                    runs.add(case, name, seed, line)
    return 1 if failed else 0


def _said(line: dict) -> str:
    if "skipped" in line:
        return f"left out, as {line['skipped']}"
    if "failed" in line:
        return f"failed: {line['failed']}"
    reached = "reached" if line["reached"] else "not reached, best"
    return f"{reached} {line['best']} after {line['seconds']:.1f} s and {line['epochs']} epochs"


def spawned(case: Case, name: str, seed: int) -> dict:
    """One run, in a process of its own: what it found, or that it is skipped, or why it failed."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, __file__, "--problem", case.problem, "--arm", name, "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--target", repr(case.target), "--seconds", repr(case.seconds)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        cwd=ROOT,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    return {"failed": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}


def one(case: Case, name: str, seed: int) -> dict:
    """The run of this process."""
    arm = ARMS[name]
    watch = Watch(math.inf, math.inf) if arm.whole else Watch(case.target, case.seconds)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(arm, prepared(case, seed, folder, watch))
        except Skipped as error:
            return {"skipped": str(error)}
    return {"limit": None if arm.whole else case.seconds, **watch.line()}


def calibrated(case: Case, settings: int) -> tuple[list[float], float]:
    """The best validation accuracies of random settings, each trained for all epochs, and that of the declared defaults."""
    import tuning

    with tempfile.TemporaryDirectory() as folder:
        result = tuning.search(
            *("adam", case.problem),
            **{
                "oracle": "random",
                "trials": settings + 1,
                "epochs": case.epochs,
                "train_samples": case.samples,
                "seed": 1_000_000,
            },
            directory=f"{folder}/calibration",
        )
    first, *others = [0.0 if trial.score is None else trial.score for trial in result.trials]
    return others, first


if __name__ == "__main__":
    raise SystemExit(main())
