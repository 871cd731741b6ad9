"""Which positions of a detector's feature maps matter: those behind anchors that carry a detection.

More than 99 % of a detector's positions see background. Its logits there reach −4500 and its boxes are junk, so ranges,
bias corrections and rounding fitted to all positions are fitted to junk.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from ..models.config import DetectorConfig

CARRIES_DETECTION_LOGIT = -3.0


class DetectionImportance:
    """The positions near anchors whose float logit says they may carry a detection."""

    def __init__(self, config: DetectorConfig, scores: np.ndarray) -> None:
        """Finds them.

        Args:
            config: the detector.
            scores: `(N, num_anchors, 1)` float32 logits of the float network on the calibration samples.
        """
        self.anchors = scores[..., 0] > CARRIES_DETECTION_LOGIT
        self._levels = []
        start = 0
        for side, per_cell in config.anchor_grids:
            count = side * side * per_cell
            level = self.anchors[:, start : start + count].reshape(-1, side, side, per_cell).any(-1)
            # A neighbourhood: the convolutions behind an anchor see more than its own cell.
            self._levels.append(np.stack([cv2.dilate(mask.astype(np.float32), np.ones((3, 3))) for mask in level]))
            start += count

    @functools.lru_cache(maxsize=32)  # noqa: B019 - one object per sweep
    def __call__(self, height: int, width: int) -> np.ndarray:
        """`(N, height, width)` bool: which positions of a feature map of this size matter."""
        masks = [
            np.stack([cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) > 0 for mask in level])
            for level in self._levels
        ]
        return np.logical_or.reduce(masks)
