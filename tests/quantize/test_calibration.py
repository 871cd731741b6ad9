"""Calibration samples: whose photos, what a network sees of them, and what to say when they will not do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from blazeport.convert.inputs import FRAMES_PER_VIDEO, media_sha256
from blazeport.errors import CalibrationError
from blazeport.models.config import get_config
from blazeport.quantize.calibration import MAX_SAMPLES, MIN_SAMPLES, Calibration, open_calibration
from blazeport.weights.fetch import demo_photos

FACE, LANDMARKS = get_config("face_detection_short_range"), get_config("pose_landmark_lite")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the demo photos, one of them in a subfolder, and a note."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, photo in enumerate(demo_photos()):
        shutil.copy(photo, folder / "more" if number == 0 else folder)
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_without_a_folder_the_demo_photos_are_used_with_a_warning(caplog: pytest.LogCaptureFixture):
    calibration = open_calibration(None)
    assert list(calibration.media) == demo_photos()
    assert calibration.record.demo
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "7 demo photos: demo grade." in caplog.text
    assert "--calibration DIR" in caplog.text


def test_a_folder_is_searched_with_its_subfolders_and_without_a_warning(folder: Path, caplog: pytest.LogCaptureFixture):
    record = open_calibration(folder).record
    assert sorted(record.media) == sorted(photo.name for photo in demo_photos())
    assert not record.demo
    assert caplog.text == ""


def test_the_record_identifies_the_contents_not_the_names(folder: Path):
    before = open_calibration(folder).record
    shutil.move(folder, folder.with_name("elsewhere"))
    assert open_calibration(folder.with_name("elsewhere")).record == before
    photo = next(folder.with_name("elsewhere").glob("*.jpg"))
    photo.write_bytes(photo.read_bytes() + b"\0")
    assert open_calibration(folder.with_name("elsewhere")).record.sha256 != before.sha256
    assert media_sha256(demo_photos()) != media_sha256(demo_photos()[::-1])


def test_the_record_holds_how_samples_are_drawn(folder: Path):
    record = open_calibration(folder, limit=14, seed=3).record
    assert (record.views, record.limit, record.seed) == (2, 14, 3)
    assert open_calibration(folder).record.views == 4
    assert open_calibration(folder, limit=5).record.views == 1
    assert open_calibration(folder).record.limit == MAX_SAMPLES


def test_a_detector_sees_letterboxed_frames_in_its_range(folder: Path):
    samples = open_calibration(folder, limit=14).samples(FACE)
    assert len(samples) == 14
    assert {(sample.shape, sample.dtype.name) for sample in samples} == {((1, 128, 128, 3), "float32")}
    assert min(sample.min() for sample in samples) == pytest.approx(-1)
    assert max(sample.max() for sample in samples) == pytest.approx(1)


def test_a_landmark_network_sees_the_crop_around_each_person(folder: Path):
    samples = open_calibration(folder, limit=14).samples(LANDMARKS)
    assert len(samples) == 14
    assert {(sample.shape, sample.dtype.name) for sample in samples} == {((1, 256, 256, 3), "float32")}
    assert min(sample.min() for sample in samples) >= 0
    assert 0.9 < max(sample.max() for sample in samples) <= 1.001


@pytest.mark.parametrize("config", [FACE, LANDMARKS], ids=lambda config: config.name)
def test_the_same_seed_gives_the_same_samples_and_another_seed_others(folder: Path, config):
    first, second = (np.concatenate(open_calibration(folder, limit=14).samples(config)) for _ in range(2))
    other = np.concatenate(open_calibration(folder, limit=14, seed=1).samples(config))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_limit_takes_samples_of_all_photos(folder: Path):
    everything = open_calibration(folder, limit=28).samples(FACE)
    calibration = open_calibration(folder, limit=5)
    few = calibration.samples(FACE)
    assert len(few) == 5
    assert np.array_equal(few[0], everything[0])
    assert np.array_equal(few[-1], everything[-4])  # the last photo as it is


def test_videos_give_frames_spread_over_them(data_dir: Path, tmp_path: Path):
    shutil.copy(data_dir / "clips" / "tfjs_pose_squats.mp4", tmp_path)
    calibration = open_calibration(tmp_path, limit=FRAMES_PER_VIDEO)
    samples = calibration.samples(LANDMARKS)
    assert calibration.record.media == ("tfjs_pose_squats.mp4",)
    assert len(samples) == FRAMES_PER_VIDEO
    assert not np.array_equal(samples[0], samples[-1])


@pytest.mark.parametrize(
    ("name", "content"), [("broken.jpg", b"no photo"), ("empty.png", b""), ("broken.mp4", b"no video")]
)
def test_an_unreadable_file_is_skipped_by_name(
    folder: Path, caplog: pytest.LogCaptureFixture, name: str, content: bytes
):
    expected = open_calibration(folder, limit=14).samples(FACE)
    (folder / name).write_bytes(content)
    samples = open_calibration(folder, limit=16).samples(FACE)
    assert len(samples) == len(expected)
    (warning,) = caplog.messages
    assert warning.startswith(f"Skipped: {folder / name} is ")


def test_an_empty_folder_is_an_error(tmp_path: Path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CalibrationError, match=r"Expected photos or videos \(.*\.jpg .*\) in .*\. Found none\."):
        open_calibration(tmp_path)


@pytest.mark.parametrize("name", ["missing", "photo.jpg"])
def test_what_is_no_folder_is_an_error(tmp_path: Path, name: str):
    shutil.copy(demo_photos()[1], tmp_path / "photo.jpg")
    with pytest.raises(CalibrationError, match=rf"Expected a folder of photos or videos\. .*{name} is not a folder"):
        open_calibration(tmp_path / name)


def test_photos_without_a_person_cannot_calibrate_a_landmark_network(data_dir: Path, tmp_path: Path):
    shutil.copy(data_dir / "images" / "jet_horse_2.jpg", tmp_path)
    with pytest.raises(
        CalibrationError, match=r"pose_landmark_lite needs at least 5 crops with a person\. Received: 0"
    ):
        open_calibration(tmp_path).samples(LANDMARKS)


def test_too_few_frames_are_an_error_that_says_how_many_are_good(folder: Path):
    photo = demo_photos()[1]
    calibration = Calibration(media=(photo,), record=open_calibration(folder, limit=7).record)
    with pytest.raises(CalibrationError, match=r"at least 5 letterboxed frames\. Received: 1 from 1 .*best 50 or more"):
        calibration.samples(FACE)
    assert MIN_SAMPLES == 5
