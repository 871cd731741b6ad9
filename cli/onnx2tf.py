"""`blazeport convert --via onnx2tf`: float files, and int8 by either quantizer."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .artifacts import command_line, output_path, print_manifests

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..convert.manifest import Manifest
    from ..convert.onnx import Layout


def convert_by_onnx2tf(
    source: str,
    variant: str | None,
    heads: str,
    precision: str,
    *,
    layout: Layout | None,
    media: Sequence[Path] | None,
    calibration: Path | None,
    method: str,
    input_range: tuple[float, float] | None,
    tolerance: float | None,
    keep_failed: bool,
    out: Path,
) -> None:
    """Writes a .tflite file of an .onnx file, or of a variant or a file of one by way of ONNX; prints what came."""
    from ..convert.artifact import default_name
    from ..convert.interchange import Interchange
    from ..convert.model_file import onnx_model
    from ..convert.onnx_file import read_onnx
    from ..convert.onnx_route import convert_onnx
    from ..convert.source import open_source
    from ..errors import ConfigError
    from ..quantize.calibration import open_calibration
    from ..quantize.onnx2tf import quantize_float_file, samples_for

    shared: dict[str, Any] = {"command": command_line(), "keep_failed": keep_failed, "media": media}
    write: Callable[..., Manifest]
    if source.endswith(".onnx"):
        file = read_onnx(Path(source))
        model = onnx_model(file)
        path = output_path(out, f"{Path(source).stem}.{precision}.tflite")

        def write(path: Path, precision: str, **options: Any) -> Manifest:
            return convert_onnx(
                file, path, precision, layout=layout, input_range=input_range or (0.0, 1.0), tolerance=tolerance,
                **shared, **options,
            )  # fmt: skip

        variant = file.variant if model.config else None
        if variant is not None and input_range is not None:
            raise ConfigError(f"{source} is {variant}, whose input range is known. Leave --input-range away.")
        if variant is None and precision == "int8" and method == "blazeport":
            if model.image_layout is None:
                raise ConfigError(f"int8 needs one image input of 3 channels. {source} has another; take fp32 or fp16.")
            if model.image_layout == "nchw" and layout != "nhwc":
                raise ConfigError(f"{source} takes NCHW images, and blazeport quantizes NHWC: add --layout nhwc.")
    else:
        opened = open_source(source, variant)
        writer = Interchange(opened, **shared)
        names = writer.heads(heads)
        path = output_path(out, default_name(opened, names, precision))

        def write(path: Path, precision: str, **options: Any) -> Manifest:
            return writer.write_tflite(path, names, precision, tolerance=tolerance, **options)

        variant, model = opened.config.name, None
    if precision != "int8":
        manifest = write(path, precision)
    elif method == "onnx2tf":
        manifest = write(path, precision, **samples_for(model, variant, open_calibration(calibration), input_range))
    else:
        photos = open_calibration(calibration)
        with tempfile.TemporaryDirectory(prefix="blazeport-") as folder:
            float_path = Path(folder) / f"{Path(source).stem}.tflite"
            float_manifest = write(float_path, "fp32")
            manifest = quantize_float_file(
                float_path, path, variant, photos, input_range, command=command_line(), keep_failed=keep_failed
            )
        manifest = dataclasses.replace(manifest, weights=float_manifest.weights)
        manifest.write(path.with_suffix(".json"))
    print_manifests([(manifest, None)], with_latency=False)
    click.echo(f"Wrote {path}")
