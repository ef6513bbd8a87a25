"""The base of all optimizers: live hyperparameters, slots, and the order of a step.

An algorithm adds its slots in `build` and its formula in `update_step`; what is the same for all of them is here, once.
"""

from __future__ import annotations

import contextlib
import types
from typing import Any, ClassVar

import keras
from keras import ops

from keras_optims import kernels, state
from keras_optims.arguments import WITHOUT_RULES
from keras_optims.averages import WithAverages
from keras_optims.clipping import clipped
from keras_optims.fit import check_gradients, check_saved, check_variables
from keras_optims.hyperparameter import state_dtype
from keras_optims.paths import BY_ROWS, ExplainedVariable, Explanation
from keras_optims.row_gradient import values_of, with_values
from keras_optims.rules import Settings, settings_of_each
from keras_optims.slots import Slot, path_of
from keras_optims.working_copy import WorkingCopy, arithmetic_dtype, is_half


def _build_once(build):
    """Wraps the `build` of a class: nothing is built twice, and loaded state is taken over once all variables exist."""

    def build_once(self, variables):
        if self._untracked.build_depth == 0 and self.built:
            self._check_variables_are_known(variables)
            self._take_pending_state()
            return
        if self._untracked.build_depth == 0:
            variables = list(variables)
            check_variables(self, variables)
        self._untracked.build_depth += 1
        try:
            build(self, variables)
        finally:
            self._untracked.build_depth -= 1
        if self._untracked.build_depth == 0:
            kernels.finish_build(self)
            self._take_pending_state()

    build_once.__doc__ = build.__doc__
    return build_once


class Optimizer(WithAverages):
    """Base class of the optimizers of this package.

    It is a `keras.optimizers.Optimizer`, so `model.compile()`, callbacks, saving and mixed precision work as always. A
    subclass declares its hyperparameters, makes its slots in `build(variables)` with `add_slot`, and writes its formula in
    `update_step(gradient, variable, learning_rate)`; the constructor follows from the declarations.

    The step, in this order: the loss scale is divided out; gradients are averaged over `gradient_accumulation_steps`; they are
    clipped; then for each variable weight decay and the formula; last the moving average of the weights. float16
    and bfloat16 variables have float32 slots and are updated in float32 arithmetic, rounded once at the end of the step.

    Args: Of every optimizer, by keyword
        weight_decay: λ; each step subtracts `learning_rate * weight_decay * variable` first (decoupled weight decay,
            Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101). `None`: no decay.
        clipnorm: the largest L2 norm of one variable's gradient; a larger gradient is scaled down to it.
        global_clipnorm: the largest L2 norm of all gradients together (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063).
        clipvalue: the largest absolute value of an element of a gradient. Give at most one of the three.
        use_ema: whether to keep an exponential moving average of the weights, as slot "average". The weights that are trained
            stay as they are, also at the end of `fit`: `averaged_weights()` and the callback `AveragedWeights` put the averages
            in their place for an evaluation or to save them.
        ema_momentum: how much of the old average stays at each step: average = m·average + (1−m)·variable.
        ema_overwrite_frequency: overwrite the weights by their average every so many updates; `None`: never.
        loss_scale_factor: the factor by which `scale_loss` multiplies the loss, and by which the step divides the gradients.
        gradient_accumulation_steps: update once every so many calls, with the mean of their gradients (an int >= 2).
            The moving average moves with each update, not with each call.
        lazy: how a sparse gradient (`tf.IndexedSlices`, of an embedding on TensorFlow) is applied. `True`: only the rows that the
            batch has used are read and written. Gradient descent and AdaGrad give the same result so; for the others the other
            rows' slots do not decay and their weights do not coast meanwhile, nor are their weights decayed. `False`: as a
            dense gradient whose other rows are zero. Each row's gradients are summed first, either way.
        compensated_summation: of float16 and bfloat16 variables, whether to keep what rounding takes from a weight in a step and
            give it back in the next one (Kahan 1965, https://doi.org/10.1145/363707.363723), in a slot "rounding_error" of the
            variable's own dtype. bfloat16 has 8 significant bits: without this, updates below about 1/500 of a weight are lost.
        rules: a list of `keras_optims.Rule`: other hyperparameters for some of the variables.
        name: the optimizer's name.

    Raises:
        ValueError: a value outside of its domain, an unknown argument, more than one kind of clipping.
    """

    kernel: ClassVar[str | None] = None
    """The fused kernel of `keras_optims.kernels` that computes the same as `update_step`, if there is one."""

    fused_kernel: ClassVar[str | None] = None
    """`kernel`, or `None` where a subclass has changed the formula; it follows from the class."""

    group_below: int = 16_384
    """On TensorFlow, float32 variables with fewer elements than this share their slots' buffers and are updated as one, if there
    are at least eight of them. It changes no result. Set it before the optimizer is built; 0: no grouping."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        named: type[Optimizer] = next((klass for klass in cls.__mro__ if "kernel" in vars(klass)), Optimizer)
        unchanged = cls.update_step is named.update_step and cls.step_scalars is named.step_scalars
        cls.fused_kernel = cls.kernel if unchanged else None
        if "update_step" in vars(cls) and "step_rate" not in vars(cls):
            setattr(cls, "step_rate", Optimizer.step_rate)  # noqa: B010 (as below); the inherited one is of another formula
        if "build" in vars(cls):
            setattr(cls, "build", _build_once(cls.build))  # noqa: B010 (an assignment to a method is no type error then)

    # -- variables --------------------------------------------------------------------------------

    @_build_once
    def build(self, variables):
        """Makes the optimizer's variables for these model variables; a second call with the same ones does nothing."""
        variables = list(variables)
        settings = settings_of_each(self.rules, variables)
        for each in set(settings):
            with self.using(each):
                self._check_clipping()
        self._untracked.settings = {self._var_key(v): each for v, each in zip(variables, settings, strict=True)}
        super().build(variables)
        half = [variable for variable in variables if is_half(variable.dtype) and self.compensated_summation]
        self.rounding_error = self._add_slot_of_their_dtype(half, "rounding_error")
        if self.use_ema:
            self._build_averages()

    def add_variable(self, shape, initializer="zeros", dtype=None, aggregation="none", layout=None, name=None):
        """As `keras.optimizers.Optimizer.add_variable`, but never in half precision: optimizer state is float32 at least."""
        dtype = keras.backend.standardize_dtype(dtype)
        widens = is_half(dtype) and not self._untracked.keeps_half
        variable = super().add_variable(
            shape,
            initializer=initializer,
            dtype="float32" if widens else dtype,
            aggregation=aggregation,
            layout=layout,
            name=name,
        )
        self._untracked.state_keys[id(variable)] = (name or "variable", None)
        return variable

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        """As `keras.optimizers.Optimizer.add_variable_from_reference`: a variable of the shape of a model's variable."""
        variable = super().add_variable_from_reference(reference_variable, name=name, initializer=initializer)
        self._untracked.state_keys[id(variable)] = (name or "var", path_of(reference_variable))
        return variable

    def add_slot(self, variables, name, initializer="zeros", saved=True) -> Slot:
        """Makes one slot for each of `variables`, of its shape (and float32, where it is half precision).

        Args:
            variables: the model's variables.
            name: the slot's name, under which it is saved.
            initializer: a `keras.initializers.Initializer`, its name, or a function of shape and dtype; or a list with one for
                each of the variables.
            saved: whether the slot is a part of the optimizer's state.
        """
        slot = Slot(self._var_key)
        if not saved:
            self._untracked.unsaved.add(name)
        initializers = initializer if isinstance(initializer, list) else [initializer] * len(variables)
        grouped = kernels.add_grouped_slot(self, slot, variables, name, initializers)
        for variable, initializer in zip(variables, initializers, strict=True):
            if self._overwrite_variable_with_gradient(variable):
                slot[variable] = None
            elif id(variable) in grouped:
                slot[variable] = grouped[id(variable)]
            else:
                slot[variable] = self.add_variable_from_reference(variable, name=name, initializer=initializer)
        return slot

    def _add_slot_of_their_dtype(self, variables, name) -> Slot:
        """As `add_slot`, for the one slot that has no more bits than its variable."""
        slot = Slot(self._var_key)
        self._untracked.keeps_half = True
        try:
            for variable in variables:
                slot[variable] = self.add_variable_from_reference(variable, name=name)
        finally:
            self._untracked.keeps_half = False
        return slot

    # -- the step ---------------------------------------------------------------------------------

    @kernels.traced_as_written
    def apply(self, grads, trainable_variables=None):
        """Updates the variables.

        Args:
            grads: one gradient for each variable, of its shape; `None` leaves a variable as it is.
            trainable_variables: the variables; needed if the optimizer is not built yet.

        Raises:
            ValueError: the numbers of gradients and variables differ; a variable is not one of those that the optimizer was
                built with; all gradients are `None`.
        """
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_to_update(len(grads), trainable_variables)
        with kernels.no_gradient():
            if any(gradient is None for gradient in grads):
                grads, variables = self._filter_empty_gradients(grads, variables)
            check_gradients(grads, variables)
            grads, variables = self._overwrite_variables_directly_with_gradients(grads, variables)
            if grads:
                grads = kernels.prepared(self, grads, variables)
                if self.loss_scale_factor is not None:
                    grads = [with_values(g, values_of(g) / ops.cast(self.loss_scale_factor, values_of(g).dtype)) for g in grads]
                recorder = self._untracked.recorder
                if recorder is None:
                    self._step(grads, variables)
                else:
                    recorder.step(grads, variables)
            kernels.count(self._iterations)

    def _step(self, gradients, variables):
        """What `apply` does with gradients that are `kernels.prepared`: an update, or a part of the accumulation of one."""
        self._backend_apply_gradients(gradients, variables)
        for variable in variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))

    def _variables_to_update(self, number, variables):
        """The variables of a call of `apply` with so many gradients."""
        if variables is None:
            if not self.built:
                raise ValueError("apply(grads) without variables needs an optimizer that is built; call build(variables) first.")
            variables = self._trainable_variables
        variables = list(variables)
        if number != len(variables):
            raise ValueError(f"There must be one gradient for each variable; received {number} for {len(variables)} variables.")
        self.build(variables)  # which checks that they are known, if it was called before
        return variables

    def _backend_apply_gradients(self, grads, trainable_variables):
        steps = self.gradient_accumulation_steps
        if not steps:
            self._update(grads, trainable_variables)
            return
        accumulators = self._accumulators_of(trainable_variables)

        def update():
            self._update(self._mean_gradients(grads, trainable_variables), trainable_variables)
            self._backend_reset_gradient_accumulators()

        kernels.run_if(
            (self._iterations + 1) % steps == 0,
            update,
            lambda: self._backend_increment_gradient_accumulators(grads, accumulators),
            state=[*self._trainable_variables, *self.variables],
        )

    def _accumulators_of(self, variables):
        return [self._accumulated_gradients[self._get_variable_index(variable)] for variable in variables]

    def _mean_gradients(self, gradients, variables) -> list:
        """The gradients of an update that is made now: the mean of these and those that are accumulated."""
        steps = self.gradient_accumulation_steps
        if not steps:
            return gradients
        return [(g + total) / steps for g, total in zip(gradients, self._accumulators_of(variables), strict=True)]

    def _update(self, grads, variables):
        """One update: clip, decay, step, average."""
        grads = clipped(grads, global_clipnorm=self.global_clipnorm)
        with self.scalars_computed_once():
            for settings, its_grads, its_variables in self._by_settings(grads, variables):
                with self.using(settings):
                    its_grads = clipped(its_grads, clipnorm=self.clipnorm, clipvalue=self.clipvalue)
                    self._backend_update_step(its_grads, its_variables, settings.multiplied(self.learning_rate))
        if self.use_ema:
            self._update_model_variables_moving_average(self._trainable_variables)
            if self.ema_overwrite_frequency:
                kernels.run_if(
                    (self.iterations + 1) % self.ema_overwrite_frequency == 0,
                    lambda: self._overwrite_model_variables_with_average_value(self._trainable_variables),
                    lambda: None,
                    state=[*self._trainable_variables, *self.variables],
                )

    def _by_settings(self, grads, variables) -> list[tuple[Settings, list, list]]:
        """(settings, gradients, variables) of the variables that have the same settings."""
        if not self.rules:
            return [(WITHOUT_RULES, grads, variables)]
        parts: dict[Settings, tuple[list, list]] = {}
        for gradient, variable in zip(grads, variables, strict=True):
            its_grads, its_variables = parts.setdefault(self.settings_of(variable), ([], []))
            its_grads.append(gradient)
            its_variables.append(variable)
        return [(settings, *part) for settings, part in parts.items()]

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        kernels.update(self, grads, trainable_variables, learning_rate)

    def decays(self, variable) -> bool:
        """Whether the step decays this variable."""
        if isinstance(variable, WorkingCopy):
            variable = variable.variable
        holder = self.settings_of(variable).holder("weight_decay") or self
        return self._hyperparameters["weight_decay"].is_on(holder) and self._use_weight_decay(variable)

    def explain(self) -> Explanation:
        """Which way each variable's update goes and why, and what rules have set for it: a list that prints as a table.

        Raises:
            ValueError: the optimizer is not built yet.
        """
        if not self.built:
            raise ValueError("explain() needs an optimizer that is built; call build(variables), or fit the model, first.")
        lines = Explanation()
        for variable in self._trainable_variables:
            settings = self.settings_of(variable)
            with self.using(settings):
                path = BY_ROWS if self._var_key(variable) in self._untracked.sparse else kernels.path_of(self, variable)
            lines.append(
                ExplainedVariable(
                    variable=path_of(variable),
                    shape=tuple(variable.shape),
                    dtype=keras.backend.standardize_dtype(variable.dtype),
                    path=path.name,
                    why=path.why,
                    weight_decay=self.decays(variable),
                    by_rules=settings.described(),
                )
            )
        return lines

    def remember_sparse(self, variable, is_sparse: bool):
        """Keeps for `explain` whether the last gradient of a variable was sparse; nobody knows it beforehand."""
        (self._untracked.sparse.add if is_sparse else self._untracked.sparse.discard)(self._var_key(variable))

    def update_variable(self, gradient, variable, learning_rate):
        """Weight decay and the formula, for one variable."""
        if is_half(variable.dtype):
            self.update_copy(gradient, WorkingCopy(variable), learning_rate)
        else:
            self._decay_and_step(gradient, variable, learning_rate)

    def update_copy(self, gradient, copy: WorkingCopy, learning_rate):
        """Weight decay and the formula, for what stands in for a variable."""
        rounds = self.compensated_summation and is_half(copy.variable.dtype)
        if not rounds:
            self._decay_and_step(gradient, copy, learning_rate)
        else:
            error = self.rounding_error[copy]
            copy.assign(copy.value + ops.cast(error, copy.dtype))
            self._decay_and_step(gradient, copy, learning_rate)
            self.assign(error, ops.cast(copy.value - kernels.rounded(copy.value, copy.variable.dtype), error.dtype))
        copy.commit()

    def _decay_and_step(self, gradient, variable, learning_rate):
        if self.decays(variable):
            decay, rate = (ops.cast(x, variable.dtype) for x in (self.weight_decay, learning_rate))
            self.assign(variable, kernels.decayed(variable, decay, rate))
        self.update_step(gradient, variable, learning_rate)

    def _apply_weight_decay(self, variables):
        """Nothing: the decay of a variable is a part of its own update."""

    def update_step(self, gradient, variable, learning_rate):
        """The formula of the algorithm, for one variable.

        Args:
            gradient: a tensor of the variable's shape, and of its dtype, or float32 for a half-precision variable.
            variable: the variable, or the `WorkingCopy` that stands in for one; to be changed with the optimizer's `assign`,
                `assign_add` and `assign_sub`.
            learning_rate: the scalar learning rate of this step.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update_step(gradient, variable, learning_rate).")

    def effective_learning_rate(self, variable):
        """What multiplies each element of the gradient, or of the average of gradients that the formula has in its place.

        It is the rate of an update that is made now and leaves the slots as they are. Inside of a step, after the update and
        before it is counted, it is the rate of that step itself; so it stands in the log of a `StepLogger`.

        Args:
            variable: the model's variable.

        Returns:
            A tensor of the variable's shape (float32 for a half-precision variable), or a scalar where it is the same for all
            elements. `None` where the class has an `update_step` of its own and no `step_rate`.

        Raises:
            ValueError: the optimizer is not built yet.
        """
        if not self.built:
            raise ValueError(
                "effective_learning_rate() needs an optimizer that is built; call build(variables), or fit the model, first."
            )
        settings, rates = self.settings_of(variable), self._memo()
        with self.using(settings):
            if settings not in rates:
                rates[settings] = settings.multiplied(self.learning_rate)
            return self.step_rate(variable, rates[settings])

    def step_rate(self, variable, learning_rate):
        """The formula of `effective_learning_rate`, beside `update_step`: with the slots as that has left them.

        Args:
            variable: the model's variable, by which its slots are looked up.
            learning_rate: the scalar learning rate of this step.
        """
        return None

    # -- what a formula needs ---------------------------------------------------------------------

    def step_scalars(self, learning_rate) -> dict[str, Any]:
        """The scalars that the formula needs, by name; an algorithm overrides it. They are computed once for all variables."""
        return {"learning_rate": learning_rate}

    def scalars(self, variable, learning_rate) -> types.SimpleNamespace:
        """The `step_scalars` of this step, in the dtype of the variable's arithmetic."""
        memo = self._memo()
        dtype = arithmetic_dtype(variable)
        key = (self._untracked.active, id(learning_rate), dtype)
        if key not in memo:
            values = {name: ops.cast(value, dtype) for name, value in self.step_scalars(learning_rate).items()}
            memo[key] = types.SimpleNamespace(**values), learning_rate  # kept alive, so that its id stays its own
        return memo[key][0]

    def _memo(self) -> dict:
        """What is computed once in a step, by what it depends on."""
        return {} if self._untracked.scalars_of_step is None else self._untracked.scalars_of_step

    @contextlib.contextmanager
    def scalars_computed_once(self):
        """A context in which `scalars` computes them once for all variables; it ends with the step, whose tensors they are."""
        self._untracked.scalars_of_step = {}
        try:
            yield
        finally:
            self._untracked.scalars_of_step = None

    @property
    def step_number(self):
        """t, the number of this update as a float32 scalar: 1 at the first."""
        return ops.cast(self.iterations, state_dtype()) + 1  # the Mac's GPU adds no integers

    def before_change(self, name: str, before, after, variables):
        """Called when a number is set in place of another one; an algorithm whose slots depend on it overrides it.

        Args:
            name: the hyperparameter's.
            before, after: its values, as scalar variable and as number or tensor.
            variables: the model's variables for which it holds.
        """

    def assign(self, variable, value):
        """Sets a slot, a model's variable or a `WorkingCopy`."""
        variable.assign(value) if isinstance(variable, WorkingCopy) else super().assign(variable, value)

    def assign_add(self, variable, value):
        """Adds to a slot, a model's variable or a `WorkingCopy`."""
        variable.assign(variable.value + value) if isinstance(variable, WorkingCopy) else super().assign_add(variable, value)

    def assign_sub(self, variable, value):
        """Subtracts from a slot, a model's variable or a `WorkingCopy`."""
        variable.assign(variable.value - value) if isinstance(variable, WorkingCopy) else super().assign_sub(variable, value)

    def _get_current_learning_rate(self):
        return self.learning_rate

    # -- weight decay -----------------------------------------------------------------------------

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Leaves variables out of the weight decay.

        Args:
            var_list: the variables to leave out.
            var_names: regular expressions; a variable in whose name one of them is found is left out, e.g. `["bias"]`.

        Raises:
            ValueError: the optimizer is built already, so a compiled step would not see the change.
        """
        if self.built:
            raise ValueError("exclude_from_weight_decay() must be called before the optimizer is built; it is built already.")
        super().exclude_from_weight_decay(var_list=var_list, var_names=var_names)

    # -- state ------------------------------------------------------------------------------------

    def save_own_variables(self, store):
        """Writes each variable of the optimizer under its slot's and its model variable's name."""
        state.save(self._named_variables(), store)

    def load_own_variables(self, store):
        """Reads what `save_own_variables` wrote.

        An optimizer that is not built yet keeps the state and takes it over when it is built.

        Raises:
            ValueError: the saved state does not fit; the message names what is missing, what is extra, which shape differs.
        """
        self._load(state.read(store))

    def load_state(self, source, partial: bool = False) -> state.LoadedState:
        """Loads the state of an optimizer: hyperparameters, number of steps and slots, by their names.

        Args:
            source: the path of a `.keras` or `.weights.h5` file, an optimizer of this package, or a dict that
                `save_own_variables` has filled.
            partial: take what fits and leave the rest as it is, as where a trained model gets a new head. Without it, all of the
                state must fit.

        Returns:
            What was taken and what was not. If the optimizer is not built yet, it takes the state over when it is built, and the
            lists are empty until then.

        Raises:
            ValueError: there is no state in the source; it does not fit, and `partial` is false. Nothing is loaded then.
        """
        if isinstance(source, Optimizer):
            own: dict = {}
            source.save_own_variables(own)
            source = own
        return self._load(state.read_source(source), partial)

    def _load(self, saved, partial=False):
        hyperparameters = dict(self._hyperparameters)
        for rule in self.rules:
            hyperparameters |= {rule.state_name(name): each for name, each in rule.hyperparameters.items()}
        check_saved(saved, hyperparameters, self.name)
        self._untracked.pending_state = None
        self._untracked.averages_of_halves.clear()
        if self.built:
            return state.load(self._named_variables(), saved, self.name, partial)
        self._untracked.pending_state = state.PendingState(saved, partial)
        return self._untracked.pending_state.loaded

    def _named_variables(self):
        """((slot's name, path of the model's variable or None), variable) of all that is saved."""
        named: list = []
        for variable in self.variables:
            key = self._untracked.state_keys.get(id(variable), (variable.name, None))
            named += kernels.parts_of(self, variable) or [(key, variable)]
        return [(key, variable) for key, variable in named if key[0] not in self._untracked.unsaved]

    def _take_pending_state(self):
        pending = self._untracked.pending_state
        if pending is not None:
            with kernels.outside_of_a_trace():  # TensorFlow builds an optimizer while it traces the first step
                loaded = state.load(self._named_variables(), pending.saved, self.name, pending.partial)
            vars(pending.loaded).update(vars(loaded))
            self._untracked.pending_state = None  # only now: what does not fit is an error each time, and never forgotten
