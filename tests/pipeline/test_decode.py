from __future__ import annotations

import math

import numpy as np
import pytest
from blazeport.errors import ShapeError
from blazeport.models.config import POSE_DETECTION
from blazeport.pipeline.anchors import make_anchors
from blazeport.pipeline.decode import Detections, decode_detections, remove_letterbox, sigmoid
from blazeport.pipeline.image_to_tensor import Padding

ANCHORS = make_anchors(POSE_DETECTION)


def raw(*found: tuple[int, float, list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Outputs that hold (anchor, logit, coordinates) and nothing else."""
    boxes = np.zeros((1, 2254, 12), np.float32)
    scores = np.full((1, 2254, 1), -100, np.float32)
    for anchor, logit, coords in found:
        boxes[0, anchor], scores[0, anchor, 0] = coords, logit
    return boxes, scores


def test_boxes_and_keypoints_are_relative_to_their_anchor() -> None:
    coords = [22.4, -11.2, 44.8, 22.4, 0, 0, 0, -112, 11.2, 0, 22.4, 22.4]
    found = decode_detections(*raw((1000, 2.0, coords)), ANCHORS, POSE_DETECTION)
    x, y = ANCHORS[1000]
    assert found.scores == pytest.approx([1 / (1 + math.exp(-2))])
    assert found.boxes[0] == pytest.approx([x + 0.1 - 0.1, y - 0.05 - 0.05, 0.2, 0.1], abs=1e-6)
    expected = [[x, y], [x, y - 0.5], [x + 0.05, y], [x + 0.1, y + 0.1]]
    assert np.abs(found.keypoints[0] - expected).max() < 1e-6
    assert {found.scores.dtype, found.boxes.dtype, found.keypoints.dtype} == {np.dtype(np.float32)}


def test_a_score_at_the_threshold_is_kept_and_one_below_is_not() -> None:
    box = [0.0, 0, 10, 10] + [0.0] * 8
    found = decode_detections(*raw((3, 0.0, box), (7, -1e-3, box), (9, 5.0, box)), ANCHORS, POSE_DETECTION)
    assert len(found) == 2
    assert found.scores[0] == 0.5


def test_nothing_found_is_an_empty_result() -> None:
    found = decode_detections(*raw(), ANCHORS, POSE_DETECTION)
    assert (found.scores.shape, found.boxes.shape, found.keypoints.shape) == ((0,), (0, 4), (0, 4, 2))
    assert len(remove_letterbox(found, Padding(np.float32(0), np.float32(0.2)))) == 0


@pytest.mark.parametrize("size", [[-1.0, 5.0], [5.0, -1.0], [math.nan, 5.0]], ids=["width", "height", "NaN"])
def test_boxes_of_impossible_size_are_dropped(size: list[float]) -> None:
    assert not len(decode_detections(*raw((5, 3.0, [0.0, 0, *size] + [0.0] * 8)), ANCHORS, POSE_DETECTION))


def test_nan_scores_are_dropped() -> None:
    assert not len(decode_detections(*raw((5, math.nan, [0.0] * 12)), ANCHORS, POSE_DETECTION))


def test_outputs_of_another_shape_are_refused() -> None:
    boxes, scores = raw()
    with pytest.raises(ShapeError, match=r"pose_detection gives boxes \(1, 2254, 12\)"):
        decode_detections(boxes[:, :896], scores, ANCHORS, POSE_DETECTION)


def test_removing_the_letterbox_stretches_the_padded_side() -> None:
    found = Detections(
        np.ones(1, np.float32), np.array([[0.4, 0.4, 0.2, 0.2]], np.float32), np.array([[[0.5, 0.25]]], np.float32)
    )
    moved = remove_letterbox(found, Padding(np.float32(0), np.float32(0.25)))
    assert moved.boxes[0] == pytest.approx([0.4, 0.3, 0.2, 0.4], abs=1e-6)
    assert moved.keypoints[0, 0] == pytest.approx([0.5, 0.0])
    assert found.boxes[0] == pytest.approx([0.4, 0.4, 0.2, 0.2])


def test_sigmoid_takes_any_logit() -> None:
    values = sigmoid(np.array([-1e30, -1, 0, 1, 1e30, np.inf], np.float32))
    assert values == pytest.approx([0, 1 / (1 + math.e), 0.5, 1 / (1 + 1 / math.e), 1, 1], abs=1e-7)
    assert values.dtype == np.float32
