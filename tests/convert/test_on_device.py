"""What an app reads beside a file: decoding in the manifest, anchors as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from blazeport.convert.on_device import anchors_beside, anchors_json, anchors_path, decoding_of, has_anchors
from blazeport.errors import OutputError
from blazeport.models.config import VARIANTS, DetectorConfig
from blazeport.pipeline.anchors import make_anchors

DETECTORS = [name for name, config in VARIANTS.items() if isinstance(config, DetectorConfig)]
FACE = VARIANTS["face_detection_short_range"]


@pytest.mark.parametrize("variant", DETECTORS)
def test_anchors_read_from_json_are_those_of_the_pipeline_to_the_bit(variant: str):
    config = VARIANTS[variant]
    record = json.loads(anchors_json(config))
    assert list(record) == ["schema_version", "variant", "anchors"]
    assert record["variant"] == variant
    np.testing.assert_array_equal(np.array(record["anchors"], np.float32), make_anchors(config))


@pytest.mark.parametrize("variant", VARIANTS)
def test_decoding_names_what_a_network_of_its_kind_needs(variant: str):
    config, decoding = VARIANTS[variant], decoding_of(VARIANTS[variant])
    assert decoding.input_range == config.input_range
    if isinstance(config, DetectorConfig):
        assert decoding.anchors == f"{variant}.anchors.json"
        assert (decoding.min_score, decoding.nms_iou) == (config.min_score, config.nms_iou)
        assert len(decoding.keypoints) * 2 + 4 == config.num_coords
    else:
        assert decoding.anchors is None
        assert (decoding.num_landmarks, decoding.num_body_landmarks, decoding.roi_points) == (39, 33, (33, 34))
    assert (decoding.roi_scale == 1.25) == variant.startswith("pose")


def test_anchors_are_written_once_and_repaired(tmp_path: Path):
    path = anchors_path(tmp_path, FACE)
    with anchors_beside(tmp_path, FACE):
        written = path.stat().st_mtime_ns
    with anchors_beside(tmp_path, FACE):
        assert path.stat().st_mtime_ns == written
    path.write_text("[]")
    assert not has_anchors(tmp_path, FACE)
    with anchors_beside(tmp_path, FACE):
        assert has_anchors(tmp_path, FACE)


def test_no_anchors_are_left_of_a_file_that_could_not_be_written(tmp_path: Path):
    with pytest.raises(OutputError), anchors_beside(tmp_path, FACE):
        raise OutputError("disk full")
    assert list(tmp_path.iterdir()) == []


def test_networks_without_anchors_get_none(tmp_path: Path):
    with anchors_beside(tmp_path, VARIANTS["pose_landmark_lite"]):
        assert list(tmp_path.iterdir()) == []
