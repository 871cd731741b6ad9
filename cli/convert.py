"""`blazeport convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..convert.precisions import FLOAT_PRECISIONS
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
    from ..convert.onnx import Layout

_ENDINGS = {"tflite": ".tflite", "onnx": ".onnx", "keras": ".keras", "saved-model": ".saved_model"}


@click.command()
@click.argument("source")
@click.option(
    "--to",
    "target",
    type=click.Choice(list(_ENDINGS)),
    help="Format of the result.  [default: by the ending of --out, or tflite]",
)
@click.option(
    "--via",
    type=click.Choice(["direct", "onnx2tf"]),
    help="Way to a .tflite file.  [default: onnx2tf for an .onnx SOURCE, else direct]",
)
@click.option("--precision", help="fp32 or fp16; with onnx2tf also int8.  [default: fp16 for tflite, else fp32]")
@HEADS_OPTION
@VARIANT_OPTION
@click.option("--opset", type=int, help="ONNX operators of this version.  [default: 17]")
@click.option(
    "--layout",
    type=click.Choice(["nhwc", "nchw"]),
    help="Axes of the image input of an .onnx file, or of a .tflite file made from one.",
)
@media_option("--inputs", "Photos or videos for the parity gate; the demo photos by default.")
@media_option("--calibration", "Photos or videos for int8; a few demo photos by default.")
@click.option(
    "--method",
    type=click.Choice(["blazeport", "onnx2tf"]),
    help="Who quantizes an int8 file made by onnx2tf.  [default: blazeport]",
)
@click.option(
    "--input-range",
    type=INPUT_RANGE,
    help="Values that pixel 0 and 255 become, for a stranger's .onnx.  [default: 0,1]",
)
@click.option(
    "--tolerance", type=click.FloatRange(0), help="Difference that onnx2tf may make, as a share of the range."
)
@KEEP_FAILED_OPTION
@OUT_OPTION
def convert(
    source: str,
    target: str | None,
    via: str | None,
    precision: str | None,
    heads: str,
    variant: str | None,
    opset: int | None,
    layout: Layout | None,
    inputs: Path | None,
    calibration: Path | None,
    method: str | None,
    input_range: tuple[float, float] | None,
    tolerance: float | None,
    keep_failed: bool,
    out: Path,
) -> None:
    """Convert SOURCE to a TFLite, ONNX, Keras or SavedModel file that is proven before it gets its name.

    SOURCE is a variant, whose official weights are fetched, or a .keras, .weights.h5 or .tflite file of one, or any
    .onnx file. The result is compared with the official file (or with your model) on real photos; the manifest beside
    it tells how it did.

    --via onnx2tf goes by way of ONNX: from an .onnx file, or the whole round from a variant or a .tflite file. int8 is
    then made by blazeport's recipes, or by onnx2tf.

    \b
    Example:
      blazeport convert pose_landmark_lite --heads landmarks --precision fp16 -o build/
      blazeport convert my_pose.keras --variant pose_landmark_lite -o my_pose.tflite
      blazeport convert pose_landmark_lite --to onnx --layout nchw -o lite.onnx
      blazeport convert lite.onnx --to tflite --via onnx2tf --precision fp32 -o lite.tflite
      blazeport convert pose_landmark_lite.tflite --to keras -o lite.keras
    """
    from ..convert.artifact import ArtifactWriter, default_name
    from ..convert.inputs import find_media
    from ..convert.source import open_source
    from ..errors import ConfigError, unknown
    from ..models.config import resolve_heads

    target = target or next((name for name, ending in _ENDINGS.items() if out.suffix == ending), "tflite")
    if out.suffix in _ENDINGS.values() and out.suffix != _ENDINGS[target] and not out.is_dir():
        raise ConfigError(f"--to {target} writes a {_ENDINGS[target]} file. Received: --out {out}.")
    from_onnx = source.endswith(".onnx")
    via = via or ("onnx2tf" if from_onnx else "direct")
    _check_options(target, via, from_onnx, precision, variant, heads, opset, layout, calibration, method, input_range)
    if tolerance is not None and via == "direct":
        raise ConfigError("--tolerance goes with --via onnx2tf: direct files must be exact.")
    media = find_media(inputs) if inputs else None

    if via == "onnx2tf":
        from .onnx2tf import convert_by_onnx2tf

        convert_by_onnx2tf(
            source,
            variant,
            heads,
            precision or "fp16",
            layout=layout,
            media=media,
            calibration=calibration,
            method=method or "blazeport",
            input_range=input_range,
            tolerance=tolerance,
            keep_failed=keep_failed,
            out=out,
        )
        return
    opened = open_source(source, variant)
    if target != "tflite":
        from ..convert.interchange import Interchange
        from ..convert.onnx import DEFAULT_OPSET

        writer = Interchange(opened, media=media, command=command_line(), keep_failed=keep_failed)
        names = writer.heads(heads)
        path = output_path(out, default_name(opened, names, "fp32").replace(".fp32.tflite", _ENDINGS[target]))
        if target == "onnx":
            manifest = writer.write_onnx(path, names, opset=opset or DEFAULT_OPSET, layout=layout or "nhwc")
        else:
            manifest = (writer.write_keras if target == "keras" else writer.write_saved_model)(path, names)
    else:
        if (precision or "fp16") not in FLOAT_PRECISIONS:
            raise unknown("precision (quantized ones: blazeport quantize)", precision, FLOAT_PRECISIONS)
        names = resolve_heads(opened.config, heads)
        direct = ArtifactWriter(opened, media=media, command=command_line(), keep_failed=keep_failed)
        path = output_path(out, default_name(opened, names, precision or "fp16"))
        manifest = direct.write(path, names, precision or "fp16")
    print_manifests([(manifest, None)], with_latency=False)
    click.echo(f"Wrote {path}")


def _check_options(
    target: str,
    via: str,
    from_onnx: bool,
    precision: str | None,
    variant: str | None,
    heads: str,
    opset: int | None,
    layout: str | None,
    calibration: Path | None,
    method: str | None,
    input_range: tuple[float, float] | None,
) -> None:
    """Raises `ConfigError` for options that do not go together."""
    from ..errors import ConfigError, unknown

    by_onnx2tf = via == "onnx2tf"
    if by_onnx2tf and target != "tflite":
        raise ConfigError(f"onnx2tf makes .tflite files only. Received: --to {target}.")
    if from_onnx and not by_onnx2tf:
        raise ConfigError("An .onnx file becomes a .tflite file by --via onnx2tf. Received: --via direct.")
    if from_onnx and (variant is not None or heads != "all"):
        raise ConfigError("--variant and --heads do not go with an .onnx file: what it holds is converted.")
    if by_onnx2tf and precision not in (None, "fp32", "fp16", "int8"):
        raise unknown("precision by onnx2tf", precision, ("fp32", "fp16", "int8"))
    if target != "tflite" and precision not in (None, "fp32"):
        raise ConfigError(f"--to {target} writes fp32. Received: --precision {precision}.")
    if opset is not None and target != "onnx":
        raise ConfigError("--opset goes with --to onnx.")
    if layout is not None and not (target == "onnx" or from_onnx):
        raise ConfigError("--layout goes with --to onnx, or with an .onnx file.")
    if (calibration is not None or method is not None) and not (by_onnx2tf and precision == "int8"):
        raise ConfigError("--calibration and --method go with --via onnx2tf --precision int8.")
    if input_range is not None and not from_onnx:
        raise ConfigError("--input-range goes with an .onnx file of a network that is none of blazeport's.")
