"""What the pages of docs/optimizers say of their pictures, in the experiments of scripts/ideas.py that these show."""

import functools
import re

import numpy as np
import pytest

import keras_optims
from scripts import ideas, picture_optimizers

pytestmark = pytest.mark.backend("jax")


@functools.cache
def charts(name):
    """The two of a picture."""
    return ideas.IDEAS[name]()


def found(name):
    """The curves of both."""
    return tuple(chart.curves for chart in charts(name))


def at(curve, x):
    """A curve's value at a place."""
    places, values = curve
    (index,) = np.flatnonzero(places == x)
    return values[index]


def close(value, expected, relative=0.02):
    assert value == pytest.approx(expected, rel=relative)


def sgd():
    ways, live = found("sgd")
    close(ways["γ = 0.9"][1].min(), -0.48)
    close(ways["γ = 0.9, Nesterov"][1].min(), -0.34)
    assert ways["γ = 0"][1].min() > 0
    close(live["keras_optims.SGD"][1][-1], 5)
    close(live["keras.optimizers.SGD"][1][-1], 2)


def adan():
    divided, turned = found("adan")
    close(divided["Adan"][1][-1], 2.3, 0.05)
    np.testing.assert_allclose(divided["Adam with the same β"][1], 1, rtol=1e-3)
    close(at(turned["Adan"], 61), 0.73)
    close(at(turned["Adam with the same β"], 61), 0.96)


def adadelta():
    grown, moved = found("adadelta")
    own = grown["Adadelta, ε = 1e-7"][1]
    close(own[0], 0.0014)
    close(own[0], np.sqrt(1e-7 / 0.05))
    assert own[0] < own[-1] < 2 * own[0]
    np.testing.assert_allclose(grown["Adadelta, ε = 1e-5"][1], 10 * own, rtol=0.01)
    np.testing.assert_allclose(moved["Adadelta, ε = 1e-7"][1], 0.16, rtol=0.05)


def adamax():
    divided, lengths = found("adamax")
    close(at(divided["Adamax"], 50), 10)
    np.testing.assert_allclose(divided["Adamax"][1][280:], 1, rtol=1e-3)
    assert divided["Adamax"][1][277] > 1.01
    close(divided["Adam"][1].max(), 1.9)
    close(1 / lengths["Adamax"][1].min(), 7, 0.1)
    close(1 - lengths["Adam"][1].min(), 1 / 3, 0.1)


def nadam():
    shares, turned = found("nadam")
    own, published = shares["Nadam, ψ = 1"][1], shares["Nadam, ψ = 0.004"][1]
    close(own[0], 0.47)
    close(own[-1], 0.89)
    np.testing.assert_allclose(published, 0.45, rtol=0.02)
    close(at(turned["Adam: β₁"], 21), 0.78, 0.03)
    close(at(turned["Nadam, ψ = 1"], 21), 0.21, 0.05)
    assert at(turned["Nadam, ψ = 0.004"], 21) < 0


def nadamw():
    turned, ways = found("nadamw")
    own, other = turned["NAdamW"][1], turned["AdamW"][1]
    np.testing.assert_allclose(own[21:-1], other[22:], atol=0.02)  # a step ahead
    close(own[0], 1.9)
    own, other = ways["NAdamW"][1], ways["AdamW"][1]
    assert -own.min() < -other.min()
    assert np.abs(own[50:]).max() < np.abs(other[50:]).max()


def ftrl():
    ways, counts = found("ftrl")
    strengths, own = counts["FTRL, L1 = λ₁"]
    assert dict(zip(strengths, own, strict=True)) | {10: 12, 30: 8} == dict(zip(strengths, own, strict=True))
    assert set(counts["AdaGrad, the same L1 in the loss"][1]) == {100}
    left = [np.flatnonzero(weight)[0] if weight.any() else None for _, weight in ways.values()]
    assert left[0] < left[1]
    assert left[2] is None


def radam():
    same, noise = found("radam")
    np.testing.assert_allclose(same["RAdam"][1][:5], 1, rtol=1e-3)
    close(same["RAdam"][1][5], 0.026)
    assert (np.diff(same["RAdam"][1][5:]) > -1e-4).all()
    np.testing.assert_allclose(same["Adam"][1], 1, rtol=1e-2)
    close(noise["Adam"][1][0], 1)
    close(noise["Adam"][1][500:].mean(), 0.23, 0.05)
    close(noise["RAdam"][1][0], 0.1, 0.05)
    assert noise["RAdam"][1][10:100].max() < 0.1


def adabelief():
    roots, lengths = found("adabelief")
    close(roots["AdaBelief: steady gradients, 1 ± 0.1"][1][-1], 0.1, 0.05)
    close(lengths["AdaBelief: steady gradients, 1 ± 0.1"][1][-1], 10, 0.05)
    close(roots["Adam: steady gradients, 1 ± 0.1"][1][-1], 1)
    for each in ("AdaBelief", "Adam"):
        close(roots[f"{each}: contradicting ones, 0.1 ± 1"][1][-1], 1, 0.1)
        close(lengths[f"{each}: contradicting ones, 0.1 ± 1"][1][-1], 0.26, 0.1)


def yogi():
    moments, rates = found("yogi")
    for name in moments:
        close(moments[name][1].max(), 20, 0.1)
    close(at(moments["Adam"], 960), 1.2, 0.05)
    close(at(rates["Adam"], 960), 0.9, 0.05)
    close(at(rates["Yogi"], 960), 0.25, 0.05)
    close(at(moments["Yogi"], 960) - at(moments["Yogi"], 1060), 1, 0.05)


def adopt():
    ways, means = found("adopt")
    assert ways["Adam"][1][-1] > 0 > max(ways["ADOPT"][1][-1], ways["AMSGrad"][1][-1])
    assert (means["ADOPT"][1] < 0).all()
    rates, moved = means["Adam"]
    assert [rate for rate, move in zip(rates, moved, strict=True) if move > 0] == [0.01, 1 / 17, 0.2]


def ademamix():
    weights, ways = found("ademamix")
    slow, fast = (weights[name][1] for name in weights)
    close(slow[-1] / slow[0], 0.97)
    assert fast[-1] / fast[0] < 1e-10
    own, other = (way[1] for way in ways.values())
    assert own[2000] > 1.5 * other[2000]
    assert own[3000] - own[2000] > 0.1 * own[2000]
    assert abs(other[3000] - other[2000]) < 0.1 * other[2000]


def adafactor():
    estimates, numbers = found("adafactor")
    true, estimated = estimates["scales by row and by column"]
    assert np.abs(np.log(estimated / true)).max() < np.log(2)
    true, estimated = estimates["one element larger than all"]
    lone = true.argmax()
    assert estimated[lone] < 0.7 * true[lone]
    beside = [index for index in range(len(true)) if (index // 8 == 3) != (index % 8 == 5)]
    assert (estimated[beside] > 2 * true[beside]).all()
    for name, expected in {"keras_optims.Adafactor": 2048, "Adam": 2097152}.items():
        assert numbers[name][1][-1] == expected
    assert numbers["keras.optimizers.Adafactor"][1][-1] >= 1024**2


def layers(name, other, least, most):
    first, spread = found(name)
    own, theirs = (np.array(curve[1]) for curve in first.values())
    np.testing.assert_allclose(own, 0.01, rtol=1e-3)
    close(theirs.max(), most, 0.2)
    close(theirs.min(), least, 0.2)
    assert theirs.argmax() + 1 == 2
    assert theirs.argmin() + 1 == 5
    return [curve[1] for curve in spread.values()]


def lars():
    own, theirs = layers("lars", "momentum", 1.3e-5, 0.15)
    assert own.max() < 2
    assert theirs.min() > 50


def lamb():
    own, theirs = layers("lamb", "Adam", 0.0006, 0.07)
    np.testing.assert_allclose(own, 1, rtol=1e-3)
    assert 35 < theirs.min() < theirs.max() < 140


def novograd():
    first, ways = found("novograd")
    for name, (sizes, lengths) in first.items():
        if name.startswith("Adam"):
            np.testing.assert_allclose(lengths, 0.01, rtol=1e-3)
        else:
            np.testing.assert_allclose(lengths / sizes, lengths[0] / sizes[0], rtol=1e-3)
    for name, (_, lengths) in ways.items():
        spread = lengths.max() / lengths.min()
        close(spread, 1e5 if name.startswith("momentum") else 1, 0.02)


def lion():
    lengths, ways = found("lion")
    np.testing.assert_allclose(lengths["Lion"][1], 1, rtol=1e-3)
    close(lengths["Adam"][1][0], 0.2, 0.2)
    steps = np.abs(np.diff(ways["Lion"][1][:60])) / 0.05
    np.testing.assert_allclose(steps, 1, rtol=1e-3)
    assert np.abs(ways["Lion"][1][-10:]).max() > 0.04
    assert np.abs(ways["Adam"][1][-10:]).max() < 0.02


def muon():
    values, losses = found("muon")
    ratios = {name: 1 / curve[1][-1] for name, curve in values.items()}
    assert ratios["Muon"] < 4
    close(ratios["AdamW"], 200, 0.2)
    close(ratios["momentum"], 1000, 0.05)
    ends = {name: curve[1][-1] for name, curve in losses.items()}
    assert ends["Muon"] < min(ends["AdamW"] / 100, ends["momentum"])


def soap():
    losses, shares = found("soap")
    ends = {name: curve[1][-1] for name, curve in losses.items()}
    assert 0.5 < ends["SOAP, turned"] / ends["SOAP, along the axes"] < 2
    close(ends["Adam, turned"] / ends["Adam, along the axes"], 4, 0.3)
    close(np.mean(shares["in that of the weights"][1]), 0.76, 0.03)
    assert max(shares["in SOAP's basis"][1]) < 0.01


def schedule_free(name, least, most):
    _, losses = found(name)
    (places, own), (steps, theirs) = losses.values()
    gaps = np.flatnonzero(np.isnan(steps))
    ends = {int(steps[gap - 1]): theirs[gap - 1] for gap in gaps}
    assert list(ends) == [100, 200, 400, 800]
    shares = [at((places, own), end) / loss for end, loss in ends.items()]
    assert least < min(shares) < max(shares) < most
    long = theirs[gaps[2] + 1 : gaps[3]]
    return shares, [long[step] / at((places, own), step) for step in (100, 200, 400)]


def schedule_free_sgd():
    shares, of_the_longest = schedule_free("schedule_free_sgd", 0.8, 2.2)
    assert shares[-1] < 1
    assert min(of_the_longest) > 2


def schedule_free_adamw():
    schedule_free("schedule_free_adamw", 0.6, 2.1)


def prodigy():
    estimates, left = found("prodigy")
    for _, shares in estimates.values():
        assert 0.35 < shares[39] < 0.5
        assert shares[0] < 1e-3
    for name, (_, shares) in left.items():
        if name.startswith("Prodigy"):
            assert shares[150:].max() < 1e-3
    close(left["Adam, η = 0.001, 1 away"][1][-1], 0.72)
    close(left["Adam, η = 0.001, 100 away"][1][-1], 0.997)


SLOW = {"ftrl", "radam", "yogi", "adopt", "ademamix", "lars", "lamb", "muon", "soap", "schedule_free_adamw", "prodigy"}  # seconds
CHECKS = {each.__name__: each for each in (
    *(sgd, adan, adadelta, adamax, nadam, nadamw, ftrl, radam, adabelief, yogi, adopt, ademamix, adafactor),
    *(lars, lamb, novograd, lion, muon, soap, schedule_free_sgd, schedule_free_adamw, prodigy),
)}  # fmt: skip


def test_each_optimizer_but_the_classics_has_its_picture():
    classics = {"gradient_descent", "momentum", "adagrad", "rmsprop", "adam", "adamw"}
    assert set(ideas.IDEAS) == set(CHECKS) == set(keras_optims.OPTIMIZERS) - classics


@pytest.mark.parametrize("name", CHECKS)
def test_a_page_shows_its_picture(name):
    page = (picture_optimizers.ROOT / f"docs/optimizers/{name}.md").read_text()
    assert len(re.findall(rf"\]\(\.\./pictures/idea_{name}\.png\)", page)) == 1


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CHECKS])
def test_what_the_page_says_of_its_picture(name):
    CHECKS[name]()
    figure = picture_optimizers.picture(charts(name))
    axes = [axis for kind in (figure.select_xaxes, figure.select_yaxes) for axis in kind()]
    assert len(axes) == 4
    assert all(axis.title.text for axis in axes)
    drawn = [(trace.line.color, trace.line.dash) for trace in figure.data if trace.showlegend]
    assert len(drawn) == len(set(drawn)) >= 2
