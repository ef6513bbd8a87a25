"""What the search itself costs per trial: asking the oracle, writing the store, and showing the view, without any training.

    python scripts/benchmark_harness.py [--trials 2000] [--oracle random quasirandom grid] [--workdir DIR] [--json]

Trials of zero length run one after the other: each reports one epoch and one execution and returns. Printed are the
milliseconds per trial of the first and of the last 200, and by how much the process has grown per trial.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

WINDOW = 200  # trials at either end


class Terminal(io.StringIO):
    """Takes what a terminal would be sent, and forgets it."""

    def isatty(self):
        """A live table is more work than lines."""
        return True

    def write(self, text):
        """Nothing is kept."""
        return len(text)


def resident_kilobytes() -> float:
    """The memory of this process; where the system does not say, the most it ever had."""
    with contextlib.suppress(OSError):
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "darwin" else peak


def measure(oracle: str, trials: int, workdir: str | os.PathLike) -> dict[str, float]:
    """Searches `trials` settings of Adam that cost nothing to train; milliseconds per trial and kilobytes per trial."""
    import keras_tuner

    import tuning
    from tuning.console.live import View
    from tuning.training.events import EpochEnded, ExecutionEnded

    space = tuning.Space.of("adam")
    objective = keras_tuner.Objective("val_loss", "min")
    ends, memory = [time.perf_counter()], []

    class Idle(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            number, loss = int(trial.trial_id), abs(trial.hyperparameters["learning_rate"] - 0.01)
            self.record(EpochEnded(number, 0, 0, {"loss": loss, "val_loss": loss}))
            self.record(ExecutionEnded(number, 0, number, loss, 0, time.time(), 0.0))
            return {"val_loss": loss}

    class Counting(View):
        def trial_ended(self, *arguments):
            super().trial_ended(*arguments)
            ends.append(time.perf_counter())
            memory.append(resident_kilobytes())

    made = tuning.make_oracle(
        oracle,
        objective=objective,
        hyperparameters=space.hyperparameters(space.grid_points(trials) if oracle == "grid" else None),
        trials=trials,
        epochs=1,
        seed=0,
    )
    view = Counting(space, "nothing", objective, trials, Terminal())
    tuner = Idle(made, directory=str(workdir), project_name=oracle, overwrite=True, listener=view)
    with view.showing(None):
        tuner.search(epochs=1)
    count, window = len(ends) - 1, min(WINDOW, (len(ends) - 1) // 2)
    return {
        "trials": count,
        "first_ms": 1000 * (ends[window] - ends[0]) / window,
        "last_ms": 1000 * (ends[-1] - ends[-1 - window]) / window,
        "kilobytes_per_trial": (memory[-1] - memory[window - 1]) / max(count - window, 1),
        "store_kilobytes_per_trial": (pathlib.Path(workdir) / oracle / "search.sqlite").stat().st_size / 1024 / count,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--oracle", nargs="+", default=["random", "quasirandom", "grid"])
    parser.add_argument("--workdir", help="where the stores are written (default: a folder that is deleted at the end)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(dir=arguments.workdir) as workdir:
        for oracle in arguments.oracle:
            results[oracle] = measure(oracle, arguments.trials, workdir)
            if not arguments.json:
                found = results[oracle]
                print(
                    f"{oracle:12} {found['trials']:5} trials: {found['first_ms']:.2f} ms at first, {found['last_ms']:.2f} ms "
                    f"at last; +{found['kilobytes_per_trial']:.1f} kB of memory and {found['store_kilobytes_per_trial']:.1f} kB "
                    f"of store each",
                    flush=True,
                )
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
