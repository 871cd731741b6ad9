"""Integer grids: how near they come, where they saturate, and that 0 is exact."""

from __future__ import annotations

import numpy as np
import pytest
from blazeport.quantize.grid import Grid, grid_for, real_weights, store_weights, weight_scales
from hypothesis import assume, given
from hypothesis import strategies as st

DTYPES = ("int8", "int16")
LIMITS = {"int8": (-128, 127), "int16": (-32768, 32767)}
ends = st.floats(-1e4, 1e4, width=32)


@st.composite
def ranges(draw) -> tuple[float, float]:
    low, high = sorted((draw(ends), draw(ends)))
    assume(high - low > 1e-3)
    return low, high


@given(ranges(), st.sampled_from(DTYPES), st.floats(0, 1))
def test_inside_the_range_rounding_moves_a_value_by_half_a_step_at_most(limits, dtype, share):
    low, high = min(limits[0], 0), max(limits[1], 0)
    grid = grid_for(*limits, dtype)
    value = np.float32([low + share * (high - low)])
    slack = 1e-5 * max(-low, high)
    # The zero point is rounded as well, so one end may lie half a step beyond the last stored value.
    assert abs(grid.round(value.copy())[0] - value[0]) <= grid.scale * (0.5 if dtype == "int16" else 1.0) + slack
    inner = np.clip(value, low + grid.scale, high - grid.scale)
    assert abs(grid.round(inner.copy())[0] - inner[0]) <= grid.scale * 0.5 + slack


@given(ranges(), st.sampled_from(DTYPES))
def test_zero_is_exact(limits, dtype):
    grid = grid_for(*limits, dtype)
    zero = np.zeros(1, np.float32)
    assert grid.round(zero)[0] == 0
    assert grid.store(zero)[0] == grid.zero_point
    low, high = LIMITS[dtype]
    assert low <= grid.zero_point <= high


@given(ranges(), st.sampled_from(DTYPES))
def test_beyond_the_range_values_saturate(limits, dtype):
    grid = grid_for(*limits, dtype)
    far = np.float32([-1e6, 1e6])
    assert grid.store(far).tolist() == list(LIMITS[dtype])
    low, high = LIMITS[dtype]
    assert np.allclose(grid.round(far), [grid.scale * (low - grid.zero_point), grid.scale * (high - grid.zero_point)])


@given(ranges(), st.sampled_from(DTYPES), st.lists(ends, min_size=1, max_size=20))
def test_what_is_stored_stands_for_what_rounding_gives(limits, dtype, values):
    grid = grid_for(*limits, dtype)
    array = np.float32(values)
    stored = grid.store(array)
    assert stored.dtype == dtype
    assert np.allclose(grid.scale * (stored.astype(np.float64) - grid.zero_point), grid.round(array), rtol=1e-5)
    assert np.array_equal(grid.round(grid.round(array)), grid.round(array))


@given(ranges())
def test_int16_is_symmetric(limits):
    grid = grid_for(*limits, "int16")
    assert grid.zero_point == 0
    assert grid.scale * 32767 == pytest.approx(max(-limits[0], limits[1]))


def test_a_relu6_tensor_uses_every_step():
    assert grid_for(0, 6, "int8") == Grid("int8", 6 / 255, -128)


def test_an_empty_range_gives_a_grid_all_the_same():
    for dtype in DTYPES:
        grid = grid_for(0, 0, dtype)
        assert grid.scale > 0
        assert grid.round(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("shape", "axis"), [((4, 3, 3, 2), 0), ((1, 3, 3, 4), 3)], ids=["conv", "depthwise"])
def test_each_output_channel_of_a_kernel_has_its_own_scale(shape, axis: int):
    sizes = np.float32([1, 10, 0.1, 100])
    kernel = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    kernel *= sizes.reshape([-1 if axis == each else 1 for each in range(4)])
    scales = weight_scales(kernel, axis)
    stored = store_weights(kernel, scales, axis)
    assert scales.shape == (4,)
    assert stored.dtype == np.int8
    assert np.abs(np.moveaxis(stored.astype(int), axis, 0)).reshape(4, -1).max(1).tolist() == [127] * 4
    error = np.abs(np.moveaxis(real_weights(stored, scales, axis) - kernel, axis, 0)).reshape(4, -1).max(1)
    assert (error <= scales * 0.501).all()


def test_weights_beyond_their_scale_saturate_symmetrically():
    kernel = np.float32([-9, 9, 0.5, 1]).reshape(1, 1, 1, 4)
    assert store_weights(kernel, np.float32([1 / 127]), 0).ravel().tolist() == [-127, 127, 64, 127]


def test_a_channel_of_zeros_stays_zero():
    kernel = np.zeros((2, 1, 1, 3), np.float32)
    scales = weight_scales(kernel, 0)
    assert (scales > 0).all()
    assert not store_weights(kernel, scales, 0).any()
