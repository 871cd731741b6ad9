"""Which photos may be tuned on and which are only measured: decided by their content, the same on every machine."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .. import progress
from ..convert.inputs import VIDEO_SUFFIXES
from ..errors import InputError
from ..files import sha256_of
from ..pipeline.image import read_image

THUMBNAIL_SIDE = 16  # px
DUPLICATE_CORRELATION = 0.85  # of grey thumbnails; different photos of people stay below 0.8

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Photos and clips on the two sides, each side in the order in which they were given.

    Attributes:
        calibration: what ranges, weights and recipes may be tuned on.
        evaluation: what results are reported on.
    """

    calibration: tuple[Path, ...]
    evaluation: tuple[Path, ...]


def split_media(paths: Sequence[Path]) -> Split:
    """Splits photos and clips by the hash of their content, about one third for calibration.

    Near-duplicates (the same picture at another size, compression or exposure, or the next shot of a series) stay on
    one side: that of the one with the smallest sha256. Clips go by their own hash.

    Args:
        paths: photos and clips. A photo that cannot be read goes by its own hash.
    Returns:
        The two sides; the order of `paths` does not decide who is where.
    Raises:
        InputError: a file cannot be opened.
    """
    try:
        hashes = {path: sha256_of(path) for path in paths}
    except OSError as error:
        raise InputError(f"Cannot read {error.filename}: {error.strerror or error}.") from error
    photos = sorted((path for path in hashes if path.suffix.lower() not in VIDEO_SUFFIXES), key=lambda p: hashes[p])
    decisive = hashes | {path: hashes[first] for path, first in near_duplicates(photos).items()}
    return Split(
        calibration=tuple(path for path in paths if is_for_calibration(decisive[path])),
        evaluation=tuple(path for path in paths if not is_for_calibration(decisive[path])),
    )


def is_for_calibration(sha256: str) -> bool:
    """The side of a file with this hash (64 hex digits), its near-duplicates left aside."""
    return int(sha256[:8], 16) % 3 == 0


def near_duplicates(photos: Sequence[Path]) -> dict[Path, Path]:
    """Finds pictures that are the same at another size, compression or exposure, or the next shot of a series.

    Args:
        photos: paths of photos. One that cannot be read is alike to nothing, with a warning.
    Returns:
        Each photo → the first of those it is alike to, directly or through others; itself when there is none before.
    """
    return _first_alike(tuple((photo, photo.stat().st_mtime_ns if photo.exists() else 0) for photo in photos))


@functools.lru_cache(maxsize=4)
def _first_alike(stamped: tuple[tuple[Path, int], ...]) -> dict[Path, Path]:
    """`near_duplicates` of photos with their times of change, looked for once."""
    photos = [path for path, _ in stamped]
    thumbnails = np.zeros((len(photos), THUMBNAIL_SIDE**2), np.float32)
    group = np.arange(len(photos))
    for index, path in enumerate(progress.track(photos, "Looking for near-duplicates", len(photos))):
        thumbnails[index] = _thumbnail(path)
        alike = np.flatnonzero(thumbnails[:index] @ thumbnails[index] > DUPLICATE_CORRELATION)
        joined = np.isin(group, group[[*alike, index]])
        group[joined] = group[joined].min()
    return {path: photos[first] for path, first in zip(photos, group, strict=True)}


def _thumbnail(path: Path) -> np.ndarray:
    """Grey pixels with mean 0 and norm 1, flat; zeros, alike to nothing, where there is no contrast or no picture."""
    try:
        grey = cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY)
    except InputError as error:
        _log.warning("Not compared with the other photos: %s", error)
        return np.zeros(THUMBNAIL_SIDE**2, np.float32)
    small = cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    norm = np.linalg.norm(small)
    return small / norm if norm > 0 else small
