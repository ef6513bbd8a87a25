"""Moving averages of the weights, kept as the slot "average" beside the weights that are trained.

They are put in the weights' place for an evaluation or to save them, and the weights back afterwards. Keras's own optimizers
overwrite the weights by their averages at the end of `fit`.
"""

from __future__ import annotations

import contextlib

from keras import ops

from keras_optims import kernels
from keras_optims.arguments import WithArguments
from keras_optims.hyperparameter import state_dtype
from keras_optims.working_copy import is_half


class WithAverages(WithArguments):
    """What an optimizer with `use_ema=True` does with the averages."""

    def _build_averages(self):
        self._averaged = self.add_variable((), dtype=state_dtype(), aggregation="only_first_replica", name="weights_are_averaged")

    @property
    def weights_are_averaged(self) -> bool:
        """Whether the model's weights are their averages at the moment, and the slot "average" holds those that are trained."""
        return bool(self.use_ema and self.built and ops.convert_to_numpy(self._averaged))

    def swap_averaged_weights(self):
        """Exchanges the weights and their averages; a second call exchanges them back.

        The state that is saved in between holds both. Training in between goes on from the averages, and begins new ones there.

        Raises:
            ValueError: there are no averages: the optimizer has not `use_ema=True`, or is not built yet.
        """
        if not (self.use_ema and self.built):
            why = "is not built yet" if self.use_ema else "has not use_ema=True"
            raise ValueError(f"There are no averaged weights: the optimizer {self.name!r} {why}.")
        averaged, exact = self.weights_are_averaged, self._untracked.averages_of_halves
        no_updates = int(ops.convert_to_numpy(self.iterations)) == 0  # then the slots are zero, and the weights their own average
        for place, (variable, slot) in enumerate(
            zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        ):
            if slot is None:
                continue
            weights = ops.copy(ops.cast(ops.convert_to_tensor(variable), slot.dtype))
            average = weights if no_updates and not averaged else ops.copy(ops.convert_to_tensor(slot))
            if averaged:  # a half-precision variable has held its float32 average only as it rounds it
                weights = exact.pop(place, weights)
            elif is_half(variable.dtype):
                exact[place] = average
            kernels.assign(self, variable, average)
            slot.assign(weights)
        self._averaged.assign(0.0 if averaged else 1.0)

    @contextlib.contextmanager
    def averaged_weights(self):
        """A context in which the model's weights are their averages, to evaluate or save them; afterwards they are as before.

            with model.optimizer.averaged_weights():
                model.evaluate(x, y)

        Raises:
            ValueError: as `swap_averaged_weights`.
        """
        swap = not self.weights_are_averaged
        if swap:
            self.swap_averaged_weights()
        try:
            yield
        finally:
            if swap and self.weights_are_averaged:
                self.swap_averaged_weights()

    def finalize_variable_values(self, var_list):
        """Nothing. Keras calls it at the end of `fit`, and its own optimizers overwrite the weights by their averages here."""

    def _update_model_variables_moving_average(self, trainable_variables):
        # 0 where the average begins with the variable itself: at the first update, and at the first after the weights were the
        # averages; else 1. (The Mac's GPU compares no integers.)
        goes_on = ops.minimum(ops.cast(self.iterations, state_dtype()), 1) * (1 - ops.convert_to_tensor(self._averaged))
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            if average is not None:
                momentum = ops.cast(goes_on * self.ema_momentum, average.dtype)
                average.assign(momentum * average + (1 - momentum) * ops.cast(variable, average.dtype))
        self._averaged.assign(ops.zeros((), self._averaged.dtype))

    def _overwrite_model_variables_with_average_value(self, trainable_variables):
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            if average is not None:
                kernels.assign(self, variable, average)
