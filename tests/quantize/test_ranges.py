"""Ranges of activations on arrays made by hand: what each method keeps and what it cuts off."""

from __future__ import annotations

import numpy as np
import pytest
from blazeport.errors import ConfigError
from blazeport.quantize.grid import grid_for
from blazeport.quantize.ranges import METHODS, choose_range


def bell(size: int = 100_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def with_outliers() -> np.ndarray:
    """A bell of deviation 1 with one value at 12 and one at -12 among 100 000."""
    values = bell()
    values[[100, 200]] = 12, -12
    return values


def squared_error(values: np.ndarray, limits: tuple[float, float]) -> float:
    return float(np.square(grid_for(*limits, "int8").round(values) - values).sum(dtype=np.float64))


def test_minmax_keeps_outliers():
    assert choose_range(with_outliers(), "minmax", "int8") == (-12, 12)


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_outliers_are_cut_off(method: str):
    low, high = choose_range(with_outliers(), method, "int8")
    assert -10 < low < -2.5
    assert 2.5 < high < 10


def test_mse_makes_a_smaller_error_than_minmax():
    for values in (with_outliers(), bell(), bell() ** 3, np.abs(bell()) ** 3):
        assert squared_error(values, choose_range(values, "mse", "int8")) < squared_error(
            values, choose_range(values, "minmax", "int8")
        )


def test_mse_keeps_outliers_that_cost_more_to_cut_than_to_keep():
    values = bell(1000)
    values[0] = 40
    assert choose_range(values, "mse", "int8")[1] > 35


def test_mse_cuts_each_side_by_itself():
    values = bell(200_000)
    values[7] = 12
    low, high = choose_range(values, "mse", "int8")
    assert high < 10
    assert low == pytest.approx(values.min(), rel=0.2)


def test_percentile_leaves_one_value_in_ten_thousand_out_on_either_side():
    values = np.arange(100_001, dtype=np.float32)
    assert choose_range(values, "percentile", "int8") == pytest.approx((10, 99_990))


@pytest.mark.parametrize("method", METHODS)
def test_an_even_spread_is_not_cut_by_much(method: str):
    values = np.linspace(-1, 1, 10_000, dtype=np.float32)
    low, high = choose_range(values, method, "int8")
    assert -1 <= low <= -0.88
    assert 0.88 <= high <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full((4,), -2.5)], ids=["zeros", "constant"])
def test_a_constant_is_its_own_range(method: str, values: np.ndarray):
    assert choose_range(values.astype(np.float32), method, "int8") == (values.flat[0], values.flat[0])


@pytest.mark.parametrize("method", METHODS)
def test_one_sided_values_give_a_one_sided_range(method: str):
    low, high = choose_range(-np.abs(bell()), method, "int8")
    assert high <= 0.1
    assert -5 < low < -2.5


@pytest.mark.parametrize("method", METHODS)
def test_int16_is_fine_enough_to_keep_everything(method: str):
    assert choose_range(with_outliers(), method, "int16") == (-12, 12)


@pytest.mark.parametrize("method", METHODS)
def test_shape_and_order_do_not_matter(method: str):
    values = bell(6000)
    shaped = np.sort(values).reshape(10, 20, 30)
    assert choose_range(shaped, method, "int8") == pytest.approx(choose_range(values, method, "int8"))


def test_large_arrays_keep_their_extremes_under_minmax():
    values = bell(1_000_001)
    values[3] = 99
    assert choose_range(values, "minmax", "int8")[1] == 99


def test_an_unknown_method_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"range method.*minmax.*percentile.*mse.*entropy.*'best'"):
        choose_range(bell(10), "best", "int8")
