"""All that is used of Ray's private interface; a version that changes it fails in `tests/tuning/test_seams.py`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

PRIVATE = {
    ("ray._private.ray_constants", "ENABLE_RAY_CLUSTER"): "whether Ray listens for other machines",
    ("ray._private.worker", "_worker_logs_enabled"): "whether Ray says on stdout that workers die",
}
"""(Module, name), and why it is used."""


@contextlib.contextmanager
def on_loopback(wanted: bool) -> Iterator[None]:
    """A Ray that is for this process alone need not be reachable from other machines. Ray does so only on a Mac or Windows."""
    from ray._private import ray_constants

    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    if wanted:
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without Ray's words on stdout about workers that die: the search itself says what becomes of a trial."""
    from ray._private import worker

    before = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before
