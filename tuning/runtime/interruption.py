"""Ctrl-C and SIGTERM that cannot get lost.

Python raises KeyboardInterrupt wherever it happens to be. In a callback of a weak reference, of which JAX has thousands, it is
printed and forgotten; in a callback of compiled code it may come out as another error, and a trial that was only
interrupted would count as failed. Compiled code that can raise nothing (SciPy has some) prints it as an error that nobody
caught, and goes on.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any


class Interruption:
    """Remembers that one of the two signals came.

    Those that watch inside of another one's block know of what came there before.
    """

    _innermost: Interruption | None = None  # of those that watch

    def __init__(self):
        self.came = False

    def check(self) -> None:
        """Raises KeyboardInterrupt if one came, whatever has become of the first one."""
        if self.came:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watches the signals in the block, as far as that is possible: only the main thread can."""
        previous: dict[signal.Signals, Any] = {}

        def handler(number, frame):
            self.came = True
            before = previous[signal.Signals(number)]
            if callable(before):
                before(number, frame)
            raise KeyboardInterrupt

        def ignored(unraisable):
            if not issubclass(unraisable.exc_type, KeyboardInterrupt):
                ignored_before(unraisable)

        def uncaught(kind, error, traceback):
            if not issubclass(kind, KeyboardInterrupt):
                uncaught_before(kind, error, traceback)

        cls = type(self)
        outer = cls._innermost
        self.came = outer is not None and outer.came
        ignored_before, uncaught_before = sys.unraisablehook, sys.excepthook
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN:
                    previous[number] = before
                    signal.signal(number, handler)
        except ValueError:  # not in the main thread
            yield
            return
        sys.unraisablehook, sys.excepthook = ignored, uncaught
        cls._innermost = self
        try:
            yield
        finally:
            cls._innermost = outer
            sys.unraisablehook, sys.excepthook = ignored_before, uncaught_before
            for number, before in previous.items():
                signal.signal(number, before)
