from __future__ import annotations

import math

import numpy as np
import pytest
from blazeport.pipeline.atan2 import atan2
from hypothesis import given
from hypothesis import strategies as st

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(FINITE, FINITE)
def test_it_is_within_two_units_in_the_last_place(y: float, x: float) -> None:
    angle = atan2(np.float32(y), np.float32(x))
    expected = math.atan2(y, x) if x or y else 0.0
    assert angle.dtype == np.float32
    assert abs(float(angle) - expected) <= 2 * np.spacing(np.float32(abs(expected))) + 1e-37


@pytest.mark.parametrize(
    ("y", "x", "angle"),
    [(0, 1, 0), (0, -1, math.pi), (-0.0, -1, -math.pi), (1, 0, math.pi / 2), (-1, 0, -math.pi / 2), (0, 0, 0)],
)
def test_the_axes_are_exact(y: float, x: float, angle: float) -> None:
    assert atan2(np.float32(y), np.float32(x)) == np.float32(angle)


@pytest.mark.parametrize(
    ("y", "x", "bits"),
    # Where a rounded double differs in the last bit; recorded from glibc 2.36.
    [(-373, -285, 0xC00E49A4), (-201, -151, 0xC00DC416), (295, -62, 0x3FE393E4), (254, -137, 0x40043032)],
)
def test_the_last_bit_is_the_classic_algorithms(y: float, x: float, bits: int) -> None:
    assert atan2(np.float32(y), np.float32(x)).view(np.uint32) == bits
