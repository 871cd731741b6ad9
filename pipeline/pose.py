"""BlazePose on still images: the detector finds a person, the landmark network looks at the region around it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import ConfigError, unknown
from ..models.config import PoseDetectorConfig, PoseLandmarkConfig
from ..runtime.interpreter import Model
from .detector import Detection, Detector, config_of
from .image import check_rgb
from .image_to_tensor import roi_padding, roi_tensor
from .landmarks import HEATMAP_KERNELS, decode_landmarks, project_landmarks, refine_landmarks, world_landmarks
from .roi import Roi, roi_from_points
from .timing import Stopwatch


@dataclass(frozen=True, eq=False)
class RoiLandmarks:
    """What the landmark network says of one region.

    Attributes:
        presence: probability that the region holds a person, in [0, 1].
        next_roi: the person's region in the next frame of a video; None when it has no size.
        landmarks: `(33, 5)` float32 x y z visibility presence: x in fractions of the image's width, y of its height,
            z of its width (0 at the hips, smaller is nearer); may leave [0, 1].
        world_landmarks: `(33, 3)` float32 x y z in metres from the middle of the hips; None if the file lacks the head.
    """

    presence: float
    next_roi: Roi | None
    landmarks: np.ndarray
    world_landmarks: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Person:
    """One person: the detection and the region it led to, and the landmarks found there (see `RoiLandmarks`)."""

    presence: float
    detection: Detection
    roi: Roi
    next_roi: Roi | None
    landmarks: np.ndarray
    world_landmarks: np.ndarray | None

    def to_dict(self) -> dict[str, object]:
        """The person as JSON values."""
        return {
            "presence": self.presence,
            "detection": self.detection.to_dict(),
            "roi": asdict(self.roi),
            "next_roi": None if self.next_roi is None else asdict(self.next_roi),
            "landmarks": self.landmarks.tolist(),
            "world_landmarks": None if self.world_landmarks is None else self.world_landmarks.tolist(),
        }


@dataclass(frozen=True, eq=False)
class PoseResult:
    """The people of one image.

    Attributes:
        people: as yet at most one, the best detection, if the landmark network confirms it.
        timing_ms: time spent in `crop`, `infer` and `post`.
    """

    people: tuple[Person, ...]
    timing_ms: dict[str, float]

    def to_dict(self) -> dict[str, object]:
        """The result as JSON values."""
        return {"timing_ms": self.timing_ms, "people": [person.to_dict() for person in self.people]}


class PoseLandmarker:
    """Finds a person's 33 landmarks, with any exports of the pose detector and of a landmark network.

    A file without the heatmap works unrefined, one without world landmarks leaves them out.
    """

    def __init__(
        self,
        detector: Model | Path,
        landmarker: Model | Path,
        *,
        refine: bool | None = None,
        heatmap_kernel: int = HEATMAP_KERNELS[0],
    ) -> None:
        """Takes the two models.

        Args:
            detector: the pose detector, or the path of its .tflite file.
            landmarker: a landmark network, likewise.
            refine: whether landmarks are refined by the heatmap; None: where the file has one.
            heatmap_kernel: side of the refinement's window, cells: 7, or 9 as MediaPipe's Python package has it.
        Raises:
            InputError: a file cannot be read.
            ConfigError: a file holds another network or lacks a head, or there is no such kernel.
        """
        if heatmap_kernel not in HEATMAP_KERNELS:
            raise unknown("heatmap kernel", heatmap_kernel, map(str, HEATMAP_KERNELS))
        self.detector = Detector(detector, PoseDetectorConfig)
        self.model = landmarker if isinstance(landmarker, Model) else Model(landmarker)
        self.config = config_of(self.model, PoseLandmarkConfig, ("landmarks", "presence"))
        has_heatmap = "heatmap" in self.model.outputs
        if refine and not has_heatmap:
            raise ConfigError(
                f"Refinement needs the head heatmap, which {self.model.name} lacks. Export it or turn it off."
            )
        self.refine = has_heatmap if refine is None else refine
        self.heatmap_kernel = heatmap_kernel

    def process(self, rgb: np.ndarray) -> PoseResult:
        """Finds the person in `rgb`, `(height, width, 3)` uint8, as a still. Raises `ShapeError` for anything else."""
        watch = Stopwatch()
        people = []
        for detection, roi in find_people(rgb, self.detector, watch)[:1]:
            found = self.landmarks_in(rgb, roi, watch)
            if found.presence > self.config.min_presence:
                people.append(
                    Person(found.presence, detection, roi, found.next_roi, found.landmarks, found.world_landmarks)
                )
        return PoseResult(tuple(people), watch.timing_ms)

    def landmarks_in(self, rgb: np.ndarray, roi: Roi, watch: Stopwatch | None = None) -> RoiLandmarks:
        """Runs the landmark network on one region, whether or not it turns out to hold a person.

        Args:
            rgb: `(height, width, 3)` uint8 RGB.
            roi: the region.
            watch: gets the laps `crop`, `infer` and `post`.
        Raises:
            ShapeError: `rgb` is no such image.
        """
        check_rgb(rgb)
        watch = watch or Stopwatch()
        height, width = rgb.shape[:2]
        tensor = roi_tensor(rgb, roi, self.config)
        watch.lap("crop")
        outputs = self.model.run(tensor)
        watch.lap("infer")
        landmarks = decode_landmarks(outputs["landmarks"], self.config)
        if self.refine:
            landmarks = refine_landmarks(landmarks, outputs["heatmap"], self.heatmap_kernel)
        landmarks = project_landmarks(landmarks, roi, roi_padding(roi, width, height))
        center, rim = landmarks[list(self.config.roi_landmarks), :2]
        raw_world = outputs.get("world_landmarks")
        result = RoiLandmarks(
            presence=float(outputs["presence"][0, 0]),
            next_roi=roi_from_points(center, rim, width, height, self.config.roi_scale),
            landmarks=landmarks[: self.config.num_body_landmarks],
            world_landmarks=None if raw_world is None else world_landmarks(raw_world, roi, self.config),
        )
        watch.lap("post")
        return result


def find_people(
    rgb: np.ndarray, detector: Detector[PoseDetectorConfig], watch: Stopwatch | None = None
) -> tuple[tuple[Detection, Roi], ...]:
    """Finds people and the regions in which their landmarks lie.

    Args:
        rgb: `(height, width, 3)` uint8 RGB.
        detector: the pose detector.
        watch: gets the laps `crop`, `infer` and `post`.
    Returns:
        Detection and region per person, best first. The box is the face's; the keypoints are mid-hip and circle rim of
        the whole body, then mid-shoulder and circle rim of the upper body. One whose circle has no size is left out.
    Raises:
        ShapeError: `rgb` is no such image.
    """
    height, width = rgb.shape[:2]
    detections = detector.detect(rgb, watch)
    regions = (
        roi_from_points(found.keypoints[0], found.keypoints[1], width, height, detector.config.roi_scale)
        for found in detections
    )
    return tuple((found, roi) for found, roi in zip(detections, regions, strict=True) if roi is not None)
