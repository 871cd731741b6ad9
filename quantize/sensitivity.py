"""Which layers a network's integer file loses most in, in the units of its task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import progress
from ..models.config import VariantConfig
from .fit import Fit
from .graph import Graph
from .post_training import apply_fit, fit_graph, node_precisions
from .recipes import Recipe, sparing_nothing
from .rewrites import original_name
from .task_figures import TaskMeter, measured
from .units import Unit, units_of

SCHEMA_VERSION = 1


class MixedFiles:
    """Files of one network with any of its layers in int8, int16 or float.

    One fit of each integer type gives the grids, biases and roundings of all of them, so a file takes no longer than
    writing it. Its biases make up for the errors of a network that is integer throughout: a file that is to be kept is
    fitted anew by its recipe.
    """

    def __init__(self, graph: Graph, samples: Sequence[np.ndarray], recipe: Recipe) -> None:
        """Runs nothing; fits are made when they are needed.

        Args:
            graph: the float network.
            samples: float32 `(1, S, S, 3)` calibration inputs.
            recipe: how; the layers it spares do not matter here.
        """
        self._graph = graph
        self._samples = samples
        self._recipe = sparing_nothing(recipe)
        self._fits: dict[tuple[str, bool], Fit] = {}

    def write(self, recipe: Recipe) -> bytes:
        """The .tflite file whose layers have the precisions of `recipe`; with int16 layers, no residuals are split."""
        if recipe.base == "int16" or not (recipe.int16_layers or recipe.int16_maps_px):
            return apply_fit(self._graph, recipe, self._fit(recipe.base, recipe.split_residuals))
        # Splitting changes how channels are balanced, and both fits must balance alike.
        recipe = dataclasses.replace(recipe, split_residuals=False)
        narrow, wide = self._fit("int8", False), self._fit("int16", False)
        precision = node_precisions(self._graph, recipe)
        int16 = {self._graph.names[tensor] for tensor, kind in precision.items() if kind == "int16"}
        fit = dataclasses.replace(
            narrow,
            grids=narrow.grids | wide.grids,
            biases=_chosen(narrow.biases, wide.biases, int16),
            roundings=_chosen(narrow.roundings, wide.roundings, int16),
        )
        return apply_fit(self._graph, recipe, fit)

    def _fit(self, base: str, split_residuals: bool) -> Fit:
        key = base, split_residuals
        if key not in self._fits:
            recipe = dataclasses.replace(self._recipe, base=base, split_residuals=split_residuals)
            self._fits[key] = fit_graph(self._graph, self._samples, recipe)
        return self._fits[key]


def _chosen(narrow: dict[str, np.ndarray], wide: dict[str, np.ndarray], int16: set[str]) -> dict[str, np.ndarray]:
    """Of each layer what belongs to its type."""
    return {
        name: wide[name] if original_name(name) in int16 and name in wide else values for name, values in narrow.items()
    }


@dataclass(frozen=True, kw_only=True)
class UnitSensitivity:
    """What a unit costs at the task.

    Attributes:
        unit: the layers.
        alone: figures of a file in which only they are integer.
        spared: figures of a file in which only they are not.
        alone_loss: loss of the former.
        gain: by how much sparing them lowers the loss of the file that is integer throughout.
    """

    unit: Unit
    alone: dict[str, float]
    spared: dict[str, float]
    alone_loss: float
    gain: float


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The units of a network, the one that does most damage alone first.

    Attributes:
        variant: the network.
        base: integer type of the activations.
        samples: on how many samples figures were taken.
        whole: figures of the file that is integer throughout.
        noise: figures of the float network under ±1/255 pixel noise: smaller differences say nothing.
        units: ranked.
        schema_version: of this record.
    """

    variant: str
    base: str
    samples: int
    whole: dict[str, float]
    noise: dict[str, float]
    units: tuple[UnitSensitivity, ...]
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values; null where there was nothing to measure."""
        record: dict[str, Any] = _without_nan(dataclasses.asdict(self))
        return record


def sensitivity(
    graph: Graph, samples: Sequence[np.ndarray], recipe: Recipe, meter: TaskMeter, config: VariantConfig
) -> Sensitivity:
    """Measures every unit of a network twice in LiteRT: integer alone, and spared alone.

    Args:
        graph: the float network.
        samples: float32 `(1, S, S, 3)` calibration inputs.
        recipe: how it is quantized; layers it spares are integer here like the others.
        meter: measures the files.
        config: the network.
    """
    files = MixedFiles(graph, samples, recipe)
    all_integer = sparing_nothing(recipe)
    units = units_of(graph)
    whole = measured(files.write(all_integer), meter)
    rows = []
    for unit in progress.track(units, "Measuring layer by layer", len(units)):
        alone = alone_figures(files, recipe, units, unit, meter)
        spared = measured(files.write(dataclasses.replace(all_integer, float_layers=unit.layers)), meter)
        gain = meter.loss(whole) - meter.loss(spared)
        rows.append(UnitSensitivity(unit=unit, alone=alone, spared=spared, alone_loss=meter.loss(alone), gain=gain))
    rows.sort(key=lambda row: (-row.alone_loss, -row.gain))
    return Sensitivity(
        variant=config.name,
        base=recipe.base,
        samples=meter.samples,
        whole=whole,
        noise=meter.noise(),
        units=tuple(rows),
    )


def alone_figures(
    files: MixedFiles, recipe: Recipe, units: Sequence[Unit], unit: Unit, meter: TaskMeter
) -> dict[str, float]:
    """The figures of a file in which only one of the units is integer."""
    others = tuple(layer for other in units if other is not unit for layer in other.layers)
    return measured(files.write(dataclasses.replace(sparing_nothing(recipe), float_layers=others)), meter)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value
