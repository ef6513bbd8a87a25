"""What an NVIDIA GPU makes of this package, in minutes: the share of its memory bandwidth that steps reach, and trials per hour.

    python scripts/measure_accelerator.py [--backend jax|torch|tensorflow ...] [--parameters 1e9] [--device auto|cpu|gpu]
                                          [--minutes 8] [--json FILE] [--quick]

On each backend that is installed:
- the bandwidth of the device: a = a + b on large arrays;
- steps of Adam and of Momentum on ResNet-50's shapes, all contestants in turn, and on a transformer of 1e9 parameters, one after
  the other: ours, Keras's, and the best peer (optax; torch.optim with fused=True; on TensorFlow ours and Keras's as a graph and
  with XLA); for Adam also a user's elementwise formula, on our base class and on Keras's;
- trials per hour of mnist_mlp and mnist_cnn: one by one, with --batch-trials, and of stock KerasTuner.
The doctor's checks come first, on one of the backends. MNIST is taken from KERAS_OPTIMS_DATA, Keras's cache or ./data; without it
random images of its shapes take its place, and the output says so. Nothing is downloaded.

A step's bytes are those that must move: gradient, weight and slots read once, weight and slots written once. Steps are called in
a row with one wait at the end; what the calls cost is a part of them.

Each backend is a process of its own and gets an equal part of the time that is left; what does not fit is listed as not measured.
Results go to stderr as they come. In the end the table goes to stdout and the JSON to FILE, which is also written after each
stage; without FILE the JSON alone goes to stdout, and the table to stderr. Exit status: 0, or 1 if nothing could be measured.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts.accelerator import table  # noqa: E402
from scripts.accelerator.children import LEAST, OUT_OF_TIME, Child  # noqa: E402
from tuning.runtime.machine import hardware  # noqa: E402

BACKENDS = ("torch", "jax", "tensorflow")  # the quickest first: what it leaves of its time the others have
DOCTOR_ON = ("tensorflow", "jax", "torch")  # the first that is there: most checks are of TensorFlow
DOCTORS_SHARE, DOCTORS_SECONDS = 1 / 5, 80
STARTING = 60  # seconds at most for a backend to start
RESERVE = 3  # seconds for the end
ENOUGH = 1 / 3  # of a backend's time is enough for any stage: what takes longer hangs
SIZES = {
    False: {"bandwidth": 2**28, "measuring": 1.0, "samples": 10_000, "count": 8, "together": 32},
    True: {"bandwidth": 2**24, "measuring": 0.1, "samples": 1_024, "count": 2, "together": 4},
}


def main(arguments: list[str] | None = None) -> int:
    """Measures, and prints what was measured."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupted)
    measurement = Measurement(options)
    try:
        measurement.run()
    except KeyboardInterrupt:
        measurement.add({"backend": "all", "stage": "what is not listed", "not_measured": "interrupted"})
    report = measurement.write()
    if options.json:
        print(table.tables(report), end="")
    else:
        print("\n" + table.tables(report), end="", file=sys.stderr, flush=True)
        print(json.dumps(report, indent=2))
    return 0 if any("bytes" in row or "trials_per_hour" in row for row in report["measurements"]) else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--backend",
        action="append",
        choices=BACKENDS,
        help="measure this one; may be repeated (default: all installed)",
    )
    parser.add_argument(
        "--parameters", type=_count, default=10**9, metavar="N", help="of the large model; halved until they fit (default: 1e9)"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="auto: what the backend takes by itself; gpu: a backend without one is not measured; cpu: no GPU (default: auto)",
    )
    parser.add_argument("--minutes", type=_minutes, default=8.0, metavar="M", help="for all of it (default: 8)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the JSON there, and the table to stdout")
    parser.add_argument("--quick", action="store_true", help="smaller arrays, shorter timings, fewer trials: to try it out")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 1e4 <= value <= 1e12:
        raise argparse.ArgumentTypeError(f"must be a number from 1e4 to 1e12; received {text!r}")
    return int(value)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 1440:
        raise argparse.ArgumentTypeError(f"must be a number of minutes, above 0 and at most 1440; received {text!r}")
    return value


def _interrupted(number, frame):
    raise KeyboardInterrupt


class Measurement:
    """All that is measured, in the time that there is."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.begun = options, time.monotonic()
        self.until = self.begun + 60 * options.minutes - RESERVE
        self.rows: list[dict] = []
        self.free = _free_memory(options.device)
        self.made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def run(self) -> None:
        """Every backend, and first the doctor."""
        wanted = [name for name in BACKENDS if name in (self.options.backend or BACKENDS)]
        there = [name for name in wanted if importlib.util.find_spec(name)]
        for backend in wanted:
            if backend not in there:
                self.add({"backend": backend, "stage": "start", "not_measured": f"{backend} is not installed"})
        if there:
            doctors = next(name for name in DOCTOR_ON if name in there)
            seconds = min(DOCTORS_SHARE * (self.until - self.begun), DOCTORS_SECONDS)
            with Child(doctors, self.options.device) as child:
                self._stage(child, doctors, "doctor", {"kind": "doctor"}, seconds)
        for i, backend in enumerate(there):
            allotted = (self.until - time.monotonic()) / (len(there) - i)
            with Child(backend, self.options.device) as child:
                self._backend(child, backend, time.monotonic() + allotted, allotted)

    def _backend(self, child: Child, backend: str, until: float, allotted: float) -> None:
        begun = self._stage(
            child,
            backend,
            "start",
            {"kind": "start", "device": self.options.device},
            min(until - time.monotonic(), max(STARTING, allotted / 3)),
        )
        failed = next((row["not_measured"] for row in begun if "not_measured" in row), None)
        for name, stage in self._stages():
            left = until - time.monotonic()
            if failed:
                why = OUT_OF_TIME if failed.startswith(OUT_OF_TIME) else "the backend did not start"
                self.add({"backend": backend, "stage": name, "not_measured": why})
                continue
            seconds = min(left, max(ENOUGH * allotted, LEAST))
            if "seconds" not in stage:
                stage = {**stage, "seconds": 0.9 * seconds}
            self._stage(child, backend, name, stage, seconds)

    def _stages(self):
        """(name, what the child is asked), the most telling first: what comes last is what does not fit."""
        size = SIZES[self.options.quick]
        yield "bandwidth", {"kind": "bandwidth", "elements": self._elements(size["bandwidth"]), "seconds": size["measuring"]}
        trials = {"kind": "trials", "samples": size["samples"], "count": size["count"], "together": size["together"]}
        for optimizer, problem in (("adam", "mnist_mlp"), ("momentum", "mnist_cnn")):
            step = {"name": optimizer, "measuring": size["measuring"]}
            large = {"kind": "large", "parameters": self.options.parameters, "free": self.free}
            title = optimizer.capitalize()
            yield f"step of {title} on ResNet-50", {"kind": "resnet50", **step}
            yield f"step of {title} on {self.options.parameters:.3g} parameters".replace("e+0", "e"), {**large, **step}
            yield f"trials of {problem}", {**trials, "name": problem}

    def _elements(self, wanted: int) -> int:
        """Of the arrays of the bandwidth, so that three of them fit."""
        return wanted if self.free is None else max(2**16, min(wanted, self.free // 32))

    def _stage(self, child: Child, backend: str, name: str, stage: dict, seconds: float) -> list[dict]:
        rows = []
        for row in child.rows(stage, seconds, lambda what: print(f"{backend}, {name}: {what} ...", file=sys.stderr, flush=True)):
            rows.append(self.add({"backend": backend, "stage": name, **row}))
        ours = next((row for row in rows if row.get("contestant", "").split(",")[0] == "ours" and "milliseconds" in row), None)
        for row in rows:
            if ours and "milliseconds" in row and row["parameters"] == ours["parameters"]:
                row["ours_relative_to_it"] = ours["milliseconds"] / row["milliseconds"]
        self.write()
        return rows

    def add(self, row: dict) -> dict:
        """Keeps a row, with its share of the bandwidth where both are known, and prints it."""
        speed = next(
            (r for r in self.rows if r["backend"] == row["backend"] and r["stage"] == "bandwidth" and "bytes" in r), None
        )
        if speed and "gigabytes_per_second" in row:
            row["share_of_bandwidth"] = row["gigabytes_per_second"] / speed["gigabytes_per_second"]
        self.rows.append(row)
        print(table.line(row), file=sys.stderr, flush=True)
        return row

    def write(self) -> dict:
        """The report so far, which also goes into the file, if there is one."""
        report = {
            "made": self.made,
            "minutes": self.options.minutes,
            "seconds": time.monotonic() - self.begun,
            "quick": self.options.quick,
            "device": self.options.device,
            "machine": {"platform": platform.platform(terse=True), "python": platform.python_version(), **hardware()},
            "free_bytes_of_the_device": self.free,
            "measurements": self.rows,
        }
        if self.options.json:
            part = self.options.json.with_name(self.options.json.name + ".part")
            part.write_text(json.dumps(report, indent=2) + "\n")
            part.replace(self.options.json)
        return report


def _free_memory(device: str) -> int | None:
    """Bytes that are free on the first GPU, or else in the machine; `None` where it is not known."""
    if device != "cpu":
        command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
            return int(found[0]) * 2**20
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


if __name__ == "__main__":
    raise SystemExit(main())
