"""An editable float graph: what a .tflite file computes, with every constant as a dense float32 array.

Quantization rewrites this graph, runs it layer by layer, and writes the quantized file from it.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..errors import ConversionError
from ..models.config import VARIANTS
from ..models.cost import head_tensors
from ..weights.reader import read_tflite

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
# Output values are a selection of the input's, or lie between them: both sides share one grid.
SAME_GRID = ("PAD", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESHAPE", "DEPTH_TO_SPACE", "CONCATENATION")
ACTIVATIONS = ("RELU", "RELU6")
KNOWN = (*CONVOLUTIONS, *SAME_GRID, *ACTIVATIONS, "ADD", "SUB", "MUL", "LOGISTIC")

_FOLDED = ("DEQUANTIZE", "DENSIFY")
_FUSED = {
    value: name for name, value in vars(schema.ActivationFunctionType).items() if name in ("NONE", "RELU", "RELU6")
}


@dataclass
class Node:
    """One operator.

    Attributes:
        kind: the builtin's name.
        inputs: tensor ids; of convolutions: the activation, kernel, bias.
        output: tensor id.
        options: the schema's options object, or None.
        activation: `NONE`, `RELU` or `RELU6`, applied to the result.
    """

    kind: str
    inputs: list[int]
    output: int
    options: Any
    activation: str = "NONE"

    @property
    def is_convolution(self) -> bool:
        """It has a kernel."""
        return self.kind in CONVOLUTIONS


@dataclass
class Graph:
    """A float network.

    Attributes:
        nodes: in execution order.
        names: tensor id → name.
        shapes: tensor id → shape, with the batch of 1.
        constants: tensor id → value; kernels `(O, H, W, I)`, depthwise kernels `(1, H, W, C)`.
        input: tensor id of the image.
        outputs: output name → tensor id, in the order of the file.
        metadata: the file's metadata, name → content.
    """

    nodes: list[Node]
    names: dict[int, str]
    shapes: dict[int, tuple[int, ...]]
    constants: dict[int, np.ndarray]
    input: int
    outputs: dict[str, int]
    metadata: dict[str, bytes]

    def copy(self) -> Graph:
        """A graph that can be rewritten without touching this one; arrays are shared until they are replaced."""
        nodes = [copy.copy(node) for node in self.nodes]
        for node in nodes:
            node.inputs = list(node.inputs)
        return Graph(
            nodes=nodes,
            names=dict(self.names),
            shapes=dict(self.shapes),
            constants=dict(self.constants),
            input=self.input,
            outputs=dict(self.outputs),
            metadata=dict(self.metadata),
        )

    def producer(self, tensor: int) -> Node | None:
        """The node that computes a tensor; None for the input and constants."""
        return next((node for node in self.nodes if node.output == tensor), None)

    def consumers(self, tensor: int) -> list[Node]:
        """The nodes that read a tensor."""
        return [node for node in self.nodes if tensor in node.inputs]

    def activations(self, node: Node) -> list[int]:
        """The inputs of a node that are computed, not constant."""
        return [tensor for tensor in node.inputs if tensor not in self.constants]

    def new_tensor(self, name: str, shape: tuple[int, ...], value: np.ndarray | None = None) -> int:
        """Adds a tensor and returns its id."""
        tensor = max(self.names) + 1
        self.names[tensor], self.shapes[tensor] = name, shape
        if value is not None:
            self.constants[tensor] = value
        return tensor

    def convolutions(self) -> Iterator[Node]:
        """The convolutions, in execution order."""
        return (node for node in self.nodes if node.is_convolution)


def read_graph(source: Path | bytes) -> Graph:
    """Reads a float .tflite file, anyone's: fp32, fp16 (DEQUANTIZE folded) or sparse (DENSIFY folded).

    Raises:
        WeightsError: it is not a readable .tflite file.
        ConversionError: it is quantized already, has several inputs, dynamic shapes, or an operator that cannot be
            quantized here; the message names it.
    """
    read = read_tflite(source)
    content = source if isinstance(source, bytes) else source.read_bytes()
    raw = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0)).subgraphs[0]
    if len(read.inputs) != 1:
        raise ConversionError(f"Expected a network with one image input. {read.source} has {len(read.inputs)}.")
    nodes, constants = [], {}
    for op, original in zip(read.ops, raw.operators, strict=True):
        if op.kind in _FOLDED and read.is_constant(op.outputs[0]):
            continue
        where = f"{op.kind} ({read.tensors[op.outputs[0]].name}) of {read.source}"
        if op.kind not in KNOWN or len(op.outputs) != 1:
            raise ConversionError(f"Cannot quantize the operator {where}. Known: {', '.join(KNOWN)}.")
        if read.tensors[op.outputs[0]].dtype != "float32" or -1 in read.tensors[op.outputs[0]].shape:
            raise ConversionError(f"Expected a float network with static shapes. Received: {where}.")
        for tensor in op.inputs:
            if tensor != -1 and read.is_constant(tensor):
                constants[tensor] = read.constant(tensor)
        fused = getattr(original.builtinOptions, "fusedActivationFunction", 0)
        if fused not in _FUSED:
            raise ConversionError(f"Cannot quantize the fused activation of {where}. Known: RELU, RELU6.")
        nodes.append(
            Node(
                kind=op.kind,
                inputs=[tensor for tensor in op.inputs if tensor != -1],
                output=op.outputs[0],
                options=original.builtinOptions,
                activation=_FUSED[fused],
            )
        )
    graph = Graph(
        nodes=nodes,
        names=_distinct_names(read),
        shapes={tensor.index: tensor.shape for tensor in read.tensors},
        constants=constants,
        input=read.inputs[0],
        outputs=_named_outputs(read),
        metadata=read.metadata,
    )
    for node in graph.convolutions():
        _check_convolution(graph, node)
    _fuse_activations(graph)
    return graph


def _named_outputs(read: Any) -> dict[str, int]:
    """Output name → tensor: by the signature, by the shapes of a known variant, or by the tensors' own names."""
    if read.signature is not None:
        names = {tensor: name for name, tensor in read.signature["outputs"].items()}
        return {names.get(tensor, read.tensors[tensor].name): tensor for tensor in read.outputs}
    shapes = {read.tensors[tensor].shape for tensor in read.outputs}
    for config in VARIANTS.values():
        same_input = config.input_shape == read.tensors[read.inputs[0]].shape
        if same_input and shapes == {head.shape for head in config.heads}:
            return head_tensors(read, config)
    return {read.tensors[tensor].name: tensor for tensor in read.outputs}


def _distinct_names(read: Any) -> dict[int, str]:
    """Tensor → its name, the first where a converter joined several; one that others have gets the tensor's number."""
    names = {tensor.index: tensor.name.split(";")[0] for tensor in read.tensors}
    count = Counter(names.values())
    return {tensor: name if name and count[name] == 1 else f"{name}#{tensor}" for tensor, name in names.items()}


def _check_convolution(graph: Graph, node: Node) -> None:
    """Raises unless kernel and bias are constants, and gives a convolution without a bias a zero one."""
    name = graph.names[node.output]
    if any(tensor not in graph.constants for tensor in node.inputs[1:]):
        raise ConversionError(f"Expected a constant kernel and bias. The convolution {name!r} computes them.")
    if any(graph.constants[tensor].dtype != np.float32 for tensor in node.inputs[1:]):
        raise ConversionError(f"Expected a float network. The weights of {name!r} are quantized already.")
    if (getattr(node.options, "dilationHFactor", 1), getattr(node.options, "dilationWFactor", 1)) != (1, 1):
        raise ConversionError(f"Dilated convolutions are not supported. Received: {name!r}.")
    channels = graph.shapes[node.output][-1]
    if node.kind == "DEPTHWISE_CONV_2D" and graph.shapes[node.inputs[0]][-1] != channels:
        raise ConversionError(f"Depthwise convolutions must keep the number of channels. Received: {name!r}.")
    if len(node.inputs) == 2:
        node.inputs.append(graph.new_tensor(f"{name}_bias", (channels,), np.zeros(channels, np.float32)))


def _fuse_activations(graph: Graph) -> None:
    """Moves a RELU or RELU6 of its own into the convolution or ADD before it, where nothing else reads that."""
    for node in list(graph.nodes):
        if node.kind not in ACTIVATIONS:
            continue
        before = graph.producer(node.inputs[0])
        fusible = before is not None and (before.is_convolution or before.kind == "ADD")
        if not fusible or before is None or before.activation != "NONE":
            continue
        if len(graph.consumers(before.output)) == 1 and before.output not in graph.outputs.values():
            before.activation, before.output = node.kind, node.output
            graph.nodes.remove(node)
