"""The same gradients for ours and for another library's optimizer, and how far apart the weights end."""

import keras
import numpy as np
import torch

SHAPES = {"matrix": (12, 5), "vector": (5,), "kernel": (3, 3, 4, 6), "scalar": ()}
STEPS = 100
TOLERANCE = 1e-5  # of the way gone


def starts(shapes=SHAPES, seed=0):
    """The weights at the start, one float32 array for each shape."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0.5, 1.0, size=shape).astype("float32") for shape in shapes.values()]


def gradients(shapes=SHAPES, steps=STEPS, seed=1):
    """For each step the gradients of all weights: of mixed sign, unlike sizes, drifting over the steps."""
    rng = np.random.default_rng(seed)
    sizes = [10.0 ** rng.uniform(-1, 1, size=shape) for shape in shapes.values()]
    return [
        [(rng.normal(0.3, 1, size=size.shape) * size * 10.0 ** np.sin(step / 7)).astype("float32") for size in sizes]
        for step in range(steps)
    ]


def ours(optimizer, weights, steps):
    """The weights after the last step."""
    variables = [keras.Variable(weight, name=f"v{i}") for i, weight in enumerate(weights)]
    for of_step in steps:
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in of_step], variables)
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def torchs(make, weights, steps):
    """The weights after the last step of a `torch.optim.Optimizer`, which `make` makes for the parameters."""
    parameters = [torch.nn.Parameter(torch.tensor(weight)) for weight in weights]
    optimizer = make(parameters)
    for of_step in steps:
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    return [parameter.detach().numpy() for parameter in parameters]


def optaxs(transformation, weights, steps):
    """The weights after the last step of a transformation of optax."""
    import jax.numpy as jnp
    import optax

    parameters = [jnp.asarray(weight) for weight in weights]
    state = transformation.init(parameters)
    for of_step in steps:
        updates, state = transformation.update([jnp.asarray(gradient) for gradient in of_step], state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return [np.asarray(parameter) for parameter in parameters]


def distance(found, expected, start):
    """The largest distance of a weight, as a share of the way that the farthest weight of its variable has gone."""
    apart = 0.0
    for one, other, first in zip(found, expected, start, strict=True):
        way = np.max(np.abs(other.astype(np.float64) - first), initial=1e-30)
        apart = max(apart, float(np.max(np.abs(one.astype(np.float64) - other), initial=0.0) / way))
    return apart
