"""Quantizing under a budget: by a recipe whose file must keep it, or by one that is found to keep it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import progress
from ..convert.manifest import CalibrationRecord
from ..convert.precisions import Io
from ..convert.source import Source
from ..models.config import VariantConfig
from ..runtime.interpreter import Model
from .budget import TaskBudget
from .calibration import Calibration, drawn_anew
from .quantizer import RecipeQuantizer, StoredQuantizer, samples_that_fit
from .recipes import SHIPPED, Recipe, Spared, shipped_recipe, sparing_nothing
from .task_figures import TaskMeter, measured

if TYPE_CHECKING:
    from .search import Found
    from .sensitivity import Sensitivity

MEASURED_SAMPLES = 64


class GatedQuantizer:
    """Quantizes by a recipe; a file over its budget on the calibration samples is an error."""

    method = "blazeport"

    def __init__(
        self, quantizer: RecipeQuantizer | StoredQuantizer, calibration: Calibration, budget: TaskBudget
    ) -> None:
        """Takes what makes the file and what it must keep."""
        self.calibration: CalibrationRecord = quantizer.calibration
        self.recipe: dict[str, Any] | None = quantizer.recipe
        self._quantizer = quantizer
        self._source = calibration
        self._budget = budget

    def prepare(self) -> None:
        """Makes the samples. Raises `CalibrationError` when too few can be made."""
        self._quantizer.prepare()
        drawn_anew(self._source, limit=MEASURED_SAMPLES).samples(self._budget.config)

    def quantize(self, convert: Callable[..., bytes], io_type: Io) -> bytes:
        """The quantized file. Raises `CalibrationError`, or `ParityError` when it is over its budget."""
        content = self._quantizer.quantize(convert, io_type)
        meter = calibration_meter(convert("fp32"), self._source, self._budget.config)
        self._budget.check(measured(content, meter, "the file"), "The file", meter.samples)
        return content


class SearchingQuantizer:
    """Finds the layers to spare so that the file keeps its budget; `found` then holds the recipe."""

    method = "blazeport"

    def __init__(
        self, recipe: Recipe, calibration: Calibration, config: VariantConfig, budget: TaskBudget, spared: Spared
    ) -> None:
        """Takes the recipe to begin with and what must be kept."""
        self.calibration: CalibrationRecord = calibration.record
        self.recipe: dict[str, Any] | None = dataclasses.asdict(recipe)
        self.found: Found | None = None
        self._recipe = recipe
        self._source = calibration
        self._config = config
        self._budget = budget
        self._spared = spared

    def prepare(self) -> None:
        """Makes the samples. Raises `CalibrationError` when too few can be made."""
        self._source.samples(self._config)

    def quantize(self, convert: Callable[..., bytes], io_type: Io) -> bytes:
        """The quantized file. Raises `CalibrationError`, or `ParityError` when the budget cannot be kept."""
        from .graph import read_graph
        from .post_training import apply_fit
        from .search import search

        content = convert("fp32")
        graph = read_graph(content)
        samples = samples_that_fit(graph, self._source.samples(self._config))
        meter = calibration_meter(content, self._source, self._config)
        found = search(graph, samples, self._recipe, self._budget, meter, spared=self._spared)
        fit = dataclasses.replace(found.fit, media=dataclasses.asdict(self.calibration))
        self.found, self.recipe = dataclasses.replace(found, fit=fit), dataclasses.asdict(found.recipe)
        return found.content if io_type == "float" else apply_fit(graph, found.recipe, fit, io_type=io_type)


def first_recipe(variant: str) -> Recipe:
    """What a search begins with: the variant's recipe for `mixed`, or else `int8`, with no layer spared."""
    precision = "mixed" if (SHIPPED / f"{variant}.mixed.json").is_file() else "int8"
    return sparing_nothing(shipped_recipe(variant, precision))


def calibration_meter(
    reference: bytes, calibration: Calibration, config: VariantConfig, limit: int = MEASURED_SAMPLES
) -> TaskMeter:
    """Measures files on the calibration photos, under another jitter than the one that calibrates.

    Args:
        reference: the float file.
        calibration: photos and how samples are drawn from them.
        config: the network.
        limit: at most so many samples.
    """
    samples: list[np.ndarray] = drawn_anew(calibration, limit=limit).samples(config)
    return TaskMeter(Model(reference).run, samples, config)


def analyse(
    source: Source, heads: tuple[str, ...], recipe: Recipe, calibration: Calibration, *, limit: int
) -> Sensitivity:
    """Which layers of a network lose most; see `sensitivity`.

    Args:
        source: the weights.
        heads: names of the outputs to keep.
        recipe: how layers are quantized.
        calibration: photos to fit to and to measure on.
        limit: measure on at most so many samples.
    Raises:
        CalibrationError: too few samples can be made.
    """
    from ..convert.tflite import to_tflite
    from .graph import read_graph
    from .sensitivity import sensitivity

    samples = calibration.samples(source.config)
    with progress.step(f"Building {source.config.name}"):
        model = source.build()
        content = to_tflite(model, source.config, heads, "fp32", licence=source.licence, author=source.author)
    graph = read_graph(content)
    meter = calibration_meter(content, calibration, source.config, limit)
    fitting = samples_that_fit(graph, samples)
    return sensitivity(graph, fitting, recipe, meter, source.config)
