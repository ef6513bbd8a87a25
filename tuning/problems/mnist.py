"""MNIST and Fashion-MNIST (70,000 grey images of 28x28): a perceptron, a small convolutional net, and DeepOBS's 2c2d."""

import functools

import keras

from tuning.problems.datasets import load_fashion_mnist, load_mnist
from tuning.problems.problem import Data, Problem, split

VALIDATION_SAMPLES = 10_000  # held out of the 60,000 training images, as many as the test set has, as DeepOBS does


def mnist_mlp(data_dir=None) -> Problem:
    """MNIST and a 784-128-10 perceptron: ReLU, He-normal hidden weights, batch size 64, 10,000 training images for validation.

    The labels are smoothed by 0.1 (Szegedy et al. 2016), which makes up for the short training: without it two epochs of Adam end
    half a per cent lower. (DeepOBS's mnist_mlp is another one: 784-1000-500-100-10, batch size 128, plain labels.)
    """

    def model():
        return keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(128, activation="relu", kernel_initializer="he_normal"),
                keras.layers.Dense(10),
            ]
        )

    def data():
        return _scaled(load_mnist, data_dir, one_hot=True)

    return Problem(
        name="mnist_mlp",
        data=data,
        model=model,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        batch_size=64,
        epochs=3,
    )


def mnist_cnn(data_dir=None) -> Problem:
    """MNIST and a net for a laptop: convolutions with 16 and 32 filters of 3x3, each followed by pooling, and a dense layer.

    Batch size 64.
    """

    def model():
        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                layers.Conv2D(16, 3, activation="relu", data_format="channels_last"),
                layers.MaxPooling2D(2, data_format="channels_last"),
                layers.Conv2D(32, 3, activation="relu", data_format="channels_last"),
                layers.MaxPooling2D(2, data_format="channels_last"),
                layers.Flatten(),
                layers.Dense(10),
            ]
        )

    return _image_problem("mnist_cnn", load_mnist, data_dir, model, epochs=3, batch_size=64)


def mnist_2c2d(data_dir=None) -> Problem:
    """MNIST and the 2c2d net of DeepOBS (Schneider, Balles and Hennig, ICLR 2019).

    The same as there: convolutions with 32 and 64 filters of 5x5, each followed by 2x2 max pooling, all with "same" padding;
    dense layers of 1,024 and 10 units; ReLU; weights from a truncated normal of standard deviation 0.05, biases 0.05; no
    regularization; pixels in [0, 1]; batch size 128, a short last batch left out; 10,000 validation images out of the
    training set. Different: which 10,000 images they are and which images the last batch would have held is the same in
    every run; 5 epochs by default, where DeepOBS's published results train for 100.
    """
    return _image_problem("mnist_2c2d", load_mnist, data_dir, _2c2d, epochs=5)


def fashion_mnist_2c2d(data_dir=None) -> Problem:
    """Fashion-MNIST and the 2c2d net of DeepOBS, there called fmnist_2c2d; for what differs see `mnist_2c2d`."""
    return _image_problem("fashion_mnist_2c2d", load_fashion_mnist, data_dir, _2c2d, epochs=5)


def _image_problem(name, load, data_dir, model, epochs, batch_size=128) -> Problem:
    return Problem(
        name=name,
        data=functools.partial(_scaled, load, data_dir),
        model=model,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        batch_size=batch_size,
        epochs=epochs,
    )


def _scaled(load, data_dir, one_hot=False) -> Data:
    (x, y), (x_test, y_test) = load(data_dir)

    def scaled(part):
        x, y = part
        return x[..., None].astype("float32") / 255, keras.utils.to_categorical(y, 10) if one_hot else y.astype("int32")

    train, validation = split((x, y), min(VALIDATION_SAMPLES, len(x) // 5))
    return Data(scaled(train), scaled(validation), scaled((x_test, y_test)))


def _2c2d() -> keras.Model:
    layers = keras.layers
    start = {
        "kernel_initializer": lambda: keras.initializers.TruncatedNormal(stddev=0.05),
        "bias_initializer": lambda: keras.initializers.Constant(0.05),
    }

    def initializers():  # new ones for every layer: an initializer draws the same numbers each time it is called
        return {name: make() for name, make in start.items()}

    def convolution(filters):
        return layers.Conv2D(filters, 5, padding="same", activation="relu", data_format="channels_last", **initializers())

    def pooling():
        return layers.MaxPooling2D(2, padding="same", data_format="channels_last")

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            convolution(32),
            pooling(),
            convolution(64),
            pooling(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu", **initializers()),
            layers.Dense(10, **initializers()),
        ]
    )
