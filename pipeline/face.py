"""BlazeFace: the faces of an image."""

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
    """Finds faces with any export of a BlazeFace variant. Not for two threads at once; instances are independent."""

    def __init__(self, model: Model | Path, *, blend: bool = True) -> None:
        """Takes a model.

        Args:
            model: the network, or the path of its .tflite file.
            blend: whether overlapping detections are blended, as in MediaPipe; False: plain NMS, for comparison.
        Raises:
            InputError: the file cannot be read.
            ConfigError: it holds another network.
        """
        self.detector = Detector(model, FaceDetectorConfig, blend=blend)

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the network's memory; the detector cannot be used any more."""
        self.detector.model.close()

    def process(self, rgb: np.ndarray) -> FaceResult:
        """Finds the faces in `rgb`, `(height, width, 3)` uint8. Raises `ShapeError` for anything else."""
        watch = Stopwatch()
        faces = self.detector.detect(rgb, watch)
        return FaceResult(faces, watch.timing_ms)
