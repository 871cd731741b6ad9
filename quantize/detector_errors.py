"""How far a detector's detections are from another's on the same photos.

Needs NumPy only and takes any function from an input to named outputs: a file in LiteRT, a phone, a simulated network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..convert.parity import Runner
from ..models.config import DetectorConfig, PoseDetectorConfig
from ..pipeline.anchors import make_anchors
from ..pipeline.decode import decode_detections, remove_letterbox
from ..pipeline.detector import Detection
from ..pipeline.image_to_tensor import detector_tensor, letterbox_padding
from ..pipeline.nms import blend_overlapping, intersection_over_union
from ..pipeline.roi import Roi, roi_from_points
from .figures import Figure, Meaning, mean_of, median_of, share_of

USED_HEADS = ("boxes", "scores")
MIN_IOU = 0.5
RIGHT_EYE, LEFT_EYE = 0, 1

_SHARED_FIGURES = {
    "missed_percent": Meaning("missed", "Detections of the reference that the candidate does not have (IoU > 0.5).", 1),
    "extra_percent": Meaning("extra", "Detections that only the candidate has, per detection of the reference.", 1),
    "iou": Meaning("IoU", "Mean overlap of the matched boxes.", 3),
}
FACE_FIGURES: dict[str, Meaning] = {
    **_SHARED_FIGURES,
    "keypoint_percent": Meaning(
        "keypoints, % of IOD", "Mean distance of the six keypoints, in percent of the distance between the eyes.", 2
    ),
}
"""Figure of a face detector → how it is shown, in the order of the tables."""
PERSON_FIGURES: dict[str, Meaning] = {
    "best_missed_percent": Meaning(
        "best person missed", "Photos in which the candidate does not have the reference's best detection.", 1
    ),
    "best_extra_percent": Meaning(
        "best person extra", "Photos whose best detection by the candidate is none of the reference's.", 1
    ),
    "roi_center_percent": Meaning(
        "ROI centre, % of side", "Median distance between the regions' centres; best person of each photo.", 2
    ),
    "roi_size_percent": Meaning("ROI size, %", "Median difference between the regions' sides; best person.", 2),
    "roi_rotation_degrees": Meaning(
        "ROI rotation, °", "Median difference between the regions' angles; best person.", 2
    ),
    **_SHARED_FIGURES,
}
"""Figure of the pose detector → how it is shown, in the order of the tables."""


@dataclass(frozen=True, eq=False)
class Letterboxed:
    """What a detector sees of a photo: `(1, S, S, 3)` float32 in its range, and the photo's size in px."""

    tensor: np.ndarray
    width: int
    height: int


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectorErrors:
    """What two detectors find in the same `n` photos, and where the `m` detections that match differ.

    Attributes:
        references: `(n,)` detections of the reference.
        missed: `(n,)` of them that the candidate does not have.
        extra: `(n,)` detections that only the candidate has.
        best_missed: `(n,)` bool: the reference's best detection is missed.
        best_extra: `(n,)` bool: the candidate's best detection is extra.
        photo: `(m,)` index of the photo of each match.
        is_best: `(m,)` bool: a match of the reference's best detection.
        iou: `(m,)` in (0.5, 1].
        keypoint_percent: `(m,)` mean distance of the keypoints, percent of the inter-ocular distance; NaN for people.
        roi_center_percent: `(m,)` distance of the regions' centres, percent of the side; NaN for faces.
        roi_size_percent: `(m,)` difference of their sides; NaN for faces.
        roi_rotation_degrees: `(m,)` difference of their angles; NaN for faces.
        are_people: the detector is the pose detector.
    """

    references: np.ndarray
    missed: np.ndarray
    extra: np.ndarray
    best_missed: np.ndarray
    best_extra: np.ndarray
    photo: np.ndarray
    is_best: np.ndarray
    iou: np.ndarray
    keypoint_percent: np.ndarray
    roi_center_percent: np.ndarray
    roi_size_percent: np.ndarray
    roi_rotation_degrees: np.ndarray
    are_people: bool

    def per_photo(self, values: np.ndarray) -> np.ndarray:
        """`(n,)` sum of `(m,)` values of the matches of each photo."""
        return np.bincount(self.photo, values, len(self.references))

    def figures(self) -> dict[str, Figure]:
        """The figures of `FACE_FIGURES` or `PERSON_FIGURES`."""
        matches = self.per_photo(np.ones(len(self.photo)))
        figures = {
            "missed_percent": share_of(self.missed, self.references),
            "extra_percent": share_of(self.extra, self.references),
            "iou": mean_of(self.per_photo(self.iou), matches),
        }
        if not self.are_people:
            return {**figures, "keypoint_percent": mean_of(self.per_photo(self.keypoint_percent), matches)}
        with_person = (self.references > 0).astype(int)
        return {
            "best_missed_percent": share_of(self.best_missed.astype(int), with_person),
            "best_extra_percent": share_of(self.best_extra.astype(int), with_person),
            "roi_center_percent": median_of(self.roi_center_percent[self.is_best]),
            "roi_size_percent": median_of(self.roi_size_percent[self.is_best]),
            "roi_rotation_degrees": median_of(self.roi_rotation_degrees[self.is_best]),
            **figures,
        }


def letterboxed(rgb: np.ndarray, config: DetectorConfig) -> Letterboxed:
    """What a detector sees of `rgb`, `(height, width, 3)` uint8."""
    return Letterboxed(detector_tensor(rgb, config), rgb.shape[1], rgb.shape[0])


def detect(run: Runner, photo: Letterboxed, config: DetectorConfig) -> tuple[Detection, ...]:
    """What `Detector.detect` finds, with any function in the network's place.

    Args:
        run: input → output name → float32 array; needs `boxes` and `scores`.
        photo: what the network sees.
        config: the detector.
    Returns:
        The detections, best first; without those of people whose region has no size.
    """
    outputs = run(photo.tensor)
    raw = decode_detections(outputs["boxes"], outputs["scores"], make_anchors(config), config)
    found = remove_letterbox(blend_overlapping(raw, config.nms_iou), letterbox_padding(photo.width, photo.height))
    detections = tuple(
        Detection(float(score), box, keypoints)
        for score, box, keypoints in zip(found.scores, found.boxes, found.keypoints, strict=True)
    )
    if not isinstance(config, PoseDetectorConfig):
        return detections
    return tuple(each for each in detections if roi_of(each, photo, config) is not None)


def roi_of(detection: Detection, photo: Letterboxed, config: PoseDetectorConfig) -> Roi | None:
    """The region of a detected person; None when it has no size."""
    center, rim = detection.keypoints[:2]
    return roi_from_points(center, rim, photo.width, photo.height, config.roi_scale)


def detector_errors(
    candidate: Runner, reference: Runner, photos: Iterable[Letterboxed], config: DetectorConfig
) -> DetectorErrors:
    """Runs both detectors on every photo and matches their detections, best overlap first, where IoU > 0.5.

    Args:
        candidate: input → output name → float32 array; needs `boxes` and `scores`.
        reference: likewise.
        photos: what the detector sees.
        config: the detector.
    """
    counts: list[tuple[int, int, int, bool, bool]] = []
    matches: list[tuple[float, ...]] = []
    for index, photo in enumerate(photos):
        found, expected = detect(candidate, photo, config), detect(reference, photo, config)
        pairs = match(found, expected)
        missed, extra = len(expected) - len(pairs), len(found) - len(pairs)
        best_found, best_expected = 0 in (pair[0] for pair in pairs), 0 in (pair[1] for pair in pairs)
        counts.append(
            (len(expected), missed, extra, bool(expected) and not best_expected, bool(found) and not best_found)
        )
        for one, other, iou in pairs:
            errors = _errors(found[one], expected[other], photo, config)
            matches.append((index, other == 0, iou, *errors))
    columns = np.array(counts, int).reshape(-1, 5).T
    pairwise = np.array(matches, np.float64).reshape(-1, 7).T
    return DetectorErrors(
        references=columns[0],
        missed=columns[1],
        extra=columns[2],
        best_missed=columns[3].astype(bool),
        best_extra=columns[4].astype(bool),
        photo=pairwise[0].astype(int),
        is_best=pairwise[1].astype(bool),
        iou=pairwise[2],
        keypoint_percent=pairwise[3],
        roi_center_percent=pairwise[4],
        roi_size_percent=pairwise[5],
        roi_rotation_degrees=pairwise[6],
        are_people=isinstance(config, PoseDetectorConfig),
    )


def match(found: tuple[Detection, ...], expected: tuple[Detection, ...]) -> list[tuple[int, int, float]]:
    """Pairs of detections, each used once: index in `found`, index in `expected`, IoU; the best overlaps first."""
    if not found or not expected:
        return []
    corners = [
        np.array([[*each.box[:2], *(each.box[:2] + each.box[2:])] for each in side]) for side in (found, expected)
    ]
    overlaps = np.array([intersection_over_union(box, corners[1]) for box in corners[0]])
    pairs = []
    while overlaps.max() > MIN_IOU:
        one, other = (int(index) for index in np.unravel_index(overlaps.argmax(), overlaps.shape))
        pairs.append((one, other, float(overlaps[one, other])))
        overlaps[one], overlaps[:, other] = 0, 0
    return pairs


def _errors(
    found: Detection, expected: Detection, photo: Letterboxed, config: DetectorConfig
) -> tuple[float, float, float, float]:
    """Keypoints, ROI centre, size and rotation, as in `DetectorErrors`."""
    size = np.array([photo.width, photo.height], np.float64)
    if not isinstance(config, PoseDetectorConfig):
        distance = np.linalg.norm((found.keypoints - expected.keypoints) * size, axis=1)
        eyes = np.linalg.norm((expected.keypoints[RIGHT_EYE] - expected.keypoints[LEFT_EYE]) * size)
        return float(100 * distance.mean() / max(eyes, np.finfo(float).eps)), math.nan, math.nan, math.nan
    rois = roi_of(found, photo, config), roi_of(expected, photo, config)
    assert rois[0] is not None and rois[1] is not None  # noqa: PT018
    centers = np.array([[roi.x_center, roi.y_center] for roi in rois if roi]) * size
    side, expected_side = (roi.width * photo.width for roi in rois if roi)
    turn = math.degrees(rois[0].rotation - rois[1].rotation)
    return (
        math.nan,
        float(100 * np.linalg.norm(centers[0] - centers[1]) / expected_side),
        100 * abs(side - expected_side) / expected_side,
        abs((turn + 180) % 360 - 180),
    )
