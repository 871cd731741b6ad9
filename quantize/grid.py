"""Grids: the evenly spaced values that an integer tensor can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

IntType = Literal["int8", "int16"]
_LIMITS: dict[IntType, tuple[int, int]] = {"int8": (-128, 127), "int16": (-32768, 32767)}
_WEIGHT_LIMIT = 127


@dataclass(frozen=True)
class Grid:
    """real = scale * (stored - zero_point). int16 grids are symmetric, as TFLite asks."""

    dtype: IntType
    scale: float
    zero_point: int

    def store(self, values: np.ndarray) -> np.ndarray:
        """The nearest stored integers, saturating."""
        low, high = _LIMITS[self.dtype]
        stored = np.rint(values / np.float32(self.scale)) + self.zero_point
        return np.clip(stored, low, high).astype(self.dtype)

    def round(self, values: np.ndarray) -> np.ndarray:
        """float32 values moved to the nearest ones of the grid, saturating at its ends."""
        low, high = _LIMITS[self.dtype]
        stored = np.divide(values, np.float32(self.scale), dtype=np.float32)
        np.rint(stored, out=stored)
        np.clip(stored, low - self.zero_point, high - self.zero_point, out=stored)
        stored *= np.float32(self.scale)
        return stored


def grid_for(low: float, high: float, dtype: IntType) -> Grid:
    """The finest grid that covers `[low, high]` and holds 0 exactly (padding and ReLU need it)."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    bottom, top = _LIMITS[dtype]
    if dtype == "int16":
        return Grid(dtype, max(-low, high, 1e-9) / top, 0)
    scale = max(high - low, 1e-9) / (top - bottom)
    return Grid(dtype, scale, int(np.clip(round(bottom - low / scale), bottom, top)))


def weight_scales(kernel: np.ndarray, channel_axis: int) -> np.ndarray:
    """`(C,)` float32 scale of each output channel, from its largest absolute weight."""
    axes = tuple(axis for axis in range(kernel.ndim) if axis != channel_axis)
    return np.maximum(np.abs(kernel).max(axes), 1e-9).astype(np.float32) / _WEIGHT_LIMIT


def store_weights(kernel: np.ndarray, scales: np.ndarray, channel_axis: int) -> np.ndarray:
    """int8 weights, rounded to nearest, in [-127, 127]."""
    shape = [1] * kernel.ndim
    shape[channel_axis] = -1
    return np.clip(np.rint(kernel / scales.reshape(shape)), -_WEIGHT_LIMIT, _WEIGHT_LIMIT).astype(np.int8)


def real_weights(stored: np.ndarray, scales: np.ndarray, channel_axis: int) -> np.ndarray:
    """float32 values of stored weights."""
    shape = [1] * stored.ndim
    shape[channel_axis] = -1
    return stored.astype(np.float32) * scales.reshape(shape)
