"""Which positions of feature maps matter, on score tensors made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from blazeport.models.config import get_config
from blazeport.quantize.execute import run_graph
from blazeport.quantize.importance import CARRIES_DETECTION_LOGIT, DetectionImportance

FACE = get_config("face_detection_short_range")  # 16 x 16 cells of 2 anchors, then 8 x 8 cells of 6


def scores(*found: tuple[int, int]) -> np.ndarray:
    """`(2, 896, 1)` logits: background, but for the (sample, anchor) pairs given."""
    values = np.full((2, FACE.num_anchors, 1), -20, np.float32)
    for sample, anchor in found:
        values[sample, anchor] = 2
    return values


def cells(mask: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(int(index) for index in where) for where in np.argwhere(mask)}


def neighbourhood(row: int, column: int, side: int) -> set[tuple[int, int]]:
    around = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    return {cell for cell in around if min(cell) >= 0 and max(cell) < side}


def test_an_anchor_of_the_first_level_marks_its_cell_and_its_neighbours():
    importance = DetectionImportance(FACE, scores((1, (3 * 16 + 5) * 2 + 1)))
    mask = importance(16, 16)
    assert mask.shape == (2, 16, 16)
    assert mask.dtype == bool
    assert not mask[0].any()
    assert cells(mask[1]) == neighbourhood(3, 5, 16)


def test_an_anchor_of_the_second_level_marks_a_larger_place_on_a_larger_map():
    importance = DetectionImportance(FACE, scores((0, 512 + (2 * 8 + 7) * 6 + 3)))
    assert cells(importance(8, 8)[0]) == neighbourhood(2, 7, 8)
    doubled = {(2 * row + i, 2 * column + j) for row, column in neighbourhood(2, 7, 8) for i in (0, 1) for j in (0, 1)}
    assert cells(importance(16, 16)[0]) >= doubled


def test_the_levels_are_joined():
    importance = DetectionImportance(FACE, scores((0, 0), (0, 895)))
    corners = neighbourhood(0, 0, 8) | neighbourhood(7, 7, 8)
    assert cells(importance(8, 8)[0]) <= corners
    assert (0, 0) in cells(importance(8, 8)[0])
    assert (7, 7) in cells(importance(8, 8)[0])


def test_every_map_size_keeps_what_was_marked():
    importance = DetectionImportance(FACE, scores((0, (8 * 16 + 8) * 2)))
    for side in (64, 32, 16, 8, 4, 1):
        mask = importance(side, side)
        assert mask.shape == (2, side, side)
        assert mask[0].any()
        assert mask[0, side // 2, side // 2]
        assert not mask[1].any()


def test_the_limit_is_the_logit_that_may_carry_a_detection():
    values = scores()
    values[0, 10], values[0, 20] = CARRIES_DETECTION_LOGIT, CARRIES_DETECTION_LOGIT + 0.1
    anchors = DetectionImportance(FACE, values).anchors
    assert anchors.shape == (2, 896)
    assert cells(anchors) == {(0, 20)}


def test_without_a_detection_nothing_matters():
    assert not DetectionImportance(FACE, scores())(16, 16).any()


@pytest.mark.parametrize("variant", ["face_detection_short_range", "pose_detection"])
def test_on_photos_only_a_part_of_the_map_matters(variant: str, graph_of, samples_of):
    found = run_graph(graph_of(variant), samples_of(variant))["scores"]
    importance = DetectionImportance(get_config(variant), found)
    assert 0 < importance.anchors.mean() < 0.2
    side = get_config(variant).anchor_grids[0][0]
    assert 0 < importance(side, side).mean() < 0.6
