from __future__ import annotations

import numpy as np
import pytest
from blazeport.pipeline.decode import Detections
from blazeport.pipeline.nms import blend_overlapping, drop_overlapping, intersection_over_union
from hypothesis import given
from hypothesis import strategies as st


def detections(*rows: tuple[float, list[float]]) -> Detections:
    """Detections of (score, xywh), with the box's centre as their only keypoint."""
    scores = np.array([score for score, _ in rows], np.float32)
    boxes = np.array([box for _, box in rows], np.float32).reshape(-1, 4)
    return Detections(scores, boxes, (boxes[:, :2] + boxes[:, 2:] / 2)[:, np.newaxis])


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param([0, 0, 2, 2], 1.0, id="same"),
        pytest.param([1, 0, 3, 2], 1 / 3, id="half"),
        pytest.param([0.5, 0.5, 1.5, 1.5], 0.25, id="inside"),
        pytest.param([2, 0, 4, 2], 0.0, id="touching"),
        pytest.param([5, 5, 6, 6], 0.0, id="apart"),
        pytest.param([1, 1, 1, 1], 0.0, id="point"),
    ],
)
def test_intersection_over_union(other: list[float], expected: float) -> None:
    box = np.array([0, 0, 2, 2], np.float32)
    assert intersection_over_union(box, np.array([other], np.float32)) == pytest.approx([expected])


def test_overlapping_detections_are_averaged_by_score() -> None:
    blended = blend_overlapping(detections((0.6, [0.1, 0, 1, 1]), (0.9, [0, 0, 1, 1])), 0.3)
    assert blended.scores == pytest.approx([0.9])  # the best score, not the average
    assert blended.boxes[0] == pytest.approx([0.04, 0, 1, 1])
    assert blended.keypoints[0, 0] == pytest.approx([0.54, 0.5])


def test_detections_apart_are_kept_best_first() -> None:
    blended = blend_overlapping(detections((0.6, [5, 5, 1, 1]), (0.9, [0, 0, 1, 1]), (0.7, [9, 9, 1, 1])), 0.3)
    assert blended.scores == pytest.approx([0.9, 0.7, 0.6])
    assert blended.boxes[:, 0] == pytest.approx([0, 9, 5])


def test_overlap_is_measured_against_the_best_box_as_it_was() -> None:
    # The third overlaps the second, and the average of the first two, but not the first.
    chain = detections((0.9, [0, 0, 1, 1]), (0.8, [0.4, 0, 1, 1]), (0.7, [0.6, 0, 1, 1]))
    assert blend_overlapping(chain, 0.3).scores == pytest.approx([0.9, 0.7])


def test_an_overlap_equal_to_the_threshold_does_not_count() -> None:
    assert len(blend_overlapping(detections((0.9, [0, 0, 2, 2]), (0.8, [0.5, 0.5, 1, 1])), 0.25)) == 2


def test_a_best_box_without_area_is_passed_on_and_ends_the_loop() -> None:
    blended = blend_overlapping(detections((0.9, [0.5, 0.5, 0, 0]), (0.8, [0, 0, 1, 1])), 0.3)
    assert blended.scores == pytest.approx([0.9])


def test_nothing_stays_nothing() -> None:
    assert len(blend_overlapping(detections(), 0.3)) == 0


def test_the_input_is_left_as_it_was() -> None:
    given_ = detections((0.6, [0.1, 0, 1, 1]), (0.9, [0, 0, 1, 1]))
    before = given_.boxes.copy()
    blend_overlapping(given_, 0.3)
    assert np.array_equal(given_.boxes, before)


def test_plain_suppression_keeps_the_best_as_it_is() -> None:
    rows = detections((0.6, [0.1, 0, 1, 1]), (0.9, [0, 0, 1, 1]), (0.7, [5, 5, 1, 1]))
    kept = drop_overlapping(rows, 0.3)
    assert kept.scores == pytest.approx([0.9, 0.7])
    assert kept.boxes.tolist() == [[0, 0, 1, 1], [5, 5, 1, 1]]
    assert kept.keypoints[0, 0].tolist() == [0.5, 0.5]
    assert len(drop_overlapping(detections(), 0.3)) == 0


SIDES = st.floats(0.125, 1, width=32)
ROWS = st.lists(st.tuples(st.floats(0.5, 1, width=32), st.tuples(SIDES, SIDES, SIDES, SIDES)), max_size=12)


@given(ROWS)
def test_results_are_sorted_and_lie_within_the_boxes_they_came_from(
    rows: list[tuple[float, tuple[float, ...]]],
) -> None:
    found = detections(*((score, list(box)) for score, box in rows))
    blended = blend_overlapping(found, 0.3)
    assert len(blended) <= len(found)
    assert (len(blended) > 0) == (len(found) > 0)
    assert (np.diff(blended.scores) <= 0).all()
    if len(found):
        assert blended.boxes.min() >= found.boxes.min() - 1e-5
        assert blended.boxes.max() <= found.boxes.max() + 1e-5
