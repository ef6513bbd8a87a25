"""MNIST and Fashion-MNIST (70,000 grey images of 28x28): a perceptron, a small convolutional net, and DeepOBS's 2c2d."""

import functools

import keras

from tuning.problems.axes import NET_2C2D, PERCEPTRON, SMALL_CNN
from tuning.problems.datasets import load_fashion_mnist, load_mnist
from tuning.problems.images import image_problem, images, pixels, small_cnn
from tuning.problems.layers import dropped, hidden
from tuning.problems.problem import Problem


def mnist_mlp(data_dir=None) -> Problem:
    """MNIST and a 784-128-10 perceptron: ReLU, He-normal hidden weights, batch size 64, 10,000 training images for validation.

    The labels are smoothed by 0.1 (Szegedy et al. 2016), which makes up for the short training: without it two epochs of Adam end
    half a per cent lower. (DeepOBS's mnist_mlp is another one: 784-1000-500-100-10, batch size 128, plain labels.)
    """

    def model(units: int = 128, layers: int = 1, activation: str = "relu", dropout: float = 0.0):
        return keras.Sequential(
            [
                *pixels((28, 28, 1)),
                keras.layers.Flatten(),
                *hidden(units, layers, activation, dropout, kernel_initializer="he_normal"),
                keras.layers.Dense(10),
            ]
        )

    def data():
        return images(load_mnist, data_dir, one_hot=True)

    return Problem(
        name="mnist_mlp",
        data=data,
        model=model,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        batch_size=64,
        epochs=3,
        axes=PERCEPTRON,
        searched=(),
    )


def mnist_cnn(data_dir=None) -> Problem:
    """MNIST and a net for a laptop: convolutions with 16 and 32 filters of 3x3, each followed by pooling, and a dense layer.

    Batch size 64.
    """
    model = functools.partial(small_cnn, (28, 28, 1))
    return image_problem("mnist_cnn", load_mnist, data_dir, model, epochs=3, axes=SMALL_CNN, batch_size=64)


def mnist_2c2d(data_dir=None) -> Problem:
    """MNIST and the 2c2d net of DeepOBS (Schneider, Balles and Hennig, ICLR 2019).

    The same as there: convolutions with 32 and 64 filters of 5x5, each followed by 2x2 max pooling, all with "same" padding;
    dense layers of 1,024 and 10 units; ReLU; weights from a truncated normal of standard deviation 0.05, biases 0.05; no
    regularization; pixels in [0, 1]; batch size 128, a short last batch left out; 10,000 validation images out of the
    training set. Different: which 10,000 images they are and which images the last batch would have held is the same in
    every run; 5 epochs by default, where DeepOBS's published results train for 100.
    """
    return image_problem("mnist_2c2d", load_mnist, data_dir, _2c2d, epochs=5, axes=NET_2C2D)


def fashion_mnist_2c2d(data_dir=None) -> Problem:
    """Fashion-MNIST and the 2c2d net of DeepOBS, there called fmnist_2c2d; for what differs see `mnist_2c2d`."""
    return image_problem("fashion_mnist_2c2d", load_fashion_mnist, data_dir, _2c2d, epochs=5, axes=NET_2C2D)


def _2c2d(units: int = 1024, activation: str = "relu", dropout: float = 0.0) -> keras.Model:
    """`units` and `dropout`: of the hidden dense layer."""
    layers = keras.layers
    start = {
        "kernel_initializer": lambda: keras.initializers.TruncatedNormal(stddev=0.05),
        "bias_initializer": lambda: keras.initializers.Constant(0.05),
    }

    def initializers():  # new ones for every layer: an initializer draws the same numbers each time it is called
        return {name: make() for name, make in start.items()}

    def convolution(filters):
        return layers.Conv2D(filters, 5, padding="same", activation=activation, data_format="channels_last", **initializers())

    def pooling():
        return layers.MaxPooling2D(2, padding="same", data_format="channels_last")

    return keras.Sequential(
        [
            *pixels((28, 28, 1)),
            convolution(32),
            pooling(),
            convolution(64),
            pooling(),
            layers.Flatten(),
            layers.Dense(units, activation=activation, **initializers()),
            *dropped(dropout),
            layers.Dense(10, **initializers()),
        ]
    )
