"""`blazeport quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from ..convert.artifact import Quantizer
    from ..quantize.calibration import Calibration
    from ..quantize.recipes import Spared


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
@click.option(
    "--budget",
    "budget_text",
    metavar="LIMITS",
    help="What the file may lose on the calibration samples, e.g. px=1.5,presence=0.99. Mixed finds the layers for it.",
)
@click.option(
    "--spare-in",
    "spared",
    type=click.Choice(["float", "int16"]),
    default="float",
    show_default=True,
    help="What layers run in that --budget takes out of int8.",
)
@HEADS_OPTION
@VARIANT_OPTION
@media_option(
    "--calibration", "Your photos or videos; by default ranges that blazeport brings, or else a few demo photos."
)
@click.option("--samples", type=click.IntRange(5), help="At most so many samples.  [default: 128]")
@click.option("--seed", type=int, help="Seed of the samples' jitter.  [default: 0]")
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
    budget_text: str | None,
    spared: Spared,
    heads: str,
    variant: str | None,
    calibration: Path | None,
    samples: int | None,
    seed: int | None,
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

    A --budget is checked on the calibration photos, and a file over it is not written. With mixed, the fewest
    multiply-accumulates that keep it leave int8, and the recipe is written beside the file. Its figures are px and
    presence for landmark networks, missed, extra, scores, keypoints and iou for face detectors (in percent, IoU in 0
    to 1), missed, extra, scores, center, size, rotation and iou for the pose detector, and int8_macs.

    \b
    Example:
      blazeport quantize pose_landmark_lite --heads landmarks --calibration photos/ -o build/
      blazeport quantize pose_landmark_lite --heads landmarks --precision mixed --calibration photos/ -o build/
      blazeport quantize face_detection_short_range --precision mixed --budget missed=0,keypoints=2.5 -o build/
      blazeport quantize face_detection_short_range --io uint8 --calibration photos/ -o face.tflite
    """
    from ..convert.artifact import ArtifactWriter, default_name
    from ..convert.source import open_source
    from ..errors import ConfigError, unknown
    from ..files import write_atomic
    from ..models.config import resolve_heads
    from ..quantize.budget import parse_budget
    from ..quantize.budget_quantizer import GatedQuantizer, SearchingQuantizer, first_recipe
    from ..quantize.calibration import MAX_SAMPLES, open_calibration
    from ..quantize.quantizer import ConverterQuantizer, recipe_quantizer
    from ..quantize.recipes import read_recipe, shipped_ranges, shipped_recipe
    from ..quantize.task_figures import require_heads

    if precision not in QUANTIZED_PRECISIONS:
        raise unknown("precision (float ones: blazeport convert)", precision, QUANTIZED_PRECISIONS)
    if precision == "dynamic" and (calibration is not None or recipe_file is not None):
        raise ConfigError("Dynamic range needs no calibration and no recipe. Leave them away, or choose int8.")
    if method == "tflite" and (precision not in ("int8", "dynamic") or recipe_file is not None):
        raise ConfigError("--method tflite makes int8 only, without a recipe.")
    if budget_text is not None and (precision == "dynamic" or method != "blazeport"):
        raise ConfigError("--budget goes with int8, int16x8 and mixed of --method blazeport.")
    opened = open_source(source, variant)
    names = resolve_heads(opened.config, heads)
    budget = None if budget_text is None else parse_budget(budget_text, opened.config)
    if budget is not None:
        require_heads(opened.config, names)
    opened_calibration: list[Calibration] = []

    def photos() -> Calibration:
        opened_calibration.append(open_calibration(calibration, limit=samples or MAX_SAMPLES, seed=seed or 0))
        return opened_calibration[0]

    quantizer: Quantizer | None = None
    if precision != "dynamic" and method == "tflite":
        quantizer = ConverterQuantizer(photos(), opened.config)
    elif budget is not None and precision == "mixed":
        recipe = read_recipe(recipe_file) if recipe_file else first_recipe(opened.config.name)
        quantizer = SearchingQuantizer(recipe, photos(), opened.config, budget, spared)
    elif precision != "dynamic":
        recipe = read_recipe(recipe_file) if recipe_file else shipped_recipe(opened.config.name, precision)
        stored = None
        if calibration is None and recipe_file is not None:
            beside = recipe_file.with_suffix(".npz")
            stored = beside if beside.is_file() else None
        elif calibration is None and opened.official:
            stored = shipped_ranges(opened.config.name, names, precision)
        if stored is not None and (samples, seed) != (None, None):
            raise ConfigError(f"--samples and --seed go with --calibration DIR: the ranges in {stored.name} are fixed.")
        quantizer = recipe_quantizer(opened.config, recipe, stored=stored, calibration=photos)
        if budget is not None:
            quantizer = GatedQuantizer(quantizer, photos(), budget)
    media = opened_calibration[0].media if opened_calibration else None

    writer = ArtifactWriter(opened, media=media, command=command_line(), keep_failed=keep_failed)
    path = output_path(out, default_name(opened, names, precision, io_type))
    manifest = writer.write(path, names, precision, io_type=io_type, quantizer=quantizer)
    if isinstance(quantizer, SearchingQuantizer) and quantizer.found is not None:
        recipe_path = path.with_suffix(".recipe.json")
        write_atomic(recipe_path, quantizer.found.recipe.to_json())
        write_atomic(recipe_path.with_suffix(".npz"), quantizer.found.fit.to_bytes())
        click.echo(f"Wrote {recipe_path} and its ranges")
    print_manifests([(manifest, None)], with_latency=False)
    click.echo(f"Wrote {path}")
