"""The learning-rate range test, of any live hyperparameter."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_optims import keras_seam
from keras_optims.callbacks.own_optimizer import own_optimizer
from keras_optims.callbacks.sweep import Sweep
from keras_optims.hyperparameter import NON_NEGATIVE, SCALES, Hyperparameter, Interval, SearchRange, shown
from keras_optims.names import did_you_mean

STEPS, LEAST = 100, 10  # values of a sweep: usually, and at least
BELOW, ABOVE = 10, 100  # by what a sweep goes beyond the range that a search looks in
RECENT = 5  # losses whose median tells whether the loss diverges
_OF_KERAS = SearchRange(1e-4, 1e-1, "log")  # the learning rate of an optimizer of Keras's


class RangeTest(keras.callbacks.Callback):
    """Sweeps a hyperparameter from low to high within one training, and finds where the loss falls and where it diverges.

        test = keras_optims.RangeTest()
        test.run(model, x, y, batch_size=32)
        print(test.sweep)  # a value, and a range to search
        test.sweep.figure().savefig("range.png")

    Each update has a larger value than the one before it, equally far on the hyperparameter's scale. Afterwards model, optimizer
    and value are as they were, bit for bit: weights, statistics, slots, number of steps, seed generators and Keras's global one.
    It works with any optimizer of this package, for each hyperparameter that is on and is a number, also of a rule, and with any
    other optimizer of Keras for `learning_rate`; in half precision with a `LossScaleOptimizer`, too.

    `run` trains as long as the test takes. The object is a callback as well, `model.fit(..., epochs=5, callbacks=[test])`: it
    ends the training where the sweep ends. The state is restored when the training ends, and when something raises in a step,
    such as Ctrl-C; if something else raises, such as the data, call `restore()`. Metrics are reset at each value.

    Of a rate the test says much. Other hyperparameters show where the loss diverges or stops falling, but it falls anyway while
    the net learns: read the picture before the suggestion.

    Args:
        hyperparameter: its name.
        low, high: the ends of the sweep. By default those of its `SearchRange`, on a logarithmic scale with a decade more below
            and two above, as far as values are allowed.
        scale: `"log"`, `"log1m"` (logarithmic in 1−x) or `"linear"`; by default that of its `SearchRange`.
        rule: the number of the rule in `optimizer.rules` whose value is swept, or that of the rule's formula; `None`: the
            optimizer's own.
        steps: how many values. By default 100, or as many as the training has updates for, if it has fewer.
        divergence: the sweep stops where the loss has risen above its smallest by so many times what it had fallen, or so many
            times the size of that smallest loss, whichever is more; and where it is no finite number.
        smoothing: the standard deviation of the weights by which losses are smoothed, as a share of the sweep.

    Attributes:
        sweep: what was measured, a `Sweep`; `None` before the end.

    Raises:
        ValueError: an argument is none of these. As training begins: the optimizer has no such hyperparameter, it is off, it
            follows a schedule, low or high are not allowed, or the training has fewer updates than `steps`.

    Reference: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", https://arxiv.org/abs/1506.01186, Section 3.3.
    """

    def __init__(
        self,
        hyperparameter: str = "learning_rate",
        low: float | None = None,
        high: float | None = None,
        scale: str | None = None,
        *,
        rule: int | None = None,
        steps: int | None = None,
        divergence: float = 3.0,
        smoothing: float = 0.04,
    ):
        super().__init__()
        if not isinstance(hyperparameter, str):
            raise ValueError(f"hyperparameter must be a name; received {shown(hyperparameter)}.")
        if scale is not None and scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(SCALES)}; received {shown(scale)}.")
        for name, count, least in (("rule", rule, 0), ("steps", steps, LEAST)):
            if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < least):
                raise ValueError(f"{name} must be None or an int of at least {least}; received {shown(count)}.")
        for name, number, most in (("divergence", divergence, math.inf), ("smoothing", smoothing, 0.5)):
            if isinstance(number, bool) or not isinstance(number, numbers.Real) or not 0 < number <= most:
                raise ValueError(f"{name} must be a number in (0, {most:g}]; received {shown(number)}.")
        for name, end in (("low", low), ("high", high)):
            if end is not None and (isinstance(end, bool) or not isinstance(end, numbers.Real) or not math.isfinite(end)):
                raise ValueError(f"{name} must be None or a finite number; received {shown(end)}.")
        self.hyperparameter, self.low, self.high, self.scale, self.rule = hyperparameter, low, high, scale, rule
        self.steps, self.divergence, self.smoothing = steps, divergence, smoothing
        self.sweep: Sweep | None = None
        self._before: _State | None = None  # while it runs

    def run(self, model: keras.Model, *data, callbacks=(), verbose: Any = 0, **arguments) -> Sweep:
        """Makes the test with `model.fit`, and restores everything whatever happens.

        Args:
            model: compiled.
            *data: `x`, `y` and what else `model.fit` takes by place.
            callbacks, verbose, **arguments: as `model.fit` takes them, but `epochs`: there are as many as the sweep needs.

        Returns:
            The `sweep`.
        """
        if "epochs" in arguments:
            raise ValueError(f"run() trains as many epochs as the sweep needs; received epochs={shown(arguments['epochs'])}.")
        self.steps, steps = self.steps or STEPS, self.steps
        try:
            model.fit(*data, epochs=100_000, callbacks=[*callbacks, self], verbose=verbose, **arguments)
        finally:
            self.steps = steps
            self.restore()
        assert self.sweep is not None
        return self.sweep

    # -- the training -----------------------------------------------------------------------------

    def on_train_begin(self, logs=None):
        """Remembers the state, and takes the first value."""
        model, self.sweep = self.model, None
        swept = _swept(model, self.hyperparameter, self.rule)
        if not model.built:
            raise ValueError("RangeTest needs a model that is built; call model.build(shape), or the model on a batch, first.")
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        # Executions are counted, which are several batches each where steps_per_execution says so.
        self._per_value = -(-_calls_per_update(model.optimizer) // model.steps_per_execution)
        self._values = self._planned(swept, self._count(model.steps_per_execution))
        self._swept, self._losses, self._first = swept, [], math.nan
        self._executions, self._of_value, self._stop = 0, [], False
        self._before = _State(model, swept)
        self._trained, self._plain = model, model.train_function
        model.train_function = self._restoring(model.train_function)

    def on_train_batch_begin(self, batch, logs=None):
        """Sets the next value, where its updates begin."""
        if self._stop:
            return
        self.model.reset_metrics()  # so that the loss of the step is its own; on JAX self.model has all state in the variables
        place, begun = divmod(self._executions, self._per_value)
        if begun == 0 and place < len(self._values):
            self._swept.set(self._values[place])

    def on_train_batch_end(self, batch, logs=None):
        """Takes the loss, and ends the training where the sweep ends."""
        if self._stop:
            return
        self._executions += 1
        self._of_value.append(float((logs or {}).get("loss", math.nan)))
        if self._executions % self._per_value:
            return
        loss, self._of_value = float(np.mean(self._of_value)), []
        if self._executions == self._per_value:
            self._first = loss  # before the first update
        else:
            self._losses.append(loss)
        self._stop = self._diverged() or len(self._losses) == len(self._values)
        if self._stop:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        """Restores the state."""
        _ = self.model  # on JAX, brings the state back to the variables
        self.restore()
        ended = len(self._losses)
        if ended == 0:
            raise ValueError("RangeTest saw no update: the training had less than two batches for each value.")
        if not self._stop:
            warnings.warn(
                f"The training ended after {ended} of {len(self._values)} values of the range test: give it more epochs, or the "
                "test fewer steps.",
                stacklevel=2,
            )
        what = (self._swept.name, self._swept.symbol, self._scale, tuple(self._values[:ended]), tuple(self._losses))
        self.sweep = Sweep(*what, self._diverged(), self.smoothing, len(self._values))

    def restore(self) -> None:
        """Puts everything as it was before the test, if it has not been put so already."""
        before, self._before = self._before, None
        if before is None:
            return
        keras_seam.drop_state_on_its_way(self._trained)
        before.restore()
        self._trained.train_function = self._plain

    def _restoring(self, train_function: Callable) -> Callable:
        def step(*arguments):
            try:
                return train_function(*arguments)
            except BaseException:
                self.restore()
                raise

        return step

    def _diverged(self) -> bool:
        if not self._losses:
            return False
        if not math.isfinite(self._losses[-1]):
            return True
        if len(self._losses) < RECENT:
            return False
        losses = [self._first, *self._losses]
        medians = [float(np.median(losses[i : i + RECENT])) for i in range(len(losses) - RECENT + 1)]
        smallest = min(medians)
        return medians[-1] - smallest > self.divergence * max(medians[0] - smallest, abs(smallest))

    # -- the values -------------------------------------------------------------------------------

    def _count(self, of_execution: int) -> int:
        """How many values the sweep has."""
        epochs, batches, least = self.params.get("epochs"), self.params.get("steps"), self.steps or LEAST
        if not epochs or not batches:
            return self.steps or STEPS
        most = epochs * -(-batches // of_execution) // self._per_value - 1  # the last value's loss is that of what follows
        if most < least:
            raise ValueError(
                f"A range test of {least} values needs {(least + 1) * self._per_value * of_execution} batches, and this training "
                f"has {epochs * batches}: give it more epochs, or call run(), which takes as many as it needs."
            )
        return self.steps or min(STEPS, most)

    def _planned(self, swept: _Swept | _LearningRateOfKeras, count: int) -> list[float]:
        """The values, ascending."""
        search = swept.search
        low, high = self.low, self.high
        if search is None and (low is None or high is None):
            raise ValueError(f"{swept.name} has no range that is usual: give RangeTest low and high.")
        self._scale = self.scale or (search.scale if search is not None else "log" if low is not None and low > 0 else "linear")
        usual = _wide(search, self._scale, swept.domain) if search is not None else (0.0, 0.0)
        low, high = usual[0] if low is None else float(low), usual[1] if high is None else float(high)
        SearchRange(low, high, self._scale)  # raises what is wrong with them
        for end in (low, high):
            swept.validate(end)
        if self._scale == "log":
            values = np.geomspace(low, high, count)
        elif self._scale == "log1m":
            values = 1 - np.geomspace(1 - low, 1 - high, count)
        else:
            values = np.linspace(low, high, count)
        return [low, *(float(f"{value:.9g}") for value in values[1:-1]), high]


def _wide(search: SearchRange, scale: str, domain: Interval) -> tuple[float, float]:
    """Where a sweep looks: beyond where a search does, by a decade below and two above, as far as the domain goes."""
    if scale != search.scale or scale == "linear":
        return search.low, search.high
    if scale == "log":
        return search.low / BELOW, min(search.high * ABOVE, domain.high)
    return max(1 - BELOW * (1 - search.low), domain.low), float(f"{1 - (1 - search.high) / ABOVE:.12g}")


class _Swept:
    """A hyperparameter of an optimizer of this package, or of a rule of it."""

    def __init__(self, optimizer, holder, declared: Hyperparameter):
        self.name, self.symbol, self.domain, self.search = declared.name, declared.symbol, declared.domain, declared.search
        self._optimizer, self._holder, self._declared = optimizer, holder, declared

    def validate(self, value: float) -> None:
        """Raises `ValueError` unless it is allowed."""
        self._declared.validate(value)

    def now(self) -> float:
        """The value, exactly as it was given."""
        return self._declared.now(self._holder)

    def set(self, value: float) -> None:
        """Sets the value."""
        self._declared.set(self._optimizer, self._holder, value)


class _LearningRateOfKeras:
    """The learning rate of an optimizer of Keras's own."""

    name, symbol, search = "learning_rate", "η", _OF_KERAS

    def __init__(self, optimizer):
        self._optimizer, self.domain = optimizer, NON_NEGATIVE

    def validate(self, value: float) -> None:
        """Raises `ValueError` unless it is allowed."""
        if value not in self.domain:
            raise ValueError(f"learning_rate must be a number in {self.domain}; received {value!r}.")

    def now(self) -> float:
        """The value of the variable."""
        return float(ops.convert_to_numpy(self._optimizer.learning_rate))

    def set(self, value: float) -> None:
        """Sets the value."""
        self._optimizer.learning_rate = value


def _swept(model: keras.Model, name: str, rule: int | None) -> _Swept | _LearningRateOfKeras:
    """What is swept, or `ValueError`."""
    if getattr(model, "optimizer", None) is None:
        raise ValueError("RangeTest needs a model that is compiled with an optimizer.")
    optimizer = own_optimizer(model)
    if optimizer is None:
        return _of_keras(getattr(model.optimizer, "inner_optimizer", model.optimizer), name, rule)
    holder: Any = optimizer
    whose = type(optimizer).__name__
    declared: dict[str, Any] = optimizer.hyperparameters()
    if rule is not None:
        if rule >= len(optimizer.rules):
            raise ValueError(f"rule must be less than {len(optimizer.rules)}, the number of rules; received {rule}.")
        live = optimizer.rules[rule]
        if live.formula is not None:
            optimizer = holder = live.formula
            declared = holder.hyperparameters()
        else:
            holder = live
            declared = {each: h for each, h in live.hyperparameters.items() if isinstance(h, Hyperparameter)}
        whose = f"rule {rule} of {whose}"
    if name not in declared:
        raise ValueError(f"{whose} has no hyperparameter {name!r}.{did_you_mean(name, declared)} It has {', '.join(declared)}.")
    if not declared[name].is_constant(holder):
        now = declared[name].now(holder)
        follows = f"follows {shown(now)}" if callable(now) else f"is off ({shown(now)})"
        raise ValueError(f"{name} of {whose} {follows}, so it cannot be swept: give the constructor a number for the test.")
    return _Swept(optimizer, holder, declared[name])


def _of_keras(optimizer, name: str, rule: int | None) -> _LearningRateOfKeras:
    whose = type(optimizer).__name__
    if name != "learning_rate" or rule is not None:
        raise ValueError(
            f"{whose} is not of keras_optims: of it only learning_rate can be swept, as all else is compiled into its step; "
            f"received {name!r}{'' if rule is None else f' of rule {rule}'}."
        )
    given = keras_seam.given_learning_rate(optimizer)
    if not isinstance(given, keras.Variable):
        raise ValueError(
            f"learning_rate of {whose} follows {shown(given)}, so it cannot be swept: give the constructor a number for the test."
        )
    return _LearningRateOfKeras(optimizer)


def _calls_per_update(optimizer) -> int:
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return inner.gradient_accumulation_steps or 1


class _State:
    """All that a training changes of a model: copies of it, and the value exactly as it was given."""

    def __init__(self, model: keras.Model, swept: _Swept | _LearningRateOfKeras):
        self._swept, self._value = swept, swept.now()
        generator = keras_seam.global_seed_generator()
        self._variables = [*model.variables, *model.optimizer.variables, *([] if generator is None else [generator.state])]
        self._copies = [np.array(ops.convert_to_numpy(variable)) for variable in self._variables]

    def restore(self) -> None:
        """Puts it back."""
        self._assign()
        self._swept.set(self._value)  # for what was given; a formula may change its slots by it
        self._assign()

    def _assign(self) -> None:
        for variable, copy in zip(self._variables, self._copies, strict=True):
            variable.assign(copy)
