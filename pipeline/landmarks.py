"""From the landmark network's raw outputs to landmarks in the image and in metres."""

from __future__ import annotations

import math

import numpy as np

from ..models.config import PoseLandmarkConfig
from .decode import sigmoid
from .image_to_tensor import Padding
from .roi import Roi

HEATMAP_KERNELS = (7, 9)  # cells
MIN_CONFIDENCE_TO_REFINE = np.float32(0.5)
F32 = np.float32


def decode_landmarks(raw: np.ndarray, config: PoseLandmarkConfig) -> np.ndarray:
    """Landmarks in the network's own crop.

    Args:
        raw: `(1, num_landmarks * 5)` float32: x y z in px of the input, visibility logit, presence logit.
        config: the landmark network.
    Returns:
        `(num_landmarks, 5)` float32: x y in [0, 1] of the crop, z in the same unit, visibility and presence in [0, 1].

    Source: MediaPipe TensorsToLandmarksCalculator.
    """
    landmarks = raw.reshape(config.num_landmarks, 5).copy()
    landmarks[:, :3] /= F32(config.input_size)
    landmarks[:, 3:] = sigmoid(landmarks[:, 3:])
    return landmarks


def refine_landmarks(landmarks: np.ndarray, heatmap: np.ndarray, kernel: int) -> np.ndarray:
    """Moves each landmark to the centre of mass of its heatmap around it, where the heatmap is confident.

    Args:
        landmarks: `(num_landmarks, 5)` float32, x y in [0, 1] of the crop.
        heatmap: `(1, rows, columns, num_landmarks)` float32 logits.
        kernel: side of the window around the landmark, cells; odd.
    Returns:
        A copy with x and y refined; z, visibility and presence are untouched.

    Source: MediaPipe RefineLandmarksFromHeatmapCalculator. Differs: vectorised.
    """
    rows, columns, count = heatmap.shape[1:]
    size = np.array([columns, rows], np.float32)
    position = landmarks[:, :2] * size
    inside = ((position > -1) & (position < size)).all(axis=1)  # rounding is towards zero; NaN is outside
    column, row = np.where(inside[:, np.newaxis], position, F32(0)).astype(np.intp).T
    window = np.arange(kernel) - (kernel - 1) // 2
    window_rows, window_columns = row[:, np.newaxis] + window, column[:, np.newaxis] + window
    in_rows = (window_rows >= 0) & (window_rows < rows)
    in_columns = (window_columns >= 0) & (window_columns < columns)
    logits = heatmap[
        0,
        np.clip(window_rows, 0, rows - 1)[:, :, np.newaxis],
        np.clip(window_columns, 0, columns - 1)[:, np.newaxis],
        np.arange(count)[:, np.newaxis, np.newaxis],
    ]
    # (num_landmarks, kernel, kernel)
    confidence = sigmoid(logits) * (in_rows[:, :, np.newaxis] & in_columns[:, np.newaxis])
    refined = inside & (confidence.max(axis=(1, 2)) >= MIN_CONFIDENCE_TO_REFINE)
    total = confidence.sum(axis=(1, 2))
    total[~refined] = 1
    x = (confidence.sum(axis=1) * window_columns.astype(np.float32)).sum(axis=1) / size[0] / total
    y = (confidence.sum(axis=2) * window_rows.astype(np.float32)).sum(axis=1) / size[1] / total
    result = landmarks.copy()
    result[refined, 0] = x[refined]
    result[refined, 1] = y[refined]
    return result


def project_landmarks(landmarks: np.ndarray, roi: Roi, padding: Padding) -> np.ndarray:
    """Landmarks in the image instead of the crop.

    Args:
        landmarks: `(n, 5)` float32, x y in [0, 1] of the crop, z in the same unit.
        roi: where the crop was taken.
        padding: what the crop added around `roi`.
    Returns:
        `(n, 5)` float32: x in fractions of the image's width, y of its height, z of its width (smaller is nearer, 0 at
        the hips), visibility and presence as they came.

    Source: MediaPipe LandmarkLetterboxRemovalCalculator, then LandmarkProjectionCalculator.
    """
    one, half = F32(1), F32(0.5)
    size_x, size_y = one - (padding.x + padding.x), one - (padding.y + padding.y)
    x = (landmarks[:, 0] - padding.x) / size_x - half
    y = (landmarks[:, 1] - padding.y) / size_y - half
    cos, sin = F32(math.cos(roi.rotation)), F32(math.sin(roi.rotation))
    result = landmarks.copy()
    result[:, 0] = (cos * x - sin * y) * F32(roi.width) + F32(roi.x_center)
    result[:, 1] = (sin * x + cos * y) * F32(roi.height) + F32(roi.y_center)
    result[:, 2] = landmarks[:, 2] / size_x * F32(roi.width)
    return result


def world_landmarks(raw: np.ndarray, roi: Roi, config: PoseLandmarkConfig) -> np.ndarray:
    """The body's landmarks in metres.

    Args:
        raw: `(1, num_landmarks * 3)` float32 x y z in metres, upright in the crop.
        roi: where the crop was taken.
        config: the landmark network.
    Returns:
        `(num_body_landmarks, 3)` float32 x y z in metres from the middle of the hips, upright in the image.

    Source: MediaPipe WorldLandmarkProjectionCalculator.
    """
    world = raw.reshape(config.num_landmarks, 3)[: config.num_body_landmarks].copy()
    cos, sin = F32(math.cos(roi.rotation)), F32(math.sin(roi.rotation))
    x, y = world[:, 0].copy(), world[:, 1].copy()
    world[:, 0] = cos * x - sin * y
    world[:, 1] = sin * x + cos * y
    return world
