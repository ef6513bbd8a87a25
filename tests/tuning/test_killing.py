"""A search that is killed again and again, at any moment, loses nothing, repeats nothing, and ends as an undisturbed one."""

import json
import subprocess
import sys

import pytest

from tests.tuning.conftest import ROOT, environment

KEPT_MODELS = 2  # as in tests/tuning/killing.py, which imports all that a search needs

CASES = {
    "random": {"oracle": "random", "trials": 40, "kills": 7},
    "quasirandom": {"oracle": "quasirandom", "trials": 40, "kills": 7, "pruner": "halving"},
    "grid": {"oracle": "grid", "trials": 40, "kills": 7, "first": [{"x": 0.4, "y": 0.6}]},
    "hyperband": {"oracle": "hyperband", "trials": 40, "kills": 12, "first": [{"x": 0.4, "y": 0.6}]},
    "hyperband with 2 workers": {"oracle": "hyperband", "trials": 40, "kills": 9, "seats": 2},
    "asha": {"oracle": "asha", "trials": 40, "kills": 12},
    "asha with 2 workers": {"oracle": "asha", "trials": 40, "kills": 9, "seats": 2},
    "pbt": {"oracle": "pbt", "trials": 24, "kills": 9, "population": 6, "ready": 1, "first": [{"x": 0.4, "y": 0.6}]},
    "pbt with 2 workers": {"oracle": "pbt", "trials": 24, "kills": 9, "population": 6, "ready": 1, "seats": 2},
    "bayesian": {"oracle": "bayesian", "trials": 7, "kills": 4},
    "tpe": {"oracle": "optuna", "trials": 30, "kills": 7, "pruner": "median"},
    "cmaes": {"oracle": "optuna", "sampler": "cmaes", "trials": 30, "kills": 7, "first": [{"x": 0.4, "y": 0.6}]},
}
CONTINUING = [name for name in CASES if name.startswith(("hyperband", "asha", "pbt"))]
IN_TURN = ["hyperband with 2 workers", "asha with 2 workers"]  # what is promoted follows from the order in which trials end, too

pytestmark = [
    pytest.mark.slow,
    # On a Mac the system's own libraries may have threads by then, and a child that uses them crashes.
    pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="forks a process with TensorFlow, and kill -9"),
]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What became of each case: see tests/tuning/killing.py."""
    arguments = [sys.executable, "-m", "tests.tuning.killing", str(tmp_path_factory.mktemp("killed")), "1", json.dumps(CASES)]
    done = subprocess.run(arguments, env=environment(OMP_NUM_THREADS="1"), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def without_times(rows):
    return [{name: value for name, value in row.items() if name not in ("begun", "ended")} for row in rows]


def test_at_least_fifty_kills_hit_a_running_search(killed):
    assert sum(case["hits"] for case in killed.values()) >= 50
    assert all(case["hits"] >= 2 for case in killed.values())
    assert sum(killed[name]["hits"] for name in CONTINUING) >= 50
    assert sum(killed[name]["late"] for name in CONTINUING) >= 40  # after the first epoch that has ended


@pytest.mark.parametrize("name", CASES)
def test_a_search_killed_at_random_moments_ends_as_an_undisturbed_one(killed, name):
    case = killed[name]
    finished = {}
    for snapshot in [*case["snapshots"], case["end"]]:
        rows = {row["number"]: row for row in snapshot}
        for number, row in finished.items():
            assert rows[number] == row  # the very same, times and all: neither lost nor run again
        finished.update({number: row for number, row in rows.items() if row["state"] != "running"})
        assert sum(row["state"] == "running" for row in snapshot) <= CASES[name].get("seats", 1)
    assert [row["number"] for row in case["end"]] == list(range(CASES[name]["trials"]))
    assert all(row["executions"] == 1 for row in case["end"])
    if name not in IN_TURN:
        assert without_times(case["end"]) == without_times(case["whole"])


@pytest.mark.parametrize("name", CASES)
def test_the_best_models_are_there_whole_and_no_others(killed, name):
    case = killed[name]
    for kept, broken in [*case["models"], case["models_of_end"]]:
        assert len(kept) <= KEPT_MODELS
        assert broken == []
    assert name in IN_TURN or case["models_of_end"] == case["models_of_whole"]
    assert len(case["models_of_end"][0]) == KEPT_MODELS
    assert not [name for name in case["left"] if name.endswith(".part") or "snapshots" in name]


def test_the_killed_searches_had_trials_of_every_kind(killed):
    states = {row["state"] for case in killed.values() for row in case["end"]}
    assert states == {"completed", "pruned", "diverged"}
