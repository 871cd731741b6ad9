"""Ranges of activations: from which values to which an integer grid should reach."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import unknown
from .grid import IntType, grid_for

_MAX_VALUES = 200_000
_CANDIDATES = np.linspace(0.3, 1.0, 36)
_BINS = 2048

Range = tuple[float, float]


def choose_range(values: np.ndarray, method: str, dtype: IntType) -> Range:
    """The range of one tensor.

    Args:
        values: float32, `(…, C)`; large arrays are thinned out.
        method: `minmax`, `percentile` (99.99 % on both sides), `mse` (least squared rounding and clipping error) or
            `entropy` (least divergence of the histograms, as TensorRT calibrates).
        dtype: the grid's type; int16 grids are fine enough for `minmax` always.
    Raises:
        ConfigError: unknown method.
    """
    if method not in METHODS:
        raise unknown("range method", method, METHODS)
    low, high = float(values.min()), float(values.max())
    if dtype == "int16" or low == high:
        return low, high
    return METHODS[method](_thinned(values), low, high)


def _thinned(values: np.ndarray) -> np.ndarray:
    """About `_MAX_VALUES` values, flat: all channels of random positions. An even stride would miss channels."""
    rows = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    number = max(1, _MAX_VALUES // rows.shape[1])
    if len(rows) > number:
        rows = rows[np.random.default_rng(0).integers(len(rows), size=number)]
    return rows.reshape(-1)


def _minmax(_: np.ndarray, low: float, high: float) -> Range:
    return low, high


def _percentile(values: np.ndarray, _: float, __: float) -> Range:
    low, high = np.percentile(values, (0.01, 99.99))
    return float(low), float(high)


def _mse(values: np.ndarray, low: float, high: float) -> Range:
    """Shrinks each end in turn for as long as the squared error of the values' histogram falls."""
    counts, edges = np.histogram(values, _BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2

    def error(candidate: Range) -> float:
        grid = grid_for(*candidate, "int8")
        clipped = np.clip(centres, *candidate)
        # Rounding is spread evenly over a step; only clipping depends on where in its bin a value lies.
        return float(np.sum(counts * (np.square(centres - clipped) + (clipped == centres) * grid.scale**2 / 12)))

    best = (low, high)
    for _ in range(2):
        if best[1] > 0:
            best = min(((best[0], high * factor) for factor in _CANDIDATES), key=error)
        if best[0] < 0:
            best = min(((low * factor, best[1]) for factor in _CANDIDATES), key=error)
    return best


def _entropy(values: np.ndarray, low: float, high: float) -> Range:
    """The symmetric shrinking of both ends whose quantized histogram diverges least from the values'."""
    counts, edges = np.histogram(values, _BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    counts = counts + 1e-6

    def divergence(factor: float) -> float:
        bottom, top = low * factor, high * factor
        inside = (centres >= bottom) & (centres <= top)
        kept = counts[inside]
        _, cells = np.unique(grid_for(bottom, top, "int8").round(centres[inside]), return_inverse=True)
        quantized = (np.bincount(cells, kept) / np.bincount(cells))[cells]
        saturated = kept.copy()
        saturated[0] += counts[centres < bottom].sum()
        saturated[-1] += counts[centres > top].sum()
        share = saturated / saturated.sum()
        return float(np.sum(share * np.log(share * quantized.sum() / quantized)))

    factor = float(min(_CANDIDATES, key=divergence))
    return low * factor, high * factor


METHODS: dict[str, Callable[[np.ndarray, float, float], Range]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "mse": _mse,
    "entropy": _entropy,
}
