"""`blazeport calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import print_json, print_table

if TYPE_CHECKING:
    from ..quantize.coverage import Coverage

_WORST_LAYERS = 5
_NAME_CHARS = 60


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("variant")
@click.option("--samples", type=click.IntRange(5), default=128, show_default=True, help="At most so many samples.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the samples' jitter.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def calibrate(folder: Path, variant: str, samples: int, seed: int, as_json: bool) -> None:
    """Audit the photos and videos in DIR before VARIANT is calibrated on them.

    Tells how people and faces are turned, how large they are and what is seen of them, which photos are alike, and
    whether ranges from some of the photos hold on the others; and in sentences what is missing. The samples are kept
    in the cache, where blazeport quantize finds them.

    \b
    Example:
      blazeport calibrate photos/ pose_landmark_lite
      blazeport calibrate photos/ face_detection_short_range --json
    """
    from ..models.config import get_config
    from ..quantize.calibration import open_calibration
    from ..quantize.graph import read_graph
    from ..weights.fetch import official_file

    config = get_config(variant)
    calibration = open_calibration(folder, limit=samples, seed=seed)
    calibration.samples(config)  # Too few are said before anything else is done.
    coverage = calibration.coverage(config, read_graph(official_file(config.name)))
    if as_json:
        print_json(coverage.to_dict())
    else:
        _print(coverage)


def _print(coverage: Coverage) -> None:
    skipped = f", {len(coverage.skipped)} skipped" if coverage.skipped else ""
    media = f"{coverage.photos} photos and {coverage.clips} videos{skipped}"
    click.echo(f"{coverage.variant}: {coverage.samples} samples from {media}")
    for group in coverage.duplicates:
        click.echo(f"alike: {', '.join(group)}")
    if shown := coverage.diversity:
        what = "crops with a person" if shown.visible else "detections"
        click.echo(f"{shown.subjects} {what} in {shown.frames_with} of {shown.frames} frames")
        for name, counts in (
            ("rotation", shown.rotation),
            ("size", shown.size),
            ("position", shown.position),
            ("visible", shown.visible),
        ):
            if counts:
                click.echo(f"  {name}: {', '.join(f'{label} {count}' for label, count in counts.items())}")
    if coverage.saturation:
        rows = [
            (layer.layer.partition(";")[0][-_NAME_CHARS:], f"{layer.outside:.2%}", f"{layer.reach:.0%}")
            for layer in coverage.saturation[:_WORST_LAYERS]
        ]
        columns = ["held-back samples saturate most in", "values outside", "beyond the range by"]
        print_table(columns, rows, right=columns[1:])
    for warning in coverage.warnings:
        click.secho(f"Missing: {warning}", fg="yellow")
    if not coverage.warnings:
        click.secho("Nothing is missing.", fg="green")
