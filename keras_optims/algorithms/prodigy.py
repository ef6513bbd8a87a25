"""Prodigy: Adam that finds its learning rate itself.

The best rate of a method whose steps have one length is the distance from the start to a solution, over a root of the number of
steps; nobody knows that distance. But it shows: the gradients' steps, each weighed with how far the weights have gone along it,
bound it from below. Prodigy keeps that bound, d, for the whole model, and takes Adam's steps at the rate d. As d only grows, and
the weights of the past sink as fast as it does, a far too small d of the beginning is made good within a few dozen steps.
"""

import keras
from keras import ops

from keras_optims.hyperparameter import (
    DECAY_RATE,
    NON_NEGATIVE,
    POSITIVE,
    Hyperparameter,
    Interval,
    Option,
    SearchRange,
    epsilon,
    weight_decay,
)
from keras_optims.optimizer import Optimizer


@keras.saving.register_keras_serializable(package="keras_optims")
class Prodigy(Optimizer):
    """Prodigy: Adam with an estimate of the distance to a solution as its rate.

    With weights θ, which were θ₀ at the start, gradient g, η of 1, t the number of the step, counted from 1, the slots m, v and
    s, which start at zero, and d and N of the whole model, which start at d₀ and 0, each step does, with β₃ = √β₂ and the sums
    over all variables,

        ℓ = d·η
        N ← β₃·N + d/d₀·ℓ·⟨g, θ₀ − θ⟩
        s ← β₃·s + d/d₀·ℓ·g
        m ← β₁·m + (1−β₁)·d·g
        v ← β₂·v + (1−β₂)·d²·g²
        d ← max(d, d_coef·N / Σ|s|)
        θ ← θ − ℓ·λ·θ
        θ ← θ − ℓ·m / (√v + d·ε)                ℓ with the d of before, d·ε with the new one

    With a `growth_rate` γ, d grows to at most γ times what it was, though never beyond the largest estimate so far.

    Args:
        learning_rate: η ≥ 0, a factor on d. Leave it at 1, or let a schedule lower it from there; default 1.0.
        beta_1: β₁ in [0, 1), the decay rate of m. Usually 0.9; default 0.9.
        beta_2: β₂ in [0, 1), the decay rate of v. Usually 0.99 to 0.999; default 0.999.
        beta_3: β₃ in [0, 1), the decay rate of N and s. Default `None`: √β₂.
        epsilon: ε ≥ 0; keeps the division finite. Default 1e-8.
        weight_decay: λ ≥ 0, decoupled, in units of ℓ. Usually 0.01; default `None`: none.
        d0: d₀ > 0, d at the start. If d stays tiny for long, 1e-5 or 1e-4; default 1e-6.
        d_coef: a factor on the estimate, the way to have a larger or smaller rate. Usually 0.5 to 2; default 1.0.
        growth_rate: γ ≥ 1, the most by which d grows in a step; 1.02 is a kind of warm-up. Default `None`: no limit.
        use_bias_correction: whether ℓ is multiplied by Adam's correction of the start, √(1−β₂ᵗ)/(1−β₁ᵗ). Default `False`.
        safeguard_warmup: whether d takes the place of ℓ in s. Needed where a schedule starts at a small η, which would
            otherwise make the estimate too large. Default `False`.
        slice_p: p ≥ 1: the estimate sees every p-th element of each variable alone, and θ₀ and s are kept of those only. 11 is
            as good as all. Default 1.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    `optimizer.d` is d, a scalar variable; what multiplies m is `optimizer.d` · η, beside v's root.

    Conventions: those of the authors' package prodigyopt, whose bias correction is off; optax's is always on. As d is of the
    whole model, so is η: a rule's multiplier scales the steps of its variables, and not the estimate. Where all gradients were
    zero, only the decay moves weights; prodigyopt leaves out that, too.

    Reference: Mishchenko & Defazio 2023, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner",
    https://arxiv.org/abs/2306.06101, Algorithm 4.
    """

    elementwise = True
    decay = "own"

    learning_rate = Hyperparameter(
        1.0, symbol="η", domain=NON_NEGATIVE, search=SearchRange(0.1, 10.0, "log", by_default=False), meaning="factor on d"
    )
    beta_1 = Hyperparameter(
        0.9, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.5, 0.98, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.999, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.9999, "log1m"), meaning="decay rate of the second moment"
    )
    beta_3 = Hyperparameter(None, symbol="β₃", domain=DECAY_RATE, meaning="decay rate of the estimate's sums", off=None)
    epsilon = epsilon(1e-8)
    weight_decay = weight_decay(1e-3, 1e-1)
    d0 = Option(1e-6, domain=POSITIVE, meaning="d at the start")
    d_coef = Hyperparameter(
        1.0, symbol="d_coef", domain=POSITIVE, search=SearchRange(0.1, 10.0, "log"), meaning="factor on the estimate of d"
    )
    growth_rate = Hyperparameter(
        None, symbol="γ", domain=Interval(1, float("inf"), high_open=True), meaning="most by which d grows in a step", off=None
    )
    use_bias_correction = Option(False, meaning="correct the start as Adam does")
    safeguard_warmup = Option(False, meaning="leave the rate out of the estimate's denominator")
    slice_p = Option(
        1, domain=Interval(1, float("inf"), high_open=True), integer=True, meaning="of how many elements the estimate sees one"
    )

    def build(self, variables):
        """Makes the slots m, v, s and θ₀, and d, the largest estimate so far, and N."""
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment")
        self.second_moment = self.add_slot(variables, "second_moment", numbers="non_negative")
        own = self.variables_it_updates(variables)
        shapes = None if self.slice_p == 1 else lambda variable: self._seen(variable).shape
        self.sum_of_gradients = self.add_ungrouped_slot(own, "sum_of_gradients", shape=shapes)
        self.start = self.add_ungrouped_slot(own, "start", [_SeenOf(self, variable) for variable in own], shape=shapes)
        self.d, self.largest_d = self.add_shared("d", self.d0), self.add_shared("largest_d", self.d0)
        self.numerator = self.add_shared("numerator")

    def begin_step(self, gradients, variables):
        """N, s and d; the d and ℓ/η of before, and the new d, go to `step_scalars`."""
        d = ops.convert_to_tensor(self.d) * 1.0  # a tensor of its own
        corrected = d * self._correction()
        rate = corrected * self.learning_rate
        weight = d / self.d0 * rate
        weight_of_s = d / self.d0 * (d if self.safeguard_warmup else rate)
        beta_3 = ops.sqrt(ops.convert_to_tensor(self.beta_2)) if self.beta_3 is None else self.beta_3
        along, total = ops.zeros_like(d), ops.zeros_like(d)
        for gradient, variable in zip(gradients, variables, strict=True):
            s, start = self.sum_of_gradients[variable], self.start[variable]
            seen, gradient = self._seen(variable.value), self._seen(gradient)
            along += ops.cast(ops.sum(gradient * (start - seen)), d.dtype)
            self.assign(s, ops.cast(beta_3, s.dtype) * s + ops.cast(weight_of_s, s.dtype) * gradient)
            total += ops.cast(ops.sum(ops.abs(s.value)), d.dtype)
        numerator = beta_3 * self.numerator + weight * along
        self.assign(self.numerator, numerator)
        self.assign(self.d, self._estimated(d, numerator, total))
        return {"d": d, "corrected_d": corrected, "new_d": ops.convert_to_tensor(self.d) * 1.0}

    def _correction(self):
        """b, the correction of the start."""
        if not self.use_bias_correction:
            return 1.0
        t = self.step_number
        return ops.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    def _estimated(self, d, numerator, total):
        """The new d."""
        known = total > 0
        estimate = ops.where(known, self.d_coef * numerator / ops.where(known, total, 1.0), d)
        largest = ops.maximum(ops.convert_to_tensor(self.largest_d), estimate)
        self.assign(self.largest_d, largest)
        if self.growth_rate is None:
            return largest
        at_first = ops.where(ops.equal(d, self.d0), ops.maximum(d, estimate), d)  # from d₀ it may jump
        return ops.minimum(largest, at_first * self.growth_rate)

    def _seen(self, tensor):
        """What the estimate sees of a tensor of a variable's shape."""
        return tensor if self.slice_p == 1 else ops.reshape(tensor, (-1,))[:: self.slice_p]

    def step_scalars(self, learning_rate):
        """d, ℓ, d·ε, β₁, β₂, 1−β₁ and 1−β₂."""
        return {
            "rate": learning_rate * self.of_step.corrected_d,
            "epsilon": self.epsilon * self.of_step.new_d,
            "one_minus_beta_1": self.one_minus("beta_1"),
            "one_minus_beta_2": self.one_minus("beta_2"),
        }

    def update_step(self, gradient, variable, learning_rate):
        """m, v; θ ← θ − ℓ·λ·θ; θ ← θ − ℓ·m / (√v + d·ε)."""
        s = self.scalars(variable, learning_rate)
        m, v = self.first_moment[variable], self.second_moment[variable]
        scaled = s.d * gradient
        self.assign_add(m, (scaled - m) * s.one_minus_beta_1)
        self.assign_add(v, (ops.square(scaled) - v) * s.one_minus_beta_2)
        decay = self.decay_of(variable)
        if decay is not None:
            self.assign_sub(variable, decay * s.rate * variable)
        root = ops.sqrt(v) + s.epsilon
        self.assign_sub(variable, s.rate * m / ops.where(root > 0, root, 1.0))  # 0/0 where there was no gradient, and ε is 0

    def step_rate(self, variable, learning_rate):
        """ℓ·d / (√v + d·ε), which multiplies the mean of the gradients, m/d."""
        s = self.scalars(variable, learning_rate)
        root = ops.sqrt(self.second_moment[variable]) + s.epsilon
        return s.rate * s.d / ops.where(root > 0, root, 1.0)


class _SeenOf:
    """An initializer: what the estimate sees of a variable."""

    def __init__(self, optimizer, variable):
        self._optimizer, self._variable = optimizer, variable

    def __call__(self, shape, dtype=None):
        return ops.copy(ops.cast(self._optimizer._seen(ops.convert_to_tensor(self._variable)), dtype))
