"""The ways to a calibrated file: by a recipe of blazeport's, or by one of Google's quantizers for comparison."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..convert.inputs import ImageInput
from ..convert.manifest import CalibrationRecord
from ..convert.precisions import Io
from ..models.config import VariantConfig
from .calibration import Calibration
from .recipes import Recipe

# The sweep holds a few feature maps of all samples at a time; 26 samples of heavy stay below 4 GB.
_LARGEST_MAP_BYTES = 160 * 2**20
_MIN_SAMPLES = 16


class RecipeQuantizer:
    """Quantizes the fp32 file by a recipe; see docs/quantization.md for what the steps are."""

    method = "blazeport"

    def __init__(self, recipe: Recipe, calibration: Calibration, config: VariantConfig | ImageInput) -> None:
        """Takes the recipe and where the samples are from; photos are read when they are needed."""
        self.calibration: CalibrationRecord = calibration.record
        self.recipe: dict[str, Any] | None = dataclasses.asdict(recipe)
        self._recipe = recipe
        self._source = calibration
        self._config = config

    def quantize(self, convert: Callable[..., bytes], io_type: Io) -> bytes:
        """The quantized file. Raises `CalibrationError` when too few samples can be made."""
        samples = self._source.samples(self._config)
        from .graph import read_graph
        from .post_training import quantize_graph

        graph = read_graph(convert("fp32"))
        self.calibration = self._source.audited_record(self._config, graph)
        largest = max(4 * math.prod(shape) for shape in graph.shapes.values())
        fitting = min(len(samples), max(_MIN_SAMPLES, _LARGEST_MAP_BYTES // largest))
        spread = np.linspace(0, len(samples) - 1, fitting).round().astype(int)
        return quantize_graph(graph, [samples[index] for index in spread], self._recipe, io_type=io_type)


class ConverterQuantizer:
    """TensorFlow's plain min-max quantization to int8. These networks break under it; it is here for comparison."""

    method = "tflite"
    recipe: dict[str, Any] | None = None

    def __init__(self, calibration: Calibration, config: VariantConfig) -> None:
        """Takes where the samples are from."""
        self.calibration: CalibrationRecord = calibration.record
        self._source = calibration
        self._config = config

    def quantize(self, convert: Callable[..., bytes], io_type: Io) -> bytes:
        """The quantized file. Raises `CalibrationError` when too few samples can be made."""
        return convert("int8", calibration=self._source.samples(self._config), io_type=io_type)


class LitertQuantizer:
    """The LiteRT quantizer's static int8, also for comparison."""

    method = "litert"
    recipe: dict[str, Any] | None = None

    def __init__(self, calibration: Calibration, config: VariantConfig) -> None:
        """Takes where the samples are from."""
        self.calibration: CalibrationRecord = calibration.record
        self._source = calibration
        self._config = config

    def prepare(self) -> None:
        """Makes the samples. Raises `CalibrationError` when too few can be made."""
        self._source.samples(self._config)

    def quantize(self, convert: Callable[..., bytes], io_type: Io) -> bytes:
        """The quantized file.

        Raises:
            CalibrationError: too few samples can be made.
            ConfigError: litert-quantizer is not installed, or it has no such `io_type`.
            ConversionError: it refuses the network.
        """
        from .litert import litert_int8

        samples = self._source.samples(self._config)
        return litert_int8(convert("fp32"), samples, io_type)
