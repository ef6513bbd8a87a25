"""The parent's side: stages in a child process, each with its time; one that crashes or hangs costs itself alone."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).parents[2]
LEAST = 3  # seconds, below which a stage is not begun
OUT_OF_TIME = "out of time"


class Child:
    """A child process of one backend. After a stage that it did not survive, the next one begins a new one.

    Args:
        backend: of Keras.
        device: `"auto"`, `"cpu"` or `"gpu"`.
        module: that speaks as `scripts.accelerator.child`.
    """

    def __init__(self, backend: str, device: str, module: str = "scripts.accelerator.child"):
        self._module = module
        self._environment = os.environ | {
            "KERAS_BACKEND": backend,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
            "XLA_PYTHON_CLIENT_MEM_FRACTION": os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9"),
        }
        if device == "cpu":
            self._environment |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error) -> None:
        self.end()

    def rows(self, stage: dict, seconds: float, doing: Callable[[str], None]) -> Iterator[dict]:
        """Yields what a stage measures, as it comes; `{"not_measured": why}` where it ends before its end."""
        if seconds < LEAST:
            yield {"not_measured": OUT_OF_TIME}
            return
        until, at = time.monotonic() + seconds, ""
        if self._process is None:
            self._start()
        assert self._process is not None
        with contextlib.suppress(BrokenPipeError):  # its end is read below
            self._process.stdin.write(json.dumps(stage) + "\n")
            self._process.stdin.flush()
        while True:
            try:
                line = self._answers.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                self.end()
                yield {"not_measured": f"{OUT_OF_TIME}: no result within {seconds:.0f} s{f', at: {at}' if at else ''}"}
                return
            if not line:
                yield {"not_measured": self._ending(at)}
                return
            message = json.loads(line)
            if "row" in message:
                yield message["row"]
            elif "doing" in message:
                at = message["doing"]
                doing(at)
            else:
                if "error" in message:
                    yield {"not_measured": message["error"]}
                return

    def _start(self) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            start_new_session=True,  # so that what it starts ends with it
        )
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True).start()

    def _ending(self, at: str) -> str:
        """How the process ended by itself, and the last thing that it said."""
        assert self._process is not None
        status = self._process.wait()
        self._said.seek(0)
        said = " ".join(self._said.read().split())[-200:]
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self.end()
        return f"the process {how}{f', at: {at}' if at else ''}{f': {said}' if said else ''}"

    def end(self) -> None:
        """Ends the process and all that it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)  # one that a driver holds must not hold this one
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        self._said.close()


def _read(stream, answers: queue.SimpleQueue) -> None:
    with stream:
        for line in stream:
            answers.put(line)
    answers.put("")
