"""Rewrites of a graph that leave the float network as it is and make room for its integer one."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .graph import SAME_GRID, Graph, Node
from .ranges import Range

_SUFFIXES = ("_scaled", "_negative", "_raised")


def original_name(name: str) -> str:
    """The layer of the float file that a layer of a rewritten graph stands for."""
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def tail_nodes(graph: Graph) -> list[Node]:
    """The nodes after the last convolution on the way to each output: they run in float, after DEQUANTIZE."""
    feeds_convolution: set[int] = set()
    tail = []
    for node in reversed(graph.nodes):
        if node.is_convolution or node.output in feeds_convolution:
            feeds_convolution.update(graph.activations(node))
        else:
            tail.append(node)
    return tail[::-1]


def head_convolutions(graph: Graph) -> list[Node]:
    """The convolutions whose results only the float tail reads."""
    tail = {id(node) for node in tail_nodes(graph)}
    return [
        node
        for node in graph.convolutions()
        if node.activation == "NONE" and all(id(consumer) in tail for consumer in graph.consumers(node.output))
    ]


def scale_heads(graph: Graph, ranges: dict[int, tuple[np.ndarray, np.ndarray]]) -> Graph:
    """Gives every output channel of the heads an int8 range of its own.

    Scale and offset of each channel are folded into the head's convolution, which then gives values in [-1, 1], and are
    undone by a float MUL and ADD behind it. What lies outside a channel's range saturates: background anchors emit junk
    that would otherwise set the scale for all.

    Args:
        graph: left as it is.
        ranges: output tensor of a head → `(C,)` lowest and highest value of each channel.
    """
    graph = graph.copy()
    for node in list(graph.convolutions()):
        if node.output not in ranges:
            continue
        low, high = ranges[node.output]
        scale = np.maximum((high - low) / 2, 1e-6).astype(np.float32)
        offset = ((high + low) / 2).astype(np.float32)
        kernel, bias = (graph.constants[tensor] for tensor in node.inputs[1:])
        shape = (1, 1, 1, -1) if node.kind == "DEPTHWISE_CONV_2D" else (-1, 1, 1, 1)
        name = graph.names[node.output]
        scaled = graph.new_tensor(f"{name}_scaled", graph.shapes[node.output])
        multiplied = graph.new_tensor(f"{name}_mul", graph.shapes[node.output])
        factor = graph.new_tensor(f"{name}_scale", scale.shape, scale)
        summand = graph.new_tensor(f"{name}_offset", offset.shape, offset)
        node.inputs[1] = graph.new_tensor(f"{name}_kernel", kernel.shape, kernel / scale.reshape(shape))
        node.inputs[2] = graph.new_tensor(f"{name}_bias", bias.shape, (bias - offset) / scale)
        original, node.output = node.output, scaled
        place = graph.nodes.index(node) + 1
        graph.nodes[place:place] = [
            Node("MUL", [scaled, factor], multiplied, schema.MulOptionsT()),
            Node("ADD", [multiplied, summand], original, schema.AddOptionsT()),
        ]
    return graph


def residual_limits(graph: Graph, highest: dict[int, float]) -> dict[int, Range]:
    """Ranges outside of which a tensor cannot matter: it is only added to another one and then cut by ReLU6 or ReLU.

    In `relu6(x + y)` with x in [0, m], y below -m gives 0 and y above 6 gives 6 whatever x is.

    Args:
        graph: the network.
        highest: tensor → its largest value, for those that are never negative.
    """
    limits: dict[int, Range] = {}
    for node in graph.nodes:
        if node.kind != "ADD" or node.activation == "NONE" or len(graph.activations(node)) != 2:
            continue
        for free, other in (node.inputs, node.inputs[::-1]):
            if other in highest and free not in highest and _only_feeds(graph, free):
                limits[free] = (-highest[other], 6.0 if node.activation == "RELU6" else np.inf)
    return limits


def split_residuals(graph: Graph, only: Callable[[Node], bool] = lambda _: True) -> Graph:
    """Rewrites `relu6(x + y)` so that both additions are exact in int8.

    `relu6(x + y) = relu6(relu6(x + relu6(y)) - relu6(-y))` for x in [0, 6]. Every tensor then lies on one grid of
    6 / 255 and y gets half the step it had on [-6, 6]. The convolution that makes y is doubled, its weights negated.

    Args:
        graph: left as it is. Only ADDs of a ReLU6 tensor and a linear convolution that nothing else reads change.
        only: which of these ADDs.
    """
    graph = graph.copy()
    for node in list(graph.nodes):
        if node.kind != "ADD" or node.activation != "RELU6" or len(graph.activations(node)) != 2 or not only(node):
            continue
        for x, y in (node.inputs, node.inputs[::-1]):
            source = graph.producer(y)
            if (
                source is not None
                and source.is_convolution
                and source.activation == "NONE"
                and _only_feeds(graph, y)
                and _is_relu6(graph, x)
            ):
                _split(graph, node, x, source)
                break
    return graph


def _only_feeds(graph: Graph, tensor: int) -> bool:
    """One node reads the tensor, and it is no output."""
    return len(graph.consumers(tensor)) == 1 and tensor not in graph.outputs.values()


def saturable(graph: Graph) -> set[int]:
    """Tensors that are only taken away from a ReLU6 tensor before a ReLU6: at 6 they leave 0, whatever lies beyond."""
    return {
        node.inputs[1]
        for node in graph.nodes
        if node.kind == "SUB"
        and node.activation == "RELU6"
        and _is_relu6(graph, node.inputs[0])
        and _only_feeds(graph, node.inputs[1])
    }


def exact_sums(graph: Graph) -> list[set[int]]:
    """Sets of tensors that should share one grid, so that `split_residuals`' sums are exact in int8."""
    groups: list[set[int]] = []
    for lowered in graph.nodes:
        raised = graph.producer(lowered.inputs[0])
        if lowered.kind != "SUB" or raised is None or raised.kind != "ADD":
            continue
        if not all(_is_relu6(graph, tensor) for tensor in (*raised.inputs, *lowered.inputs)):
            continue
        group = {*(_stored_as(graph, tensor) for tensor in raised.inputs), *lowered.inputs, lowered.output}
        touching = [other for other in groups if not other.isdisjoint(group)]
        groups = [other for other in groups if other.isdisjoint(group)]
        groups.append(group.union(*touching))
    return groups


def _stored_as(graph: Graph, tensor: int) -> int:
    """The tensor whose grid this one takes over."""
    node = graph.producer(tensor)
    while node is not None and node.kind in SAME_GRID:
        tensor = node.inputs[0]
        node = graph.producer(tensor)
    return tensor


def _is_relu6(graph: Graph, tensor: int) -> bool:
    """The tensor lies in [0, 6]: a ReLU6 made it, and operators that keep values between their inputs'."""
    node = graph.producer(tensor)
    while node is not None and node.kind in ("PAD", "MAX_POOL_2D"):
        node = graph.producer(node.inputs[0])
    return node is not None and "RELU6" in (node.activation, node.kind)


def _split(graph: Graph, add: Node, x: int, source: Node) -> None:
    name, shape = graph.names[source.output], graph.shapes[source.output]
    negative = Node(
        source.kind,
        [
            source.inputs[0],
            *(
                graph.new_tensor(f"{graph.names[t]}_negated", graph.shapes[t], -graph.constants[t])
                for t in source.inputs[1:]
            ),
        ],
        graph.new_tensor(f"{name}_negative", shape),
        copy.copy(source.options),
        "RELU6",
    )
    source.activation = "RELU6"
    raised = Node("ADD", [x, source.output], graph.new_tensor(f"{name}_raised", shape), schema.AddOptionsT(), "RELU6")
    lowered = Node("SUB", [raised.output, negative.output], add.output, schema.SubOptionsT(), "RELU6")
    place = graph.nodes.index(source) + 1
    graph.nodes.insert(place, negative)
    place = graph.nodes.index(add)
    graph.nodes[place : place + 1] = [raised, lowered]
