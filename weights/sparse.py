"""TFLite's sparse tensors: a tree of levels, one per dimension, each dense or compressed (CSR)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import WeightsError


@dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """One level of the tree.

    Attributes:
        size: coordinates of a dense level; None for a compressed one.
        segments: `(parents + 1,)` integers, where each parent's coordinates begin in `indices`. Empty on a dense level.
        indices: `(nodes,)` integers, the coordinates that are stored. Empty on a dense level.
    """

    size: int | None
    segments: np.ndarray
    indices: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """How the stored values lie in the dense tensor.

    Attributes:
        order: the dimension of each level, outermost first; `rank + i` is the inside of block dimension `i`.
        block_map: the dimensions that are cut into blocks.
        levels: the tree, in the order of `order`.
    """

    order: tuple[int, ...]
    block_map: tuple[int, ...]
    levels: tuple[Level, ...]

    def extents(self, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        """The `(size, stride)` of each entry of `order` in the row-major dense tensor.

        Raises:
            WeightsError: the dimensions, blocks and levels do not fit together.
        """
        rank = len(shape)
        if sorted(self.order) != list(range(rank + len(self.block_map))) or len(self.levels) != len(self.order):
            raise WeightsError("its sparse levels do not match its dimensions")
        extents = [(size, math.prod(shape[axis + 1 :])) for axis, size in enumerate(shape)]
        for inside, axis in enumerate(self.block_map, start=rank):
            block = self.levels[self.order.index(inside)].size
            if axis not in range(rank) or not block or block < 0 or extents[axis][0] % block:
                raise WeightsError("its sparse blocks do not divide its dimensions")
            size, stride = extents[axis]
            extents[axis] = (size // block, stride * block)
            extents.append((block, stride))
        return extents

    def check(self, shape: tuple[int, ...], num_values: int) -> None:
        """Checks that the tree has as many leaves as there are values, without building anything.

        Raises:
            WeightsError: it has not, or a level does not fit its dimension.
        """
        extents = self.extents(shape)
        nodes = 1
        for axis, level in zip(self.order, self.levels, strict=True):
            size, _ = extents[axis]
            if level.size is None:
                if len(level.segments) != nodes + 1:
                    raise WeightsError(f"a sparse level has {len(level.segments)} segments where {nodes + 1} belong")
                nodes = len(level.indices)
            elif level.size == size:
                nodes *= size
            else:
                raise WeightsError(f"a sparse level has {level.size} entries where {size} belong")
        if nodes != num_values:
            raise WeightsError(f"{nodes} sparse positions were expected and {num_values} values are stored")

    def densify(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Writes the stored values into a dense array.

        Args:
            values: `(nodes of the last level,)` of any dtype.
            shape: the dense shape. The caller bounds its size.
        Returns:
            `shape`, dtype of `values`; zero where nothing is stored.
        Raises:
            WeightsError: a level or an index does not fit.

        Source: TensorFlow Lite's `sparsity_format_converter.cc`. Differs: vectorised, and every index is checked.
        """
        self.check(shape, values.size)
        extents = self.extents(shape)
        offsets = np.zeros(1, np.int64)  # of each node, in the flat dense array
        for axis, level in zip(self.order, self.levels, strict=True):
            size, stride = extents[axis]
            if level.size is not None:
                offsets = np.add.outer(offsets, np.arange(size, dtype=np.int64) * stride).reshape(-1)
                continue
            segments, indices = level.segments.astype(np.int64), level.indices.astype(np.int64)
            counts = np.diff(segments)
            if segments[0] != 0 or segments[-1] != indices.size or np.any(counts < 0):
                raise WeightsError("its sparse segments do not cover its indices")
            if np.any((indices < 0) | (indices >= size)):
                raise WeightsError(f"a sparse index lies outside its dimension of {size}")
            offsets = np.repeat(offsets, counts) + indices * stride
        dense = np.zeros(math.prod(shape), values.dtype)
        dense[offsets] = values
        return dense.reshape(shape)
