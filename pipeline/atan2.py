"""float32 atan2, the same on every machine.

The last bit of a region's rotation moves landmarks visibly, and C libraries, NumPy's vector units and a rounded double
disagree on it. This is the classic single-precision algorithm that MediaPipe's results on Linux were made with.
"""

from __future__ import annotations

import numpy as np

F32 = np.float32

PI, PI_LOW = F32(3.1415927410), F32(-8.7422776573e-08)
HALF_PI = F32(1.5707963705)

# atan(0.5), atan(1), atan(1.5), atan(inf): leading part and the rest.
_HIGH = tuple(map(F32, (4.6364760399e-01, 7.8539812565e-01, 9.8279368877e-01, 1.5707962513e00)))
_LOW = tuple(map(F32, (5.0121582440e-09, 3.7748947079e-08, 3.4473217170e-08, 7.5497894159e-08)))
_EVEN = tuple(
    map(
        F32,
        (3.3333334327e-01, 1.4285714924e-01, 9.0908870101e-02, 6.6610731184e-02, 4.9768779427e-02, 1.6285819933e-02),
    )
)
_ODD = tuple(map(F32, (-2.0000000298e-01, -1.1111110449e-01, -7.6918758452e-02, -5.8335702866e-02, -3.6531571299e-02)))


def atan2(y: np.float32, x: np.float32) -> np.float32:
    """The angle of the vector (x, y), radians in [-pi, pi], for finite float32 numbers.

    Source: FDLIBM's `atan2f`, as in glibc up to 2.40.
    """
    if x == 0:
        return F32(0) if y == 0 else F32(np.copysign(HALF_PI, y))
    with np.errstate(over="ignore", under="ignore"):
        angle = _atan(abs(F32(y / x)))
    if x < 0:
        angle = PI - (angle - PI_LOW)
    return F32(np.copysign(angle, y))


def _atan(x: np.float32) -> np.float32:
    """The arc tangent of a float32 number that is not negative."""
    one, two, three_halves = F32(1), F32(2), F32(1.5)
    if x > F32(2**25):
        return _HIGH[3] + _LOW[3]
    if x < F32(0.4375):
        return x - x * _series(x)
    if x < F32(0.6875):
        part, x = 0, (two * x - one) / (two + x)
    elif x < F32(1.1875):
        part, x = 1, (x - one) / (x + one)
    elif x < F32(2.4375):
        part, x = 2, (x - three_halves) / (one + three_halves * x)
    else:
        part, x = 3, -one / x
    return _HIGH[part] - ((x * _series(x) - _LOW[part]) - x)


def _series(x: np.float32) -> np.float32:
    square = x * x
    fourth = square * square
    even, odd = F32(0), F32(0)
    for coefficient in reversed(_EVEN):
        even = coefficient + fourth * even
    for coefficient in reversed(_ODD):
        odd = coefficient + fourth * odd
    return square * even + fourth * odd
