"""The region of interest: the rotated square in which the landmark network looks for one person."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .atan2 import HALF_PI, atan2
from .skeleton import HIPS, SHOULDERS

F32 = np.float32


@dataclass(frozen=True)
class Roi:
    """A rotated rectangle, square in px. All values are float32 numbers.

    Attributes:
        x_center: fraction of the image's width; may lie outside [0, 1].
        y_center: fraction of the image's height.
        width: fraction of the image's width.
        height: fraction of the image's height.
        rotation: radians in [-pi, pi), clockwise on screen; 0: the person stands upright.
    """

    x_center: float
    y_center: float
    width: float
    height: float
    rotation: float

    def corners(self, image_width: int, image_height: int) -> np.ndarray:
        """`(4, 2)` float64 x, y in px: the crop's top left, top right, bottom right and bottom left."""
        half = np.array([self.width * image_width, self.height * image_height]) / 2
        offsets = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        center = np.array([self.x_center * image_width, self.y_center * image_height])
        return np.asarray(offsets @ np.array([[cos, sin], [-sin, cos]]) + center)


def roi_from_points(
    center: np.ndarray, rim: np.ndarray, image_width: int, image_height: int, scale: float
) -> Roi | None:
    """The square around the circle that encloses a body, turned so that the body is upright.

    The points are a detection's mid-hip and circle rim, or the landmark network's two auxiliary landmarks.

    Args:
        center: `(2,)` float32 x, y of the circle's centre, in fractions of the image.
        rim: `(2,)` float32 x, y of the circle's point above the body, in fractions of the image.
        image_width: px.
        image_height: px.
        scale: factor from the circle's diameter to the square's side.
    Returns:
        The region, bit-equal to MediaPipe's; None when the circle has no finite, positive size.

    Source: MediaPipe AlignmentPointsRectsCalculator, then RectTransformationCalculator with `square_long`.
    """
    width, height = F32(image_width), F32(image_height)
    x, y = F32(center[0]) * width, F32(center[1]) * height
    dx, dy = F32(rim[0]) * width - x, F32(rim[1]) * height - y
    diameter = F32(math.sqrt(dx * dx + dy * dy) * 2.0)
    if not (np.isfinite(diameter) and diameter > 0):
        return None
    # MediaPipe rounds the sides to fractions and back before it squares them, so the last bit may differ between them.
    long_side = max(diameter / width * width, diameter / height * height)
    return Roi(
        x_center=float(x / width),
        y_center=float(y / height),
        width=float(long_side / width * F32(scale)),
        height=float(long_side / height * F32(scale)),
        rotation=_normalized(HALF_PI - atan2(-dy, dx)),
    )


def alignment_of_body(landmarks: np.ndarray, image_width: int, image_height: int) -> np.ndarray:
    """The circle around a body from its landmarks alone, for networks without auxiliary ones.

    Args:
        landmarks: `(33, n)` float32, x y in fractions of the image first; order of `skeleton.LANDMARK_NAMES`.
        image_width: px.
        image_height: px.
    Returns:
        `(2, 2)` float32 x y in fractions of the image, for `roi_from_points`: the middle of the hips, and the point at
        the distance of the farthest landmark in the direction of the middle of the shoulders.

    Source: arXiv 2006.10204, section 2.2.
    """
    size = np.array([image_width, image_height], F32)
    points = landmarks[:, :2] * size
    center = points[list(HIPS)].mean(axis=0)
    incline = points[list(SHOULDERS)].mean(axis=0) - center
    radius = np.linalg.norm(points - center, axis=1).max()
    length = np.linalg.norm(incline)
    upwards = incline / length if length > 0 else np.array([0, -1], F32)
    return np.asarray(np.stack([center, center + radius * upwards]) / size, F32)


def _normalized(angle: np.float32) -> float:
    """The angle in [-pi, pi), rounded to float32 as MediaPipe does."""
    turns = math.floor((float(angle) + math.pi) / (2 * math.pi))
    return float(F32(float(angle) - 2 * math.pi * turns))
