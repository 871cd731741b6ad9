"""From a detector's raw outputs to detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ShapeError
from ..models.config import DetectorConfig
from .image_to_tensor import Padding

LOGIT_LIMIT = np.float32(88)  # exp of more overflows float32


@dataclass(frozen=True, eq=False)
class Detections:
    """Any number of detections.

    Attributes:
        scores: `(n,)` float32 in [0, 1].
        boxes: `(n, 4)` float32: xmin ymin width height, normalised; may leave [0, 1].
        keypoints: `(n, num_keypoints, 2)` float32: x y, normalised; may leave [0, 1].
    """

    scores: np.ndarray
    boxes: np.ndarray
    keypoints: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-values)) of a float32 array; beyond +-88 nothing changes."""
    one = np.float32(1)
    return np.asarray(one / (one + np.exp(-np.clip(values, -LOGIT_LIMIT, LOGIT_LIMIT))))


def decode_detections(
    raw_boxes: np.ndarray, raw_scores: np.ndarray, anchors: np.ndarray, config: DetectorConfig
) -> Detections:
    """Decodes the anchors whose score reaches `config.min_score`.

    Args:
        raw_boxes: `(1, num_anchors, num_coords)` float32: dx dy w h, then x y per keypoint, px of the network's input,
            relative to the anchor.
        raw_scores: `(1, num_anchors, 1)` float32 logits.
        anchors: `(num_anchors, 2)` float32 centres, x y in [0, 1].
        config: the detector.
    Returns:
        Detections normalised to the letterboxed input, in the order of the anchors.
    Raises:
        ShapeError: the arrays disagree on the number of anchors or coordinates.

    Source: MediaPipe TensorsToDetectionsCalculator. Differs: vectorised; boxes below the score are never decoded.
    """
    expected = ((1, len(anchors), config.num_coords), (1, len(anchors), 1))
    if (raw_boxes.shape, raw_scores.shape) != expected:
        raise ShapeError(
            f"{config.name} gives boxes {expected[0]} and scores {expected[1]}. "
            f"Received: {raw_boxes.shape} and {raw_scores.shape}."
        )
    scores = sigmoid(raw_scores[0, :, 0])
    kept = np.flatnonzero(scores >= np.float32(config.min_score))
    coords = raw_boxes[0, kept].reshape(len(kept), config.num_coords // 2, 2) / np.float32(config.input_size)
    coords[:, 0] += anchors[kept]  # the box's centre
    coords[:, 2:] += anchors[kept, np.newaxis]  # the keypoints; column 1 is the box's size
    half = coords[:, 1] / np.float32(2)
    low, high = coords[:, 0] - half, coords[:, 0] + half
    boxes = np.concatenate([low, high - low], axis=1)
    valid = (boxes[:, 2:] >= 0).all(axis=1)  # NaN is not valid either
    return Detections(scores[kept][valid], boxes[valid], coords[valid, 2:])


def remove_letterbox(detections: Detections, padding: Padding) -> Detections:
    """Detections normalised to the image instead of the letterboxed input. Nothing is clipped.

    Source: MediaPipe DetectionLetterboxRemovalCalculator.
    """
    offset = np.array(padding, np.float32)
    size = np.float32(1) - (offset + offset)
    boxes = detections.boxes.copy()
    boxes[:, :2] -= offset
    boxes = (boxes.reshape(-1, 2, 2) / size).reshape(-1, 4)
    return Detections(detections.scores, boxes, (detections.keypoints - offset) / size)
