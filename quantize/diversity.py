"""What calibration samples show: how people and faces are turned, how large they are, and what can be seen of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .. import progress
from ..convert.inputs import ImageInput, Origin
from ..models.config import POSE_LANDMARK_LITE, DetectorConfig, PoseDetectorConfig, PoseLandmarkConfig, VariantConfig
from ..pipeline.anchors import make_anchors
from ..pipeline.decode import decode_detections, sigmoid
from ..pipeline.image_to_tensor import letterbox_padding
from ..pipeline.nms import blend_overlapping
from ..runtime.interpreter import Model
from ..weights.fetch import official_file

# Landmarks of a body part; it is visible when the network says so of at least half of them.
BODY_PARTS = {
    "face": range(11),
    "shoulders": (11, 12),
    "arms": range(13, 23),
    "hips": (23, 24),
    "knees": (25, 26),
    "feet": range(27, 33),
}
ROTATION_DEGREES = (15, 45, 90)
SIZE_PERCENT = (10, 25, 50, 100)
_POSITIONS = (
    *("top left", "top", "top right"),
    *("left", "centre", "right"),
    *("bottom left", "bottom", "bottom right"),
)


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Counts over the samples that were not jittered.

    Attributes:
        frames: photos and frames that gave samples.
        frames_with: those of them in which a person (presence above 0.5) or a face was found.
        subjects: people or faces in all.
        rotation: degrees from upright, either way → subjects.
        size: a crop's side, a face's box or a body's circle, in % of the picture's longer side → subjects.
        position: part of the picture in which a detection's centre lies → subjects; empty for crops.
        visible: body part → crops in which it is seen; empty for detectors.
    """

    frames: int
    frames_with: int
    subjects: int
    rotation: dict[str, int]
    size: dict[str, int]
    position: dict[str, int] = field(default_factory=dict)
    visible: dict[str, int] = field(default_factory=dict)


def measure_diversity(
    config: VariantConfig | ImageInput, tensors: np.ndarray, origins: Sequence[Origin]
) -> Diversity | None:
    """Looks at samples with the official networks.

    Args:
        config: the network they are for.
        tensors: `(N, S, S, 3)` float32 in its range.
        origins: where each is from.
    Returns:
        None for a network that is none of blazeport's.
    """
    places = [place for place, origin in enumerate(origins) if not origin.jittered]
    seen = progress.track(places, "Looking at what the samples show", len(places))
    if isinstance(config, PoseLandmarkConfig):
        return _of_crops(tensors, origins, seen)
    if isinstance(config, DetectorConfig):
        return _of_frames(config, tensors, origins, seen)
    return None


def histogram(values: Iterable[float], edges: Sequence[int], unit: str) -> dict[str, int]:
    """Counts between edges: `0–15°`, `15–45°`, …, `over 90°`; a value on an edge counts below it."""
    lows = (0, *edges)
    labels = [f"{low}–{high}{unit}" for low, high in zip(lows, edges, strict=False)]
    labels.append(f"over {edges[-1]}{unit}")
    counts = dict.fromkeys(labels, 0)
    for value in values:
        counts[labels[int(np.searchsorted(edges, value))]] += 1
    return counts


def _of_crops(tensors: np.ndarray, origins: Sequence[Origin], places: Iterable[int]) -> Diversity:
    config = POSE_LANDMARK_LITE
    rotation, size, frames, frames_with, visible = [], [], set(), set(), dict.fromkeys(BODY_PARTS, 0)
    with Model(official_file(config.name)) as model:
        for place in places:
            origin, outputs = origins[place], model.run(tensors[place : place + 1])
            frames.add(origin.frame)
            if outputs["presence"][0, 0] <= config.min_presence or origin.roi is None:
                continue
            frames_with.add(origin.frame)
            rotation.append(abs(math.degrees(origin.roi.rotation)))
            size.append(100 * origin.roi.width * origin.width / max(origin.width, origin.height))
            seen = sigmoid(outputs["landmarks"].reshape(config.num_landmarks, -1)[:, 3]) > 0.5
            for part, landmarks in BODY_PARTS.items():
                visible[part] += bool(seen[list(landmarks)].mean() >= 0.5)
    return Diversity(
        frames=len(frames),
        frames_with=len(frames_with),
        subjects=len(rotation),
        rotation=histogram(rotation, ROTATION_DEGREES, "°"),
        size=histogram(size, SIZE_PERCENT, " %"),
        visible=visible,
    )


def _of_frames(
    config: DetectorConfig, tensors: np.ndarray, origins: Sequence[Origin], places: Iterable[int]
) -> Diversity:
    anchors = make_anchors(config)
    rotation, size, frames, frames_with = [], [], 0, 0
    position = dict.fromkeys(_POSITIONS, 0)
    with Model(official_file(config.name)) as model:
        for place in places:
            outputs = model.run(tensors[place : place + 1])
            raw = decode_detections(outputs["boxes"], outputs["scores"], anchors, config)
            found = blend_overlapping(raw, config.nms_iou)
            frames += 1
            frames_with += len(found) > 0
            padding = letterbox_padding(origins[place].width, origins[place].height)
            for box, keypoints in zip(found.boxes, found.keypoints, strict=True):
                center, side, degrees = _measured(config, box, keypoints)
                rotation.append(degrees)
                size.append(100 * side)
                inside = (center - np.array(padding)) / (1 - 2 * np.array(padding))
                column, row = np.clip((3 * inside).astype(int), 0, 2)
                position[_POSITIONS[3 * row + column]] += 1
    return Diversity(
        frames=frames,
        frames_with=frames_with,
        subjects=len(rotation),
        rotation=histogram(rotation, ROTATION_DEGREES, "°"),
        size=histogram(size, SIZE_PERCENT, " %"),
        position=position,
    )


def _measured(config: DetectorConfig, box: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Centre in the letterboxed square, size as a share of its side, and degrees from upright, either way."""
    if isinstance(config, PoseDetectorConfig):
        dx, dy = (float(value) for value in keypoints[1] - keypoints[0])  # from mid-hip up to the circle's rim
        return keypoints[0], 2 * math.hypot(dx, dy), abs(math.degrees(math.atan2(dx, -dy)))
    dx, dy = (float(value) for value in keypoints[1] - keypoints[0])  # from the right eye, which is on the left
    return box[:2] + box[2:] / 2, float(max(box[2:])), abs(math.degrees(math.atan2(dy, dx)))
