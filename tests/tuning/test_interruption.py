"""Ctrl-C, kill -9, and what is left: nothing finished is lost, nothing is repeated, and the end is the same."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import weakref

import pytest

from tests.tuning.conftest import JIT, environment, interruptible, load, run, start, without_times
from tuning.results.search import SearchResult
from tuning.runtime.interruption import Interruption
from tuning.store.database import exists


def arguments(directory, trials=4, oracle="quasirandom", problem="tiny_problem:make_slow", workers=1):
    return (
        *("tune", "adam", "--problem", problem, "--trials", trials, "--oracle", oracle, "--directory", directory),
        *("--seed", 0, "--workers", workers, "--jit", JIT, "--json"),
    )


def wait_for(condition, process, seconds=120):
    """Waits until `condition()`; fails if the process ends before."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def count(directory, state="completed"):
    """How many trials are in a state, read as anyone could while the search runs."""
    if not exists(directory):
        return 0
    with sqlite3.connect(f"file:{directory}/search.sqlite?mode=ro", uri=True) as plain:
        number = plain.execute("SELECT count(*) FROM trials WHERE state = ?", (state,)).fetchone()[0]
    plain.close()
    return number


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_search_says_how_to_go_on_and_goes_on(how, tiny, tmp_path, command):
    directory = tmp_path / "out"
    process = start(*arguments(directory, trials=6), cwd=tmp_path)
    wait_for(lambda: count(directory) >= 1, process)
    process.send_signal(how)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr
    resume = f"keras-optims tune adam --problem tiny_problem:make_slow --trials 6 --oracle quasirandom --directory {directory}"
    assert f"To go on: {resume}" in stderr
    finished = [trial for trial in SearchResult.load(directory).trials if trial.state == "completed"]
    assert 1 <= len(finished) < 6
    status, stdout, stderr = command(*arguments(directory, trials=6))
    assert status == 0, stderr
    resumed = load(stdout)
    assert [trial["state"] for trial in resumed["trials"]] == ["completed"] * 6
    for trial in finished:
        assert trial.to_json() == resumed["trials"][trial.number]
    whole = load(command(*arguments(tmp_path / "whole", trials=6))[1])
    assert without_times(whole) == without_times(resumed)


@pytest.mark.slow
def test_a_killed_search_loses_nothing_and_ends_as_an_undisturbed_one(tiny, tmp_path, command):
    """The command itself, with real trainings; tests/tuning/test_killing.py has all oracles and many more kills."""
    directory, chance, finished = tmp_path / "killed", random.Random(1), {}
    for _ in range(2):
        before = count(directory)
        process = start(*arguments(directory, trials=6), cwd=tmp_path)
        wait_for(lambda before=before: count(directory) > before, process)
        time.sleep(chance.uniform(0.0, 1.0))
        process.kill()
        process.communicate()
        for trial in SearchResult.load(directory).trials:
            if trial.state == "completed":
                assert finished.setdefault(trial.number, trial) == trial  # the very same, times and all: it was not repeated
        assert count(directory) == len(finished)
    status, stdout, stderr = command(*arguments(directory, trials=6))
    assert status == 0, stderr
    resumed = load(stdout)
    for number, trial in finished.items():
        assert trial.to_json() == resumed["trials"][number]
    whole = load(command(*arguments(tmp_path / "whole", trials=6))[1])
    assert without_times(resumed) == without_times(whole)


def test_a_second_process_in_the_same_directory_is_refused(tiny, tmp_path, command):
    directory = tmp_path / "out"
    process = start(*arguments(directory, trials=50), cwd=tmp_path)
    try:
        wait_for(lambda: count(directory, "running") >= 1, process)
        for extra in ((), ("--fresh",)):
            status, stdout, stderr = command(*arguments(directory, trials=50), *extra)
            assert (status, stdout) == (2, "")
            assert f"Another process (number {process.pid}) is searching" in stderr
        status, stdout, _ = command("show", directory, "--json")  # but anyone may look
        assert status == 0
        assert load(stdout)["counts"]["running"] >= 1
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_kill_between_two_writes_leaves_a_store_that_opens(tiny, tmp_path, command):
    """Ends the process inside a transaction, where a plain file would be torn."""
    code = """
import os, sys
from tuning.store.database import Store
original = Store._save_oracle
calls = []
def dies(self, state):
    calls.append(1)
    if len(calls) == 4:
        os._exit(9)
    original(self, state)
Store._save_oracle = dies
from tuning.cli import main
main(sys.argv[1:])
"""
    directory = tmp_path / "out"
    given = [str(argument) for argument in arguments(directory, problem="tiny_problem:make_problem")]
    died = subprocess.run([sys.executable, "-c", code, *given], env=environment(), cwd=tmp_path, capture_output=True)
    assert died.returncode == 9
    assert [trial.state for trial in SearchResult.load(directory).trials] == ["completed", "running"]
    resumed = load(command(*given)[1])
    assert [trial["state"] for trial in resumed["trials"]] == ["completed"] * 4


def test_the_json_of_a_search_is_the_only_thing_on_stdout(tmp_path):
    (tmp_path / "noisy.py").write_text("print('hello from the module')\nfrom tiny_problem import make_problem\n")
    from tests.tuning.conftest import TINY, textwrap

    (tmp_path / "tiny_problem.py").write_text(textwrap.dedent(TINY))
    status, stdout, stderr = run(*arguments("out", trials=1, problem="noisy:make_problem"), cwd=tmp_path)
    assert status == 0, stderr
    assert json.loads(stdout)["best"]["state"] == "completed"
    assert "hello from the module" in stderr
    # Nothing of what the backends say when they start.
    assert [line for line in stderr.splitlines() if "oneDNN" in line or "cuda" in line] == []


@pytest.fixture
def interruptible_here():
    """Ctrl-C interrupts this process, also where the tests were started so that it does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_that_is_turned_into_another_error_still_ends_the_search(tiny, tmp_path, command, interruptible_here):
    handled_before = signal.getsignal(signal.SIGINT)
    (tmp_path / "swallowing.py").write_text(
        """
import os, signal, tiny_problem, tuning

def model():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise RuntimeError("the compiler was interrupted")

def make_problem():
    return tuning.Problem("swallowing", tiny_problem.data, model, "mse", metrics=[], objective="val_loss")
"""
    )
    status, stdout, _ = command(*arguments("out", problem="swallowing:make_problem"))
    assert (status, stdout) == (130, "")
    assert [trial.state for trial in SearchResult.load("out").trials] == ["running"]
    assert signal.getsignal(signal.SIGINT) is handled_before


def forgets_an_interruption(number=signal.SIGINT):
    """The signal comes in a callback of a weak reference, where Python forgets what is raised, as it may in an import of JAX."""

    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
    del thing
    assert reference() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_python_forgets_is_known_to_all_who_watch(number, interruptible_here):
    outer, inner = Interruption(), Interruption()
    with outer.watched():
        forgets_an_interruption(number)
        with pytest.raises(KeyboardInterrupt), inner.watched():
            inner.check()
    with inner.watched():
        inner.check()


def raises_nothing(call, *arguments):
    """Calls as Cython does where a function can raise nothing: by PyErr_Print, which goes through sys.excepthook."""
    try:
        call(*arguments)
    except BaseException:
        sys.excepthook(*sys.exc_info())


def test_an_interruption_that_compiled_code_takes_for_uncaught_is_not_printed(capsys, interruptible_here):
    interruption, before = Interruption(), sys.excepthook
    with interruption.watched():
        raises_nothing(signal.raise_signal, signal.SIGINT)
        raises_nothing(int, "an error of its own")
    assert interruption.came
    assert sys.excepthook is before
    printed = capsys.readouterr().err
    assert "an error of its own" in printed
    assert "KeyboardInterrupt" not in printed


@pytest.mark.parametrize("becomes", ["forgotten", "error"])
def test_an_interruption_of_the_import_ends_the_command(becomes, tiny, command, monkeypatch, interruptible_here):
    def import_keras_quietly():
        forgets_an_interruption()
        if becomes == "error":
            raise ImportError("half of it")

    monkeypatch.setattr("tuning.runtime.quiet.import_keras_quietly", import_keras_quietly)
    status, stdout, stderr = command(*arguments("out", problem=tiny))
    assert (status, stdout) == (130, "")
    assert "interrupted; finished trials are kept. To go on: keras-optims tune adam" in stderr
    assert not exists("out")
    status, _, stderr = command("landscape", "--steps", 2)
    assert (status, stderr) == (130, "keras-optims: interrupted.\n")


def test_an_interruption_before_the_search_is_not_lost_in_it(tiny, tmp_path, command, interruptible_here):
    (tmp_path / "forgetful.py").write_text(
        "from tests.tuning.test_interruption import forgets_an_interruption\n"
        "import tiny_problem\n\n\n"
        "def make_problem():\n    forgets_an_interruption()\n    return tiny_problem.make_problem()\n"
    )
    status, stdout, _ = command(*arguments("out", problem="forgetful:make_problem"))
    assert (status, stdout) == (130, "")
    assert SearchResult.load("out").trials == []


def test_processes_of_the_tests_can_be_interrupted_where_the_tests_cannot(interruptible_here):
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
    with interruptible():
        assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_processes_that_a_search_starts_are_quiet_too(tmp_path):
    """TF_CPP_MIN_LOG_LEVEL, which silences the import, is not taken for the user's wish by a process that is started later."""
    (tmp_path / "keras.py").write_text(
        "import os, sys, types\n"
        "print('notes of', os.environ['TF_CPP_MIN_LOG_LEVEL'], file=sys.stderr)\n"
        "ops = types.SimpleNamespace(zeros=int, convert_to_numpy=int)\n"
    )
    code = "from tuning.runtime.quiet import import_keras_quietly; import_keras_quietly(); import os; print(*os.environ)"
    for wish, notes in ((None, ""), ("0", "notes of 0\n")):
        changes = environment() | ({} if wish is None else {"TF_CPP_MIN_LOG_LEVEL": wish})
        given = {"env": changes, "cwd": tmp_path, "capture_output": True, "text": True}
        done = subprocess.run([sys.executable, "-c", code], **given)
        assert (done.returncode, done.stderr) == (0, notes)
        assert ("TF_CPP_MIN_LOG_LEVEL" in done.stdout.split()) == (wish is not None)
