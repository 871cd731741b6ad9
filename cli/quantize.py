"""`blazeport quantize`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..convert.precisions import CALIBRATED_PRECISIONS, QUANTIZED_PRECISIONS, Io
from .artifacts import (
    HEADS_OPTION,
    INPUT_RANGE,
    KEEP_FAILED_OPTION,
    OUT_OPTION,
    VARIANT_OPTION,
    command_line,
    media_option,
    output_path,
    print_manifests,
)

if TYPE_CHECKING:
    from ..quantize.calibration import Calibration
    from ..quantize.foreign import TfliteSource
    from ..quantize.recipes import Spared


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
@click.option(
    "--input-range",
    type=INPUT_RANGE,
    help="Values that pixel 0 and 255 become, for a .tflite file of another network.  [default: 0,1]",
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
      blazeport quantize my_network.tflite --input-range -1,1 --calibration photos/ -o build/
    """
    from ..convert.artifact import ArtifactWriter, default_name
    from ..convert.source import open_source
    from ..errors import ConfigError, unknown
    from ..files import write_atomic
    from ..models.config import VariantConfig, resolve_heads
    from ..quantize.budget import parse_budget
    from ..quantize.budget_quantizer import SearchingQuantizer
    from ..quantize.calibration import MAX_SAMPLES, open_calibration
    from ..quantize.choose import choose_quantizer, stored_ranges
    from ..quantize.recipes import read_recipe
    from ..quantize.task_figures import require_heads

    calibrated = precision in CALIBRATED_PRECISIONS
    if precision not in (*QUANTIZED_PRECISIONS, "fp16"):
        raise unknown("precision (fp32: blazeport convert)", precision, (*QUANTIZED_PRECISIONS, "fp16"))
    if not calibrated and (calibration is not None or recipe_file is not None):
        name = "Dynamic range" if precision == "dynamic" else precision
        raise ConfigError(f"{name} needs no calibration and no recipe. Leave them away, or choose int8.")
    if method != "blazeport" and (precision != "int8" or recipe_file is not None):
        raise ConfigError(f"--method {method} makes int8 only, without a recipe.")
    if budget_text is not None and (not calibrated or method != "blazeport"):
        raise ConfigError("--budget goes with int8, int16x8 and mixed of --method blazeport.")

    def photos() -> Calibration:
        opened_calibration.append(open_calibration(calibration, limit=samples or MAX_SAMPLES, seed=seed or 0))
        return opened_calibration[0]

    opened_calibration: list[Calibration] = []
    if source.endswith(".tflite"):
        from ..quantize.foreign import open_tflite, takes

        file = open_tflite(Path(source), variant, input_range)
        if budget_text is not None and not isinstance(file.config, VariantConfig):
            raise ConfigError(f"--budget is for blazeport's own networks. {source} is none of them.")
        # Without photos, an official file takes the ranges that are stored for its variant.
        as_it_is = budget_text is None and (calibration is not None or not file.official)
        if as_it_is and takes(file, precision, method=method, heads=heads):
            _quantize_file(file, precision, recipe_file, photos, io_type, keep_failed=keep_failed, out=out)
            return
        variant = file.config.name
    elif input_range is not None:
        raise ConfigError(f"--input-range goes with a .tflite file. Received: SOURCE {source!r}.")
    opened = open_source(source, variant)
    names = resolve_heads(opened.config, heads)
    budget = None if budget_text is None else parse_budget(budget_text, opened.config)
    if budget is not None:
        require_heads(opened.config, names)

    recipe = None if recipe_file is None else read_recipe(recipe_file)
    searches = budget is not None and precision == "mixed"
    by_recipe = calibrated and method == "blazeport" and not searches
    stored = stored_ranges(opened, names, precision, recipe_file) if by_recipe and calibration is None else None
    if stored is not None and (samples, seed) != (None, None):
        raise ConfigError(f"--samples and --seed go with --calibration DIR: the ranges in {stored.name} are fixed.")
    quantizer = choose_quantizer(
        opened.config, precision, photos, method=method, recipe=recipe, stored=stored, budget=budget, spared=spared
    )
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


def _quantize_file(
    file: TfliteSource,
    precision: str,
    recipe_file: Path | None,
    photos: Callable[[], Calibration],
    io_type: Io,
    *,
    keep_failed: bool,
    out: Path,
) -> None:
    """Quantizes a float .tflite file as it is, without building its network anew."""
    from ..quantize.foreign import quantize_tflite
    from ..quantize.quantizer import RecipeQuantizer
    from ..quantize.recipes import read_recipe

    quantizer, media = None, None
    if precision in CALIBRATED_PRECISIONS:
        recipe = read_recipe(recipe_file) if recipe_file else file.recipe(precision)
        used = photos()
        media = used.media
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
