"""With which versions and on what machine a search ran, for those who read its results elsewhere."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
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
