"""A public contract: what a user of any Keras optimizer relies on, as checks that run on anybody's.

The checks use nothing but the public interface of `keras.optimizers.Optimizer`. One file is one family of checks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_optims.testing.contract import (
    accumulation,
    averaging,
    building,
    clipping,
    configuration,
    convergence,
    execution,
    gradients,
    precision,
    saving,
    scope,
    settings,
    variables,
    weight_decay,
)
from keras_optims.testing.contract.check import Check, ContractError, MakeOptimizer, NotApplicable
from keras_optims.testing.contract.report import ContractReport, Result

_FAMILIES = (
    building,
    configuration,
    saving,
    settings,
    gradients,
    variables,
    precision,
    execution,
    scope,
    accumulation,
    clipping,
    weight_decay,
    averaging,
    convergence,
)

CHECKS = {check.name: check for family in _FAMILIES for check in vars(family).values() if isinstance(check, Check)}
"""All checks by name, in the order in which they run: what others build upon comes first."""


def check_optimizer(
    make_optimizer: MakeOptimizer, *, only: Iterable[str] | None = None, skip: Iterable[str] = ()
) -> ContractReport:
    """Runs the checks of the contract on a Keras optimizer, of any package.

    Args:
        make_optimizer: makes a new optimizer from keyword arguments, of which the checks give some: `learning_rate`, `clipnorm`,
            `weight_decay`, `use_ema` ... The class itself does, or `functools.partial(Adam, amsgrad=True)`. Checks of
            arguments that it does not take are skipped.
        only: the names of the checks to run; all `CHECKS` if not given.
        skip: the names of checks to leave out.

    Returns:
        The report: print it, look at `report.failed`, or call `report.raise_if_failed()`.

    Raises:
        ValueError: there is no check of a name in `only` or `skip`.
    """
    results = []
    for check in _chosen(only, skip):
        try:
            check(make_optimizer)
        except NotApplicable as reason:
            results.append(Result(check.name, "skipped", str(reason)))
        except ContractError as found:
            results.append(Result(check.name, "failed", str(found)))
        else:
            results.append(Result(check.name, "passed", check.promise))
    return ContractReport(_name_of(make_optimizer), keras.backend.backend(), results)


def parametrize_with_checks(
    make_optimizers: Sequence[MakeOptimizer], *, only: Iterable[str] | None = None, skip: Iterable[str] = ()
) -> Any:
    """A decorator that makes a pytest function one test for each optimizer and check.

    The function takes `make_optimizer` and `check`, and calls `check(make_optimizer)`. A
    test whose check does not apply is skipped.

    Args:
        make_optimizers: as in `check_optimizer`.
        only: the names of the checks to run; all `CHECKS` if not given.
        skip: the names of checks to leave out.

    Raises:
        ValueError: there is no check of a name in `only` or `skip`.
    """
    import pytest

    def or_skip(check, make_optimizer):
        try:
            check(make_optimizer)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    tests = [
        pytest.param(make_optimizer, functools.partial(or_skip, check), id=f"{_name_of(make_optimizer)}-{check.name}")
        for make_optimizer in make_optimizers
        for check in _chosen(only, skip)
    ]
    return pytest.mark.parametrize(("make_optimizer", "check"), tests)


def _chosen(only: Iterable[str] | None, skip: Iterable[str]) -> list[Check]:
    only, skip = (list(CHECKS) if only is None else list(only)), list(skip)
    unknown = [name for name in [*only, *skip] if name not in CHECKS]
    if unknown:
        raise ValueError(f"There is no check {', '.join(map(repr, unknown))}; the checks are {', '.join(CHECKS)}.")
    return [check for name, check in CHECKS.items() if name in only and name not in skip]


def _name_of(make_optimizer: MakeOptimizer) -> str:
    if isinstance(make_optimizer, functools.partial):
        given = [*map(repr, make_optimizer.args), *(f"{name}={value!r}" for name, value in make_optimizer.keywords.items())]
        return f"{_name_of(make_optimizer.func)}({', '.join(given)})"
    return getattr(make_optimizer, "__name__", type(make_optimizer).__name__)
