"""Importing Keras without the notes that its backend writes when it starts."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from tuning.errors import SearchError, missing_packages_explained, one_line


def import_keras_quietly() -> None:
    """Imports Keras and its backend without the notes that TensorFlow writes to stderr when it starts.

    TF_CPP_MIN_LOG_LEVEL silences only some of them. Whoever has set it wants to see what it lets through; so it is set for the
    time of the import alone, lest the processes that this one starts take it for such a wish.
    """
    with missing_packages_explained(), _start_shown(), _wrong_backend_explained():
        if "TF_CPP_MIN_LOG_LEVEL" in os.environ or "keras" in sys.modules:
            import keras
        else:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
            try:
                with stderr_kept_back():
                    import keras

                    keras.ops.convert_to_numpy(keras.ops.zeros(1))  # TensorFlow looks for GPUs, and says so, at the first use
            finally:
                os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)


def choose_backend(backend: str) -> None:
    """Lets Keras, and the processes that this one starts, run on a backend."""
    if "keras" in sys.modules:
        import keras

        running = keras.backend.backend()
        if running != backend:
            raise SearchError(f"Keras runs on the backend {running} in this process already; received the backend {backend!r}.")
    os.environ["KERAS_BACKEND"] = backend


@contextlib.contextmanager
def _start_shown() -> Iterator[None]:
    """In a terminal, a word for the seconds that a backend takes to start; it is gone afterwards."""
    shown = "keras" not in sys.modules and sys.stderr is not None and sys.stderr.isatty()
    if shown:
        print("Starting Keras ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _wrong_backend_explained() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        backend = os.environ.get("KERAS_BACKEND")
        raise SearchError(
            f"Keras cannot start on the backend {backend!r}, which KERAS_BACKEND must name as 'tensorflow', 'jax' or 'torch' "
            f"({one_line(error)})."
        ) from error


@contextlib.contextmanager
def stderr_kept_back() -> Iterator[None]:
    """What is written to file descriptor 2 in the block is dropped, or comes out if the block raises."""
    try:
        sys.stderr.flush()
        original = os.dup(2)
    except (OSError, ValueError, AttributeError):  # there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(original, kept.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
