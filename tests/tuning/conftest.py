"""Fixtures of the search's tests: the command as a user runs it, and small problems."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# KerasTuner asks threads for their names in a deprecated way, and protobuf warns about itself when it is imported.
THIRD_PARTY = (
    r"ignore:currentThread\(\) is deprecated:DeprecationWarning",
    r"ignore:getName\(\) is deprecated:DeprecationWarning",
    r"ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",  # Keras on JAX with NumPy 2
    r"ignore:Type google.* uses PyType_Spec:DeprecationWarning",
)


# With it, how epochs are compiled is not measured: two searches that are compared compute the same.
JIT = {"tensorflow": "off", "jax": "on", "torch": "auto"}[os.environ.get("KERAS_BACKEND") or "tensorflow"]


def pytest_collection_modifyitems(items):
    for item in items:
        if pathlib.Path(item.path).parent == pathlib.Path(__file__).parent:
            for warning in THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(warning))


def environment(**changes):
    """The environment of a user who has installed the package."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_OPTIMS_DATA")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**inherited, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **changes}


@contextlib.contextmanager
def interruptible():
    """In the block, processes are started that Ctrl-C can interrupt, although this one may ignore it, as after `nohup ... &`."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def start(*arguments, cwd, **changes) -> subprocess.Popen:
    """Starts the command in a process of its own."""
    with interruptible():
        return subprocess.Popen(
            [sys.executable, "-m", "tuning", *map(str, arguments)],
            cwd=cwd,
            env=environment(**changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def run(*arguments, cwd, **changes):
    """Runs the command in a process of its own and returns (exit status, stdout, stderr)."""
    process = start(*arguments, cwd=cwd, **changes)
    stdout, stderr = process.communicate(timeout=300)
    return process.returncode, stdout, stderr


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """The command in this process, in an empty directory: arguments -> (exit status, stdout, stderr)."""
    from tuning.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_OPTIMS_DATA", raising=False)

    def call(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium; without one, the test is skipped, and in CI it fails."""
    from tests.tuning.browsing import opened

    browser = opened(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


TINY = """
    import keras
    import numpy as np

    import tuning


    def data():
        x = np.random.default_rng(0).normal(size=(96, 4)).astype("float32")
        y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype("float32")
        return tuning.Data((x[:64], y[:64]), (x[64:], y[64:]))


    def model():
        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
        )


    def make_problem():
        return tuning.Problem(
            name="tiny",
            data=data,
            model=model,
            loss=keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
            batch_size=16,
            epochs=2,
        )


    def make_regression():
        return tuning.Problem(
            name="tiny_regression", data=data, model=model, loss="mse", metrics=[], objective="val_loss", batch_size=16, epochs=2
        )


    def make_failing():
        def failing():
            raise RuntimeError("the model of make_failing cannot be built")

        return tuning.Problem(name="failing", data=data, model=failing, loss="mse", metrics=[], objective="val_loss")


    def make_sometimes_failing():
        tries = []

        def sometimes():
            tries.append(1)
            if len(tries) % 2:
                raise RuntimeError(f"failure number {len(tries)}")
            return model()

        return tuning.Problem(name="sometimes", data=data, model=sometimes, loss="mse", metrics=[], objective="val_loss")


    def make_slow():
        class Slow(keras.callbacks.Callback):
            pass

        def slow_model():
            import time

            time.sleep(0.3)
            return model()

        return tuning.Problem(
            name="slow",
            data=data,
            model=slow_model,
            loss="mse",
            metrics=[],
            objective="val_loss",
            batch_size=16,
            epochs=3,
        )


    def make_nothing():
        return 1


    def make_error():
        raise KeyError("no such file")
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A module of a user's in the current directory: `tiny_problem:make_problem` trains in a moment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny_problem.py").write_text(textwrap.dedent(TINY))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tiny_problem", raising=False)
    yield "tiny_problem:make_problem"
    sys.modules.pop("tiny_problem", None)


def one_sentence(stderr: str) -> str:
    """The message of a wrong use, after checking that it is one line without a traceback."""
    assert "Traceback" not in stderr, stderr
    lines = [line for line in stderr.splitlines() if line.startswith("keras-optims: ")]
    assert len(lines) == 1, stderr
    return re.sub(r"^keras-optims: (error: )?", "", lines[0])


def without_times(result: dict) -> list:
    """The trials of a `--json` result without what differs from run to run: times."""
    return [{name: value for name, value in trial.items() if name not in ("begun", "seconds")} for trial in result["trials"]]


def load(stdout: str) -> dict:
    """The one JSON object on stdout."""
    assert stdout.count("\n") == 1, stdout
    return json.loads(stdout)
