"""Statistics: against SciPy, by their properties, and how often an interval holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from blazeport.benchmarks.stats import (
    TRIM,
    bootstrap_interval,
    describe,
    neighbour_spread,
    paired_ratio,
    pairs_needed,
    trimmed_mean,
    unpaired_ratio,
)
from blazeport.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st

TIMES = st.lists(st.floats(1.0, 1e6), min_size=2, max_size=12)
FACTORS = st.floats(0.2, 5.0)


@given(TIMES)
def test_descriptions_are_those_of_scipy(samples: list[float]):
    found = describe(samples)
    assert found.median == pytest.approx(np.median(samples))
    assert found.mad == pytest.approx(scipy.stats.median_abs_deviation(samples))
    assert found.trimmed_mean == pytest.approx(scipy.stats.trim_mean(samples, TRIM))
    assert found.median <= found.p90 <= found.p99 <= max(samples) * (1 + 1e-12)
    assert min(samples) * (1 - 1e-12) <= found.trimmed_mean <= max(samples) * (1 + 1e-12)


@given(st.lists(st.lists(st.floats(-5, 5), min_size=7, max_size=7), min_size=1, max_size=5))
def test_the_trimmed_mean_of_rows_is_that_of_each_row(rows: list[list[float]]):
    assert trimmed_mean(np.array(rows)) == pytest.approx([scipy.stats.trim_mean(row, TRIM) for row in rows], abs=1e-9)


def test_outliers_are_counted():
    assert describe([10.0, 10.1, 9.9, 10.0, 10.2, 30.0]).outliers == 1
    assert describe([10.0] * 5).outliers == 0


@settings(max_examples=20, deadline=None)
@given(TIMES, FACTORS)
def test_a_constant_factor_is_found_exactly(baseline: list[float], factor: float):
    found = paired_ratio([factor * time for time in baseline], baseline)
    assert found.ratio == pytest.approx(factor)
    assert (found.low, found.high) == (pytest.approx(factor), pytest.approx(factor))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100)), min_size=3, max_size=10))
def test_an_interval_holds_its_ratio_and_turning_the_sides_round_turns_it(pairs: list[tuple[float, float]]):
    ours, theirs = zip(*pairs, strict=True)
    found, turned = paired_ratio(ours, theirs), paired_ratio(theirs, ours)
    assert found.low <= found.ratio <= found.high
    assert turned.ratio == pytest.approx(1 / found.ratio)
    assert min(o / t for o, t in pairs) * (1 - 1e-9) <= found.low
    assert found.high <= max(o / t for o, t in pairs) * (1 + 1e-9)


def test_a_higher_confidence_is_a_wider_interval():
    ratios = np.exp(np.random.default_rng(0).normal(0, 0.1, 12))
    widths = [
        math.log(found.high / found.low)
        for confidence in (0.5, 0.9, 0.99)
        for found in [paired_ratio(ratios, np.ones(12), confidence=confidence)]
    ]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_an_interval_is_scipys_bootstrap_of_the_expanded_confidence():
    logs = np.random.default_rng(3).normal(0.05, 0.02, 9)
    found = paired_ratio(np.exp(logs), np.ones(9), confidence=0.9, seed=5)
    expanded = 2 * scipy.stats.norm.cdf(scipy.stats.t.ppf(0.95, 8) * math.sqrt(9 / 8)) - 1
    theirs = scipy.stats.bootstrap(
        (logs,),
        lambda values, axis: scipy.stats.trim_mean(values, TRIM, axis=axis),
        confidence_level=expanded,
        method="percentile",
        n_resamples=4000,
        rng=5,
    ).confidence_interval
    assert (found.low, found.high) == (pytest.approx(np.exp(theirs.low)), pytest.approx(np.exp(theirs.high)))


@pytest.mark.parametrize("pairs", [5, 10])
def test_intervals_hold_the_truth_as_often_as_they_promise(pairs: int):
    random = np.random.default_rng(pairs)
    held = sum(
        found.low <= 1 <= found.high
        for _ in range(60)
        for found in [paired_ratio(np.exp(random.normal(0, 0.03, pairs)), np.ones(pairs))]
    )
    assert held >= 52  # 95 % of 60 are 57; below 52 is one chance in 500


def test_one_disturbed_pair_of_ten_does_not_make_a_difference():
    ratios = [1.0, 1.001, 0.999, 1.002, 0.998, 1.0, 1.001, 0.999, 1.0, 3.0]
    found = paired_ratio(ratios, [1.0] * 10)
    assert found.ratio == pytest.approx(1.0, abs=0.002)
    assert found.low < 1 < found.high


def test_unpaired_sides_need_not_be_of_one_length():
    found = unpaired_ratio([2.0, 2.1, 1.9, 2.0], [1.0, 1.05, 0.95, 1.0, 1.0, 1.0])
    assert found.ratio == pytest.approx(2.0, rel=0.02)
    assert 1.5 < found.low < found.high < 2.5
    assert found.pairs == 4


def test_more_pairs_are_asked_for_smaller_differences():
    found = paired_ratio(np.exp(np.random.default_rng(1).normal(0, 0.05, 8)), np.ones(8))
    few, many = (pairs_needed(found, effect) for effect in (0.05, 0.01))
    assert 8 <= few < many
    assert pairs_needed(found, found.detectable) == 8


def test_neighbours_are_sought_within_a_row():
    assert neighbour_spread([[100.0, 110.0], [500.0, 500.0, 505.0]]) == pytest.approx(0.01)
    assert neighbour_spread([[1.0], [2.0]]) is None


def test_the_interval_of_a_median_lies_within_its_values():
    low, high = bootstrap_interval([3.0, 1.0, 2.0, 5.0, 4.0])
    assert 1.0 <= low <= 3.0 <= high <= 5.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: describe([]), "at least one sample"),
        (lambda: describe([1.0, math.nan]), "finite"),
        (lambda: paired_ratio([1.0, 2.0], [1.0]), "same length"),
        (lambda: paired_ratio([1.0], [1.0]), "at least 2"),
        (lambda: paired_ratio([1.0, 0.0], [1.0, 1.0]), "above 0"),
        (lambda: paired_ratio([1.0, 2.0], [1.0, 1.0], confidence=1.5), "confidence must be between 0 and 1"),
    ],
)
def test_what_has_no_answer_is_an_error(call: object, message: str):
    with pytest.raises(ConfigError, match=message):
        call()  # type: ignore[operator]
