"""Network inputs from real photos and videos: repeatable, and one broken file does not stop the rest."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from blazeport.convert.inputs import FRAMES_PER_VIDEO, find_media, media_sha256, network_inputs, read_frames
from blazeport.errors import InputError
from blazeport.models.config import (
    FACE_DETECTION_SHORT_RANGE,
    POSE_DETECTION,
    POSE_LANDMARK_FULL,
    POSE_LANDMARK_LITE,
    VariantConfig,
)
from blazeport.pipeline.image import read_image
from blazeport.pipeline.image_to_tensor import detector_tensor
from blazeport.weights.fetch import demo_photos

CONFIGS = pytest.mark.parametrize(
    "config", [FACE_DETECTION_SHORT_RANGE, POSE_DETECTION, POSE_LANDMARK_LITE], ids=lambda config: config.name
)


@pytest.fixture(scope="module")
def photos_of_people() -> list[Path]:
    return demo_photos()[:3]


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """A photo of a grey wall."""
    path = tmp_path / "wall.png"
    cv2.imwrite(str(path), np.full((120, 160, 3), 128, np.uint8))
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"not a photo")
    return path


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def write_video(path: Path, frames: int) -> Path:
    """A video whose n-th frame has the grey value 8 n."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 8 * number, np.uint8))
    writer.release()
    return path


# --- network inputs ---------------------------------------------------------------------------------------------------


@CONFIGS
def test_inputs_have_the_shape_dtype_and_range_of_the_network(config: VariantConfig, photos_of_people: list[Path]):
    inputs = network_inputs(config, photos_of_people, views=2)
    low, high = config.input_range
    assert inputs
    assert {(each.shape, each.dtype) for each in inputs} == {(config.input_shape, np.dtype(np.float32))}
    assert low <= min(each.min() for each in inputs) < max(each.max() for each in inputs) <= high
    assert np.ptp(inputs[0]) > 0.5 * (high - low)


@CONFIGS
def test_the_same_seed_gives_the_same_inputs(config: VariantConfig, photos_of_people: list[Path]):
    first, again, other = (network_inputs(config, photos_of_people, views=3, seed=seed) for seed in (1, 1, 2))
    assert same(first, again)
    assert same(first[::3], other[::3])  # The first view of each is not jittered.
    assert not any(np.array_equal(one, two) for one, two in zip(first[1::3], other[1::3], strict=True))


@CONFIGS
def test_jittered_views_are_added_to_the_plain_one(config: VariantConfig, photos_of_people: list[Path]):
    plain = network_inputs(config, photos_of_people)
    with_views = network_inputs(config, photos_of_people, views=3)
    assert same(plain, with_views[::3])
    for view, jittered in zip(plain, with_views[1::3], strict=True):
        assert 0 < np.abs(view - jittered).mean() < 0.6 * (config.input_range[1] - config.input_range[0])


def test_a_limit_takes_inputs_spread_evenly(photos_of_people: list[Path]):
    everything = network_inputs(FACE_DETECTION_SHORT_RANGE, photos_of_people, views=3)
    assert len(everything) == 9
    limited = network_inputs(FACE_DETECTION_SHORT_RANGE, photos_of_people, views=3, limit=3)
    assert same(limited, [everything[0], everything[4], everything[8]])
    assert same(network_inputs(FACE_DETECTION_SHORT_RANGE, photos_of_people, views=3, limit=99), everything)


def test_detectors_see_the_whole_photo_letterboxed(photos_of_people: list[Path]):
    (tensor,) = network_inputs(POSE_DETECTION, photos_of_people[:1])
    np.testing.assert_array_equal(tensor, detector_tensor(read_image(photos_of_people[0]), POSE_DETECTION))


def test_landmark_networks_see_people_and_nothing_where_there_are_none(photos_of_people: list[Path], blank: Path):
    assert network_inputs(POSE_LANDMARK_LITE, [blank]) == []
    assert len(network_inputs(FACE_DETECTION_SHORT_RANGE, [blank])) == 1
    assert network_inputs(POSE_LANDMARK_LITE, photos_of_people)


def test_landmark_networks_of_one_size_see_the_same(photos_of_people: list[Path]):
    inputs = (network_inputs(config, photos_of_people, views=2) for config in (POSE_LANDMARK_LITE, POSE_LANDMARK_FULL))
    assert same(*inputs)


def test_a_photo_of_one_pixel_is_an_input_too(tmp_path: Path):
    path = tmp_path / "pixel.png"
    cv2.imwrite(str(path), np.zeros((1, 1, 3), np.uint8))
    assert len(network_inputs(FACE_DETECTION_SHORT_RANGE, [path], views=4)) == 4


def test_no_media_give_no_inputs():
    assert network_inputs(FACE_DETECTION_SHORT_RANGE, []) == []


def test_a_broken_photo_is_skipped_with_a_warning_that_names_it(
    photos_of_people: list[Path], broken: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        inputs = network_inputs(FACE_DETECTION_SHORT_RANGE, [photos_of_people[0], broken, photos_of_people[1]])
    assert same(inputs, network_inputs(FACE_DETECTION_SHORT_RANGE, photos_of_people[:2]))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"Skipped: {broken} is not a picture that can be read")


# --- frames -----------------------------------------------------------------------------------------------------------


def test_photos_are_frames_named_after_their_file(photos_of_people: list[Path]):
    frames = list(read_frames(photos_of_people))
    assert [frame.name for frame in frames] == [path.name for path in photos_of_people]
    for frame, path in zip(frames, photos_of_people, strict=True):
        np.testing.assert_array_equal(frame.rgb, read_image(path))


def test_a_long_video_gives_frames_spread_evenly_over_it(tmp_path: Path):
    frames = list(read_frames([write_video(tmp_path / "ramp.avi", 31)]))
    assert [frame.name for frame in frames] == [f"ramp.avi#{number}" for number in range(0, 31, 2)]
    assert [round(frame.rgb.mean() / 8) for frame in frames] == list(range(0, 31, 2))


def test_a_short_video_gives_each_frame_once(tmp_path: Path):
    frames = list(read_frames([write_video(tmp_path / "short.avi", 3)]))
    assert [frame.name for frame in frames] == ["short.avi#0", "short.avi#1", "short.avi#2"]


def test_a_real_clip_gives_rgb_frames_in_order(data_dir: Path):
    clip = data_dir / "clips" / "tfjs_pose_squats.mp4"
    frames = list(read_frames([clip]))
    assert len(frames) == FRAMES_PER_VIDEO
    numbers = [int(frame.name.removeprefix(f"{clip.name}#")) for frame in frames]
    assert numbers == sorted(set(numbers))
    capture = cv2.VideoCapture(str(clip))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    _, bgr = capture.read()
    capture.release()
    assert (numbers[0], numbers[-1]) == (0, count - 1)
    np.testing.assert_array_equal(frames[0].rgb, bgr[:, :, ::-1])


def test_the_people_of_a_real_clip_become_inputs(data_dir: Path):
    inputs = network_inputs(POSE_LANDMARK_LITE, [data_dir / "clips" / "tfjs_pose_squats.mp4"], limit=10)
    assert len(inputs) == 10
    assert not np.array_equal(inputs[0], inputs[-1])


@pytest.mark.parametrize("content", [b"", b"not a video"], ids=["empty", "text"])
def test_a_broken_video_is_skipped_with_a_warning_that_names_it(
    tmp_path: Path, blank: Path, content: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    video = tmp_path / "broken.mp4"
    video.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        frames = list(read_frames([video, blank]))
    assert [frame.name for frame in frames] == [blank.name]
    (record,) = caplog.records
    assert record.getMessage() == f"Skipped: {video} is not a video that can be read."
    assert capfd.readouterr().err == ""


# --- folders ----------------------------------------------------------------------------------------------------------


def test_photos_and_videos_are_found_below_a_folder_in_the_order_of_their_paths(tmp_path: Path, blank: Path):
    folder = tmp_path / "mine"
    for name in ("b/2.JPG", "a.png", "b/1.mp4", "notes.txt", "c/deep/3.jpeg", "d.jpg.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(blank, folder / name)
    (folder / "folder.png").mkdir()
    assert [str(path.relative_to(folder)) for path in find_media(folder)] == [
        "a.png",
        "b/1.mp4",
        "b/2.JPG",
        "c/deep/3.jpeg",
    ]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, blank: Path):
    for path in (tmp_path / "nowhere", blank):
        with pytest.raises(InputError, match=rf"Expected a folder of photos or videos\. {path} is not a folder\."):
            find_media(path)


def test_a_folder_without_photos_is_named_with_what_was_looked_for(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(InputError) as error:
        find_media(tmp_path)
    message = str(error.value)
    assert message.startswith("Expected photos or videos (")
    assert message.endswith(f" in {tmp_path}. Found none.")
    assert all(suffix in message for suffix in (".jpg", ".png", ".mp4"))


def test_the_hash_of_media_follows_content_and_order(tmp_path: Path, photos_of_people: list[Path]):
    first, second = photos_of_people[:2]
    copied = shutil.copy(first, tmp_path / "other_name.png")
    assert media_sha256([first, second]) == media_sha256([copied, second])
    assert media_sha256([first, second]) != media_sha256([second, first])
    assert media_sha256([first]) != media_sha256([first, second])
