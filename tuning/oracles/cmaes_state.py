"""What Optuna keeps of CMA-ES between trials: a pickled object of the package cmaes, in hexadecimal pieces among the attributes.

A pickle can run any code when it is loaded. So before Optuna loads one that comes from a store, it is loaded here by an unpickler
that knows CMA-ES and NumPy's arrays, and refuses all else.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

from tuning.errors import SearchError, one_line

_KEYS = ("cma:optimizer", "cmawm:optimizer", "sepcma:optimizer")  # as Optuna names them
_OF_NUMPY = {"_reconstruct", "_frombuffer", "scalar", "ndarray", "dtype"}


class _CmaesOnly(pickle.Unpickler):
    def find_class(self, module, name):
        of_cmaes = module in ("cmaes._cma", "cmaes._cmawm", "cmaes._sepcma") and name in ("CMA", "CMAwM", "SepCMA")
        of_numpy = module in _NUMPY_MODULES and name in _OF_NUMPY
        if not (of_cmaes or of_numpy):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


_NUMPY_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric", "numpy.core.numeric")


def check_only_cmaes(attributes: Mapping[str, Any]) -> None:
    """Raises `SearchError` if the attributes of a trial, which Optuna will unpickle, hold anything but a state of CMA-ES."""
    for key in _KEYS:
        number = sum(name.startswith(key) for name in attributes)
        if number == 0:
            continue
        try:
            pickled = bytes.fromhex("".join(attributes[f"{key}:{piece}"] for piece in range(number)))  # as Optuna does
            _CmaesOnly(io.BytesIO(pickled)).load()
        except Exception as error:  # a pickle of garbage raises of a dozen kinds
            raise SearchError(
                f"The state of the sampler must be that of CMA-ES, and nothing else is loaded; received one under {key!r} "
                f"of which Python says {one_line(error)}."
            ) from error
