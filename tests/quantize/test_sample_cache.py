"""Samples on disk: what is read is what was stored, and what is damaged is made again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from blazeport.convert.inputs import ImageInput, Origin
from blazeport.models.config import get_config
from blazeport.pipeline.roi import Roi
from blazeport.quantize import calibration, sample_cache
from blazeport.quantize.calibration import open_calibration
from blazeport.quantize.sample_cache import SampleSet, cache_key, load, store
from blazeport.weights.fetch import demo_photos

FACE = get_config("face_detection_short_range")
SHAPE = (1, 4, 4, 3)
ROI = Roi(x_center=0.5, y_center=0.25, width=1.5, height=1.0, rotation=-0.125)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the demo photos stay where they are."""
    photos = demo_photos()
    monkeypatch.setattr(calibration, "demo_photos", lambda: photos)
    monkeypatch.setenv("BLAZEPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "samples"


def made(seed: int = 0) -> SampleSet:
    tensors = np.random.default_rng(seed).random((2, *SHAPE[1:]), np.float32)
    origin = Origin(frame="a.mp4#3", width=64, height=48, roi=ROI, jittered=True)
    return SampleSet(tensors, (origin, Origin(frame="b.jpg", width=8, height=8, roi=None, jittered=False)), (1,))


def test_what_is_stored_is_loaded() -> None:
    store("key", made())
    loaded = load("key", SHAPE)
    assert loaded is not None
    assert np.array_equal(loaded.tensors, made().tensors)
    assert (loaded.origins, loaded.skipped) == (made().origins, made().skipped)
    assert [origin.source for origin in loaded.origins] == ["a.mp4", "b.jpg"]


def test_there_is_nothing_under_another_key() -> None:
    store("key", made())
    assert load("other", SHAPE) is None


def test_samples_of_another_size_are_not_used() -> None:
    store("key", made())
    assert load("key", (1, 8, 8, 3)) is None


@pytest.mark.parametrize("place", [0, 0.3, 0.9, "cut", "empty", "text"])
def test_a_damaged_entry_is_not_trusted(cache: Path, place: float | str) -> None:
    store("key", made())
    (path,) = cache.iterdir()
    content = bytearray(path.read_bytes())
    if place == "cut":
        del content[len(content) // 2 :]
    elif place in ("empty", "text"):
        content = bytearray(b"" if place == "empty" else b"no archive")
    else:
        content[int(float(place) * len(content))] ^= 0xFF
    path.write_bytes(content)
    assert load("key", SHAPE) is None


def test_the_key_holds_all_that_decides_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ImageInput(name="other", height=4, width=4, input_range=(0.0, 1.0))
    keys = [cache_key(FACE, ["a", 1, 128, 0]), cache_key(get_config("pose_detection"), ["a", 1, 128, 0])]
    keys += [
        cache_key(FACE, drawn) for drawn in (["b", 1, 128, 0], ["a", 2, 128, 0], ["a", 1, 64, 0], ["a", 1, 128, 1])
    ]
    keys += [cache_key(other, []), cache_key(ImageInput(name="other", height=4, width=4, input_range=(-1.0, 1.0)), [])]
    monkeypatch.setattr(sample_cache, "code_sha256", lambda: "changed")
    keys.append(cache_key(FACE, ["a", 1, 128, 0]))
    assert len(set(keys)) == len(keys)


def test_the_oldest_entries_go_when_the_cache_is_full(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store("first", made())
    size = next(cache.iterdir()).stat().st_size
    monkeypatch.setattr(sample_cache, "MAX_CACHE_BYTES", 2 * size)
    store("second", made())
    os.utime(cache / "first.npz", (1, 1))
    os.utime(cache / "second.npz", (2, 2))
    load("first", SHAPE)
    store("third", made())
    assert sorted(path.stem for path in cache.iterdir()) == ["first", "third"]


def test_what_does_not_fit_is_not_stored(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_cache, "MAX_CACHE_BYTES", 10)
    store("key", made())
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_left_alone(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.touch()
    store("key", made())
    assert load("key", SHAPE) is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in demo_photos()[:5]:
        shutil.copy(photo, folder)
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def test_photos_are_read_once_and_broken_ones_are_named_every_time(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_calibration(folder, limit=6).samples(FACE)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(calibration, "network_inputs", None)
    again = open_calibration(folder, limit=6).samples(FACE)
    assert np.array_equal(np.concatenate(first), np.concatenate(again))
    assert [message.partition(" is ")[0] for message in caplog.messages] == [f"Skipped: {folder / 'broken.jpg'}"] * 2


def test_a_changed_photo_or_a_damaged_entry_makes_the_samples_again(folder: Path, cache: Path) -> None:
    first = np.concatenate(open_calibration(folder, limit=6).samples(FACE))
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:-40])
    assert np.array_equal(np.concatenate(open_calibration(folder, limit=6).samples(FACE)), first)
    (folder / "broken.jpg").write_bytes(b"another")
    open_calibration(folder, limit=6).samples(FACE)
    assert len(list(cache.iterdir())) == 2
