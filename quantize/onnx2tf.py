"""int8 of files that came by way of ONNX: by blazeport's recipes, or samples for onnx2tf's own quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..convert.compare import turn
from ..convert.inputs import ImageInput
from ..convert.manifest import Manifest
from ..convert.model_file import ModelFile, nhwc_shape
from ..convert.onnx2tf import CALIBRATION_SAMPLES
from ..errors import ConfigError
from ..models.config import get_config
from .calibration import Calibration, calibration_on
from .foreign import DEFAULT_RANGE, open_tflite, quantize_tflite
from .quantizer import RecipeQuantizer


def quantize_float_file(
    source: Path,
    out: Path,
    variant: str | None,
    calibration: Calibration,
    input_range: tuple[float, float] | None = None,
    *,
    command: str = "blazeport",
    keep_failed: bool = False,
) -> Manifest:
    """Quantizes a float .tflite file to int8 by its variant's recipe, or the usual one for a stranger's network.

    Args:
        source: the float file.
        out: the int8 file.
        variant: which of blazeport's networks it is, or None.
        calibration: photos and videos.
        input_range: values that pixel 0 and 255 are mapped to, for a stranger's network.
        command: the command line, for the manifest.
        keep_failed: keep a file that fails the gate.

    Raises as `open_tflite` and `quantize_tflite`.
    """
    file = open_tflite(source, variant, input_range)
    quantizer = RecipeQuantizer(file.recipe("int8"), calibration, file.config)
    return quantize_tflite(
        file,
        out,
        "int8",
        quantizer=quantizer,
        media=calibration.media,
        command=command,
        keep_failed=keep_failed,
    )


def samples_for(
    model: ModelFile | None,
    variant: str | None,
    calibration: Calibration,
    input_range: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Samples for onnx2tf's quantizer, and the record of what they are from.

    Args:
        model: the ONNX model, or None for a variant's own NHWC input.
        variant: which of blazeport's networks it is, or None.
        calibration: photos and videos.
        input_range: values that pixel 0 and 255 are mapped to, for a stranger's network.
    Raises:
        ConfigError: the network takes no image.
        CalibrationError: too few samples can be made.
    """
    calibration = calibration_on(calibration.media, limit=CALIBRATION_SAMPLES, demo=calibration.record.demo)
    if variant is not None:
        config, shape = get_config(variant), get_config(variant).input_shape
        if model is not None:
            ((_, spec),) = model.inputs.items()
            shape = spec.shape  # type: ignore[assignment]
        return {
            "samples": [turn(sample, shape) for sample in calibration.samples(config)],
            "calibration": calibration.record,
        }
    assert model is not None
    layout = model.image_layout
    if layout is None:
        raise ConfigError(f"int8 needs a network with one image input. {model.path} has another; choose fp32 or fp16.")
    ((_, spec),) = model.inputs.items()
    _, height, width, _ = nhwc_shape(spec.shape, layout)
    image = ImageInput(name=model.path.stem, height=height, width=width, input_range=input_range or DEFAULT_RANGE)
    samples: list[np.ndarray] = [turn(sample, spec.shape) for sample in calibration.samples(image)]
    return {"samples": samples, "calibration": calibration.record}
