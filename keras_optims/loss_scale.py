"""Hyperparameters through Keras's `LossScaleOptimizer`, which `mixed_float16` puts around a model's optimizer.

It passes on the learning rate alone: `model.optimizer.beta_1 = 0.5` would set an attribute of the wrapper, which nobody reads.

So this patches the public class `keras.optimizers.LossScaleOptimizer`, for those with an optimizer of this package inside:
`__setattr__` and `__getattr__`, by which the arguments of the optimizer inside are set and read; and a descriptor for each
argument that the wrapper has an attribute of as well, always at its default, such as `weight_decay`. Its `build` and its
`get_config` read these attributes of its own, as before: it shall not make averages too. With any other optimizer inside, all of
them do what the class did before.
"""

from __future__ import annotations

import functools
import inspect

import keras

from keras_optims.optimizer import Optimizer

_PASSED_ON_BY_KERAS = ("learning_rate",)
_READS_ITS_OWN = "_reads_its_own_arguments"


def inside_of(wrapper) -> Optimizer | None:
    """The optimizer of this package inside of a `LossScaleOptimizer`; `None` where there is another one, or none yet."""
    inner = vars(wrapper).get("inner_optimizer")
    return inner if isinstance(inner, Optimizer) else None


class _Argument:
    """An argument of which a `LossScaleOptimizer` has an attribute of its own as well."""

    def __init__(self, name: str):
        self._name = name

    def __get__(self, wrapper, owner=None):
        if wrapper is None:
            return self
        inner = inside_of(wrapper)
        return self._own(wrapper) if inner is None or _READS_ITS_OWN in vars(wrapper) else getattr(inner, self._name)

    def _own(self, wrapper):
        try:
            return vars(wrapper)[self._name]
        except KeyError:
            raise AttributeError(f"{type(wrapper).__name__!r} object has no attribute {self._name!r}") from None

    def __set__(self, wrapper, value):
        vars(wrapper)[self._name] = value

    def __delete__(self, wrapper):
        self._own(wrapper)
        del vars(wrapper)[self._name]


def _of_its_own(method):
    """A method of the wrapper in which its arguments are its own attributes."""

    @functools.wraps(method)
    def with_its_own(self, *args, **kwargs):
        vars(self)[_READS_ITS_OWN] = True
        try:
            return method(self, *args, **kwargs)
        finally:
            del vars(self)[_READS_ITS_OWN]

    return with_its_own


def _patch(cls):
    of_keras, of_its_constructor = cls.__setattr__, inspect.signature(cls.__init__).parameters

    def __setattr__(self, name, value):
        inner = inside_of(self)
        if inner is None or name in _PASSED_ON_BY_KERAS:
            of_keras(self, name, value)
        elif name == "loss_scale_factor" and value is not None:
            raise ValueError(
                f"loss_scale_factor must be None in a LossScaleOptimizer, which scales the loss itself; received {value!r}."
            )
        elif name in inner.declarations():
            setattr(inner, name, value)
        else:
            if not (hasattr(type(self), name) or name in vars(self) or name in of_its_constructor):
                inner.refuse_misspelled(name, value)
            of_keras(self, name, value)

    def __getattr__(self, name):
        inner = inside_of(self)
        if inner is not None and (name in inner.declarations() or name == "schedules"):
            return getattr(inner, name)
        return object.__getattribute__(self, name)  # which raises what it raised before

    cls.__setattr__, cls.__getattr__ = __setattr__, __getattr__
    cls.build, cls.get_config = _of_its_own(cls.build), _of_its_own(cls.get_config)
    for name in Optimizer.declarations():
        if name not in _PASSED_ON_BY_KERAS and not hasattr(cls, name):
            setattr(cls, name, _Argument(name))


_patch(keras.optimizers.LossScaleOptimizer)
