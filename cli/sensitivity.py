"""`blazeport sensitivity`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import click

from .artifacts import HEADS_OPTION, VARIANT_OPTION, media_option
from .console import print_json, print_table


@click.command()
@click.argument("source")
@click.option("--precision", default="int8", show_default=True, help="int8, int16x8 or mixed.")
@click.option("--recipe", "recipe_file", type=click.Path(path_type=Path), help="A recipe of your own, as JSON.")
@HEADS_OPTION
@VARIANT_OPTION
@media_option("--calibration", "Your photos or videos; a few demo photos by default.")
@click.option("--samples", type=click.IntRange(5), default=128, show_default=True, help="Fit to at most so many.")
@click.option("--limit", type=click.IntRange(5), default=32, show_default=True, help="Measure on at most so many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the samples' jitter.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sensitivity(
    source: str,
    precision: str,
    recipe_file: Path | None,
    heads: str,
    variant: str | None,
    calibration: Path | None,
    samples: int,
    limit: int,
    seed: int,
    as_json: bool,
) -> None:
    """Rank the layers of SOURCE by what they lose at the task when they are integer.

    Layers are measured in groups: residual blocks, single convolutions and heads. Each group is quantized alone, and
    left alone in float, and both files are compared with the float one on calibration photos: px of visible points and
    presence for landmark networks; lost and extra detections, scores and keypoints or regions for detectors.

    SOURCE is a variant or your own .keras or .weights.h5 file of one.

    \b
    Example:
      blazeport sensitivity pose_landmark_lite --heads landmarks --calibration photos/
      blazeport sensitivity face_detection_short_range --calibration photos/ --json
    """
    from ..convert.precisions import CALIBRATED_PRECISIONS
    from ..convert.source import open_source
    from ..errors import unknown
    from ..models.config import resolve_heads
    from ..quantize.budget_quantizer import analyse
    from ..quantize.calibration import open_calibration
    from ..quantize.recipes import read_recipe, shipped_recipe
    from ..quantize.task_figures import require_heads

    if precision not in CALIBRATED_PRECISIONS:
        raise unknown("precision with layers to rank", precision, CALIBRATED_PRECISIONS)
    opened = open_source(source, variant)
    names = resolve_heads(opened.config, heads)
    require_heads(opened.config, names)
    recipe = read_recipe(recipe_file) if recipe_file else shipped_recipe(opened.config.name, precision)
    found = analyse(opened, names, recipe, open_calibration(calibration, limit=samples, seed=seed), limit=limit)
    if as_json:
        print_json(found.to_dict())
        return
    click.echo(f"{found.variant}, {found.base}, on {found.samples} samples of calibration photos")
    click.echo(f"All layers: {_text(found.whole)}. ±1/255 noise on float: {_text(found.noise)}.")
    print_table(
        ("layers up to", "map px", "MACs", "alone", "loss alone", "gain in float"),
        (
            (
                row.unit.name,
                row.unit.side_px or "–",
                f"{row.unit.mac_share:.1%}",
                _text(row.alone),
                f"{row.alone_loss:.2f}",
                f"{row.gain:+.2f}",
            )
            for row in found.units
        ),
        right=("map px", "MACs", "loss alone", "gain in float"),
    )


def _text(figures: Mapping[str, float]) -> str:
    return ", ".join(
        f"{name} {'–' if math.isnan(value) else format(value, '.3g')}"
        for name, value in figures.items()
        if name not in ("iou", "int8_macs")
    )
