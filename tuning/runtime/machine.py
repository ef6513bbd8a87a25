"""With which versions and on what machine a search ran, for those who read its results elsewhere."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import math
import os
import pathlib
import platform
import subprocess
from typing import Any


def machine() -> dict[str, Any]:
    """Platform, processor, cores, memory in GiB, and the accelerators that Keras's backend sees; `None` where unknown."""
    return {"platform": platform.platform(terse=True), **hardware(), "accelerators": accelerators()}


def hardware() -> dict[str, Any]:
    """Processor, cores and memory in GiB, without a backend's help."""
    return {"processor": _processor(), "cores": _cores(), "memory_gib": _memory_gib()}


@functools.cache
def versions() -> dict[str, str]:
    """Of Python and of the packages that a trial's result depends on."""
    import keras

    found = {"python": platform.python_version(), "keras": keras.__version__}
    for package in ("keras-optims", "keras-tuner", "numpy", "scipy", keras.backend.backend()):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def _processor() -> str | None:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return platform.processor() or platform.machine() or None


def _cores() -> int | None:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def accelerators() -> list[str]:
    """The names of the accelerators that Keras's backend sees."""
    import keras

    found = {"tensorflow": _of_tensorflow, "jax": _of_jax, "torch": _of_torch}.get(keras.backend.backend(), list)
    return found()


def _of_tensorflow() -> list[str]:
    import tensorflow as tf

    devices = [device for device in tf.config.list_physical_devices() if device.device_type != "CPU"]
    return [tf.config.experimental.get_device_details(device).get("device_name", device.device_type) for device in devices]


def _of_jax() -> list[str]:
    import jax

    return [device.device_kind for device in jax.devices() if device.platform != "cpu"]


def _of_torch() -> list[str]:
    import torch

    if torch.backends.mps.is_available():
        return ["Apple GPU (mps)"]
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def free_memory(root: str | os.PathLike = "/") -> int | None:
    """Bytes that this process may still take: of the machine, its container, and the accelerator; `None`: nobody knows.

    Args:
        root: where the system tells of itself.
    """
    known = [_free_of_the_machine(pathlib.Path(root)), _free_on_the_accelerator()]
    if None in known:
        return None
    return int(min([*(each for each in known if each is not None), _free_in_the_container(pathlib.Path(root))]))


def _free_of_the_machine(root: pathlib.Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    total = _memory_gib()  # of a Mac, where a half of it is taken to be free
    return None if total is None else total / 2 * 2**30


def _free_in_the_container(root: pathlib.Path) -> float:
    """What a limit of Linux's control groups leaves; the files of which there are copies in memory give way."""
    folder = root / "sys/fs/cgroup"
    for limit, used, cached in (
        (folder / "memory.max", folder / "memory.current", "inactive_file"),
        (folder / "memory/memory.limit_in_bytes", folder / "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max": there is none
            left = int(limit.read_text()) - int(used.read_text())
            lines = (line.split() for line in limit.with_name("memory.stat").read_text().splitlines())
            return max(0, left + sum(int(count) for name, count in lines if name == cached))
    return math.inf


def _free_on_the_accelerator() -> float | None:
    """Infinite without one; `None`: it does not say."""
    import keras

    backend = keras.backend.backend()
    if not accelerators():
        return math.inf
    if backend == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats() or {}
        return stats["bytes_limit"] - stats["bytes_in_use"] if {"bytes_limit", "bytes_in_use"} <= set(stats) else None
    if backend == "torch":
        import torch

        return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else math.inf  # a Mac has one memory for both
    return None
