"""The live view in a notebook: one output, which is put in the place of itself."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from typing import Any

WIDTH = 110  # characters
SECONDS = 0.25  # from one drawing to the next, at least

_FORM = '<pre style="white-space: pre; overflow-x: auto; line-height: 1.3; font-family: monospace">{code}</pre>'


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, which shows HTML; importing IPython is not needed to know."""
    if "ipykernel" not in sys.modules or "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class Output:
    """An output of the running cell.

    Args:
        render: what it shows now, in so many columns, as Rich draws it.
    """

    def __init__(self, render: Callable[[int], Any]):
        self._render = render
        self._shown: Any = None
        self._drawn = 0.0

    def changed(self) -> None:
        """Draws it again, if it has not been drawn a moment ago."""
        if time.monotonic() - self._drawn >= SECONDS:
            self.refresh()

    def refresh(self) -> None:
        """Draws it again."""
        from IPython.display import HTML, display

        page = HTML(as_html(self._render(WIDTH)))
        if self._shown is None:
            self._shown = display(page, display_id=True)
        else:
            self._shown.update(page)
        self._drawn = time.monotonic()


def as_html(drawn: Any) -> str:
    """What Rich draws, as HTML with the colours in it; all of its text is text there, whatever markup is in it."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, force_jupyter=False, highlight=False, markup=False, emoji=False
    )
    console.print(drawn)
    return console.export_html(inline_styles=True, code_format=_FORM)
