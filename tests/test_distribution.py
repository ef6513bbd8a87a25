"""Several devices, and several processes, train as one device does: each file of tests/distribution in processes of its own.

Virtual devices and process groups must be set up before a backend begins to work, which it may have done here already.
"""

import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SECONDS = 600  # until processes that wait for each other are ended; a run takes less than 60 of two free cores


def run(file, folder, processes=1, **environment):
    """Runs the tests of a file, at once in so many processes."""
    begun, outputs = [], [folder / f"output of {rank}" for rank in range(processes)]
    try:
        for rank, output in enumerate(outputs):
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"tests/distribution/{file}"]
            environment_of_rank = os.environ | environment | {"RANK": str(rank), "FOLDER": str(folder), "PYTHONPATH": str(ROOT)}
            with output.open("wb") as stream:
                begun.append(subprocess.Popen(command, cwd=ROOT, env=environment_of_rank, stdout=stream, stderr=stream))
        end = time.monotonic() + SECONDS
        statuses = [process.wait(max(1, end - time.monotonic())) for process in begun]
    except subprocess.TimeoutExpired:
        statuses = [f"not ended after {SECONDS} s"]
    finally:
        for process in begun:
            process.kill()
            process.wait()
    assert statuses == [0] * processes, "\n".join(output.read_text(errors="replace") for output in outputs)


def free_ports(number):
    """Ports of this machine that nobody listens on now."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(number)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_mirrored_strategy(tmp_path):
    run("mirrored.py", tmp_path)


@pytest.mark.slow
@pytest.mark.backend("tensorflow")
def test_multi_worker_mirrored_strategy(tmp_path):
    run("workers.py", tmp_path, processes=2, PORTS=" ".join(free_ports(2)))


@pytest.mark.backend("jax")
def test_data_and_model_parallel(tmp_path):
    run("sharded.py", tmp_path, XLA_FLAGS="--xla_force_host_platform_device_count=4")


@pytest.mark.backend("torch")
def test_distributed_data_parallel(tmp_path):
    run("data_parallel.py", tmp_path, processes=2)
