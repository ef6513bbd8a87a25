"""The facts that are there before anything heavy is imported: the machine, Python, and the versions of the packages."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess

from tuning.runtime.machine import hardware

PACKAGES = (
    "keras-optims",
    "keras",
    "tensorflow",
    "tensorflow-metal",
    "tensorflow-macos",
    "jax",
    "jax-metal",
    "torch",
    "numpy",
    "protobuf",
    "h5py",
    "ml-dtypes",
)


def machine_facts() -> dict:
    """The system, whether Python runs natively, versions, and the hardware; a value is `None` where it is unknown."""
    system = platform.system()
    return {
        "system": system,
        "system_version": (_output("sw_vers", "-productVersion") if system == "Darwin" else None) or platform.release(),
        "architecture": platform.machine(),
        "apple_silicon": system == "Darwin" and _output("sysctl", "-n", "hw.optional.arm64") == "1",
        "rosetta": system == "Darwin" and _output("sysctl", "-n", "sysctl.proc_translated") == "1",
        "python": platform.python_version(),
        "python_implementation": platform.python_implementation(),
        **hardware(),
    }


def package_facts() -> dict:
    """The version of each package that matters here; `None` for one that is not installed."""
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str | None:
    """What a command of the system prints; a key that this Mac does not know is an error of `sysctl`."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
