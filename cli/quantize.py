"""`blazeport quantize`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..convert.precisions import CALIBRATED_PRECISIONS, QUANTIZED_PRECISIONS, Io
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

if TYPE_CHECKING:
    from ..quantize.foreign import TfliteSource


class _Range(click.ParamType):
    """Two numbers, joined with a comma: what pixel 0 and pixel 255 become."""

    name = "LOW,HIGH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Reads the two numbers."""
        try:
            low, high = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"Expected two numbers, e.g. -1,1. Received: {value!r}.", param, ctx)
        if not (math.isfinite(high - low) and low < high):
            self.fail(f"Expected two rising numbers, e.g. -1,1. Received: {value!r}.", param, ctx)
        return low, high


@click.command()
@click.argument("source")
@click.option("--precision", default="int8", show_default=True, help="int8, int16x8, mixed, dynamic or fp16.")
@click.option("--recipe", "recipe_file", type=click.Path(path_type=Path), help="A recipe of your own, as JSON.")
@click.option(
    "--method",
    type=click.Choice(["blazeport", "tflite", "litert"]),
    default="blazeport",
    show_default=True,
    help="By a recipe, or for comparison by TensorFlow's plain quantizer or the LiteRT quantizer.",
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
@click.option(
    "--input-range",
    type=_Range(),
    help="Values that pixel 0 and 255 become, for a .tflite file of another network.  [default: 0,1]",
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
    input_range: tuple[float, float] | None,
    keep_failed: bool,
    out: Path,
) -> None:
    """Quantize SOURCE to a TFLite file.

    int8 has int8 weights and activations in every convolution; int16x8 has int16 activations; mixed keeps the layers
    that lose most in float; dynamic has int8 weights only; fp16 has fp16 weights and needs no calibration.

    SOURCE is a variant, your own .keras or .weights.h5 file of one, or any float .tflite file with one image input,
    also of another network. Calibration samples are what the network would see of your photos: letterboxed frames, or
    crops around each person. The manifest says how far the file is from fp32.

    \b
    Example:
      blazeport quantize pose_landmark_lite --heads landmarks --calibration photos/ -o build/
      blazeport quantize pose_landmark_lite --heads landmarks --precision mixed --calibration photos/ -o build/
      blazeport quantize face_detection_short_range --io uint8 --calibration photos/ -o face.tflite
      blazeport quantize my_network.tflite --input-range -1,1 --calibration photos/ -o build/
    """
    from ..convert.artifact import ArtifactWriter, default_name
    from ..convert.source import open_source
    from ..errors import ConfigError, unknown
    from ..models.config import resolve_heads
    from ..quantize.calibration import open_calibration
    from ..quantize.quantizer import ConverterQuantizer, LitertQuantizer, RecipeQuantizer
    from ..quantize.recipes import read_recipe, shipped_recipe

    if precision not in (*QUANTIZED_PRECISIONS, "fp16"):
        raise unknown("precision (fp32: blazeport convert)", precision, (*QUANTIZED_PRECISIONS, "fp16"))
    if precision not in CALIBRATED_PRECISIONS and (calibration is not None or recipe_file is not None):
        name = "Dynamic range" if precision == "dynamic" else precision
        raise ConfigError(f"{name} needs no calibration and no recipe. Leave them away, or choose int8.")
    if method != "blazeport" and (precision != "int8" or recipe_file is not None):
        raise ConfigError(f"--method {method} makes int8 only, without a recipe.")
    if source.endswith(".tflite"):
        from ..quantize.foreign import open_tflite, takes

        file = open_tflite(Path(source), variant, input_range)
        if takes(file, precision, method=method, heads=heads):
            drawn = (calibration, samples, seed)
            _quantize_file(file, precision, recipe_file, drawn, io_type, keep_failed=keep_failed, out=out)
            return
        variant = file.config.name
    elif input_range is not None:
        raise ConfigError(f"--input-range goes with a .tflite file. Received: SOURCE {source!r}.")
    opened = open_source(source, variant)
    names = resolve_heads(opened.config, heads)
    quantizer: RecipeQuantizer | ConverterQuantizer | LitertQuantizer | None = None
    media = None
    if precision in CALIBRATED_PRECISIONS:
        chosen = read_recipe(recipe_file) if recipe_file else None
        if chosen is None and method == "blazeport":
            chosen = shipped_recipe(opened.config.name, precision)
        used = open_calibration(calibration, limit=samples, seed=seed)
        media = used.media
        used.samples(opened.config)  # Too few are said before anything is converted.
        if chosen is None:
            quantizer = (LitertQuantizer if method == "litert" else ConverterQuantizer)(used, opened.config)
        else:
            quantizer = RecipeQuantizer(chosen, used, opened.config)

    writer = ArtifactWriter(opened, media=media, command=command_line(), keep_failed=keep_failed)
    path = output_path(out, default_name(opened, names, precision, io_type))
    manifest = writer.write(path, names, precision, io_type=io_type, quantizer=quantizer)
    print_manifests([(manifest, None)], with_latency=False)
    click.echo(f"Wrote {path}")


def _quantize_file(
    file: TfliteSource,
    precision: str,
    recipe_file: Path | None,
    drawn: tuple[Path | None, int, int],
    io_type: Io,
    *,
    keep_failed: bool,
    out: Path,
) -> None:
    """Quantizes a float .tflite file as it is, without building its network anew."""
    from ..quantize.calibration import open_calibration
    from ..quantize.foreign import quantize_tflite
    from ..quantize.quantizer import RecipeQuantizer
    from ..quantize.recipes import read_recipe

    quantizer, media = None, None
    if precision in CALIBRATED_PRECISIONS:
        recipe = read_recipe(recipe_file) if recipe_file else file.recipe(precision)
        folder, limit, seed = drawn
        used = open_calibration(folder, limit=limit, seed=seed)
        media = used.media
        used.samples(file.config)  # Too few are said before anything is quantized.
        quantizer = RecipeQuantizer(recipe, used, file.config)
    path = output_path(out, file.default_name(precision, io_type))
    manifest = quantize_tflite(
        file,
        path,
        precision,
        quantizer=quantizer,
        io_type=io_type,
        media=media,
        command=command_line(),
        keep_failed=keep_failed,
    )
    print_manifests([(manifest, None)], with_latency=False)
    click.echo(f"Wrote {path}")
