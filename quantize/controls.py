"""Runs of a network on slightly changed inputs: what its results move by when nothing of interest has changed.

Everything here takes and gives a `Runner`: one float32 `(1, S, S, 3)` input → output name → float32 array.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from ..convert.parity import Runner
from ..models.config import DetectorConfig, PoseLandmarkConfig, VariantConfig

PIXEL_VALUES = 255


def noisy(run: Runner, config: VariantConfig, seed: int = 0) -> Runner:
    """`run` on inputs whose values each move by -1, 0 or 1 of 255, by chance; every call draws anew."""
    rng = np.random.default_rng(seed)
    return lambda image: run(add_noise(image, config, rng))


def add_noise(image: np.ndarray, config: VariantConfig, rng: np.random.Generator) -> np.ndarray:
    """A copy of a network's input with -1, 0 or 1 of 255 pixel values added, inside the input's range."""
    low, high = config.input_range
    step = np.float32((high - low) / PIXEL_VALUES)
    noise = rng.integers(-1, 2, size=image.shape, dtype=np.int8).astype(np.float32)
    return np.asarray(np.clip(image + noise * step, low, high))


def shifted(run: Runner, config: VariantConfig) -> Runner:
    """`run` on inputs moved one px to the right, with the results moved back; the left column is repeated."""

    def run_shifted(image: np.ndarray) -> dict[str, np.ndarray]:
        outputs = dict(run(np.concatenate([image[:, :, :1], image[:, :, :-1]], axis=2)))
        if isinstance(config, PoseLandmarkConfig):
            landmarks = outputs["landmarks"].reshape(1, config.num_landmarks, -1).copy()
            landmarks[:, :, 0] -= 1
            outputs["landmarks"] = landmarks.reshape(1, -1)
        elif isinstance(config, DetectorConfig):
            boxes = outputs["boxes"].copy()
            boxes[:, :, 0] -= 1  # the box's centre
            boxes[:, :, 4::2] -= 1  # the keypoints
            outputs["boxes"] = boxes
        return outputs

    return run_shifted


def remembered(run: Runner, heads: tuple[str, ...]) -> Runner:
    """`run`, with those heads of it kept for each input, so that a reference runs once however often it is asked."""
    known: dict[bytes, dict[str, np.ndarray]] = {}

    def run_once(image: np.ndarray) -> Mapping[str, np.ndarray]:
        key = hashlib.blake2b(image.tobytes()).digest()
        if key not in known:
            known[key] = {name: values for name, values in run(image).items() if name in heads}
        return known[key]

    return run_once
