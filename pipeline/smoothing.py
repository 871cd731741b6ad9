"""Smoothing of landmarks over time: One Euro filters and low-passes as in MediaPipe, with its reset rules.

State is float32 and the arithmetic in between float64, as there, so that results agree over whole videos.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .landmarker import RoiLandmarks

F32, F64 = np.float32, np.float64

MIN_OBJECT_SCALE = 1e-6  # px; a smaller body is passed through
VISIBILITY_ALPHA = F32(0.1)
DERIVATIVE_CUTOFF_HZ = 1.0


class LowPass:
    """`alpha * new + (1 - alpha) * old`, element by element; the first values pass unchanged."""

    def __init__(self) -> None:
        self._stored: np.ndarray | None = None

    def filter(self, values: np.ndarray, alpha: np.ndarray | np.float32) -> np.ndarray:
        """The smoothed values.

        Args:
            values: float32, the same shape at each call.
            alpha: float32 weight of the new values, in [0, 1].
        """
        if self._stored is None:
            self._stored = values.copy()
        else:
            # The product is float32 and the sum float64, as in MediaPipe's C++.
            self._stored = (alpha * values + (1.0 - F64(alpha)) * self._stored).astype(F32)
        return self._stored


class OneEuroFilter:
    """Smooths slow motion much and fast motion little.

    Source: Casiez et al., "1 € Filter" (CHI 2012); MediaPipe one_euro_filter.cc. Differs: vectorised; times must grow.
    """

    def __init__(self, *, min_cutoff: float, beta: float) -> None:
        """Takes the constants.

        Args:
            min_cutoff: Hz, cutoff frequency at rest: the lower, the smoother.
            beta: how much the cutoff rises with speed: the higher, the less lag.
        """
        self.min_cutoff = min_cutoff
        self.beta = beta
        self.reset()

    def reset(self) -> None:
        """Forgets everything; the next values pass unchanged."""
        self._raw: np.ndarray | None = None
        self._time_us = 0
        self._values, self._speed = LowPass(), LowPass()

    def filter(self, values: np.ndarray, time_us: int, scale: float = 1.0) -> np.ndarray:
        """The smoothed values.

        Args:
            values: float32, the same shape at each call.
            time_us: when, later than at the call before.
            scale: factor on the speed, which makes `beta` independent of the object's size.
        """
        if self._raw is None:
            speed, period = np.zeros_like(values), 1.0
        else:
            period = (time_us - self._time_us) * 1e-6
            speed = ((values.astype(F64) - self._raw) * scale / period).astype(F32)
        self._raw, self._time_us = values.copy(), time_us
        speed = self._speed.filter(speed, F32(_alpha(DERIVATIVE_CUTOFF_HZ, period)))
        cutoff = self.min_cutoff + self.beta * np.abs(speed.astype(F64))
        return self._values.filter(values, _alpha(cutoff, period).astype(F32))


def _alpha(cutoff: np.ndarray | float, period: float) -> np.ndarray:
    """Weight of new values for a cutoff in Hz and a period in seconds."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * math.pi * period * cutoff)))


class BodySmoother:
    """All filters of one person in one stream.

    Source: MediaPipe pose_landmark_filtering.pbtxt. The points that carry the next region are smoothed even when the
    landmarks are not.
    """

    def __init__(self, *, smooth_landmarks: bool = True) -> None:
        """Takes whether the landmarks themselves are smoothed."""
        self.smooth_landmarks = smooth_landmarks
        self._landmarks = OneEuroFilter(min_cutoff=0.05, beta=80)  # px
        self._world = OneEuroFilter(min_cutoff=0.1, beta=40)  # m
        self._alignment = OneEuroFilter(min_cutoff=0.01, beta=10)  # px
        self._visibility = LowPass()

    def smooth(self, found: RoiLandmarks, width: int, height: int, time_us: int) -> RoiLandmarks:
        """The smoothed landmarks of a frame; presence is never smoothed.

        Args:
            found: what the landmark network says.
            width: px of the image.
            height: px of the image.
            time_us: time of the frame, later than that of the frame before.
        """
        size = np.array([width, height], F32)
        alignment_px = found.alignment * size
        across, down = alignment_px[1] - alignment_px[0]
        object_scale = 2.0 * math.sqrt(across * across + down * down)
        landmarks, alignment, world = found.landmarks, found.alignment, found.world_landmarks
        is_sized = object_scale >= MIN_OBJECT_SCALE
        scale = 1.0 / object_scale if is_sized else math.nan
        if is_sized:
            alignment = self._alignment.filter(alignment_px, time_us, scale) / size
        if self.smooth_landmarks:
            landmarks = landmarks.copy()
            if is_sized:
                size_xyz = np.array([width, height, width], F32)
                landmarks[:, :3] = self._landmarks.filter(landmarks[:, :3] * size_xyz, time_us, scale) / size_xyz
            landmarks[:, 3] = self._visibility.filter(landmarks[:, 3], VISIBILITY_ALPHA)
            if world is not None:
                world = self._world.filter(world, time_us)
        return replace(found, landmarks=landmarks, world_landmarks=world, alignment=alignment)

    def lose(self) -> None:
        """To be called on a frame without the person.

        As in MediaPipe only image coordinates start anew: visibility and metres are remembered across the gap.
        """
        self._landmarks.reset()
        self._alignment.reset()
