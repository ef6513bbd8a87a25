"""Sharpness-aware minimization: weights whose whole neighbourhood has a low loss, rather than one point that has.

A step goes up first: along the gradient, by the distance ρ, to where the loss around the weights is about the highest. The
gradient is taken again there, on the same batch, and with this second one any optimizer takes its step, from where the weights
were. Two gradients are two passes of the model, and an optimizer is handed one: so it is the model's `train_step` that does it.

Both passes are of one function: the same batch and the same state, so the same dropout masks. They run in a
`keras.StatelessScope`, in which a variable that is assigned keeps its value; what the first pass has assigned (moving statistics,
seeds) is written when both are over, and what the second one has is dropped. On TensorFlow and JAX the second pass is given other
weights. On torch, where wrapped modules read their parameters past Keras, the parameters' memory is exchanged meanwhile.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import warnings
from typing import Any, NamedTuple

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

    and with `adaptive=True` (ASAM) e = ρ θ² g / (‖|θ| g‖ + 1e-12), elementwise, in proportion to each weight. A step costs two
    passes of the model, and a copy of the weights. Loss, metrics and moving statistics are those of the first pass.

    It may be called before or after `compile`. Called again, it sets the new `rho` and `adaptive`, also between the steps of a
    `fit` (from a callback); a new `rho` recompiles nothing.

    How a model trains is no part of it: one that is loaded, cloned, copied or unpickled trains plainly until `sam` is called on
    it. Within another model it has no effect: call `sam` on the model that is fitted.

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
        - Of ASAM's two published forms this is that of davda54/sam, |θ| for all variables. The authors' own code
          (SamsungLabs/ASAM) takes |θ| + 0.01 for weights and 1 for biases, which it tells apart by name, as Keras's variables
          cannot be.
        - The ascent is by the gradient of the whole loss, regularization losses included. Decoupled weight decay is the
          optimizer's.
        - With `gradient_accumulation_steps` each batch goes up by its own gradient, and the second ones are accumulated (the
          paper's m-sharpness): it is not the step of one large batch.
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
    step = getattr(attributes.get("train_step"), "__self__", None)
    if isinstance(step, TrainStep):
        step.rho = rho
        if step.adaptive == adaptive:
            return model
        step.adaptive = adaptive
    elif type(model).train_step is not keras.Model.train_step or "train_step" in attributes:
        raise ValueError(
            f"sam(model) replaces the model's train_step, and {type(model).__name__} has one of its own, which would no longer "
            "run: take both gradients there, or give sam a model without one."
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

    def train_step(self, *arguments):
        """What Keras calls, once for each batch."""
        raise NotImplementedError

    def check_has_optimizer(self):
        """Raises `ValueError` if the model was compiled without one."""
        if self.model.optimizer is None:
            raise ValueError("A model that sam has made train needs an optimizer: compile(optimizer=...); received None.")

    def loss_scale(self):
        """What the optimizer multiplies the loss by."""
        return self.model.optimizer.scale_loss(ops.ones((), "float32"))

    def report(self, loss, x, y, y_pred, sample_weight):
        """Updates the metrics; returns what `train_step` does."""
        batch_size = ops.shape(next(part for part in keras.tree.flatten(x) if part is not None))[0]
        keras_seam.loss_tracker(self.model).update_state(loss, sample_weight=batch_size)
        return self.model.compute_metrics(x, y, y_pred, sample_weight)

    def perturbed(self, variables, values, gradients, rho):
        """θ + e of each variable; with a NaN, of which the second gradients become NaN, too, if the gradients are not finite.

        Args:
            variables: the model's trainable variables.
            values: their values, θ.
            gradients: their gradients, dense or `None`, times the loss scale.
            rho: ρ, a scalar.
        """
        # A variable that Keras overwrites by its gradient has none to go along.
        moved = [i for i, v in enumerate(variables) if gradients[i] is not None and not is_overwritten(v)]
        if not moved:
            return list(values)
        dtype = "float64" if any(wide(variables[i].dtype) == "float64" for i in moved) else "float32"
        ascents = [ops.cast(gradients[i], dtype) for i in moved]
        sizes = [ops.abs(ops.cast(values[i], dtype)) for i in moved] if self.adaptive else []
        if self.adaptive:
            ascents = [size * ascent for size, ascent in zip(sizes, ascents, strict=True)]
        ascents, norm, shrunk_by = measured(ascents)
        distance = ops.cast(rho, dtype) / (norm + EPSILON * ops.cast(self.loss_scale(), dtype) * shrunk_by)
        if self.adaptive:
            ascents = [size * ascent for size, ascent in zip(sizes, ascents, strict=True)]
        result = list(values)
        for i, ascent in zip(moved, ascents, strict=True):
            result[i] = ops.cast(ops.cast(values[i], dtype) + distance * ascent, values[i].dtype)
        return result

    def for_optimizer(self, variables, first, second):
        """The gradients that the optimizer takes: those at θ + e, and at θ of what Keras overwrites by them."""
        return [one if is_overwritten(variable) else other for variable, one, other in zip(variables, first, second, strict=True)]


# -- JAX -------------------------------------------------------------------------------------------


class _WithRho(NamedTuple):
    """A batch, and ρ with it: what a compiled step of JAX does not get as an argument is a constant."""

    data: Any
    rho: Any


class JaxStep(TrainStep):
    """On JAX, where all passes are functions of the weights."""

    def methods(self):
        """See `TrainStep`."""
        if getattr(keras.config, "is_nnx_enabled", lambda: False)():
            raise ValueError(
                "sam(model) does not work with KERAS_NNX_ENABLED: Keras runs the train_step of the model's class there."
            )
        return {"train_step": self.train_step, "make_train_function": self.make_train_function}

    def make_train_function(self, force=False):
        """As of any model, with ρ at each batch."""
        model, methods = self.model, vars(self.model)
        if model.train_function is not None and not force:
            return
        replaced = methods["train_step"]
        methods["train_step"] = lambda state, data: self.train_step(state, data)  # another function: JAX traces one only once
        try:
            type(model).make_train_function(model, force)
        finally:
            methods["train_step"] = replaced
        function = model.train_function
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

        def updates_and_gradients(values):
            of_values = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)
            (_, updates), gradients = of_values(
                values, non_trainable, metrics, x, y, sample_weight, training=True, optimizer_variables=optimizer_state
            )
            return updates, gradients

        (loss, y_pred, new_non_trainable, metrics_after), first = updates_and_gradients(values)
        variables = model.trainable_variables
        with keras.StatelessScope(list(zip(model.optimizer.variables, optimizer_state, strict=True))):
            perturbed = self.perturbed(variables, values, first, rho)
        _, second = updates_and_gradients(perturbed)
        gradients = self.for_optimizer(variables, first, second)
        new_values, optimizer_state = model.optimizer.stateless_apply(optimizer_state, gradients, values)

        with keras.StatelessScope(list(zip(model.metrics_variables, metrics_after, strict=True))) as scope:
            logs = self.report(loss, x, y, y_pred, sample_weight)
        metrics = [scope.get_current_value(variable) for variable in model.metrics_variables]
        return logs, (new_values, new_non_trainable, optimizer_state, metrics)


# -- TensorFlow and torch --------------------------------------------------------------------------


class Pass(keras.StatelessScope):
    """A pass of the model: nothing is assigned to a variable before `commit`.

    Args:
        weights: (variable, its value in this pass).
    """

    def __init__(self, weights):
        super().__init__(weights, collect_losses=True)
        self._assigned: dict[int, Any] = {}

    def add_update(self, update):
        """What `assign` calls."""
        super().add_update(update)
        variable, _ = update
        self._assigned[id(variable)] = variable

    def commit(self):
        """Assigns what was to be assigned."""
        for variable in self._assigned.values():
            variable.assign(self.get_current_value(variable))


class StatefulStep(TrainStep):
    """On a backend where a step assigns to the variables."""

    _rho: Any = None
    _looked_at = 0

    @property
    def rho(self):
        """ρ, a variable that a compiled step reads."""
        return self._rho

    @rho.setter
    def rho(self, value):
        value = np.asarray(value, state_dtype())
        if self._rho is None:
            with self.scope():
                self._rho = keras.Variable(
                    value, dtype=value.dtype.name, trainable=False, aggregation="only_first_replica", name="rho"
                )
        else:
            self._rho.assign(value)

    def scope(self):
        """Where variables are made."""
        return contextlib.nullcontext()

    def train_step(self, data):
        """See `TrainStep`."""
        model = self.model
        self.check_has_optimizer()
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self._build(x)
        variables = model.trainable_variables
        values = self.values(variables)
        (loss, y_pred), first, one_pass = self.first_pass(variables, values, x, y, sample_weight)
        if variables:
            second = self.second_pass(variables, self.perturbed(variables, values, first, self.rho), x, y, sample_weight)
        one_pass.commit()
        logs = self.report(loss, x, y, y_pred, sample_weight)
        if variables:
            self.apply(self.for_optimizer(variables, first, second), variables)
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return logs

    def _build(self, x):
        # Keras builds some models in their first pass, and a variable that is made in a scope has no value there.
        layers = keras_seam.layers_of(self.model)
        if len(layers) == self._looked_at:  # some layers never are built
            return
        if not all(layer.built for layer in layers):
            with keras.StatelessScope():
                self.model(x)
        self._looked_at = len(keras_seam.layers_of(self.model))

    def loss(self, x, y, sample_weight):
        """(loss, predictions) of the model."""
        y_pred = self.model(x, training=True) if keras_seam.takes_training(self.model) else self.model(x)
        return keras_seam.loss_of(self.model, x, y, y_pred, sample_weight), y_pred

    def values(self, variables):
        """θ, tensors."""
        raise NotImplementedError

    def first_pass(self, variables, values, x, y, sample_weight):
        """((loss, predictions), gradients at θ, the `Pass`)."""
        raise NotImplementedError

    def second_pass(self, variables, values, x, y, sample_weight):
        """The gradients where the variables have these values."""
        raise NotImplementedError

    def apply(self, gradients, variables):
        """The optimizer's step."""
        self.model.optimizer.apply(gradients, variables)


class TensorFlowStep(StatefulStep):
    """On TensorFlow, where the second pass is given θ + e."""

    def scope(self):
        """See `StatefulStep`."""
        return self.model.distribute_strategy.scope()

    def values(self, variables):
        """See `StatefulStep`."""
        import tensorflow as tf

        return [tf.convert_to_tensor(variable.value) for variable in variables]

    def first_pass(self, variables, values, x, y, sample_weight):
        """See `StatefulStep`."""
        import tensorflow as tf

        (loss, y_pred), gradients, of_variables, one_pass = self._pass(variables, values, x, y, sample_weight)
        for variable, gradient in zip(variables, of_variables, strict=True):
            if gradient is not None:
                raise ValueError(
                    f"sam(model) cannot train {path_of(variable)!r}: its layer reads TensorFlow's variable past Keras, so "
                    "that it cannot be given another value for the second pass. Read the keras.Variable."
                )
        gradients = [tf.convert_to_tensor(each) if isinstance(each, tf.IndexedSlices) else each for each in gradients]
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        if replicas > 1:
            dense = [gradient for gradient in gradients if gradient is not None]
            summed = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, dense))
            gradients = [None if gradient is None else next(summed) for gradient in gradients]
            loss = loss * replicas  # a replica's is the mean of its share of the batch, divided by their number
        return (loss, y_pred), gradients, one_pass

    def second_pass(self, variables, values, x, y, sample_weight):
        """See `StatefulStep`."""
        return self._pass(variables, values, x, y, sample_weight)[1]

    def _pass(self, variables, values, x, y, sample_weight):
        """((loss, predictions), gradients of the values, those of TensorFlow's variables, the `Pass`)."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(values)
            with Pass(list(zip(variables, values, strict=True))) as one_pass:
                loss, y_pred = self.loss(x, y, sample_weight)
            scaled = self.model.optimizer.scale_loss(loss)
        gradients, of_variables = tape.gradient(scaled, [values, variables])
        return (loss, y_pred), gradients, of_variables, one_pass


class TorchStep(StatefulStep):
    """On torch, where the weights are θ + e during the second pass."""

    def train_step(self, data):
        """See `TrainStep`."""
        # Buffers are what wrapped torch modules keep: moving statistics of their batch normalization.
        buffers = {id(buffer): buffer for layer in keras_seam.layers_of(self.model) for buffer in layer.buffers()}
        self._buffers = list(buffers.values())
        self._buffers_before = [buffer.clone() for buffer in self._buffers]
        return super().train_step(data)

    def values(self, variables):
        """See `StatefulStep`."""
        return [variable.value.detach() for variable in variables]

    def first_pass(self, variables, values, x, y, sample_weight):
        """See `StatefulStep`."""
        import torch

        devices = list({value.device for value in values if value.device.type == "cuda"})
        with torch.random.fork_rng(devices, device_type="cuda"):  # so that the second pass draws the same
            return self._pass(variables, x, y, sample_weight)

    def second_pass(self, variables, values, x, y, sample_weight):
        """See `StatefulStep`."""
        exchanged = [*(variable.value for variable in variables), *self._buffers]
        kept = [tensor.data for tensor in exchanged]
        try:
            for tensor, value in zip(exchanged, [*values, *self._buffers_before], strict=True):
                tensor.data = value
            return self._pass(variables, x, y, sample_weight)[1]
        finally:
            for tensor, value in zip(exchanged, kept, strict=True):
                tensor.data = value

    def _pass(self, variables, x, y, sample_weight):
        with Pass([(variable, variable.value) for variable in variables]) as one_pass:  # Keras looks up regularized ones
            loss, y_pred = self.loss(x, y, sample_weight)
        for variable in variables:
            variable.value.grad = None
        if variables:
            self.model.optimizer.scale_loss(loss).backward()
        gradients = [variable.value.grad for variable in variables]
        gradients = [gradient.to_dense() if gradient is not None and gradient.is_sparse else gradient for gradient in gradients]
        return (loss, y_pred), gradients, one_pass

    def perturbed(self, variables, values, gradients, rho):
        """See `TrainStep`."""
        import torch

        with torch.no_grad():
            return super().perturbed(variables, values, gradients, rho)

    def apply(self, gradients, variables):
        """See `StatefulStep`."""
        import torch

        with torch.no_grad():
            super().apply(gradients, variables)


_STEPS: dict[str, Any] = {"tensorflow": TensorFlowStep, "jax": JaxStep, "torch": TorchStep}
