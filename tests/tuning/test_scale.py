"""The scales: sampling, charts and Optuna see the same places."""

import math

import pytest

from tuning.space.axes import Axis
from tuning.space.scale import SCALES

RANGES = [("linear", -2.0, 3.0), ("linear", 1e-6, 2e-6), ("log", 1e-6, 10.0), ("log1m", 0.5, 0.99999), ("log1m", -1.0, 0.9)]
TRUTH = {"linear": lambda x: x, "log": math.log, "log1m": lambda x: -math.log(1 - x)}


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_a_value_is_where_the_formula_has_it_and_comes_back(name, low, high):
    scale, truth = SCALES[name], TRUTH[name]
    for part in (0.0, 0.1, 0.37, 0.9, 1.0):
        place = scale.forward(low) + part * (scale.forward(high) - scale.forward(low))
        value = scale.backward(place)
        assert truth(value) == pytest.approx(place, rel=2e-5, abs=1e-6)
        assert scale.forward(value) == pytest.approx(truth(value), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_a_chart_is_sampling_in_powers_of_ten(name, low, high):
    scale = SCALES[name]
    for value in (low, (low + high) / 2, high):
        unit = 1.0 if name == "linear" else math.log(10)
        assert scale.position(value) * unit == pytest.approx(scale.forward(value), abs=1e-9)
    ticks = Axis("x", scale=name, low=low, high=high).ticks()
    assert 3 <= len(ticks) <= 9
    assert all(scale.position(low) - 1e-9 <= place <= scale.position(high) + 1e-9 for place, _ in ticks)


@pytest.mark.parametrize(
    ("name", "low", "high", "texts"),
    [
        ("log", 0.02, 0.6, ["0.02", "0.05", "0.1", "0.2", "0.5"]),
        ("log", 0.1, 30.0, ["0.1", "0.3", "1", "3", "10", "30"]),
        ("log", 1e-4, 1.0, ["0.0001", "0.001", "0.01", "0.1", "1"]),
        ("log1m", 0.5, 0.99, ["0.7", "0.9", "0.97", "0.99"]),
        ("linear", 0.0, 0.5, ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
    ],
)
def test_the_marks_of_an_axis_are_round_values(name, low, high, texts):
    assert [text for _, text in Axis("x", scale=name, low=low, high=high).ticks()] == texts


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_what_optuna_samples_uniformly_is_uniform_on_the_scale(name, low, high):
    scale = SCALES[name]
    values = [scale.backward(scale.forward(low) + part * (scale.forward(high) - scale.forward(low))) for part in (0.2, 0.4, 0.6)]
    placed, bounds, logarithmic = [], set(), set()
    for value in values:
        told, first, last, log = scale.as_optuna(value, low, high)
        placed.append(math.log(told) if log else told)
        bounds.add((first, last))
        logarithmic.add(log)
    assert placed[1] - placed[0] == pytest.approx(placed[2] - placed[1], rel=1e-4)
    assert len(bounds) == len(logarithmic) == 1
    assert logarithmic == {name != "linear"}
    assert scale.in_optuna("beta_1") == ("1 - beta_1" if name == "log1m" else "beta_1")


def test_a_bound_that_is_not_on_the_scale_is_drawn_linearly():
    assert SCALES["log"].position(0.0) is SCALES["log1m"].position(1.0) is None
    assert [text for _, text in Axis("x", scale="log1m", low=0.5, high=1.0).ticks()]
    assert SCALES["log1m"].as_optuna(0.7, 0.5, 1.0) == (0.7, 0.5, 1.0, False)
    assert SCALES["log"].as_optuna(0.7, 0.0, 1.0) == (0.7, 0.0, 1.0, False)
