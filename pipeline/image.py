"""Photos in and out: RGB arrays from files, atomically written pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError, OutputError, ShapeError
from ..files import write_atomic
from ..quiet import native_stderr

READABLE = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
NATIVE_CHATTER = r"\[ ?(WARN|ERROR):|libpng |\s*$"  # of the decoders; what matters becomes an error of ours
MAX_SIDE = 32766  # px; cv2.warpPerspective takes no longer side


def read_image(path: Path) -> np.ndarray:
    """Reads a photo as MediaPipe's examples do, with cv2's decoder: its EXIF orientation is applied.

    Args:
        path: any file OpenCV decodes. Grey becomes RGB, alpha is dropped, 16 bits per channel become 8.
    Returns:
        `(height, width, 3)` uint8 RGB.
    Raises:
        InputError: missing, empty, or not a picture.
    """
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"Cannot read the photo {path}: {error.strerror or error}.") from error
    if encoded.size == 0:
        raise InputError(f"{path} is empty. Expected a photo.")
    try:
        with native_stderr(NATIVE_CHATTER):
            rgb = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise InputError(f"{path} cannot be decoded ({' '.join(str(error).split())}).") from error
    if rgb is None:
        raise InputError(f"{path} is not a picture that can be read ({', '.join(sorted(READABLE))}).")
    return np.asarray(rgb)


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Writes a picture; a crash leaves either the old file or the new one.

    Args:
        path: where to; its ending chooses the format.
        pixels: `(height, width, 3)` uint8 RGB, or `(height, width)` grey.
    Raises:
        OutputError: the ending is no picture format, the picture too large for it, or the folder read-only.
    """
    if path.suffix.lower() not in READABLE:
        endings = ", ".join(sorted(READABLE))
        raise OutputError(f"A picture's file name must end in one of: {endings}. Received: {path.name!r}.")
    try:
        with native_stderr(NATIVE_CHATTER):
            bgr = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
            done, encoded = cv2.imencode(path.suffix, bgr)
    except cv2.error as error:
        raise OutputError(f"Cannot encode {path} ({' '.join(str(error).split())}).") from error
    if not done:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise OutputError(
            f"A {path.suffix} file cannot hold a picture of {size} px. Choose another format: {path.name}."
        )
    write_atomic(path, encoded.tobytes())


def check_rgb(rgb: np.ndarray) -> None:
    """Raises `ShapeError` unless `rgb` is `(height, width, 3)` uint8 with sides of 1 to 32766 px."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or min(rgb.shape[:2]) == 0:
        raise ShapeError(f"An image must be uint8 RGB (height, width, 3). Received: {rgb.dtype} {rgb.shape}.")
    if max(rgb.shape[:2]) > MAX_SIDE:
        raise ShapeError(
            f"An image may be {MAX_SIDE} px wide and high at most. Received: {rgb.shape[1]}x{rgb.shape[0]}."
        )


def list_photos(paths: Sequence[Path]) -> list[Path]:
    """The photos among files and folders, in the order given; a folder's photos are sorted by name.

    Args:
        paths: photos, taken as they are, and folders, of which the files with a picture's ending are taken.
    Raises:
        InputError: a path does not exist, or a folder holds no photo.
    """
    photos: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise InputError(f"{path} does not exist. Expected a photo or a folder of photos.")
            photos.append(path)
            continue
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in READABLE and file.is_file())
        if not found:
            raise InputError(f"The folder {path} holds no photo ({', '.join(sorted(READABLE))}).")
        photos.extend(found)
    return photos
