"""`blazeport quantize`."""

from __future__ import annotations

from pathlib import Path

import click

from ..convert.precisions import QUANTIZED_PRECISIONS, Io
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
@click.option("--precision", default="int8", show_default=True, help="int8, int16x8, mixed or dynamic.")
@click.option("--recipe", "recipe_file", type=click.Path(path_type=Path), help="A recipe of your own, as JSON.")
@click.option(
    "--method",
    type=click.Choice(["blazeport", "tflite"]),
    default="blazeport",
    show_default=True,
    help="By a recipe, or TensorFlow's plain quantizer for comparison.",
)
@HEADS_OPTION
@VARIANT_OPTION
@media_option("--calibration", "Your photos or videos; a few demo photos by default.")
@click.option("--samples", type=click.IntRange(5), default=128, show_default=True, help="At most so many samples.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the samples' jitter.")
@click.option(
    "--io",
    "io_type",
    type=click.Choice(["float", "int8", "uint8"]),
    default="float",
    show_default=True,
    help="Type of the input and outputs.",
)
@KEEP_FAILED_OPTION
@OUT_OPTION
def quantize(
    source: str,
    precision: str,
    recipe_file: Path | None,
    method: str,
    heads: str,
    variant: str | None,
    calibration: Path | None,
    samples: int,
    seed: int,
    io_type: Io,
    keep_failed: bool,
    out: Path,
) -> None:
    """Quantize SOURCE to a TFLite file.

    int8 has int8 weights and activations in every convolution; int16x8 has int16 activations; mixed keeps the layers
    that lose most in float; dynamic has int8 weights only.

    SOURCE is a variant or your own .keras or .weights.h5 file of one. Calibration samples are what the network would
    see of your photos: letterboxed frames, or crops around each person. The manifest says how far the file is from
    fp32.

    \b
    Example:
      blazeport quantize pose_landmark_lite --heads landmarks --calibration photos/ -o build/
      blazeport quantize pose_landmark_lite --heads landmarks --precision mixed --calibration photos/ -o build/
      blazeport quantize face_detection_short_range --io uint8 --calibration photos/ -o face.tflite
    """
    from ..convert.artifact import ArtifactWriter, default_name
    from ..convert.source import open_source
    from ..errors import ConfigError, unknown
    from ..models.config import resolve_heads
    from ..quantize.calibration import open_calibration
    from ..quantize.quantizer import ConverterQuantizer, RecipeQuantizer
    from ..quantize.recipes import read_recipe, shipped_recipe

    if precision not in QUANTIZED_PRECISIONS:
        raise unknown("precision (float ones: blazeport convert)", precision, QUANTIZED_PRECISIONS)
    if precision == "dynamic" and (calibration is not None or recipe_file is not None):
        raise ConfigError("Dynamic range needs no calibration and no recipe. Leave them away, or choose int8.")
    if method == "tflite" and (precision not in ("int8", "dynamic") or recipe_file is not None):
        raise ConfigError("--method tflite makes int8 only, without a recipe.")
    opened = open_source(source, variant)
    names = resolve_heads(opened.config, heads)
    quantizer: RecipeQuantizer | ConverterQuantizer | None = None
    media = None
    if precision != "dynamic":
        chosen = read_recipe(recipe_file) if recipe_file else None
        if chosen is None and method == "blazeport":
            chosen = shipped_recipe(opened.config.name, precision)
        used = open_calibration(calibration, limit=samples, seed=seed)
        media = used.media
        used.samples(opened.config)  # Too few are said before anything is converted.
        if chosen is None:
            quantizer = ConverterQuantizer(used, opened.config)
        else:
            quantizer = RecipeQuantizer(chosen, used, opened.config)

    writer = ArtifactWriter(opened, media=media, command=command_line(), keep_failed=keep_failed)
    path = output_path(out, default_name(opened, names, precision, io_type))
    manifest = writer.write(path, names, precision, io_type=io_type, quantizer=quantizer)
    print_manifests([(manifest, None)], with_latency=False)
    click.echo(f"Wrote {path}")
