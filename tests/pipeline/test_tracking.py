from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
from blazeport.errors import InputError
from blazeport.pipeline import landmarker, pose
from blazeport.pipeline.landmarker import Landmarker
from blazeport.pipeline.pose import MEDIAPIPE_FRAME_US, PoseTracker
from blazeport.pipeline.roi import Roi, alignment_of_body, roi_from_points
from blazeport.runtime.interpreter import Model

Official = Callable[[str], Path]

LITE = "pose_landmark_lite"
SQUATS = "tfjs_pose_squats"
POSITION_NOISE = 2e-6  # in [0, 1] of the crop, between two sets of kernels


@pytest.fixture(scope="module")
def detector(official: Official) -> Model:
    return Model(official("pose_detection"))


@pytest.fixture(scope="module")
def lite(official: Official) -> Model:
    return Model(official(LITE))


@pytest.fixture
def squats(data_dir: Path) -> list[np.ndarray]:
    return golden.read_clip(data_dir, SQUATS, 12)


def follow_mediapipe(
    tracker: PoseTracker, frames: list[np.ndarray], rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, dict[str, float], list[pose.Person]]:
    """Runs a tracker with MediaPipe's region in every frame, so that differences cannot feed back.

    Returns:
        Frames in which only one of the two sees a person, the largest differences, and the people.
    """
    height, width = frames[0].shape[:2]
    mismatches, errors = 0, dict.fromkeys(("px", "visibility", "world", "roi"), 0.0)
    people: list[pose.Person] = []
    find_people = pose.find_people
    forced: dict[str, float] | None = None
    for frame, row in zip(frames, rows, strict=False):
        if tracker._tracks:
            tracker._tracks[0].roi = Roi(**forced)
        elif row["roi_from_detection"]:
            roi = Roi(**row["roi_from_detection"])
            monkeypatch.setattr(pose, "find_people", lambda *a, roi=roi: [(d, roi) for d, _ in find_people(*a)])
        result = tracker.process(frame)
        assert (result.detector_ran and bool(row["detection"])) == (row["detection"] is not None)
        forced = row["roi_from_landmarks"]
        mismatches += bool(result.people) != (row["landmarks"] is not None)
        if result.people and row["landmarks"] is not None:
            person = result.people[0]
            people.append(person)
            difference = np.abs(person.landmarks - np.array(row["landmarks"]))
            world = np.abs(person.world_landmarks - np.array(row["world"])[:, :3])
            roi_error = np.abs(np.subtract(astuple(person.next_roi), list(forced.values()))).max()
            for key, value in (
                ("px", (difference[:, :2] * [width, height]).max()),
                ("visibility", difference[:, 3].max()),
                ("world", world.max()),
                ("roi", roi_error),
            ):
                errors[key] = max(errors[key], float(value))
    return mismatches, errors, people


@pytest.mark.parametrize(
    ("clip", "kernel", "run", "count"),
    [
        ("tfjs_pose_1", 9, "lite_smooth", 60),
        ("tfjs_pose_1", 7, "full_smooth", 40),
        (SQUATS, 9, "heavy_smooth", 20),
        (SQUATS, 7, "lite_smooth", 65),
        (SQUATS, 7, "full_raw", 30),
        ("mma_test", 9, "lite_raw", 120),
        ("mma_test", 9, "full_smooth", 120),
        ("tfjs_asl_hand", 9, "lite_smooth", 80),
    ],
    ids=lambda value: str(value),
)
def test_each_frame_in_mediapipes_region_equals_its_own(
    official: Official,
    data_dir: Path,
    detector: Model,
    monkeypatch: pytest.MonkeyPatch,
    clip: str,
    kernel: int,
    run: str,
    count: int,
) -> None:
    variant, kind = run.split("_")
    path = official(f"pose_landmark_{variant}")
    rows = golden.video(data_dir, clip, kernel)["runs"][run]
    frames = golden.read_clip(data_dir, clip, count)

    def follow(network: Path | Model) -> tuple[int, dict[str, float], list[pose.Person]]:
        tracker = PoseTracker(detector, network, smooth=kind == "smooth", heatmap_kernel=kernel)
        with monkeypatch.context() as patch:
            return follow_mediapipe(tracker, frames, rows, patch)

    mismatches, errors, people = follow(path)
    assert mismatches == 0

    def moved(others: list[pose.Person]) -> dict[str, float]:
        size = np.array(frames[0].shape[1::-1])
        pairs = list(zip(people, others, strict=True))
        return {
            "px": max(np.abs((a.landmarks - b.landmarks)[:, :2] * size).max() for a, b in pairs),
            "visibility": max(np.abs((a.landmarks - b.landmarks)[:, 3]).max() for a, b in pairs),
            "world": max(np.abs(a.world_landmarks - b.world_landmarks).max() for a, b in pairs),
            "roi": max(np.abs(np.subtract(astuple(a.next_roi), astuple(b.next_roi))).max() for a, b in pairs),
        }

    def noise() -> dict[str, float]:
        found = [moved(follow(golden.with_other_kernels(path))[2])]
        for nudge in itertools.product((-POSITION_NOISE, POSITION_NOISE), repeat=2) if errors["px"] > 5e-3 else ():
            # A landmark is refined in the heatmap cells around it: at the border of a cell, the last digits decide.
            with monkeypatch.context() as patch:
                patch.setattr(landmarker, "refine_landmarks", nudged(landmarker.refine_landmarks, nudge))
                found.append(moved(follow(path)[2]))
        return {key: max(each[key] for each in found) for key in errors}

    golden.assert_as_near_as_kernels_are(errors, {"px": 5e-3, "visibility": 2e-6, "world": 2e-6, "roi": 5e-6}, noise)


def nudged(refine: Callable[..., np.ndarray], nudge: tuple[float, float]) -> Callable[..., np.ndarray]:
    """`refine` of landmarks that are moved by so much of the crop in x and y."""

    def refine_moved(landmarks: np.ndarray, *rest: Any) -> np.ndarray:
        moved = landmarks.copy()
        moved[:, :2] += np.float32(nudge)
        return refine(moved, *rest)

    return refine_moved


def test_left_to_itself_it_stays_near_mediapipe(data_dir: Path, detector: Model, lite: Model) -> None:
    frames = golden.read_clip(data_dir, SQUATS, 65)
    rows = golden.video(data_dir, SQUATS, 7)["runs"]["lite_smooth"]
    tracker = PoseTracker(detector, lite)
    results = [tracker.process(frame) for frame in frames]
    assert [result.detector_ran for result in results] == [True] + [False] * 64
    assert {person.number for result in results for person in result.people} == {0}
    errors = [
        np.abs(result.people[0].landmarks[:, :2] - np.array(row["landmarks"])[:, :2]).mean()
        for result, row in zip(results, rows, strict=True)
    ]
    assert np.median(errors) < 1e-3


def test_the_squats_equal_those_published_with_mediapipes_tests(
    official: Official, data_dir: Path, detector: Model
) -> None:
    folder = data_dir / "mediapipe_testdata/tfjs/pose-detection/test_data"
    published = np.array(json.loads((folder / "pose_squats.full.json").read_text()))[:, :, :2]
    world = np.array(json.loads((folder / "pose_squats_3d.full.json").read_text()))
    tracker = PoseTracker(detector, official("pose_landmark_full"))
    people = [tracker.process(frame).people[0] for frame in golden.read_clip(data_dir, SQUATS, 65)]
    positions = np.stack([person.landmarks[:, :2] for person in people]) * [720, 1280]
    assert np.abs(positions - published).max() < 30  # px; the tolerances of those tests
    assert np.abs(np.stack([person.world_landmarks for person in people]) - world).max() < 0.2


def test_only_a_detected_person_has_a_detection(squats: list[np.ndarray], detector: Model, lite: Model) -> None:
    tracker = PoseTracker(detector, lite)
    first, second = (tracker.process(frame).people[0] for frame in squats[:2])
    assert first.detection is not None
    assert second.detection is None
    assert second.roi == first.next_roi


def test_a_person_who_leaves_and_returns_gets_a_new_number(
    squats: list[np.ndarray], detector: Model, lite: Model
) -> None:
    tracker = PoseTracker(detector, lite)
    empty = np.full_like(squats[0], 200)
    shown = [squats[0], squats[1], empty, empty, squats[2], squats[3]]
    results = [tracker.process(frame) for frame in shown]
    assert [[person.number for person in result.people] for result in results] == [[0], [0], [], [], [1], [1]]
    # As in MediaPipe the frame that loses the person is not searched again.
    assert [result.detector_ran for result in results] == [True, False, False, True, True, False]


def test_static_frames_are_stills(squats: list[np.ndarray], detector: Model, lite: Model) -> None:
    stills = PoseTracker(detector, lite, static=True)
    results = [stills.process(frame) for frame in (squats[0], squats[5], squats[0])]
    assert all(result.detector_ran for result in results)
    assert [person.number for result in results for person in result.people] == [0, 0, 0]
    assert np.array_equal(results[0].people[0].landmarks, results[2].people[0].landmarks)


def test_smoothing_and_times_matter(squats: list[np.ndarray], detector: Model, lite: Model) -> None:
    def last(times: list[int | None], **options: Any) -> np.ndarray:
        tracker = PoseTracker(detector, lite, **options)
        return [tracker.process(frame, time).people[0].landmarks for frame, time in zip(squats, times, strict=True)][-1]

    none: list[int | None] = [None] * 12
    default = last(none)
    assert np.array_equal(default, last([(i + 1) * MEDIAPIPE_FRAME_US for i in range(12)]))
    assert not np.array_equal(default, last([i * 200_000 for i in range(12)]))
    assert not np.array_equal(default, last(none, smooth=False))


def test_times_must_grow(squats: list[np.ndarray], detector: Model, lite: Model) -> None:
    tracker = PoseTracker(detector, lite)
    tracker.process(squats[0], 0)
    with pytest.raises(InputError, match=r"later than that of the frame before, 0 µs\. Received: 0 µs"):
        tracker.process(squats[1], 0)


def test_memory_does_not_grow_with_the_stream(
    official: Official, squats: list[np.ndarray], detector: Model, lite: Model
) -> None:
    small = [frame[::4, ::4].copy() for frame in squats]
    tracker = PoseTracker(detector, lite, max_people=2, segment=True, smooth_masks=True)
    for number in range(60):
        tracker.process(small[number % 12])
    tracemalloc.start()
    try:
        sizes = []
        for number in range(120):
            tracker.process(small[number % 12])
            if number % 60 == 59:
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert abs(sizes[1] - sizes[0]) < 50_000  # bytes


def test_trackers_with_models_of_their_own_run_in_threads(official: Official, squats: list[np.ndarray]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def run(_: int) -> np.ndarray:
        with PoseTracker(official("pose_detection"), official(LITE)) as tracker:
            return np.stack([tracker.process(frame).people[0].landmarks for frame in squats[:5]])

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(run, range(3)))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_a_network_without_auxiliary_landmarks_follows_the_body(
    data_dir: Path, lite: Model, squats: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    roi = Roi(**golden.video(data_dir, SQUATS, 7)["runs"]["lite_smooth"][0]["roi_from_detection"])
    full = Landmarker(lite, refine=False)
    expected = full.find(squats[0], roi)
    paper = Landmarker(lite, refine=False)
    paper.config = replace(paper.config, num_landmarks=33)
    run = lite.run
    monkeypatch.setattr(
        lite,
        "run",
        lambda image: {"landmarks": (outputs := run(image))["landmarks"][:, :165], "presence": outputs["presence"]},
    )
    found = paper.find(squats[0], roi)
    height, width = squats[0].shape[:2]
    assert np.array_equal(found.landmarks, expected.landmarks)
    next_roi, reference = (roi_from_points(*each.alignment, width, height, 1.25) for each in (found, expected))
    assert next_roi is not None
    assert reference is not None
    assert np.abs(np.subtract(astuple(next_roi), astuple(reference))).max() < 0.25


def test_the_bodys_circle_reaches_its_farthest_landmark() -> None:
    landmarks = np.full((33, 5), 0.5, np.float32)
    landmarks[[11, 12], 1] = 0.3  # shoulders above hips
    landmarks[31, 1] = 0.9
    center, rim = alignment_of_body(landmarks, 200, 100)
    assert center == pytest.approx([0.5, 0.5])
    assert rim == pytest.approx([0.5, 0.1])
    upright = alignment_of_body(np.full((33, 5), 0.5, np.float32), 200, 100)
    assert np.isfinite(upright).all()
