"""The checks of where a step runs."""

from __future__ import annotations

from tuning.doctor.checks_of_the_setup import SET_UP, is_apple_silicon
from tuning.doctor.finding import Verdict, check, fails, passes, warns

SEND = "Send this report (`keras-optims doctor --json`): these optimizers are made to stay on the GPU."


@check("GPU", "machine", "packages", "devices", why="Without a GPU that the backend lists, everything trains on the CPU.")
def gpu(machine: dict, packages: dict, devices: dict) -> Verdict:
    """The backend sees the GPU."""
    if devices["gpus"]:
        return passes(", ".join(devices["gpus"]))
    if is_apple_silicon(machine) and packages["tensorflow-metal"]:
        return fails("none, though tensorflow-metal is installed", f"The plug-in has not loaded. {SET_UP}")
    if is_apple_silicon(machine):
        return warns("none: this backend trains on the CPU", SET_UP)
    return passes("none: this backend trains on the CPU")


@check(
    "jit", "machine", "devices", why="There is no XLA for a Mac's GPU: a model compiled with it fails there, or leaves the GPU."
)
def jit(machine: dict, devices: dict) -> Verdict:
    """Keras does not choose XLA on a Mac's GPU."""
    found = f"Keras compiles models {'with' if devices['jit'] else 'without'} XLA"
    if is_apple_silicon(machine) and devices["gpus"] and devices["jit"]:
        return fails(found, "model.compile(..., jit_compile=False)")
    return passes(found)


@check(
    "kernels", "kernels", why="Where the GPU has no kernel for an operation, the CPU computes it, and each waits for the other."
)
def kernels(kernels: dict) -> Verdict:
    """Every operation of every optimizer's step has a kernel on the device."""
    device, covered = kernels["device"], kernels["optimizers"]
    missing = {name: (*each["falls"], *each["falls_once"]) for name, each in covered.items()}
    if any(missing.values()):
        listed = "; ".join(f"{name}: {', '.join(operations)}" for name, operations in missing.items() if operations)
        return fails(f"no kernel on the {device} for {listed}", SEND)
    without = [name for name, each in covered.items() if each["has_one"] and not each["kernel"]]
    if without:
        return warns(f"all operations have kernels on the {device}, but {', '.join(without)} without a fused one", SEND)
    fused = sorted({operation for each in covered.values() for operation in each["kernel"]})
    return passes(f"on the {device}: {', '.join(fused)}, and all that goes with them")


@check("placement", "placement", why="What is registered must be what is run; by itself TensorFlow changes the device silently.")
def placement(placement: dict) -> Verdict:
    """No step leaves the GPU where it must not."""
    rows = placement["rows"]
    errors = [f"{row['optimizer']} ({row['mode']}): {row['error']}" for row in rows if row["error"]]
    errors += [f"{row['optimizer']} ({row['mode']}): the weights are on {row['device']}" for row in rows if _is_elsewhere(row)]
    if errors:
        return fails(f"{len(errors)} of {len(rows)} steps leave the GPU: {'; '.join(errors)}", SEND)
    return passes(f"{len(rows)} steps, eager and in a tf.function, stay on the GPU")


def _is_elsewhere(row: dict) -> bool:
    return row["error"] is None and "GPU" not in row["device"]


CHECKS = (gpu, jit, kernels, placement)
