"""What the axes of Keras's layers' variables are: by the layers, and by names and shapes alone."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_optims
from keras_optims import Axes, axes_of
from keras_optims.axes import KINDS, guessed

EMBEDDING, VECTOR = "embedding", "vector"


def scales(rank):
    return ((), tuple(range(rank)), (), VECTOR)


# (layer, shapes of its inputs, variable's name -> (inputs, outputs, batch, kind)); those not named are vectors
CASES = {
    "Dense": (lambda: layers.Dense(4), [(None, 3)], {"kernel": ((0,), (1,), (), "kernel")}),
    "Conv1D": (lambda: layers.Conv1D(4, 3), [(None, 8, 3)], {"kernel": ((0, 1), (2,), (), "kernel")}),
    "Conv2D": (lambda: layers.Conv2D(4, 3), [(None, 8, 8, 3)], {"kernel": ((0, 1, 2), (3,), (), "kernel")}),
    "Conv3D": (lambda: layers.Conv3D(4, 3), [(None, 8, 8, 8, 3)], {"kernel": ((0, 1, 2, 3), (4,), (), "kernel")}),
    "Conv2DTranspose": (
        lambda: layers.Conv2DTranspose(5, 3),
        [(None, 8, 8, 3)],
        {"kernel": ((0, 1, 3), (2,), (), "kernel")},
    ),
    "square Conv2DTranspose": (
        lambda: layers.Conv2DTranspose(3, 3),
        [(None, 8, 8, 3)],
        {"kernel": ((0, 1, 3), (2,), (), "kernel")},
    ),
    "DepthwiseConv1D": (
        lambda: layers.DepthwiseConv1D(3, depth_multiplier=2),
        [(None, 8, 3)],
        {"kernel": ((0,), (), (1, 2), "filters")},
    ),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3), [(None, 8, 8, 3)], {"kernel": ((0, 1), (), (2, 3), "filters")}),
    "SeparableConv2D": (
        lambda: layers.SeparableConv2D(5, 3),
        [(None, 8, 8, 3)],
        {"depthwise_kernel": ((0, 1), (), (2, 3), "filters"), "pointwise_kernel": ((0, 1, 2), (3,), (), "kernel")},
    ),
    "Embedding": (lambda: layers.Embedding(10, 4), [(None,)], {"embeddings": ((0,), (1,), (), EMBEDDING)}),
    "MultiHeadAttention": (
        lambda: layers.MultiHeadAttention(2, 3),
        [(None, 5, 8), (None, 5, 8)],
        {
            **dict.fromkeys(("query/kernel", "key/kernel", "value/kernel"), ((0,), (1, 2), (), "kernel")),
            "attention_output/kernel": ((0, 1), (2,), (), "kernel"),
        },
    ),
    "MultiHeadAttention without biases": (
        lambda: layers.MultiHeadAttention(2, 3, use_bias=False),
        [(None, 5, 8), (None, 5, 8)],
        {
            **dict.fromkeys(("query/kernel", "key/kernel", "value/kernel"), ((0,), (1, 2), (), "kernel")),
            "attention_output/kernel": ((0, 1), (2,), (), "kernel"),
        },
    ),
    "GroupQueryAttention": (
        lambda: layers.GroupQueryAttention(4, 4, 2, use_bias=False),
        [(None, 5, 8), (None, 5, 8)],
        {
            **dict.fromkeys(("query/kernel", "key/kernel", "value/kernel"), ((0,), (1, 2), (), "kernel")),
            "attention_output/kernel": ((0, 1), (2,), (), "kernel"),
        },
    ),
    "EinsumDense": (
        lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"),
        [(None, 5, 8)],
        {"kernel": ((0,), (1, 2), (), "kernel")},
    ),
    "EinsumDense, ellipsis": (
        lambda: layers.EinsumDense("...x,xy->...y", 4, bias_axes="y"),
        [(None, 5, 8)],
        {"kernel": ((0,), (1,), (), "kernel")},
    ),
    "LSTM": (
        lambda: layers.LSTM(4),
        [(None, 5, 3)],
        dict.fromkeys(("lstm_cell/kernel", "lstm_cell/recurrent_kernel"), ((0,), (1,), (), "kernel")),
    ),
    "GRU": (
        lambda: layers.GRU(4),
        [(None, 5, 3)],
        dict.fromkeys(("gru_cell/kernel", "gru_cell/recurrent_kernel"), ((0,), (1,), (), "kernel")),
    ),
    "ConvLSTM2D": (
        lambda: layers.ConvLSTM2D(4, 3),
        [(None, 5, 8, 8, 3)],
        dict.fromkeys(("conv_lstm_cell/kernel", "conv_lstm_cell/recurrent_kernel"), ((0, 1, 2), (3,), (), "kernel")),
    ),
    "BatchNormalization": (lambda: layers.BatchNormalization(), [(None, 5)], {}),
    "GroupNormalization": (lambda: layers.GroupNormalization(1), [(None, 5)], {}),
    "LayerNormalization over two axes": (lambda: layers.LayerNormalization(axis=(1, 2)), [(None, 5, 3)], {}),
    "PReLU": (lambda: layers.PReLU(), [(None, 5, 3)], {}),
}
BY_LAYER_ONLY = {  # names and shapes do not tell
    "grouped Conv2D": (
        lambda: layers.Conv2D(6, 3, groups=3, name="a"),
        [(None, 8, 8, 6)],
        {"kernel": ((0, 1, 2), (3,), (), "filters")},
    ),
    "EinsumDense with a batch": (
        lambda: layers.EinsumDense("abc,bcd->abd", (2, 3), name="a"),
        [(None, 2, 8)],
        {"kernel": ((1,), (2,), (0,), "kernel")},
    ),
    "DepthwiseConv2D of two filters without bias": (
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="a"),
        [(None, 8, 8, 3)],
        {"kernel": ((0, 1), (), (2, 3), "filters")},
    ),
}


def built(make, shapes):
    layer = make()
    layer.build(*shapes)
    return layer


def told(axes):
    return axes.inputs, axes.outputs, axes.batch, axes.kind


def expected_of(layer, special):
    for variable in layer.trainable_variables:
        end = next((name for name in special if variable.path.endswith(f"/{name}")), None)
        yield variable, special[end] if end else scales(len(variable.shape))


@pytest.mark.parametrize("name", CASES)
def test_names_and_shapes_tell_of_keras_layers(name):
    make, shapes, special = CASES[name]
    layer = built(make, shapes)
    found = guessed(layer.trainable_variables)
    assert layer.trainable_variables
    for axes, (variable, expected) in zip(found, expected_of(layer, special), strict=True):
        assert told(axes) == expected, variable.path
        assert axes.known


@pytest.mark.parametrize("name", [*CASES, *BY_LAYER_ONLY])
def test_the_layers_tell_of_themselves(name):
    make, shapes, special = {**CASES, **BY_LAYER_ONLY}[name]
    layer = built(make, shapes)
    optimizer = keras_optims.Adam(axes=axes_of(layer) or None)
    optimizer.build(layer.trainable_variables)
    for variable, expected in expected_of(layer, special):
        assert told(optimizer.axes_of(variable)) == expected, variable.path


def test_the_layers_of_a_model_all_tell():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, name="a")(inputs)
    x = layers.SpectralNormalization(layers.Conv2D(4, 3, groups=2, use_bias=False), name="b")(x)
    inner = keras.Sequential(
        [keras.Input((4, 4, 4)), layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)], name="inner"
    )
    x = layers.Flatten()(inner(x))
    model = keras.Model(inputs, layers.Dense(3, name="head")(x))
    found = axes_of(model)
    assert len(found) == len(model.trainable_variables) == 6
    kinds = [next(a.kind for p, a in found.items() if keras_optims.axes.re.search(p, v.path)) for v in model.trainable_variables]
    assert sorted(kinds) == ["filters", "filters", "kernel", "kernel", "vector", "vector"]


def test_what_nothing_tells_has_the_last_axis_for_its_output_and_says_so():
    layer = layers.Layer(name="own")
    three, two = (layer.add_weight(shape=shape, name=f"w{len(shape)}") for shape in ((4, 3, 2), (4, 3)))
    unknown, matrix = guessed([three, two])
    assert (told(unknown), unknown.known) == (((0, 1), (2,), (), "kernel"), False)
    assert (told(matrix), matrix.known) == (((0,), (1,), (), "kernel"), True)
    assert not unknown.is_matrix((4, 3, 2))
    assert matrix.is_matrix((4, 3))
    assert not matrix.is_matrix((4, 1))


def test_what_is_given_holds_and_the_last_of_it():
    layer = built(lambda: layers.Dense(4, name="own"), [(None, 3)])
    given = {"own": Axes((), (-1,), kind="vector"), "kernel": Axes((-1,), (0,))}
    with pytest.raises(ValueError, match="must be all 2 axes of its shape"):
        keras_optims.Adam(axes=given).build(layer.trainable_variables)
    optimizer = keras_optims.Adam(axes={"kernel": Axes((-1,), (0,))})
    optimizer.build(layer.trainable_variables)
    assert told(optimizer.axes_of(layer.kernel)) == ((1,), (0,), (), "kernel")
    again = keras_optims.Adam.from_config(optimizer.get_config())
    assert again.axes == optimizer.axes == {"kernel": Axes((-1,), (0,))}


def test_a_formula_by_rule_knows_the_axes_by_the_whole_model():
    layer = built(lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, name="a"), [(None, 8, 8, 3)])
    optimizer = keras_optims.Adam(rules=[keras_optims.Rule("kernel", formula=keras_optims.Momentum(0.1))])
    optimizer.build(layer.trainable_variables)
    kernel = next(v for v in layer.trainable_variables if v.name == "kernel")
    assert optimizer.rules[0].formula.axes_of(kernel).kind == "filters"  # which the bias tells, that has another formula


@pytest.mark.parametrize(
    ("axes", "shape", "sizes"),
    [
        (Axes((0,), (1,)), (3, 4), (1, 3, 4)),
        (Axes((0, 1, 3), (2,)), (3, 3, 5, 2), (1, 18, 5)),
        (Axes((1,), (2, 3), (0,)), (2, 3, 4, 5), (2, 3, 20)),
        (Axes((2,), (0,), (1,)), (2, 3, 4), (3, 4, 2)),
    ],
)
def test_a_variable_as_matrices_and_back(axes, shape, sizes):
    tensor = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    matrices = axes.as_matrices(keras.ops.convert_to_tensor(tensor))
    assert tuple(matrices.shape) == axes.sizes(shape) == sizes
    back = keras.ops.convert_to_numpy(axes.from_matrices(matrices, shape))
    np.testing.assert_array_equal(back, tensor)
    expected = np.transpose(tensor, (*axes.batch, *axes.inputs, *axes.outputs)).reshape(sizes)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(matrices), expected)


def test_a_model_that_is_not_built_is_an_error():
    with pytest.raises(ValueError, match="axes_of needs a model that is built; Sequential 'm' has no trainable variables"):
        axes_of(keras.Sequential([layers.Dense(3)], name="m"))


def test_the_table_of_the_module_names_all_kinds():
    for kind in KINDS:
        assert f"| {kind} |" in keras_optims.axes.__doc__
