"""How the epochs of a model are compiled: the ways that there are, the usual one, and which one is measured to be fastest.

- TensorFlow: `graph`, the steps are operations of TensorFlow; `xla`, each step is one program of XLA.
- JAX: `scan`, the whole epoch is one program of XLA; `step`, each step is one, called from Python (on a CPU, XLA runs loops on
  one thread, with slow convolutions).
- torch: `eager`, operation by operation.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence

import keras

from keras_optims.keras_seam import layers_of
from tuning.names import JIT_WAYS

WAYS = {"tensorflow": ("graph", "xla"), "jax": ("scan", "step"), "torch": ("eager",)}
USUAL = "usual"  # stands for a model's usual way
CLEARLY = 0.8  # of the time of the usual way is what another one may take to be preferred
MEASURED_SECONDS = 5.0  # after which it stays unclear; slow ways take `LEAST_ROUNDS`, however long
LEAST_ROUNDS = 3
CERTAIN = 4  # standard errors between a difference and none


def ways(jit: str | None = None) -> tuple[str, ...]:
    """The ways of this backend; `jit`: those that this word of a plan leaves open, of which `auto` leaves the usual one."""
    known = WAYS[keras.backend.backend()]
    if jit is None or jit == "measure":
        return known
    return (USUAL,) if jit == "auto" else (JIT_WAYS.get((keras.backend.backend(), jit), known[0]),)


def usual_way(model: keras.Model) -> str:
    """The way for a model on this device, which follows from nothing else, so that the same search does the same again."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return "xla" if model.jit_compile and not _only_a_cpu() else "graph"  # Keras knows what XLA cannot compile
    if backend == "jax":
        convolves = any(isinstance(layer, _convolutions()) for layer in layers_of(model))
        return "step" if convolves and _only_a_cpu() else "scan"
    return WAYS[backend][0]


def _only_a_cpu() -> bool:
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "cpu"
    import tensorflow as tf

    return {device.device_type for device in tf.config.get_visible_devices()} <= {"CPU"}


def _convolutions() -> tuple[type, ...]:
    return tuple(kind for name, kind in vars(keras.layers).items() if "Conv" in name and isinstance(kind, type))


def set_way(model: keras.Model, way: str | Sequence[str]) -> None:
    """Sets how the epochs of a model are compiled: in one way, or in that of several which is measured to be fastest."""
    way = usual_way(model) if way == USUAL else way
    vars(model)["_way"] = way  # past the tracking of attributes by Keras
    if keras.backend.backend() == "tensorflow" and isinstance(way, str) and bool(model.jit_compile) != (way == "xla"):
        model.jit_compile = way == "xla"  # for what `fit` leaves to Keras
        model.make_train_function(force=True)
        model.make_test_function(force=True)


def way_of(model: keras.Model) -> str | None:
    """How the epochs of a model are compiled; `None` if that is not settled."""
    way = vars(model).get("_way")
    return way if isinstance(way, str) else None


def measurements_of(model: keras.Model) -> dict[str, float]:
    """Way -> seconds per step, as far as they have been measured for this model."""
    return vars(model).get("_measured", {})


def settle(model: keras.Model, measure: Callable[[str], Callable[[], float]]) -> str:
    """The way of a model, measured if there is still a choice.

    Args:
        model: built.
        measure: makes of a way a function that trains in it for a moment and returns the seconds of a step.
    """
    way = vars(model).get("_way")
    if way is None:  # as the model was compiled
        way = ("xla" if model.jit_compile else "graph") if keras.backend.backend() == "tensorflow" else usual_way(model)
    if not isinstance(way, str):
        usual = usual_way(model)
        candidates = sorted(way, key=lambda each: each != usual)
        variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        before = [keras.ops.convert_to_numpy(variable.value) for variable in variables]
        try:
            way, vars(model)["_measured"] = fastest({each: measure(each) for each in candidates})
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
        set_way(model, way)
    return way


def fastest(seconds: dict[str, Callable[[], float]]) -> tuple[str, dict[str, float]]:
    """The fastest of some ways, and what a step took in each.

    They take turns until it is clear, for each other way, whether it takes less than `CLEARLY` of the time of the first one.

    Args:
        seconds: for each way a function that trains in it for a moment and returns the seconds of a step; the first call of each
            compiles.
    """
    usual, *others = seconds
    for each in seconds.values():
        each()
    times: dict[str, list[float]] = {way: [] for way in seconds}
    end = time.perf_counter() + MEASURED_SECONDS
    differences: dict[str, tuple[float, float]] = {}
    while others and (time.perf_counter() < end or len(times[usual]) < LEAST_ROUNDS):
        turn = list(seconds) if len(times[usual]) % 2 else list(seconds)[::-1]
        for way in turn:
            times[way].append(seconds[way]())
        if len(times[usual]) < LEAST_ROUNDS:
            continue
        differences = {way: _beyond(times[way], times[usual]) for way in others}
        if all(abs(mean) > CERTAIN * error for mean, error in differences.values()):
            break
    measured = {way: statistics.median(each) for way, each in times.items() if each}
    faster = [way for way, (mean, error) in differences.items() if mean < -CERTAIN * error]
    return min(faster, key=measured.__getitem__, default=usual), measured


def _beyond(times: Sequence[float], usual: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error of log(time / (`CLEARLY` * usual time)), round by round."""
    logs = [math.log(time / (CLEARLY * other)) for time, other in zip(times, usual, strict=True)]
    return statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
