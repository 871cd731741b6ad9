"""Real network inputs from photos and videos, made by the pipeline itself: letterboxed frames and ROI crops.

The parity gate compares files on them; calibration takes its samples from them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .. import progress
from ..errors import InputError
from ..files import sha256_of
from ..models.config import POSE_DETECTION, DetectorConfig, PoseDetectorConfig, PoseLandmarkConfig, VariantConfig
from ..pipeline.detector import Detector
from ..pipeline.image import READABLE, read_image
from ..pipeline.image_to_tensor import detector_tensor, roi_tensor
from ..pipeline.pose import find_people
from ..pipeline.roi import Roi
from ..quiet import native_stderr
from ..weights.fetch import official_file

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm"})
FRAMES_PER_VIDEO = 16
DECODER_CHATTER = r"\[.+ @ 0x"  # of FFmpeg; a file that cannot be read becomes a warning of ours

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """One picture: where it is from, and `(height, width, 3)` uint8 RGB."""

    name: str
    rgb: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """The image input of a network that is none of blazeport's.

    Attributes:
        name: of the network, for messages.
        height: px.
        width: px.
        input_range: values that pixel 0 and pixel 255 are mapped to.
    """

    name: str
    height: int
    width: int
    input_range: tuple[float, float]

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input: batch, height, width, RGB."""
        return (1, self.height, self.width, 3)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an input of a network is from.

    Attributes:
        frame: the photo's name, or the video's with the number of the frame.
        width: of the photo or frame, px.
        height: of the photo or frame, px.
        roi: the region that was cropped; None for letterboxed frames.
        jittered: it was moved as tracking does, so it shows what another input shows too.
    """

    frame: str
    width: int
    height: int
    roi: Roi | None
    jittered: bool

    @property
    def source(self) -> str:
        """Name of the photo or video."""
        return self.frame.rpartition("#")[0] or self.frame


def find_media(folder: Path) -> list[Path]:
    """The photos and videos below a folder, in the order of their paths.

    Raises:
        InputError: there is no such folder, or nothing in it that is a photo or video by its ending.
    """
    if not folder.is_dir():
        raise InputError(f"Expected a folder of photos or videos. {folder} is not a folder.")
    suffixes = READABLE | VIDEO_SUFFIXES
    media = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not media:
        raise InputError(f"Expected photos or videos ({' '.join(sorted(suffixes))}) in {folder}. Found none.")
    return media


def media_sha256(media: Sequence[Path]) -> str:
    """One hash of the contents of these files, in this order."""
    return hashlib.sha256("".join(sha256_of(path) for path in media).encode()).hexdigest()


def read_frames(media: Iterable[Path], skipped: list[Path] | None = None) -> Iterator[Frame]:
    """Reads photos, and up to 16 frames spread evenly over each video; a broken file is skipped with a warning.

    Args:
        media: photos and videos.
        skipped: gets the broken ones.
    """
    for path in media:
        try:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                yield from _video_frames(path)
            else:
                yield Frame(path.name, read_image(path))
        except InputError as error:
            _log.warning("Skipped: %s", error)
            if skipped is not None:
                skipped.append(path)


def network_inputs(
    config: VariantConfig | ImageInput,
    media: Sequence[Path],
    *,
    views: int = 1,
    limit: int | None = None,
    seed: int = 0,
    origins: list[Origin] | None = None,
    skipped: list[Path] | None = None,
) -> list[np.ndarray]:
    """What a network would see of these photos and videos.

    Detectors and networks that are none of blazeport's see letterboxed frames; landmark networks the ROI of every
    person the official pose detector finds.

    Args:
        config: the variant, or the input of another network.
        media: photos and videos.
        views: inputs per frame or person: one as it is, the others jittered as tracking does, by up to 10 % in scale
            and shift and a small roll.
        limit: at most so many, spread evenly.
        seed: of the jitter.
        origins: gets where each input is from.
        skipped: gets the files that cannot be read.
    Returns:
        float32 `(1, S, S, 3)` arrays in `config.input_range`. The same arguments give the same arrays.
    """
    frames = progress.track(read_frames(media, skipped), f"Reading photos for {config.name}", len(media))
    rng = np.random.default_rng(seed)
    if isinstance(config, PoseLandmarkConfig):
        inputs = list(_crops(config, frames, views, rng))
    else:
        assert isinstance(config, DetectorConfig | ImageInput)
        inputs = list(_letterboxed(config, frames, views, rng))
    if limit is not None and len(inputs) > limit:
        inputs = [inputs[index] for index in np.linspace(0, len(inputs) - 1, limit).round().astype(int)]
    if origins is not None:
        origins += [origin for _, origin in inputs]
    return [tensor for tensor, _ in inputs]


_Input = tuple[np.ndarray, Origin]


def _letterboxed(
    config: DetectorConfig | ImageInput, frames: Iterable[Frame], views: int, rng: np.random.Generator
) -> Iterator[_Input]:
    for frame in frames:
        yield _framed(frame.rgb, config), _origin(frame)
        height, width = frame.rgb.shape[:2]
        for _ in range(views - 1):
            scale = rng.uniform(0.8, 1.0)
            top, left = (int(rng.uniform(0, side * (1 - scale))) for side in (height, width))
            window = frame.rgb[top : top + max(1, int(height * scale)), left : left + max(1, int(width * scale))]
            yield _framed(window, config), _origin(frame, jittered=True)


def _framed(rgb: np.ndarray, config: DetectorConfig | ImageInput) -> np.ndarray:
    """The image letterboxed with black to the network's input: float32 `(1, height, width, 3)` in its range."""
    if isinstance(config, DetectorConfig):
        return detector_tensor(rgb, config)
    scale = min(config.height / rgb.shape[0], config.width / rgb.shape[1])
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    top, left = (config.height - height) // 2, (config.width - width) // 2
    canvas = np.zeros((config.height, config.width, 3), np.uint8)
    smaller = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + height, left : left + width] = cv2.resize(rgb, (width, height), interpolation=smaller)
    low, high = config.input_range
    return (np.float32(low) + canvas * np.float32((high - low) / 255))[np.newaxis]


def _crops(
    config: PoseLandmarkConfig, frames: Iterable[Frame], views: int, rng: np.random.Generator
) -> Iterator[_Input]:
    detector = Detector(official_file(POSE_DETECTION.name), PoseDetectorConfig)
    for frame in frames:
        for _, roi in find_people(frame.rgb, detector):
            yield roi_tensor(frame.rgb, roi, config), _origin(frame, roi)
            for _ in range(views - 1):
                moved = _jittered(roi, rng)
                yield roi_tensor(frame.rgb, moved, config), _origin(frame, moved, jittered=True)


def _origin(frame: Frame, roi: Roi | None = None, *, jittered: bool = False) -> Origin:
    height, width = frame.rgb.shape[:2]
    return Origin(frame=frame.name, width=width, height=height, roi=roi, jittered=jittered)


def _jittered(roi: Roi, rng: np.random.Generator) -> Roi:
    """`roi` moved as between two frames: the paper's 10 % of scale and shift, and up to 0.1 rad of roll."""
    scale = rng.uniform(0.9, 1.1)
    return dataclasses.replace(
        roi,
        x_center=float(np.float32(roi.x_center + rng.uniform(-0.1, 0.1) * roi.width)),
        y_center=float(np.float32(roi.y_center + rng.uniform(-0.1, 0.1) * roi.height)),
        width=float(np.float32(roi.width * scale)),
        height=float(np.float32(roi.height * scale)),
        rotation=float(np.float32(roi.rotation + rng.uniform(-0.1, 0.1))),
    )


def _video_frames(path: Path) -> Iterator[Frame]:
    with native_stderr(DECODER_CHATTER):
        capture = cv2.VideoCapture(str(path))
    try:
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        wanted = {int(index) for index in np.linspace(0, max(count - 1, 0), FRAMES_PER_VIDEO)}
        found = False
        for index in range(max(wanted) + 1):
            if not capture.grab():
                break
            if index in wanted:
                readable, bgr = capture.retrieve()
                if readable:
                    found = True
                    yield Frame(f"{path.name}#{index}", cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
        if not found:
            raise InputError(f"{path} is not a video that can be read.")
    finally:
        capture.release()
