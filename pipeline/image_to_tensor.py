"""From a photo to a network's input: letterboxed for detectors, a rotated square crop for the landmark networks.

Source: MediaPipe ImageToTensorCalculator with its OpenCV converter. Its arithmetic is kept, because other resampling
(half-pixel centres, antialiasing) moves landmarks by percents: float32 rectangles, corners mapped to corners, bilinear
on uint8 and only then the change to float.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import cv2
import numpy as np

from ..models.config import DetectorConfig, PoseLandmarkConfig, VariantConfig
from .roi import Roi

F32 = np.float32


class Padding(NamedTuple):
    """Fractions of the tensor that lie outside the cropped rectangle, on the left and right (x), top and bottom (y)."""

    x: np.float32
    y: np.float32


class _Rect(NamedTuple):
    """A rotated rectangle in px of the image and radians, each float32."""

    x_center: np.float32
    y_center: np.float32
    width: np.float32
    height: np.float32
    rotation: np.float32


def detector_tensor(rgb: np.ndarray, config: DetectorConfig) -> np.ndarray:
    """The whole image, letterboxed with black to the detector's square input.

    Args:
        rgb: `(height, width, 3)` uint8 RGB.
        config: the detector.
    Returns:
        `(1, input_size, input_size, 3)` float32 in `config.input_range`.
    """
    height, width = rgb.shape[:2]
    return _warp(rgb, _whole(width, height), config, cv2.BORDER_CONSTANT)


def roi_tensor(rgb: np.ndarray, roi: Roi, config: PoseLandmarkConfig) -> np.ndarray:
    """The rotated square of `roi`, upright; beyond the image its border pixels are repeated.

    Args:
        rgb: `(height, width, 3)` uint8 RGB.
        roi: the region, which may leave the image.
        config: the landmark network.
    Returns:
        `(1, input_size, input_size, 3)` float32 in `config.input_range`.
    """
    height, width = rgb.shape[:2]
    return _warp(rgb, _in_px(roi, width, height), config, cv2.BORDER_REPLICATE)


def letterbox_padding(width: int, height: int) -> Padding:
    """What `detector_tensor` adds around an image of this size in px."""
    return _squared(_whole(width, height))[1]


def roi_padding(roi: Roi, width: int, height: int) -> Padding:
    """What `roi_tensor` adds around `roi` in an image of this size in px: 0, but for the last bit of its squareness."""
    return _squared(_in_px(roi, width, height))[1]


def _whole(width: int, height: int) -> _Rect:
    return _Rect(F32(0.5) * F32(width), F32(0.5) * F32(height), F32(width), F32(height), F32(0))


def _in_px(roi: Roi, width: int, height: int) -> _Rect:
    w, h = F32(width), F32(height)
    return _Rect(
        F32(roi.x_center) * w, F32(roi.y_center) * h, F32(roi.width) * w, F32(roi.height) * h, F32(roi.rotation)
    )


def _squared(rect: _Rect) -> tuple[_Rect, Padding]:
    """Grows the shorter side to the longer one. Even a ROI that is square but for its last bit needs this."""
    aspect = rect.height / rect.width
    zero, one, two = F32(0), F32(1), F32(2)
    if aspect < one:
        return rect._replace(height=rect.width), Padding(zero, (one - aspect) / two)
    return rect._replace(width=rect.height), Padding((one - one / aspect) / two, zero)


def crop_transform(roi: Roi, width: int, height: int, side: int) -> np.ndarray:
    """`(3, 3)` float64 matrix from px of the image to px of the region's crop, both counted from the corner."""
    return _transform(_in_px(roi, width, height), side)


def _transform(rect: _Rect, side: int) -> np.ndarray:
    square = _squared(rect)[0]
    degrees = float(F32(float(square.rotation * F32(180)) / math.pi))
    center, size = (float(square.x_center), float(square.y_center)), (float(square.width), float(square.height))
    # cv2.boxPoints: bottom left, top left, top right, bottom right.
    corners = cv2.boxPoints((center, size, degrees))
    target = np.array([[0, side], [0, 0], [side, 0], [side, side]], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners, target))


def _warp(rgb: np.ndarray, rect: _Rect, config: VariantConfig, border: int) -> np.ndarray:
    size = (config.input_size, config.input_size)
    transform = _transform(rect, config.input_size)
    crop = cv2.warpPerspective(rgb, transform, size, flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(cv2.LUT(crop, _pixel_values(*config.input_range)))[np.newaxis]


@functools.cache
def _pixel_values(low: float, high: float) -> np.ndarray:
    """`(256,)` float32: the network's value of each pixel value."""
    scale = (F32(high) - F32(low)) / F32(255)
    return np.arange(256, dtype=np.float32) * scale + F32(low)
