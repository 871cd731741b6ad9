from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
import tflite_surgery as surgery
from blazeport.errors import ConfigError, ShapeError
from blazeport.models.config import POSE_DETECTION, PoseDetectorConfig
from blazeport.pipeline.detector import Detector
from blazeport.pipeline.landmarker import Landmarker, RoiLandmarks
from blazeport.pipeline.pose import Person, PoseTracker, find_people
from blazeport.pipeline.roi import Roi, roi_from_points
from blazeport.runtime.interpreter import Model

Official = Callable[[str], Path]

LITE = "pose_landmark_lite"
POSE = "tfjs_pose.jpg"

# MediaPipe smooths the next region even between unrelated stills, except right after one without a person.
RECORDED_AFTER_A_MISS = (
    "dlib_2007_007763.jpg",
    "jet_humans_0.jpg",
    "mp_000000000315.jpg",
    "op_COCO_val2014_000000000241.jpg",
    "op_COCO_val2014_000000000415.jpg",
    "tfjs_portrait.jpg",
)


@pytest.fixture(scope="module")
def detector(official: Official) -> Model:
    return Model(official("pose_detection"))


@pytest.fixture(scope="module")
def stills(official: Official, detector: Model) -> PoseTracker:
    return PoseTracker(detector, official(LITE), static=True)


def pruned(path: Path, names: Sequence[str]) -> Model:
    whole = list(Model(path).outputs)
    edited = surgery.read(path.read_bytes())
    surgery.keep_outputs(edited, [whole.index(name) for name in names])
    return Model(surgery.write(edited))


def test_detections_equal_mediapipes_on_every_photo(detector: Model, data_dir: Path) -> None:
    person_detector = Detector(detector, PoseDetectorConfig)
    keypoint_error = score_error = box_error = 0.0
    hits = 0
    for name, photo in golden.photos(data_dir).items():
        expected = photo["pose"]["full"]["detection"]
        found = find_people(golden.read_photo(data_dir, name), person_detector)
        assert bool(found) == (expected is not None), name
        if expected:
            hits += 1
            best = found[0][0]
            keypoint_error = max(keypoint_error, np.abs(best.keypoints - expected["keypoints"]).max())
            box_error = max(box_error, np.abs(best.box - expected["box"]).max())
            score_error = max(score_error, abs(best.score - expected["score"]))
    assert hits == 108
    assert keypoint_error <= 2e-6
    assert box_error <= 2e-6
    assert score_error <= 2e-6


@pytest.mark.parametrize("kernel", [7, 9])
@pytest.mark.parametrize(
    ("variant", "every"), [("lite", 1), ("full", 1), ("heavy", 5)], ids=["lite", "full", "heavy, a fifth"]
)
def test_landmarks_in_mediapipes_region_equal_its_own(
    official: Official, data_dir: Path, variant: str, every: int, kernel: int
) -> None:
    path = official(f"pose_landmark_{variant}")
    landmarker = Landmarker(path, heatmap_kernel=kernel)
    limits = {"xy": 5e-6, "z": 5e-6, "confidence": 1e-6, "world": 1e-6}
    errors = dict.fromkeys(limits, 0.0)
    beyond = []  # photos, regions and results where a limit is exceeded
    for name, photo in list(golden.photos(data_dir, kernel).items())[::every]:
        expected = photo["pose"][variant]
        if expected["roi_from_detection"] is None:
            continue
        roi = Roi(**expected["roi_from_detection"])
        found = landmarker.find(golden.read_photo(data_dir, name), roi)
        assert (found.presence > 0.5) == (expected["landmarks"] is not None), name
        if expected["landmarks"] is None:
            continue
        assert found.world_landmarks is not None
        here = differences(found, np.array(expected["landmarks"]), np.array(expected["world"])[:, :3])
        errors = {key: max(errors[key], here[key]) for key in limits}
        if any(here[key] > limit for key, limit in limits.items()):
            beyond.append((name, roi, found))

    def noise() -> dict[str, float]:
        other = Landmarker(golden.with_other_kernels(path), heatmap_kernel=kernel)
        again = [(other.find(golden.read_photo(data_dir, name), roi), found) for name, roi, found in beyond]
        each = [differences(one, found.landmarks, found.world_landmarks) for one, found in again]
        return {key: max(values[key] for values in each) for key in limits}

    golden.assert_as_near_as_kernels_are(errors, limits, noise)


def differences(found: RoiLandmarks, landmarks: np.ndarray, world: np.ndarray) -> dict[str, float]:
    """The largest difference in each kind of value."""
    difference = np.abs(found.landmarks - landmarks)
    return {
        "xy": float(difference[:, :2].max()),
        "z": float(difference[:, 2].max()),
        "confidence": float(difference[:, 3:].max()),
        "world": float(np.abs(found.world_landmarks - world).max()),
    }


@pytest.mark.parametrize("variant", ["lite", "full"])
def test_photo_to_landmarks_agrees_with_mediapipe(
    official: Official, detector: Model, data_dir: Path, variant: str
) -> None:
    stills = PoseTracker(detector, official(f"pose_landmark_{variant}"), static=True)
    errors = []  # mean distance of the landmarks, in sides of the region
    for name, photo in golden.photos(data_dir, 7).items():
        expected = photo["pose"][variant]
        people = stills.process(golden.read_photo(data_dir, name)).people
        assert len(people) == (expected["landmarks"] is not None), name
        if people:
            difference = people[0].landmarks[:, :2] - np.array(expected["landmarks"])[:, :2]
            distance_px = np.linalg.norm(difference * [photo["width"], photo["height"]], axis=1).mean()
            errors.append(distance_px / (expected["roi_from_detection"]["width"] * photo["width"]))
    assert np.median(errors) <= 1e-4
    assert np.percentile(errors, 95) <= 1e-3


@pytest.mark.parametrize("variant", ["lite", "full"])
def test_the_next_region_equals_mediapipes_where_its_filter_had_no_memory(
    official: Official, data_dir: Path, variant: str
) -> None:
    landmarker = Landmarker(official(f"pose_landmark_{variant}"))
    for name in RECORDED_AFTER_A_MISS:
        photo = golden.photos(data_dir, 7)[name]
        expected = photo["pose"][variant]
        found = landmarker.find(golden.read_photo(data_dir, name), Roi(**expected["roi_from_detection"]))
        next_roi = roi_from_points(*found.alignment, photo["width"], photo["height"], 1.25)
        assert next_roi is not None
        assert astuple(next_roi) == pytest.approx(tuple(expected["roi_from_landmarks"].values()), abs=5e-6)


def test_the_pose_equals_the_one_published_with_mediapipes_tests(
    official: Official, detector: Model, data_dir: Path
) -> None:
    folder = data_dir / "mediapipe_testdata/mediapipe/mediapipe/tasks/testdata/vision"
    published = re.findall(r"x: (\S+)\s+y: (\S+)", (folder / "expected_pose_landmarks.prototxt").read_text())
    rectangle = dict(re.findall(r"(\w+): (-?[\d.]+)", (folder / "pose_expected_expanded_rect.pbtxt").read_text()))
    rgb = golden.read_photo(data_dir, POSE)
    for variant in ("lite", "full", "heavy"):
        (person,) = PoseTracker(detector, official(f"pose_landmark_{variant}"), static=True).process(rgb).people
        assert np.abs(person.landmarks[:, :2] - np.array(published, np.float64)[:33]).max() < 0.025
    for name, value in rectangle.items():
        assert getattr(person.roi, name) == pytest.approx(float(value), abs=1e-3)


def test_a_pruned_file_gives_the_networks_own_landmarks_without_world(
    official: Official, detector: Model, data_dir: Path
) -> None:
    rgb = golden.read_photo(data_dir, POSE)
    small = PoseTracker(detector, pruned(official(LITE), ["presence", "landmarks"]), static=True)
    unrefined = PoseTracker(detector, official(LITE), static=True, refine=False)
    (found,), (expected,) = small.process(rgb).people, unrefined.process(rgb).people
    assert not small.landmarker.refine
    assert found.world_landmarks is None
    assert np.array_equal(found.landmarks, expected.landmarks)
    assert expected.world_landmarks is not None


def test_refinement_and_its_kernel_matter(official: Official, detector: Model, data_dir: Path) -> None:
    rgb = golden.read_photo(data_dir, POSE)
    options: list[dict[str, Any]] = [{"heatmap_kernel": 7}, {"heatmap_kernel": 9}, {"refine": False}]
    found = [PoseTracker(detector, official(LITE), **each).process(rgb).people[0].landmarks for each in options]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert 0 < np.abs(found[one] - found[other])[:, :2].max() < 0.1
        assert np.array_equal(found[one][:, 2:], found[other][:, 2:])


def test_int8_input_and_outputs_find_the_same_pose(official: Official, detector: Model, data_dir: Path) -> None:
    edited = surgery.read(official(LITE).read_bytes())
    surgery.quantize_io(edited, np.int8, (1 / 255, -128), {0: (3.0, 0), 1: (1 / 256, -128), 3: (0.25, 0)})
    rgb = golden.read_photo(data_dir, POSE)
    (expected,) = PoseTracker(detector, official(LITE)).process(rgb).people
    (found,) = PoseTracker(detector, Model(surgery.write(edited))).process(rgb).people
    assert np.linalg.norm((found.landmarks - expected.landmarks)[:, :2], axis=1).mean() < 0.01


def test_a_result_is_json_with_the_time_of_each_step(stills: PoseTracker, data_dir: Path) -> None:
    record = json.loads(json.dumps(stills.process(golden.read_photo(data_dir, POSE)).to_dict()))
    assert set(record["timing_ms"]) == {"crop", "infer", "post"}
    (person,) = record["people"]
    assert list(person) == ["number", "presence", "detection", "roi", "next_roi", "landmarks", "world_landmarks"]
    assert set(person["roi"]) == {"x_center", "y_center", "width", "height", "rotation"}
    assert np.shape(person["landmarks"]) == (33, 5)
    assert np.shape(person["world_landmarks"]) == (33, 3)


def test_a_person_the_landmark_network_denies_is_left_out(stills: PoseTracker, data_dir: Path) -> None:
    name = "mp_000000000446.jpg"
    rgb = golden.read_photo(data_dir, name)
    assert golden.photos(data_dir)[name]["pose"]["lite"]["detection"]
    assert stills.process(rgb).people == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 32766), (8000, 8000)])
def test_images_of_any_size_without_a_person_are_an_empty_result(stills: PoseTracker, shape: tuple[int, int]) -> None:
    assert stills.process(np.full((*shape, 3), 90, np.uint8)).people == ()


def test_a_region_may_lie_far_outside_a_tiny_image(stills: PoseTracker) -> None:
    found = stills.landmarker.find(np.full((1, 1, 3), 90, np.uint8), Roi(50.0, -50.0, 1e4, 1e4, 1.0))
    assert np.isfinite(found.landmarks).all()
    assert found.presence < 0.5


def test_what_is_no_uint8_rgb_image_is_refused(stills: PoseTracker) -> None:
    for rgb in (np.zeros((9, 9), np.uint8), np.full((9, 9, 3), np.nan), np.zeros((9, 9, 4), np.uint8)):
        with pytest.raises(ShapeError, match="must be uint8 RGB"):
            stills.process(rgb)
        with pytest.raises(ShapeError, match="must be uint8 RGB"):
            stills.landmarker.find(rgb, Roi(0.5, 0.5, 1, 1, 0))


def test_files_and_options_that_do_not_fit_are_refused(official: Official, detector: Model) -> None:
    with pytest.raises(ConfigError, match="must be a pose landmark"):
        PoseTracker(detector, detector)
    with pytest.raises(ConfigError, match="must be a pose detector"):
        PoseTracker(official(LITE), official(LITE))
    with pytest.raises(ConfigError, match=r"Unknown heatmap kernel\. Expected one of: 7, 9\. Received: 5"):
        PoseTracker(detector, official(LITE), heatmap_kernel=5)
    with pytest.raises(ConfigError, match="with the heads landmarks, presence"):
        PoseTracker(detector, pruned(official(LITE), ["landmarks"]))
    with pytest.raises(ConfigError, match="needs the head heatmap"):
        PoseTracker(detector, pruned(official(LITE), ["landmarks", "presence"]), refine=True)
    with pytest.raises(ConfigError, match="needs the head segmentation"):
        PoseTracker(detector, pruned(official(LITE), ["landmarks", "presence"]), segment=True)
    with pytest.raises(ConfigError, match="max_people must be at least 1"):
        PoseTracker(detector, official(LITE), max_people=0)


def test_landmarks_of_another_shape_are_no_person() -> None:
    roi = Roi(0.5, 0.5, 1, 1, 0)
    for landmarks, world in (((33, 4), (33, 3)), ((33, 5), (39, 3))):
        with pytest.raises(ShapeError, match="Landmarks must be"):
            Person(
                presence=1.0,
                detection=None,
                roi=roi,
                next_roi=None,
                landmarks=np.zeros(landmarks, np.float32),
                world_landmarks=np.zeros(world, np.float32),
            )


def test_detections_without_a_circle_have_no_region(detector: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = np.zeros((1, POSE_DETECTION.num_anchors, POSE_DETECTION.num_coords), np.float32)
    boxes[..., 2:4] = 50  # px, with every keypoint on the anchor
    scores = np.full((1, POSE_DETECTION.num_anchors, 1), 3, np.float32)
    monkeypatch.setattr(detector, "run", lambda image: {"boxes": boxes, "scores": scores})
    assert find_people(np.zeros((64, 64, 3), np.uint8), Detector(detector, PoseDetectorConfig)) == ()
