"""Post-training quantization by a recipe: rewrites, one sweep, and the quantized file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..convert.precisions import Io
from ..errors import CalibrationError
from ..models.config import VARIANTS, DetectorConfig, VariantConfig
from .equalize import channel_peaks, equalize
from .execute import run_graph
from .graph import Graph, Node
from .grid import grid_for
from .importance import DetectionImportance
from .recipes import Recipe
from .rewrites import exact_sums, head_convolutions, scale_heads, split_residuals, tail_nodes
from .sweep import SweepOptions, sweep
from .write import NodePrecision, write_tflite

# Masks and heatmaps are read through a sigmoid, which is 0 or 1 to seven digits beyond this; their logits reach 2000.
_LARGEST_LOGIT = 16.0


def quantize_graph(graph: Graph, samples: Sequence[np.ndarray], recipe: Recipe, *, io_type: Io = "float") -> bytes:
    """Quantizes a float network.

    Args:
        graph: the network, from `read_graph`.
        samples: calibration inputs, float32 `(1, S, S, 3)` in its range.
        recipe: how.
        io_type: type of the image and the outputs of the file.
    Returns:
        The .tflite file. Everything after the last convolution of each output runs in float.
    Raises:
        CalibrationError: a detector detects nothing on the samples.
    """
    stacked = np.concatenate(list(samples))
    config = _variant_of(graph)
    outputs = run_graph(graph, stacked)
    importance = None
    if recipe.important_positions and isinstance(config, DetectorConfig) and "scores" in outputs:
        importance = DetectionImportance(config, outputs["scores"])

    if recipe.split_residuals:
        precision = node_precisions(graph, recipe)
        graph = split_residuals(graph, lambda add: precision[add.output] == "int8")
    if recipe.balance_channels > 0:
        graph = equalize(graph, stacked, recipe.balance_channels)
    fixed = {graph.input: (float(stacked.min()), float(stacked.max()))}
    if config is not None:
        fixed[graph.input] = config.input_range
    if recipe.own_head_ranges:
        graph = scale_heads(graph, _head_ranges(graph, stacked, recipe, config, importance))
        fixed |= {node.output: (-1.0, 1.0) for node in head_convolutions(graph)}
    if groups := exact_sums(graph):
        peaks = channel_peaks(graph, stacked)
        for group in groups:
            highest = max(float(peaks[tensor].max()) for tensor in group)
            fixed |= dict.fromkeys(group, (0.0, highest))
    options = SweepOptions(
        range_method=recipe.range_method,
        correct_bias=recipe.correct_bias,
        feedback_rounding=recipe.feedback_rounding,
    )
    plan = sweep(graph, node_precisions(graph, recipe), stacked, options, fixed_ranges=fixed, importance=importance)
    if io_type != "float":
        plan.grids.setdefault((graph.input, "int8"), grid_for(*fixed[graph.input], "int8"))
    grids = {name: grid_for(float(values.min()), float(values.max()), "int8") for name, values in outputs.items()}
    return write_tflite(graph, plan, io_type=io_type, io_grids=grids)


def node_precisions(graph: Graph, recipe: Recipe) -> dict[int, NodePrecision]:
    """Output tensor of each node → how it computes by the recipe."""
    tail = {id(node) for node in tail_nodes(graph)}
    base: NodePrecision = "int16" if recipe.base == "int16" else "int8"

    def precision(node: Node) -> NodePrecision:
        shape = graph.shapes[node.output]
        side = shape[1] if len(shape) == 4 else 0
        name = graph.names[node.output].removesuffix("_scaled")
        if id(node) in tail or side <= recipe.float_maps_px or name in recipe.float_layers:
            return "float"
        if side <= recipe.int16_maps_px:
            return "int16"
        return base

    chosen = {node.output: precision(node) for node in graph.nodes}
    for node in graph.nodes:
        if not _fits_integers(graph, node, chosen[node.output]):
            chosen[node.output] = "float"
    return chosen


def _fits_integers(graph: Graph, node: Node, precision: NodePrecision) -> bool:
    """TFLite has a kernel for it, and nothing in it needs a grid that the sweep does not choose."""
    if node.kind == "CONCATENATION":
        return False  # Its inputs would have to share one grid.
    if node.kind in ("ADD", "SUB", "MUL") and len(graph.activations(node)) < 2:
        return False  # The constant has no grid.
    return precision == "int8" or node.kind not in ("DEPTH_TO_SPACE", "RELU", "RELU6")


def _variant_of(graph: Graph) -> VariantConfig | None:
    """A variant with this input and these outputs, or None for a stranger's network."""
    for config in VARIANTS.values():
        shapes = {head.name: head.shape for head in config.heads}
        if graph.shapes[graph.input] == config.input_shape and all(
            shapes.get(name) == graph.shapes[tensor] for name, tensor in graph.outputs.items()
        ):
            return config
    return None


def _head_ranges(
    graph: Graph,
    samples: np.ndarray,
    recipe: Recipe,
    config: VariantConfig | None,
    importance: DetectionImportance | None,
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Output tensor of each head → `(C,)` lowest and highest value of each channel."""
    heads = head_convolutions(graph)
    if isinstance(config, DetectorConfig) and importance is not None:
        return _detector_ranges(graph, samples, recipe, importance, heads)
    probe = graph.copy()
    probe.outputs = {str(node.output): node.output for node in heads}
    values = run_graph(probe, samples)
    map_names = [head.name for head in config.heads if head.meaning.startswith("logit")] if config else []
    logits = {tensor for name in map_names if name in graph.outputs for tensor in _upstream(graph, graph.outputs[name])}
    ranges = {}
    for node in heads:
        flat = values[str(node.output)].reshape(-1, graph.shapes[node.output][-1])
        low, high = _widened(flat.min(0), flat.max(0), recipe.head_margin)
        if node.output in logits:
            low, high = np.maximum(low, -_LARGEST_LOGIT), np.minimum(high, _LARGEST_LOGIT)
        ranges[node.output] = (low, high)
    return ranges


def _detector_ranges(
    graph: Graph,
    samples: np.ndarray,
    recipe: Recipe,
    importance: DetectionImportance,
    heads: list[Node],
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """One range per coordinate, over all levels and anchors that carry a detection; the recipe's range for scores."""
    outputs = run_graph(graph, samples)
    if not importance.anchors.any():
        raise CalibrationError("Expected calibration photos on which the float network detects something. Add photos.")
    reaches_scores = _upstream(graph, graph.outputs["scores"])
    ranges = {}
    for node in heads:
        channels = graph.shapes[node.output][-1]
        if node.output in reaches_scores:
            ranges[node.output] = (np.full(channels, recipe.score_range[0]), np.full(channels, recipe.score_range[1]))
        else:
            boxes = outputs["boxes"][importance.anchors]
            low, high = _widened(boxes.min(0), boxes.max(0), recipe.head_margin)
            ranges[node.output] = (np.resize(low, channels), np.resize(high, channels))
    return ranges


def _upstream(graph: Graph, tensor: int) -> set[int]:
    """The tensors between a head's convolutions and this output."""
    found = {tensor}
    for node in reversed(graph.nodes):
        if node.output in found and not node.is_convolution:
            found.update(graph.activations(node))
    return found


def _widened(low: np.ndarray, high: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    reach = (high - low) * margin / 2
    return low - reach, high + reach
