"""Two people whose bodies' circles overlap: photos of one person pasted together along MediaPipe-style masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import golden
import numpy as np
import pytest
from blazeport.pipeline.detector import Detection
from blazeport.pipeline.landmarker import RoiLandmarks
from blazeport.pipeline.pose import PoseResult, PoseTracker
from blazeport.pipeline.roi import Roi
from blazeport.pipeline.tracking import cover_people, is_detection_of, is_twin
from blazeport.runtime.interpreter import Model

Official = Callable[[str], Path]

SIDE, RADIUS = 640, 170  # px of a composite, and of a body's circle in it
HALF = 0.8  # distance of the centres, in radii, at which circles share half of their area
UPRIGHT = (
    *("vm_person-vlado1.jpg", "vm_person-vlado5.jpg", "vm_stock-models-14.jpg", "vm_stock-models-16.jpg"),
    *("vm_stock-models-2.jpg", "vm_stock-models-5.jpg", "tfp_p1.jpg", "tfp_apink1.jpg"),
)


@dataclass(frozen=True)
class Cutout:
    """A photo of one person, and what was found in it."""

    rgb: np.ndarray
    mask: np.ndarray
    landmarks_px: np.ndarray
    center_px: np.ndarray
    radius_px: float


@pytest.fixture(scope="module")
def models(official: Official) -> tuple[Model, Model]:
    return Model(official("pose_detection")), Model(official("pose_landmark_full"))


@pytest.fixture(scope="module")
def cutouts(models: tuple[Model, Model], data_dir: Path) -> list[Cutout]:
    tracker = PoseTracker(*models, static=True, segment=True)
    return [cutout(golden.read_photo(data_dir, name), tracker) for name in UPRIGHT]


def cutout(rgb: np.ndarray, tracker: PoseTracker) -> Cutout:
    height, width = rgb.shape[:2]
    (person,) = tracker.process(rgb).people
    assert person.mask is not None
    roi = person.roi
    center = np.array([roi.x_center * width, roi.y_center * height])
    return Cutout(rgb, person.mask, person.landmarks[:, :2] * [width, height], center, roi.width * width / 2.5)


def paste(behind: Cutout, before: Cutout, distance: float, rise: float = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture of both, and where their landmarks are, px; `distance` and `rise` of the one before in radii."""
    picture, truth = np.zeros((SIDE, SIDE, 3), np.float32), []
    for person, sign in ((behind, -0.5), (before, 0.5)):
        scale = RADIUS / person.radius_px
        target = SIDE / 2 + np.array([sign * distance, -rise * (sign > 0)]) * RADIUS
        shift = target - person.center_px * scale
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        rgb = cv2.warpAffine(person.rgb, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
        mask = cv2.warpAffine(person.mask, matrix, (SIDE, SIDE)) if sign > 0 else np.ones((SIDE, SIDE), np.float32)
        picture = picture * (1 - mask[:, :, np.newaxis]) + rgb * mask[:, :, np.newaxis]
        truth.append(person.landmarks_px * scale + shift)
    return picture.round().astype(np.uint8), truth


def who(result: PoseResult, truth: list[np.ndarray]) -> list[int | None]:
    """Per person found: which one it is, or None."""
    names: list[int | None] = []
    for person in result.people:
        errors = [np.linalg.norm(person.landmarks[:, :2] * SIDE - each, axis=1).mean() for each in truth]
        best = int(np.argmin(errors))
        names.append(best if errors[best] < 0.15 * 2.5 * RADIUS else None)
    return names


def composites(cutouts: list[Cutout], distance: float) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    for behind, before in pairwise([*cutouts, *cutouts[::2], *cutouts[1::2]]):
        if behind is not before:
            yield paste(behind, before, distance)


@pytest.mark.parametrize(("distance", "share"), [(HALF, 0.95), (0.5, 0.85)], ids=["half", "two thirds"])
def test_two_people_whose_circles_overlap_are_both_found(
    models: tuple[Model, Model], cutouts: list[Cutout], distance: float, share: float
) -> None:
    blending = PoseTracker(*models, static=True, max_people=2)
    dropping = PoseTracker(*models, static=True, max_people=2, blend=False)
    found = {"blended": 0, "plain NMS": 0, "by one look": 0}
    pictures = list(composites(cutouts, distance))
    for picture, truth in pictures:
        for name, tracker in (("blended", blending), ("plain NMS", dropping)):
            found[name] += {0, 1} == set(who(tracker.process(picture), truth))
        found["by one look"] += len(blending.detector.detect(picture)) >= 2
    print(f"both of {len(pictures)} pairs found: {found}")
    assert found["blended"] >= share * len(pictures)
    assert found["blended"] >= found["by one look"]


def test_two_people_who_move_keep_their_numbers(models: tuple[Model, Model], cutouts: list[Cutout]) -> None:
    tracker = PoseTracker(*models, max_people=2)
    counts, numbers = [], []
    for frame in range(60):
        distance = 1.3 - 0.6 * np.sin(np.pi * frame / 59)  # apart, then closer than half of their area, then apart
        picture, truth = paste(cutouts[0], cutouts[3], float(distance), rise=0.1 * float(np.sin(frame / 5)))
        result = tracker.process(picture)
        counts.append(len(result.people))
        numbers.append(dict(zip(who(result, truth), (person.number for person in result.people), strict=True)))
    assert counts.count(2) >= 57
    assert max(counts) == 2
    for name in (0, 1):
        assert len({each[name] for each in numbers if name in each}) == 1
    assert all(None not in each for each in numbers)


def test_one_person_stays_one(models: tuple[Model, Model], data_dir: Path) -> None:
    tracker = PoseTracker(*models, max_people=2)
    results = [tracker.process(frame) for frame in golden.read_clip(data_dir, "tfjs_pose_squats", 25)]
    assert [[person.number for person in result.people] for result in results] == [[0]] * 25
    assert all(result.detector_ran for result in results)  # it keeps looking for the second


def test_the_best_of_several_people_comes_first(models: tuple[Model, Model], data_dir: Path) -> None:
    rgb = golden.read_photo(data_dir, "tfjs_pose.jpg")
    alone, several = (PoseTracker(*models, static=True, max_people=count).process(rgb).people for count in (1, 5))
    assert np.array_equal(alone[0].landmarks, several[0].landmarks)


def body(x: float) -> RoiLandmarks:
    """Someone upright at `x`, in an image twice as wide as high."""
    landmarks = np.zeros((33, 5), np.float32)
    landmarks[:, 0] = x
    landmarks[:, 1] = 0.5
    landmarks[:11, 1], landmarks[11:13, 1], landmarks[23:25, 1], landmarks[25:, 1] = 0.2, 0.35, 0.5, 0.8
    return RoiLandmarks(Roi(x, 0.5, 0.5, 1.0, 0), 1.0, landmarks, None, np.zeros((2, 2), np.float32))


def test_landmarks_at_the_same_places_are_one_body() -> None:
    assert is_twin(body(0.52), [body(0.3), body(0.5)])
    assert not is_twin(body(0.58), [body(0.3), body(0.5)])
    assert not is_twin(body(0.5), [])


def test_a_detection_belongs_to_the_hips_and_shoulders_it_lies_on() -> None:
    keypoints = np.array([[0.5, 0.5], [0.5, 0.1], [0.5, 0.35], [0.5, 0.2]], np.float32)
    detection = Detection(0.9, np.array([0.4, 0.1, 0.2, 0.2], np.float32), keypoints)
    assert is_detection_of(detection, [body(0.52)])
    assert not is_detection_of(detection, [body(0.58)])


def test_covering_hides_a_person_and_nothing_else() -> None:
    white = np.full((200, 400, 3), 255, np.uint8)
    covered = cover_people(white, [body(0.25)])
    assert (white == 255).all()
    assert (covered[[40, 70, 100, 150], 100] == 127).all()
    assert (covered[:, 140:] == 255).all()
    far = body(50.0)
    assert (cover_people(white, [far]) == 255).all()
