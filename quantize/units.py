"""Units: the groups of layers that a sensitivity analysis measures and a search moves to another precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .graph import Graph, Node
from .rewrites import head_convolutions, tail_nodes


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Layers that are quantized together: a residual block, a single convolution, or one head.

    Attributes:
        name: of its last layer.
        layers: names of all its layers, as recipes take them, in execution order.
        side_px: side of the feature map it makes; 0 where that is no map.
        macs: multiply-accumulates of its convolutions.
        mac_share: of the network's, in [0, 1].
    """

    name: str
    layers: tuple[str, ...]
    side_px: int
    macs: int
    mac_share: float


def units_of(graph: Graph) -> tuple[Unit, ...]:
    """Cuts a float graph into units, in execution order.

    A unit ends after an ADD, and wherever one tensor is all that later layers need. Every head is a unit of its own.
    What runs in float in any case, behind the heads, belongs to none.
    """
    tail = {id(node) for node in tail_nodes(graph)}
    heads = {id(node) for node in head_convolutions(graph)}
    groups: list[list[Node]] = []
    block: list[Node] = []
    for place, node in enumerate(graph.nodes):
        if id(node) in tail:
            continue
        if id(node) in heads:
            groups.append([node])
            continue
        block.append(node)
        if node.kind == "ADD" or _live(graph, place, tail | heads) <= 1:
            groups.append(block)
            block = []
    if block:
        groups.append(block)
    total = sum(macs_of(graph, node) for node in graph.convolutions())
    return tuple(_unit(graph, group, total) for group in groups)


def macs_of(graph: Graph, node: Node) -> int:
    """Multiply-accumulates of a convolution; 0 of other nodes."""
    if not node.is_convolution:
        return 0
    kernel = graph.shapes[node.inputs[1]]
    per_output = math.prod(kernel[1:3]) if node.kind == "DEPTHWISE_CONV_2D" else math.prod(kernel[1:])
    return math.prod(graph.shapes[node.output]) * per_output


def _live(graph: Graph, place: int, left_aside: set[int]) -> int:
    """How many tensors made up to a place the trunk's later nodes read."""
    later = [node for node in graph.nodes[place + 1 :] if id(node) not in left_aside]
    made = {graph.input, *(node.output for node in graph.nodes[: place + 1])}
    return len({tensor for node in later for tensor in node.inputs} & made)


def _unit(graph: Graph, nodes: Sequence[Node], total: int) -> Unit:
    last = nodes[-1]
    shape = graph.shapes[last.output]
    macs = sum(macs_of(graph, node) for node in nodes)
    return Unit(
        name=graph.names[last.output],
        layers=tuple(graph.names[node.output] for node in nodes),
        side_px=shape[1] if len(shape) == 4 else 0,
        macs=macs,
        mac_share=macs / total if total else 0.0,
    )
