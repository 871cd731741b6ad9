"""What an app needs beside the file: how its values are decoded, in the manifest, and a detector's anchors as JSON."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..files import write_atomic
from ..models.config import DetectorConfig, PoseDetectorConfig, PoseLandmarkConfig, VariantConfig
from ..pipeline.anchors import make_anchors

ANCHORS_VERSION = 1
_ROI_KEYPOINTS = (0, 1)  # a pose detector's: the middle of the hips, the rim of the body's circle


@dataclass(frozen=True, kw_only=True)
class DecodingRecord:
    """How the outputs of a network become detections or landmarks. What a network has no use for is None or empty.

    Attributes:
        input_range: values that pixel 0 and pixel 255 are mapped to.
        anchors: name of the file with the detector's anchors, beside this one.
        min_score: detections below this sigmoid score are dropped.
        nms_iou: detections that overlap more than this are blended into one.
        keypoints: names of the keypoints after each box, in order.
        num_landmarks: landmarks per output: those of the body, then auxiliary ones.
        num_body_landmarks: how many of them a user is shown.
        min_presence: a crop whose presence is not above this holds no person.
        roi_points: which keypoints or landmarks are the centre and the rim of the circle around a body.
        roi_scale: factor from the circle's diameter to the side of the region of interest.
    """

    input_range: tuple[float, float]
    anchors: str | None = None
    min_score: float | None = None
    nms_iou: float | None = None
    keypoints: tuple[str, ...] = ()
    num_landmarks: int | None = None
    num_body_landmarks: int | None = None
    min_presence: float | None = None
    roi_points: tuple[int, int] | None = None
    roi_scale: float | None = None


def decoding_of(config: VariantConfig) -> DecodingRecord:
    """How the outputs of a variant are decoded."""
    if isinstance(config, DetectorConfig):
        is_pose = isinstance(config, PoseDetectorConfig)
        return DecodingRecord(
            input_range=config.input_range,
            anchors=anchors_path(Path(), config).name,
            min_score=config.min_score,
            nms_iou=config.nms_iou,
            keypoints=config.keypoint_names,
            roi_points=_ROI_KEYPOINTS if is_pose else None,
            roi_scale=config.roi_scale if isinstance(config, PoseDetectorConfig) else None,
        )
    assert isinstance(config, PoseLandmarkConfig)
    return DecodingRecord(
        input_range=config.input_range,
        num_landmarks=config.num_landmarks,
        num_body_landmarks=config.num_body_landmarks,
        min_presence=config.min_presence,
        roi_points=config.roi_landmarks,
        roi_scale=config.roi_scale,
    )


def anchors_path(folder: Path, config: DetectorConfig) -> Path:
    """Where the anchors of a detector lie; all its files in a folder share them."""
    return folder / f"{config.name}.anchors.json"


def anchors_json(config: DetectorConfig) -> str:
    """The anchors as JSON: `anchors` is a list of centres, x and y in [0, 1], in the order of the outputs."""
    # str of a float32 has no more digits than that has.
    points = [[float(str(x)), float(str(y))] for x, y in make_anchors(config)]
    return json.dumps({"schema_version": ANCHORS_VERSION, "variant": config.name, "anchors": points}) + "\n"


@contextlib.contextmanager
def anchors_beside(folder: Path, config: object) -> Iterator[None]:
    """Writes a detector's anchors into a folder unless they are there; when the block fails, they go again."""
    if not isinstance(config, DetectorConfig) or has_anchors(folder, config):
        yield
        return
    path = anchors_path(folder, config)
    write_atomic(path, anchors_json(config))
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def has_anchors(folder: Path, config: object) -> bool:
    """Whether the anchors that belong beside a network's files are there, or it has none."""
    if not isinstance(config, DetectorConfig):
        return True
    try:
        return anchors_path(folder, config).read_text() == anchors_json(config)
    except OSError:
        return False
