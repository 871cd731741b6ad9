from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blazeport.models.config import (
    FACE_DETECTION_FULL_RANGE_SPARSE,
    FACE_DETECTION_SHORT_RANGE,
    POSE_DETECTION,
    DetectorConfig,
)
from blazeport.pipeline.anchors import make_anchors


@pytest.mark.parametrize(
    ("config", "count"),
    [(FACE_DETECTION_SHORT_RANGE, 896), (FACE_DETECTION_FULL_RANGE_SPARSE, 2304), (POSE_DETECTION, 2254)],
    ids=lambda value: getattr(value, "name", None),
)
def test_there_is_an_anchor_per_prediction(config: DetectorConfig, count: int) -> None:
    anchors = make_anchors(config)
    assert anchors.shape == (count, 2)
    assert anchors.dtype == np.float32
    assert 0 < anchors.min() < anchors.max() < 1


def test_grids_run_row_by_row_with_the_anchors_of_a_cell_together() -> None:
    anchors = make_anchors(FACE_DETECTION_SHORT_RANGE) * 128
    assert anchors[:4].tolist() == [[4, 4], [4, 4], [12, 4], [12, 4]]
    assert anchors[32].tolist() == [4, 12]
    assert anchors[512:518].tolist() == [[8, 8]] * 6
    assert anchors[-1].tolist() == [120, 120]


def test_anchors_are_shared_and_cannot_be_changed() -> None:
    anchors = make_anchors(POSE_DETECTION)
    assert make_anchors(POSE_DETECTION) is anchors
    with pytest.raises(ValueError, match="read-only"):
        anchors[0] = 0


def test_anchors_equal_the_published_ones_of_the_former_256_px_detector(data_dir: Path) -> None:
    published = json.loads(
        (data_dir / "mediapipe_testdata/tfjs/shared/test_data/anchor_golden_file_0.json").read_text()
    )
    anchors = make_anchors(replace(POSE_DETECTION, input_size=256))
    assert np.abs(anchors - np.array(published)[:, :2]).max() < 1e-6
