"""A network a user has trained further: the official one with every weight changed a little."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

VARIANT = "face_detection_short_range"


@functools.cache
def model():
    """The Keras model; its weights are no fp16 numbers any more."""
    from blazeport.models.build import build_model

    network = build_model(VARIANT)
    rng = np.random.default_rng(0)
    network.set_weights([_change(weights, rng) for weights in network.get_weights()])
    return network


def save(path: Path) -> Path:
    """Saves it as `.keras` or `.weights.h5`, whichever the path ends with."""
    if path.suffix == ".keras":
        model().save(path)
    else:
        model().save_weights(path)
    return path


def _change(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (weights * rng.normal(1, 0.01, weights.shape)).astype(np.float32)
