"""Trials per hour of a search, in the child process of a backend: ours one by one, many in one program, and stock KerasTuner."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np

from scripts import benchmark_search as search
from scripts.accelerator.steps import PREPARING, Row, reason
from tuning.errors import SearchError
from tuning.problems import datasets, make_problem
from tuning.problems.images import images
from tuning.space.space import Space

REAL, SYNTHETIC = "MNIST", "synthetic, of MNIST's shapes"


def problem_and_data(name: str):
    """(the problem, which data it has); nothing is downloaded: a machine without a network would wait for it."""
    named = os.environ.get(datasets.ENVIRONMENT_VARIABLE)
    for folder in [named] if named else [datasets._keras_cache(), pathlib.Path("data")]:
        try:
            datasets.load_mnist(folder)
            return make_problem(name, folder), REAL
        except SearchError:
            pass
    problem = make_problem(name)
    one_hot = isinstance(problem.loss, keras.losses.CategoricalCrossentropy)
    return dataclasses.replace(problem, data=functools.partial(images, _random_images, None, one_hot=one_hot)), SYNTHETIC


def _random_images(data_dir):
    rng = np.random.default_rng(0)
    return tuple((rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)) for n in (60_000, 10_000))


def trials_per_hour(
    name: str, samples: int, count: int, together: int, seconds: float, doing: Callable[[str], None]
) -> Iterator[Row]:
    """Rows of one problem: one epoch on so many samples.

    Args:
        name: of the problem.
        samples: training samples.
        count: trials of ours after the first; stock KerasTuner trains half as many.
        together: how many trials train in one program, where the backend can.
        seconds: of the stage.
        doing: is told what is done next.
    """
    begun = time.monotonic()
    problem, data_of = problem_and_data(name)
    data = problem.load(samples)
    common = {"data": data_of, "samples": len(data.train[1]), "epochs": 1}
    settings = search.draw(Space.of("adam"), max(count + 1, 2 * together))

    def one_by_one(folder):
        ours = search.Ours(problem, data, 1, settings, folder)
        ours.run(settings[:1])
        ours.run(settings[1 : count + 1])
        return ours.seconds[0], statistics.median(ours.seconds[1:]), count

    def stock(folder):
        theirs = search.Stock(problem, data, 1, settings, folder)
        theirs.run(settings[: max(count // 2, 2)])
        return theirs.seconds[0], statistics.median(theirs.seconds[1:]), len(theirs.seconds) - 1

    def many(folder):
        """The second batch, in which nothing is compiled any more."""
        ours = search.Ours(problem, data, 1, settings, folder, together)
        ours.run(settings[: 2 * together])
        return sum(ours.seconds[:together]), sum(ours.seconds[together:]) / together, together

    ways = {"ours, one by one": one_by_one, "stock KerasTuner": stock, f"ours, --batch-trials {together}": many}
    for who, run in ways.items():
        row = {"contestant": who, **common}
        if run is many and keras.backend.backend() != "jax":
            yield row | {"not_measured": "it needs the JAX backend"}
        elif time.monotonic() - begun > PREPARING * seconds:
            yield row | {"not_measured": "out of time"}
        else:
            doing(who)
            try:
                with tempfile.TemporaryDirectory() as folder:
                    first, each, trials = run(folder)
                yield row | {"trials": trials, "first_seconds": first, "seconds_per_trial": each, "trials_per_hour": 3600 / each}
            except Exception as error:
                yield row | {"not_measured": reason(error)}
