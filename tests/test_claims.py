"""What docs/claims.md says of the optimizers, in the experiments of scripts/claims.py that its pictures show."""

import functools
import re

import numpy as np
import pytest

import keras_optims
from scripts import claims, picture_claims


@functools.cache
def found(name):
    return getattr(claims, name)()


def heavy_ball(gradient, start, learning_rate, momentum, steps):
    """θ before and after each step, in float64."""
    weight, velocity, way = start, 0.0, [start]
    for _ in range(steps):
        velocity = momentum * velocity - learning_rate * gradient(weight)
        weight += velocity
        way.append(weight)
    return np.array(way)


# -- momentum -------------------------------------------------------------------------------------


def test_without_gradient_gradient_descent_stands_still():
    way, (begin, _) = found("inertia").gradient_descent, found("inertia").plateau
    arrived = np.argmax(way > begin)
    np.testing.assert_allclose(way[: arrived + 1], found("inertia").learning_rate * np.arange(arrived + 1), rtol=1e-5)
    assert (way[arrived:] == way[arrived]).all()


@pytest.mark.parametrize("momentum", [0.8, 0.9])
def test_without_gradient_momentum_moves_on_by_its_inertia(momentum):
    """By u·γ, u·γ², ..., together u·γ/(1−γ), if the plateau does not end before."""
    way, (begin, end), rate = found("inertia").momentum[momentum], found("inertia").plateau, found("inertia").learning_rate
    arrived = np.argmax(way > begin)
    slope = np.arange(arrived + 1)
    on_the_slope = rate * np.array([sum((1 - momentum**i) / (1 - momentum) for i in range(1, k + 1)) for k in slope])
    np.testing.assert_allclose(way[: arrived + 1], on_the_slope, rtol=1e-5)
    velocity = rate * (1 - momentum**arrived) / (1 - momentum)
    after = np.arange(len(way) - arrived)
    level = way[arrived] + velocity * momentum * (1 - momentum**after) / (1 - momentum)
    assert velocity * momentum / (1 - momentum) == pytest.approx({0.8: 0.548, 0.9: 1.654}[momentum], abs=1e-3)
    if way[arrived] + velocity * momentum / (1 - momentum) < end:
        assert way[-1] == pytest.approx(1.65, abs=1e-3)
        np.testing.assert_allclose(way[arrived:], level, rtol=1e-5)
    else:
        left = np.argmax(way > end)
        np.testing.assert_allclose(way[arrived : left + 1], level[: left - arrived + 1], rtol=1e-5)
        assert way[-1] > end + 1


def test_which_momentum_crosses_the_plateau():
    end = found("inertia").plateau[1]
    assert {momentum: way[-1] > end for momentum, way in found("inertia").momentum.items()} == {0.8: False, 0.9: True}


def test_momentum_leaves_the_shallow_minimum_and_gradient_descent_stays():
    seen = found("escape")
    ends = {"descent": seen.gradient_descent, "faster": seen.faster_descent, **seen.momentum}
    assert {name: round(float(way[-1]), 2) for name, way in ends.items()} == {"descent": 0, "faster": 0, 0.8: 0, 0.9: 3}
    assert np.all(seen.gradient_descent[1:] <= 0)  # it creeps into the minimum from its own side, and is never past it
    assert seen.momentum[0.8].max() > 0.3


def test_the_smallest_momentum_that_leaves_is_0_87():
    """Also in float64, where none below it leaves, and all from there to 0.96 do."""
    seen = found("escape")
    below, above = seen.threshold
    assert above - below < 0.005

    def leaves(momentum):
        return heavy_ball(claims.two_minima_gradient, -1.2, seen.learning_rate, momentum, 600)[-1] > 1

    assert next(momentum for momentum in np.arange(0, 0.96, 0.01) if leaves(momentum)) == pytest.approx(0.87)
    assert all(leaves(momentum) for momentum in np.arange(0.87, 0.96, 0.01))
    assert not leaves(below)
    assert leaves(above)
    assert below < 0.8693 < above
    assert heavy_ball(claims.two_minima_gradient, -1.0, seen.learning_rate, 0.88, 600)[-1] < 1  # from a lower start


def test_momentum_can_leave_a_deep_minimum_too():
    momentum = keras_optims.Momentum(0.02, 0.967)
    way = claims.train(momentum, -1.2, claims.two_minima_gradient, 800)["weights"]
    assert way.max() > 3.5
    assert way[-1] == pytest.approx(0, abs=0.01)


# -- AdaGrad and RMSProp --------------------------------------------------------------------------


def test_adagrad_gives_rarely_updated_weights_a_larger_rate():
    """η/√(G₀ + n) after n gradients of 1: after 512 steps √64 = 8 times as large with 8 gradients as with 512."""
    seen = found("rare_and_frequent")
    counts = np.arange(1, len(seen.rates) + 1)[:, None] // seen.every
    np.testing.assert_allclose(seen.rates, seen.learning_rate / np.sqrt(0.1 + 1e-7 + counts), rtol=1e-5)
    assert (np.diff(seen.rates[64:], axis=1) > 0).all()
    np.testing.assert_allclose(seen.rates[-1] / seen.rates[-1, 0], np.sqrt(seen.every), rtol=0.01)


def test_adagrad_lets_rarely_updated_weights_catch_up():
    """64 times as rare, a weight moves a tenth of the way, and under gradient descent a 64th."""
    seen = found("rare_and_frequent")
    steps = np.arange(1, len(seen.rates) + 1)
    expected = [sum(seen.learning_rate / np.sqrt(0.1 + k) for k in range(1, len(steps) // every + 1)) for every in seen.every]
    np.testing.assert_allclose(seen.adagrad[-1], expected, rtol=1e-4)
    np.testing.assert_allclose(seen.gradient_descent[-1], seen.learning_rate * (len(steps) // seen.every), rtol=1e-4)
    assert 0.09 < seen.adagrad[-1, 3] / seen.adagrad[-1, 0] < 0.11


def test_adagrads_rate_only_falls_and_rmsprops_rises_again():
    changes = {name: np.diff(training.rates, axis=0) for name, training in found("long_run").items()}
    assert (changes["adagrad"] <= 0).all()
    moving = found("long_run")["rmsprop"].moved.sum(axis=0) > 0
    assert ((changes["rmsprop"] > 0).any(axis=0) & (changes["rmsprop"] < 0).any(axis=0))[moving].all()
    assert (np.diff(found("rare_and_frequent").rates, axis=0) <= 0).all()


def test_adagrad_stalls_on_a_long_run_and_rmsprop_does_not():
    """Each task is as hard as the one before it."""
    adagrad, rmsprop = (found("long_run")[name].losses[:, -1] for name in ("adagrad", "rmsprop"))
    assert (np.diff(adagrad) > 0).all()
    np.testing.assert_allclose(adagrad[[0, -1]], [0.31, 0.66], atol=0.005)
    assert adagrad[1] < rmsprop[1]
    assert rmsprop.max() < 0.4
    assert rmsprop[-3:].mean() < rmsprop[1:4].mean() * 1.02


def test_adagrad_stalls_with_a_larger_learning_rate_too():
    losses = claims.long_training(keras_optims.Adagrad(1.0), tasks=5).losses[:, -1]
    assert (np.diff(losses) > 0).all()


def test_adagrad_moves_less_and_less():
    """In T steps by no more than η·√(T·ln(G_T/G₀)) (Cauchy-Schwarz); RMSProp as far in the last task as in the second."""
    adagrad, rmsprop = found("long_run")["adagrad"], found("long_run")["rmsprop"]
    log_growth = 2 * np.log(adagrad.learning_rate / np.sqrt(0.1 + 1e-7) / adagrad.rates[-1])
    bound = adagrad.learning_rate * np.sqrt(adagrad.losses.size * np.maximum(log_growth, 0))
    moved = adagrad.moved.sum(axis=0)
    assert (moved <= 1.001 * bound + 1e-3).all()
    assert (rmsprop.moved.sum(axis=0) > bound)[moved > 1].all()
    by_task = adagrad.moved.mean(axis=1)
    assert (np.diff(by_task[1:]) < 0).all()
    assert by_task[-1] < 0.8 * by_task[1]
    assert rmsprop.moved[-1].mean() > 0.95 * rmsprop.moved[1].mean()


@pytest.mark.parametrize("rho", [0.9, 0.99])
def test_rmsprop_forgets_a_square_by_rho_per_step(rho):
    """Its weights, (1−ρ)·ρ^age, sum to 1 − ρᵗ after t steps, and so to one."""
    weights = found("forgetting").weights[rho]
    np.testing.assert_allclose(weights, (1 - rho) * rho ** np.arange(len(weights)), rtol=1e-4)
    np.testing.assert_allclose(weights[1:] / weights[:-1], rho, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(), 1 - rho ** len(weights), rtol=1e-5)
    forgotten = {0.9: 66, 0.99: 688}[rho]
    assert rho**forgotten < 1e-3 < rho ** (forgotten - 1)


def test_adagrad_forgets_nothing():
    np.testing.assert_array_equal(found("forgetting").adagrad_weights, 1)


def test_after_a_burst_of_large_gradients_rmsprops_rate_recovers_and_adagrads_does_not():
    seen = found("forgetting")
    last = np.flatnonzero(seen.burst > 1)[-1]
    assert seen.rates[0.9][last] < 0.15
    assert seen.rates[0.9][-1] == pytest.approx(1, rel=1e-3)
    assert seen.rates[0.99][last] < seen.rates[0.99][-1] < 1
    assert (np.diff(seen.adagrad_rates) < 0).all()
    square = 0.1
    for gradient, rate in zip(seen.burst, seen.adagrad_rates, strict=True):
        square += gradient**2
        assert rate == pytest.approx(1 / np.sqrt(square), rel=1e-5)


# -- Adam -----------------------------------------------------------------------------------------


def test_both_moments_are_too_small_at_first():
    """Of a constant gradient they have the shares 1−β₁ᵗ and 1−β₂ᵗ: a tenth and a thousandth after the first step."""
    seen = found("bias_correction")
    t = np.arange(1, len(seen.first_moment) + 1)
    np.testing.assert_allclose(seen.first_moment, 1 - seen.beta_1**t, rtol=1e-4)
    np.testing.assert_allclose(seen.second_moment, 1 - seen.beta_2**t, rtol=1e-4)


def test_the_first_steps_have_the_right_length_only_with_both_corrections():
    """Without that of m too small by 1−β₁ᵗ, without that of v too large by 1/√(1−β₂ᵗ), without both by the product of these."""
    seen = found("bias_correction")
    t = np.arange(1, len(seen.first_moment) + 1)
    m, v = 1 - seen.beta_1**t, np.sqrt(1 - seen.beta_2**t)
    for name, expected in {"both": np.ones(len(t)), "v": m, "m": 1 / v, "neither": m / v}.items():
        np.testing.assert_allclose(seen.lengths[name], expected, rtol=1e-3, err_msg=name)
    assert seen.lengths["neither"][0] == pytest.approx(3.162, rel=1e-3)  # (1 − 0.9)/√(1 − 0.999)
    assert seen.lengths["neither"].max() == pytest.approx(6.57, rel=1e-3)
    assert np.argmax(seen.lengths["neither"]) + 1 == 12


def test_without_both_corrections_steps_are_too_small_only_if_beta_2_is_small_enough():
    """The first if (1−β₁)² < 1−β₂: with β₂ = 0.9 a third of the right length."""
    seen = claims.bias_correction(beta_2=0.9, steps=5)
    np.testing.assert_allclose(seen.lengths["neither"], np.sqrt(1 - 0.9 ** np.arange(1, 6)), rtol=1e-4)
    np.testing.assert_allclose(seen.lengths["both"], 1, rtol=1e-4)


def pairs_of(fixed, place):
    """The settings of `two_moments` in which β₁ (place 0) or β₂ (1) has this value."""
    return [betas for betas in found("two_moments").steps if betas[place] == fixed]


def test_beta_1_smooths_the_direction():
    """The standard deviation of m is √((1−β₁)/(1+β₁)) of the gradients', and steps in the wrong direction become rare."""
    seen = found("two_moments")
    wrong = []
    for beta_1, beta_2 in pairs_of(claims.BETA_2[1], 1):
        m = seen.first_moment[beta_1, beta_2][200:]
        expected = np.sqrt((1 - beta_1) / (1 + beta_1))
        np.testing.assert_allclose(np.sqrt(np.mean(np.square(m - m.mean()))), expected, rtol=0.1)
        np.testing.assert_allclose(m.mean(), 0.5, atol=0.02)
        wrong.append(float(np.mean(seen.steps[beta_1, beta_2][200:] > 0)))
    np.testing.assert_allclose(wrong, [0.309, 0.0147, 0], atol=0.005)  # Φ(−0.5), Φ(−0.5·√19), Φ(−0.5·√99)


def test_beta_2_smooths_the_scale():
    """The standard deviation of v is √((1−β₂)/(1+β₂)) of the squared gradients', after infinitely many steps; here after 250."""
    seen = found("two_moments")
    squares, t = np.square(seen.gradients.astype("float64")), 250
    for beta_1, beta_2 in pairs_of(claims.BETA_1[1], 0):
        v = seen.second_moment[beta_1, beta_2][t - 1] / (1 - beta_2**t)
        expected = np.sqrt((1 - beta_2) / (1 + beta_2)) * np.sqrt(1 - beta_2 ** (2 * t)) / (1 - beta_2**t)
        np.testing.assert_allclose(v.std() / squares.std(), expected, rtol=0.1, err_msg=str(beta_2))
        np.testing.assert_allclose(v.mean(), 1.25, rtol=0.03)


def test_the_direction_is_beta_1s_alone_and_the_scale_beta_2s():
    """m and the sign of each step are the same whatever β₂ is, and v is the same whatever β₁ is."""
    seen = found("two_moments")
    first, *others = pairs_of(claims.BETA_1[1], 0)
    assert len(others) == 2
    for other in others:
        np.testing.assert_array_equal(seen.first_moment[other], seen.first_moment[first])
        np.testing.assert_array_equal(np.sign(seen.steps[other]), np.sign(seen.steps[first]))
        assert not np.allclose(seen.second_moment[other], seen.second_moment[first], rtol=0.1)
    first, *others = pairs_of(claims.BETA_2[1], 1)
    assert len(others) == 2
    for other in others:
        np.testing.assert_array_equal(seen.second_moment[other], seen.second_moment[first])
        assert not np.allclose(seen.first_moment[other], seen.first_moment[first], rtol=0.1)


def test_adam_joins_momentum_and_rmsprop():
    """The steps of Momentum where v is at rest, those of RMSProp where m is the gradient; the corrections are left out."""
    seen = found("joined")
    np.testing.assert_allclose(seen.adam_as_momentum, seen.momentum, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(seen.adam_as_rmsprop, seen.rmsprop, rtol=1e-3, atol=1e-5)
    assert np.ptp(seen.momentum) > 0.1
    assert np.ptp(seen.rmsprop) > 0.1


# -- AdamW ----------------------------------------------------------------------------------------


def test_decoupled_decay_is_the_same_for_all_weights():
    """To 0.02, by which Adam's first steps move all three; after them the gradients cancel."""
    seen = found("weight_decay")
    alone = (1 - seen.learning_rate * seen.decay) ** np.arange(len(seen.decoupled))
    np.testing.assert_allclose(seen.decoupled, np.broadcast_to(alone[:, None], seen.decoupled.shape), atol=0.02)
    np.testing.assert_allclose(seen.decoupled, seen.decoupled[:, :1].repeat(3, axis=1), rtol=1e-4)
    np.testing.assert_allclose(seen.decoupled[-1], 0.36, atol=0.005)


def test_decay_as_a_penalty_is_divided_by_the_size_of_the_gradients():
    seen = found("weight_decay")
    steps = np.arange(len(seen.penalty))[:, None]
    expected = np.exp(-seen.learning_rate * seen.decay * steps / seen.sizes)
    np.testing.assert_allclose(seen.penalty, expected, atol=0.02)
    np.testing.assert_allclose(seen.penalty[-1], [0.36, 0.77, 0.92], atol=0.005)


# -- the page -------------------------------------------------------------------------------------


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("name", picture_claims.PICTURES)
def test_each_claim_has_its_picture(name):
    chart = picture_claims.PICTURES[name](found(name))
    axes = [axis for kind in (chart.select_xaxes, chart.select_yaxes) for axis in kind()]
    assert len(axes) == 4
    assert all(axis.title.text for axis in axes)
    drawn = [(trace.line.color, trace.line.dash) for trace in chart.data if trace.showlegend]
    assert len(drawn) == len(set(drawn)) >= 2
    page = (picture_claims.ROOT / "docs" / "claims.md").read_text()
    assert len(re.findall(rf"\]\(pictures/claim_{name}\.png\)", page)) == 1
