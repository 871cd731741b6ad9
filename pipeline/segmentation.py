"""The segmentation mask: from logits in a region to a mask of the whole image."""

from __future__ import annotations

import cv2
import numpy as np

from .decode import sigmoid
from .image_to_tensor import crop_transform
from .roi import Roi

SMOOTHING_RATIO = 0.7
# Series of the uncertainty 1 - H(p) in t = (p - 0.5)^2, H the binary entropy.
_UNCERTAINTY = (5.68842, -0.748699, -57.8051, 291.309, -624.717)


def project_mask(logits: np.ndarray, roi: Roi, width: int, height: int) -> np.ndarray:
    """The mask in the image.

    Args:
        logits: `(side, side)` float32, in the region's crop.
        roi: where the crop was taken.
        width: px of the image.
        height: px of the image.
    Returns:
        `(height, width)` float32: how likely a pixel belongs to the person, in [0, 1]; 0 outside the region.

    Source: MediaPipe TensorsToSegmentationCalculator, then WarpAffineCalculator.
    """
    to_crop = crop_transform(roi, width, height, len(logits))
    to_image = cv2.invert(to_crop)[1][:2]
    return np.asarray(cv2.warpAffine(sigmoid(logits), to_image, (width, height), flags=cv2.INTER_LINEAR))


def smooth_mask(mask: np.ndarray, previous: np.ndarray, ratio: float = SMOOTHING_RATIO) -> np.ndarray:
    """Mixes the mask of the frame before in, the more the less certain the new one is.

    Args:
        mask: `(height, width)` float32 in [0, 1].
        previous: of the frame before, smoothed; the same shape.
        ratio: share of the previous mask where the new one is wholly uncertain.

    Source: MediaPipe SegmentationSmoothingCalculator.
    """
    square = (mask - np.float32(0.5)) ** 2
    series = np.zeros_like(square)
    for coefficient in reversed(_UNCERTAINTY):
        series = series * square + np.float32(coefficient)
    uncertainty = 1 - np.minimum(square * series, 1)
    return np.asarray(mask + (previous - mask) * (uncertainty * np.float32(ratio)))
