"""Corrections of moving averages that start at zero, exact to float32's last digits also where β is close to 1.

Written as in the papers, 1 − βᵗ and RAdam's ρ_t are small differences of large or nearly equal numbers: with β₂ = 0.999 float32
knows ρ₆ = 5.00 to three digits only. So all follows from 1−β, which a hyperparameter knows exactly.
"""

from keras import ops


def correction(t, rest):
    """1 − βᵗ: what the weights of a moving average of t numbers sum to.

    Args:
        t: the number of the step, from 1 on.
        rest: 1 − β.
    """
    return _one_minus_exp(-t * ops.log1p(-rest))


def half_life(rest):
    """The number of steps after which a gradient's share in a moving average has halved: ln ½ / ln β, of 1 − β."""
    return _LOG_2 / -ops.log1p(-rest)


def rest_of(half_life):
    """1 − β of a moving average with this half-life."""
    return _one_minus_exp(_LOG_2 / half_life)


def rectification(t, rest):
    """RAdam's r: how much smaller a step must be since v is made of few gradients yet; 0 while its variance is unknown.

    r = √[(ρ_t−4)·(ρ_t−2)·ρ∞ / ((ρ∞−4)·(ρ∞−2)·ρ_t)] where ρ_t > 5, with ρ∞ = 2/(1−β₂) − 1 and ρ_t = ρ∞ − 2t·β₂ᵗ/(1−β₂ᵗ), the
    number of gradients in a simple mean that knows as much as v does (Liu et al. 2020, Algorithm 2).

    Args:
        t: the number of the step, from 1 on.
        rest: 1 − β₂.
    """
    rho, limit = known_gradients(t, rest), 2 / rest - 1
    is_known = rho > 5  # then ρ∞ is larger, too
    ratio = (rho - 4) * (rho - 2) * limit / ops.where(is_known, (limit - 4) * (limit - 2) * rho, 1.0)
    return ops.sqrt(ops.where(is_known, ratio, 0.0))


def known_gradients(t, rest):
    """RAdam's ρ_t = ρ∞ − 2t·βᵗ/(1−βᵗ) with ρ∞ = 2/(1−β) − 1, of t and 1 − β.

    With x = −t·ln β, the last term is 2t/(eˣ−1). Where x is small, it nearly cancels ρ∞: both are close to 2t/x = −2/ln β, and
    what they differ from it by is computed as a series.
    """
    x = -t * ops.log1p(-rest)
    direct = 2 / rest - 1 - 2 * t * ops.exp(-x) / _one_minus_exp(x)
    x, q = ops.minimum(x, 1.0), ops.minimum(rest, 0.1)
    of_term = 0.5 - x * (1 / 12 - x**2 * (1 / 720 - x**2 * (1 / 30240 - x**2 / 1209600)))  # 1/x − 1/(eˣ−1)
    of_limit = q * (1 / 6 + q * (1 / 12 + q * (19 / 360 + q * (3 / 80 + q * 863 / 30240))))  # 2/q − 1 + 2/ln(1−q)
    much = ops.maximum(rest, 0.1)
    of_limit = ops.where(rest < 0.1, of_limit, 2 / much - 1 + 2 / ops.log1p(-much))
    return ops.where(x < 1, of_limit + 2 * t * of_term, direct)


_LOG_2 = 0.6931471805599453


def _one_minus_exp(x):
    """1 − e⁻ˣ without cancellation; by tanh, for which the Mac's GPU has a kernel."""
    half = ops.tanh(x / 2)
    return 2 * half / (1 + half)
