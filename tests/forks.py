"""Runs programs one after the other in forks of one process that has imported Keras and its backend: that takes longest.

    python -m tests.forks    # reads lines of JSON, {"folder": ..., "command": [...]}; answers each with {"returncode": ...}

A fork is as good as a fresh process: the backend has computed nothing yet. What a program prints is in `output.txt` of its
folder.
"""

from __future__ import annotations

import json
import os
import pathlib
import runpy
import subprocess
import sys
import traceback


class Forks:
    """A client of such a process; a context that ends with it."""

    def __init__(self, root: pathlib.Path):
        environment = os.environ | {"PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "tests.forks"]
        self._process = subprocess.Popen(
            command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with self._process:
            self._process.communicate()

    def run(self, folder: pathlib.Path, program: str | pathlib.Path, *arguments: str) -> tuple[int, str]:
        """The exit status of a program, which runs in this folder, and what it has printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"folder": str(folder), "command": [str(program), *arguments]}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        return answer["returncode"], (folder / "output.txt").read_text()


def serve():
    """Answers until its input ends."""
    import keras  # noqa: F401 (for the forks)

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(**asked)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"returncode": os.waitstatus_to_exitcode(status)}), file=answers, flush=True)


def _run(folder: str, command: list[str]):
    """The rest of the life of a fork."""
    os.chdir(folder)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.path[0] = folder
    sys.argv = command
    status = 1
    try:
        runpy.run_path(command[0], run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
