"""The points an SSD-style detector predicts around."""

from __future__ import annotations

import functools

import numpy as np

from ..models.config import DetectorConfig


@functools.cache
def make_anchors(config: DetectorConfig) -> np.ndarray:
    """The detector's anchors, in the order of its outputs: grid by grid, row by row, the anchors of one cell together.

    Args:
        config: the detector.
    Returns:
        `(num_anchors, 2)` float32 centres, x y in [0, 1]; read-only. Anchors have no size of their own.

    Source: MediaPipe SsdAnchorsCalculator with `fixed_anchor_size`, for which scales and aspect ratios have no effect.
    """
    grids = []
    for side, per_cell in config.anchor_grids:
        centers = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
        y, x = np.meshgrid(centers, centers, indexing="ij")
        grids.append(np.stack([x, y], axis=-1).reshape(-1, 2).repeat(per_cell, axis=0))
    anchors: np.ndarray = np.concatenate(grids)
    anchors.setflags(write=False)
    return anchors
