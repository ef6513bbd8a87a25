"""What a check is: a promise that every Keras optimizer should keep, and a function that tries to find it broken."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable
from typing import Any

MakeOptimizer = Callable[..., Any]


class ContractError(AssertionError):
    """An optimizer does not keep a promise; the message says in a sentence what was found, and in another why it matters."""


class NotApplicable(Exception):
    """The optimizer, the backend or this machine lacks what a check is about; the message says what."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One check of the contract.

    Attributes:
        name: what it is chosen by, in `only` and `skip`.
        promise: what must hold, in one sentence.
        reason: why that matters, in one sentence.
        function: looks at optimizers that it makes; raises `ContractError` or `NotApplicable`.
    """

    name: str
    promise: str
    reason: str
    function: Callable[[MakeOptimizer], None]

    def __call__(self, make_optimizer: MakeOptimizer) -> None:
        """Checks the optimizers that `make_optimizer(**arguments)` makes.

        Raises:
            ContractError: the promise is broken, or an error came up on the way, which is its cause then.
            NotApplicable: there is nothing to check.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # no promise is about them, and where pytest makes them errors they would hide what is
                self.function(make_optimizer)
        except NotApplicable:
            raise
        except ContractError as error:
            raise ContractError(f"{error}. {self.reason}") from error.__cause__
        except Exception as error:  # whatever an optimizer raises where it should work is a finding
            raise ContractError(f"It raised {type(error).__name__}: {_first_line(error)} {self.reason}") from error

    def __repr__(self) -> str:
        return f"Check({self.name})"


def contract_check(function: Callable[[MakeOptimizer], None]) -> Check:
    """Makes a function a check, under its name; its docstring is the promise and, in a second paragraph, why."""
    promise, reason = (" ".join(part.split()) for part in inspect.cleandoc(function.__doc__ or "").split("\n\n"))
    return Check(function.__name__, promise, reason, function)


def require(holds: Any, found: str) -> None:
    """Raises `ContractError` with what was found, unless it holds."""
    if not holds:
        raise ContractError(found)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else "no message"
    text = text if len(text) <= 200 else text[:200] + "..."
    return text if text.endswith((".", "...")) else text + "."
