"""The problems that a search can train on, by name. This module is light; a problem's own is imported when it is used."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tuning.errors import SearchError, one_line
from tuning.names import meant
from tuning.problems.axes import NET_2C2D, NET_3C3D, PERCEPTRON, RESNET, SMALL_CNN, TRANSFORMER

if TYPE_CHECKING:
    from tuning.problems.problem import Problem


@dataclasses.dataclass(frozen=True)
class Entry:
    """A built-in problem before it is imported: where its factory is, one line about it, and what `--search` may name of it."""

    factory: str
    description: str
    axes: Mapping[str, Any]


PROBLEMS = {
    "digits_mlp": Entry(
        "tuning.problems.digits:digits_mlp",
        "scikit-learn's 1,797 digits of 8x8 pixels, one hidden layer of 64; needs no network",
        PERCEPTRON,
    ),
    "mnist_mlp": Entry("tuning.problems.mnist:mnist_mlp", "MNIST, a 784-128-10 perceptron", PERCEPTRON),
    "mnist_cnn": Entry(
        "tuning.problems.mnist:mnist_cnn", "MNIST, two small convolutions (16 and 32 filters) and a dense layer", SMALL_CNN
    ),
    "mnist_2c2d": Entry(
        "tuning.problems.mnist:mnist_2c2d", "MNIST, two convolutions and two dense layers as DeepOBS defines them", NET_2C2D
    ),
    "fashion_mnist_2c2d": Entry(
        "tuning.problems.mnist:fashion_mnist_2c2d", "Fashion-MNIST, the same network as mnist_2c2d", NET_2C2D
    ),
    "cifar10_cnn": Entry("tuning.problems.cifar10:cifar10_cnn", "CIFAR-10, the same small network as mnist_cnn", SMALL_CNN),
    "cifar10_3c3d": Entry(
        "tuning.problems.cifar10:cifar10_3c3d",
        "CIFAR-10, three convolutions and three dense layers with augmentation and L2, as DeepOBS defines them",
        NET_3C3D,
    ),
    "cifar10_resnet20": Entry(
        "tuning.problems.cifar10:cifar10_resnet20",
        "CIFAR-10, the residual net of 20 layers of He et al., with augmentation",
        RESNET,
    ),
    "shakespeare_gpt": Entry(
        "tuning.problems.shakespeare:shakespeare_gpt",
        "Shakespeare's plays a character at a time, a transformer of 4 layers and width 128",
        TRANSFORMER,
    ),
}


def make_problem(problem: str | Problem, data_dir: str | os.PathLike | None = None) -> Problem:
    """The problem that a name, a `module:function` or a `Problem` stands for, or `SearchError`.

    A function of one's own is called without arguments, or with `data_dir` if it takes that. Its module is looked for in the
    current directory first.
    """
    from tuning.problems.problem import Problem

    if isinstance(problem, Problem):
        return problem
    check_problem(problem)
    path = PROBLEMS[problem].factory if problem in PROBLEMS else problem
    function = import_function(path, "problem")
    try:
        takes_data_dir = "data_dir" in inspect.signature(function).parameters
        made = function(data_dir=data_dir) if takes_data_dir else function()
    except SearchError:
        raise
    except Exception as error:
        raise SearchError(f"The function {path} did not make a problem: {one_line(error)}") from error
    if not isinstance(made, Problem):
        raise SearchError(f"The function {path} must return a tuning.Problem; received {type(made).__name__}.")
    return made


def check_problem(problem: Any) -> None:
    """Raises `SearchError` if it is a name that is none of a problem; `module:function` is looked at when it is imported."""
    if isinstance(problem, str) and (problem in PROBLEMS or ":" in problem):
        return
    guess = meant(problem, PROBLEMS) if isinstance(problem, str) else ""
    raise SearchError(
        f"The problem must be one of {', '.join(PROBLEMS)}, or your own as module:function; received {problem!r}.{guess}"
    )


def import_function(path: str, option: str):
    """What `MODULE:FUNCTION` names; the module is looked for in the current directory first.

    Args:
        path: its name.
        option: of the command line, without the dashes, for the message.
    """
    module_name, _, name = path.partition(":")
    if module_name.endswith(".py"):
        meant_name = module_name.removesuffix(".py").replace(os.sep, ".")
        raise SearchError(f"--{option} takes MODULE:FUNCTION, here {meant_name}:{name}; received {path!r}.")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise SearchError(f"The module {module_name} could not be imported: {one_line(error)}") from error
        raise SearchError(
            f"There is no module {module_name}; --{option} takes MODULE:FUNCTION, where MODULE.py lies in {here} or is "
            f"installed; received {path!r}."
        ) from error
    except Exception as error:
        raise SearchError(f"The module {module_name} could not be imported: {one_line(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise SearchError(f"The module {module_name} has no function {name!r}; --{option} takes MODULE:FUNCTION.")
    return function
