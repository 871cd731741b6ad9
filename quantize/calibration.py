"""Calibration samples: what a network sees of a user's photos, made by the pipeline itself."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..convert.inputs import ImageInput, Origin, find_media, media_sha256, network_inputs, read_frames
from ..convert.manifest import CalibrationRecord
from ..errors import CalibrationError, InputError
from ..files import sha256_of
from ..models.config import PoseLandmarkConfig, VariantConfig
from ..weights.fetch import demo_photos
from .sample_cache import SampleSet, cache_key, load, store

if TYPE_CHECKING:
    from .coverage import Coverage
    from .graph import Graph

MIN_SAMPLES = 5
MAX_SAMPLES = 128
ENOUGH_PHOTOS = 50

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Photos and videos to calibrate on, and how samples are drawn from them.

    Attributes:
        media: the files.
        record: what a manifest says of them.
    """

    media: tuple[Path, ...]
    record: CalibrationRecord
    _made: dict[str, SampleSet] = field(default_factory=dict, repr=False, compare=False)
    _audited: dict[str, Coverage] = field(default_factory=dict, repr=False, compare=False)

    def samples(self, config: VariantConfig | ImageInput) -> list[np.ndarray]:
        """The samples for a network: float32 `(1, S, S, 3)` in its range; letterboxed frames or ROI crops.

        Made once per network, and kept in the cache folder.

        Raises:
            CalibrationError: fewer than 5 could be made.
        """
        tensors = self.sample_set(config).tensors
        return [tensors[index : index + 1] for index in range(len(tensors))]

    def sample_set(self, config: VariantConfig | ImageInput) -> SampleSet:
        """The samples for a network with where they are from. Raises as `samples`."""
        if config.name not in self._made:
            self._made[config.name] = self._cached(config)
        return self._made[config.name]

    def coverage(self, config: VariantConfig | ImageInput, graph: Graph) -> Coverage:
        """What the samples show of the world, and what they miss. Looked at once per network.

        Args:
            config: the network.
            graph: its float graph.
        Raises:
            CalibrationError: too few samples could be made.
        """
        from .coverage import audit  # Imports TensorFlow.

        if config.name not in self._audited:
            self._audited[config.name] = audit(config, graph, self.sample_set(config), self.media)
        return self._audited[config.name]

    def audited_record(self, config: VariantConfig | ImageInput, graph: Graph) -> CalibrationRecord:
        """The record with the number of samples and the audit's warnings, which are logged the first time.

        The demo photos are not audited: that they will not do is said when they are opened.
        """
        count = len(self.sample_set(config).tensors)
        if self.record.demo:
            return dataclasses.replace(self.record, samples=count)
        is_new = config.name not in self._audited
        warnings = self.coverage(config, graph).warnings
        for warning in warnings if is_new else ():
            _log.warning("Calibration of %s: %s", config.name, warning)
        return dataclasses.replace(self.record, samples=count, warnings=warnings)

    def _cached(self, config: VariantConfig | ImageInput) -> SampleSet:
        key = cache_key(config, [media_sha256(self.media), self.record.views, self.record.limit, self.record.seed])
        samples = load(key, config.input_shape)
        if samples is not None and all(index < len(self.media) for index in samples.skipped):
            # Files that could not be read are named every time.
            list(read_frames(self.media[index] for index in samples.skipped))
            return samples
        samples = self._make(config)
        store(key, samples)
        return samples

    def _make(self, config: VariantConfig | ImageInput) -> SampleSet:
        origins: list[Origin] = []
        skipped: list[Path] = []
        samples = network_inputs(
            config,
            self.media,
            views=self.record.views,
            limit=self.record.limit,
            seed=self.record.seed,
            origins=origins,
            skipped=skipped,
        )
        if len(samples) < MIN_SAMPLES:
            what = "crops with a person" if isinstance(config, PoseLandmarkConfig) else "letterboxed frames"
            raise CalibrationError(
                f"Calibrating {config.name} needs at least {MIN_SAMPLES} {what}. Received: {len(samples)} from "
                f"{len(self.media)} files. Add photos, best {ENOUGH_PHOTOS} or more like those the app will see."
            )
        places = tuple(self.media.index(path) for path in skipped)
        return SampleSet(np.concatenate(samples), tuple(origins), places)


def open_calibration(
    folder: Path | None, *, limit: int = MAX_SAMPLES, seed: int = 0, without: Sequence[Path] = ()
) -> Calibration:
    """The calibration photos and videos of a user, or the demo photos.

    Args:
        folder: searched with its subfolders; None takes the demo photos and warns.
        limit: at most so many samples per network.
        seed: of the jitter.
        without: photos and videos that must not be calibrated on; copies of them are left out too.
    Raises:
        CalibrationError: there is no such folder, or no photo or video in it that may be used.
    """
    if folder is None:
        media: Sequence[Path] = demo_photos()
        _log.warning(
            "Calibrating on %d demo photos: demo grade. int8 ranges will not fit your camera; "
            "give photos of your own with --calibration DIR.",
            len(media),
        )
    else:
        try:
            media = find_media(folder)
        except InputError as error:
            raise CalibrationError(str(error)) from error
        left_out = {sha256_of(path) for path in without}
        media = [path for path in media if sha256_of(path) not in left_out] if left_out else media
        if not media:
            raise CalibrationError(f"Expected photos in {folder} that results are not measured on. Found none.")
    return calibration_on(media, limit=limit, seed=seed, demo=folder is None)


def calibration_on(
    media: Sequence[Path], *, limit: int = MAX_SAMPLES, seed: int = 0, demo: bool = False
) -> Calibration:
    """Calibration on these photos and videos; the other arguments as in `open_calibration`."""
    record = CalibrationRecord(
        media=tuple(path.name for path in media),
        sha256=media_sha256(media),
        views=max(1, min(4, limit // len(media))),
        limit=limit,
        seed=seed,
        demo=demo,
    )
    return Calibration(media=tuple(media), record=record)


def drawn_anew(calibration: Calibration, *, limit: int) -> Calibration:
    """The same photos and videos under another jitter, for measuring what was fitted to the first.

    Args:
        calibration: what ranges and weights are fitted to.
        limit: at most so many samples per network.
    """
    record = dataclasses.replace(
        calibration.record,
        views=max(2, min(4, limit // len(calibration.media))),
        limit=limit,
        seed=calibration.record.seed + 1,
    )
    return Calibration(media=calibration.media, record=record)
