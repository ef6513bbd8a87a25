"""Listeners that cannot end the search that they hear of, and several in the place of one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from tuning.errors import one_line


class Careful:
    """Passes on what happens to a listener, until that raises: this is said once, and it hears no more.

    Args:
        listener: a `tuning.study.ledger.Listener`.
    """

    def __init__(self, listener: Any):
        self._listener = listener
        self._hears = True

    def __getattr__(self, name: str) -> Callable[..., None]:
        def passed_on(*arguments: Any) -> None:
            if not self._hears:
                return
            try:
                getattr(self._listener, name)(*arguments)
            except Exception as error:
                self._hears = False
                what = f"{type(self._listener).__name__}.{name} raised {one_line(error)}"
                warnings.warn(f"The listener hears no more of the search, as {what}", RuntimeWarning, stacklevel=3)

        return passed_on


class Several:
    """Passes on what happens to several listeners, each of which may fail by itself.

    Args:
        *listeners: each a `tuning.study.ledger.Listener`.
    """

    def __init__(self, *listeners: Any):
        self._listeners = [Careful(listener) for listener in listeners]

    def __getattr__(self, name: str) -> Callable[..., None]:
        def passed_on(*arguments: Any) -> None:
            for listener in self._listeners:
                getattr(listener, name)(*arguments)

        return passed_on
