from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from blazeport.pipeline.detector import Detection
from blazeport.pipeline.draw import (
    FACE_COLOR,
    MASK_COLOR,
    MIN_VISIBILITY,
    ROI_COLOR,
    SIDE_COLORS,
    draw_faces,
    draw_people,
)
from blazeport.pipeline.face import FaceResult
from blazeport.pipeline.pose import Person, PoseResult
from blazeport.pipeline.roi import Roi

GREY = np.full((300, 400, 3), 128, np.uint8)


def face(xmin: float = 0.4, ymin: float = 0.4, size: float = 0.2) -> Detection:
    box = np.array([xmin, ymin, size, size], np.float32)
    return Detection(0.87, box, np.full((6, 2), xmin + size / 2, np.float32))


def person(landmarks: np.ndarray) -> Person:
    roi = Roi(0.5, 0.5, 0.6, 0.8, 0.1)
    found = face(0.45, 0.2, 0.1)
    return Person(presence=0.99, detection=found, roi=roi, next_roi=roi, landmarks=landmarks, world_landmarks=None)


def spread_landmarks(visibility: float) -> np.ndarray:
    result = np.zeros((33, 5), np.float32)
    result[:, :2] = np.random.default_rng(0).uniform(0.3, 0.7, (33, 2))
    result[:, 3] = visibility
    return result


def count(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((picture == color).all(axis=2).sum())


def test_a_face_is_drawn_on_a_copy() -> None:
    drawn = draw_faces(GREY, FaceResult((face(),), {}))
    assert count(drawn, FACE_COLOR) > 100
    assert (GREY == 128).all()


def test_without_results_the_picture_stays_as_it_is() -> None:
    assert np.array_equal(draw_faces(GREY, FaceResult((), {})), GREY)
    assert np.array_equal(draw_people(GREY, PoseResult((), {})), GREY)


def test_a_person_has_a_skeleton_of_both_sides_and_a_region() -> None:
    drawn = draw_people(GREY, PoseResult((person(spread_landmarks(1.0)),), {}))
    for color in (*SIDE_COLORS.values(), ROI_COLOR):
        assert count(drawn, color) > 0


def test_landmarks_of_little_visibility_are_left_out() -> None:
    drawn = draw_people(GREY, PoseResult((person(spread_landmarks(MIN_VISIBILITY - 0.01)),), {}))
    assert count(drawn, SIDE_COLORS["left"]) == 0
    assert count(drawn, ROI_COLOR) > 20


def test_a_mask_is_tinted_and_nothing_beside_it() -> None:
    mask = np.zeros((300, 400), np.float32)
    mask[10:30, 10:30] = 1
    someone = replace(person(spread_landmarks(0.0)), mask=mask)
    drawn = draw_people(GREY, PoseResult((someone,), {}))
    assert (drawn[20, 20] == np.round((128 + np.array(MASK_COLOR)) / 2)).all()
    assert (drawn[5, 20] == 128).all()


def test_several_people_are_numbered_and_a_rate_is_shown() -> None:
    alone = draw_people(GREY, PoseResult((person(spread_landmarks(0.0)),), {}))
    two = draw_people(GREY, PoseResult((person(spread_landmarks(0.0)),) * 2, {}))
    rated = draw_people(GREY, PoseResult((), {}), fps=31.4)
    assert count(two, ROI_COLOR) > count(alone, ROI_COLOR)
    assert not np.array_equal(rated[:20, :60], GREY[:20, :60])
    assert np.array_equal(rated[100:], GREY[100:])
    assert not np.array_equal(draw_faces(GREY, FaceResult((), {}), fps=9), GREY)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30, -1e30, 0.0])
def test_coordinates_may_be_anything(value: float) -> None:
    landmarks = np.full((33, 5), value, np.float32)
    landmarks[:, 3] = 1
    draw_people(GREY, PoseResult((person(landmarks),), {}))
    draw_faces(GREY, FaceResult((face(value, value),), {}))


def test_pictures_may_be_tiny_or_huge() -> None:
    for shape in ((1, 1, 3), (8000, 8000, 3)):
        drawn = draw_faces(np.zeros(shape, np.uint8), FaceResult((face(),), {}))
        assert drawn.shape == shape
        assert drawn.any()
