"""Sharpness-aware minimization: weights whose whole neighbourhood has a low loss, rather than one point that has.

A step goes up first: along the gradient, by the distance ρ, to where the loss around the weights is about the highest. The gradient
is taken again there, on the same batch, and with this second gradient any optimizer takes its step, from where the weights were.
Two gradients, so two passes of the model in each step: an optimizer, which is handed one gradient, cannot do it, and the model's
`train_step` does.

Both passes are of the same function: the same batch, the same non-trainable state, so the same dropout masks. What is reported and
kept (loss, metrics, moving statistics) is of the first pass. The weights themselves never move to θ + e where a pass can be given
other weights (TensorFlow, JAX); on torch they are overwritten, and then restored from a copy.
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_optims import keras_seam
from keras_optims.clipping import measured
from keras_optims.dtypes import wide
from keras_optims.hyperparameter import shown, state_dtype
from keras_optims.stand_in import is_overwritten, path_of

BACKEND = keras.backend.backend()
EPSILON = 1e-12  # of the authors' code: no 0/0 where the gradient is zero


def sam(model: keras.Model, rho: float = 0.05, adaptive: bool = False) -> keras.Model:
    r"""Makes a model train by sharpness-aware minimization (SAM), with whatever optimizer it is compiled with.

    From now on each step of `fit` and `train_on_batch` is

        e = ρ g / (‖g‖ + 1e-12)          g = ∇L(θ), ‖g‖ over all trainable variables
        θ ← the optimizer's step from θ with ∇L(θ + e)

    and with `adaptive=True` (ASAM) e = ρ θ² g / (‖|θ| g‖ + 1e-12), elementwise, which does not change when a layer is made larger
    and the next one smaller by the same factor. A step costs two passes of the model, and a copy of the weights.

    It may be called before or after `compile`. Called again, it sets the new `rho` and `adaptive`, also between the steps of a `fit`
    (from a callback); a new `rho` recompiles nothing.

    Args:
        model: any `keras.Model` that has no `train_step` of its own.
        rho: ρ, the distance to go up, a number in (0, ∞). The paper looks in 0.01 to 0.5 and takes 0.05 mostly; ASAM wants about
            ten times as much, 0.5 to 2.
        adaptive: whether e is scaled by the weights.

    Returns:
        The model itself.

    Raises:
        TypeError: `model` is no `keras.Model`, or `adaptive` is no bool.
        ValueError: `rho` is no positive finite number, or the model has a `train_step` of its own.

    Conventions:
        - The norm is of all trainable variables together, as in the paper; some implementations take it by variable.
        - Of ASAM's two published forms this is that of davda54/sam, |θ| for all variables. The authors' own code (SamsungLabs/ASAM)
          takes |θ| + 0.01 for weights and 1 for biases, which it tells apart by name, as Keras's variables cannot be.
        - The ascent is by the gradient of the whole loss, regularization losses included. Decoupled weight decay is the optimizer's.
        - Under a `tf.distribute` strategy g is that of the global batch, so that several devices train as one does; the paper's
          implementation takes that of each device.

    References:
        Foret et al. 2021, algorithm 1, https://arxiv.org/abs/2010.01412; Kwon et al. 2021 (ASAM), https://arxiv.org/abs/2102.11600.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"sam(model) takes a keras.Model; received {shown(model)}.")
    rho = _checked(rho)
    if not isinstance(adaptive, bool):
        raise TypeError(f"adaptive must be True or False; received {shown(adaptive)}.")
    attributes = vars(model)
    own_step = type(model).train_step is not keras.Model.train_step
    step = getattr(attributes.get("train_step"), "__self__", None)
    if isinstance(step, TrainStep):
        step.rho = rho
        if step.adaptive == adaptive:
            return model
        step.adaptive = adaptive
    elif own_step or "train_step" in attributes:
        raise ValueError(
            f"sam(model) replaces the model's train_step, and {type(model).__name__} has one of its own, which would no longer run: "
            "take both gradients there, or give sam a model without one."
        )
    else:
        step = _STEPS[BACKEND](model, rho, adaptive)
        # Past `__setattr__`, by which Keras, TensorFlow and torch take what a model holds for a part of it, to be saved.
        attributes.update(step.methods())
    if model.train_function is not None:
        model.make_train_function(force=True)
    return model


def _checked(rho) -> float:
    """ρ as a float that is positive and finite also in the dtype that holds it."""
    is_number = isinstance(rho, numbers.Real) and not isinstance(rho, (bool, np.bool_))
    try:
        number = float(rho) if is_number else math.nan
    except OverflowError:
        number = math.inf
    with np.errstate(over="ignore", under="ignore"):
        held = np.dtype(state_dtype()).type(number)
    if not (np.isfinite(held) and held > 0):
        raise ValueError(f"rho must be a positive finite number (as {state_dtype()}); received {shown(rho)}.")
    return number


class TrainStep:
    """A model's train step by SAM.

    Args:
        model: the model.
        rho: ρ.
        adaptive: whether e is scaled by the weights.
    """

    def __init__(self, model, rho: float, adaptive: bool):
        self.model = model
        self.adaptive = adaptive
        self.rho = rho

    def methods(self) -> dict[str, Any]:
        """The methods of the model that are replaced."""
        return {"train_step": self.train_step}

    def train_step(self, data):
        """What Keras calls, once for each batch."""
        raise NotImplementedError

    def loss_scale(self):
        """What the optimizer multiplies the loss by."""
        return self.model.optimizer.scale_loss(ops.ones((), "float32"))

    def loss(self, x, y, sample_weight):
        """(loss, predictions) of the model with its variables of now."""
        y_pred = self.model(x, training=True) if keras_seam.takes_training(self.model) else self.model(x)
        return keras_seam.loss_of(self.model, x, y, y_pred, sample_weight), y_pred

    def report(self, loss, x, y, y_pred, sample_weight):
        """Updates the metrics; returns what `train_step` does."""
        keras_seam.loss_tracker(self.model).update_state(loss, sample_weight=_batch_size(x))
        return self.model.compute_metrics(x, y, y_pred, sample_weight)

    def perturbed(self, variables, values, gradients, rho, loss_scale):
        """(θ + e of each variable, whether the gradients are finite).

        Args:
            variables: the model's trainable variables.
            values: their values, θ.
            gradients: their gradients, dense or `None`, times the loss scale.
            rho: ρ, a scalar.
            loss_scale: the loss scale, a scalar.
        """
        # A variable that Keras overwrites by its gradient has none to go along.
        moved = [i for i, v in enumerate(variables) if gradients[i] is not None and not is_overwritten(v)]
        if not moved:
            return list(values), ops.ones((), "bool")
        dtype = "float64" if any(wide(variables[i].dtype) == "float64" for i in moved) else "float32"
        ascents = [ops.cast(gradients[i], dtype) for i in moved]
        sizes = [ops.abs(ops.cast(values[i], dtype)) for i in moved] if self.adaptive else []
        if self.adaptive:
            ascents = [size * ascent for size, ascent in zip(sizes, ascents, strict=True)]
        ascents, norm, shrunk_by = measured(ascents)
        distance = ops.cast(rho, dtype) / (norm + EPSILON * ops.cast(loss_scale, dtype) * shrunk_by)
        if self.adaptive:
            ascents = [size * ascent for size, ascent in zip(sizes, ascents, strict=True)]
        result = list(values)
        for i, ascent in zip(moved, ascents, strict=True):
            result[i] = ops.cast(ops.cast(values[i], dtype) + distance * ascent, values[i].dtype)
        return result, ops.isfinite(norm)

    def second(self, variables, first, gradients, finite):
        """The gradients for the optimizer: those at θ + e; one NaN with them, which a loss scale notices, if the first were not finite.

        Raises:
            ValueError: the second pass did not use a variable that the first one did.
        """
        gradients = list(gradients)
        is_marked = False
        for i, variable in enumerate(variables):
            if first[i] is None:
                continue
            if is_overwritten(variable):
                gradients[i] = first[i]
            elif gradients[i] is None:
                raise ValueError(
                    f"sam(model) cannot train {path_of(variable)!r}: its layer reads it past Keras (the backend's own variable), so "
                    "that the second pass of a step had no gradient of it."
                )
            elif not is_marked:
                gradients[i] = _marked(gradients[i], finite)
                is_marked = True
        return gradients

    def check_has_optimizer(self):
        """Raises `ValueError` if the model was compiled without one."""
        if self.model.optimizer is None:
            raise ValueError("A model that sam has made train needs an optimizer: compile(optimizer=...); received None.")


class TensorFlowStep(TrainStep):
    """On TensorFlow: the second pass is given θ + e in a `keras.StatelessScope`, in which nothing is assigned to a variable."""

    @property
    def rho(self):
        """ρ, the variable that a compiled step reads."""
        return self._rho

    @rho.setter
    def rho(self, value):
        if "_rho" in vars(self):
            self._rho.assign(value)
            return
        with self.model.distribute_strategy.scope():
            self._rho = _variable(value)

    def train_step(self, data):
        """See `TrainStep`."""
        import tensorflow as tf

        model = self.model
        self.check_has_optimizer()
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if not all(layer.built for layer in keras_seam.layers_of(model)):
            with keras.StatelessScope():  # Keras builds it in the first pass, before which its state is needed
                model(x)
        state = [(variable, tf.identity(ops.convert_to_tensor(variable))) for variable in model.non_trainable_variables]

        with tf.GradientTape() as tape:
            loss, y_pred = self.loss(x, y, sample_weight)
            scaled = model.optimizer.scale_loss(loss)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        # A replica's loss is that of its share of the batch, divided by the number of replicas.
        logs = self.report(loss * replicas if replicas > 1 else loss, x, y, y_pred, sample_weight)
        variables = model.trainable_variables
        if not variables:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
            return logs
        first = [
            tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient
            for gradient in tape.gradient(scaled, variables)
        ]
        if replicas > 1:
            first = _summed_over_replicas(first)
        values = [ops.convert_to_tensor(variable) for variable in variables]
        values, finite = self.perturbed(variables, values, first, self.rho, self.loss_scale())

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            with keras.StatelessScope([*zip(variables, values, strict=True), *state], collect_losses=True):
                loss, _ = self.loss(x, y, sample_weight)
            scaled = model.optimizer.scale_loss(loss)
        model.optimizer.apply(self.second(variables, first, tape.gradient(scaled, values), finite), variables)
        return logs


def _summed_over_replicas(gradients):
    """The gradients of the global batch, on each replica."""
    import tensorflow as tf

    dense = [gradient for gradient in gradients if gradient is not None]
    summed = iter(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, dense))
    return [None if gradient is None else next(summed) for gradient in gradients]


class _WithRho(NamedTuple):
    """A batch, and ρ with it: what a compiled step of JAX does not get as an argument is a constant."""

    data: Any
    rho: Any


class JaxStep(TrainStep):
    """On JAX, where all passes are functions of the weights."""

    def methods(self):
        """See `TrainStep`."""
        if getattr(keras.config, "is_nnx_enabled", lambda: False)():
            raise ValueError("sam(model) does not work with KERAS_NNX_ENABLED, where Keras runs the train_step of the model's class.")
        return {"train_step": self.train_step, "make_train_function": self.make_train_function}

    def make_train_function(self, force=False):
        """As of any model, with ρ at each batch."""
        model, made = self.model, self.model.train_function
        type(model).make_train_function(model, force)
        function = model.train_function
        if function is not made:
            model.train_function = lambda state, batches: function(state, map(self._with_rho, batches))

    def _with_rho(self, data):
        return _WithRho(data, np.asarray(self.rho, state_dtype()))

    def train_step(self, state, data):
        """See `TrainStep`."""
        import jax

        model = self.model
        self.check_has_optimizer()
        data, rho = data if isinstance(data, _WithRho) else self._with_rho(data)
        values, non_trainable, optimizer_state, metrics = state
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)

        def loss_and_gradients(values):
            of_values = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)
            (_, updates), gradients = of_values(
                values, non_trainable, metrics, x, y, sample_weight, training=True, optimizer_variables=optimizer_state
            )
            return updates, gradients

        (loss, y_pred, new_non_trainable, metrics_after), first = loss_and_gradients(values)
        with keras.StatelessScope(list(zip(model.optimizer.variables, optimizer_state, strict=True))):
            loss_scale = self.loss_scale()
        variables = model.trainable_variables
        perturbed, finite = self.perturbed(variables, values, first, rho, loss_scale)
        _, gradients = loss_and_gradients(perturbed)
        gradients = self.second(variables, first, gradients, finite)
        new_values, optimizer_state = model.optimizer.stateless_apply(optimizer_state, gradients, values)

        with keras.StatelessScope(list(zip(model.metrics_variables, metrics_after, strict=True))) as scope:
            logs = self.report(loss, x, y, y_pred, sample_weight)
        metrics = [scope.get_current_value(variable) for variable in model.metrics_variables]
        return logs, (new_values, new_non_trainable, optimizer_state, metrics)


class TorchStep(TrainStep):
    """On torch: the weights are θ + e for the second pass, as wrapped torch modules read them past Keras."""

    @property
    def rho(self):
        """ρ, the variable that a compiled step reads."""
        return self._rho

    @rho.setter
    def rho(self, value):
        if "_rho" in vars(self):
            self._rho.assign(value)
        else:
            self._rho = _variable(value)

    def train_step(self, data):
        """See `TrainStep`."""
        model = self.model
        self.check_has_optimizer()
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        state = self._state()
        before = [tensor.clone() for tensor in state]
        loss, y_pred = self.loss(x, y, sample_weight)
        logs = self.report(loss, x, y, y_pred, sample_weight)
        variables = model.trainable_variables
        if not variables:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
            return logs
        first = self._gradients(loss, variables)

        weights = [variable.value.detach() for variable in variables]
        values, finite = self.perturbed(variables, weights, first, self.rho.value.detach(), self.loss_scale())
        state, metrics = self._state(), [variable.value.detach() for variable in model.metrics_variables]
        kept = [*weights, *state, *metrics]
        copies = [tensor.clone() for tensor in kept]
        try:
            _overwrite([*weights, *state], [*values, *before])
            loss, _ = self.loss(x, y, sample_weight)
            gradients = self._gradients(loss, variables)
        finally:
            _overwrite(kept, copies)
        self._apply(self.second(variables, first, gradients, finite), variables)
        return logs

    def _state(self):
        """All that is not trained: Keras's variables, and the buffers of wrapped torch modules."""
        buffers = {id(buffer): buffer for layer in keras_seam.layers_of(self.model) for buffer in layer.buffers()}
        return [*(variable.value.detach() for variable in self.model.non_trainable_variables), *buffers.values()]

    def _gradients(self, loss, variables):
        for variable in variables:
            variable.value.grad = None
        self.model.optimizer.scale_loss(loss).backward()
        gradients = [variable.value.grad for variable in variables]
        return [gradient.to_dense() if gradient is not None and gradient.is_sparse else gradient for gradient in gradients]

    def _apply(self, gradients, variables):
        import torch

        with torch.no_grad():
            self.model.optimizer.apply(gradients, variables)


def _overwrite(tensors, values):
    """Sets torch tensors, bit by bit."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def _variable(value):
    """A scalar that a compiled step reads."""
    return keras.Variable(
        np.asarray(value, state_dtype()), dtype=state_dtype(), trainable=False, aggregation="only_first_replica", name="rho"
    )


def _batch_size(x):
    first = next(part for part in keras.tree.flatten(x) if part is not None)
    return ops.shape(first)[0]


def _marked(gradient, finite):
    """The gradient, or NaN in its place."""
    if hasattr(gradient, "values") and hasattr(gradient, "indices") and BACKEND == "tensorflow":
        return type(gradient)(_marked(gradient.values, finite), gradient.indices, gradient.dense_shape)
    return ops.where(finite, gradient, ops.cast(math.nan, gradient.dtype))


_STEPS: dict[str, Any] = {"tensorflow": TensorFlowStep, "jax": JaxStep, "torch": TorchStep}
