"""Measures the stages named on the command line, and prints a JSON object for each as it is done: `{"stage", "facts"}`."""

from __future__ import annotations

import importlib
import json
import os
import sys

from tuning.doctor.measuring import STAGES
from tuning.errors import one_line


def main(stages: list[str]) -> None:
    """Runs the stages in this process. One that raises is reported as `{"error": ...}`, and the next ones go on."""
    with os.fdopen(os.dup(1), "w") as reported:
        os.dup2(2, 1)  # whatever a library prints is not part of the report
        for stage in stages:
            print(json.dumps({"stage": stage, "facts": _measured(stage)}), file=reported, flush=True)


def _measured(stage: str) -> dict:
    module, function = STAGES[stage].split(":")
    try:
        return getattr(importlib.import_module(f"tuning.doctor.measuring.{module}"), function)()
    except Exception as error:  # what it cannot measure is part of the report
        return {"error": one_line(error)}


main(sys.argv[1:])
