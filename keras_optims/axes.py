"""Which axes of a variable are summed over, which are outputs, and along which it is several of the same.

Matrix methods, gradient centralization and adaptive clipping look at a variable as a matrix from inputs to outputs. Most papers
and their code take torch's order for granted, in which the outputs come first. Keras has them last, and some layers elsewhere:

| layer | variable | inputs | outputs | batch | kind |
|---|---|---|---|---|---|
| Dense | kernel (in, out) | 0 | 1 | | kernel |
| Conv1D, 2D, 3D | kernel (k.., in, out) | all but the last | last | | kernel |
| the same with groups | kernel (k.., in/groups, out) | all but the last | last | | filters |
| Conv1DTranspose, 2D, 3D | kernel (k.., out, in) | all others | last but one | | kernel |
| DepthwiseConv1D, 2D; SeparableConv | kernel (k.., in, multiplier) | all others | | last two | filters |
| SeparableConv | pointwise_kernel (1.., in, out) | all but the last | last | | kernel |
| Embedding | embeddings (V, d) | 0 | 1 | | embedding |
| MultiHeadAttention, GroupQueryAttention | query, key, value (d, heads, key) | 0 | 1, 2 | | kernel |
| the same | attention_output (heads, key, d) | 0, 1 | 2 | | kernel |
| EinsumDense | kernel | those its equation sums over | in the result only | in both | kernel |
| LSTM, GRU, SimpleRNN, ConvLSTM | kernel, recurrent_kernel (.., gates·units) | all but the last | last | | kernel |
| normalizations, PReLU, biases | gamma, beta, alpha, bias .. | | all | | vector |

An optimizer sees variables, and not the layers that they are of. `axes_of(model)` reads the table off the layers; without it,
names and shapes have to tell: a variable's own name, the shape of the bias beside it, the words of its path. Where they do not,
the last axis counts as the output and `known` is false.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_optims import keras_seam
from keras_optims.hyperparameter import Declared, shown
from keras_optims.stand_in import path_of

KERNEL, FILTERS, EMBEDDING, VECTOR = KINDS = ("kernel", "filters", "embedding", "vector")


@dataclasses.dataclass(frozen=True)
class Axes:
    """What the axes of a variable are.

    Args:
        inputs: those that its layer sums over.
        outputs: those of the result. An output is a number for each position along them, and has the weights along `inputs`.
        batch: those along which the variable holds several matrices, each by itself.
        kind: `"kernel"`: one matrix, or a batch of them; `"filters"`: many small ones, of a depthwise or grouped convolution;
            `"embedding"`: a table of rows; `"vector"`: scales and offsets, without inputs.
        known: whether a layer, a name or the user has told; else the last axis is taken for the output.

    Negative numbers count from the last axis.

    Raises:
        ValueError: an axis that is no whole number, or is named twice; an unknown kind.
    """

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    batch: tuple[int, ...] = ()
    kind: str = KERNEL
    known: bool = True

    def __post_init__(self):
        for name in ("inputs", "outputs", "batch"):
            axes = getattr(self, name)
            if not isinstance(axes, (list, tuple)) or not all(isinstance(a, int) and not isinstance(a, bool) for a in axes):
                raise ValueError(f"{name} of Axes must be whole numbers, such as (0, 1); received {shown(axes)}.")
            object.__setattr__(self, name, tuple(axes))
        if len({*self.inputs, *self.outputs, *self.batch}) < len(self.inputs) + len(self.outputs) + len(self.batch):
            raise ValueError(f"Each axis must be named once in Axes; received {self!r}.")
        if self.kind not in KINDS:
            raise ValueError(f"kind of Axes must be one of {', '.join(map(repr, KINDS))}; received {shown(self.kind)}.")

    def of_shape(self, shape, name="a variable") -> Axes:
        """The same with axes counted from the first one.

        Raises:
            ValueError: they are not all axes of the shape, each once.
        """
        number = len(shape)
        given = [*self.inputs, *self.outputs, *self.batch]
        if sorted(axis + number * (axis < 0) for axis in given) != list(range(number)):
            raise ValueError(f"The axes of {name} must be all {number} axes of its shape {tuple(shape)}; received {self!r}.")

        def counted(axes):
            return tuple(axis + number * (axis < 0) for axis in axes)

        return dataclasses.replace(self, inputs=counted(self.inputs), outputs=counted(self.outputs), batch=counted(self.batch))

    def is_matrix(self, shape) -> bool:
        """Whether a variable of this shape is a matrix, or a batch of them, with more than one row and column."""
        return self.kind == KERNEL and self.known and min(self.sizes(shape)[1:]) > 1

    def sizes(self, shape) -> tuple[int, int, int]:
        """(number of matrices, inputs, outputs)."""
        of = [math.prod(shape[axis] for axis in axes) for axes in (self.batch, self.inputs, self.outputs)]
        return of[0], of[1], of[2]

    def as_matrices(self, tensor):
        """A tensor of the variable's shape as matrices (batch, inputs, outputs)."""
        order, sizes = (*self.batch, *self.inputs, *self.outputs), self.sizes(tensor.shape)
        return ops.reshape(tensor if order == tuple(range(len(order))) else ops.transpose(tensor, order), sizes)

    def from_matrices(self, matrices, shape):
        """The inverse of `as_matrices`, of a variable of this shape."""
        order = (*self.batch, *self.inputs, *self.outputs)
        tensor = ops.reshape(matrices, [shape[axis] for axis in order])
        back = tuple(order.index(axis) for axis in range(len(order)))
        return tensor if back == order == tuple(range(len(order))) else ops.transpose(tensor, back)

    def of_a_stack(self) -> Axes:
        """Of several such variables, stacked along a new first axis."""
        inputs, outputs, batch = (tuple(axis + 1 for axis in axes) for axes in (self.inputs, self.outputs, self.batch))
        return dataclasses.replace(self, inputs=inputs, outputs=outputs, batch=(0, *batch))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same."""
        config = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}


def vector(rank: int) -> Axes:
    """Of scales and offsets, which have no inputs."""
    return Axes(outputs=tuple(range(rank)), kind=VECTOR)


def outputs_last(rank: int, number: int = 1, kind: str = KERNEL, known: bool = True) -> Axes:
    """With so many outputs, behind all inputs."""
    return Axes(tuple(range(rank - number)), tuple(range(rank - number, rank)), kind=kind, known=known)


def transposed(rank: int) -> Axes:
    """Of a transposed convolution: (k.., out, in)."""
    return Axes((*range(rank - 2), rank - 1), (rank - 2,))


def depthwise(rank: int) -> Axes:
    """Of a depthwise convolution: (k.., in, multiplier), each filter an output."""
    return Axes(tuple(range(rank - 2)), (), (rank - 2, rank - 1), kind=FILTERS)


def of_equation(equation: str, rank: int) -> Axes:
    """Of the kernel of an `EinsumDense`: what its equation says of each of the kernel's letters."""
    inputs, kernel, result = re.split(r",|->", equation.replace(" ", "").replace("...", ""))
    if len(kernel) != rank:
        return outputs_last(rank, known=False)
    return Axes(
        inputs=tuple(i for i, letter in enumerate(kernel) if letter not in result),
        outputs=tuple(i for i, letter in enumerate(kernel) if letter in result and letter not in inputs),
        batch=tuple(i for i, letter in enumerate(kernel) if letter in result and letter in inputs),
    )


# -- by the layers --------------------------------------------------------------------------------


def axes_of(model) -> dict[str, Axes]:
    """What the axes of a model's variables are, as its layers tell: for the argument `axes` of an optimizer.

        optimizer = keras_optims.Muon(axes=keras_optims.axes_of(model))

    It is needed where names and shapes do not tell, as of a depthwise convolution without bias in a layer that is called "a".
    Layers of other classes than Keras's are left to names and shapes.

    Args:
        model: a `keras.Model` or layer that is built.

    Returns:
        `Axes` by a regular expression that is found in one variable's path only.

    Raises:
        ValueError: it has no variables, as before it is built.
    """
    if not model.trainable_variables:
        raise ValueError(
            f"axes_of needs a model that is built; {type(model).__name__} {model.name!r} has no trainable variables."
        )
    found = {}
    for layer in keras_seam.layers_of(model):
        of_layer = next((of for classes, of in _BY_LAYER if isinstance(layer, classes)), None)
        if of_layer is None:
            continue
        for variable in layer.trainable_variables:
            axes = of_layer(layer, variable.name, len(variable.shape))
            if axes is not None:
                found[f"^{re.escape(variable.path)}$"] = axes
    return found


def _of_convolution(layer, name, rank):
    if name != "kernel":
        return vector(rank) if name == "bias" else None
    return outputs_last(rank, kind=KERNEL if layer.groups == 1 else FILTERS)


def _of_transposed_convolution(layer, name, rank):
    return transposed(rank) if name == "kernel" else vector(rank) if name == "bias" else None


def _of_depthwise(layer, name, rank):
    return depthwise(rank) if name in ("kernel", "depthwise_kernel") else _of_dense(layer, name, rank)


def _of_dense(layer, name, rank):
    return _BY_NAME[name](rank) if name in _BY_NAME else None


def _of_einsum(layer, name, rank):
    return of_equation(layer.equation, rank) if name == "kernel" else vector(rank) if name == "bias" else None


def _of_scales(layer, name, rank):
    return vector(rank)


_L = keras.layers
_BY_LAYER: list[tuple[tuple, Any]] = [
    ((_L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose), _of_transposed_convolution),
    ((_L.DepthwiseConv1D, _L.DepthwiseConv2D, _L.SeparableConv1D, _L.SeparableConv2D), _of_depthwise),
    ((_L.Conv1D, _L.Conv2D, _L.Conv3D), _of_convolution),
    ((_L.EinsumDense,), _of_einsum),
    ((_L.Dense, _L.Embedding, _L.LSTMCell, _L.GRUCell, _L.SimpleRNNCell), _of_dense),
    ((_L.BatchNormalization, _L.LayerNormalization, _L.GroupNormalization, _L.RMSNormalization, _L.PReLU), _of_scales),
]


# -- by names and shapes --------------------------------------------------------------------------

_BY_NAME = {
    **dict.fromkeys(("bias", "gamma", "beta", "alpha", "scale"), vector),
    **dict.fromkeys(("embeddings", "reverse_embeddings"), lambda rank: outputs_last(rank, kind=EMBEDDING)),
    **dict.fromkeys(("kernel", "recurrent_kernel", "pointwise_kernel"), outputs_last),
    "depthwise_kernel": depthwise,
}
_EMBEDDING = re.compile(r"embedding[^/]*/(?!.*kernel)[^/]*$", re.IGNORECASE)
_DEPTHWISE = re.compile(r"depth_?wise|dw_?conv|(^|[/_])dw([/_]|$)", re.IGNORECASE)
_ATTENTION_INPUT = re.compile(r"(^|[/_])(query|key|value|q_proj|k_proj|v_proj)(_[^/]*)?/kernel$", re.IGNORECASE)
_ATTENTION_OUTPUT = re.compile(r"(^|[/_])(attention_output|o_proj)(_[^/]*)?/kernel$", re.IGNORECASE)


def guessed(variables) -> list[Axes]:
    """What the axes of each of a model's variables are, by their names and shapes."""
    paths = [path_of(variable) for variable in variables]
    biases = {path.rpartition("/")[0]: tuple(v.shape) for path, v in zip(paths, variables, strict=True) if _last(path) == "bias"}
    return [_guessed(path, tuple(v.shape), biases.get(path.rpartition("/")[0])) for path, v in zip(paths, variables, strict=True)]


def _guessed(path, shape, bias) -> Axes:
    name, rank = _last(path), len(shape)
    if rank < 2:
        return vector(rank)
    if _EMBEDDING.search(path):
        return outputs_last(rank, kind=EMBEDDING)
    if name == "kernel":
        return _of_kernel(path, shape, bias)
    if name == "depthwise_kernel" and rank == 2:
        return outputs_last(2)
    if name in _BY_NAME:
        return _BY_NAME[name](rank)
    return outputs_last(rank, known=rank == 2)


def _of_kernel(path, shape, bias) -> Axes:
    rank = len(shape)
    if rank == 2:
        return outputs_last(2)
    if re.search("transpose", path, re.IGNORECASE):
        return transposed(rank)
    if bias is not None:
        if len(bias) < rank and shape[-len(bias) :] == bias:
            return outputs_last(rank, len(bias))
        if bias == (shape[-2] * shape[-1],):
            return depthwise(rank)
        if bias == (shape[-2],):
            return transposed(rank)
    if _DEPTHWISE.search(path):
        # With a convolution of as many groups as channels the inputs are one channel, and each filter is an output.
        return outputs_last(rank, kind=FILTERS) if shape[-2] == 1 else depthwise(rank)
    if _ATTENTION_INPUT.search(path) and rank == 3:
        return outputs_last(rank, 2)
    if _ATTENTION_OUTPUT.search(path) and rank == 3:
        return outputs_last(rank)
    if shape[-1] == 1 and shape[-2] > 1:
        return depthwise(rank)
    return outputs_last(rank, known=rank > 3 or re.search("conv", path, re.IGNORECASE) is not None)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


# -- the argument ---------------------------------------------------------------------------------


class AxesOfVariables(Declared):
    """The argument `axes` of an optimizer: `Axes` by regular expressions that are found in paths, the last of which holds."""

    default = None

    def validate(self, value) -> dict[str, Axes] | None:
        """Returns it as a dict, or raises `ValueError`."""
        if value is None:
            return None
        is_mapping = isinstance(value, Mapping) and all(isinstance(pattern, str) for pattern in value)
        if not is_mapping or not all(isinstance(axes, Axes) for axes in value.values()):
            raise ValueError(
                f"{self.name} must be None or a dict from regular expressions to keras_optims.Axes; received {shown(value)}."
            )
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{self.name} must have regular expressions; received {pattern!r}: {error}.") from None
        return dict(value) or None

    def __get__(self, optimizer, owner=None):
        return self if optimizer is None else optimizer._untracked.given_axes

    def __set__(self, optimizer, value):
        value = self.validate(value)
        if getattr(optimizer, "built", False) and value != optimizer._untracked.given_axes:
            raise ValueError(
                f"{self.name} cannot change once {type(optimizer).__name__} is built: its slots and its compiled step depend "
                f"on it. Make a new optimizer; received {shown(value)}."
            )
        optimizer._untracked.given_axes = value

    def to_config(self, optimizer):
        """The value for `get_config`."""
        given = optimizer._untracked.given_axes
        return given and {pattern: axes.get_config() for pattern, axes in given.items()}

    def from_config(self, value, custom_objects=None):
        """The inverse of `to_config`."""
        if not isinstance(value, Mapping):
            return value
        return {pattern: _from_config(self.name, axes) for pattern, axes in value.items()}


def _from_config(name, axes):
    if isinstance(axes, Axes):
        return axes
    try:
        return Axes(**axes)
    except TypeError:
        raise ValueError(f"The config of {name} must hold what Axes.get_config() makes; received {shown(axes)}.") from None


def table(variables, given: Mapping[str, Axes] | None) -> list[Axes]:
    """The axes of each of a model's variables: as given, else as guessed.

    Raises:
        ValueError: given axes that do not fit a variable's shape; a regular expression that is found in no path.
    """
    found = guessed(variables)
    paths = [path_of(variable) for variable in variables]
    for pattern, axes in (given or {}).items():
        chosen = [i for i, path in enumerate(paths) if re.search(pattern, path)]
        if variables and not chosen:
            raise ValueError(
                f"axes has {pattern!r}, which is found in the path of none of the {len(paths)} variables, such as {paths[0]!r}."
            )
        for i in chosen:
            found[i] = axes.of_shape(tuple(variables[i].shape), paths[i])
    return found
