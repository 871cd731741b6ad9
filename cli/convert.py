"""`blazeport convert`."""

from __future__ import annotations

from pathlib import Path

import click

from ..convert.precisions import FLOAT_PRECISIONS
from .artifacts import (
    HEADS_OPTION,
    KEEP_FAILED_OPTION,
    OUT_OPTION,
    VARIANT_OPTION,
    command_line,
    media_option,
    output_path,
    print_manifests,
)


@click.command()
@click.argument("source")
@click.option("--precision", default="fp16", show_default=True, help="fp32 or fp16.")
@HEADS_OPTION
@VARIANT_OPTION
@media_option("--inputs", "Photos or videos for the parity gate; the demo photos by default.")
@KEEP_FAILED_OPTION
@OUT_OPTION
def convert(
    source: str,
    precision: str,
    heads: str,
    variant: str | None,
    inputs: Path | None,
    keep_failed: bool,
    out: Path,
) -> None:
    """Convert SOURCE to a float TFLite file that is proven before it gets its name.

    SOURCE is a variant, whose official weights are fetched, or your own .keras or .weights.h5 file of one. The file is
    compared in LiteRT with the official file (or with your Keras model) on real photos; the manifest beside it tells
    how it did.

    \b
    Example:
      blazeport convert pose_landmark_lite --heads landmarks --precision fp16 -o build/
      blazeport convert my_pose.keras --variant pose_landmark_lite -o my_pose.tflite
    """
    from ..convert.artifact import ArtifactWriter, default_name
    from ..convert.inputs import find_media
    from ..convert.source import open_source
    from ..errors import unknown
    from ..models.config import resolve_heads

    if precision not in FLOAT_PRECISIONS:
        raise unknown("precision (quantized ones: blazeport quantize)", precision, FLOAT_PRECISIONS)
    opened = open_source(source, variant)
    names = resolve_heads(opened.config, heads)
    media = find_media(inputs) if inputs else None

    writer = ArtifactWriter(opened, media=media, command=command_line(), keep_failed=keep_failed)
    path = output_path(out, default_name(opened, names, precision))
    manifest = writer.write(path, names, precision)
    print_manifests([(manifest, None)], with_latency=False)
    click.echo(f"Wrote {path}")
