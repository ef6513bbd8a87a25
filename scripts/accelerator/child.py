"""The child process of a backend: reads a stage as a line of JSON, answers with lines of JSON, until its input ends.

    KERAS_BACKEND=jax python -m scripts.accelerator.child

Answers: `{"doing": ...}`, `{"row": {...}}`, and for the end of each stage `{"done": true}` or `{"error": ...}`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator


def main() -> None:
    """Measures stages until there are no more. What a library prints goes to stderr."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)

        def answer(**message) -> None:
            print(json.dumps(message), file=answers, flush=True)

        for line in sys.stdin:
            try:
                for row in _rows(json.loads(line), lambda what: answer(doing=what)):
                    answer(row=row)
                answer(done=True)
            except Exception as error:  # what a backend raises is of any kind, and is a result
                answer(error=" ".join(f"{type(error).__name__}: {error}".split())[:300])


def _rows(asked: dict, doing) -> Iterator[dict]:
    kind = asked.pop("kind")
    if kind == "doctor":
        yield from _doctor()
        return
    if kind == "start":
        yield _started(**asked)
        return
    if kind == "trials":
        from scripts.accelerator.trials import trials_per_hour

        yield from trials_per_hour(**asked, doing=doing)
        return
    from scripts.accelerator import steps

    if kind == "bandwidth":
        yield steps.bandwidth(**asked)
    elif kind == "resnet50":
        yield from steps.together(**asked, doing=doing)
    else:
        yield from steps.one_by_one(**asked, doing=doing)


def _started(device: str) -> dict:
    """Which device the backend computes on, and the versions."""
    import keras

    from tuning.runtime.machine import accelerators

    keras.ops.convert_to_numpy(keras.ops.zeros(1))
    backend, found = keras.backend.backend(), accelerators()
    if device == "gpu" and not found:
        raise RuntimeError(f"{backend} sees no GPU")
    return {
        "device": found[0] if found else "CPU",
        "keras": keras.__version__,
        "version": __import__(backend).__version__,
    }


def _doctor() -> Iterator[dict]:
    """The findings of `keras-optims doctor`, each as soon as it is there."""
    import dataclasses
    import queue
    import threading

    from tuning.doctor.report import examine

    found: queue.SimpleQueue = queue.SimpleQueue()

    def run() -> None:
        try:
            examine(found=lambda finding: found.put(dataclasses.asdict(finding)))
            found.put(None)
        except Exception as error:
            found.put(error)

    threading.Thread(target=run, daemon=True).start()
    while (finding := found.get()) is not None:
        if isinstance(finding, Exception):
            raise finding
        yield {"contestant": finding["check"], **finding}


if __name__ == "__main__":
    main()
