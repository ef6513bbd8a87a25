"""Are the numbers right? Each operation and each optimizer, on each device, against its formula in float64."""

from __future__ import annotations

import keras
import numpy as np

from keras_optims.testing.compiled_step import CompiledStep
from tuning.doctor.measuring import number_or_none, only_on_tensorflow
from tuning.doctor.measuring.devices import to_measure
from tuning.doctor.measuring.settings import SETTINGS, Setting

SHAPES = ((), (1,), (7,), (512, 512), (0,))
STEPS = (1, 100)

# Every tensor repeats this many different numbers, so that the formula is computed for these and every element is compared. A
# prime: no kernel's blocks are aligned with it.
_DIFFERENT = 1021


def optimizers() -> dict:
    """How far the weights are from the formula's after 1 and 100 steps, by the real optimizers of this package.

    Returns:
        `{"rows": [{"optimizer", "kernel", "device", "steps", "shape", "error"}]}`. The shape is the worst one. The error is the
        largest distance of a weight from the formula's, as a share of the largest way that a weight has gone, or of the largest
        weight where none has moved (ADOPT's first step); `None` where it is no number.
    """
    rows = []
    for setting in SETTINGS:
        gradients, start = _gradients(), _numbers(7) * np.float32(0.1)
        path = setting.formula(gradients, start, **setting.arguments)
        for label, device in to_measure().items():
            with keras.device(device):
                rows += [{**row, "device": label} for row in _followed(setting, gradients, start, path)]
    return {"rows": rows}


def _followed(setting: Setting, gradients, start, path):
    """A row for each of `STEPS`."""
    variables = [keras.Variable(_repeated(start, shape), dtype="float32", name=f"v{i}") for i, shape in enumerate(SHAPES)]
    step = CompiledStep(setting.optimizer(), variables)
    kernel = step.optimizer.explain()[0].why
    for number, gradient in enumerate(gradients, start=1):
        step([_repeated(gradient, shape) for shape in SHAPES])
        if number in STEPS:
            way = np.abs(path[number - 1] - start).max() or np.abs(start).max()
            errors = {
                shape: _largest(weights - _repeated(path[number - 1], shape)) / way
                for shape, weights in zip(SHAPES, step.weights(), strict=True)
            }
            yield {"optimizer": str(setting), "kernel": kernel, "steps": number, **_worst(errors)}


def _gradients():
    """Of mixed signs, and of magnitudes that differ by element and drift."""
    base = [_numbers(seed) + np.float32(0.3) for seed in range(5)]
    by_element = (10.0 ** np.random.default_rng(9).uniform(-1, 1, _DIFFERENT)).astype("float32")
    return [base[step % 5] * by_element * np.float32(10 ** np.sin(step / 7)) for step in range(max(STEPS))]


def _numbers(seed):
    return np.random.default_rng(seed).normal(size=_DIFFERENT).astype("float32")


def _repeated(numbers, shape):
    return np.resize(numbers, shape)


def _worst(errors: dict) -> dict:
    """The shape with the largest error, and the error."""
    shape = max(errors, key=lambda shape: np.nan_to_num(errors[shape], nan=np.inf))
    return {"shape": list(shape), "error": number_or_none(errors[shape])}


def _largest(array) -> float:
    return float(np.abs(array).max(initial=0.0))


@only_on_tensorflow("only TensorFlow runs single operations of its own; this is {backend}")
def elementary() -> dict:
    """How far each operation of TensorFlow that a step is made of is from the same in NumPy's float64.

    Returns:
        `{"rows": [{"operation", "device", "shape", "error"}]}` with the worst shape, and the error relative to the larger of the
        result and 1; `None` where it is no number, or of another shape.
    """
    rows = []
    for name, (of_tensorflow, of_numpy) in _operations().items():
        for label, device in to_measure().items():
            errors = {}
            for shape in SHAPES:
                first, second = (np.abs(_repeated(_numbers(seed), shape)).astype("float32") + np.float32(0.1) for seed in (1, 2))
                right = np.asarray(of_numpy(first.astype("float64"), second.astype("float64")))
                with keras.device(device):
                    got = np.asarray(of_tensorflow(first, second), "float64")
                same_shape = got.shape == right.shape
                errors[shape] = _largest((got - right) / np.maximum(np.abs(right), 1)) if same_shape else np.nan
            rows.append({"operation": name, "device": label, **_worst(errors)})
    return {"rows": rows}


def _operations():
    """Name → (on TensorFlow, in NumPy), each a function of two positive arrays."""
    import tensorflow as tf

    def assigned(name):
        def change(first, second):
            variable = tf.Variable(first)
            getattr(variable, name)(second)
            return variable.numpy()

        return change

    def scattered(first, second):
        flat = tf.reshape(first, [-1])
        places = tf.expand_dims(tf.range(tf.size(flat)), 1)
        return tf.tensor_scatter_nd_update(flat, places, tf.reshape(second, [-1]))

    def end_to_end(first, second):
        return tf.concat([tf.reshape(first, [-1]), tf.reshape(second, [-1])], 0)

    # Clipping relies on maxima that keep NaN.

    return {
        "Abs": (lambda a, b: tf.abs(a - b), lambda a, b: np.abs(a - b)),
        "AddV2": (lambda a, b: tf.raw_ops.AddV2(x=a, y=b), lambda a, b: a + b),
        "AddN": (lambda a, b: tf.add_n([a, b, b]), lambda a, b: a + b + b),
        "AssignAddVariableOp": (assigned("assign_add"), lambda a, b: a + b),
        "AssignSubVariableOp": (assigned("assign_sub"), lambda a, b: a - b),
        "AssignVariableOp": (assigned("assign"), lambda a, b: b),
        "ConcatV2": (end_to_end, lambda a, b: np.concatenate([a.ravel(), b.ravel()])),
        "GatherV2": (lambda a, b: tf.gather(end_to_end(a, b), np.arange(a.size)[::-1]), lambda a, b: a.ravel()[::-1]),
        "Maximum": (lambda a, b: tf.maximum(a, b), np.maximum),
        "Maximum, of NaN": (lambda a, b: np.isnan(tf.maximum(a * np.nan, b)), lambda a, b: np.ones_like(a)),
        "Max, of NaN": (
            lambda a, b: np.isnan(tf.reduce_max(end_to_end(b, np.array([np.nan], "float32")))),
            lambda a, b: np.ones(()),
        ),
        "Minimum": (lambda a, b: tf.minimum(a, b), np.minimum),
        "Mul": (lambda a, b: tf.multiply(a, b), lambda a, b: a * b),
        "Neg": (lambda a, b: tf.negative(a), lambda a, b: -a),
        "Pow": (lambda a, b: tf.pow(a, b), lambda a, b: a**b),
        "RealDiv": (lambda a, b: tf.divide(a, b), lambda a, b: a / b),
        "Reciprocal": (lambda a, b: tf.math.reciprocal(a), lambda a, b: 1 / a),
        "Rsqrt": (lambda a, b: tf.math.rsqrt(a), lambda a, b: 1 / np.sqrt(a)),
        "SelectV2": (lambda a, b: tf.where(a > b, a, b), lambda a, b: np.where(a > b, a, b)),
        "SplitV": (lambda a, b: tf.split(end_to_end(a, b), [a.size, b.size])[1], lambda a, b: b.ravel()),
        "Sqrt": (lambda a, b: tf.sqrt(a), lambda a, b: np.sqrt(a)),
        "Square": (lambda a, b: tf.square(a), lambda a, b: a * a),
        "Sub": (lambda a, b: tf.subtract(a, b), lambda a, b: a - b),
        "Sum": (lambda a, b: tf.reduce_sum(a * b) / max(a.size, 1), lambda a, b: np.sum(a * b) / max(a.size, 1)),
        "TensorScatterUpdate": (scattered, lambda a, b: b.ravel()),
    }
