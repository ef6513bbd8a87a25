"""The base of all optimizers, as the author of one wants it: live hyperparameters, slots, and the moments of a step.

An algorithm adds its slots in `build` and its formula in `update_step`; what is the same for all of them is here, once. The order
of a step is in `step.py`, saving in `saved.py`.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from keras_optims import averages, keras_seam, kernels, quantized, saved, step
from keras_optims.arguments import WithArguments
from keras_optims.axes import EMBEDDING, VECTOR, Axes, table
from keras_optims.dtypes import is_half, wide
from keras_optims.explanation import Explanation, explained
from keras_optims.fit import check_variables
from keras_optims.hyperparameter import shown, state_dtype
from keras_optims.rules import settings_of_each
from keras_optims.slots import Slot
from keras_optims.stand_in import Place, StandIn, is_overwritten, path_of
from keras_optims.state import LoadedState


def _build_once(build):
    """Wraps the `build` of a class: nothing is built twice, and loaded state is taken over once all variables exist."""

    def build_once(self, variables):
        if self._untracked.build_depth == 0 and self.built:
            self.check_known(variables)
            saved.take_pending(self)
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
            quantized.check(self)
            kernels.finish_build(self)
            saved.take_pending(self)

    build_once.__doc__ = build.__doc__
    return build_once


class Optimizer(WithArguments):
    """Base class of the optimizers of this package.

    It is a `keras.optimizers.Optimizer`, so `model.compile()`, callbacks, saving and mixed precision work as always. A
    subclass declares its hyperparameters, makes its slots in `build(variables)` with `add_slot`, and writes its formula in
    `update_step(gradient, variable, learning_rate)`; the constructor follows from the declarations.

    The step, in this order: the loss scale is divided out; gradients are averaged over `gradient_accumulation_steps`; they are
    clipped; `begin_step`; then for each variable weight decay and the formula; `end_step`; last the moving average of the
    weights. float16 and bfloat16 variables have float32 slots and are updated in float32 arithmetic, rounded once at the end of
    the step.

    Args: Of every optimizer, by keyword
        weight_decay: λ; each step subtracts `learning_rate * weight_decay * variable` first (decoupled weight decay,
            Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101). `None`: no decay.
        clipnorm: the largest L2 norm of one variable's gradient; a larger gradient is scaled down to it.
        global_clipnorm: the largest L2 norm of all gradients together (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063).
        clipvalue: the largest absolute value of an element of a gradient. Give at most one of the three.
        agc: the largest norm of each output's gradient, as a share of the norm of the output's weights; a longer one is scaled
            down to it (adaptive gradient clipping, Brock et al. 2021, https://arxiv.org/abs/2102.06171). Usually 0.01 to 0.1;
            not for the last layer, which a rule leaves out: `Rule("head/", agc=None)`.
        gradient_centralization: whether to take from each output's gradient its mean over the inputs, of kernels (Yong et al.
            2020, https://arxiv.org/abs/2004.01461).
        cautious: whether to move only those weights whose gradient agrees with their update, and these the further, the fewer
            there are (Liang et al. 2024, https://arxiv.org/abs/2411.16085). Weight decay is of all.
        axes: what the axes of variables are, where names and shapes do not tell: a dict from regular expressions, which are
            found in paths, to `keras_optims.Axes`, as `keras_optims.axes_of(model)` makes it of a model's layers.
        use_ema: whether to keep an exponential moving average of the weights, as slot "average". The weights that are trained
            stay as they are, also at the end of `fit`: `averaged_weights()` and the callback `AveragedWeights` put the averages
            in their place for an evaluation or to save them.
        ema_momentum: how much of the old average stays at each step: average = m·average + (1−m)·variable.
        ema_overwrite_frequency: overwrite the weights by their average every so many updates; `None`: never.
        lookahead: k, the number of updates between two synchronizations with slow weights; see `keras_optims.Lookahead`, which
            sets both arguments. `None`: there are none.
        lookahead_alpha: α, the share of the way to the weights that the slow ones go in a synchronization.
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
        slot_dtype: in what slots of variables with 4096 elements and more are kept. `"bfloat16"`: half of the memory; `"int8"`: a
            quarter, but for embeddings (Dettmers et al. 2022, https://arxiv.org/abs/2110.02861). They are computed in float32.
            `None`: in float32.
        rules: a list of `keras_optims.Rule`: other hyperparameters for some of the variables.
        name: the optimizer's name.

    Raises:
        ValueError: a value outside of its domain, an unknown argument, more than one kind of clipping.
    """

    kernel: ClassVar[str | None] = None
    """The fused kernel of `keras_optims.kernels` that computes the same as `update_step`, if there is one."""

    fused_kernel: ClassVar[str | None] = None
    """`kernel`, or `None` where a subclass has changed what it computes; it follows from the class."""

    elementwise: ClassVar[bool] = False
    """The formula's scope: whether `update_step` treats all elements of a variable alike, each by itself, so that it may run on
    rows, on several variables end to end, on blocks, or as one compiled loop. All slots then have their variable's shape. It is
    false for a class that overrides `update_step` without saying so again."""

    decay: ClassVar[str] = "decoupled"
    """Who decays the weights: `"decoupled"`: the step does, before the formula. `"own"`: the formula does, by
    `decay_of(variable)`, as where the decay is a part of what a trust ratio scales (LAMB), or of the gradient (L2
    regularization). `_apply_weight_decay`, by which Keras's optimizers do it, is never called."""

    starts_from_the_weights: ClassVar[bool] = True
    """Whether a first step without gradients leaves the weights as they are. A formula that computes them from its slots
    alone, which begin without them (FTRL), has to say that it does not."""

    group_below: int | None = None
    """Variables with fewer elements than this are updated as one, where the formula is elementwise and the backend gains by it.
    It changes no result. Set it before the optimizer is built; `None`: what the device wants; 0: no grouping."""

    torch_compile: bool = False
    """On torch: whether torch's compiler makes one loop of an elementwise formula that has no kernel. That takes seconds in the
    first step, and a C++ compiler (CPU) or Triton (GPU). Set it before the optimizer is built. On the other backends, where the
    step is compiled without asking, it is an error."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        named: type[Optimizer] = next((klass for klass in cls.__mro__ if "kernel" in vars(klass)), Optimizer)
        unchanged = all(getattr(cls, name) is getattr(named, name) for name in _WHAT_A_KERNEL_COMPUTES)
        cls.fused_kernel = cls.kernel if unchanged else None
        changes_the_formula = "update_step" in vars(cls) or "update_steps" in vars(cls)
        if changes_the_formula and "elementwise" not in vars(cls):
            cls.elementwise = False
        if changes_the_formula and "step_rate" not in vars(cls):
            setattr(cls, "step_rate", Optimizer.step_rate)  # noqa: B010 (as below); the inherited one is of another formula
        if cls.decay not in ("decoupled", "own"):
            raise ValueError(f"decay of {cls.__name__} must be 'decoupled' or 'own'; received {shown(cls.decay)}.")
        if "build" in vars(cls):
            setattr(cls, "build", _build_once(cls.build))  # noqa: B010 (an assignment to a method is no type error then)

    # -- what an algorithm defines ----------------------------------------------------------------

    @_build_once
    def build(self, variables):
        """Makes the optimizer's variables for these model variables; a second call with the same ones does nothing.

        An algorithm overrides it, calls `super().build(variables)`, and makes its slots with `add_slot` and its shared state with
        `add_shared`.
        """
        variables = list(variables)
        if self.torch_compile and keras.backend.backend() != "torch":
            raise ValueError(f"torch_compile is for the torch backend; received True on the {keras.backend.backend()} backend.")
        self.check_arguments()
        settings = settings_of_each(self.rules, variables)
        for variable, axes in zip(variables, table(variables, self.axes), strict=True):
            self._untracked.axes.setdefault(self.key_of(variable), axes)
        for each in set(settings):
            with step.Frame(each.formula or self, each):
                (each.formula or self).check_clipping()
        for variable, each in zip(variables, settings, strict=True):  # those of a formula in a rule have theirs already
            self._untracked.settings.setdefault(self.key_of(variable), each)
        others = self._give_others_a_formula(variables)
        self._become_cautious(variables)
        if self.slot_dtype is not None:
            self.__dict__.update(fused_kernel=None)  # the kernels read and write float32
        keras_seam.set_built(self, variables)
        for formula in self.formulas()[1:]:
            formula._untracked.calls_per_update = self.calls_per_update
        for rule in self.rules:
            rule.build_formula(variables)
        if others:
            self._untracked.rest.build(others)
        half = [
            variable
            for variable in self.variables_it_updates(variables)
            if is_half(variable.dtype) and self.compensated_summation
        ]
        dtypes = [keras.backend.standardize_dtype(variable.dtype) for variable in half]
        self.rounding_error = self.add_slot(half, "rounding_error", dtype=dtypes)
        averages.build(self, variables)
        if self.gradient_accumulation_steps:
            self._untracked.accumulated = self.add_ungrouped_slot(variables, "gradient_accumulator")

    def formula_of_others(self, variables) -> tuple[Optimizer, list] | None:
        """The formula of those variables that the algorithm is not for; an algorithm for some kinds only overrides it.

        It is called when the optimizer is built, and may ask `axes_of`.

        Args:
            variables: those that no rule gives another formula.

        Returns:
            (a new optimizer of this package, which does not depend on the variables, those of them that it updates); `None`:
            the algorithm is for all of them.
        """

    def _give_others_a_formula(self, variables) -> list:
        """Takes over what `formula_of_others` says; returns the variables that have another formula by it."""
        with kernels.outside_of_a_trace():
            formula, others = self.formula_of_others(self.variables_it_updates(variables)) or (None, [])
        if formula is None or not others:
            return []
        formula._untracked.excluded = self._untracked.excluded
        formula.slot_dtype = formula.slot_dtype or self.slot_dtype
        self._untracked.rest = rest = self._take_in(formula, self.state_name("others_"))
        for variable in others:
            settings = self.settings_of(variable)
            self._untracked.settings[self.key_of(variable)] = dataclasses.replace(settings, formula=rest)
        return others

    def _become_cautious(self, variables):
        """What follows from `cautious`, which looks at a variable as a whole.

        Raises:
            ValueError: the update of a variable that it is on for cannot be masked.
        """
        cautious = [v for v in self.variables_it_updates(variables) if self._is_cautious(v)]
        if not cautious:
            return
        own, name = type(self).__name__, path_of(cautious[0])
        if self.overrides("evaluation_weights"):
            raise ValueError(
                f"cautious=True cannot be combined with {own}, whose weights to evaluate at follow from the update as a whole; "
                f"received it for {name!r}."
            )
        decayed = [variable for variable in cautious if self.decay == "own" and self.decays(variable)]
        if decayed:
            raise ValueError(
                f"cautious=True masks the update but not the weight decay, and {own} has its decay inside of the update; set "
                f"weight_decay=None, or cautious=False for the variables that are decayed: received both for "
                f"{path_of(decayed[0])!r}."
            )
        self.__dict__.update(elementwise=False, fused_kernel=None)  # of this one; its class is as it was

    def _is_cautious(self, variable) -> bool:
        return (self.settings_of(variable).holder("cautious") or self)._cautious

    def begin_step(self, gradients, variables) -> dict[str, Any] | None:
        """The beginning of an update, once for the whole model, whatever the rules; an algorithm may override it.

        Args:
            gradients: of all variables that this formula updates now: dense tensors, clipped, in the dtype of the arithmetic.
            variables: what stands in for the variables; their slots may be read and assigned.

        Returns:
            Scalars of the whole model, by name. `scalars` has them beside those of `step_scalars`, which itself
            finds them in `self.of_step`.
        """

    def update_step(self, gradient, variable, learning_rate):
        """The formula of the algorithm, for one variable.

        Args:
            gradient: a tensor of the variable's shape, and of its dtype, or float32 for a half-precision variable.
            variable: what stands in for the variable, a `keras.Variable`; to be changed with the optimizer's `assign`,
                `assign_add` and `assign_sub`, as its slots are. They are written when the formula has ended.
            learning_rate: the scalar learning rate of this step, in the dtype of the arithmetic.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update_step(gradient, variable, learning_rate).")

    def update_steps(self, gradients, variables, learning_rates):
        """The formula for all variables at once, once in a step whatever the rules; an algorithm may override it.

        It takes the place of `update_step`, for formulas that gain by seeing several variables together, such as equal
        shapes in one batch. `scalars(variable, learning_rate)` gives each variable's own scalars.

        Args:
            gradients, variables, learning_rates: lists of what `update_step` takes.
        """
        for gradient, variable, learning_rate in zip(gradients, variables, learning_rates, strict=True):
            self.update_step(gradient, variable, learning_rate)

    def end_step(self, variables):
        """The end of an update, once for the whole model, whatever the rules; an algorithm may override it.

        Args:
            variables: what stands in for the variables that were updated, with their new values.
        """

    def step_scalars(self, learning_rate) -> dict[str, Any]:
        """The scalars that the formula needs, by name; an algorithm overrides it. They are computed once for all variables."""
        return {"learning_rate": learning_rate}

    def step_rate(self, variable, learning_rate):
        """The formula of `effective_learning_rate`, beside `update_step`: with the slots as that has left them.

        Args:
            variable: the model's variable, by which its slots are looked up.
            learning_rate: the scalar learning rate of this step.
        """
        return None

    def evaluation_weights(self, variable):
        """The weights at which to evaluate, a tensor, where they are others than those that are trained.

        An algorithm overrides it whose result is a function of its state (Schedule-Free); with `use_ema=True` it is the moving
        average, with `lookahead` the slow weights. All that evaluates uses it: `averaged_weights`, the callback
        `AveragedWeights`, a search.

        Args:
            variable: a model's variable.

        Returns:
            A tensor of the variable's shape; `None`: the variable is evaluated as it is.
        """
        average = self._untracked.average
        return ops.convert_to_tensor(average[variable]) if average is not None and variable in average else None

    def before_change(self, name: str, before, after, variables):
        """Called when a number is set in place of another one; an algorithm whose slots depend on it overrides it.

        Args:
            name: the hyperparameter's.
            before, after: its values, as scalar variable and as number or tensor.
            variables: the model's variables for which it holds.
        """

    # -- state ------------------------------------------------------------------------------------

    def add_slot(
        self, variables, name, initializer="zeros", shape=None, dtype=None, saved=True, numbers: str = quantized.SIGNED
    ) -> Slot:
        """Makes a slot of each of `variables`, which may be some of those of the model.

        Args:
            variables: the model's variables. Those that another formula updates, by a rule, are left out.
            name: the slot's name, under which it is saved.
            initializer: a `keras.initializers.Initializer`, its name, a function of shape and dtype, or `"variable"`: a copy of
                the variable; or a list with one for each of the variables.
            shape: a tuple, or a function of the variable that returns one; `None`: the variable's own. It is sharded
                as the variable where the shapes agree.
            dtype: of the slot, or a list with one for each of the variables; `None`: the variable's, or float32 where that is
                half precision.
            saved: whether the slot is a part of the optimizer's state.
            numbers: what `slot_dtype` may do with them: `"signed"`: keep them in fewer bits; `"non_negative"`: the same of
                numbers that are never negative; `"exact"`: nothing, as is right for weights, and for what decides about more
                than its own element. A slot with a `dtype`, or that begins as a copy of the variable, is exact.

        Raises:
            ValueError: a variable has this slot already; another shape, where the formula is `elementwise`.
        """
        variables = list(variables)
        own = {self.key_of(variable) for variable in self.variables_it_updates(variables)}
        left_out = {self.key_of(variable) for variable in variables} - own
        return self._untracked.slots.add(self, variables, name, initializer, shape, dtype, saved, left_out, numbers=numbers)

    def add_ungrouped_slot(self, variables, name, initializer="zeros", shape=None, dtype=None) -> Slot:
        """As `add_slot`, for what `update_step` has no part in: of any shape, also of variables that other formulas update."""
        return self._untracked.slots.add(self, variables, name, initializer, shape, dtype, True, grouped=False)

    def add_shared(self, name, initial=0.0, shape=(), dtype=None):
        """Makes a variable of the whole model, such as a sum over all steps. It is saved by its name.

        Args:
            name: its name.
            initial: a number, or an initializer.
            shape: its shape.
            dtype: its dtype; `None`: that of hyperparameters, float32.

        Raises:
            ValueError: there is such a variable already.
        """
        name = self.state_name(name)
        if (name, None) in self._untracked.state_keys.values():
            raise ValueError(f"{type(self).__name__} has shared state of the name {name!r} already.")
        if not callable(initial) and not isinstance(initial, str):
            initial = keras.initializers.Constant(initial)
        # Under tf.distribute each replica computes the same.
        variable = self.add_variable(shape, initial, dtype or state_dtype(), aggregation="only_first_replica", name=name)
        self._untracked.shared[name] = variable
        return variable

    def add_variable(self, shape, initializer="zeros", dtype=None, aggregation="none", layout=None, name=None):
        """As `keras.optimizers.Optimizer.add_variable`, but never in half precision: a state that is, is asked for by
        `add_slot`.
        """
        variable = super().add_variable(shape, _copying(initializer), wide(dtype), aggregation, layout, name)
        self._untracked.remember(variable, (name or "variable", None))
        return variable

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        """As `keras.optimizers.Optimizer.add_variable_from_reference`: a variable of the shape of a model's variable."""
        dtype = wide(reference_variable.dtype)
        return self.add_slot_variable(reference_variable, name or "var", initializer, reference_variable.shape, dtype)

    def add_slot_variable(self, variable, name, initializer, shape, dtype):
        """Makes the slot variable of one of the model's variables."""
        layout = keras_seam.layout_of(variable) if tuple(shape) == tuple(variable.shape) else None
        full_name = f"{re.sub('[/:]', '_', path_of(variable))}_{name}"
        with kernels.colocated(self, variable):
            made = keras.optimizers.Optimizer.add_variable(
                self, shape, _copying(initializer), dtype, layout=layout, name=full_name
            )
        self._untracked.remember(made, (name, path_of(variable)))
        return made

    def drop_variable(self, variable):
        """Makes a variable none of the optimizer's."""
        keras_seam.untrack(self, variable)
        self._untracked.forget(variable)

    def state_name(self, name: str) -> str:
        """The name under which a number of this optimizer is saved; that of a formula in a rule begins with the rule's name."""
        return f"{self._untracked.prefix}{name}"

    def add_buffer(self, shape, initializer, dtype, name):
        """Makes a variable that holds slots of several variables, in just this dtype."""
        variable = keras.optimizers.Optimizer.add_variable(self, shape, initializer, dtype, name=name)
        self._untracked.remember(variable, (name, None))
        return variable

    # -- what a formula needs ---------------------------------------------------------------------

    def scalars(self, variable, learning_rate) -> types.SimpleNamespace:
        """The scalars of `begin_step` and `step_scalars` for a variable, in the dtype of its arithmetic."""
        frame = step.frame_of(self) or step.Frame(self)
        settings = variable.place.settings if isinstance(variable, StandIn) else None
        frame = frame if settings is None else frame.under(settings)
        return frame.scalars(wide(variable.dtype), learning_rate)

    @property
    def of_step(self) -> types.SimpleNamespace:
        """What `begin_step` has returned in this step.

        Raises:
            RuntimeError: no step is being made.
        """
        frame = step.frame_of(self)
        if frame is None:
            raise RuntimeError("of_step exists while a step is made; no step is being made.")
        return frame.of_step

    def decay_of(self, variable):
        """λ for a formula that decays by itself: a scalar in the dtype of the arithmetic; `None` for what is not decayed."""
        frame = step.frame_of(self)
        if not variable.place.decays or frame is None:
            return None
        settings = variable.place.settings
        return (frame if settings is None else frame.under(settings)).decay_in(variable.dtype)

    def every(
        self,
        k: int,
        action: Callable[[], Any],
        otherwise: Callable[[], Any] = lambda: None,
        since: int = 0,
        until: int | None = None,
    ):
        """Runs `action` in every k-th update, at the k-th first, and else `otherwise`.

        To be called in `begin_step`, `update_step`, `update_steps` or `end_step`. The functions take nothing, and assign
        variables and slots with `assign`; what they return is dropped.

        Args:
            k: a whole number.
            action, otherwise: functions of nothing.
            since: the number of the update after which updates are counted: with 1 the first does not count.
            until: the number of the last update in which `action` runs; `None`: there is none.

        Raises:
            ValueError: `k` is no whole number from 1 on.
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"every() needs a whole number of updates from 1 on; received {shown(k)}.")
        if k == 1 and not since and until is None:
            action()
            return
        number = self.iterations + 1 - since
        is_due = (number > 0) if k == 1 else ops.logical_and(number > 0, number % k == 0) if since else number % k == 0
        if until is not None:
            is_due = ops.logical_and(is_due, self.iterations < until)
        step.run_if(self, is_due, action, otherwise)

    def using(self, settings) -> step.Frame:
        """A context in which the optimizer's hyperparameters are those that hold for the variables with these settings."""
        return step.Frame(self, settings)

    @property
    def step_number(self):
        """t, the number of this update as a float32 scalar: 1 at the first."""
        return ops.cast(self.iterations, state_dtype()) + 1  # the Mac's GPU adds no integers

    def __dir__(self):
        """Without `step_number`: Keras reads whatever is named here when it saves, and JAX would compile an addition for it."""
        return [name for name in super().__dir__() if name != "step_number"]

    def assign(self, variable, value):
        """Sets a slot, a variable, or what stands in for one."""
        if isinstance(variable, StandIn):
            variable.assign(value)
        else:
            super().assign(variable, ops.copy(value) if isinstance(value, keras.Variable) else value)

    def assign_add(self, variable, value):
        """Adds to a slot, a variable, or what stands in for one."""
        variable.assign_add(value) if isinstance(variable, StandIn) else super().assign_add(variable, value)

    def assign_sub(self, variable, value):
        """Subtracts from a slot, a variable, or what stands in for one."""
        variable.assign_sub(value) if isinstance(variable, StandIn) else super().assign_sub(variable, value)

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
        if grads:
            step.apply(self, grads, self._variables_to_update(len(grads), trainable_variables))

    def _variables_to_update(self, number, variables):
        """The variables of a call of `apply` with so many gradients."""
        if variables is None:
            if not self.built:
                raise ValueError("apply(grads) without variables needs an optimizer that is built; call build(variables) first.")
            variables = self.variables_of_the_model()
        variables = list(variables)
        if number != len(variables):
            raise ValueError(f"There must be one gradient for each variable; received {number} for {len(variables)} variables.")
        self.build(variables)  # which checks that they are known, if it was called before
        return variables

    def make_update(self, gradients, variables):
        """One update: clip, decay, step, average. The gradients are those of an accumulation."""
        step.update(self, gradients, variables)

    @property
    def iterations(self):
        """The number of updates so far, an integer scalar."""
        steps = self.calls_per_update
        return ops.floor_divide(self.number_of_calls, steps) if steps else self.number_of_calls

    @property
    def calls_per_update(self) -> int | None:
        """How many calls of `apply` make an update, where that is more than one."""
        return self.gradient_accumulation_steps or self._untracked.calls_per_update

    @property
    def number_of_calls(self):
        """The number of calls of `apply` so far, an integer variable; each is an update unless gradients are accumulated."""
        return keras_seam.calls(self)

    @classmethod
    def overrides(cls, name: str) -> bool:
        """Whether the class has a method of its own in place of one of `Optimizer`."""
        return getattr(cls, name) is not getattr(Optimizer, name)

    # -- the variables ----------------------------------------------------------------------------

    def adopt(self, formula: Optimizer, prefix: str) -> Optimizer:
        """Makes an optimizer like `formula` that counts its steps with this one; for a rule, whose name is the prefix.

        Raises:
            ValueError: it sets something that is of a whole step, or has taken steps.
        """
        if formula.built:
            raise ValueError(f"The formula of a Rule must be new; received {type(formula).__name__}, which is built already.")
        given = formula.get_config()
        defaults = type(formula)._declarations
        of_the_step = [name for name in _OF_A_WHOLE_STEP if (given[name] or None) != (defaults[name].default or None)]
        if of_the_step:
            raise ValueError(
                f"{', '.join(of_the_step)} concerns the step as a whole: give it to {type(self).__name__}, and not to the "
                f"{type(formula).__name__} that is the formula of a Rule."
            )
        own = type(formula).from_config(given)
        own._untracked.excluded = formula._untracked.excluded
        own.torch_compile = formula.torch_compile
        return self._take_in(own, prefix)

    def _take_in(self, own: Optimizer, prefix: str) -> Optimizer:
        """Makes a new optimizer a formula of this one."""
        if self.compensated_summation:
            own.compensated_summation = True
        own.torch_compile = self.torch_compile or own.torch_compile
        own._untracked.prefix = prefix
        own._untracked.state_keys = {i: (f"{prefix}{name}", path) for i, (name, path) in own._untracked.state_keys.items()}
        own._untracked.settings, own._untracked.axes = self._untracked.settings, self._untracked.axes
        keras_seam.share_calls(own, self)
        setattr(self, f"{prefix}formula", own)  # where TensorFlow's checkpoints find it
        return own

    @property
    def variables(self) -> list:
        """All variables of the optimizer and of the formulas in its rules."""
        return [variable for formula in self.formulas() for variable in formula.own_variables()]

    def own_variables(self) -> list:
        """Those of the optimizer alone."""
        return super().variables

    def formulas(self) -> list[Optimizer]:
        """The optimizer itself, and those whose formulas take its place for some of the variables: by rules, or by itself."""
        by_rules = [each for rule in self.rules if rule.formula is not None for each in rule.formula.formulas()]
        return [self, *by_rules, *([] if self._untracked.rest is None else [self._untracked.rest])]

    def variables_of_the_model(self) -> list:
        """The model's variables that it was built for, in their order."""
        return keras_seam.model_variables(self)

    def key_of(self, variable):
        """What a variable of the model is known by: the same for it, for its `tf.Variable`, and on each replica."""
        return keras_seam.key_of(self, variable)

    def _get_variable_index(self, variable):
        """The number of a variable, by which formulas in Keras's style look up their slots."""
        return keras_seam.index_of(self, variable.place.variable if isinstance(variable, StandIn) else variable)

    def check_known(self, variables):
        """Raises `ValueError` if one of the variables is not of those that the optimizer was built for."""
        for variable in variables:
            if self.key_of(variable) not in self._untracked.settings:
                raise ValueError(
                    f"Unknown variable: {path_of(variable)!r} is none of those that {type(self).__name__} was built for. "
                    "Make a new optimizer for other variables."
                )

    def axes_of(self, variable) -> Axes:
        """What the axes of a model's variable are: as the argument `axes` says, else as its name and shape tell.

        Raises:
            KeyError: the optimizer is not built for it.
        """
        return self._untracked.axes[self.key_of(variable.place.variable if isinstance(variable, StandIn) else variable)]

    def goes_by_rows(self, variable) -> bool:
        """Whether a sparse gradient of a variable may stay one: a formula, and what is done before it, that go by elements."""
        axes = self.axes_of(variable)
        with step.Frame(self, self.settings_of(variable)):
            sums_rows = axes.kind == VECTOR or 0 in axes.inputs
            across = (self.gradient_centralization and axes.kind != EMBEDDING) or (self.is_on("agc") and not sums_rows)
        whole = self.overrides("begin_step") or self.stores_smaller(variable)
        return self.lazy and self.elementwise and not whole and not across

    def stores_smaller(self, variable) -> bool:
        """Whether slots of a model's variable may be kept in `slot_dtype`."""
        return quantized.may_be(self, variable)

    def place_of(self, variable) -> Place:
        """The place of a model's variable as a whole."""
        return Place(variable, self.decays(variable), self.settings_of(variable))

    def variables_it_updates(self, variables) -> list:
        """Those that are updated, and by this formula."""
        return [v for v in variables if not is_overwritten(v) and (self.settings_of(v).formula or self) is self]

    def explain(self) -> Explanation:
        """Which way each variable's update goes and why, its slots, and what rules have set for it: a list that prints as a
        table.

        Raises:
            ValueError: the optimizer is not built yet.
        """
        if not self.built:
            raise ValueError("explain() needs an optimizer that is built; call build(variables), or fit the model, first.")
        return explained(self)

    def remember_sparse(self, variable, is_sparse: bool):
        """Keeps for `explain` whether the last gradient of a variable was sparse; nobody knows it beforehand."""
        (self._untracked.sparse.add if is_sparse else self._untracked.sparse.discard)(self.key_of(variable))

    def was_sparse(self, variable) -> bool:
        """Whether the last gradient of a variable was sparse."""
        return self.key_of(variable) in self._untracked.sparse

    def effective_learning_rate(self, variable):
        """What multiplies each element of the gradient, or of the average of gradients that the formula has in its place.

        It is the rate of an update that is made now and leaves the slots as they are. Inside of a step, after the update and
        before it is counted, it is the rate of that step itself; so it stands in the log of a `StepLogger`.

        Args:
            variable: the model's variable.

        Returns:
            A tensor of the variable's shape (float32 for a half-precision variable), or a scalar where it is the same for all
            elements. `None` where the update is `cautious`, as each step has its own mask; where the class has an `update_step`
            of its own and no `step_rate`; and, outside of a step, where it has a `begin_step`, whose scalars are of a step.

        Raises:
            ValueError: the optimizer is not built yet.
        """
        if not self.built:
            raise ValueError(
                "effective_learning_rate() needs an optimizer that is built; call build(variables), or fit the model, first."
            )
        settings = self.settings_of(variable)
        formula = settings.formula or self
        frame = step.frame_of(formula) or step.Frame(formula)
        if formula._is_cautious(variable) or (formula.overrides("begin_step") and not vars(frame.of_step)):
            return None
        frame = frame.under(settings)
        with frame:
            return formula.step_rate(variable, frame.rate())

    # -- weight decay -----------------------------------------------------------------------------

    def decayed(self, value, decay, rate):
        """Weights after decoupled decay, θ − θ·λ·η, with the rounding of the optimizer of Keras that has the same formula."""
        return kernels.decayed(value, decay, rate)

    def decays(self, variable) -> bool:
        """Whether a variable of the model is decayed."""
        settings = self.settings_of(variable)
        if not self._hyperparameters["weight_decay"].is_on(settings.holder("weight_decay") or self):
            return False
        keys, pattern = self._untracked.excluded
        return self.key_of(variable) not in keys and not (pattern and pattern.search(variable.name))

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
        keys = frozenset(self.key_of(variable) for variable in var_list or ())
        self._untracked.excluded = keys, re.compile("|".join(sorted(set(var_names)))) if var_names else None

    # -- averages ---------------------------------------------------------------------------------

    @property
    def evaluates_other_weights(self) -> bool:
        """Whether the weights at which to evaluate are others than those that are trained: see `evaluation_weights`."""
        return bool(self.use_ema or self.lookahead or any(formula.overrides("evaluation_weights") for formula in self.formulas()))

    @property
    def weights_are_averaged(self) -> bool:
        """Whether the model's weights are their `evaluation_weights` at the moment, and those that are trained kept aside."""
        return averages.are_in_place(self)

    def swap_averaged_weights(self):
        """Exchanges the weights and their `evaluation_weights`, such as moving averages; a second call exchanges them back.

        The state that is saved in between holds both. Training in between goes on from the averages, and begins new ones there.

        Raises:
            ValueError: there are no averages: the optimizer has neither `use_ema=True` nor `lookahead`, or is not built yet.
        """
        averages.swap(self)

    def averaged_weights(self):
        """A context in which the model's weights are their averages, to evaluate or save them; afterwards they are as before.

            with model.optimizer.averaged_weights():
                model.evaluate(x, y)

        Raises:
            ValueError: as `swap_averaged_weights`.
        """
        return averages.in_place(self)

    def finalize_variable_values(self, var_list):
        """Nothing. Keras calls it at the end of `fit`, and its own optimizers overwrite the weights by their averages here."""

    # -- saving -----------------------------------------------------------------------------------

    def save_own_variables(self, store):
        """Writes each variable of the optimizer under its slot's and its model variable's name."""
        saved.save(self, store)

    def load_own_variables(self, store):
        """Reads what `save_own_variables` wrote.

        An optimizer that is not built yet keeps the state and takes it over when it is built.

        Raises:
            ValueError: the saved state does not fit; the message names what is missing, what is extra, which shape differs.
        """
        saved.load(self, store)

    def load_state(self, source, partial: bool = False) -> LoadedState:
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
        return saved.load_from(self, source, partial)


_OF_A_WHOLE_STEP = (
    *("global_clipnorm", "loss_scale_factor", "gradient_accumulation_steps", "rules"),
    *("use_ema", "ema_momentum", "ema_overwrite_frequency", "lookahead", "lookahead_alpha", "axes"),
)
"""Arguments that a formula in a rule cannot have."""

_WHAT_A_KERNEL_COMPUTES = (
    *("update_step", "update_steps", "step_scalars", "scalars", "one_minus", "residual"),
    *("assign", "assign_add", "assign_sub", "step_number", "decay_of"),
)
"""Methods of which a fused kernel takes the place; a subclass that overrides one is obeyed, and has no kernel."""


def _copying(initializer):
    """An initializer whose result nobody else holds: a function may return a variable's own memory."""
    if not callable(initializer) or isinstance(initializer, (type, keras.initializers.Initializer)):
        return initializer
    return lambda shape, dtype=None: ops.copy(ops.convert_to_tensor(initializer(shape, dtype=dtype)))
