"""The ways to a calibrated file: by a recipe of blazeport's, on samples or from stored ranges, or by one of Google's
quantizers for comparison.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..convert.inputs import ImageInput
from ..convert.manifest import CalibrationRecord
from ..convert.precisions import Io
from ..errors import ConfigError
from ..files import sha256_of
from ..models.config import VariantConfig
from .calibration import Calibration
from .fit import Fit, read_fit
from .recipes import Recipe

if TYPE_CHECKING:
    from .graph import Graph

# The sweep holds a few feature maps of all samples at a time; 26 samples of heavy stay below 4 GB.
LARGEST_MAP_BYTES = 160 * 2**20
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

    def prepare(self) -> None:
        """Makes the samples. Raises `CalibrationError` when too few can be made."""
        self._source.samples(self._config)

    def quantize(self, convert: Callable[..., bytes], io_type: Io) -> bytes:
        """The quantized file. Raises as `prepare`."""
        from .graph import read_graph
        from .post_training import apply_fit

        graph = read_graph(convert("fp32"))
        return apply_fit(graph, self._recipe, self.fit(graph), io_type=io_type)

    def fit(self, graph: Graph, *, largest_map_bytes: int = LARGEST_MAP_BYTES) -> Fit:
        """What the samples tell of a network.

        Args:
            graph: the float network.
            largest_map_bytes: what its largest feature map may take over all samples; decides how many are used.
        Raises:
            CalibrationError: too few samples can be made.
        """
        from .post_training import fit_graph

        samples = self._source.samples(self._config)
        self.calibration = self._source.audited_record(self._config, graph)
        fitted = fit_graph(graph, samples_that_fit(graph, samples, largest_map_bytes), self._recipe)
        return dataclasses.replace(fitted, media=dataclasses.asdict(self.calibration))


def samples_that_fit(
    graph: Graph, samples: Sequence[np.ndarray], largest_map_bytes: int = LARGEST_MAP_BYTES
) -> list[np.ndarray]:
    """So many of the samples, spread evenly, that a sweep over a graph fits into memory."""
    largest = max(4 * math.prod(shape) for shape in graph.shapes.values())
    fitting = min(len(samples), max(_MIN_SAMPLES, largest_map_bytes // largest))
    return [samples[index] for index in np.linspace(0, len(samples) - 1, fitting).round().astype(int)]


class StoredQuantizer:
    """Quantizes the fp32 file by a recipe and what calibration found out earlier: the same file on every machine."""

    method = "blazeport"

    def __init__(self, recipe: Recipe, stored: Path) -> None:
        """Reads what is stored. Raises `ConfigError` when it cannot be read."""
        self._fit = read_fit(stored)
        self._recipe = recipe
        self.recipe: dict[str, Any] | None = dataclasses.asdict(recipe)
        try:
            record = CalibrationRecord(**self._fit.media)
        except TypeError as error:
            raise ConfigError(f"Expected ranges that blazeport stored. {stored} does not tell its photos.") from error
        self.calibration = dataclasses.replace(
            record, media=tuple(record.media), warnings=tuple(record.warnings), stored_sha256=sha256_of(stored)
        )

    def prepare(self) -> None:
        """Everything is there."""

    def quantize(self, convert: Callable[..., bytes], io_type: Io) -> bytes:
        """The quantized file. Raises `ConversionError` when what is stored is of another network."""
        from .graph import read_graph
        from .post_training import apply_fit

        return apply_fit(read_graph(convert("fp32")), self._recipe, self._fit, io_type=io_type)


def recipe_quantizer(
    config: VariantConfig,
    recipe: Recipe,
    *,
    stored: Path | None,
    calibration: Callable[[], Calibration],
) -> RecipeQuantizer | StoredQuantizer:
    """The quantizer of a recipe: by stored ranges where there are some, else on calibration samples.

    Args:
        config: the network.
        recipe: how it is quantized.
        stored: ranges for this recipe and these weights, or None.
        calibration: opens the photos; called only where nothing is stored.
    """
    return RecipeQuantizer(recipe, calibration(), config) if stored is None else StoredQuantizer(recipe, stored)


class _SampleQuantizer:
    """What the quantizers without a recipe share. They are here for comparison: these networks break under them."""

    recipe: dict[str, Any] | None = None

    def __init__(self, calibration: Calibration, config: VariantConfig) -> None:
        """Takes where the samples are from; photos are read when they are needed."""
        self.calibration: CalibrationRecord = calibration.record
        self._source = calibration
        self._config = config

    def prepare(self) -> None:
        """Makes the samples. Raises `CalibrationError` when too few can be made."""
        self._source.samples(self._config)


class ConverterQuantizer(_SampleQuantizer):
    """TensorFlow's plain min-max quantization to int8."""

    method = "tflite"

    def quantize(self, convert: Callable[..., bytes], io_type: Io) -> bytes:
        """The quantized file. Raises as `prepare`."""
        return convert("int8", calibration=self._source.samples(self._config), io_type=io_type)


class LitertQuantizer(_SampleQuantizer):
    """The LiteRT quantizer's static int8."""

    method = "litert"

    def quantize(self, convert: Callable[..., bytes], io_type: Io) -> bytes:
        """The quantized file.

        Raises:
            CalibrationError: too few samples can be made.
            ConfigError: litert-quantizer is not installed, or it has no such `io_type`.
            ConversionError: it refuses the network.
        """
        from .litert import litert_int8

        return litert_int8(convert("fp32"), self._source.samples(self._config), io_type)
