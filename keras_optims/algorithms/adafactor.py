"""Adafactor: the scale of Adam's steps at almost no memory.

Adam divides each gradient by the root of a mean of its squares, and keeps one such mean for each weight. Adafactor keeps of a
matrix only the means of its rows and of its columns, a+b numbers for a×b weights: their outer product, over the mean of all, is
the matrix of rank one with the same sums. It keeps no momentum either. In its place stand a bound on the step, so that an
outlier that the means have not seen yet is no catastrophe, and a rate in proportion to the size of the weights.
"""

import math

import keras
from keras import ops

from keras_optims.axes import FILTERS, VECTOR
from keras_optims.hyperparameter import (
    DECAY_RATE,
    NON_NEGATIVE,
    POSITIVE,
    Hyperparameter,
    Interval,
    Option,
    SearchRange,
    weight_decay,
)
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Adafactor(Optimizer):
    """Adafactor: adaptive rates from the means of rows and columns.

    With weights θ of one variable, gradient g, learning rate η, and t the number of the step, counted from 1, each step does, for
    a matrix with rows i and columns j,

        β̂ = 1 − tᶜ                               c = `beta_2_decay`; 0 at the first step
        R_i ← β̂·R_i + (1−β̂)·mean_j(g² + ε₁)
        C_j ← β̂·C_j + (1−β̂)·mean_i(g² + ε₁)
        V_ij = R_i·C_j / mean_i(R)
        u = g / √V
        α = max(ε₂, RMS(θ)) · min(η, 1/√t)
        θ ← θ − α·u / max(1, RMS(u)/d)

    with d = `clip_threshold`; RMS is the root of the mean of the squares. Of a vector or a scalar, V itself is such a mean of
    g² + ε₁; of a variable with more axes the last two are rows and columns, and each slice along the others has its own, unless
    `flatten` says otherwise.

    The means are of the variable as a whole: one that is split in two takes other steps.

    Args:
        learning_rate: η ≥ 0; a step is at most about η times as long as the weights, see `scale_parameter`. Usually 1e-3 to
            0.3; default 0.001.
        beta_2_decay: c in [−1, 0]: how fast β̂ rises to 1. Default −0.8.
        epsilon_1: ε₁ ≥ 0, added to the squares of the gradients. Default 1e-30.
        epsilon_2: ε₂ ≥ 0, the least size that weights count as having, so that weights of zero begin to move. Default 0.001.
        clip_threshold: d > 0; where the RMS of u is larger, u is scaled down to it. Default 1.0.
        relative_step: whether the rate is at most 1/√t. Default `True`.
        weight_decay: λ ≥ 0; before each step θ ← θ − η·λ·θ. Default `None`: none.
        beta_1: β₁ in [0, 1), the decay rate of a mean of the steps, which then takes their place: one more slot of the variable's
            shape. Usually 0.9; default `None`: none.
        scale_parameter: whether the rate is multiplied by max(ε₂, RMS(θ)). Without it η is as Adam's, 1e-4 to 1e-2. Default
            `True`.
        min_size_to_factor: variables of which one of the two sides is smaller have a V of their own shape. 128 in optax, where
            R and C would save little; default 0, as in Keras: all with two axes are factored.
        flatten: whether the rows and columns of a kernel with more than two axes are the inputs and outputs of its layer
            (`keras_optims.Axes`), which keeps less: 2,560 numbers of a 3×3×256×256 convolution and not 4,608. Vectors with two
            axes and the small filters of depthwise and grouped convolutions then have a V of their own shape. Default `False`,
            as in Keras.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: the last two axes are factored, as in Keras; optax factors the two longest. ε₁ is added to the squares, as in the
    paper; in torch it is a floor under V. The decay is in units of η, as in Keras and torch; optax's knows no rate. The mean of
    the steps is of α·u, as in the authors' code. `keras.optimizers.Adafactor` also keeps V, as a third slot as large as the
    variable, and lowers the rate to 1/√t whatever its `relative_step` says.

    Reference: Shazeer & Stern 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
    https://arxiv.org/abs/1804.04235, Algorithms 4 to 6.
    """

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-3, 0.3, "log"), meaning="learning rate"
    )
    beta_2_decay = Hyperparameter(-0.8, symbol="c", domain=Interval(-1, 0), meaning="how fast the means of squares slow down")
    epsilon_1 = Hyperparameter(1e-30, symbol="ε₁", domain=NON_NEGATIVE, meaning="added to the squares of the gradients")
    epsilon_2 = Hyperparameter(1e-3, symbol="ε₂", domain=NON_NEGATIVE, meaning="least size that weights count as having")
    clip_threshold = Hyperparameter(
        1.0, symbol="d", domain=POSITIVE, meaning="largest root mean square of a step, before the rate"
    )
    relative_step = Option(True, meaning="let the rate be no more than 1/√t")
    weight_decay = weight_decay(1e-3, 1.0)
    beta_1 = Hyperparameter(
        None,
        symbol="β₁",
        domain=DECAY_RATE,
        search=SearchRange(0.55, 0.99, "log1m", by_default=False),
        meaning="decay rate of a mean of the steps",
        off=None,
    )
    scale_parameter = Option(True, meaning="multiply the rate by the size of the weights")
    min_size_to_factor = Option(
        0, domain=Interval(0, math.inf, high_open=True), integer=True, meaning="least length of both sides of what is factored"
    )
    flatten = Option(False, keyword_only=True, meaning="kernels with more than two axes as matrices")

    def build(self, variables):
        """Makes the slots `row_mean` (R) and `column_mean` (C), or `mean_square` (V), and with β₁ `mean_step`."""
        super().build(variables)
        factored = [variable for variable in variables if self.factored_axes(variable)]
        whole = [variable for variable in variables if not self.factored_axes(variable)]
        self.row_mean = self.add_slot(
            factored, "row_mean", shape=lambda variable: self._shape_along(variable, 0), numbers="non_negative"
        )
        self.column_mean = self.add_slot(
            factored, "column_mean", shape=lambda variable: self._shape_along(variable, 1), numbers="non_negative"
        )
        self.mean_square = self.add_slot(whole, "mean_square", numbers="non_negative")
        self.mean_step = self.add_slot(variables, "mean_step") if self.is_on("beta_1") else None

    def factored_axes(self, variable) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The axes of rows and those of columns of a variable; the others are a batch. `None`: it is not factored.

        A subclass may override it.
        """
        rank, axes = len(variable.shape), self.axes_of(variable)
        if rank < 2:
            return None
        sides: tuple[tuple[int, ...], tuple[int, ...]] = (rank - 2,), (rank - 1,)
        if self.flatten and (axes.known or rank == 2):
            if axes.kind in (VECTOR, FILTERS) or not (axes.inputs and axes.outputs):
                return None
            sides = axes.inputs, axes.outputs
        lengths = [math.prod(variable.shape[axis] for axis in side) for side in sides]
        return None if min(lengths) < self.min_size_to_factor else sides

    def _shape_along(self, variable, which: int) -> tuple[int, ...]:
        """That of R (0) or C (1): without the axes of the other."""
        axes = self.factored_axes(variable)
        left_out = axes[1 - which] if axes else ()
        return tuple(length for axis, length in enumerate(variable.shape) if axis not in left_out)

    def step_scalars(self, learning_rate):
        """tᶜ, the rate before it is scaled, ε₁, ε₂, d and 1−β₁."""
        t = self.step_number
        rate = ops.minimum(learning_rate, 1 / ops.sqrt(t)) if self.relative_step else learning_rate
        scalars = {
            "one_minus_beta_2": t**self.beta_2_decay,
            "rate": rate,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
        }
        return scalars | ({} if self.mean_step is None else {"one_minus_beta_1": self.one_minus("beta_1")})

    def update_step(self, gradient, variable, learning_rate):
        """R and C, or V; u = g/√V; θ ← θ − α·u / max(1, RMS(u)/d)."""
        s = self.scalars(variable, learning_rate)
        u = gradient * self._inverse_root(gradient, variable, s)
        rate = s.rate / ops.maximum(_rms(u) / s.clip_threshold, 1.0)
        if self.scale_parameter:
            rate = rate * ops.maximum(_rms(variable.value), s.epsilon_2)
        step = rate * u
        if self.mean_step is not None:
            mean = self.mean_step[variable]
            self.assign_add(mean, (step - mean) * s.one_minus_beta_1)
            step = mean.value
        self.assign_sub(variable, step)

    def _inverse_root(self, gradient, variable, s):
        """1/√V, once R and C, or V, have moved; of a shape that broadcasts to the variable's."""
        squares = ops.square(gradient) + s.epsilon_1
        axes = self.factored_axes(variable)
        if axes is None:
            mean = self.mean_square[variable]
            self.assign_add(mean, (squares - mean) * s.one_minus_beta_2)
            return _inverse_root(mean.value)
        rows, columns = axes
        row_mean, column_mean = self.row_mean[variable], self.column_mean[variable]
        self.assign_add(row_mean, (_mean(squares, columns) - row_mean) * s.one_minus_beta_2)
        self.assign_add(column_mean, (_mean(squares, rows) - column_mean) * s.one_minus_beta_2)
        of_rows = ops.expand_dims(row_mean.value, columns)
        of_columns = ops.expand_dims(column_mean.value, rows)
        of_all = _mean(of_rows, rows, keepdims=True)
        # √ of each vector, and not of their product, which is as large as the variable and could underflow.
        return ops.sqrt(of_all) * _inverse_root(of_rows) * _inverse_root(of_columns)


def _mean(tensor, axes, keepdims=False):
    """The mean along axes, 0 where there is nothing."""
    number = math.prod(tensor.shape[axis] for axis in axes)
    return ops.sum(tensor, axis=axes, keepdims=keepdims) / max(number, 1)


def _rms(tensor):
    """The root of the mean of the squares, 0 of an empty tensor."""
    return ops.sqrt(ops.sum(ops.square(tensor)) / max(math.prod(tensor.shape), 1))


def _inverse_root(tensor):
    """1/√ of it, 0 where it is 0, which with ε₁ = 0 it may be."""
    positive = tensor > 0
    return ops.where(positive, ops.rsqrt(ops.where(positive, tensor, ops.ones_like(tensor))), ops.zeros_like(tensor))
