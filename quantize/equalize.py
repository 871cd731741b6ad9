"""Channel balancing: scales the channels of a tensor to like ranges, exactly undone by the weights that read them.

One int8 grid serves all channels of a tensor. A channel that uses a tenth of the range has a tenth of the steps; scaled
up tenfold, with the next layer's weights scaled down, the float network is the same and the channel has them all.

Source: cross-layer equalization (Nagel et al., arXiv 1906.04721). Differs: works on single channels through every
operator that keeps channels apart (ADD, PAD, pooling, resizing, depth-to-space), and through ReLU6, where a channel may
grow only while it stays below 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .execute import run_node
from .graph import Graph, Node
from .rewrites import saturable

# Calibration photos do not show the largest values an app will see; at 0.95 some unseen crops move by 30 px.
RELU6_MARGIN = 0.6
# XNNPACK refuses a convolution whose input step times weight step is 256 output steps or more.
_LARGEST_FACTOR = 50.0


@dataclass
class _Channels:
    """Sets of channels, over all tensors, that must be scaled alike (union-find over flat channel numbers)."""

    parents: np.ndarray

    def find(self, channel: int) -> int:
        root = channel
        while self.parents[root] != root:
            root = int(self.parents[root])
        while self.parents[channel] != root:
            self.parents[channel], channel = root, int(self.parents[channel])
        return root

    def join(self, left: np.ndarray, right: np.ndarray) -> None:
        for one, other in zip(left, right, strict=True):
            self.parents[self.find(int(one))] = self.find(int(other))


def channel_peaks(graph: Graph, samples: np.ndarray) -> dict[int, np.ndarray]:
    """Tensor → `(C,)` largest absolute value of each channel, of every computed tensor, over samples `(N, S, S, 3)`."""
    peaks: dict[int, np.ndarray] = {}
    values = {graph.input: samples}
    remaining = {tensor: len(graph.consumers(tensor)) for tensor in graph.names}
    for node in graph.nodes:
        inputs = graph.activations(node)
        result = run_node(graph, node, [values[tensor] for tensor in inputs])
        peaks[node.output] = np.abs(result).max(tuple(range(result.ndim - 1)))
        values[node.output] = result
        for tensor in set(inputs):
            remaining[tensor] -= 1
            if remaining[tensor] == 0:
                del values[tensor]
    return peaks


def equalize(graph: Graph, samples: np.ndarray, strength: float = 1.0) -> Graph:
    """Balances all channels of a graph: `scale_channels` by `channel_factors`.

    Args:
        graph: left as it is.
        samples: `(N, S, S, 3)` float32, from which the ranges of channels are taken.
        strength: 1 gives every channel the range of the largest, 0 changes nothing.
    Returns:
        A graph that computes the same up to float noise, on inputs like the samples.
    """
    return scale_channels(graph, channel_factors(graph, samples, strength))


def channel_factors(graph: Graph, samples: np.ndarray, strength: float = 1.0) -> dict[int, np.ndarray]:
    """Computed tensor → `(C,)` float32 factor ≥ 1 that each of its channels may grow by. Arguments as in `equalize`."""
    peaks = channel_peaks(graph, samples)
    first = {}
    count = 0
    for tensor in peaks:
        first[tensor] = count
        count += graph.shapes[tensor][-1]
    channels = _Channels(np.arange(count))

    def numbers(tensor: int) -> np.ndarray:
        return first[tensor] + np.arange(graph.shapes[tensor][-1])

    fixed = np.zeros(count, bool)
    bounded = np.zeros(count, bool)
    for node in graph.nodes:
        inputs = graph.activations(node)
        if "RELU6" in (node.activation, node.kind):
            bounded[numbers(node.output)] = True
        if not node.is_convolution and any(tensor not in first for tensor in inputs):
            fixed[numbers(node.output)] = True  # Reads the image itself.
        elif not node.is_convolution:
            _tie(graph, node, channels, fixed, numbers)
    for tensor in graph.outputs.values():
        fixed[numbers(tensor)] = True
    for tensor in saturable(graph):
        peaks[tensor] = np.zeros_like(peaks[tensor])  # No reason to hold a channel back.

    factors = _factors(channels, fixed, bounded, {t: (numbers(t), peaks[t]) for t in peaks}, strength)
    return {tensor: factors[numbers(tensor)] for tensor in first}


def scale_channels(graph: Graph, factors: Mapping[int, np.ndarray]) -> Graph:
    """A graph whose channels are larger by these factors, undone by the weights that read them.

    Args:
        graph: left as it is.
        factors: from `channel_factors`; tensors that are not in it stay as they are.
    """
    graph = graph.copy()
    for node in graph.convolutions():
        _scale_weights(graph, node, factors)
    return graph


def _tie(graph: Graph, node: Node, channels: _Channels, fixed: np.ndarray, numbers: object) -> None:
    """Joins the channels that a node without weights keeps together, or fixes them where it mixes them."""
    assert callable(numbers)
    inputs, output = graph.activations(node), numbers(node.output)
    size = len(output)
    computed_only = len(inputs) == len(node.inputs) - (node.kind == "RESIZE_BILINEAR")
    if node.kind in ("ADD", "SUB", "RELU", "RELU6", "MAX_POOL_2D", "RESIZE_BILINEAR") and computed_only:
        for tensor in inputs:
            if graph.shapes[tensor][-1] == size:
                channels.join(numbers(tensor), output)
            else:  # A broadcast.
                fixed[numbers(tensor)] = fixed[output] = True
    elif node.kind == "PAD":
        before = int(graph.constants[node.inputs[1]][-1][0])
        source = numbers(inputs[0])
        channels.join(source, output[before : before + len(source)])
    elif node.kind == "DEPTH_TO_SPACE":
        channels.join(numbers(inputs[0]), np.tile(output, len(numbers(inputs[0])) // size))
    elif node.kind == "CONCATENATION" and node.options.axis in (len(graph.shapes[node.output]) - 1, -1):
        start = 0
        for tensor in inputs:
            channels.join(numbers(tensor), output[start : start + len(numbers(tensor))])
            start += len(numbers(tensor))
    else:
        for tensor in inputs:
            fixed[numbers(tensor)] = True
        fixed[output] = True


def _factors(
    channels: _Channels,
    fixed: np.ndarray,
    bounded: np.ndarray,
    tensors: dict[int, tuple[np.ndarray, np.ndarray]],
    strength: float,
) -> np.ndarray:
    """The factor of every channel: the same for all channels of a set."""
    count = len(fixed)
    roots = np.array([channels.find(number) for number in range(count)])
    set_fixed = np.zeros(count, bool)
    np.logical_or.at(set_fixed, roots, fixed)
    set_bounded = np.zeros(count, bool)
    np.logical_or.at(set_bounded, roots, bounded)
    # The most a set may grow: every tensor wants its channels to reach its own largest one, and the tightest wins.
    room = np.full(count, np.inf)
    bounded_peak = np.zeros(count)
    for numbers, peaks in tensors.values():
        live = peaks > 0
        np.minimum.at(room, roots[numbers[live]], peaks.max(initial=0.0) / peaks[live])
        at_bound = bounded[numbers]
        np.maximum.at(bounded_peak, roots[numbers[at_bound]], peaks[at_bound])
    room[~np.isfinite(room)] = 1.0
    factors = np.clip(room**strength, 1.0, _LARGEST_FACTOR)
    with np.errstate(divide="ignore"):
        limit = np.where(set_bounded & (bounded_peak > 0), RELU6_MARGIN * 6.0 / bounded_peak, np.inf)
    factors = np.maximum(1.0, np.minimum(factors, limit))
    factors[set_fixed] = 1.0
    return factors[roots].astype(np.float32)


def _scale_weights(graph: Graph, node: Node, factors: Mapping[int, np.ndarray]) -> None:
    """Moves the factors of a convolution's input and output channels into its weights."""
    source, kernel_id, bias_id = node.inputs
    kernel, bias = graph.constants[kernel_id], graph.constants[bias_id]
    outgoing = factors.get(node.output, np.ones(len(bias), np.float32))
    incoming = factors.get(source)
    if node.kind == "DEPTHWISE_CONV_2D":
        ratio = outgoing if incoming is None else outgoing / incoming
        kernel = kernel * ratio
    else:
        kernel = kernel * outgoing[:, None, None, None]
        if incoming is not None:
            kernel = kernel / incoming
    name = graph.names[kernel_id]
    node.inputs[1] = graph.new_tensor(name, kernel.shape, kernel.astype(np.float32))
    node.inputs[2] = graph.new_tensor(graph.names[bias_id], bias.shape, (bias * outgoing).astype(np.float32))
