"""Trials on a real Ray, of this machine alone: workers, nodes and drivers die, and nothing is lost."""

import contextlib
import os
import pathlib
import signal
import time
import uuid

import pytest

import tuning
from tests.tuning.conftest import load, one_sentence, start, without_times
from tests.tuning.test_interruption import arguments, count, wait_for
from tuning.engines.ray import RayEngine, fair_share
from tuning.results.search import SearchResult

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # on a Mac and on Windows it is the default


def test_workers_get_equal_shares_that_fit_on_the_nodes():
    assert fair_share([8.0], 2) == 4.0
    assert fair_share([8.0], 3) == 2.0
    assert fair_share([1.0, 3.0], 2) == 1.0  # not 2, of which only one would fit
    assert fair_share([2.0], 4) == 0.5
    assert fair_share([1.0], 10) == 0.1
    assert fair_share([4.0, 16.0], 2, places=[2, 0]) == 2.0
    assert fair_share([], 2) == fair_share([0.0], 2) == 0.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--address", "auto"), "address is for the engine 'ray' alone; received address 'auto' with the engine 'local'."),
        (("--gpus-per-worker", "0"), "gpus_per_worker is for the engine 'ray' alone"),
        (("--engine", "ray", "--cpus-per-worker", "1.5"), "cpus_per_worker must be an int of at least 1, or a fraction below 1"),
        (("--engine", "ray", "--address", "ray://host:1"), "must be 'auto' or HOST:PORT; received 'ray://host:1'."),
        (("--engine", "ray", "--address", "127.0.0.1:9"), "There is no Ray cluster at 127.0.0.1:9"),
    ],
)
def test_wrong_use_is_one_clear_sentence(given, said, command):
    pytest.importorskip("ray")
    status, stdout, stderr = command("tune", "adam", *given)
    assert (status, stdout) == (2, "")
    assert said in one_sentence(stderr)


def test_without_ray_its_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(tuning.SearchError, match=r"pip install 'keras-optims\[ray\]'"):
        RayEngine(2)


# -- a real Ray -----------------------------------------------------------------------------------


def marked(mark, name=b""):
    """The processes whose environment has the mark and whose command line contains the name."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if (
                mark.encode() in (process / "environ").read_bytes()
                and state != "Z"
                and name in (process / "cmdline").read_bytes()
            ):
                found.append(int(process.name))
    return found


def wait_until_gone(mark, name=b"", seconds=30):
    end = time.monotonic() + seconds
    while left := marked(mark, name):
        assert time.monotonic() < end, [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
        time.sleep(0.1)


@pytest.fixture
def mark():
    """The value of a variable that all processes of a search have; none of them may outlive the test."""
    mark = uuid.uuid4().hex
    yield mark
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


ACTOR = b"ray::_Training"


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_ctrl_c_leaves_nothing_running_and_a_killed_worker_s_trial_runs_again(tiny, tmp_path, command, mark):
    schedule = ("--schedule", "cosine", "--search", "warmup=0:0.2")
    given = (*arguments(tmp_path / "out", trials=6, workers=2), *schedule, "--engine", "ray")
    process = start(*given, cwd=tmp_path, KERAS_OPTIMS_MARK=mark)
    wait_for(lambda: marked(mark, ACTOR), process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert "To go on: keras-optims tune" in stderr
    assert "ray" not in stderr.replace("--engine ray", "")
    wait_until_gone(mark)
    process = start(*given, cwd=tmp_path, KERAS_OPTIMS_MARK=mark)
    wait_for(lambda: count(tmp_path / "out") >= 1 and count(tmp_path / "out", "running") == 2, process)
    os.kill(marked(mark, ACTOR)[0], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert "aylet" not in stderr
    wait_until_gone(mark)
    assert [trial["state"] for trial in load(stdout)["trials"]] == ["completed"] * 6
    alone = load(command(*arguments(tmp_path / "alone", trials=6), *schedule)[1])
    assert without_times(load(stdout)) == without_times(alone)
    best = SearchResult.load(tmp_path / "out").best  # its model came through Ray's object store
    assert int(best.model().optimizer.iterations) == 4 * (best.best_epochs[0] + 1)


@pytest.fixture
def cluster(monkeypatch):
    """A head without CPUs of its own, to which drivers connect, and two nodes of one CPU."""
    for name, value in LOOPBACK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
    quick = {"health_check_period_ms": 500, "health_check_failure_threshold": 3, "health_check_timeout_ms": 500}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": quick})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    yield cluster, nodes
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:os.fork:RuntimeWarning")  # of Ray, which starts processes here
def test_a_dead_node_s_trial_runs_elsewhere_and_a_dead_driver_s_search_resumes(tiny, tmp_path, command, cluster, mark):
    ray_cluster, nodes = cluster
    given = (*arguments(tmp_path / "out", trials=6, workers=2), "--engine", "ray", "--address", ray_cluster.address)
    process = start(*given, cwd=tmp_path, KERAS_OPTIMS_MARK=mark, **LOOPBACK)
    wait_for(lambda: count(tmp_path / "out") >= 1 and count(tmp_path / "out", "running") == 2, process)
    ray_cluster.remove_node(nodes[1], allow_graceful=False)
    finished = count(tmp_path / "out")
    # Two at least: the node that is left has ended its own trial, and gone on.
    wait_for(lambda: count(tmp_path / "out") >= finished + 2, process)
    process.kill()
    process.communicate()
    wait_until_gone(mark, ACTOR)
    assert count(tmp_path / "out") < 6
    process = start(*given, cwd=tmp_path, KERAS_OPTIMS_MARK=mark, **LOOPBACK)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert [trial["state"] for trial in load(stdout)["trials"]] == ["completed"] * 6
    alone = load(command(*arguments(tmp_path / "alone", trials=6))[1])
    assert without_times(load(stdout)) == without_times(alone)
