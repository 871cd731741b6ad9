"""How good a quantized file is at its task, against the float file: detections, landmarks, and how sure that is.

Imports no TensorFlow, also not indirectly.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .. import progress
from ..convert.inputs import VIDEO_SUFFIXES, media_sha256, read_frames
from ..convert.parity import Runner
from ..errors import ConfigError, InputError, unknown
from ..files import sha256_of
from ..models.config import (
    POSE_DETECTION,
    DetectorConfig,
    FaceDetectorConfig,
    PoseDetectorConfig,
    PoseLandmarkConfig,
    VariantConfig,
    get_config,
)
from ..pipeline.detector import Detector
from ..pipeline.image_to_tensor import roi_tensor
from ..pipeline.pose import find_people
from ..pipeline.roi import Roi
from ..runtime.interpreter import Model
from ..weights.fetch import official_file
from . import detector_errors as detectors
from . import landmark_errors as landmarks
from .controls import noisy, remembered, shifted
from .figures import Figure, Meaning, require_intervals
from .split import split_media

SCHEMA_VERSION = 1
WORST_CASES = 8

Side = Literal["evaluation", "calibration", "all"]
SIDES: tuple[str, ...] = get_args(Side)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One of the two files."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """One photo, frame or crop.

    Attributes:
        name: of the photo, with the frame and person where there are several.
        source: path of the photo or clip.
        frame: name of the frame in it.
        roi: the crop's region; None for detectors.
        figures: what went wrong: `missed`, `extra`, `visible_px`, `presence` …
    """

    name: str
    source: str
    frame: str
    roi: Roi | None
    figures: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Group:
    """The figures over photos, or over frames of clips.

    Attributes:
        media: number of photos or clips.
        samples: how often the network ran: photos, frames, or crops around the people in them.
        candidate: figure → the candidate against the reference.
        noise: the reference against itself with ±1/255 pixel noise: no candidate can be told to be better than that.
        shift: the reference against itself on an input moved by one px, with the result moved back.
        worst: the cases with the largest errors, worst first.
    """

    media: int
    samples: int
    candidate: dict[str, Figure]
    noise: dict[str, Figure]
    shift: dict[str, Figure]
    worst: tuple[Case, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A file against its reference, at the task.

    Attributes:
        variant: the network.
        candidate: the file that is judged.
        reference: the float file it should be equal to.
        side: which side of the split was taken.
        media_sha256: over the contents of the photos and clips that were taken.
        photos: figures over photos; None when there were none with anything to look at.
        clips: figures over frames of clips, likewise.
        schema_version: of this record.
    """

    variant: str
    candidate: FileRecord
    reference: FileRecord
    side: Side
    media_sha256: str
    photos: Group | None
    clips: Group | None
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return dataclasses.asdict(self)

    def summary(self) -> dict[str, Any]:
        """The record without its worst cases, which name photos: for a manifest."""
        record = self.to_dict()
        for group in filter(None, (record["photos"], record["clips"])):
            del group["worst"]
        return record


def group_of(record: dict[str, Any]) -> Group:
    """A group of figures from the summary of an evaluation."""
    sides = {
        side: {name: Figure(**figure) for name, figure in record[side].items()}
        for side in ("candidate", "noise", "shift")
    }
    return Group(media=record["media"], samples=record["samples"], worst=(), **sides)


@dataclass(frozen=True, eq=False)
class _Sample:
    """What a network sees of a frame, and where it is from."""

    source: Path
    frame: str
    name: str
    view: detectors.Letterboxed
    roi: Roi | None = None

    def case(self, **figures: float) -> Case:
        kept = {name: round(float(value), 4) for name, value in figures.items() if np.isfinite(value)}
        return Case(name=self.name, source=str(self.source), frame=self.frame, roi=self.roi, figures=kept)


def evaluate(
    candidate: Path, reference: Path, media: Sequence[Path], *, side: Side = "evaluation", limit: int | None = None
) -> Evaluation:
    """Measures a file against its float reference on photos and clips.

    Detectors run with the whole pipeline; landmark networks on the regions that the official pose detector finds,
    without heatmap refinement.

    Args:
        candidate: the file that is judged.
        reference: the float file of the same network.
        media: photos and clips; frames of clips are counted apart.
        side: which side of the split to take (see `split_media`).
        limit: at most so many photos, and so many clips, spread evenly.
    Raises:
        InputError: a file cannot be read, or nothing in `media` shows what the network looks for.
        ConfigError: the files are not the same network, or lack a head; or scipy is not installed.
    """
    require_intervals()
    if side not in SIDES:
        raise unknown("side of the split", side, SIDES)
    with Model(candidate) as judged, Model(reference) as trusted:
        config = common_config(judged, trusted)
        if side != "all":
            split = split_media(media)
            media = split.evaluation if side == "evaluation" else split.calibration
        photos = spread([path for path in media if path.suffix.lower() not in VIDEO_SUFFIXES], limit)
        clips = spread([path for path in media if path.suffix.lower() in VIDEO_SUFFIXES], limit)
        groups = [_group(judged, trusted, config, part) for part in (photos, clips)]
    if not any(groups):
        what = "a person" if isinstance(config, PoseLandmarkConfig) else "a picture"
        raise InputError(
            f"Expected photos or clips with {what} on the {side} side of the split. "
            f"Found none in {len(photos) + len(clips)} files."
        )
    return Evaluation(
        variant=config.name,
        candidate=_record(candidate),
        reference=_record(reference),
        side=side,
        media_sha256=media_sha256([*photos, *clips]),
        photos=groups[0],
        clips=groups[1],
    )


def common_config(candidate: Model, reference: Model) -> VariantConfig:
    """The variant both files are. Raises `ConfigError` when there is none, or a file lacks a head that is measured."""
    common = [name for name in reference.candidates if name in candidate.candidates]
    if not common:
        raise ConfigError(
            f"Both files must be the same network. Received: {candidate.name} ({_describe(candidate)}) "
            f"and {reference.name} ({_describe(reference)})."
        )
    known = [name for model in (candidate, reference) if (name := model.variant) in common]
    if len(set(known)) > 1:
        _log.warning("%s is %s but %s is %s.", candidate.name, known[0], reference.name, known[1])
    config = get_config(known[0] if known else common[0])
    needed = detectors.USED_HEADS if isinstance(config, DetectorConfig) else ("landmarks", "presence")
    for model in (candidate, reference):
        if missing := [head for head in needed if head not in model.outputs]:
            raise ConfigError(
                f"Evaluating {config.name} needs the heads {', '.join(needed)}. "
                f"{model.name} lacks {', '.join(missing)}."
            )
    return config


def figure_meanings(config: VariantConfig) -> dict[str, Meaning]:
    """Figure → how it is shown, for the networks of a kind, in the order of the tables."""
    if isinstance(config, PoseLandmarkConfig):
        return landmarks.LANDMARK_FIGURES
    return detectors.PERSON_FIGURES if isinstance(config, PoseDetectorConfig) else detectors.FACE_FIGURES


def samples_text(noun: str, group: Group, config: VariantConfig) -> str:
    """What the figures are taken over, e.g. `90 crops from 76 photos`."""
    if isinstance(config, PoseLandmarkConfig):
        return f"{group.samples} crops from {group.media} {noun}"
    return f"{group.samples} photos" if noun == "photos" else f"{group.samples} frames of {group.media} clips"


def _describe(model: Model) -> str:
    return model.variant or " or ".join(model.candidates) or "a network that blazeport does not know"


def _record(path: Path) -> FileRecord:
    return FileRecord(name=path.name, sha256=sha256_of(path), size_bytes=path.stat().st_size)


def spread(paths: Sequence[Path], limit: int | None) -> list[Path]:
    """At most `limit` of these, spread evenly."""
    if limit is None or len(paths) <= limit:
        return list(paths)
    return [paths[index] for index in np.linspace(0, len(paths) - 1, limit).round().astype(int)]


def _samples(config: VariantConfig, media: Sequence[Path]) -> Iterator[_Sample]:
    finder = None
    if isinstance(config, PoseLandmarkConfig):
        finder = Detector(official_file(POSE_DETECTION.name), PoseDetectorConfig)
    for path in progress.track(media, "Reading photos", len(media)):
        for frame in read_frames([path]):
            height, width = frame.rgb.shape[:2]
            if isinstance(config, DetectorConfig):
                yield _Sample(path, frame.name, frame.name, detectors.letterboxed(frame.rgb, config))
            elif finder is not None and isinstance(config, PoseLandmarkConfig):
                for number, (_, roi) in enumerate(find_people(frame.rgb, finder), start=1):
                    name = frame.name if number == 1 else f"{frame.name} (person {number})"
                    view = detectors.Letterboxed(roi_tensor(frame.rgb, roi, config), width, height)
                    yield _Sample(path, frame.name, name, view, roi)


def _group(candidate: Model, reference: Model, config: VariantConfig, media: Sequence[Path]) -> Group | None:
    samples = list(_samples(config, media)) if media else []
    if not samples:
        return None
    measure = _landmark_group if isinstance(config, PoseLandmarkConfig) else _detector_group
    return measure(candidate.run, reference.run, samples, len(media), config)


def _landmark_group(candidate: Runner, reference: Runner, samples: Sequence[_Sample], media: int, config: Any) -> Group:
    trusted = remembered(reference, landmarks.USED_HEADS)
    crops = [sample.view.tensor for sample in samples]

    def errors(run: Runner, what: str) -> landmarks.LandmarkErrors:
        return landmarks.landmark_errors(run, trusted, progress.track(crops, f"Evaluating {what}", len(crops)), config)

    measured = errors(candidate, "the file")
    present = [crop for crop, is_present in zip(crops, measured.present, strict=True) if is_present]
    figures = measured.figures()
    if present:
        with progress.step("Evaluating the jitter on stills"):
            figures["jitter_ratio"] = landmarks.jitter_ratio(candidate, reference, present, config)
    visible_px, flips = measured.visible_px, measured.presence_flips
    cases = [
        samples[index].case(
            visible_px=visible_px[index] if measured.present[index] else np.nan,
            presence=measured.presence[index],
            reference_presence=measured.reference_presence[index],
        )
        for index in np.lexsort((-np.nan_to_num(visible_px), ~flips))
        if flips[index] or (measured.present[index] and visible_px[index] > 0)
    ]
    return Group(
        media=media,
        samples=len(samples),
        candidate=figures,
        noise=errors(noisy(reference, config), "float under pixel noise").figures(),
        shift=errors(shifted(reference, config), "float on a shifted input").figures(),
        worst=tuple(cases[:WORST_CASES]),
    )


def _detector_group(candidate: Runner, reference: Runner, samples: Sequence[_Sample], media: int, config: Any) -> Group:
    trusted = remembered(reference, detectors.USED_HEADS)

    def errors(run: Runner, what: str) -> detectors.DetectorErrors:
        views = (sample.view for sample in progress.track(samples, f"Evaluating {what}", len(samples)))
        return detectors.detector_errors(run, trusted, views, config)

    measured = errors(candidate, "the file")
    main = "keypoint_percent" if isinstance(config, FaceDetectorConfig) else "roi_center_percent"
    matches = measured.per_photo(np.ones(len(measured.photo)))
    means = {
        name: np.divide(sums, matches, out=np.full(len(matches), np.nan), where=matches > 0)
        for name, sums in (
            ("iou", measured.per_photo(measured.iou)),
            (main, measured.per_photo(getattr(measured, main))),
        )
    }
    wrong = measured.missed + measured.extra
    cases = [
        samples[index].case(
            missed=measured.missed[index],
            extra=measured.extra[index],
            **{name: values[index] for name, values in means.items()},
        )
        for index in np.lexsort((-np.nan_to_num(means[main]), -wrong))
        if wrong[index] or means[main][index] > 0
    ]
    return Group(
        media=media,
        samples=len(samples),
        candidate=measured.figures(),
        noise=errors(noisy(reference, config), "float under pixel noise").figures(),
        shift=errors(shifted(reference, config), "float on a shifted input").figures(),
        worst=tuple(cases[:WORST_CASES]),
    )
