"""A .onnx file of anybody's → TFLite by onnx2tf, compared with the ONNX model before it gets its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import ConfigError
from ..files import sha256_of
from ..models.config import VariantConfig, get_config
from ..models.cost import cost_of
from ..weights.reader import read_tflite
from ..weights.sources import OFFICIAL
from .artifact import gate_limit
from .compare import ROUNDING, Comparison, compare, comparison_inputs, gate
from .describe import describe
from .manifest import CalibrationRecord, Manifest, WeightsRecord
from .model_file import ModelFile, Values, onnx_model, tflite_model
from .onnx import Layout, require
from .onnx2tf import TOOLS, onnx2tf_files
from .onnx_file import OnnxFile
from .parity import Budget
from .placing import kept_when_failed, place, temporary_path
from .source import NOT_STATED

PRECISIONS = ("fp32", "fp16", "int8")


def convert_onnx(
    file: OnnxFile,
    out: Path,
    precision: str,
    *,
    layout: Layout | None = None,
    media: Sequence[Path] | None = None,
    input_range: tuple[float, float] = (0.0, 1.0),
    tolerance: float | None = None,
    samples: Sequence[np.ndarray] | None = None,
    calibration: CalibrationRecord | None = None,
    command: str = "blazeport",
    keep_failed: bool = False,
) -> Manifest:
    """Converts an ONNX model of anybody's to TFLite by onnx2tf, and compares the file with it in onnxruntime.

    Args:
        file: the model.
        out: the .tflite file; its manifest stands beside it.
        precision: `fp32`, `fp16`, or with samples `int8` as onnx2tf makes it.
        layout: `nhwc` turns an NCHW image input, `nchw` keeps it; None keeps the input's shape, but turns the image of
            one of blazeport's own networks, which then runs in all of blazeport.
        media: photos and videos to compare on; the demo photos by default. A network without an image input is compared
            on seeded noise.
        input_range: values that pixel 0 and 255 are mapped to, for a network that is none of blazeport's.
        tolerance: see `compare`.
        samples: in the input's shape, float32, for int8.
        calibration: what they are from.
        command: the command line, for the manifest.
        keep_failed: keep a file that fails the comparison as `*.failed`.
    Raises:
        ConfigError: layout or precision do not fit the model, or a package is missing.
        ConversionError: onnx2tf cannot convert it.
        InputError: onnxruntime cannot run it, or no input can be made of the media.
        ParityError: an output is too far from the ONNX model's; nothing is written.
        OutputError: the folder cannot be written.
    """
    check_precision(precision, samples)
    reference = onnx_model(file)
    config = get_config(file.variant) if file.variant and reference.config else None
    keep = _keeps_layout(reference, layout, config)
    licence, author = (file.metadata.get(name, NOT_STATED) for name in ("licence", "author"))
    name = next(iter(file.inputs))
    files = onnx2tf_files(
        file,
        keep_layout=keep,
        config=config,
        licence=licence,
        author=author,
        calibration=None if samples is None else {name: samples},
    )
    content, candidate = files[precision], tflite_model(out, files[precision])
    cost = cost_of(read_tflite(content))
    inputs = comparison_inputs(reference, media, gate_limit(cost.macs), input_range=input_range)
    budget: Budget | Literal["float"] | None = None if precision == "int8" else "float"
    with kept_when_failed(content if keep_failed else None, out):
        if precision == "fp16" and not _onnx_weights_are_fp16(file):
            budget = ROUNDING
            gate(_compared(reference, tflite_model(out, files["fp32"]), inputs, tolerance), out.name)
        comparison = _compared(reference, candidate, inputs, tolerance)
        gate(comparison, out.name, budget)
    weights = WeightsRecord(
        file=file.path.name,
        sha256=sha256_of(file.path),
        official=False,
        licence=licence,
        author=author,
        paper=f"arXiv {OFFICIAL[config.name].paper}" if config else NOT_STATED,
    )
    manifest = describe(
        candidate,
        content,
        comparison.parity,
        file_name=out.name,
        precision=precision,
        cost=cost,
        network=config or file.path.stem,
        weights=weights,
        decisive=[precision, keep, input_range],
        tools=TOOLS,
        command=command,
        calibration=calibration,
    )
    with temporary_path(out) as path:
        path.write_bytes(content)
        place(path, out, manifest)
    return manifest


def _compared(
    reference: ModelFile, candidate: ModelFile, inputs: Sequence[Values], tolerance: float | None
) -> Comparison:
    called = f"the source {reference.path.name}"
    return compare(reference, candidate, inputs, tolerance=tolerance, reference_name=called)


def _keeps_layout(reference: ModelFile, layout: Layout | None, config: VariantConfig | None) -> bool:
    current = reference.image_layout
    if layout is None:
        return current != "nchw" or config is None
    if current is None:
        raise ConfigError(
            f"--layout goes with one image input of 3 channels, which {reference.path.name} does not have."
        )
    if current == "nhwc" and layout == "nchw":
        raise ConfigError(f"{reference.path.name} takes NHWC images; onnx2tf cannot turn them to NCHW.")
    return current == layout


def check_precision(precision: str, samples: object) -> None:
    """Raises `ConfigError` for a precision that onnx2tf does not make, or samples that do not go with it."""
    if precision not in PRECISIONS:
        raise ConfigError(f"onnx2tf makes {', '.join(PRECISIONS)}. Received: {precision!r}.")
    if (precision == "int8") != (samples is not None):
        raise ConfigError("Calibration samples go with int8, and int8 needs them.")


def _onnx_weights_are_fp16(file: OnnxFile) -> bool:
    numpy_helper = require("onnx").numpy_helper
    arrays = (numpy_helper.to_array(each) for each in file.proto.graph.initializer)
    with np.errstate(over="ignore"):
        return all(np.array_equal(each, each.astype(np.float16)) for each in arrays if each.dtype.kind == "f")
