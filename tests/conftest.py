"""What all tests share: the backend under test, and which tests a run leaves out.

A test marked `backend("tensorflow", ...)` belongs to those backends and is not collected under another one. A test
marked `data` needs the real data sets in the folder that KERAS_OPTIMS_DATA names: without it, it is skipped, and in CI it fails.
"""

import gc
import os
import pathlib

import pytest

from tests.forks import Forks

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

BACKEND = os.environ["KERAS_BACKEND"]


def pytest_collection_modifyitems(config, items):
    def belongs(item):
        marker = item.get_closest_marker("backend")
        return marker is None or BACKEND in marker.args

    config.hook.pytest_deselected(items=[item for item in items if not belongs(item)])
    items[:] = [item for item in items if belongs(item)]


def pytest_collection_finish(session):
    """Graphs are many objects, and looking for garbage among them every 700 took a seventh of the tests' time."""
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture
def data_dir() -> pathlib.Path:
    """The folder with the real data sets; only for tests marked `data`."""
    folder = os.environ.get("KERAS_OPTIMS_DATA")
    if folder is None or not pathlib.Path(folder).is_dir():
        message = f"KERAS_OPTIMS_DATA must name a folder with the real data sets; received {folder!r}."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def forks():
    """Runs programs in processes of their own, without importing Keras in each."""
    with Forks(pathlib.Path(__file__).parents[1]) as forks:
        yield forks
