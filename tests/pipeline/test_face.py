from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import golden
import numpy as np
import pytest
import tflite_surgery as surgery
from blazeport.errors import ConfigError, InputError, ShapeError
from blazeport.pipeline.face import FaceDetector
from blazeport.runtime.interpreter import Model

Official = Callable[[str], Path]

SHORT = "face_detection_short_range"
FULL = "face_detection_full_range_sparse"


@pytest.mark.parametrize(
    ("variant", "recorded", "count"), [(SHORT, "short", 88), (FULL, "full", 145)], ids=["short", "full"]
)
def test_faces_equal_mediapipes_on_every_photo(
    official: Official, data_dir: Path, variant: str, recorded: str, count: int
) -> None:
    detector = FaceDetector(official(variant))
    keypoint_error = score_error = box_error = 0.0
    compared = 0
    for name, photo in golden.photos(data_dir).items():
        expected = photo["face"][recorded]
        faces = detector.process(golden.read_photo(data_dir, name)).faces
        assert len(faces) == len(expected), name
        for face, reference in zip(faces, expected, strict=True):
            compared += 1
            keypoint_error = max(keypoint_error, np.abs(face.keypoints - reference["keypoints"]).max())
            box_error = max(box_error, np.abs(face.box - reference["box"]).max())
            score_error = max(score_error, abs(face.score - reference["score"]))
    assert compared == count
    assert keypoint_error <= 2e-6
    assert box_error <= 2e-6
    assert score_error <= 2e-6


@pytest.mark.parametrize(
    ("variant", "record"),
    [(SHORT, "portrait_expected_detection.pbtxt"), (FULL, "portrait_expected_full_range_detection.pbtxt")],
    ids=["short", "full"],
)
def test_the_portrait_equals_the_one_published_with_mediapipes_tests(
    official: Official, data_dir: Path, variant: str, record: str
) -> None:
    folder = data_dir / "mediapipe_testdata/mediapipe/mediapipe/tasks/testdata/vision"
    points = re.findall(r"x: ([\d.]+)\s+y: ([\d.]+)", (folder / record).read_text())
    (face,) = FaceDetector(official(variant)).process(golden.read_photo(data_dir, "tfjs_portrait.jpg")).faces
    assert np.abs(face.keypoints - np.array(points, np.float64)).max() < 1e-2  # the tolerance of those tests


def test_plain_nms_keeps_the_best_box_as_it_is(official: Official, data_dir: Path) -> None:
    rgb = golden.read_photo(data_dir, "tfjs_portrait.jpg")
    (blended,), (plain,) = (FaceDetector(official(SHORT), blend=blend).process(rgb).faces for blend in (True, False))
    assert plain.score == blended.score
    assert 0 < np.abs(plain.box - blended.box).max() < 0.02


def test_the_dense_full_range_network_finds_the_portrait_too(official: Official, data_dir: Path) -> None:
    faces = FaceDetector(official("face_detection_full_range")).process(
        golden.read_photo(data_dir, "tfjs_portrait.jpg")
    )
    assert [round(face.score, 2) for face in faces.faces] == [0.85]


def test_a_quantized_file_finds_the_same_face(official: Official, data_dir: Path) -> None:
    edited = surgery.read(official(SHORT).read_bytes())
    surgery.quantize_io(edited, np.int8, (2 / 255, 0), {0: (1.0, 0), 1: (0.25, 0)})
    rgb = golden.read_photo(data_dir, "tfjs_portrait.jpg")
    (expected,) = FaceDetector(official(SHORT)).process(rgb).faces
    (found,) = FaceDetector(Model(surgery.write(edited))).process(rgb).faces
    assert np.abs(found.keypoints - expected.keypoints).max() < 0.01


def test_a_result_is_json_with_the_time_of_each_step(official: Official, data_dir: Path) -> None:
    result = FaceDetector(official(SHORT)).process(golden.read_photo(data_dir, "tfjs_portrait.jpg"))
    record = json.loads(json.dumps(result.to_dict()))
    assert set(record["timing_ms"]) == {"crop", "infer", "post"}
    (face,) = record["faces"]
    assert set(face) == {"score", "box", "keypoints"}
    assert (len(face["box"]), len(face["keypoints"])) == (4, 6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 32766), (32766, 1), (8000, 8000)])
def test_images_of_any_size_without_a_face_are_an_empty_result(official: Official, shape: tuple[int, int]) -> None:
    for variant in (SHORT, FULL):
        assert FaceDetector(official(variant)).process(np.full((*shape, 3), 90, np.uint8)).faces == ()


def test_a_face_is_found_in_a_huge_image(official: Official, data_dir: Path) -> None:
    portrait = golden.read_photo(data_dir, "tfjs_portrait.jpg")
    rgb = np.zeros((8000, 8000, 3), np.uint8)
    rgb[: 1024 * 7, : 820 * 7] = portrait.repeat(7, axis=0).repeat(7, axis=1)
    (face,) = FaceDetector(official(SHORT)).process(rgb).faces
    (expected,) = FaceDetector(official(SHORT)).process(portrait).faces
    scale = np.array([820, 1024]) * 7 / 8000
    assert np.abs(face.keypoints - expected.keypoints * scale).max() < 0.02


def test_an_array_that_need_not_be_contiguous(official: Official, data_dir: Path) -> None:
    rgb = golden.read_photo(data_dir, "tfjs_portrait.jpg")
    detector = FaceDetector(official(SHORT))
    view = np.ascontiguousarray(rgb[:, :, ::-1])[:, :, ::-1]
    assert np.array_equal(detector.process(view).faces[0].box, detector.process(rgb).faces[0].box)


def test_what_is_no_uint8_rgb_image_is_refused(official: Official) -> None:
    detector = FaceDetector(official(SHORT))
    for rgb in (np.zeros((9, 9), np.uint8), np.full((9, 9, 3), np.nan, np.float32), np.zeros((9, 9, 4), np.uint8)):
        with pytest.raises(ShapeError, match="must be uint8 RGB"):
            detector.process(rgb)


def test_another_network_is_refused_by_name(official: Official, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be a face detector with the heads boxes, scores\. Received: input"):
        FaceDetector(official("pose_detection"))
    with pytest.raises(InputError, match="Cannot read the model"):
        FaceDetector(tmp_path / "missing.tflite")
