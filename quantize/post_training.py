"""Post-training quantization by a recipe: fitting to samples (rewrites and one sweep), and the quantized file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from ..convert.precisions import Io
from ..errors import CalibrationError, ConversionError
from ..models.config import VARIANTS, DetectorConfig, VariantConfig
from .equalize import channel_factors, channel_peaks, scale_channels
from .execute import run_graph
from .fit import Fit
from .graph import Graph, Node
from .grid import Grid, IntType, grid_for, store_weights
from .importance import DetectionImportance
from .ranges import Range
from .recipes import Recipe
from .rewrites import exact_sums, head_convolutions, original_name, scale_heads, split_residuals, tail_nodes
from .sweep import SweepOptions, convolution_scales, sweep
from .write import NodePrecision, Plan, StoredWeights, write_tflite

# Masks and heatmaps are read through a sigmoid, which is 0 or 1 to seven digits beyond this; their logits reach 2000.
_LARGEST_LOGIT = 16.0

_log = logging.getLogger(__name__)


def quantize_graph(graph: Graph, samples: Sequence[np.ndarray], recipe: Recipe, *, io_type: Io = "float") -> bytes:
    """Quantizes a float network: `apply_fit` of `fit_graph`; arguments, result and errors are theirs."""
    return apply_fit(graph, recipe, fit_graph(graph, samples, recipe), io_type=io_type)


def fit_graph(graph: Graph, samples: Sequence[np.ndarray], recipe: Recipe) -> Fit:
    """Finds all that a recipe takes from calibration samples.

    Args:
        graph: the network, from `read_graph`.
        samples: calibration inputs, float32 `(1, S, S, 3)` in its range.
        recipe: how.
    Raises:
        CalibrationError: a detector detects nothing on the samples.
    """
    _warn_of_unknown_layers(graph, recipe)
    stacked = np.concatenate(list(samples))
    config = _variant_of(graph)
    outputs = run_graph(graph, stacked)
    importance = None
    if recipe.important_positions and isinstance(config, DetectorConfig) and "scores" in outputs:
        importance = DetectionImportance(config, outputs["scores"])
    input_range = (float(stacked.min()), float(stacked.max())) if config is None else config.input_range

    rewritten = _split(graph, recipe)
    factors = channel_factors(rewritten, stacked, recipe.balance_channels) if recipe.balance_channels > 0 else {}
    rewritten = scale_channels(rewritten, factors)
    heads = _head_ranges(rewritten, stacked, recipe, config, importance) if recipe.own_head_ranges else {}
    fitted_heads = {rewritten.names[tensor]: bounds for tensor, bounds in heads.items()}
    rewritten = scale_heads(rewritten, heads)
    fixed = {graph.input: input_range}
    fixed |= {node.output: (-1.0, 1.0) for node in head_convolutions(rewritten) if heads}
    if groups := exact_sums(rewritten):
        peaks = channel_peaks(rewritten, stacked)
        for group in groups:
            highest = max(float(peaks[tensor].max()) for tensor in group)
            fixed |= dict.fromkeys(group, (0.0, highest))
    options = SweepOptions(
        range_method=recipe.range_method,
        correct_bias=recipe.correct_bias,
        feedback_rounding=recipe.feedback_rounding,
    )
    precision = node_precisions(rewritten, recipe)
    plan = sweep(rewritten, precision, stacked, options, fixed_ranges=fixed, importance=importance)
    names = rewritten.names
    return Fit(
        input_range=input_range,
        output_ranges=_output_ranges(rewritten, outputs, fitted_heads),
        factors={names[tensor]: values for tensor, values in factors.items()},
        head_ranges=fitted_heads,
        grids={(names[tensor], mode): grid for (tensor, mode), grid in plan.grids.items()},
        biases={names[tensor]: weights.bias for tensor, weights in plan.weights.items()},
        roundings=_roundings(rewritten, plan) if recipe.feedback_rounding else {},
    )


def apply_fit(graph: Graph, recipe: Recipe, fit: Fit, *, io_type: Io = "float") -> bytes:
    """Writes the quantized file. Runs nothing, so the same arguments give the same bytes on every machine.

    Args:
        graph: the network that was fitted, or one with fewer of its heads.
        recipe: the one it was fitted by.
        fit: from `fit_graph`, or stored with the recipe.
        io_type: type of the image and the outputs of the file.
    Returns:
        The .tflite file. Everything after the last convolution of each output runs in float.
    Raises:
        ConversionError: the fit is of another network or recipe.
    """
    graph = _split(graph, recipe)
    by_name = {name: tensor for tensor, name in graph.names.items() if tensor not in graph.constants}
    graph = scale_channels(graph, {by_name[name]: v for name, v in fit.factors.items() if name in by_name})
    graph = scale_heads(graph, {by_name[name]: bounds for name, bounds in fit.head_ranges.items() if name in by_name})
    by_name = {name: tensor for tensor, name in graph.names.items() if tensor not in graph.constants}
    grids = {(by_name[name], mode): grid for (name, mode), grid in fit.grids.items() if name in by_name}
    plan = Plan(precision=node_precisions(graph, recipe), grids=grids)
    try:
        for node in graph.convolutions():
            mode = plan.precision[node.output]
            if mode != "float":
                plan.weights[node.output] = _stored_weights(graph, node, fit, grids, mode)
        if io_type != "float":
            plan.grids.setdefault((graph.input, "int8"), grid_for(*fit.input_range, "int8"))
        io_grids = {name: grid_for(*fit.output_ranges[name], "int8") for name in graph.outputs}
        return write_tflite(graph, plan, io_type=io_type, io_grids=io_grids)
    except (KeyError, ValueError) as error:
        raise ConversionError(
            f"Expected ranges that were fitted to this network by this recipe. Nothing that fits is stored for {error}."
        ) from error


def _warn_of_unknown_layers(graph: Graph, recipe: Recipe) -> None:
    """A recipe for all heads may serve fewer of them, so a layer that is not there is no error."""
    have = {graph.names[node.output] for node in graph.nodes}
    if unknown := [name for name in (*recipe.float_layers, *recipe.int16_layers) if name not in have]:
        _log.warning("The recipe spares layers that this network does not have: %s.", ", ".join(unknown))


def _split(graph: Graph, recipe: Recipe) -> Graph:
    if not recipe.split_residuals:
        return graph
    precision = node_precisions(graph, recipe)
    return split_residuals(graph, lambda add: precision[add.output] == "int8")


def _kernel_and_scales(
    graph: Graph, node: Node, grids: Mapping[tuple[int, IntType], Grid], mode: IntType
) -> tuple[np.ndarray, np.ndarray, int]:
    """A convolution's float kernel, its weight scales, and the axis of its output channels."""
    kernel, axis = graph.constants[node.inputs[1]], 3 if node.kind == "DEPTHWISE_CONV_2D" else 0
    return kernel, convolution_scales(kernel, axis, grids[node.inputs[0], mode], grids[node.output, mode]), axis


def _stored_weights(
    graph: Graph, node: Node, fit: Fit, grids: Mapping[tuple[int, IntType], Grid], mode: IntType
) -> StoredWeights:
    kernel, scales, axis = _kernel_and_scales(graph, node, grids, mode)
    name = graph.names[node.output]
    stored = store_weights(kernel, scales, axis)
    if name in fit.roundings:
        stored = (stored + fit.roundings[name]).astype(np.int8)
    bias = fit.biases[name]
    if bias.shape != scales.shape or stored.shape != kernel.shape:
        raise ValueError(name)
    return StoredWeights(stored, scales, bias)


def _roundings(graph: Graph, plan: Plan) -> dict[str, np.ndarray]:
    """Output name of each integer convolution → how far its weights are from plain rounding, in steps."""
    found: dict[str, np.ndarray] = {}
    for node in graph.convolutions():
        mode = plan.precision[node.output]
        if mode != "float":
            plain = store_weights(*_kernel_and_scales(graph, node, plan.grids, mode))
            found[graph.names[node.output]] = plan.weights[node.output].kernel - plain.astype(np.int16)
    return found


def node_precisions(graph: Graph, recipe: Recipe) -> dict[int, NodePrecision]:
    """Output tensor of each node → how it computes by the recipe."""
    tail = {id(node) for node in tail_nodes(graph)}
    base: NodePrecision = "int16" if recipe.base == "int16" else "int8"

    def precision(node: Node) -> NodePrecision:
        shape = graph.shapes[node.output]
        side = shape[1] if len(shape) == 4 else 0
        name = original_name(graph.names[node.output])
        if id(node) in tail or side <= recipe.float_maps_px or name in recipe.float_layers:
            return "float"
        if side <= recipe.int16_maps_px or name in recipe.int16_layers:
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


def _output_ranges(
    graph: Graph, outputs: Mapping[str, np.ndarray], head_ranges: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, Range]:
    """Output → what the quantized network can give of its values: what the ranges of its heads leave of them."""
    ranges = {}
    for name, values in outputs.items():
        low, high = float(values.min()), float(values.max())
        before = _upstream(graph, graph.outputs[name])
        heads = [head_ranges[graph.names[tensor]] for tensor in before if graph.names[tensor] in head_ranges]
        if heads and not any(node.kind == "LOGISTIC" for node in graph.nodes if node.output in before):
            low = max(low, min(float(lows.min()) for lows, _ in heads))
            high = min(high, max(float(highs.max()) for _, highs in heads))
        ranges[name] = (low, high)
    return ranges


def _widened(low: np.ndarray, high: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    reach = (high - low) * margin / 2
    return low - reach, high + reach
