"""The checks of what is installed, before anything is computed."""

from __future__ import annotations

from packaging.version import Version

from tuning.doctor.finding import Verdict, check, fails, passes, skips, warns

SET_UP = "Make a new environment with scripts/setup_mac.sh, or pip install 'keras-optims[metal]' in one of Python 3.11 or 3.12."
OLDEST_MACOS = Version("12.1")


def is_apple_silicon(machine: dict) -> bool:
    """Whether this is a Mac with an Apple chip, however this Python runs on it."""
    return machine["system"] == "Darwin" and (machine["architecture"] == "arm64" or machine["apple_silicon"])


@check("processor", "machine", why="tensorflow-metal exists for native arm64 Python on Apple silicon only; Rosetta has no GPU.")
def processor(machine: dict) -> Verdict:
    """Native code on Apple silicon."""
    of = f"{machine['system']} on {machine['architecture']}, {machine['processor']}"
    if machine["system"] != "Darwin":
        return passes(f"{of}; the checks of a Mac's GPU do not apply")
    if machine["architecture"] == "arm64" and not machine["rosetta"]:
        return passes(of)
    if is_apple_silicon(machine):
        return fails(
            f"{of}: this Python is an Intel build and runs translated, under Rosetta",
            f"Use a native Python (`brew install python@3.12` in /opt/homebrew, or python.org's universal installer). {SET_UP}",
        )
    return warns(f"{of}: an Intel Mac, whose GPU TensorFlow does not use", "Train on the CPU, or on another machine.")


@check("macOS", "machine", why="tensorflow-metal's last release, 1.2.0, is built for macOS 12.1 and newer.")
def macos(machine: dict) -> Verdict:
    """A system that the plug-in can run on."""
    if machine["system"] != "Darwin":
        return skips(f"this is {machine['system']}")
    found = f"macOS {machine['system_version']}"
    if Version(machine["system_version"]) < OLDEST_MACOS:
        return fails(found, f"Update macOS to {OLDEST_MACOS} or newer.")
    return passes(found)


@check("python", "machine", why="tensorflow-metal has wheels for CPython up to 3.12, and Keras 3.15 needs Python 3.11.")
def python(machine: dict) -> Verdict:
    """A version of Python for which everything exists."""
    version = Version(machine["python"])
    found = f"{machine['python_implementation']} {machine['python']}"
    newest = (3, 12) if is_apple_silicon(machine) else (3, 13)
    if machine["python_implementation"] == "CPython" and (3, 11) <= version.release[:2] <= newest:
        return passes(found)
    if is_apple_silicon(machine):
        return fails(f"{found}, for which there is no tensorflow-metal with Keras 3.15", f"Use Python 3.12 or 3.11. {SET_UP}")
    return warns(f"{found}, with which this is not tested", "Use CPython 3.11, 3.12 or 3.13.")


@check(
    "versions",
    "machine",
    "packages",
    why="tensorflow-metal loads with TensorFlow 2.16 to 2.19; with newer ones `import tensorflow` fails (tensorflow#126360).",
)
def versions(machine: dict, packages: dict) -> Verdict:
    """Versions that work together."""
    if not is_apple_silicon(machine):
        return _versions_elsewhere(packages)
    found = _listed(packages, "tensorflow", "tensorflow-metal", "keras", "numpy", "protobuf")
    for old in ("tensorflow-macos", "jax-metal"):
        if packages[old]:
            return fails(f"{found}, and {old} {packages[old]}, which is outdated and collides", f"pip uninstall {old}. {SET_UP}")
    if not packages["tensorflow-metal"]:
        return warns(f"{found}: without the plug-in tensorflow-metal, TensorFlow trains on the CPU", SET_UP)
    if not packages["tensorflow"]:
        return fails(f"{found}: the plug-in is installed, TensorFlow is not", SET_UP)
    tensorflow, metal = Version(packages["tensorflow"]), Version(packages["tensorflow-metal"])
    if not (2, 16) <= tensorflow.release[:2] <= (2, 19):
        return fails(f"{found}: tensorflow-metal {metal} does not load with this TensorFlow", SET_UP)
    if metal < Version("1.2") and tensorflow.release[:2] >= (2, 18):
        return fails(f"{found}: tensorflow-metal {metal} does not load with this TensorFlow (tensorflow#81987)", SET_UP)
    differ = [name for name, fits in _PINS.items() if not packages[name] or not fits(Version(packages[name]))]
    if differ:
        return warns(f"{found}: not the tried versions of {', '.join(differ)}", SET_UP)
    return passes(found)


# What the extra `metal` installs on Apple silicon.
_PINS = {
    "tensorflow": lambda version: version == Version("2.19.1"),
    "tensorflow-metal": lambda version: version == Version("1.2.0"),
    "keras": lambda version: version.release[:2] == (3, 15),
    "numpy": lambda version: Version("1.26") <= version < Version("2.2"),
    "protobuf": lambda version: version < Version("6"),
}


def _versions_elsewhere(packages: dict) -> Verdict:
    found = _listed(packages, "keras", "tensorflow", "jax", "torch", "numpy")
    if not packages["keras"] or Version(packages["keras"]) < Version("3.10"):
        return fails(f"{found}: Keras 3.10 or newer is needed", "pip install 'keras>=3.10'")
    if not any(packages[backend] for backend in ("tensorflow", "jax", "torch")):
        return fails(f"{found}: Keras needs a backend", "pip install 'keras-optims[tensorflow]', or [jax], or [torch].")
    return passes(found)


def _listed(packages: dict, *names: str) -> str:
    return ", ".join(f"{name} {packages[name]}" for name in names if packages[name]) or "none of the packages"


@check("import", "machine", "packages", "starting", why="A library that does not load stops everything else.")
def starts(machine: dict, packages: dict, starting: dict) -> Verdict:
    """Keras and its backend can be imported, in a process of their own."""
    problem = starting.get("problem")
    if problem is None:
        return passes(f"Keras {starting['keras']} on {starting['backend']} {starting['version']} in {starting['seconds']:.1f} s")
    return fails(problem, _mend(machine, packages, problem))


def _mend(machine: dict, packages: dict, problem: str) -> str:
    """What to do about the text of a loader."""
    if "_pywrap_tensorflow_internal" in problem or (packages["tensorflow-metal"] and "Symbol not found" in problem):
        return f"The plug-in and this TensorFlow do not fit: TensorFlow 2.19.1 is the newest that loads with it. {SET_UP}"
    if "incompatible architecture" in problem or "SIGILL" in problem or "AVX" in problem:
        return f"Code for another processor: use a native Python, and packages installed by it. {SET_UP}"
    missing = next((name for name in ("tensorflow", "jax", "torch") if f"No module named '{name}'" in problem), None)
    if missing:
        extra = "metal" if missing == "tensorflow" and is_apple_silicon(machine) else missing
        return f"pip install 'keras-optims[{extra}]', or set KERAS_BACKEND to a backend that is installed."
    if "backend" in problem:
        return "KERAS_BACKEND (or ~/.keras/keras.json) must name 'tensorflow', 'jax' or 'torch'."
    return "Reinstall the package that the text names, in a new environment."


_OTHER_BACKENDS = {
    "jax": "JAX trains on the CPU here, unless a plug-in of a third party for Apple's GPU is installed",
    "torch": "Keras trains on the GPU with torch's MPS, which nobody has tried with these optimizers (trap: keras#23700)",
}


@check("backend", "machine", "starting", why="On a Mac's GPU these optimizers are made for the kernels of TensorFlow.")
def backend(machine: dict, starting: dict) -> Verdict:
    """The Keras backend that these optimizers reach a Mac's GPU with."""
    if "problem" in starting:
        return skips("Keras did not start")
    found = f"{starting['backend']}, named by {starting['chosen_by']}"
    other = _OTHER_BACKENDS.get(starting["backend"])
    if is_apple_silicon(machine) and other:
        return warns(f"{found}: {other}", "Set KERAS_BACKEND=tensorflow before Keras is imported, or in ~/.keras/keras.json.")
    return passes(found)


CHECKS = (processor, macos, python, versions, starts, backend)
