"""Real float graphs, calibration samples from the demo photos, and small networks made by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from blazeport.convert.inputs import network_inputs
from blazeport.convert.precisions import Io
from blazeport.models.config import get_config
from blazeport.quantize.graph import Graph, Node, read_graph
from blazeport.quantize.post_training import quantize_graph
from blazeport.quantize.recipes import Recipe
from blazeport.weights.fetch import demo_photos, official_file

NUM_SAMPLES = 8

GraphOf = Callable[..., Graph]
SamplesOf = Callable[[str], np.ndarray]
QuantizedFile = Callable[..., bytes]


@functools.cache
def _official_graph(variant: str) -> Graph:
    return read_graph(official_file(variant))


@functools.cache
def _samples(variant: str) -> np.ndarray:
    samples = np.concatenate(network_inputs(get_config(variant), demo_photos(), views=2, limit=NUM_SAMPLES))
    samples.flags.writeable = False
    return samples


def kept(graph: Graph, heads: Sequence[str]) -> Graph:
    """A copy with these outputs only, and the nodes they need; all of it when none are named."""
    graph = graph.copy()
    if heads:
        graph.outputs = {name: graph.outputs[name] for name in heads}
        needed = set(graph.outputs.values())
        nodes = []
        for node in reversed(graph.nodes):
            if node.output in needed:
                needed.update(node.inputs)
                nodes.append(node)
        graph.nodes = nodes[::-1]
    return graph


@pytest.fixture(scope="session")
def graph_of() -> GraphOf:
    """Variant, and heads to keep (all by default) → its float graph, a copy of its own."""
    return lambda variant, *heads: kept(_official_graph(variant), heads)


@pytest.fixture(scope="session")
def samples_of() -> SamplesOf:
    """Variant → `(8, S, S, 3)` float32 inputs from the demo photos."""
    return _samples


@functools.cache
def _quantized(variant: str, heads: tuple[str, ...], recipe: Recipe, io_type: Io) -> bytes:
    samples = [sample[None] for sample in _samples(variant)]
    return quantize_graph(kept(_official_graph(variant), heads), samples, recipe, io_type=io_type)


@pytest.fixture(scope="session")
def quantized() -> QuantizedFile:
    """Variant, heads to keep (all by default), entries of the recipe → the quantized file."""

    def quantized(variant: str, *heads: str, io_type: Io = "float", **entries: object) -> bytes:
        return _quantized(variant, heads, Recipe(**entries), io_type)

    return quantized


class SmallNetwork:
    """Builds a float graph node by node; tensors are named after what the caller says."""

    def __init__(self, side: int = 8, channels: int = 3) -> None:
        self.graph = Graph([], {0: "input"}, {0: (1, side, side, channels)}, {}, 0, {}, {})

    def add(self, kind: str, name: str, inputs: Sequence[int], options: object = None, **changes) -> int:
        """Appends a node whose output has the shape of its first input unless `shape` says otherwise."""
        shape = changes.get("shape", self.graph.shapes[inputs[0]])
        output = self.graph.new_tensor(name, shape)
        self.graph.nodes.append(Node(kind, list(inputs), output, options, changes.get("activation", "NONE")))
        return output

    def constant(self, name: str, value: np.ndarray) -> int:
        return self.graph.new_tensor(name, value.shape, value)

    def convolution(self, name: str, source: int, kernel: np.ndarray, bias: Sequence[float], activation="NONE") -> int:
        """A convolution of stride 1: `kernel` `(O, H, W, I)`, or `(1, H, W, C)` of a depthwise one."""
        batch, height, width, _ = self.graph.shapes[source]
        is_depthwise = kernel.shape[0] == 1 and len(bias) > 1
        options = schema.DepthwiseConv2DOptionsT() if is_depthwise else schema.Conv2DOptionsT()
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        if is_depthwise:
            options.depthMultiplier = 1
        inputs = [
            source,
            self.constant(f"{name}_kernel", kernel.astype(np.float32)),
            self.constant(f"{name}_bias", np.asarray(bias, np.float32)),
        ]
        shape = (batch, height, width, len(bias))
        kind = "DEPTHWISE_CONV_2D" if is_depthwise else "CONV_2D"
        return self.add(kind, name, inputs, options, shape=shape, activation=activation)

    def sum(self, name: str, left: int, right: int, activation: str = "NONE") -> int:
        return self.add("ADD", name, [left, right], schema.AddOptionsT(), activation=activation)

    def finish(self, **outputs: int) -> Graph:
        self.graph.outputs = outputs
        return self.graph


@pytest.fixture
def small() -> type[SmallNetwork]:
    """A class whose instances build small float graphs."""
    return SmallNetwork
