"""The surfaces: losses of two weights, each with what it is there to show.

A loss takes weights of shape `(..., 2)`, a tensor, and gives the loss of each, of shape `(...)`, in `keras.ops`; gradients are
those of the backend's automatic differentiation.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from tuning.names import SURFACES, check_name

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Surface:
    """A loss over the plane of two weights.

    Args:
        name: as the command line knows it.
        title: what a picture is headed with.
        loss: weights θ of shape `(..., 2)` -> losses of shape `(...)`.
        domain: the part of the plane that is drawn, ((lowest, highest) θ₁, (lowest, highest) θ₂).
        start: where trajectories begin.
        minima: the local minima in the domain.
        learning_rates: η of each of our optimizers by name, where nobody gives another one.
        logarithmic: whether the loss is drawn on a logarithmic scale; its lowest value is 0 then.
        loss_of_step: (θ of shape `(2,)`, number of the step, 0 at the first) -> the loss whose gradient this step sees, where
            that is another one at each step.
        steps: how many make a picture.
        formula: of the loss, to be read; empty where it is too long.
    """

    name: str
    title: str
    loss: Callable[[Any], Any]
    domain: tuple[Point, Point]
    start: Point
    minima: tuple[Point, ...]
    learning_rates: Mapping[str, float]
    logarithmic: bool = False
    loss_of_step: Callable[[Any, Any], Any] | None = None
    steps: int = 100
    formula: str = ""

    @property
    def heading(self) -> str:
        """Title and formula."""
        return f"{self.title}: {self.formula}" if self.formula else self.title

    def heights(self, weights: np.ndarray) -> np.ndarray:
        """The losses at weights of shape `(..., 2)`, as float32 of shape `(...)`; NaN where they are not finite."""
        weights = np.asarray(weights, "float32")
        points = weights.reshape(-1, 2)
        with np.errstate(all="ignore"):  # far outside of the domain, on backends that compute with NumPy
            parts = [ops.convert_to_numpy(self.loss(ops.convert_to_tensor(part))) for part in _parts(points)]
        losses = np.concatenate(parts).reshape(weights.shape[:-1])
        return np.where(np.isfinite(losses), losses, np.nan).astype("float32")

    def map(self, points: int = 101) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """θ₁ of shape `(points,)`, θ₂ of shape `(points,)` and the losses of shape `(points, points)`, one row for each θ₂."""
        first, second = (np.linspace(low, high, points) for low, high in self.domain)
        return first, second, self.heights(np.stack(np.meshgrid(first, second), axis=-1))

    def contains(self, weights: np.ndarray) -> np.ndarray:
        """Whether weights of shape `(..., 2)` lie in the domain."""
        low, high = np.transpose(self.domain)
        return np.all((weights >= low) & (weights <= high), axis=-1)


def _parts(points: np.ndarray, size: int = 1024) -> list[np.ndarray]:
    """So few points at a time that a net has room for all of them."""
    return [points[i : i + size] for i in range(0, len(points), size)]


def surface(name: str) -> Surface:
    """The surface of this name, or `SearchError`."""
    check_name("surface", name, SURFACES)
    return _MAKERS[name]()


def _ravine() -> Surface:
    return Surface(
        name="ravine",
        title="Ravine, 50 times as steep along θ₂",
        formula="L = ½(θ₁² + 50 θ₂²)",
        loss=lambda theta: 0.5 * (theta[..., 0] ** 2 + 50 * theta[..., 1] ** 2),
        domain=((-5.0, 2.0), (-1.5, 1.5)),
        start=(-4.5, 1.0),
        minima=((0.0, 0.0),),
        learning_rates={"gradient_descent": 0.036, "momentum": 0.01, "adagrad": 0.5, "rmsprop": 0.1, "adam": 0.2},
        logarithmic=True,
    )


def _plateau() -> Surface:
    def loss(theta):
        slope = ops.sigmoid(-5 * (theta[..., 0] + 3))
        return slope + 1 - ops.exp(-((theta[..., 0] - 2) ** 2) - theta[..., 1] ** 2)

    return Surface(
        name="plateau",
        title="Plateau between a slope and a hollow",
        formula="L = σ(−5(θ₁ + 3)) + 1 − exp(−(θ₁ − 2)² − θ₂²)",
        loss=loss,
        domain=((-4.5, 4.5), (-2.0, 2.0)),
        start=(-3.5, 0.3),
        minima=((2.0, 0.0),),
        learning_rates={"gradient_descent": 0.1, "momentum": 0.1, "adagrad": 0.2, "rmsprop": 0.03, "adam": 0.05},
        steps=200,
    )


def _two_minima() -> Surface:
    def loss(theta):
        return (theta[..., 0] ** 2 - 1) ** 2 - 0.3 * theta[..., 0] + theta[..., 1] ** 2

    return Surface(
        name="two_minima",
        title="Two minima, the left one shallow",
        formula="L = (θ₁² − 1)² − 0.3 θ₁ + θ₂²",
        loss=loss,
        domain=((-1.9, 1.9), (-1.2, 1.2)),
        start=(-1.7, 0.8),
        minima=tuple((float(root), 0.0) for root in _roots_of_the_two_minima()),
        learning_rates={"gradient_descent": 0.02, "momentum": 0.02, "adagrad": 0.2, "rmsprop": 0.02, "adam": 0.1},
    )


def _roots_of_the_two_minima() -> np.ndarray:
    """Where 4θ₁³ − 4θ₁ − 0.3 = 0 and the curvature is positive."""
    roots = np.roots([4, 0, -4, -0.3]).real
    return np.sort(roots[12 * roots**2 - 4 > 0])


def _saddle() -> Surface:
    return Surface(
        name="saddle",
        title="Saddle at (0, 0) between two minima",
        formula="L = ½θ₁² − ½θ₂² + ¼θ₂⁴",
        loss=lambda theta: 0.5 * theta[..., 0] ** 2 - 0.5 * theta[..., 1] ** 2 + 0.25 * theta[..., 1] ** 4,
        domain=((-1.8, 1.8), (-1.5, 1.5)),
        start=(-1.5, 0.001),
        minima=((0.0, -1.0), (0.0, 1.0)),
        learning_rates={"gradient_descent": 0.1, "momentum": 0.02, "adagrad": 0.2, "rmsprop": 0.02, "adam": 0.05},
    )


def _rosenbrock() -> Surface:
    return Surface(
        name="rosenbrock",
        title="Rosenbrock's valley",
        formula="L = (1 − θ₁)² + 100 (θ₂ − θ₁²)²",
        loss=lambda theta: (1 - theta[..., 0]) ** 2 + 100 * (theta[..., 1] - theta[..., 0] ** 2) ** 2,
        domain=((-2.0, 2.0), (-1.0, 3.0)),
        start=(-1.5, 2.5),
        minima=((1.0, 1.0),),
        learning_rates={"gradient_descent": 0.0005, "momentum": 0.0004, "adagrad": 0.2, "rmsprop": 0.01, "adam": 0.1},
        logarithmic=True,
        steps=500,
    )


def _beale() -> Surface:
    def loss(theta):
        x, y = theta[..., 0], theta[..., 1]
        return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2

    return Surface(
        name="beale",
        title="Beale's function",
        formula="L = (1.5 − θ₁ + θ₁θ₂)² + (2.25 − θ₁ + θ₁θ₂²)² + (2.625 − θ₁ + θ₁θ₂³)²",
        loss=loss,
        domain=((-1.0, 4.5), (-2.0, 2.0)),
        start=(1.0, 1.5),
        minima=((3.0, 0.5),),
        learning_rates={"gradient_descent": 0.01, "momentum": 0.005, "adagrad": 0.5, "rmsprop": 0.02, "adam": 0.1},
        logarithmic=True,
        steps=300,
    )


# One sample in ten has the second feature; the labels are such that the loss is lowest at (ln 3, −2 ln 3).
_SPARSE_SAMPLES = 40


def sparse_samples() -> tuple[np.ndarray, np.ndarray]:
    """Features of shape `(40, 2)`, 0 or 1, and labels of shape `(40,)`, −1 or 1, in the order in which steps use them."""
    features = np.ones((_SPARSE_SAMPLES, 2), "float32")
    features[4:, 1] = 0
    labels = np.ones(_SPARSE_SAMPLES, "float32")
    labels[1:4] = -1  # of those with the second feature, 3 in 4
    labels[4:13] = -1  # of the others, 1 in 4
    order = np.random.default_rng(0).permutation(_SPARSE_SAMPLES)
    return features[order], labels[order]


def _sparse() -> Surface:
    features, labels = (ops.convert_to_tensor(of_samples) for of_samples in sparse_samples())

    def loss(theta):
        scores = theta[..., :1] * features[:, 0] + theta[..., 1:] * features[:, 1]
        return ops.mean(ops.softplus(-labels * scores), axis=-1)

    def loss_of_step(theta, step):
        x, y = (ops.take(of_samples, step % _SPARSE_SAMPLES, axis=0) for of_samples in (features, labels))
        return ops.softplus(-y * ops.sum(theta * x))

    return Surface(
        name="sparse",
        title="Logistic loss; θ₂'s feature is in 1 sample of 10, and each step sees one sample",
        loss=loss,
        domain=((-1.0, 2.5), (-3.5, 1.0)),
        start=(-0.5, 0.5),
        minima=((float(np.log(3)), float(-2 * np.log(3))),),
        learning_rates={"gradient_descent": 0.1, "momentum": 0.01, "adagrad": 0.4, "rmsprop": 0.02, "adam": 0.03},
        loss_of_step=loss_of_step,
        steps=400,
    )


@dataclasses.dataclass(frozen=True)
class Plane:
    """A plane in the space of a net's weights, which holds the trained weights: `trained + θ₁·first + θ₂·second`.

    Args:
        model: the net.
        inputs, labels: what its loss is the mean over.
        trained, first, second: one array for each of the model's weights.
    """

    model: keras.Model
    inputs: np.ndarray
    labels: np.ndarray
    trained: list[np.ndarray]
    first: list[np.ndarray]
    second: list[np.ndarray]

    def weights(self, theta: Point) -> list[np.ndarray]:
        """All weights of the net at a point of the plane."""
        return [w + theta[0] * u + theta[1] * v for w, u, v in zip(self.trained, self.first, self.second, strict=True)]


@functools.cache
def net_plane() -> Plane:
    """A 64-16-10 net trained on 300 of scikit-learn's digits, and two random directions, normalized filter by filter.

    The directions are those of Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets",
    https://arxiv.org/abs/1712.09913: drawn from a normal distribution, and the part of each neuron's kernel scaled to the norm of
    the neuron's own. Biases have none.
    """
    from sklearn.datasets import load_digits

    import keras_optims

    inputs, labels = load_digits(return_X_y=True)
    inputs, labels = (inputs[:300] / 16).astype("float32"), labels[:300].astype("int32")
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(10)])
    rng = np.random.default_rng(0)  # of NumPy, so that the net is the same on all backends
    shapes = [tuple(variable.shape) for variable in model.weights]
    model.set_weights([rng.normal(0, shape[0] ** -0.5, shape) if len(shape) == 2 else np.zeros(shape) for shape in shapes])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras_optims.Adam(0.05), loss)
    model.fit(inputs, labels, batch_size=len(inputs), epochs=60, shuffle=False, verbose=0)
    trained = model.get_weights()
    directions = [[_like_a_filter(rng.normal(size=w.shape), w) for w in trained] for _ in range(2)]
    return Plane(model, inputs, labels, trained, *directions)


def _like_a_filter(direction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Each column of a kernel, which is one neuron's, scaled to the norm of the weights' own; nothing for a bias."""
    if weights.ndim < 2:
        return np.zeros_like(weights)
    scale = np.linalg.norm(weights, axis=0) / np.linalg.norm(direction, axis=0)
    return (direction * scale).astype(weights.dtype)


def _net() -> Surface:
    plane = net_plane()
    (w1, b1, w2, b2), (u1, _, u2, _), (v1, _, v2, _) = (
        [ops.convert_to_tensor(weights) for weights in at] for at in (plane.trained, plane.first, plane.second)
    )
    xw, xu, xv = (ops.matmul(ops.convert_to_tensor(plane.inputs), weights) for weights in (w1, u1, v1))
    one_hot = ops.convert_to_tensor(np.eye(10, dtype="float32")[plane.labels])

    def loss(theta):
        x, y = theta[..., :1, None], theta[..., 1:, None]  # with an axis for the samples, and one for the neurons
        hidden = ops.tanh(xw + x * xu + y * xv + b1)  # inputs·(W + θ₁·U + θ₂·V) + b
        scores = ops.matmul(hidden, w2 + x * u2 + y * v2) + b2
        return ops.mean(ops.logsumexp(scores, axis=-1) - ops.sum(scores * one_hot, axis=-1), axis=-1)

    return Surface(
        name="net",
        title="Loss of a 64-16-10 net on digits, in a plane of two random directions through its trained weights",
        loss=loss,
        domain=((-1.5, 1.5), (-1.5, 1.5)),
        start=(-1.2, 1.0),
        minima=(),
        learning_rates={"gradient_descent": 0.05, "momentum": 0.01, "adagrad": 0.2, "rmsprop": 0.02, "adam": 0.05},
    )


_MAKERS: dict[str, Callable[[], Surface]] = {
    "ravine": _ravine,
    "plateau": _plateau,
    "two_minima": _two_minima,
    "saddle": _saddle,
    "rosenbrock": _rosenbrock,
    "beale": _beale,
    "sparse": _sparse,
    "net": _net,
}
