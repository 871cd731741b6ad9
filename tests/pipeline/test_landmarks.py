from __future__ import annotations

import math

import numpy as np
import pytest
from blazeport.models.config import POSE_LANDMARK_LITE
from blazeport.pipeline.image_to_tensor import Padding
from blazeport.pipeline.landmarks import decode_landmarks, project_landmarks, refine_landmarks, world_landmarks
from blazeport.pipeline.roi import Roi

NO_PADDING = Padding(np.float32(0), np.float32(0))


def landmarks(*positions: tuple[float, float]) -> np.ndarray:
    """39 landmarks, the first at these x, y, the others outside the crop."""
    result = np.full((39, 5), -1, np.float32)
    result[:, 2:] = [0.1, 0.2, 0.3]
    result[: len(positions), :2] = positions
    return result


def heatmap(*peaks: tuple[int, int, int, float]) -> np.ndarray:
    """(row, column, landmark, probability); 0 elsewhere."""
    logits = np.full((1, 64, 64, 39), -80, np.float32)
    for row, column, index, probability in peaks:
        logits[0, row, column, index] = math.log(probability / (1 - probability))
    return logits


def test_coordinates_are_scaled_and_confidences_are_probabilities() -> None:
    raw = np.zeros((1, 195), np.float32)
    raw[0, :10] = [128, 64, -256, 0, 100, 256, 0, 32, -100, math.log(3)]
    decoded = decode_landmarks(raw, POSE_LANDMARK_LITE)
    assert decoded.shape == (39, 5)
    assert decoded[0] == pytest.approx([0.5, 0.25, -1, 0.5, 1])
    assert decoded[1] == pytest.approx([1, 0, 0.125, 0, 0.75])
    assert raw[0, 0] == 128


def test_a_confident_heatmap_moves_the_landmark_to_its_centre_of_mass() -> None:
    refined = refine_landmarks(landmarks((0.5, 0.5)), heatmap((32, 33, 0, 0.6), (34, 33, 0, 0.6)), 7)
    assert refined[0] == pytest.approx([33 / 64, 33 / 64, 0.1, 0.2, 0.3])


def test_a_heatmap_at_the_confidence_refines_and_one_below_does_not() -> None:
    positions = landmarks((0.5, 0.5), (0.5, 0.5))
    refined = refine_landmarks(positions, heatmap((30, 30, 0, 0.5), (30, 30, 1, 0.49)), 7)
    assert refined[0, :2] == pytest.approx([30 / 64, 30 / 64])
    assert np.array_equal(refined[1:], positions[1:])


@pytest.mark.parametrize(("kernel", "moves"), [(7, False), (9, True)])
def test_only_the_window_around_the_landmark_counts(kernel: int, moves: bool) -> None:
    refined = refine_landmarks(landmarks((0.5, 0.5)), heatmap((36, 28, 0, 0.9)), kernel)
    assert refined[0, :2] == pytest.approx([28 / 64, 36 / 64] if moves else [0.5, 0.5])


def test_the_window_is_cut_off_at_the_edges() -> None:
    # Rounding is towards zero, so a landmark less than a cell outside the map is refined too.
    positions = landmarks((-0.01, 0.999), (-0.02, 0.5), (1.0, 0.5))
    refined = refine_landmarks(positions, heatmap((63, 0, 0, 0.9), (32, 0, 1, 0.9), (32, 63, 2, 0.9)), 7)
    assert refined[0, :2] == pytest.approx([0, 63 / 64])
    assert np.array_equal(refined[1:], positions[1:])


def test_landmarks_that_are_not_numbers_stay_and_disturb_no_other() -> None:
    positions = landmarks((math.nan, 0.5), (math.inf, 0.5), (1e30, -1e30), (0.5, 0.5))
    refined = refine_landmarks(positions, heatmap((32, 33, 3, 0.9)), 7)
    assert np.array_equal(refined[:3], positions[:3], equal_nan=True)
    assert refined[3, 0] == pytest.approx(33 / 64)


def test_projection_turns_scales_and_moves() -> None:
    roi = Roi(0.6, 0.4, 0.2, 0.4, math.pi / 2)
    corner = np.array([[0.0, 0.5, 0.5, 0.2, 0.3], [0.5, 0.0, 0, 0, 0]], np.float32)
    projected = project_landmarks(corner, roi, NO_PADDING)
    assert projected[0] == pytest.approx([0.6, 0.4 - 0.2, 0.1, 0.2, 0.3], abs=1e-6)
    assert projected[1, :2] == pytest.approx([0.6 + 0.1, 0.4], abs=1e-6)


def test_projection_removes_the_crops_padding() -> None:
    roi = Roi(0.5, 0.5, 1.0, 1.0, 0.0)
    points = np.array([[0.25, 0.3, 0.5, 0, 0]], np.float32)
    projected = project_landmarks(points, roi, Padding(np.float32(0.25), np.float32(0)))
    assert projected[0, :3] == pytest.approx([0, 0.3, 1.0])


def test_world_landmarks_are_turned_but_neither_scaled_nor_moved() -> None:
    raw = np.zeros((1, 117), np.float32)
    raw[0, :3] = [0.3, -0.4, 0.5]
    world = world_landmarks(raw, Roi(0.9, 0.1, 0.2, 0.4, math.pi / 2), POSE_LANDMARK_LITE)
    assert world.shape == (33, 3)
    assert world[0] == pytest.approx([0.4, 0.3, 0.5], abs=1e-6)
