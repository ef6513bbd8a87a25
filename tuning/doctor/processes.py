"""Measures in other processes: a library that does not load, a kernel that aborts or hangs costs its own stage and no other."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence

SECONDS = 300
"""A stage that takes longer is taken for one that hangs."""


def measured(stages: Sequence[str], seconds: float = SECONDS) -> Iterator[tuple[str, dict]]:
    """Yields (stage, its facts) as they come; `{"error": ...}` for a stage that ended its process. The others go on."""
    remaining = list(stages)
    while remaining:
        for stage, facts in _in_one_process(remaining, seconds):
            remaining.remove(stage)
            yield stage, facts


def _in_one_process(stages: Sequence[str], seconds: float) -> Iterator[tuple[str, dict]]:
    """Until all are measured or the process ends."""
    stages = list(stages)
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuning.doctor.measuring", *stages],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")},
        )
        try:
            while stages:
                hangs = threading.Timer(seconds, process.kill)
                hangs.start()
                line = process.stdout.readline() if process.stdout else ""
                hung = not hangs.is_alive()
                hangs.cancel()
                if not line:
                    said.seek(0)
                    yield stages[0], {"error": _ending(process.wait(), hung, seconds, said.read())}
                    return
                measurement = json.loads(line)
                stages.remove(measurement["stage"])
                yield measurement["stage"], _without_home(measurement["facts"])
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def _ending(status: int, hung: bool, seconds: float, said: str) -> str:
    """How a process ended, and the last thing that it said."""
    if hung:
        how = f"no result within {seconds:g} s"
    elif status < 0:
        how = f"the process was ended by {signal.Signals(-status).name}"
    else:
        how = f"the process ended with status {status}"
    last = " ".join(said.split())[-600:]
    return _without_home(f"{how}: {last}" if last else how)


def _without_home(facts):
    """The same facts, without the name of whoever runs this: a report is sent to others."""
    home = str(pathlib.Path.home())
    return facts if len(home) < 2 else json.loads(json.dumps(facts).replace(json.dumps(home)[1:-1], "~"))
