"""The problems on which `evidence.py` compares the optimizers, at the size at which it does: smaller than the built-in ones.

Each is a built-in problem with fewer validation and test samples; how many samples train, and what of the model is fixed, is said
to the search. All optimizers get the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuning.problems.problem import Problem


@dataclasses.dataclass(frozen=True)
class Size:
    """At what size a problem is trained, and what counts as a difference there.

    Args:
        title: in tables and pictures.
        metric: what is reported of the test data: `"accuracy"`, or `"loss"`, a cross-entropy in nats.
        near: what counts as one point: 0.01 of accuracy, or so many nats.
        train, validation, test: samples.
        batch_size: of a training step.
        epochs: of a whole training.
        min_epochs: of the shortest trial of a search.
        trainings: the budget of a search: as many epochs as so many whole trainings have.
        fix: what is pinned of the model.
    """

    title: str
    metric: str
    near: float
    train: int
    validation: int
    test: int
    batch_size: int
    epochs: int
    min_epochs: int
    trainings: int
    fix: Mapping[str, Any] = dataclasses.field(default_factory=dict)


SIZES = {
    "digits_mlp": Size("digits", "accuracy", 0.01, 1_056, 360, 360, 32, epochs=20, min_epochs=2, trainings=16),
    "mnist_mlp": Size("MNIST", "accuracy", 0.01, 5_120, 2_000, 10_000, 64, epochs=6, min_epochs=2, trainings=16),
    "cifar10_cnn": Size(
        *("CIFAR-10", "accuracy", 0.01, 2_048, 500, 1_000, 32), epochs=3, min_epochs=1, trainings=6, fix={"filters": 8}
    ),
    "shakespeare_gpt": Size(
        *("Shakespeare", "loss", 0.02, 512, 128, 128, 8),
        **{"epochs": 3, "min_epochs": 1, "trainings": 6},
        fix={"layers": 1, "width": 32, "heads": 2},
    ),
    "fashion_mnist_2c2d": Size(
        *("Fashion-MNIST", "accuracy", 0.01, 512, 400, 500, 32), epochs=3, min_epochs=1, trainings=6, fix={"units": 128}
    ),
}
"""Cheapest first, as they are trained in this order."""


def problem_of(name: str) -> str:
    """What `tuning.search` takes as the problem: a name that any process, on any machine, can import."""
    return f"{__name__}:{name}"


def _smaller(name: str, data_dir: Any) -> Problem:
    from tuning.problems import make_problem
    from tuning.problems.problem import Data, take

    made, size = make_problem(name, data_dir), SIZES[name]

    def data() -> Data:
        whole = made.load(batch_size=1)
        validation, test = take(whole.validation, slice(size.validation)), take(whole.test, slice(size.test))
        return Data(whole.train, validation, test)

    return dataclasses.replace(made, data=data)


def digits_mlp() -> Problem:
    """`digits_mlp` in its `Size`."""
    return _smaller("digits_mlp", None)


def mnist_mlp(data_dir=None) -> Problem:
    """`mnist_mlp` in its `Size`."""
    return _smaller("mnist_mlp", data_dir)


def cifar10_cnn(data_dir=None) -> Problem:
    """`cifar10_cnn` in its `Size`."""
    return _smaller("cifar10_cnn", data_dir)


def shakespeare_gpt(data_dir=None) -> Problem:
    """`shakespeare_gpt` in its `Size`."""
    return _smaller("shakespeare_gpt", data_dir)


def fashion_mnist_2c2d(data_dir=None) -> Problem:
    """`fashion_mnist_2c2d` in its `Size`."""
    return _smaller("fashion_mnist_2c2d", data_dir)
