"""Installs a wheel into bare environments and tries both packages there, as a user would.

    python scripts/smoke_test.py dist/keras_optims-0.1.0-py3-none-any.whl [--python PYTHON ...] [--backend tensorflow]

Without --python, on each of Python 3.11, 3.12 and 3.13 that is on the PATH; a version that is not there is named, and left out.
With pyenv, `PYENV_VERSION=3.11:3.12:3.13` puts them there. Each takes some minutes: it downloads the backend, and imports it ten
times.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import time

VERSIONS = ("3.11", "3.12", "3.13")
"""Those that all three backends have wheels for."""

PROGRAM = """
    import json
    import pathlib
    import sys

    import keras
    import numpy as np

    import keras_optims
    import tuning

    for package in (keras_optims, tuning):
        assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
        assert pathlib.Path(package.__file__).with_name("py.typed").is_file(), package

    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype("float32")
    y = (x.sum(axis=1) > 0).astype("float32")
    for name, cls in keras_optims.OPTIMIZERS.items():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
        model.compile(cls(), keras.losses.BinaryCrossentropy(from_logits=True))
        losses = model.fit(x, y, epochs=2, verbose=0).history["loss"]
        assert np.isfinite(losses).all(), (name, losses)

    model.compile(keras_optims.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(x, y, epochs=1, verbose=0)
    model.optimizer.beta_1 = 0.8
    model.fit(x, y, epochs=1, verbose=0)
    model.save("model.keras")
    assert keras.models.load_model("model.keras").optimizer.get_config()["beta_1"] == 0.8

    result = tuning.search("momentum", problem="digits_mlp", trials=1, epochs=1, directory="from_python")
    assert result.best.model().predict(np.zeros((1, 64), "float32"), verbose=0).shape == (1, 10)
    print(f"works: {len(keras_optims.OPTIMIZERS)} optimizers, Keras {keras.__version__} on {keras.backend.backend()}")
"""

COMMANDS = (
    "tune adam --problem digits_mlp --trials 2 --epochs 1 --directory search",
    "show search",
    "report search",
    "export search --to csv",
    "optimizers",
    "problems",
    "init my_problem.py",
    "landscape --help",
    "doctor --help",
)
"""Of `keras-optims`: together they read each file that is no Python of the wheel."""


class Failure(Exception):
    """Something did not work; the text says what."""


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=pathlib.Path, metavar="WHEEL")
    parser.add_argument("--python", action="append", metavar="PYTHON", help="one to try it on; may be given several times")
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"], default="tensorflow")
    given = parser.parse_args(arguments)
    if given.wheel.suffix != ".whl" or not given.wheel.is_file():
        parser.error(f"WHEEL must be a file that `python -m build` has made; received {given.wheel}.")
    pythons = given.python or [name for name in (f"python{version}" for version in VERSIONS) if version_of(name)]
    for python in pythons:
        if version_of(python) is None:
            parser.error(f"{python} is no Python that runs.")
    found = {python: str(version_of(python)) for python in pythons}
    if not found:
        parser.error(f"none of Python {', '.join(VERSIONS)} is on the PATH; name one with --python.")
    failed = False
    for python, version in found.items():
        began = time.monotonic()
        try:
            said = tried(python, given.wheel.resolve(), given.backend)
        except Failure as failure:
            failed = True
            said = f"failed: {failure}"
        print(f"Python {version}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    for version in VERSIONS if not given.python else ():
        if f"python{version}" not in found:
            print(f"Python {version}: not on this machine, not tried")
    return int(failed)


def version_of(python: str) -> str | None:
    """Such as 3.11.7; `None` if it does not run."""
    try:
        done = subprocess.run([python, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def tried(python: str, wheel: pathlib.Path, backend: str) -> str:
    """What the program prints at its end.

    Raises:
        Failure: a step of the smoke test failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "work").mkdir()
        scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "KERAS_"))}
        ours |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}

        def run(*words: str | pathlib.Path, status: int = 0) -> str:
            done = subprocess.run([*map(str, words)], cwd=folder / "work", env=ours, capture_output=True, text=True)
            if done.returncode != status:
                shown = " ".join(map(str, words))[:200]
                output = textwrap.indent((done.stdout + done.stderr)[-4000:], "    ")
                raise Failure(f"`{shown}` ended with status {done.returncode}\n{output}")
            return done.stdout + done.stderr

        run(python, "-m", "venv", folder / "venv")
        install = [scripts / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command = scripts / "keras-optims"
        run(*install, wheel)
        run(command, "--help")
        said = run(command, "tune", "adam", "--problem", "digits_mlp", "--trials", "1", status=2)
        if "Traceback" in said or "pip install" not in said:
            raise Failure(f"without the extras, `keras-optims tune` must say what to install; it said\n{said}")
        run(*install, f"{wheel}[{backend},tuning]")
        run(scripts / "python", "-m", "pip", "check", "--disable-pip-version-check")
        for words in COMMANDS:
            run(command, *words.split())
        if not (folder / "work/search/report.html").is_file():
            raise Failure("`keras-optims report search` wrote no search/report.html")
        said = run(scripts / "python", "-c", textwrap.dedent(PROGRAM))
        return next(line for line in said.splitlines() if line.startswith("works: "))


if __name__ == "__main__":
    sys.exit(main())
