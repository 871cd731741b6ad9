"""Writes every artifact of `make export`, rebuilding only what changed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..convert.artifact import ArtifactWriter, default_name, manifest_path
from ..convert.inputs import find_media, media_sha256
from ..convert.manifest import Manifest
from ..convert.precisions import CALIBRATED_PRECISIONS, FLOAT_PRECISIONS, PRECISIONS
from ..convert.source import open_source
from ..errors import ConfigError, InputError, unknown
from ..models.config import VARIANTS, PoseLandmarkConfig, get_config, resolve_heads
from .calibration import Calibration, open_calibration
from .evaluate import evaluate, spread
from .evaluation_page import write_summary
from .figures import require_intervals
from .quantizer import recipe_quantizer
from .recipes import shipped_ranges, shipped_recipe
from .split import split_media

DEFAULT_PRECISIONS = ("fp32", "fp16", "int8")
# The landmark networks lose most in int8, so their smallest files come in better precisions too.
EXTRA_PRECISIONS = ("int16x8", "mixed")
DEFAULT_HEADS = ("all", "landmarks")
SLOW_PHOTOS = 24  # int16x8 runs by reference kernels on a CPU


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One artifact of an export.

    Attributes:
        path: the .tflite file.
        manifest: what stands beside it.
        official: the official file it came from.
        rebuilt: False when it was up to date.
    """

    path: Path
    manifest: Manifest
    official: Path
    rebuilt: bool


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """What to export. Checked when made, before anything is fetched or built.

    Attributes:
        variants: their names.
        heads: heads specs for the landmark networks; detectors always keep both outputs.
        precisions: of each; None: fp32, fp16 and int8, and int16x8 and mixed of the landmark networks' `landmarks`.
        calibration: a folder of photos and videos; None takes blazeport's stored ranges, or else the demo photos.
        evaluation: a folder of photos and videos to measure quantized files on, or None. Its evaluation side is never
            calibrated on.
    """

    variants: tuple[str, ...] = tuple(VARIANTS)
    heads: tuple[str, ...] = DEFAULT_HEADS
    precisions: tuple[str, ...] | None = None
    calibration: Path | None = None
    evaluation: Path | None = None

    def __post_init__(self) -> None:
        for precision in self.precisions or ():
            if precision not in PRECISIONS:
                raise unknown("precision", precision, PRECISIONS)
        for variant in self.variants:
            for precision in {p for heads in self.heads_of(variant) for p in self.precisions_of(variant, heads)}:
                if precision in CALIBRATED_PRECISIONS:
                    shipped_recipe(variant, precision)
        if self.heads != DEFAULT_HEADS and not any(_has_presets(variant) for variant in self.variants):
            raise ConfigError(
                f"Heads are chosen for landmark networks only. Received: heads {', '.join(self.heads)} "
                f"for {', '.join(self.variants)}."
            )

    def heads_of(self, variant: str) -> tuple[tuple[str, ...], ...]:
        """The sets of heads to export of a variant. Raises `ConfigError` for an unknown one."""
        config = get_config(variant)
        specs = self.heads if _has_presets(variant) else ("all",)
        return tuple(dict.fromkeys(resolve_heads(config, spec) for spec in specs))

    def precisions_of(self, variant: str, heads: tuple[str, ...]) -> tuple[str, ...]:
        """The precisions to export of a variant with these heads."""
        if self.precisions is not None:
            return self.precisions
        smallest = _has_presets(variant) and heads == get_config(variant).presets["landmarks"]
        return DEFAULT_PRECISIONS + (EXTRA_PRECISIONS if smallest else ())


def export(plan: ExportPlan, out: Path, *, command: str = "blazeport export") -> Iterator[Exported]:
    """Writes the artifacts of a plan into a folder, one after the other.

    Args:
        plan: what to export.
        out: the folder.
        command: the command line, for the manifests.
    Yields:
        Each artifact as soon as it stands.
    Raises:
        BlazeportError: the first thing that fails; artifacts written before it stay.
    """
    measure = _Accuracy(plan.evaluation, out) if plan.evaluation is not None else None
    # The gate uses photos of one's own too, so they are looked at even when nothing is calibrated.
    own = open_calibration(plan.calibration, without=measure.media if measure else ()) if plan.calibration else None
    photos = functools.cache(lambda: own or open_calibration(None))
    for variant in plan.variants:
        for exported in _export_variant(variant, plan, out, own, photos, command):
            yield measure(exported) if measure else exported


def _export_variant(
    variant: str, plan: ExportPlan, out: Path, own: Calibration | None, photos: Callable[[], Calibration], command: str
) -> Iterator[Exported]:
    source = open_source(variant)
    writer = ArtifactWriter(source, media=own.media if own else None, command=command)
    for heads in plan.heads_of(variant):
        for precision in plan.precisions_of(variant, heads):
            quantizer = None
            if precision in CALIBRATED_PRECISIONS:
                recipe = shipped_recipe(variant, precision)
                stored = None if own else shipped_ranges(variant, heads, precision)
                quantizer = recipe_quantizer(source.config, recipe, stored=stored, calibration=photos)
            path = out / default_name(source, heads, precision)
            manifest = writer.up_to_date(path, heads, precision, quantizer=quantizer)
            rebuilt = manifest is None
            if manifest is None:
                manifest = writer.write(path, heads, precision, quantizer=quantizer)
            yield Exported(path=path, manifest=manifest, official=source.path, rebuilt=rebuilt)


class _Accuracy:
    """Measures quantized files on the evaluation side of a folder; the figures go into manifests and one page."""

    def __init__(self, folder: Path, out: Path) -> None:
        require_intervals()
        self.media = split_media(find_media(folder)).evaluation
        if not self.media:
            raise InputError(f"Expected photos on the evaluation side of {folder}. Found none; add photos.")
        self._page = out / "accuracy.html"
        self._manifests: list[Manifest] = []

    def __call__(self, exported: Exported) -> Exported:
        manifest = exported.manifest
        if manifest.precision in FLOAT_PRECISIONS:
            return exported
        slow = manifest.precision == "int16x8"
        media = spread(self.media, SLOW_PHOTOS) if slow else self.media
        if manifest.accuracy is None or manifest.accuracy["media_sha256"] != media_sha256(media):
            evaluation = evaluate(exported.path, exported.official, media, side="all")
            record = dataclasses.replace(evaluation, side="evaluation").summary()
            manifest = dataclasses.replace(manifest, accuracy=record)
            manifest.write(manifest_path(exported.path))
        self._manifests.append(manifest)
        write_summary(self._manifests, self._page)
        return dataclasses.replace(exported, manifest=manifest)


def _has_presets(variant: str) -> bool:
    return isinstance(get_config(variant), PoseLandmarkConfig)
