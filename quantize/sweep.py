"""The sweep: one pass over a graph, layer by layer, that chooses grids, rounds weights and corrects biases.

The float network and the quantized one are carried along side by side on the same samples, so that every layer is
fitted to the inputs it will really get.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import progress
from .execute import activated, run_node
from .graph import SAME_GRID, Graph, Node
from .grid import Grid, IntType, grid_for, real_weights, store_weights, weight_scales
from .ranges import choose_range
from .rewrites import residual_limits
from .rounding import round_with_feedback
from .write import NodePrecision, Plan, StoredWeights

# XNNPACK refuses a convolution from this many output steps per input and weight step on. Such a weight saturates the
# output at the first step of its input, so a smaller one does the same.
_LARGEST_RATIO = 250.0

_SHIFT_BATCH = 8  # Samples at a time: what is made on the way is as large as the feature maps.

# int16 has steps to spare, so what calibration photos do not show need not saturate.
_INT16_HEADROOM = 4.0

# (samples, height, width) → which positions count, `(N, H, W)` bool; None: all do.
Importance = Callable[[int, int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How a sweep fits each layer.

    Attributes:
        range_method: for linear activations, see `ranges.METHODS`.
        correct_bias: move each bias so that the layer's mean output stays what it is in float.
        feedback_rounding: GPTQ: round weights one after the other, each making up for the errors before it.
    """

    range_method: str = "mse"
    correct_bias: bool = True
    feedback_rounding: bool = False


def sweep(
    graph: Graph,
    precision: dict[int, NodePrecision],
    samples: np.ndarray,
    options: SweepOptions,
    *,
    fixed_ranges: dict[int, tuple[float, float]] | None = None,
    importance: Importance | None = None,
) -> Plan:
    """Quantizes a graph.

    Args:
        graph: the float network, already rewritten.
        precision: output tensor of each node → how it computes.
        samples: `(N, S, S, 3)` float32 calibration inputs.
        options: how each layer is fitted.
        fixed_ranges: tensors whose range is known.
        importance: which positions of a feature map count for ranges, biases and rounding.
    Returns:
        The plan to write the file by.
    """
    return _Sweep(graph, precision, options, fixed_ranges or {}, importance).run(samples)


def convolution_scales(kernel: np.ndarray, axis: int, input_grid: Grid, output_grid: Grid) -> np.ndarray:
    """`(C,)` float32 weight scale of each output channel of a convolution between two grids."""
    return np.minimum(weight_scales(kernel, axis), _LARGEST_RATIO * output_grid.scale / input_grid.scale)


class _Sweep:
    def __init__(
        self,
        graph: Graph,
        precision: dict[int, NodePrecision],
        options: SweepOptions,
        fixed_ranges: dict[int, tuple[float, float]],
        importance: Importance | None,
    ) -> None:
        self._graph = graph
        self._options = options
        self._fixed = fixed_ranges
        self._importance = importance
        self._plan = Plan(precision=precision)
        nonnegative = {node.output: 6.0 for node in graph.nodes if "RELU6" in (node.activation, node.kind)}
        self._limits = residual_limits(graph, nonnegative)

    def run(self, samples: np.ndarray) -> Plan:
        graph = self._graph
        remaining = {tensor: len(graph.consumers(tensor)) for tensor in graph.names}
        real = {graph.input: samples}
        # The quantized network's values, as its tensors hold them.
        held = {graph.input: samples}
        for node in progress.track(graph.nodes, "Quantizing layer by layer", len(graph.nodes)):
            inputs = graph.activations(node)
            mode = self._plan.precision[node.output]
            seen = [self._read(tensor, real[tensor], held[tensor], mode) for tensor in inputs]
            before = run_node(graph, node, [real[tensor] for tensor in inputs], activate=False)
            real[node.output] = activated(before, node.activation)
            if mode == "float":
                held[node.output] = run_node(graph, node, seen)
            else:
                grid = self._output_grid(node, real[node.output], mode)
                if node.is_convolution:
                    result = self._convolution(node, before, seen[0], mode)
                else:
                    result = run_node(graph, node, seen)
                held[node.output] = grid.round(result)
            for tensor in set(inputs):
                remaining[tensor] -= 1
                if remaining[tensor] == 0:
                    del real[tensor], held[tensor]
        return self._plan

    def _read(self, tensor: int, real: np.ndarray, held: np.ndarray, mode: NodePrecision) -> np.ndarray:
        """A tensor as a node of this precision reads it; an integer node may read what another kind made."""
        if mode == "float" or mode == self._plan.precision.get(tensor):
            return held
        if (tensor, mode) not in self._plan.grids:
            self._plan.grids[tensor, mode] = self._grid(tensor, real, mode)
        return self._plan.grids[tensor, mode].round(held)

    def _output_grid(self, node: Node, real: np.ndarray, mode: IntType) -> Grid:
        source = node.inputs[0]
        if node.kind in SAME_GRID:
            grid = self._plan.grids[source, mode]
        elif node.kind == "LOGISTIC":
            grid = Grid("int8", 1 / 256, -128) if mode == "int8" else Grid("int16", 1 / 32768, 0)
        else:
            grid = self._grid(node.output, real, mode)
        self._plan.grids[node.output, mode] = grid
        return grid

    def _grid(self, tensor: int, real: np.ndarray, mode: IntType) -> Grid:
        if tensor in self._fixed:
            return grid_for(*self._fixed[tensor], mode)
        values = self._important(real)
        low, high = self._limits.get(tensor, (-np.inf, np.inf))
        if np.isfinite(low) or np.isfinite(high):
            values = np.clip(values, low, high)
        method = "minmax" if values.min() >= 0 and values.max() <= 6 else self._options.range_method
        low, high = choose_range(values, method, mode)
        room = _INT16_HEADROOM if mode == "int16" else 1.0
        return grid_for(low * room, high * room, mode)

    def _convolution(self, node: Node, before: np.ndarray, seen: np.ndarray, mode: IntType) -> np.ndarray:
        """Rounds a convolution's weights and corrects its bias; returns its activated result on `seen`."""
        graph = self._graph
        kernel, bias = (graph.constants[tensor] for tensor in node.inputs[1:])
        axis = 3 if node.kind == "DEPTHWISE_CONV_2D" else 0
        input_grid, output_grid = (self._plan.grids[tensor, mode] for tensor in (node.inputs[0], node.output))
        scales = convolution_scales(kernel, axis, input_grid, output_grid)
        if self._options.feedback_rounding:
            stored = round_with_feedback(node, kernel, scales, seen, self._importance)
        else:
            stored = store_weights(kernel, scales, axis)
        rounded = graph.copy()
        rounded.constants[node.inputs[1]] = real_weights(stored, scales, axis)
        result = run_node(rounded, node, [seen], activate=False)
        if self._options.correct_bias:
            shift = self._shift(before, result, node.activation)
            bias = bias + shift
            result += shift
        step = scales * np.float32(input_grid.scale)
        limit = 2**31 - 1 if mode == "int8" else 2**47
        stored_bias = np.clip(np.rint(bias.astype(np.float64) / step), -limit, limit)
        self._plan.weights[node.output] = StoredWeights(stored, scales, stored_bias)
        result += (stored_bias * step - bias).astype(np.float32)
        return activated(result, node.activation)

    def _shift(self, before: np.ndarray, result: np.ndarray, activation: str) -> np.ndarray:
        """`(C,)`: what is to be added so that the mean over the elements that matter is the float network's."""
        axes = tuple(range(before.ndim - 1))
        total, number = np.zeros(before.shape[-1]), np.zeros(before.shape[-1])
        for start in range(0, len(before), _SHIFT_BATCH):
            part = slice(start, start + _SHIFT_BATCH)
            counts = np.ones(before[part].shape, bool)
            if activation == "RELU6":
                counts &= (before[part] > 0) & (before[part] < 6)
            elif activation == "RELU":
                counts &= before[part] > 0
            if self._importance is not None and before.ndim == 4:
                counts &= self._importance(*before.shape[1:3])[part, ..., None]
            total += np.where(counts, before[part] - result[part], 0).sum(axes, dtype=np.float64)
            number += counts.sum(axes)
        return np.where(number > 0, total / np.maximum(number, 1), 0.0).astype(np.float32)

    def _important(self, values: np.ndarray) -> np.ndarray:
        if self._importance is None or values.ndim != 4:
            return values
        chosen = values[self._importance(*values.shape[1:3])]
        return chosen if chosen.size else values
