from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from blazeport.errors import InputError, OutputError, ShapeError
from blazeport.pipeline.image import check_rgb, list_photos, read_image, write_image

COLORS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 9, 9], [200, 100, 50], [255, 255, 255]]], np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


def test_a_written_picture_is_read_back_in_rgb(tmp_path: Path) -> None:
    write_image(tmp_path / "new" / "folder.png", COLORS)
    assert np.array_equal(read_image(tmp_path / "new" / "folder.png"), COLORS)


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    grey = np.array([[0, 128, 255]], np.uint8)
    assert np.array_equal(read_image(save(tmp_path / "grey.png", grey)), np.dstack([grey] * 3))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    rgba = np.dstack([COLORS[:, :, ::-1], np.full((2, 3), 7, np.uint8)])
    assert np.array_equal(read_image(save(tmp_path / "alpha.png", rgba)), COLORS)


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_16_bits_become_8(tmp_path: Path, ending: str) -> None:
    deep = COLORS[:, :, ::-1].astype(np.uint16) * 257
    assert np.array_equal(read_image(save(tmp_path / f"deep{ending}", deep)), COLORS)


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = np.zeros((40, 80, 3), np.uint8)
    upright[:, :40] = 255
    encoded = cv2.imencode(".jpg", upright)[1].tobytes()
    orientation = struct.pack("<HHIHHI", 1, 0x0112, 3, 1, 6, 0)[:14]  # one entry: turn by 90 degrees clockwise
    exif = b"Exif\0\0" + struct.pack("<2sHI", b"II", 42, 8) + orientation + struct.pack("<I", 0)
    photo = tmp_path / "phone.jpg"
    photo.write_bytes(encoded[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + encoded[2:])
    rgb = read_image(photo)
    assert rgb.shape == (80, 40, 3)
    assert rgb[:36].min() > 200
    assert rgb[44:].max() < 50


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"no picture", "not a picture that can be read"), (b"\x89PNG\r\n\x1a\n", "not a picture")],
    ids=["empty", "text", "header only"],
)
def test_what_is_no_picture_is_a_one_line_error(tmp_path: Path, content: bytes, reason: str) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_image(photo)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".bmp", ".jpg", ".png", ".tiff", ".webp"])
def test_a_truncated_photo_is_an_error_and_nothing_else(
    tmp_path: Path, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    whole = cv2.imencode(ending, noise)[1].tobytes()
    photo = tmp_path / f"photo{ending}"
    for part in (0.02, 0.5, 0.95):
        photo.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputError, match="not a picture that can be read"):
            read_image(photo)
    assert capfd.readouterr().err == ""


def test_a_missing_photo_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(InputError, match="Cannot read the photo"):
            read_image(path)


def test_an_unknown_ending_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"must end in one of: \.bmp, .* Received: 'out\.txt'"):
        write_image(tmp_path / "out.txt", COLORS)
    assert not list(tmp_path.iterdir())


def test_a_picture_too_large_for_its_format_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"A \.webp file cannot hold a picture of 17000x1 px"):
        write_image(tmp_path / "wide.webp", np.zeros((1, 17000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_photos_of_folders_are_sorted_and_files_are_taken_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("b.JPG", "a.png", "notes.txt"):
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "sub.png").mkdir()
    own = tmp_path / "no_ending"
    own.touch()
    assert list_photos([own, folder]) == [own, folder / "a.png", folder / "b.JPG"]


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no photo"):
        list_photos([tmp_path])
    with pytest.raises(InputError, match="does not exist"):
        list_photos([tmp_path / "missing"])


@pytest.mark.parametrize(
    "rgb",
    [
        pytest.param(np.zeros((4, 4), np.uint8), id="grey"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), id="four channels"),
        pytest.param(np.zeros((4, 4, 3), np.float32), id="float"),
        pytest.param(np.full((4, 4, 3), np.nan), id="NaN"),
        pytest.param(np.zeros((4, 4, 3), np.uint16), id="16 bits"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), id="no rows"),
        pytest.param(np.zeros((1, 32767, 3), np.uint8), id="too wide"),
    ],
)
def test_arrays_the_pipeline_cannot_take_are_refused(rgb: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="Received"):
        check_rgb(rgb)
