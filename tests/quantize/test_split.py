from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from blazeport.errors import InputError
from blazeport.files import sha256_of
from blazeport.pipeline.image import read_image, write_image
from blazeport.quantize.split import is_for_calibration, split_media


def own_side(path: Path) -> bool:
    return int(sha256_of(path)[:8], 16) % 3 == 0


@pytest.fixture
def noise(tmp_path: Path) -> list[Path]:
    """Twelve pictures that have nothing in common."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(12)]
    for path in paths:
        write_image(path, rng.integers(0, 256, (32, 48, 3), np.uint8))
    return paths


@pytest.mark.parametrize(("sha256", "expected"), [("00000003" + "f" * 56, True), ("0000000a" + "0" * 56, False)])
def test_the_first_eight_digits_decide(sha256: str, expected: bool) -> None:
    assert is_for_calibration(sha256) is expected


def test_different_photos_go_by_their_own_hash(noise: list[Path]) -> None:
    split = split_media(noise)
    assert split.calibration == tuple(path for path in noise if own_side(path))
    assert split.evaluation == tuple(path for path in noise if not own_side(path))
    assert split.calibration
    assert split.evaluation


def test_the_order_of_the_paths_decides_nothing_but_the_order(noise: list[Path]) -> None:
    assert set(split_media(noise[::-1]).calibration) == set(split_media(noise).calibration)


def test_near_duplicates_follow_the_one_with_the_smallest_hash(photos: list[Path], tmp_path: Path) -> None:
    disagreeing = 0
    for photo in photos[:8]:
        folder = tmp_path / photo.stem
        rgb = read_image(photo)
        write_image(folder / "original.png", rgb)
        write_image(folder / "small.jpg", cv2.resize(rgb, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA))
        write_image(folder / "brighter.jpg", cv2.convertScaleAbs(rgb, alpha=0.8, beta=40))
        paths = sorted(folder.iterdir())
        side = own_side(min(paths, key=sha256_of))
        split = split_media(paths)
        assert (split.calibration if side else split.evaluation) == tuple(paths)
        disagreeing += len({own_side(path) for path in paths}) > 1
    assert disagreeing, "no photo here shows that near-duplicates matter"


def test_the_evaluation_photos_hold_one_series_and_no_photo_that_is_taken_for_another(photos: list[Path]) -> None:
    split = split_media(photos)
    assert (len(split.calibration), len(split.evaluation)) == (38, 76)
    moved = {path.name for path in split.calibration if not own_side(path)}
    moved |= {path.name for path in split.evaluation if own_side(path)}
    assert moved <= {"vm_stock-emotions-a-4.jpg", "vm_stock-emotions-a-7.jpg"}


def test_clips_go_by_their_own_hash(data_dir: Path, noise: list[Path]) -> None:
    clips = sorted((data_dir / "clips").iterdir())
    split = split_media([*noise, *clips])
    assert set(split.calibration) & set(clips) == {clip for clip in clips if own_side(clip)}


def test_pictures_of_one_colour_are_alike_to_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / f"{value}.png" for value in range(10)]
    for value, path in enumerate(paths):
        write_image(path, np.full((8, 8, 3), value, np.uint8))
    assert split_media(paths).calibration == tuple(path for path in paths if own_side(path))


def test_a_photo_that_cannot_be_read_is_named_and_goes_by_its_own_hash(
    noise: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    split = split_media([broken, *noise])
    assert (broken in split.calibration) is own_side(broken)
    assert "broken.jpg" in caplog.text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jpg"):
        split_media([tmp_path / "gone.jpg"])


def test_equal_files_are_on_one_side(photos: list[Path], tmp_path: Path) -> None:
    copy = Path(shutil.copy(photos[0], tmp_path / "copy.jpg"))
    split = split_media([photos[0], copy])
    assert () in (split.calibration, split.evaluation)
