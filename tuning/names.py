"""The names by which a search is told what to do, in one place; importing this needs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tuning.errors import SearchError

ORACLES = {
    "random": "points drawn by chance",
    "quasirandom": "points of a scrambled Sobol sequence: chance without gaps and clusters",
    "grid": "the finest regular grid that fits the number of trials",
    "hyperband": "many short trials, of which the best go on for longer (Hyperband)",
    "asha": "Hyperband's idea without waiting: whoever is among the best so far goes on (asynchronous successive halving)",
    "pbt": "a population of trainings, of which the worst go on from the best with other numbers (population based training)",
    "bayesian": "a Gaussian process of the scores proposes the next point",
    "optuna": "a sampler of Optuna proposes the next point (--sampler)",
}
DEFAULT_ORACLE = "quasirandom"
HALVING = ("hyperband", "asha")
POPULATION = "pbt"
SCHEDULED = (*HALVING, POPULATION)  # these say themselves how many trials there are, and for how many epochs each trains
DEFAULT_POPULATION = 8


SAMPLED = ("optuna", "asha")  # these can have a sampler of Optuna

SAMPLERS = {
    "tpe": "tree-structured Parzen estimators: what good trials have in common",
    "cmaes": "CMA-ES, an evolution strategy: for numbers, and for budgets of some hundred trials",
}
DEFAULT_SAMPLER = "tpe"

PRUNERS = {
    "none": "every trial trains to its end",
    "median": "a trial stops when it is worse than the median of the earlier ones at the same epoch",
    "halving": "after 1, 3, 9, ... epochs only the best third goes on (asynchronous successive halving)",
}
DEFAULT_PRUNER = "none"

SURFACES = {
    "ravine": "a valley that is 50 times as steep along one weight as along the other",
    "plateau": "a slope, then a plateau, then a hollow",
    "two_minima": "a shallow minimum beside a deep one",
    "saddle": "a saddle between two minima",
    "rosenbrock": "Rosenbrock's function: a narrow, bent valley",
    "beale": "Beale's function: flat parts and steep walls",
    "sparse": "a logistic loss where one feature is in every sample and the other in one of ten; a step sees one sample",
    "net": "the loss of a real small net on digits, in a plane of two random directions through its trained weights",
}
DEFAULT_SURFACE = "ravine"

JIT = {
    "auto": "what is usual for the model on this device",
    "measure": "the first trial measures what is faster",
    "on": "XLA compiles every step",
    "off": "the steps are operations of TensorFlow",
}
JIT_WAYS = {("tensorflow", "on"): "xla", ("tensorflow", "off"): "graph", ("jax", "on"): "scan"}  # how epochs are compiled then


KINDS = {
    "classification": "classes of samples",
    "regression": "a number, with a metric of one's own",
    "text": "texts and their classes",
    "disk": "data that stay on disk",
    "torch": "a module of torch, for --backend torch",
}
DEFAULT_KIND = "classification"

TRACKERS = {"tensorboard": "TensorBoard", "mlflow": "MLflow", "wandb": "Weights & Biases"}
EXPORTS = ("csv", "json", "optuna", "tensorboard", "mlflow")

ENGINES = {"local": "on this machine", "ray": "on a Ray cluster"}


def default_ready(epochs: int) -> int:
    """The epochs of an interval of a population whose members train so many."""
    return -(-epochs // 10)


def folder_name(name: str) -> str:
    """A name of a problem or an optimizer as part of a folder's."""
    return name.replace(":", ".").replace(os.sep, "_")


def meant(name: str, known: Iterable[str]) -> str:
    """` Did you mean ...?`, if one of the names that are known is near."""
    near = nearest(name.replace("-", "_"), known)
    return f" Did you mean {near}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of the names that are known that is nearest, if one is near."""
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def counted(number: int, what: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def check_name(what: str, name: str, allowed: Iterable[str]) -> None:
    """Raises `SearchError` unless `name` is one of those that are allowed."""
    if name not in allowed:
        raise SearchError(f"The {what} must be one of {', '.join(allowed)}; received {name!r}.")
