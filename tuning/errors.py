"""The errors that are the user's to mend: each is one sentence that says what was wrong, what is allowed, what was received."""

import contextlib
import importlib.util
import re


def __getattr__(name):
    """KerasTuner's errors, which a HyperModel may raise, under the name by which one finds them there."""
    if name.endswith("Error") and not name.startswith("_"):
        from keras_tuner import errors

        if hasattr(errors, name):
            return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class SearchError(ValueError):
    """Wrong input to a search. The command line prints it without a traceback and ends with `exit_status`."""

    exit_status = 2


class FatalError(SearchError):
    """It ends the search; no trial is to blame."""


class StoreError(FatalError):
    """The store of a search cannot be read or written."""


class ObjectiveError(FatalError):
    """No training reports what the search is to make best."""


class NoUsableTrialError(SearchError):
    """The search ran, but every trial failed in the same way: the error is in the problem or the optimizer."""

    exit_status = 1


# What `pip install 'keras-optims[tuning]'` brings, by import name; six is imported by KerasTuner, which does not declare it.
_TUNING_EXTRA = {"keras_tuner", "tensorboard", "six", "sklearn", "scipy", "rich", "pandas", "optuna", "cmaes", "jinja2"}
_PICTURES_EXTRA = {"matplotlib", "PIL"}
_OWN_EXTRAS = {"ray", "mlflow", "wandb"}  # each is named after its package
BACKENDS = ("tensorflow", "jax", "torch")


@contextlib.contextmanager
def missing_packages_explained(what: str = "A search"):
    """Turns the ImportError of a package that an extra of this distribution brings into a `SearchError` that names the extra.

    Args:
        what: is done in the block, for the message.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in _TUNING_EXTRA:
            extra = "tuning"
        elif package in _PICTURES_EXTRA:
            extra = "pictures"
        elif package in BACKENDS or package in _OWN_EXTRAS:
            extra = package
        else:
            raise
        others = [name for name in BACKENDS if package in BACKENDS and name != package and _is_installed(name)]
        instead = f", or take the backend {others[0]}: --backend {others[0]}, or KERAS_BACKEND={others[0]}" if others else ""
        raise SearchError(f"{what} needs the package {package}: pip install 'keras-optims[{extra}]'{instead}.") from error


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


_COLOUR = re.compile(r"\x1b\[[0-9;:]*[A-Za-z]")  # and the like of a terminal, which Keras puts into its errors


def plain(text: str) -> str:
    """Without a terminal's colours, and with escapes for what UTF-8 cannot say, as a part of a file's name that is no text."""
    return _COLOUR.sub("", text).encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(error: BaseException) -> str:
    """`ValueError: what it says`, on one line and at most 500 characters."""
    text = " ".join(plain(str(error)).split())
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= 500 else f"{text[:497]}..."
