"""The audit of calibration photos: figures of what they show, and sentences that name what they miss."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from blazeport.convert.inputs import ImageInput
from blazeport.models.config import get_config
from blazeport.pipeline.image import read_image, write_image
from blazeport.quantize.calibration import open_calibration
from blazeport.quantize.coverage import Coverage
from blazeport.quantize.diversity import BODY_PARTS, histogram

FACE, POSE, LITE = "face_detection_short_range", "pose_detection", "pose_landmark_lite"


NUM_PHOTOS = 12


def audited(folder: Path, variant: str, graph_of, limit: int = 40) -> Coverage:
    return open_calibration(folder, limit=limit).coverage(get_config(variant), graph_of(variant))


@pytest.fixture
def own(photos: list[Path], tmp_path: Path) -> Path:
    """Twelve different photos of people."""
    folder = tmp_path / "own"
    folder.mkdir()
    for photo in photos[:NUM_PHOTOS]:
        shutil.copy(photo, folder)
    return folder


def test_values_are_counted_between_edges():
    assert histogram([0, 10, 15, 15.1, 200], (15, 45), "°") == {"0–15°": 3, "15–45°": 1, "over 45°": 1}
    assert histogram([], (1,), " %") == {"0–1 %": 0, "over 1 %": 0}


@pytest.mark.parametrize("variant", [FACE, POSE, LITE])
def test_every_subject_is_in_every_histogram_once(own: Path, graph_of, variant: str):
    coverage = audited(own, variant, graph_of)
    shown = coverage.diversity
    assert shown is not None
    assert shown.subjects > 5
    assert sum(shown.rotation.values()) == sum(shown.size.values()) == shown.subjects
    assert (sum(shown.position.values()), set(shown.visible)) == (
        (0, set(BODY_PARTS)) if variant == LITE else (shown.subjects, set())
    )
    assert shown.frames_with <= shown.frames <= 12
    assert (coverage.photos, coverage.clips, coverage.duplicates, coverage.skipped) == (12, 0, (), ())
    assert "There are 12 different photos. Best are 50 or more." in coverage.warnings
    assert json.loads(json.dumps(coverage.to_dict()))["variant"] == variant


def test_the_audit_of_the_same_photos_is_the_same(own: Path, graph_of):
    assert audited(own, FACE, graph_of) == audited(own, FACE, graph_of)


def test_near_duplicates_are_named(own: Path, graph_of):
    for photo in sorted(own.iterdir())[:6]:
        write_image(own / f"{photo.stem}_small.png", cv2.resize(read_image(photo), None, fx=0.5, fy=0.5))
    coverage = audited(own, FACE, graph_of)
    assert len(coverage.duplicates) == 6
    assert all(len(group) == 2 for group in coverage.duplicates)
    assert "6 of 18 photos are near-duplicates of others, which add little." in coverage.warnings


def test_photos_turned_upside_down_fill_the_rotations(own: Path, graph_of):
    assert "No crop is rotated by more than 90°." not in audited(own, LITE, graph_of).warnings
    for photo in own.iterdir():
        write_image(photo, np.ascontiguousarray(read_image(photo)[::-1, ::-1]))
    shown = audited(own, LITE, graph_of).diversity
    assert shown is not None
    assert shown.rotation["over 90°"] > shown.subjects / 2


def test_one_clip_of_one_person_misses_much(data_dir: Path, tmp_path: Path, graph_of):
    shutil.copy(data_dir / "clips" / "tfjs_pose_squats.mp4", tmp_path)
    coverage = audited(tmp_path, LITE, graph_of, limit=64)
    assert (coverage.photos, coverage.clips) == (0, 1)
    assert coverage.warnings == (
        "All samples are from one video, so they show one place and one light. Add photos.",
        "No crop is rotated by more than 45°.",
        "All 16 crops are of one size: 50–100 % of the picture.",
        "Everybody is seen from head to feet: nobody is cut off or hidden.",
    )


def test_photos_of_heads_miss_the_feet(own: Path, graph_of):
    for photo in own.iterdir():
        rgb = read_image(photo)
        write_image(photo, rgb[: rgb.shape[0] // 2])
    warnings = audited(own, LITE, graph_of).warnings
    assert [warning for warning in warnings if warning.startswith("Feet are ")]


def test_walls_without_faces_are_told(tmp_path: Path, graph_of):
    rng = np.random.default_rng(0)
    for number in range(5):
        write_image(tmp_path / f"{number}.png", rng.integers(0, 256, (40, 60, 3), np.uint8))
    assert "No face is found in any of 5 frames." in audited(tmp_path, FACE, graph_of).warnings


def test_a_network_that_is_none_of_ours_is_looked_at_without_its_meaning(own: Path, small):
    graph = small(side=8)
    graph = graph.finish(out=graph.convolution("out", 0, np.ones((2, 1, 1, 3)), [0, 0]))
    coverage = open_calibration(own, limit=12).coverage(
        ImageInput(name="stranger", height=8, width=8, input_range=(0.0, 1.0)), graph
    )
    assert coverage.diversity is None
    assert [layer.layer for layer in coverage.saturation] == ["out"]
    assert coverage.warnings == ("There are 12 different photos. Best are 50 or more.",)


def test_the_record_holds_the_warnings_and_they_are_logged_once(own: Path, graph_of, caplog: pytest.LogCaptureFixture):
    calibration = open_calibration(own, limit=12)
    records = [calibration.audited_record(get_config(FACE), graph_of(FACE)) for _ in range(2)]
    assert records[0] == records[1]
    assert records[0].samples == 12
    assert records[0].warnings == calibration.coverage(get_config(FACE), graph_of(FACE)).warnings
    assert caplog.messages == [f"Calibration of {FACE}: {warning}" for warning in records[0].warnings]


def test_the_demo_photos_are_not_audited(graph_of):
    record = open_calibration(None, limit=7).audited_record(get_config(FACE), graph_of(FACE))
    assert (record.demo, record.samples, record.warnings) == (True, 7, ())
