from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tflite_surgery
from ai_edge_litert import schema_py_generated as schema
from blazeport.errors import ConfigError, InputError
from blazeport.models.config import FACE_DETECTION_SHORT_RANGE, POSE_DETECTION, POSE_LANDMARK_LITE
from blazeport.pipeline.anchors import make_anchors
from blazeport.pipeline.detector import Detection, Detector
from blazeport.pipeline.image import read_image
from blazeport.quantize.controls import noisy, remembered, shifted
from blazeport.quantize.detector_errors import Letterboxed, detect, detector_errors, letterboxed, match
from blazeport.quantize.evaluate import evaluate
from blazeport.quantize.evaluation_page import write_page
from blazeport.quantize.figures import Figure, Meaning, figure_text, mean_of, median_of, share_of
from blazeport.quantize.landmark_errors import LandmarkErrors, jitter_ratio, landmark_errors
from blazeport.runtime.interpreter import Model

Official = Callable[[str], Path]
Outputs = dict[str, np.ndarray]

FACE, PEOPLE, LITE = FACE_DETECTION_SHORT_RANGE, POSE_DETECTION, POSE_LANDMARK_LITE
SQUARE = Letterboxed(np.zeros(FACE.input_shape, np.float32), 100, 100)
CROP = np.zeros(LITE.input_shape, np.float32)


def constant(outputs: Outputs):
    return lambda image: outputs


# Figures.


def test_a_mean_weighs_every_case_alike_and_resamples_photos():
    figure = mean_of(np.array([2.0, 30.0]), np.array([2, 10]))
    assert (figure.value, figure.n) == (pytest.approx(32 / 12), 12)
    assert (figure.low, figure.high) == (pytest.approx(1), pytest.approx(3))


def test_a_share_knows_its_count_even_without_a_total():
    assert share_of(np.array([1, 1, 0]), np.array([4, 2, 2])).value == 25
    assert share_of(np.array([3]), np.array([0])) == Figure(value=None, n=0, count=3)


def test_nothing_has_no_value_and_one_sample_no_interval():
    assert median_of(np.array([])) == Figure(value=None, n=0)
    assert mean_of(np.array([6.0]), np.array([3])) == Figure(value=2, n=3)


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide():
    values = np.random.default_rng(1).normal(5, 2, 400)
    figure = mean_of(values, np.ones(400))
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < 5 < figure.high
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(value=1.234, n=9, low=1.0, high=1.5), "1.23 (1.00–1.50)"),
        (Figure(value=25.0, n=8, count=2), "2 of 8 = 25.00 %"),
        (Figure(value=None, n=0, count=3), "3 of 0 = – %"),
        (Figure(value=None, n=0), "–"),
        (None, "–"),
    ],
)
def test_figures_are_written_for_people(figure: Figure | None, text: str):
    assert figure_text(figure, Meaning("", "", 2)) == text


# Landmarks.


def landmark_outputs(*, presence: float = 0.9, seen: int = 33, by: tuple[float, ...] = (0, 0, 0), world_m: float = 0):
    """A person of which the first points are visible, with a torso of 100 px, moved by x y z px."""
    points = np.zeros((39, 5), np.float32)
    points[23:25, 1] = 100  # hips
    points[:, :3] += by
    points[:, 3] = np.where(np.arange(39) < seen, 2, -2)
    world = np.zeros((39, 3), np.float32)
    world[:, 0] = world_m
    return {
        "landmarks": points.reshape(1, -1),
        "presence": np.array([[presence]], np.float32),
        "world_landmarks": world.reshape(1, -1),
    }


def compare(candidate: Outputs, reference: Outputs) -> LandmarkErrors:
    return landmark_errors(constant(candidate), constant(reference), [CROP], LITE)


def values(errors) -> dict[str, float | None]:
    return {name: figure.value for name, figure in errors.figures().items()}


def test_equal_landmarks_have_no_error():
    assert values(compare(landmark_outputs(), landmark_outputs())) == {
        **{"visible_px": 0, "all_px": 0, "within_torso_percent": 100, "z_px": 0, "world_cm": 0},
        **{"presence_flips_percent": 0, "presence_kept_percent": 100, "visibility_agreement_percent": 100},
    }


def test_moved_landmarks_have_the_known_error():
    figures = values(compare(landmark_outputs(by=(3, 4, -7), world_m=0.02), landmark_outputs()))
    assert figures["visible_px"] == figures["all_px"] == pytest.approx(5)
    assert figures["z_px"] == pytest.approx(7)
    assert figures["world_cm"] == pytest.approx(2)


def test_only_points_that_the_reference_sees_are_visible():
    moved = landmark_outputs()
    moved["landmarks"].reshape(39, 5)[20:33, 0] += 30
    errors = compare(moved, landmark_outputs(seen=20))
    figures = errors.figures()
    assert (figures["visible_px"].value, figures["visible_px"].n) == (0, 20)
    assert (figures["all_px"].value, figures["all_px"].n) == (pytest.approx(30 * 13 / 33), 33)
    assert figures["visibility_agreement_percent"].count == 20
    assert errors.visible_px.tolist() == [0]


def test_auxiliary_points_do_not_count():
    moved = landmark_outputs()
    moved["landmarks"].reshape(39, 5)[33:] += 50
    assert values(compare(moved, landmark_outputs()))["all_px"] == 0


@pytest.mark.parametrize(("distance", "within"), [(19.9, 100), (20.1, 0)])
def test_a_fifth_of_the_torso_is_the_limit(distance: float, within: float):
    assert values(compare(landmark_outputs(by=(distance, 0, 0)), landmark_outputs()))["within_torso_percent"] == within


def test_crops_that_the_reference_rejects_count_for_presence_only():
    candidates = iter([landmark_outputs(presence=0.6, by=(9, 0, 0)), landmark_outputs(presence=0.4, by=(1, 0, 0))])
    references = iter([landmark_outputs(presence=0.4), landmark_outputs(presence=0.6)])
    errors = landmark_errors(lambda _: next(candidates), lambda _: next(references), [CROP, CROP], LITE)
    figures = errors.figures()
    assert errors.present.tolist() == [False, True]
    assert (figures["presence_flips_percent"].count, figures["presence_flips_percent"].n) == (2, 2)
    assert (figures["visible_px"].value, figures["visible_px"].n) == (pytest.approx(1), 33)


def test_files_without_world_landmarks_have_no_world_figure():
    outputs = landmark_outputs()
    del outputs["world_landmarks"]
    assert "world_cm" not in values(compare(outputs, landmark_outputs()))


def test_no_crop_gives_figures_without_a_value():
    errors = landmark_errors(constant({}), constant({}), [], LITE)
    assert {figure.n for figure in errors.figures().values()} == {0}
    assert set(values(errors).values()) == {None}


def test_a_network_that_trembles_three_times_as_much_has_a_jitter_ratio_of_three():
    def trembling(factor: float):
        return lambda image: landmark_outputs(by=(factor * 1e4 * float(image.mean()), 0, 0))

    still = np.full(LITE.input_shape, 0.5, np.float32)
    figure = jitter_ratio(trembling(3), trembling(1), [still] * 20, LITE)
    assert figure.n == 8
    assert figure.value == pytest.approx(3, rel=1e-3)


# Detectors.


def detector_outputs(config, *detections: tuple[float, ...], score: float = 3.0) -> Outputs:
    """Raw outputs that hold these detections: xmin ymin width height, then x y per keypoint, in [0, 1]; best first."""
    anchors = make_anchors(config)
    boxes = np.zeros((1, config.num_anchors, config.num_coords), np.float32)
    scores = np.full((1, config.num_anchors, 1), -9, np.float32)
    for index, (x, y, width, height, *keypoints) in enumerate(detections):
        points = np.array([x + width / 2, y + height / 2, 0, 0, *keypoints]).reshape(-1, 2)
        coords = points - anchors[index]
        coords[1] = width, height
        boxes[0, index] = coords.ravel() * config.input_size
        scores[0, index] = score - index / 10
    return {"boxes": boxes, "scores": scores}


def face(x: float = 0.2, y: float = 0.2, *, moved: float = 0.0) -> tuple[float, ...]:
    """A face 0.4 wide with its eyes 0.2 apart and every keypoint moved by a length in x."""
    keypoints = [(x + 0.1, y + 0.1), (x + 0.3, y + 0.1), *[(x + 0.2, y + 0.2)] * 4]
    return (x, y, 0.4, 0.4, *(value for kx, ky in keypoints for value in (kx + moved, ky)))


def person(*, x: float = 0.5, radius: float = 0.2, degrees: float = 0.0) -> tuple[float, ...]:
    """A person whose circle lies around x and the middle, turned clockwise."""
    angle = np.radians(degrees)
    rim = (x + radius * np.sin(angle), 0.5 - radius * np.cos(angle))
    return (x - 0.1, 0.2, 0.2, 0.2, x, 0.5, *rim, x, 0.5, *rim)


def face_errors(candidate: Outputs, reference: Outputs):
    return detector_errors(constant(candidate), constant(reference), [SQUARE], FACE)


def people_errors(candidate: Outputs, reference: Outputs):
    return detector_errors(constant(candidate), constant(reference), [SQUARE], PEOPLE)


def test_equal_detections_have_no_error():
    outputs = detector_outputs(FACE, face(), face(0.6, 0.6))
    figures = values(face_errors(outputs, outputs))
    assert figures == {"missed_percent": 0, "extra_percent": 0, "iou": pytest.approx(1), "keypoint_percent": 0}


def test_keypoints_are_measured_in_distances_between_the_eyes():
    figures = values(face_errors(detector_outputs(FACE, face(moved=0.01)), detector_outputs(FACE, face())))
    assert figures["keypoint_percent"] == pytest.approx(5, rel=1e-3)
    assert figures["iou"] == pytest.approx(1)


def test_overlap_is_intersection_over_union():
    figures = values(face_errors(detector_outputs(FACE, face(0.24)), detector_outputs(FACE, face(0.2))))
    assert figures["iou"] == pytest.approx(0.36 / 0.44, rel=1e-4)


def test_what_overlaps_by_less_than_half_is_missed_and_extra():
    figures = face_errors(detector_outputs(FACE, face(0.34), face(0.6, 0.6)), detector_outputs(FACE, face())).figures()
    assert (figures["missed_percent"].count, figures["extra_percent"].count) == (1, 2)
    assert figures["extra_percent"].value == 200
    assert figures["iou"] == Figure(value=None, n=0)


def test_each_detection_is_matched_once_and_the_best_overlap_first():
    def at(x: float) -> Detection:
        return Detection(0.9, np.array([x, 0, 1, 1], np.float32), np.zeros((6, 2), np.float32))

    pairs = match((at(0.2), at(0.1)), (at(0), at(0.3), at(5)))
    assert [pair[:2] for pair in pairs] == [(0, 1), (1, 0)]
    assert [pair[2] for pair in pairs] == pytest.approx([0.9 / 1.1, 0.9 / 1.1])
    assert [pair[:2] for pair in match((at(0.2), at(0.1)), (at(0),))] == [(1, 0)]


def test_regions_differ_in_centre_size_and_rotation():
    reference = detector_outputs(PEOPLE, person())
    moved = values(people_errors(detector_outputs(PEOPLE, person(x=0.51, radius=0.22, degrees=6)), reference))
    assert moved["roi_center_percent"] == pytest.approx(2, rel=1e-3)  # of a side of 0.5
    assert moved["roi_size_percent"] == pytest.approx(10, rel=1e-3)
    assert moved["roi_rotation_degrees"] == pytest.approx(6, rel=1e-3)


def test_angles_are_compared_around_the_circle():
    errors = people_errors(
        detector_outputs(PEOPLE, person(degrees=179)), detector_outputs(PEOPLE, person(degrees=-178))
    )
    assert values(errors)["roi_rotation_degrees"] == pytest.approx(3, rel=1e-3)


def test_two_people_in_another_order_are_nobody_missed():
    left, right = person(x=0.3), person(x=0.7)
    figures = people_errors(detector_outputs(PEOPLE, left, right), detector_outputs(PEOPLE, right, left)).figures()
    assert figures["best_missed_percent"] == Figure(value=0, n=1, count=0)
    assert figures["missed_percent"] == Figure(value=0, n=2, count=0)


def test_a_person_where_the_reference_has_none_is_extra():
    errors = people_errors(detector_outputs(PEOPLE, person()), detector_outputs(PEOPLE))
    assert (errors.best_missed.tolist(), errors.best_extra.tolist()) == ([False], [True])
    assert errors.figures()["best_extra_percent"] == Figure(value=None, n=0, count=1)


def test_no_photo_gives_figures_without_a_value():
    outputs = detector_outputs(FACE)
    errors = detector_errors(constant(outputs), constant(outputs), [], FACE)
    assert set(values(errors).values()) == {None}


@pytest.mark.parametrize("config", [FACE, PEOPLE], ids=["face", "pose"])
def test_detections_are_those_of_the_pipeline(official: Official, photos: list[Path], config):
    model = Model(official(config.name))
    detector = Detector(model, type(config))
    for photo in photos[:6]:
        rgb = read_image(photo)
        found = detect(model.run, letterboxed(rgb, config), config)
        assert [each.to_dict() for each in found] == [each.to_dict() for each in detector.detect(rgb)]


# Controls.


def test_noise_is_at_most_one_pixel_value_and_stays_in_range():
    seen: list[np.ndarray] = []
    image = np.random.default_rng(0).integers(0, 256, LITE.input_shape).astype(np.float32) / np.float32(255)
    run = noisy(lambda noised: seen.append(noised) or {}, LITE)
    run(image)
    run(image)
    difference = (seen[0] - image) * 255
    assert np.abs(difference).max() <= 1 + 1e-3
    assert set(np.rint(difference).ravel()) == {-1, 0, 1}
    assert (seen[0].min(), seen[0].max()) == (0, 1)
    assert seen[0].dtype == np.float32
    assert not np.array_equal(seen[0], seen[1])


def test_a_network_that_follows_a_shift_has_no_error_under_it():
    def follows_the_dot(image: np.ndarray) -> Outputs:
        return landmark_outputs(by=(float(image[0, 7, :, 0].argmax()), 0, 0))

    def finds_the_dot(image: np.ndarray) -> Outputs:
        x = float(image[0, 7, :, 0].argmax()) / FACE.input_size
        return detector_outputs(FACE, face(x))

    crop, photo = CROP.copy(), SQUARE.tensor.copy()
    crop[0, 7, 40], photo[0, 7, 40] = 1, 1
    assert values(landmark_errors(shifted(follows_the_dot, LITE), follows_the_dot, [crop], LITE))["all_px"] == 0
    views = [Letterboxed(photo, 100, 100)]
    figures = values(detector_errors(shifted(finds_the_dot, FACE), finds_the_dot, views, FACE))
    assert figures["iou"] == pytest.approx(1, abs=1e-5)
    assert figures["keypoint_percent"] == pytest.approx(0, abs=1e-3)


def test_a_remembered_network_runs_once_per_input():
    calls: list[np.ndarray] = []
    run = remembered(lambda image: calls.append(image) or {"kept": image, "dropped": image}, ("kept",))
    for value in (0, 1, 0, 1):
        assert list(run(np.full((1, 2, 2, 3), value, np.float32))) == ["kept"]
    assert len(calls) == 2


# Files.

SOME = ("tfjs_portrait.jpg", "tfjs_pose.jpg", "tfjs_three_people.jpg", "df_couple.jpg", "mp_lenna.png")


@pytest.fixture(scope="module")
def some(data_dir: Path) -> list[Path]:
    return [data_dir / "images" / name for name in SOME]


def moved_file(content: bytes, position: int, offsets: np.ndarray) -> bytes:
    """A network that adds offsets to one of its outputs."""
    model = tflite_surgery.read(content)
    graph = model.subgraphs[0]
    inner = int(graph.outputs[position])
    buffer, constant_, result = schema.BufferT(), schema.TensorT(), schema.TensorT()
    buffer.data = np.frombuffer(offsets.astype(np.float32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    constant_.name, constant_.shape, constant_.buffer = b"offsets", list(offsets.shape), len(model.buffers) - 1
    result.name, result.shape, result.buffer = b"moved", list(graph.tensors[inner].shape), 0
    graph.tensors += [constant_, result]
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 1
    model.operatorCodes.append(code)
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [inner, len(graph.tensors) - 2], [len(graph.tensors) - 1]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
    graph.operators.append(operator)
    graph.outputs = [*graph.outputs[:position], len(graph.tensors) - 1, *graph.outputs[position + 1 :]]
    return tflite_surgery.write(model)


@pytest.mark.parametrize("variant", ["face_detection_short_range", "pose_detection"])
def test_a_detector_file_against_itself_misses_nothing(official: Official, some: list[Path], variant: str):
    evaluation = evaluate(official(variant), official(variant), some, side="all")
    group = evaluation.photos
    assert group is not None
    assert (group.media, group.samples, evaluation.clips) == (5, 5, None)
    assert evaluation.variant == variant
    for name, figure in group.candidate.items():
        assert figure.n > 0
        assert figure.value == pytest.approx(1 if name == "iou" else 0, abs=1e-6)
    assert group.worst == ()
    assert group.noise["iou"].value is not None
    assert 0.9 < group.noise["iou"].value < 1


def test_a_landmark_file_that_is_five_px_off_is_found_to_be(official: Official, some: list[Path], tmp_path: Path):
    reference = official("pose_landmark_lite")
    positions = list(Model(reference).outputs)
    offsets = np.tile([3, -4, 7, 0, 0], 39)
    candidate = tmp_path / "moved.tflite"
    candidate.write_bytes(moved_file(reference.read_bytes(), positions.index("landmarks"), offsets))
    group = evaluate(candidate, reference, some, side="all").photos
    assert group is not None
    assert group.candidate["visible_px"].value == pytest.approx(5, abs=1e-4)
    assert group.candidate["all_px"].value == pytest.approx(5, abs=1e-4)
    assert group.candidate["z_px"].value == pytest.approx(7, abs=1e-4)
    assert group.candidate["world_cm"].value == 0
    assert group.candidate["jitter_ratio"].value == pytest.approx(1, abs=1e-4)
    assert group.candidate["presence_flips_percent"].count == 0
    assert group.noise["visible_px"].value is not None
    assert 0 < group.noise["visible_px"].value < 1
    assert {round(case.figures["visible_px"], 3) for case in group.worst} == {5}


def test_frames_of_clips_are_counted_apart(official: Official, some: list[Path], data_dir: Path):
    clip = data_dir / "clips" / "tfjs_pose_1.mp4"
    file = official("face_detection_short_range")
    evaluation = evaluate(file, file, [*some, clip], side="all", limit=3)
    assert evaluation.photos is not None
    assert evaluation.clips is not None
    assert (evaluation.photos.media, evaluation.photos.samples) == (3, 3)
    assert (evaluation.clips.media, evaluation.clips.samples) == (1, 16)


def test_the_sides_of_the_split_share_no_photo(official: Official, some: list[Path]):
    file = official("face_detection_short_range")
    groups = [evaluate(file, file, some, side=side).photos for side in ("calibration", "evaluation", "all")]
    counts = [group.samples if group else 0 for group in groups]
    assert counts[0] + counts[1] == counts[2] == 5
    assert min(counts) > 0


@pytest.mark.parametrize(
    ("candidate", "reference", "reason"),
    [
        ("face_detection_short_range", "pose_detection", "must be the same network"),
        ("pose_landmark_lite", "face_detection_full_range", "must be the same network"),
    ],
)
def test_two_different_networks_are_refused(
    official: Official, some: list[Path], candidate: str, reference: str, reason: str
):
    with pytest.raises(ConfigError, match=reason):
        evaluate(official(candidate), official(reference), some)


def test_a_file_without_presence_is_refused(official: Official, some: list[Path], tmp_path: Path):
    reference = official("pose_landmark_lite")
    model = tflite_surgery.read(reference.read_bytes())
    tflite_surgery.keep_outputs(model, [list(Model(reference).outputs).index("landmarks")])
    (tmp_path / "headless.tflite").write_bytes(tflite_surgery.write(model))
    with pytest.raises(ConfigError, match="lacks presence"):
        evaluate(tmp_path / "headless.tflite", reference, some)


def test_photos_without_a_person_are_an_error_that_says_so(official: Official, data_dir: Path):
    file = official("pose_landmark_lite")
    with pytest.raises(InputError, match=r"with a person .* none in 1 files"):
        evaluate(file, file, [data_dir / "images" / "tfjs_hands.jpg"], side="all")


def test_the_page_holds_everything_itself(official: Official, some: list[Path], tmp_path: Path):
    reference = official("face_detection_short_range")
    offsets = np.zeros(16)
    offsets[4:] = 1
    candidate = tmp_path / "<b>moved.tflite"
    position = list(Model(reference).outputs).index("boxes")
    candidate.write_bytes(moved_file(reference.read_bytes(), position, offsets))
    evaluation = evaluate(candidate, reference, some, side="all")
    write_page(evaluation, candidate, reference, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert evaluation.photos is not None
    assert page.count("<img ") == page.count('src="data:image/jpeg;base64,') == 2 * len(evaluation.photos.worst) > 0
    assert not any(word in page for word in ("http:", "https:", "url(", "<link", "<script"))
    assert "<b>moved" not in page
    assert all(case.name in page for case in evaluation.photos.worst)
    assert json.loads(json.dumps(evaluation.to_dict()))["photos"]["candidate"]["iou"]["n"] > 0


def test_a_missing_scipy_is_said_before_anything_runs(official: Official, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    file = official("face_detection_short_range")
    with pytest.raises(ConfigError, match="need scipy"):
        evaluate(file, file, [])


def test_evaluation_never_imports_tensorflow():
    code = (
        "import sys, blazeport.quantize.evaluate, blazeport.quantize.evaluation_page\n"
        "assert not {'tensorflow', 'keras', 'tf_keras', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
