"""CIFAR-10 (60,000 colour images of 32x32): a small convolutional net, DeepOBS's 3c3d, and a residual net."""

import functools

import keras
from keras import ops

from tuning.problems.axes import NET_3C3D, RESNET, SMALL_CNN
from tuning.problems.datasets import load_cifar10
from tuning.problems.images import image_problem, parts, small_cnn
from tuning.problems.layers import dropped
from tuning.problems.problem import Data, Problem


def cifar10_cnn(data_dir=None) -> Problem:
    """CIFAR-10 and the net of `mnist_cnn`: 16,618 weights, no augmentation, batch size 64.

    An epoch costs a fraction of one of `cifar10_3c3d`: for searches on a laptop, not for high accuracies.
    """
    model = functools.partial(small_cnn, (32, 32, 3))
    return image_problem("cifar10_cnn", load_cifar10, data_dir, model, epochs=5, axes=SMALL_CNN, batch_size=64)


def cifar10_3c3d(data_dir=None) -> Problem:
    """CIFAR-10 and the 3c3d net of DeepOBS (Schneider, Balles and Hennig, ICLR 2019).

    The same as there: convolutions with 64 filters of 5x5 and 96 of 3x3 ("valid" padding) and 128 of 3x3 ("same"), each
    followed by 3x3 max pooling with stride 2; dense layers of 512, 256 and 10 units; ReLU; Glorot-normal convolutions,
    Glorot-uniform dense layers, zero biases; the loss has L2 regularization of all weights but the biases,
    0.002·‖w‖²/2; batch size 128, a short last batch left out; augmentation as in `Augmentation`; every image standardized;
    10,000 validation images out of the training set.
    Different: which 10,000 images they are is the same in every run; an epoch is shuffled entirely, not through a buffer of
    20,000; 3 epochs by default, where DeepOBS's published results train for 100. The reported loss contains the L2 term.
    """
    return Problem(
        name="cifar10_3c3d",
        data=lambda: Data(*parts(load_cifar10, data_dir)),
        model=_3c3d,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        batch_size=128,
        epochs=3,
        axes=NET_3C3D,
        searched=(),
    )


def _3c3d(units: int = 512, activation: str = "relu", dropout: float = 0.0) -> keras.Model:
    """`units`: of the first dense layer, of which the second has half; `dropout`: after both."""
    layers = keras.layers

    def convolution(filters, size, padding):
        return layers.Conv2D(
            filters,
            size,
            padding=padding,
            activation=activation,
            kernel_initializer=keras.initializers.GlorotNormal(),
            kernel_regularizer=keras.regularizers.L2(0.001),  # Keras has no ½ in its L2
            data_format="channels_last",
        )

    def pooling():
        return layers.MaxPooling2D(3, 2, padding="same", data_format="channels_last")

    def dense(units, activation=None):
        return layers.Dense(units, activation=activation, kernel_regularizer=keras.regularizers.L2(0.001))

    return keras.Sequential(
        [
            keras.Input((32, 32, 3), dtype="uint8"),
            Augmentation(),
            convolution(64, 5, "valid"),
            pooling(),
            convolution(96, 3, "valid"),
            pooling(),
            convolution(128, 3, "same"),
            pooling(),
            layers.Flatten(),
            dense(units, activation),
            *dropped(dropout),
            dense(units // 2, activation),
            *dropped(dropout),
            dense(10),
        ]
    )


def cifar10_resnet20(data_dir=None) -> Problem:
    """CIFAR-10 and the residual net of 20 layers of He et al. (CVPR 2016, section 4.2): 0.27 million weights.

    It has 6·`blocks` + 2 layers. The same as there: 3 stages of `blocks` blocks of two convolutions of 3x3, with 16, 32 and 64
    filters, each with batch normalization and no bias; shortcuts without weights, which between stages leave out every other
    pixel and add channels of zeros; global pooling; He-normal convolutions; batch size 128; crops of images padded by 4 pixels,
    and mirror images.

    Different: every image is standardized by itself, in the place of subtracting the mean of all images from each pixel; weight
    decay is the optimizer's (there 0.0001, as L2); a short last batch is left out; 10,000 validation images out of the training
    set, which there trained as well; 3 epochs by default, where the paper trains for 164 with the learning rate 0.1 of momentum
    divided by 10 after 82 and 123.
    """
    return Problem(
        name="cifar10_resnet20",
        data=lambda: Data(*parts(load_cifar10, data_dir)),
        model=_resnet,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        batch_size=128,
        epochs=3,
        axes=RESNET,
        searched=(),
    )


def _resnet(blocks: int = 3, filters: int = 16) -> keras.Model:
    """`blocks`: of each of the three stages; `filters`: of the first, the others have twice and four times as many."""
    layers = keras.layers

    def convolution(x, filters, strides=1):
        kernel = {"kernel_initializer": keras.initializers.HeNormal(), "use_bias": False, "data_format": "channels_last"}
        x = layers.Conv2D(filters, 3, strides, padding="same", **kernel)(x)
        return layers.BatchNormalization(momentum=0.9, axis=-1)(x)

    def block(x, filters, strides):
        inner = layers.ReLU()(convolution(x, filters, strides))
        inner = convolution(inner, filters)
        if strides > 1:
            x = layers.AveragePooling2D(1, strides, data_format="channels_last")(x)
            more = filters - x.shape[-1]
            x = ops.pad(x, [(0, 0), (0, 0), (0, 0), (more // 2, more - more // 2)])
        return layers.ReLU()(x + inner)

    images = keras.Input((32, 32, 3), dtype="uint8")
    x = layers.ReLU()(convolution(Augmentation(padding=4, colours=False)(images), filters))
    for stage in range(3):
        for number in range(blocks):
            x = block(x, filters * 2**stage, 2 if stage > 0 and number == 0 else 1)
    x = layers.GlobalAveragePooling2D(data_format="channels_last")(x)
    return keras.Model(images, layers.Dense(10, kernel_initializer=keras.initializers.HeNormal())(x))


@keras.saving.register_keras_serializable(package="tuning")
class Augmentation(keras.layers.Layer):
    """Random crops, mirroring, saturation and contrast when training; then each image gets mean 0 and variance 1.

    Images of shape (batch, 32, 32, 3) with values in 0..255 come out as float32 of the same shape. When training, each image is
    padded with 2 black pixels on every side and cropped to its size again at random, mirrored half of the time, its
    saturation multiplied by a factor in [0.5, 1.5] and its contrast (the distance from the mean of each channel) by one in
    [0.2, 1.8]. DeepOBS also shifts the brightness, which the standardization takes back.

    Args:
        padding: black pixels on every side.
        colours: whether saturation and contrast are changed.
    """

    def __init__(self, padding: int = 2, colours: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.padding, self.colours = padding, colours
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, images, training=False):
        """Augments if `training`, and standardizes."""
        images = ops.cast(images, "float32")
        if training:
            images = self._distort(images)
        axes = (1, 2, 3)
        count = images.shape[1] * images.shape[2] * images.shape[3]
        mean = ops.mean(images, axis=axes, keepdims=True)
        # An image of one colour is not divided by 0 but by the spread of noise of variance 1.
        spread = ops.maximum(ops.std(images, axis=axes, keepdims=True), count**-0.5)
        return (images - mean) / spread

    def compute_output_shape(self, input_shape):
        """The shape does not change."""
        return input_shape

    def get_config(self):
        """With `padding` and `colours`."""
        return {**super().get_config(), "padding": self.padding, "colours": self.colours}

    def _distort(self, images):
        batch, height, width = ops.shape(images)[0], images.shape[1], images.shape[2]
        draw = functools.partial(keras.random.uniform, seed=self.seed_generator)

        # A crop and a mirror image choose rows and columns; as products with 0-1 matrices they need no gather, and a row or
        # column beyond the edge is one of zeros.
        def chosen(size, mirrored=None):
            shift = ops.floor(draw((batch, 1, 1), 0.0, 2.0 * self.padding + 1)) - self.padding
            target = ops.reshape(ops.arange(size, dtype="float32"), (1, size, 1))
            if mirrored is not None:
                target = ops.where(mirrored, size - 1 - target, target)
            source = ops.reshape(ops.arange(size, dtype="float32"), (1, 1, size))
            return ops.cast(ops.equal(source, target + shift), "float32")

        mirrored = draw((batch, 1, 1)) < 0.5
        images = ops.einsum("bih,bhwc->biwc", chosen(height), images)
        images = ops.einsum("bjw,biwc->bijc", chosen(width, mirrored), images)

        if not self.colours:
            return images

        # With hue and value held, the distance of a channel from the largest one is proportional to the saturation.
        largest = ops.max(images, axis=-1, keepdims=True)
        smallest = ops.min(images, axis=-1, keepdims=True)
        saturation = (largest - smallest) / ops.maximum(largest, 1e-6)
        factor = ops.minimum(draw((batch, 1, 1, 1), 0.5, 1.5), 1 / ops.maximum(saturation, 1e-6))  # the saturation is at most 1
        images = largest - (largest - images) * factor

        mean = ops.mean(images, axis=(1, 2), keepdims=True)
        return mean + (images - mean) * draw((batch, 1, 1, 1), 0.2, 1.8)
