"""Writes every artifact of `make export`, rebuilding only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..convert.artifact import ArtifactWriter, default_name
from ..convert.manifest import Manifest
from ..convert.precisions import PRECISIONS
from ..convert.source import open_source
from ..errors import ConfigError, unknown
from ..models.config import VARIANTS, PoseLandmarkConfig, get_config, resolve_heads
from .calibration import Calibration, open_calibration

DEFAULT_PRECISIONS = ("fp32", "fp16", "int8")
DEFAULT_HEADS = ("all", "landmarks")


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
        precisions: of each.
        calibration: a folder of photos and videos; None takes the demo photos.
    """

    variants: tuple[str, ...] = tuple(VARIANTS)
    heads: tuple[str, ...] = DEFAULT_HEADS
    precisions: tuple[str, ...] = DEFAULT_PRECISIONS
    calibration: Path | None = None

    def __post_init__(self) -> None:
        for precision in self.precisions:
            if precision not in PRECISIONS:
                raise unknown("precision", precision, PRECISIONS)
        for variant in self.variants:
            self.heads_of(variant)
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
    # The gate uses photos of one's own too, so they are looked at even when nothing is calibrated.
    used = "int8" in plan.precisions or plan.calibration is not None
    calibration = open_calibration(plan.calibration) if used else None
    for variant in plan.variants:
        yield from _export_variant(variant, plan, out, calibration, command)


def _export_variant(
    variant: str, plan: ExportPlan, out: Path, calibration: Calibration | None, command: str
) -> Iterator[Exported]:
    source = open_source(variant)
    own_media = calibration.media if calibration is not None and not calibration.record.demo else None
    writer = ArtifactWriter(source, media=own_media, command=command)
    samples = None
    for heads in plan.heads_of(variant):
        for precision in plan.precisions:
            used = calibration if precision == "int8" else None
            record = used.record if used else None
            path = out / default_name(source, heads, precision)
            manifest = writer.up_to_date(path, heads, precision, calibration=record)
            rebuilt = manifest is None
            if manifest is None:
                if used is not None and samples is None:
                    samples = used.samples(source.config)
                manifest = writer.write(
                    path, heads, precision, calibration=record, samples=samples if used is not None else None
                )
            yield Exported(path=path, manifest=manifest, official=source.path, rebuilt=rebuilt)


def _has_presets(variant: str) -> bool:
    return isinstance(get_config(variant), PoseLandmarkConfig)
