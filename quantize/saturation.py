"""How well ranges from some photos hold on others: the float network's activations on held-back samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import progress
from ..models.config import DetectorConfig, VariantConfig
from .execute import run_graph, run_node
from .graph import SAME_GRID, Graph
from .importance import DetectionImportance

MAX_SAMPLES = 24  # half of them held back
_LARGEST_MAP_BYTES = 128 * 2**20  # of all samples together; several maps are held at a time
_MIN_SAMPLES = 4
# By chance alone, one of a dozen held-back samples goes a little beyond the others.
_SATURATED_SHARE, _SATURATED_REACH = 0.01, 0.5


@dataclass(frozen=True, kw_only=True)
class LayerSaturation:
    """One layer.

    Attributes:
        layer: its name in the file.
        outside: share of the held-back samples' values that lie outside the range of the other samples, in [0, 1].
        reach: how far they go beyond that range, as a share of it.
    """

    layer: str
    outside: float
    reach: float

    @property
    def saturates(self) -> bool:
        """More than 1 % of its values lie outside, and some of them by more than half the range."""
        return self.outside > _SATURATED_SHARE and self.reach > _SATURATED_REACH


def measure_saturation(
    graph: Graph, samples: np.ndarray, groups: Sequence[str], config: VariantConfig | None = None
) -> tuple[LayerSaturation, ...]:
    """Takes the range of every layer on one half of the samples and looks how the other half fits into it.

    Args:
        graph: the float network.
        samples: `(N, S, S, 3)` float32 in the network's range; at most 24 of them are run, spread evenly.
        groups: per sample, what it shows: samples of one group stay on one side, unless there is one group only.
        config: the variant. Detectors are looked at where they detect something, as their ranges are.
    Returns:
        One entry per layer whose range is chosen from data, those that saturate most first; none when there are fewer
        than two samples.
    """
    largest = max(4 * int(np.prod(shape)) for tensor, shape in graph.shapes.items() if tensor not in graph.constants)
    at_most = min(MAX_SAMPLES, max(_MIN_SAMPLES, _LARGEST_MAP_BYTES // largest))
    fitted, held_back = (_spread(side, at_most // 2) for side in _halves(groups))
    if not fitted or not held_back:
        return ()
    chosen = samples[[*fitted, *held_back]]
    importance = _importance(graph, chosen, config)
    remaining = {tensor: len(graph.consumers(tensor)) for tensor in graph.names}
    values = {graph.input: chosen}
    layers = []
    for node in progress.track(graph.nodes, "Looking at held-back samples", len(graph.nodes)):
        inputs = graph.activations(node)
        result = run_node(graph, node, [values[tensor] for tensor in inputs])
        values[node.output] = result
        if node.kind not in (*SAME_GRID, "LOGISTIC"):
            mask = importance(*result.shape[1:3]) if importance is not None and result.ndim == 4 else None
            layers.append(_compare(graph.names[node.output], result, len(fitted), mask))
        for tensor in set(inputs):
            remaining[tensor] -= 1
            if remaining[tensor] == 0:
                del values[tensor]
    return tuple(sorted(layers, key=lambda layer: (-layer.outside, -layer.reach, layer.layer)))


def _compare(layer: str, values: np.ndarray, fitted: int, mask: np.ndarray | None) -> LayerSaturation:
    known = values[:fitted] if mask is None else values[:fitted][mask[:fitted]]
    new = values[fitted:] if mask is None else values[fitted:][mask[fitted:]]
    if not known.size or not new.size:
        return LayerSaturation(layer=layer, outside=0.0, reach=0.0)
    low, high = float(known.min()), float(known.max())
    beyond = max(low - float(new.min()), float(new.max()) - high, 0.0)
    return LayerSaturation(
        layer=layer,
        outside=round(float(np.mean((new < low) | (new > high))), 6),
        reach=round(beyond / (high - low), 4) if high > low else float(beyond > 0),
    )


def _halves(groups: Sequence[str]) -> tuple[list[int], list[int]]:
    """Places of the samples on each side: whole groups, always to the smaller side."""
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    if len(members) == 1:
        return list(range(0, len(groups), 2)), list(range(1, len(groups), 2))
    sides: tuple[list[int], list[int]] = ([], [])
    for places in members.values():
        min(sides, key=len).extend(places)
    return sides


def _spread(places: Sequence[int], limit: int) -> list[int]:
    if len(places) <= limit:
        return list(places)
    return [places[index] for index in np.linspace(0, len(places) - 1, limit).round().astype(int)]


def _importance(graph: Graph, samples: np.ndarray, config: VariantConfig | None) -> DetectionImportance | None:
    if not isinstance(config, DetectorConfig) or "scores" not in graph.outputs:
        return None
    outputs: Mapping[str, np.ndarray] = run_graph(graph, samples)
    return DetectionImportance(config, outputs["scores"])
