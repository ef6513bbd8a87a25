"""Trajectories: the weights that a real optimizer passes through on a surface.

All steps of a run are one compiled program. Of the optimizers of this package, other values of the hyperparameters run in the
same program, as they are state of the optimizer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from tuning.landscape.surfaces import Point, Surface


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """What a run passed through.

    Args:
        weights: θ before the first step and after each one, float32 of shape `(steps + 1, 2)`.
        losses: of the surface at these weights, float32 of shape `(steps + 1,)`; NaN where they are not finite.
        left_at: the first of the steps after which the weights lie outside of the surface's domain, or are not finite, until
            the end; `None` if they are inside at the end.
    """

    weights: np.ndarray
    losses: np.ndarray
    left_at: int | None

    @property
    def drawn(self) -> int:
        """How many of the weights a picture shows: all, or as far as the first that lies outside until the end."""
        if self.left_at is None:
            return len(self.weights)
        return self.left_at + bool(np.all(np.isfinite(self.weights[self.left_at])))


class Program:
    """So many steps of an optimizer on a surface, compiled once.

    Args:
        optimizer: any Keras optimizer that is not built yet.
        surface: what it descends.
        steps: how many steps a run has.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, surface: Surface, steps: int):
        self.optimizer, self.surface, self.steps = optimizer, surface, steps
        self._config = optimizer.get_config()
        self._theta = _theta(surface.start)
        optimizer.build([self._theta])
        self._fresh = {tuple(surface.start): _values(optimizer)}
        self.traces = 0
        self._path = {"tensorflow": self._on_tensorflow, "jax": self._on_jax, "torch": self._on_torch}[keras.backend.backend()]()

    def run(self, start: Point | None = None, settings: Mapping[str, float] | None = None) -> Trajectory:
        """A run from the beginning.

        Args:
            start: the first weights; by default those of the surface.
            settings: other values of hyperparameters by name, for this run.
        """
        start = self.surface.start if start is None else start
        first = np.array(start, "float32")
        self._theta.assign(first)
        for variable, value in zip(self.optimizer.variables, self._fresh_at(start), strict=True):
            variable.assign(value)
        for name, setting in (settings or {}).items():
            setattr(self.optimizer, name, setting)
        weights = np.concatenate([first[None], self._path()])
        inside = self.surface.contains(weights)
        outside_until_the_end = np.flip(np.logical_and.accumulate(np.flip(~inside)))
        left_at = int(np.argmax(outside_until_the_end)) if outside_until_the_end.any() else None
        return Trajectory(weights, self.surface.heights(weights), left_at)

    def _fresh_at(self, start: Point) -> list[np.ndarray]:
        """The state of the optimizer before the first step from there: some slots begin as the weights do."""
        if tuple(start) not in self._fresh:
            twin = type(self.optimizer).from_config(self._config)
            twin.build([_theta(start)])
            self._fresh[tuple(start)] = _values(twin)
        return self._fresh[tuple(start)]

    def _loss(self, theta, step):
        of_step = self.surface.loss_of_step
        return self.surface.loss(theta) if of_step is None else of_step(theta, step)

    def _on_tensorflow(self):
        import tensorflow as tf

        def body(step, path):
            with tf.GradientTape() as tape:
                theta = tf.convert_to_tensor(self._theta.value)
                tape.watch(theta)
                loss = self._loss(theta, step)
            self.optimizer.apply([tape.gradient(loss, theta)], [self._theta])
            return step + 1, path.write(step, self._theta.value)

        @tf.function(autograph=False)
        def all_steps():
            self.traces += 1
            path = tf.TensorArray("float32", size=self.steps, element_shape=(2,))
            _, path = tf.while_loop(lambda step, path: step < self.steps, body, (0, path))
            return path.stack()

        compiled = all_steps.get_concrete_function()  # a call would warn of tracing: the next optimizer is another program
        return lambda: compiled().numpy()

    def _on_jax(self):
        import jax

        def all_steps(theta, state):
            self.traces += 1

            def body(carry, step):
                theta, state = carry
                gradient = jax.grad(self._loss)(theta, step)
                (theta,), state = self.optimizer.stateless_apply(state, [gradient], [theta])
                return (theta, state), theta

            return jax.lax.scan(body, (theta, state), jax.numpy.arange(self.steps))[1]

        compiled = jax.jit(all_steps)
        return lambda: np.asarray(compiled(self._theta.value, [variable.value for variable in self.optimizer.variables]))

    def _on_torch(self):
        import torch

        def all_steps():
            path = []
            for step in range(self.steps):
                theta = self._theta.value.detach().clone().requires_grad_()
                with torch.enable_grad():
                    (gradient,) = torch.autograd.grad(self._loss(theta, step), theta)
                self.optimizer.apply([gradient], [self._theta])
                path.append(np.array(ops.convert_to_numpy(self._theta)))
            return np.stack(path)

        return all_steps


def _theta(start: Point) -> keras.Variable:
    return keras.Variable(np.array(start), dtype="float32", name="theta")


def _values(optimizer) -> list[np.ndarray]:
    return [np.array(ops.convert_to_numpy(variable)) for variable in optimizer.variables]


def run(
    optimizer: keras.optimizers.Optimizer, surface: Surface, start: Point | None = None, steps: int | None = None
) -> Trajectory:
    """The trajectory of any Keras optimizer that is not built yet; by default from the surface's start, with its steps."""
    return Program(optimizer, surface, surface.steps if steps is None else steps).run(start)
