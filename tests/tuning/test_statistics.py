"""Intervals and tests: against numbers computed in another way, from textbooks, and by simulation."""

import math

import numpy as np
import pytest
import scipy.stats

from tuning.results.search import mean_curve
from tuning.results.statistics import difference, holm, plus_minus, summary

# Student (1908), after Cushny and Peebles: hours of sleep gained with two drugs by the same ten patients.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def by_seed(values, first=0):
    return dict(enumerate(values, first))


def test_a_summary_is_mean_deviation_and_t_interval():
    got = summary(SLEEP_1)
    assert (got.mean, got.sd, got.count) == (pytest.approx(0.75), pytest.approx(np.std(SLEEP_1, ddof=1)), 10)
    interval = scipy.stats.t.interval(0.95, 9, loc=np.mean(SLEEP_1), scale=scipy.stats.sem(SLEEP_1))
    assert (got.low, got.high) == pytest.approx(interval)
    assert summary([1.0, 3.0]).high == pytest.approx(2 + 12.706204736)  # t with 1 degree of freedom, from a table
    assert summary([1.0, 3.0]).half == pytest.approx(12.706204736)
    assert str(summary([1.0, 3.0])) == "2 ± 13"


def test_one_value_has_no_spread_and_none_no_summary():
    got = summary([0.5])
    assert (got.mean, got.sd, got.low, got.high, got.count) == (0.5, None, None, None, 1)
    assert (got.half, str(got)) == (None, "0.5")
    for values in ([], [1.0, math.nan]):
        with pytest.raises(ValueError, match="finite values"):
            summary(values)


def test_the_same_seeds_are_compared_in_pairs():
    """Student's own numbers: a mean difference of 1.58 hours, t = 4.06 with 9 degrees of freedom, p = 0.0028."""
    got = difference(by_seed(SLEEP_2), by_seed(SLEEP_1))
    assert got.paired
    assert (got.difference, got.p) == (pytest.approx(1.58), pytest.approx(0.00283289, rel=1e-5))
    assert (got.low, got.high) == pytest.approx((0.7001142, 2.4598858))
    assert got.p == pytest.approx(scipy.stats.ttest_rel(SLEEP_2, SLEEP_1).pvalue)
    shuffled = dict(reversed(by_seed(SLEEP_1).items()))
    assert difference(by_seed(SLEEP_2), shuffled) == got  # the seed pairs, not the order


def test_other_seeds_are_compared_by_welch():
    """The same numbers as if from twenty patients: t = 1.86 with 17.8 degrees of freedom, p = 0.0794."""
    got = difference(by_seed(SLEEP_2), by_seed(SLEEP_1, first=10))
    assert not got.paired
    assert got.p == pytest.approx(0.07939414, rel=1e-5)
    assert (got.low, got.high) == pytest.approx((-0.2054832, 3.3654832), rel=1e-5)
    fewer = difference(by_seed(SLEEP_2[:4]), by_seed(SLEEP_1))
    expected = scipy.stats.ttest_ind(SLEEP_2[:4], SLEEP_1, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (fewer.p, fewer.low, fewer.high) == pytest.approx((expected.pvalue, interval.low, interval.high))


def test_what_cannot_be_told_is_none():
    for one, other, gap, paired in (
        ([1.0], [2.0], -1.0, True),
        ([1.0], [2.0, 3.0], -1.5, False),
        ([1.0, 2.0], [3.0], -1.5, False),
    ):
        got = difference(by_seed(one), by_seed(other))
        assert (got.difference, got.low, got.high, got.p, got.paired) == (gap, None, None, None, paired)


def test_without_any_spread_only_equal_means_are_equal():
    assert difference(by_seed([0.5, 0.5]), by_seed([0.5, 0.5])).p == 1
    assert difference(by_seed([0.5, 0.5]), by_seed([0.5, 0.5, 0.5])).p == 1
    got = difference(by_seed([0.5, 0.5]), by_seed([0.25, 0.25]))
    assert (got.difference, got.low, got.high, got.p, got.paired) == (0.25, 0.25, 0.25, 0, True)
    got = difference(by_seed([0.5, 0.5]), by_seed([0.75, 0.75, 0.75]))
    assert (got.difference, got.low, got.high, got.p, got.paired) == (-0.25, -0.25, -0.25, 0, False)


def test_holm_adjusts_for_the_number_of_comparisons():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # by hand: 3, 1, 2, 4 times; then rising
    assert holm([0.04, None, 0.02]) == [pytest.approx(0.04), None, pytest.approx(0.04)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("count", [2, 5])
def test_95_of_100_intervals_hold_the_true_mean(count):
    draws = np.random.default_rng(0).normal(3, 2, size=(2000, count))
    covered = sum(got.low <= 3 <= got.high for got in map(summary, draws.tolist()))
    assert 0.935 <= covered / 2000 <= 0.965  # three standard errors


@pytest.mark.parametrize("seeds", [(0, 0), (0, 100)])
def test_5_of_100_equal_pairs_are_called_different(seeds):
    generator = np.random.default_rng(1)
    false = 0
    for _ in range(2000):
        one, other = (by_seed(generator.normal(size=5).tolist(), first) for first in seeds)
        got = difference(one, other)
        assert (got.p < 0.05) == (not got.low <= 0 <= got.high)
        false += got.p < 0.05
    assert 0.03 <= false / 2000 <= 0.065


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (0.97222, 0.004123, "0.9722 ± 0.0041"),
        (0.97222, 0.48, "0.9722 ± 0.4800"),
        (0.97222, 0.000123, "0.97222 ± 0.00012"),
        (0.97222, 0.0000999, "0.97222 ± 0.00010"),
        (0.0, 0.25, "0.00 ± 0.25"),
        (0.00021, 0.0049, "0.0002 ± 0.0049"),
        (0.9722, None, "0.9722"),
        (0.9722, math.inf, "0.9722"),
        (0.25, 0.25, "0.2500 ± 0.2500"),
        (0.0001, 0.00001, "0.000100 ± 0.000010"),
        (1e6, 10.0, "1.000e+06 ± 1.0e+01"),
        (0.5, 0.0, "0.5 ± 0"),
        (0.5, 1.5e-12, "0.50000000 ± 0.00000000"),
        (123.456, 12.3, "123.5 ± 12.3"),
        (2.30259, 1.7, "2.303 ± 1.700"),
        (1.5e-7, 2.4e-8, "1.500e-07 ± 2.4e-08"),
        (1.5e9, 2.4e8, "1.500e+09 ± 2.4e+08"),
    ],
)
def test_a_mean_is_shown_with_at_least_four_digits_and_its_interval_with_two(mean, half, text):
    assert plus_minus(mean, half) == text


def test_a_mean_curve_is_of_the_trainings_that_went_on_so_long():
    curves = [{"loss": [4.0, 2.0, 1.0]}, {"loss": [2.0, None]}, {"accuracy": [0.5]}]
    assert mean_curve(curves, "loss") == [3.0, None, 1.0]
    assert mean_curve(curves, "val_loss") == []
