"""How fast steps move memory, in a backend's child process: each contestant on ResNet-50's shapes and on many parameters."""

from __future__ import annotations

import gc
import re
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras

import keras_optims
from scripts import benchmark_update as update
from scripts.accelerator.formula import FormulaOnKeras, FormulaOnOurs

Shapes = list[tuple[int, ...]]
Row = dict[str, Any]

PREPARING = 0.7  # of a stage's time: what is not compiled by then does not take part
FITS = 0.85  # of the free memory may be weights, gradients and slots; the rest is for what a step makes in between
_OUT_OF_MEMORY = re.compile(r"RESOURCE_EXHAUSTED|ResourceExhausted|out of memory|OOM|failed to allocate|bad_alloc", re.IGNORECASE)


def bandwidth(elements: int, seconds: float) -> Row:
    """Bytes per second of a ← a + b on the device, float32 arrays of so many elements: two are read and one is written.

    In place, as a step is: an array that has not been read costs a CPU more to write.
    """
    a, b = keras.ops.ones((elements,), "float32"), keras.ops.full((elements,), 2.0, "float32")
    if keras.backend.backend() == "jax":
        import jax

        held, added = [a], jax.jit(lambda a, b: a + b, donate_argnums=0)
        del a

        def step():
            held[0] = added(held[0], b)
            return held
    elif keras.backend.backend() == "torch":

        def step():
            return a.add_(b)
    else:
        import tensorflow as tf

        variable = tf.Variable(a)
        del a

        def step():
            variable.assign_add(b)
            return [variable]

    taken = interleaved({"add": step}, seconds)["add"]
    return {"contestant": "a = a + b", "elements": elements, **_speed(3 * 4 * elements, taken)}


def transformer(parameters: int) -> Shapes:
    """Shapes of a transformer without biases with about so many parameters: embedding, layers, and the rest as the head."""
    width = 2048
    while width > 16 and 96 * width**2 > parameters:  # at least eight layers
        width //= 2
    shapes, layer = [(16 * width, width)], [*[(width, width)] * 4, (width, 4 * width), (4 * width, width), (width,), (width,)]
    left = parameters - update.size(shapes[0])
    layers = max(left // sum(map(update.size, layer)), 1)
    left -= layers * sum(map(update.size, layer))
    return [*shapes, *layers * layer, (max(round(left / width), 1), width)]


def on_the_device(shapes: Shapes):
    """As `benchmark_update.start`, made on the device: a gigabyte need not travel there."""
    return keras.ops.full((sum(map(update.size, shapes)),), 1e-3, "float32"), [keras.ops.ones(shape) for shape in shapes]


def contestants(name: str, shapes: Shapes) -> dict[str, Callable[[], Callable]]:
    """Contestant → a function that makes its step, ours and the best peers first; `name`: of the optimizer."""
    keras_name, keras_arguments, _, torch_name, optax_name = update.NAMESAKES[name]
    makes = {"ours": keras_optims.OPTIMIZERS[name], "Keras": lambda: getattr(keras.optimizers, keras_name)(**keras_arguments)}
    if name == "adam":
        makes |= {"formula on ours": FormulaOnOurs, "formula on Keras": FormulaOnKeras}
    backend = keras.backend.backend()
    if backend == "tensorflow":
        kinds = [(who, xla) for pair in (("ours", "Keras"), tuple(makes)[2:]) for xla in (True, False) for who in pair]
        return {
            f"{who}, {'XLA' if xla else 'graph'}": lambda who=who, xla=xla: update.tensorflow_step(
                makes[who](), update.dense_inputs(shapes, on_the_device), xla
            )
            for who, xla in kinds
        }
    if backend == "jax":
        steps = {who: lambda make=make: update.jax_step(make(), shapes, on_the_device) for who, make in makes.items()}
        peer, options = "optax", {"momentum": 0.9} if name == "momentum" else {}

        def make_peer():
            import optax

            return update.optax_step(getattr(optax, optax_name)(0.001, **options), shapes, on_the_device)
    else:
        if name == "adam":
            makes["formula on ours, torch.compile"] = type("Compiled", (FormulaOnOurs,), {"torch_compile": True})
        steps = {who: lambda make=make: update.keras_on_torch_step(make(), shapes, on_the_device) for who, make in makes.items()}
        peer, options = "torch.optim, fused", {"momentum": 0.9} if name == "momentum" else {}

        def make_peer():
            return update.torch_step(torch_name, {"fused": True, "lr": 0.001, **options}, shapes, on_the_device)

    return {"ours": steps.pop("ours"), peer: make_peer, **steps}


def together(name: str, seconds: float, measuring: float, doing: Callable[[str], None]) -> Iterator[Row]:
    """Rows of ResNet-50's shapes: all contestants in turn, round by round.

    Args:
        name: of the optimizer.
        seconds: of the stage.
        measuring: seconds of timing for each contestant.
        doing: is told what is done next.
    """
    shapes, begun, ready = update.CASES["resnet50"], time.monotonic(), {}
    wait, first = update.waiting(), {}
    for who, make in contestants(name, shapes).items():
        if time.monotonic() - begun > PREPARING * seconds:
            yield {"contestant": who, "not_measured": "out of time"}
            continue
        doing(f"compiling {who}")
        clock = time.perf_counter()
        try:
            step = make()
            wait(step())
        except Exception as error:
            yield {"contestant": who, "not_measured": reason(error)}
            continue
        first[who], ready[who] = time.perf_counter() - clock, step
    doing("timing")
    left = seconds - (time.monotonic() - begun)
    taken = interleaved(ready, min(measuring, max(left, 0.1) / (4 * max(len(ready), 1))))
    parameters = sum(map(update.size, shapes))
    for who, values in taken.items():
        yield {"contestant": who, "first_call_seconds": first[who], **_row(name, parameters, len(shapes), values)}


def one_by_one(
    name: str, parameters: int, free: int | None, seconds: float, measuring: float, doing: Callable[[str], None]
) -> Iterator[Row]:
    """Rows of a model with many parameters: one contestant after the other, as memory holds only one.

    Args:
        name, seconds, measuring, doing: as of `together`.
        parameters: as many, or halved until they fit.
        free: bytes of memory, where it is known.
    """
    begun, longest, slots = time.monotonic(), 0.0, update.NAMESAKES[name][2]
    fits = parameters
    while free is not None and fits > 1 and 4 * fits * (2 + slots) > FITS * free:
        fits //= 2
    for who in contestants(name, []):
        clock = time.monotonic()
        if clock + longest > begun + seconds:
            yield {"contestant": who, "not_measured": "out of time"}
            continue
        yield {"contestant": who, **_on_many(name, who, parameters, fits, measuring, doing)}
        longest = max(longest, time.monotonic() - clock)


def _on_many(name, who, wanted, parameters, measuring, doing) -> Row:
    while True:
        shapes = transformer(parameters)
        doing(f"{who}, {parameters:.3g} parameters")
        try:
            row = _timed_alone(contestants(name, shapes)[who], measuring)
            row |= _row(name, sum(map(update.size, shapes)), len(shapes), row.pop("seconds"))
            return row | ({"halved_from": wanted} if parameters < wanted else {})
        except Exception as error:
            text, memory = reason(error), is_out_of_memory(error)
        _free()  # here, where the error and its frames are gone
        if not memory or parameters < 1_000_000:
            return {"not_measured": text}
        parameters //= 2


def _timed_alone(make, measuring) -> Row:
    clock, wait = time.perf_counter(), update.waiting()
    try:
        step = make()
        wait(step())
        first = time.perf_counter() - clock
        return {"first_call_seconds": first, "seconds": interleaved({"it": step}, measuring)["it"]}
    finally:
        step = None
        _free()


def interleaved(steps: dict[str, Callable], seconds: float) -> dict[str, list[float]]:
    """Contestant → seconds of a step, one number for each round. A round is several steps in a row and one wait at their end.

    Args:
        steps: each makes a step and returns what `benchmark_update.waiting` takes.
        seconds: of timing for each contestant; three rounds at least, unless they take three times as long.
    """
    wait, calls, taken = update.waiting(), {}, {who: [] for who in steps}
    for who, step in steps.items():
        clock = time.perf_counter()
        wait(step())
        last = time.perf_counter() - clock
        calls[who] = max(1, min(50, round(min(seconds / 5, 0.05) / max(last, 1e-6))))
    begun, rounds, share = time.perf_counter(), 0, 0.0
    while steps and (share < 1 or (rounds < 3 and share < 3)):
        for who, step in steps.items():
            clock, result = time.perf_counter(), None
            for _ in range(calls[who]):
                result = step()
            wait(result)
            taken[who].append((time.perf_counter() - clock) / calls[who])
        rounds, share = rounds + 1, (time.perf_counter() - begun) / (seconds * len(steps))
    return taken


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice; each backend has its own."""
    return isinstance(error, MemoryError) or bool(_OUT_OF_MEMORY.search(f"{type(error).__name__} {error}"))


def reason(error: BaseException) -> str:
    """An error as one short line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else f"{text[:197]}..."


def _row(name, parameters, tensors, seconds) -> Row:
    moved = update.bytes_of_a_step(parameters, update.NAMESAKES[name][2])
    return {"parameters": parameters, "tensors": tensors, **_speed(moved, seconds)}


def _speed(moved: int, seconds: list[float]) -> Row:
    median = statistics.median(seconds)
    return {"milliseconds": 1e3 * median, "rounds": len(seconds), "bytes": moved, "gigabytes_per_second": moved / median / 1e9}


def _free() -> None:
    gc.collect()
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
