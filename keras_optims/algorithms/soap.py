"""SOAP: Adam in the basis in which the gradients of a matrix hardly depend on one another.

Adam gives each weight a rate of its own, as if weights knew nothing of each other. Shampoo measures how the rows and the columns
of a matrix' gradients go together, and takes that out. SOAP turns the gradient into the eigenvectors of these two measures, runs
Adam there, and turns the step back. The eigenvectors change slowly, so they are renewed now and then only.
"""

import math

import keras
from keras import ops

from keras_optims.axes import FILTERS, VECTOR, Axes
from keras_optims.batches import alike, joined, parted, stacked, unstacked
from keras_optims.hyperparameter import (
    DECAY_RATE,
    NON_NEGATIVE,
    Hyperparameter,
    Interval,
    Option,
    SearchRange,
    epsilon,
)
from keras_optims.optimizer import Optimizer

_FROM_ONE = Interval(1, math.inf)

FLOOR = 1e-10
"""So much of the largest eigenvalue is added to all of them before a QR decomposition, a thousandth of float32's rounding errors.

It changes no eigenvector. Without it, inputs that are always or nearly always 0, such as the pixels at the edge of a digit, make
columns whose squares float32 does not hold, and TensorFlow's Q is then not orthogonal: the weights explode.
"""


@keras.saving.register_keras_serializable(package="keras_optims")
class SOAP(Optimizer):
    """SOAP: Shampoo with Adam in the preconditioner's eigenbasis.

    With a matrix of weights θ, gradient G, learning rate η and n the number of the step, counted from 0, each step but the first
    does

        G' = Q_Lᵀ·G·Q_R
        m ← β₁·m + (1−β₁)·G',   v ← β₂·v + (1−β₂)·G'²           element by element
        θ ← θ − η·√(1−β₂ⁿ)/(1−β₁ⁿ)·Q_L·(m / (√v + ε))·Q_Rᵀ
        θ ← θ − η·λ·θ
        L ← β·L + (1−β)·G·Gᵀ,   R ← β·R + (1−β)·Gᵀ·G

    and every f-th one then renews the eigenvectors: their columns in the order of falling eigenvalues, Q_L from the QR
    decomposition of L·Q_L, Q_R alike, and m turned from the old basis into the new. The first step makes L and R, and Q_L and
    Q_R of their eigenvectors, and moves nothing.

    Kernels with more than two axes are the matrices from inputs to outputs that they are (`keras_optims.Axes`). A side that is
    longer than `max_precond_dim` is not turned. Vectors, and the small filters of depthwise and grouped convolutions, go by Adam
    with the same numbers.

    Args:
        learning_rate: η ≥ 0. Usually 1e-3 to 2e-2; default 0.003.
        beta_1: β₁ in [0, 1). Smaller ones than 0.9 were found to fail; default 0.95.
        beta_2: β₂ in [0, 1). Usually 0.9 to 0.99; default 0.95.
        shampoo_beta: β in [0, 1), of L and R; default `None`: β₂.
        epsilon: ε ≥ 0, added to √v; default 1e-8.
        weight_decay: λ ≥ 0; default 0.01; `None`: none.
        precondition_frequency: f, the number of steps between renewals. 1 is best and dearest; default 10.
        max_precond_dim: the longest side that is turned; default 10000. Its slots hold two numbers for each pair of rows.
        **kwargs: the arguments of every optimizer; see `keras_optims.Optimizer`.

    Conventions: those of the authors' code: the first gradient moves nothing; the decay comes after the step; ε is added to √v
    before the correction. That code turns each axis of a convolution by itself; here it is one matrix.

    Reference: Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", https://arxiv.org/abs/2409.11321,
    Algorithm 3.
    """

    decay = "own"

    learning_rate = Hyperparameter(
        0.003, symbol="η", domain=NON_NEGATIVE, search=SearchRange(1e-3, 2e-2, "log"), meaning="learning rate"
    )
    beta_1 = Hyperparameter(
        0.95, symbol="β₁", domain=DECAY_RATE, search=SearchRange(0.9, 0.98, "log1m"), meaning="decay rate of the first moment"
    )
    beta_2 = Hyperparameter(
        0.95, symbol="β₂", domain=DECAY_RATE, search=SearchRange(0.9, 0.99, "log1m"), meaning="decay rate of the second moment"
    )
    shampoo_beta = Hyperparameter(None, symbol="β", domain=DECAY_RATE, meaning="decay rate of L and R", off=None)
    epsilon = epsilon(1e-8)
    weight_decay = Hyperparameter(
        0.01, symbol="λ", domain=NON_NEGATIVE, search=SearchRange(1e-2, 1.0, "log"), meaning="weight decay", off=None
    )
    precondition_frequency = Option(10, domain=_FROM_ONE, integer=True, meaning="steps between renewals of the eigenvectors")
    max_precond_dim = Option(10000, domain=_FROM_ONE, integer=True, meaning="longest side that is turned")

    def build(self, variables):
        """Makes the slots `first_moment` (m) and `second_moment` (v), as matrices; of the sides that are turned `left` (L),
        `right` (R), `left_basis` (Q_L) and `right_basis` (Q_R).
        """
        super().build(variables)
        self.first_moment = self.add_slot(variables, "first_moment", shape=self._sizes)
        self.second_moment = self.add_slot(variables, "second_moment", shape=self._sizes, numbers="non_negative")
        self.sides, self.bases = [], []
        for axis, name in ((1, "left"), (2, "right")):
            turned = [variable for variable in variables if self._turns(variable, axis)]

            def square(variable, axis=axis):
                sizes = self._sizes(variable)
                return sizes[0], sizes[axis], sizes[axis]

            self.sides.append(self.add_slot(turned, name, shape=square, numbers="exact"))
            self.bases.append(self.add_slot(turned, f"{name}_basis", _identity, shape=square, numbers="exact"))

    def _axes(self, variable) -> Axes:
        """Those by which it is turned; a vector is one column."""
        axes = self.axes_of(variable)
        return Axes(tuple(range(len(variable.shape)))) if axes.kind in (VECTOR, FILTERS) else axes

    def _sizes(self, variable) -> tuple[int, int, int]:
        """(number of matrices, inputs, outputs)."""
        return self._axes(variable).sizes(variable.shape)

    def _turns(self, variable, axis) -> bool:
        sizes = self._sizes(variable)
        return self.axes_of(variable).kind not in (VECTOR, FILTERS) and 1 < sizes[axis] <= self.max_precond_dim and 0 not in sizes

    def step_scalars(self, learning_rate):
        """α, η, β₂ and what the first step leaves out, times 0 there."""
        n = self.step_number - 1
        is_on = ops.cast(n > 0, n.dtype)
        n = ops.maximum(n, 1.0)
        of_shampoo = "shampoo_beta" if self.is_on("shampoo_beta") else "beta_2"
        return {
            "alpha": is_on * learning_rate * ops.sqrt(1 - self.beta_2**n) / (1 - self.beta_1**n),
            "rate": is_on * learning_rate,
            "one_minus_beta_1": is_on * self.one_minus("beta_1"),
            "one_minus_beta_2": is_on * self.one_minus("beta_2"),
            "one_minus_beta": self.one_minus(of_shampoo),
            "epsilon": self.epsilon,
        }

    def update_steps(self, gradients, variables, learning_rates):
        """The formula, for all matrices of one shape together; and now and then the eigenvectors."""
        scalars = [self.scalars(variable, rate) for variable, rate in zip(variables, learning_rates, strict=True)]
        decays = [self.decay_of(variable) for variable in variables]
        kinds = [
            (self.axes_of(variable), variable.dtype, id(s), id(decay))
            for variable, s, decay in zip(variables, scalars, decays, strict=True)
        ]
        turned = []
        for numbers in alike(kinds, [variable.shape for variable in variables]):
            batch = [variables[n] for n in numbers]
            self._update([gradients[n] for n in numbers], batch, scalars[numbers[0]], decays[numbers[0]])
            if any(batch[0] in side for side in self.sides):
                turned.append(batch)
        if turned:
            self.every(1, lambda: self._begin(turned), until=1)
            self.every(self.precondition_frequency, lambda: self._renew(turned), since=1)

    def _update(self, gradients, variables, s, decay):
        axes = self._axes(variables[0]).of_a_stack()
        matrices = axes.as_matrices(stacked(gradients))
        bases = self._of(self.bases, variables)
        turned = self._turned(matrices, bases)
        m, v = self._of((self.first_moment, self.second_moment), variables)
        m = m + (turned - m) * s.one_minus_beta_1
        v = v + (ops.square(turned) - v) * s.one_minus_beta_2
        self._assign(self.first_moment, variables, m)
        self._assign(self.second_moment, variables, v)
        root = ops.sqrt(v) + s.epsilon
        step = self._turned_back(m / ops.where(root > 0, root, 1.0), bases) * s.alpha
        if decay is not None:
            weights = axes.as_matrices(stacked([variable.value for variable in variables]))
            step = step + (weights - step) * decay * s.rate
        step = axes.from_matrices(step, (len(variables), *variables[0].shape))
        for variable, own in zip(variables, unstacked(step), strict=True):
            self.assign_sub(variable, own)
        transposed = ops.swapaxes(matrices, -2, -1)
        products = (lambda: ops.matmul(matrices, transposed)), (lambda: ops.matmul(transposed, matrices))
        for slot, side, product in zip(self.sides, self._of(self.sides, variables), products, strict=True):
            if side is not None:
                self._assign(slot, variables, side + (product() - side) * s.one_minus_beta)

    def _begin(self, batches):
        """Q: the eigenvectors, those with the largest eigenvalues first."""
        for variables in batches:
            for side, basis in zip(self._of(self.sides, variables), self.bases, strict=True):
                if side is not None:
                    self._assign(basis, variables, ops.flip(ops.linalg.eigh(side)[1], -1))

    def _renew(self, batches):
        """Q ← QR(L·Q), with the columns in the order of their eigenvalues; v in their order too, and m in the new basis."""
        products, back = [], []
        for variables in batches:
            m, v = self._of((self.first_moment, self.second_moment), variables)
            bases = self._of(self.bases, variables)
            back.append(self._turned_back(m, bases))
            for axis, (side, basis) in enumerate(zip(self._of(self.sides, variables), bases, strict=True)):
                if side is not None:
                    product = ops.matmul(side, basis)
                    eigenvalues = ops.sum(basis * product, axis=-2)  # the diagonal of QᵀLQ
                    order = ops.argsort(-eigenvalues, axis=-1)
                    product = product + basis * (FLOOR * ops.max(eigenvalues, axis=-1))[:, None, None]
                    v = ops.take_along_axis(v, order[:, :, None] if axis == 0 else order[:, None, :], axis + 1)
                    product = ops.take_along_axis(product, order[:, None, :], -1)
                    products.append((product, self.bases[axis], variables))
            self._assign(self.second_moment, variables, v)
        of_one = [(1, *product.shape[1:]) for product, *_ in products]
        for numbers in alike([variables[0].dtype for *_, variables in products], of_one):
            found, start = _orthogonal(joined([products[n][0] for n in numbers])), 0
            for product, basis, variables in (products[n] for n in numbers):
                self._assign(basis, variables, found[start : start + product.shape[0]])
                start += product.shape[0]
        for variables, momentum in zip(batches, back, strict=True):
            self._assign(self.first_moment, variables, self._turned(momentum, self._of(self.bases, variables)))

    def _of(self, slots, variables) -> list:
        """Of each slot that the variables have, one batch; else `None`."""
        return [joined([slot[v].value for v in variables]) if variables[0] in slot else None for slot in slots]

    def _assign(self, slot, variables, batch):
        for variable, own in zip(variables, parted(batch, len(variables)), strict=True):
            self.assign(slot[variable], own)

    @staticmethod
    def _turned(matrices, bases):
        """Q_Lᵀ·G·Q_R."""
        left, right = bases
        if left is not None:
            matrices = ops.matmul(ops.swapaxes(left, -2, -1), matrices)
        return matrices if right is None else ops.matmul(matrices, right)

    @staticmethod
    def _turned_back(matrices, bases):
        """Q_L·G·Q_Rᵀ."""
        left, right = bases
        if left is not None:
            matrices = ops.matmul(left, matrices)
        return matrices if right is None else ops.matmul(matrices, ops.swapaxes(right, -2, -1))


def _orthogonal(matrices):
    """Q of the QR decomposition, which the lengths of the columns do not change: all are made of one size."""
    largest = ops.max(ops.abs(matrices), axis=-2, keepdims=True)
    return ops.qr(matrices / ops.where(largest > 0, largest, 1.0))[0]


def _identity(shape, dtype=None):
    return ops.broadcast_to(ops.eye(shape[-1], dtype=dtype), shape)
