"""Muon: momentum whose steps are as long in every direction of a matrix.

The gradient of a weight matrix is mostly a few directions: its large singular values may be a thousand times its small ones,
and a step along it changes little else. Muon keeps the directions of the momentum and makes all its singular values 1, as far as
a few matrix multiplications can; so the rare directions are learned as fast as the frequent ones. It is for matrices inside of a
network; what is none goes by Adam.
"""

import math
import re
import weakref
from typing import Any

import keras
from keras import ops

from keras_optims import kernels
from keras_optims.algorithms.adam import Adam
from keras_optims.axes import EMBEDDING, FILTERS, VECTOR
from keras_optims.batches import alike, stacked, unstacked
from keras_optims.hyperparameter import (
    DECAY_RATE,
    NON_NEGATIVE,
    POSITIVE,
    Hyperparameter,
    Interval,
    Option,
    SearchRange,
    epsilon,
)
from keras_optims.newton_schulz import ORIGINAL, POLAR_EXPRESS, QUINTIC, orthogonalized
from keras_optims.optimizer import Optimizer
from keras_optims.rules import WITHOUT_RULES, Patterns
from keras_optims.stand_in import path_of
from keras_optims.step import frame_of

_ANY = Interval(-math.inf, math.inf, low_open=True, high_open=True)
_COEFFICIENTS = {"quintic": QUINTIC, "polar_express": POLAR_EXPRESS}


@keras.saving.register_keras_serializable(package="keras_optims")
class Muon(Optimizer):
    """Muon: momentum, orthogonalized by Newton-Schulz iterations.

    With a matrix of weights θ of `in` rows and `out` columns, gradient G, learning rate η, momentum μ and the velocity M, which
    starts at zero, each step does

        M ← μ·M + G
        U = G + μ·M                 with Nesterov's momentum, else M
        O = U / ‖U‖, then five times   A = O·Oᵀ,  O ← a·O + (b·A + c·A²)·O
        θ ← θ − η·s·O

    Which variables: kernels of hidden layers, those with more than two axes as the matrices from inputs to outputs that they are
    (`keras_optims.Axes`). Embeddings, vectors, the small filters of depthwise and grouped convolutions, and what `exclude_layers`
    names, are updated by `Adam` with weight decay, whose settings are the arguments that begin with `adam_`; so is a variable
    whose axes nothing tells.

    Args:
        learning_rate: η ≥ 0. With the default scale it is about AdamW's: usually 2e-4 to 1e-2; default 0.001. With
            `scale="original"` usually 5e-3 to 0.1.
        adam_beta_1: β₁, adam_beta_2: β₂, epsilon: ε of the variables that go by Adam; default 0.9, 0.999 and 1e-7.
        adam_weight_decay: their weight decay, times η; default 0.004; `None`: none.
        weight_decay: λ of the matrices; default 0.004. Usually 0.01 to 0.3; `None`: none.
        exclude_layers: regular expressions that are found in the paths of variables that go by Adam; name the output layer here,
            as `["head/"]`, or set `exclude_head`.
        exclude_embeddings: whether variables with "embedding" in their path go by Adam. Default `True`.
        muon_a: a, muon_b: b, muon_c: c of `coefficients="original"`; default 3.4445, −4.775, 2.0315.
        adam_lr_ratio: the learning rate of the variables that go by Adam, as a share of η; default 1.
        momentum: μ in [0, 1). Usually 0.9 to 0.98; default 0.95.
        ns_steps: the number of iterations; default 5.
        nesterov: whether to look ahead. Default `True`.
        rms_rate: of `scale="match_rms"`; default 0.2, about AdamW's step; `None`: s = 1.
        scale: s, of a matrix with `in` inputs and `out` outputs: `"match_rms"`: rms_rate·√max(in, out), so that η and λ are those
            of AdamW (Moonlight); `"original"`: √max(1, out/in); `"spectral"`: √(out/in), with which η carries over to other
            widths. Default `"match_rms"`.
        coefficients: `"original"`; `"quintic"`: other polynomials in each iteration, with singular values closer to 1;
            `"polar_express"`: those of Amsel et al., with which the smallest rise fastest. Default `"original"`.
        exclude_head: whether the last matrix in the order of the variables, mostly the output layer's, goes by Adam. Default
            `False`.
        flatten: whether kernels with more than two axes are matrices too; else all variables are that have two axes, as in
            Keras. Default `True`.
        ns_dtype: the dtype of the iterations, `"float32"` or `"bfloat16"`; `None`: bfloat16 on GPUs and TPUs, which are fast at
            it, else float32.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: the defaults are Keras's; by the authors' advice set `exclude_head=True` too. Keras's own takes matrices with two
    axes only: kernels of convolutions and attention go by AdamW there, silently (here with `flatten=False`), and vectors with two
    axes, as a GRU's bias, by Muon. M is not (1−μ)-weighted, which the norm takes back. Decay is η·λ, without s, for all
    variables, and of those by Adam without `adam_lr_ratio`, unless a rule sets their
    `weight_decay`, which is times their own rate. The authors' code scales a convolution by its kernel's height and
    width, here by all its inputs. optax corrects the two terms of Nesterov's momentum apart.

    References: K. Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon/; Liu et al. 2025, "Muon is Scalable for LLM Training",
    https://arxiv.org/abs/2502.16982 (Moonlight: scale and weight decay).
    """

    learning_rate = Hyperparameter(
        0.001, symbol="η", domain=NON_NEGATIVE, search=SearchRange(2e-4, 1e-2, "log"), meaning="learning rate"
    )
    adam_beta_1 = Hyperparameter(0.9, symbol="β₁", domain=DECAY_RATE, meaning="of Adam: decay rate of the first moment")
    adam_beta_2 = Hyperparameter(0.999, symbol="β₂", domain=DECAY_RATE, meaning="of Adam: decay rate of the second moment")
    adam_weight_decay = Hyperparameter(
        0.004, symbol="λ_A", domain=NON_NEGATIVE, meaning="decoupled weight decay of the variables that go by Adam", off=None
    )
    epsilon = epsilon()
    weight_decay = Hyperparameter(
        0.004, symbol="λ", domain=NON_NEGATIVE, search=SearchRange(1e-2, 0.3, "log"), meaning="decoupled weight decay", off=None
    )
    exclude_layers = Patterns()
    exclude_embeddings = Option(True, meaning="embeddings by Adam")
    muon_a = Option(ORIGINAL[0], domain=_ANY, meaning="a of the original polynomial")
    muon_b = Option(ORIGINAL[1], domain=_ANY, meaning="b of the original polynomial")
    muon_c = Option(ORIGINAL[2], domain=_ANY, meaning="c of the original polynomial")
    adam_lr_ratio = Hyperparameter(
        1, symbol="r", domain=NON_NEGATIVE, search=SearchRange(0.1, 1, "log", by_default=False), meaning="Adam's share of η"
    )
    momentum = Hyperparameter(
        0.95, symbol="μ", domain=DECAY_RATE, search=SearchRange(0.9, 0.98, "log1m"), meaning="share of the velocity that is kept"
    )
    ns_steps = Option(5, domain=Interval(1, math.inf), integer=True, meaning="Newton-Schulz iterations")
    nesterov = Option(True, meaning="look ahead")
    rms_rate = Option(0.2, domain=POSITIVE, optional=True, meaning="root mean square of a step of rate 1")
    scale = Option(
        "match_rms", choices=("match_rms", "original", "spectral"), keyword_only=True, meaning="length of a step by its shape"
    )
    coefficients = Option(
        "original", choices=("original", "quintic", "polar_express"), keyword_only=True, meaning="polynomials of the iterations"
    )
    exclude_head = Option(False, keyword_only=True, meaning="the last matrix by Adam")
    flatten = Option(True, keyword_only=True, meaning="kernels with more than two axes as matrices")
    ns_dtype = Option(None, choices=("float32", "bfloat16"), optional=True, keyword_only=True, meaning="dtype of the iterations")

    def check_arguments(self):
        """Raises `ValueError` if an argument would have no effect."""
        super().check_arguments()
        own = (self.muon_a, self.muon_b, self.muon_c)
        if self.coefficients != "original" and own != ORIGINAL:
            raise ValueError(
                f"muon_a, muon_b and muon_c are those of coefficients='original'; received {own} and "
                f"coefficients={self.coefficients!r}."
            )
        if self.scale != "match_rms" and self.rms_rate != type(self).rms_rate.default:
            raise ValueError(f"rms_rate is of scale='match_rms'; received rms_rate={self.rms_rate!r} and scale={self.scale!r}.")

    def build(self, variables):
        """Makes the slot `velocity` (M) of the matrices; the others have those of `Adam`."""
        super().build(variables)
        self.velocity = self.add_slot(variables, "velocity")

    def formula_of_others(self, variables):
        """Adam with weight decay, for all that is no matrix between hidden layers."""
        matrices = [variable for variable in variables if self._is_matrix(variable)]
        if self.exclude_head and matrices:
            matrices.pop()
        own = {self.key_of(variable) for variable in matrices}
        others = [variable for variable in variables if self.key_of(variable) not in own]
        return (AdamForOthers.of(self), others) if others else None

    def _is_matrix(self, variable) -> bool:
        path, axes, shape = path_of(variable), self.axes_of(variable), tuple(variable.shape)
        if any(re.search(pattern, path) for pattern in self.exclude_layers or ()):
            return False
        if self.exclude_embeddings and (axes.kind == EMBEDDING or "embedding" in path.lower()):
            return False
        if 0 in shape:
            return False
        if not self.flatten:
            return len(shape) == 2
        return axes.kind not in (VECTOR, FILTERS) and (len(shape) == 2 or axes.is_matrix(shape))

    def decayed(self, value, decay, rate):
        """θ − θ·λ·η, on torch too, where 1 − λ·η would round a decay as small as this one."""
        return value - value * decay * rate

    def step_scalars(self, learning_rate):
        """η and μ."""
        return {"learning_rate": learning_rate, "momentum": self.momentum}

    def update_steps(self, gradients, variables, learning_rates):
        """M ← μ·M + G; θ ← θ − η·s·O, for all matrices of one shape together."""
        scalars = [self.scalars(variable, rate) for variable, rate in zip(variables, learning_rates, strict=True)]
        kinds = [(self.axes_of(variable), variable.dtype, id(s)) for variable, s in zip(variables, scalars, strict=True)]
        for numbers in alike(kinds, [variable.shape for variable in variables]):
            batch, s = [variables[n] for n in numbers], scalars[numbers[0]]
            axes, shape = self.axes_of(batch[0]), batch[0].shape
            gradient = stacked([gradients[n] for n in numbers])
            velocity = stacked([self.velocity[variable].value for variable in batch]) * s.momentum + gradient
            update = gradient + velocity * s.momentum if self.nesterov else velocity
            step = self._orthogonalized(axes.of_a_stack().as_matrices(update))
            step = step * (s.learning_rate * self._length(axes.sizes(shape)))
            step = axes.of_a_stack().from_matrices(step, (len(batch), *shape))
            for variable, moving, own in zip(batch, unstacked(velocity), unstacked(step), strict=True):
                self.assign(self.velocity[variable], moving)
                self.assign_sub(variable, own)

    def _orthogonalized(self, matrices):
        if self.coefficients == "original":
            each = [(self.muon_a, self.muon_b, self.muon_c)] * self.ns_steps
        else:
            known = _COEFFICIENTS[self.coefficients]
            each = [known[min(i, len(known) - 1)] for i in range(self.ns_steps)]
        dtype = self.ns_dtype or ("bfloat16" if kernels.is_fast_at_bfloat16(matrices) else None)
        if keras.backend.standardize_dtype(matrices.dtype) == "float64" and self.ns_dtype is None:
            dtype = None
        margin = {"epsilon": 1e-6, "margin": 1.02} if self.coefficients == "polar_express" else {}
        is_tall = matrices.shape[-2] > matrices.shape[-1]
        matrices = ops.swapaxes(matrices, -2, -1) if is_tall else matrices
        alone = matrices.shape[0] == 1
        found = orthogonalized(matrices[0] if alone else matrices, each, dtype=dtype, **margin)
        found = found[None] if alone else found
        return ops.swapaxes(found, -2, -1) if is_tall else found

    def _length(self, sizes) -> float:
        _, inputs, outputs = sizes
        if self.scale == "match_rms":
            return 1.0 if self.rms_rate is None else self.rms_rate * math.sqrt(max(inputs, outputs))
        return math.sqrt(max(1.0, outputs / inputs) if self.scale == "original" else outputs / inputs)

    @property
    def adam_first_moment(self):
        """The slot m of the variables that go by Adam; `None` where there are none."""
        return None if self._untracked.rest is None else self._untracked.rest.first_moment

    @property
    def adam_second_moment(self):
        """Their slot v."""
        return None if self._untracked.rest is None else self._untracked.rest.second_moment


class AdamForOthers(Adam):
    """Adam with weight decay, whose hyperparameters are those of an optimizer that is for matrices."""

    kernel = "adam"
    described_as = "Adam"
    _matrix_method: Any

    @classmethod
    def of(cls, matrix_method: Any) -> "AdamForOthers":
        """A new one of this optimizer, whose numbers it follows."""

        def following(name):
            return lambda: formula.now_of(name)

        def decay():
            """Of which η is taken without the ratio."""
            ratio = ops.convert_to_tensor(formula.now_of("adam_lr_ratio"))
            return formula.now_of("adam_weight_decay") / ops.where(ratio > 0, ratio, math.inf)

        bounds = ("clipnorm", "clipvalue", "agc")
        declared = matrix_method._hyperparameters
        formula: AdamForOthers = cls(
            learning_rate=lambda: formula.now_of("learning_rate") * formula.now_of("adam_lr_ratio"),
            beta_1=following("adam_beta_1"),
            beta_2=following("adam_beta_2"),
            epsilon=following("epsilon"),
            weight_decay=decay if declared["adam_weight_decay"].is_on(matrix_method) else None,
            gradient_centralization=matrix_method._gradient_centralization,
            cautious=matrix_method._cautious,
            lazy=matrix_method.lazy,
            **{name: following(name) for name in bounds if declared[name].is_on(matrix_method)},
        )
        formula.__dict__["_matrix_method"] = weakref.ref(matrix_method)  # what Keras saves and TensorFlow tracks goes no circles
        formula.group_below = matrix_method.group_below
        return formula

    def _under_the_same(self):
        """In which the other optimizer's hyperparameters are those of the variables at work."""
        frame = frame_of(self)
        return self._matrix_method().using(WITHOUT_RULES if frame is None else frame.settings)

    def now_of(self, name: str):
        """A hyperparameter of the other optimizer."""
        with self._under_the_same():
            return ops.convert_to_tensor(getattr(self._matrix_method(), name))

    def holder(self, name):
        """A rule that sets the learning rate sets that of the other optimizer, of which this one's is a share."""
        return self if name == "learning_rate" else super().holder(name)

    def one_minus(self, name):
        """1 − β, of the other optimizer's β."""
        with self._under_the_same():
            return self._matrix_method().one_minus(f"adam_{name}")

    def decayed(self, value, decay, rate):
        """As the other optimizer's."""
        return value - value * decay * rate

    def save_own_variables(self, store):
        """Nothing: the other optimizer saves its variables."""

    def load_own_variables(self, store):
        """Nothing."""

    def residual(self, name):
        """What rounding took from the other optimizer's β."""
        if name not in ("beta_1", "beta_2"):
            return super().residual(name)
        with self._under_the_same():
            return self._matrix_method().residual(f"adam_{name}")
