from __future__ import annotations

import pytest
from blazeport.models.config import POSE_LANDMARK_FULL
from blazeport.pipeline.skeleton import EDGES, LANDMARK_NAMES, side_of


def test_every_landmark_of_the_body_has_a_name_of_its_own() -> None:
    assert len(set(LANDMARK_NAMES)) == len(LANDMARK_NAMES) == POSE_LANDMARK_FULL.num_body_landmarks
    assert (LANDMARK_NAMES[0], LANDMARK_NAMES[11], LANDMARK_NAMES[32]) == ("nose", "left_shoulder", "right_foot_index")


def test_there_are_35_different_edges_between_landmarks() -> None:
    assert len({frozenset(edge) for edge in EDGES}) == len(EDGES) == 35
    assert {index for edge in EDGES for index in edge} == set(range(33))


def test_the_skeleton_is_the_same_on_both_sides() -> None:
    def mirrored(index: int) -> int:
        name = LANDMARK_NAMES[index]
        swapped = name.replace("left", "*").replace("right", "left").replace("*", "right")
        return LANDMARK_NAMES.index(swapped)

    edges = {frozenset(edge) for edge in EDGES}
    assert {frozenset(map(mirrored, edge)) for edge in edges} == edges


@pytest.mark.parametrize(("index", "side"), [(0, "middle"), (2, "left"), (9, "left"), (10, "right"), (32, "right")])
def test_landmarks_know_their_side(index: int, side: str) -> None:
    assert side_of(index) == side
