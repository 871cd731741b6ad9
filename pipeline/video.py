"""Frames in and out: videos, cameras and folders as streams of RGB frames with their times, and MP4 files."""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError, OutputError
from ..files import atomic_path
from ..quiet import native_stderr
from .image import NATIVE_CHATTER, list_photos, read_image

# FFmpeg tells stderr of every broken frame; what matters becomes an error of ours. OpenCV reads this at its first use.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

READABLE_VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
WRITABLE_VIDEOS = frozenset({".mp4"})
CAMERA = re.compile(r"camera:(\d+)")
DEFAULT_FPS = 30.0  # of what has no rate of its own
_CHATTER = rf"{NATIVE_CHATTER}|\[\w+ @ |OpenCV: |VIDEOIO"
_MISSING = 0.01  # share of the announced frames, which some containers only estimate


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a stream.

    Attributes:
        source: the file or camera it is from.
        number: counted from 0.
        time_us: since the beginning; grows from frame to frame. None where frames have no time: a folder of photos.
        rgb: `(height, width, 3)` uint8.
        decode_ms: what reading it took.
    """

    source: str
    number: int
    time_us: int | None
    rgb: np.ndarray
    decode_ms: float


@dataclass(frozen=True)
class Stream:
    """Frames that follow one another, to be read once.

    Attributes:
        frames: reads them; raises `InputError` after the last good one when the stream breaks off.
        num_frames: as announced; None for a camera.
        fps: rate to show them at.
    """

    frames: Generator[Frame, None, None]
    num_frames: int | None
    fps: float


def open_video(path: Path) -> Stream:
    """Opens a video file.

    Args:
        path: any video that OpenCV's FFmpeg decodes; its orientation is applied.
    Raises:
        InputError: missing, empty, or not a video. Its frames raise it when they end long before the announced number.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file. Expected a video.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty. Expected a video.")
    capture = _capture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        endings = ", ".join(sorted(READABLE_VIDEOS))
        raise InputError(f"{path} is damaged or not a video that can be read ({endings}).")
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    announced = int(count) if math.isfinite(count) and count > 0 else None
    fps = _sane_fps(capture.get(cv2.CAP_PROP_FPS))
    return Stream(_video_frames(capture, str(path), announced, fps), announced, fps)


def open_camera(index: int) -> Stream:
    """Opens a camera.

    Raises:
        InputError: there is none of that number. Its frames raise it when it is unplugged.
    """
    capture = _capture(index, cv2.CAP_ANY)
    if not capture.isOpened():
        raise InputError(f"There is no camera {index}, or another program uses it.")
    return Stream(_camera_frames(capture, index), None, _sane_fps(capture.get(cv2.CAP_PROP_FPS)))


def open_photos(path: Path) -> Stream:
    """Opens a folder whose photos are the frames, in natural order: `2.jpg` before `10.jpg`; or a single photo.

    Raises:
        InputError: the folder holds no photo. Its frames raise it for one that cannot be read.
    """
    photos = sorted(list_photos([path]), key=natural_key)
    return Stream(_photo_frames(photos), len(photos), DEFAULT_FPS)


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorts file names as people number them."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", path.name.lower())]


@contextlib.contextmanager
def write_video(path: Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Yields a function that appends an RGB frame to a new MP4 file; without a frame no file comes to be.

    The file appears when the block ends without an error; a crash leaves either the old file or the new one.

    Args:
        path: where to, ending in .mp4.
        fps: frames per second.
    Raises:
        OutputError: another ending, frames of different sizes, or a folder or disk that cannot be written.
    """
    if path.suffix.lower() not in WRITABLE_VIDEOS:
        raise OutputError(f"A video's file name must end in .mp4. Received: {path.name!r}.")
    with contextlib.ExitStack() as stack:
        writer: cv2.VideoWriter | None = None
        size, temporary = (0, 0), path

        def append(rgb: np.ndarray) -> None:
            nonlocal writer, size, temporary
            if writer is None:
                temporary = stack.enter_context(atomic_path(path))
                size = (rgb.shape[1], rgb.shape[0])
                with native_stderr(_CHATTER):
                    writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
                stack.callback(writer.release)
                if not writer.isOpened():
                    raise OutputError(f"Cannot write a video of {size[0]}x{size[1]} px to {path}.")
            if size != (rgb.shape[1], rgb.shape[0]):
                raise OutputError(
                    f"The frames of a video must have one size, {size[0]}x{size[1]} px as the first. "
                    f"Received: {rgb.shape[1]}x{rgb.shape[0]} px. Choose a folder instead of {path.name}."
                )
            writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

        yield append
        if writer is not None:
            writer.release()
            if not temporary.exists() or temporary.stat().st_size == 0:
                raise OutputError(f"Cannot write the video {path}: nothing arrived on the disk.")


def _capture(source: str | int, backend: int) -> cv2.VideoCapture:
    with native_stderr(_CHATTER):
        try:
            return cv2.VideoCapture(source, backend)
        except cv2.error as error:
            raise InputError(f"Cannot open {source} ({' '.join(str(error).split())}).") from error


def _sane_fps(fps: float) -> float:
    return fps if math.isfinite(fps) and 0 < fps <= 1000 else DEFAULT_FPS


def _video_frames(
    capture: cv2.VideoCapture, name: str, announced: int | None, fps: float
) -> Generator[Frame, None, None]:
    number, time_us = 0, -1
    try:
        start = time.perf_counter()
        while (rgb := _read(capture)) is not None:
            shown_us = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e3)
            time_us = shown_us if shown_us > time_us else time_us + round(1e6 / fps)
            yield Frame(name, number, time_us, rgb, (time.perf_counter() - start) * 1e3)
            number += 1
            start = time.perf_counter()
    finally:
        capture.release()
    if number == 0:
        raise InputError(f"{name} holds no frame that can be decoded.")
    if announced is not None and announced - number > max(2, _MISSING * announced):
        raise InputError(f"{name} breaks off after {number} of {announced} frames: it is damaged or incomplete.")


def _camera_frames(capture: cv2.VideoCapture, index: int) -> Generator[Frame, None, None]:
    number, time_us, began = 0, -1, time.monotonic()
    try:
        start = time.perf_counter()
        while (rgb := _read(capture)) is not None:
            time_us = max(time_us + 1, round((time.monotonic() - began) * 1e6))
            yield Frame(f"camera:{index}", number, time_us, rgb, (time.perf_counter() - start) * 1e3)
            number += 1
            start = time.perf_counter()
    finally:
        capture.release()
    raise InputError(f"Camera {index} gave no more pictures after {number} frames. Is it still plugged in?")


def _photo_frames(photos: Sequence[Path]) -> Generator[Frame, None, None]:
    for number, photo in enumerate(photos):
        start = time.perf_counter()
        rgb = read_image(photo)
        yield Frame(str(photo), number, None, rgb, (time.perf_counter() - start) * 1e3)


def _read(capture: cv2.VideoCapture) -> np.ndarray | None:
    done, bgr = capture.read()
    if not done or bgr is None:
        return None
    if bgr.ndim == 2:
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
