"""The audit of calibration samples: what they show, whether ranges from them hold, and in sentences what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..convert.inputs import VIDEO_SUFFIXES, ImageInput
from ..models.config import FaceDetectorConfig, PoseLandmarkConfig, VariantConfig
from .calibration import ENOUGH_PHOTOS
from .diversity import Diversity, measure_diversity
from .graph import Graph
from .sample_cache import SampleSet
from .saturation import LayerSaturation, measure_saturation
from .split import near_duplicates

SCHEMA_VERSION = 1
_MANY_DUPLICATES = 0.25
_FEW = 0.1  # of the subjects
_ENOUGH_TO_HOLD_BACK = 8  # samples; from fewer, chance alone saturates layers with few values


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What calibration samples show, and what they miss.

    Attributes:
        variant: the network, or the name of a file that is none of blazeport's.
        photos: photos that can be read.
        clips: videos that can be read.
        skipped: names of the files that cannot.
        samples: number of samples, with the jittered ones.
        duplicates: names of photos that are alike, group by group.
        diversity: what the samples show; None for a network that is none of blazeport's.
        saturation: every layer whose range comes from data, those that saturate most on held-back samples first.
        warnings: what is missing.
        schema_version: of this record.
    """

    variant: str
    photos: int
    clips: int
    skipped: tuple[str, ...]
    samples: int
    duplicates: tuple[tuple[str, ...], ...]
    diversity: Diversity | None
    saturation: tuple[LayerSaturation, ...]
    warnings: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return dataclasses.asdict(self)


def audit(config: VariantConfig | ImageInput, graph: Graph, samples: SampleSet, media: Sequence[Path]) -> Coverage:
    """Audits samples.

    Args:
        config: the network they are for.
        graph: its float graph.
        samples: from `media`.
        media: photos and videos.
    """
    read = [path for place, path in enumerate(media) if place not in samples.skipped]
    photos = [path for path in read if path.suffix.lower() not in VIDEO_SUFFIXES]
    first_of = {path.name: first.name for path, first in near_duplicates(photos).items()}
    alike: dict[str, list[str]] = {}
    for name, first in first_of.items():
        alike.setdefault(first, []).append(name)
    plain = [place for place, origin in enumerate(samples.origins) if not origin.jittered]
    sources = [samples.origins[place].source for place in plain]
    known = config if isinstance(config, VariantConfig) else None
    coverage = Coverage(
        variant=config.name,
        photos=len(photos),
        clips=len(read) - len(photos),
        skipped=tuple(media[place].name for place in samples.skipped),
        samples=len(samples.tensors),
        duplicates=tuple(tuple(group) for group in alike.values() if len(group) > 1),
        diversity=measure_diversity(config, samples.tensors, samples.origins),
        saturation=measure_saturation(
            graph, samples.tensors[plain], [first_of.get(source, source) for source in sources], known
        ),
    )
    return dataclasses.replace(coverage, warnings=tuple(_warnings(config, coverage, len(plain))))


def _warnings(config: VariantConfig | ImageInput, coverage: Coverage, num_plain: int) -> list[str]:
    found = []
    doubles = sum(len(group) - 1 for group in coverage.duplicates)
    different = coverage.photos - doubles
    if doubles and doubles >= _MANY_DUPLICATES * coverage.photos:
        found.append(f"{doubles} of {coverage.photos} photos are near-duplicates of others, which add little.")
    if coverage.photos == 0 and coverage.clips == 1:
        found.append("All samples are from one video, so they show one place and one light. Add photos.")
    elif different + coverage.clips < ENOUGH_PHOTOS and coverage.photos:
        clips = f" and {coverage.clips} videos" if coverage.clips else ""
        found.append(f"There are {different} different photos{clips}. Best are {ENOUGH_PHOTOS} or more.")
    if coverage.diversity is not None and isinstance(config, VariantConfig):
        found += _missing(config, coverage.diversity)
    saturated = [layer for layer in coverage.saturation if layer.saturates]
    if saturated and num_plain >= _ENOUGH_TO_HOLD_BACK:
        worst = saturated[0]
        found.append(
            f"Ranges do not hold: {len(saturated)} of {len(coverage.saturation)} layers saturate on held-back samples, "
            f"most {worst.layer.partition(';')[0]} ({worst.outside:.1%} of its values). Add photos that differ more."
        )
    return found


def _missing(config: VariantConfig, shown: Diversity) -> list[str]:
    if isinstance(config, PoseLandmarkConfig):
        noun, nouns = "crop", "crops"
    else:
        noun, nouns = ("face", "faces") if isinstance(config, FaceDetectorConfig) else ("person", "people")
    if not shown.subjects:
        return [f"No {'person' if noun == 'crop' else noun} is found in any of {shown.frames} frames."]
    found = []
    if 2 * shown.frames_with < shown.frames:
        found.append(
            f"Only {shown.frames_with} of {shown.frames} frames show a {'person' if noun == 'crop' else noun}."
        )
    turned = _beyond(shown.rotation, 15 if isinstance(config, FaceDetectorConfig) else 45)
    if not sum(turned.values()):
        limit = next(iter(turned)).partition("–")[0]
        found.append(f"No {noun} is rotated by more than {limit}°.")
    sizes = [label for label, count in shown.size.items() if count]
    if len(sizes) == 1:
        found.append(f"All {shown.subjects} {nouns} are of one size: {sizes[0]} of the picture.")
    places = [place for place, count in shown.position.items() if count]
    if len(places) == 1:
        found.append(f"All {shown.subjects} {nouns} are in one part of the picture: {places[0]}.")
    for part, count in shown.visible.items():
        verb = "are" if part.endswith("s") or part == "feet" else "is"
        if not count:
            found.append(f"{part.capitalize()} {verb} never visible.")
        elif count < _FEW * shown.subjects:
            found.append(f"{part.capitalize()} {verb} visible in {count} of {shown.subjects} crops only.")
    if shown.visible and all(count == shown.subjects for count in shown.visible.values()):
        found.append("Everybody is seen from head to feet: nobody is cut off or hidden.")
    return found


def _beyond(rotation: dict[str, int], degrees: int) -> dict[str, int]:
    """The part of the histogram from this edge on."""
    labels = list(rotation)
    start = next(index for index, label in enumerate(labels) if label.startswith(f"{degrees}–"))
    return {label: rotation[label] for label in labels[start:]}
