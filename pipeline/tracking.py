"""Who is who: the state of each tracked person, when two findings are one person, and how to find the next one.

People who hug share most of their bodies' circles, so that overlap of regions says nothing: landmarks are compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from .detector import Detection
from .landmarker import RoiLandmarks
from .roi import Roi
from .skeleton import EDGES, FACE, HIPS, SHOULDERS
from .smoothing import BodySmoother

# In sides of the region. A detection's mid-hip and mid-shoulder are within 0.1 of the same person's landmarks.
MAX_DETECTION_DISTANCE = 0.12
MAX_TWIN_DISTANCE = 0.1
COVERED_FACE, COVERED_LIMB = 0.2, 0.06
_GREY = (127, 127, 127)


@dataclass(eq=False)
class Track:
    """One tracked person.

    Attributes:
        number: identity, counted from 0 in the stream.
        roi: where to look in the next frame.
        smoother: the person's filters.
        mask: of the last frame, `(height, width)` float32, where masks are smoothed.
    """

    number: int
    roi: Roi
    smoother: BodySmoother
    mask: np.ndarray | None = None


def is_detection_of(detection: Detection, found: Iterable[RoiLandmarks]) -> bool:
    """Whether a detection is of one of the people already found: its hips and shoulders are at theirs."""
    points = detection.keypoints[[0, 2]]
    return any(_distance(points, _trunk(person.landmarks), person.roi) < MAX_DETECTION_DISTANCE for person in found)


def is_twin(candidate: RoiLandmarks, found: Iterable[RoiLandmarks]) -> bool:
    """Whether two regions led to the same body: the landmarks coincide with those of someone already found."""
    points = candidate.landmarks[:, :2]
    return any(_distance(points, person.landmarks[:, :2], person.roi) < MAX_TWIN_DISTANCE for person in found)


def cover_people(rgb: np.ndarray, found: Iterable[RoiLandmarks]) -> np.ndarray:
    """A copy of the image with the face, trunk and limbs of everyone already found painted grey.

    The released detector keeps silent about a second person beside a more prominent one; without that one it speaks up.
    """
    covered = rgb.copy()
    height, width = rgb.shape[:2]
    for person in found:
        side = person.roi.width * width
        points = (np.clip(person.landmarks[:, :2], -1, 2) * [width, height]).astype(np.int32)
        left, top = points[list(FACE)].mean(axis=0) - side * COVERED_FACE / 2
        right, bottom = left + side * COVERED_FACE, top + side * COVERED_FACE
        cv2.rectangle(covered, (int(left), int(top)), (int(right), int(bottom)), _GREY, cv2.FILLED)
        cv2.fillConvexPoly(covered, cv2.convexHull(points[[*SHOULDERS, *HIPS]]), _GREY)
        for start, end in EDGES:
            if start not in FACE:
                thickness = int(np.clip(side * COVERED_LIMB, 1, 255))
                cv2.line(covered, points[start].tolist(), points[end].tolist(), _GREY, thickness)
    return covered


def _trunk(landmarks: np.ndarray) -> np.ndarray:
    """`(2, 2)` x y of the middle of the hips and of the shoulders."""
    return np.stack([landmarks[list(pair), :2].mean(axis=0) for pair in (HIPS, SHOULDERS)])


def _distance(points: np.ndarray, others: np.ndarray, roi: Roi) -> float:
    """Mean distance of points, in sides of the region, which is a square in px but not in fractions."""
    return float(np.linalg.norm((points - others) / [roi.width, roi.height], axis=1).mean())
