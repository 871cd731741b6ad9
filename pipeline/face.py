"""BlazeFace on still images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..models.config import FaceDetectorConfig
from ..runtime.interpreter import Model
from .detector import Detection, Detector
from .timing import Stopwatch


@dataclass(frozen=True, eq=False)
class FaceResult:
    """The faces of one image.

    Attributes:
        faces: best first; six keypoints each: right eye, left eye, nose tip, mouth, right and left ear tragion.
        timing_ms: time spent in `crop`, `infer` and `post`.
    """

    faces: tuple[Detection, ...]
    timing_ms: dict[str, float]

    def to_dict(self) -> dict[str, object]:
        """The result as JSON values."""
        return {"timing_ms": self.timing_ms, "faces": [face.to_dict() for face in self.faces]}


class FaceDetector:
    """Finds faces with any export of a BlazeFace variant."""

    def __init__(self, model: Model | Path) -> None:
        """Takes a model; raises `InputError` for an unreadable file, `ConfigError` for another network."""
        self.detector = Detector(model, FaceDetectorConfig)

    def process(self, rgb: np.ndarray) -> FaceResult:
        """Finds the faces in `rgb`, `(height, width, 3)` uint8. Raises `ShapeError` for anything else."""
        watch = Stopwatch()
        faces = self.detector.detect(rgb, watch)
        return FaceResult(faces, watch.timing_ms)
