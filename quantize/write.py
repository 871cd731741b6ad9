"""Writes a quantized .tflite file from a graph and a plan; the converter's own quantizer cannot express such plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..convert.flatbuffer import pack, set_signature
from ..convert.precisions import Io
from .graph import Graph, Node
from .grid import Grid, IntType

NodePrecision = Literal["float", "int8", "int16"]

# Versions by the type of the input, as the TensorFlow converter writes them.
_VERSIONS: dict[str, dict[NodePrecision, int]] = {
    "CONV_2D": {"float": 1, "int8": 3, "int16": 4},
    "DEPTHWISE_CONV_2D": {"float": 1, "int8": 3, "int16": 5},
    "ADD": {"float": 1, "int8": 2, "int16": 4},
    "SUB": {"float": 1, "int8": 2, "int16": 5},
    "MUL": {"float": 1, "int8": 2, "int16": 4},
    "PAD": {"float": 1, "int8": 2, "int16": 3},
    "MAX_POOL_2D": {"float": 1, "int8": 2, "int16": 3},
    "RESIZE_BILINEAR": {"float": 3, "int8": 3, "int16": 4},
    "DEPTH_TO_SPACE": {"float": 1, "int8": 2},
    "CONCATENATION": {"float": 1, "int8": 2, "int16": 3},
    "LOGISTIC": {"float": 1, "int8": 2, "int16": 3},
    "RELU": {"float": 1, "int8": 2},
    "RELU6": {"float": 1, "int8": 2},
    "RESHAPE": {"float": 1, "int8": 1, "int16": 1},
    "QUANTIZE": {"float": 1, "int8": 2, "int16": 2},
    "DEQUANTIZE": {"float": 3, "int8": 2, "int16": 3},
}
_TYPES = {"float": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8, "int16": schema.TensorType.INT16}
_CONSTANT_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int64): schema.TensorType.INT64,
}
_FUSED = {
    "NONE": schema.ActivationFunctionType.NONE,
    "RELU": schema.ActivationFunctionType.RELU,
    "RELU6": schema.ActivationFunctionType.RELU6,
}


@dataclass
class StoredWeights:
    """A convolution's weights as the file stores them: int8 kernel, scale per output channel, bias in steps."""

    kernel: np.ndarray
    scales: np.ndarray
    bias: np.ndarray


@dataclass
class Plan:
    """How a graph is quantized.

    Attributes:
        precision: output tensor of a node → how the node computes.
        grids: (tensor, integer type) → its grid, wherever an integer node reads or makes the tensor.
        weights: output tensor of an integer convolution → its weights.
    """

    precision: dict[int, NodePrecision]
    grids: dict[tuple[int, IntType], Grid] = field(default_factory=dict)
    weights: dict[int, StoredWeights] = field(default_factory=dict)


def write_tflite(
    graph: Graph, plan: Plan, *, io_type: Io = "float", io_grids: Mapping[str, Grid] | None = None
) -> bytes:
    """Serialises a quantized graph.

    Args:
        graph: the float graph; float convolutions keep their weights as fp16.
        plan: its quantization.
        io_type: type of the image and the outputs.
        io_grids: for integer outputs: output name → int8 grid.
    Returns:
        The file: QUANTIZE and DEQUANTIZE only where the precision changes, a signature with the graph's names.
    """
    return _Writer(graph, plan).write(io_type, io_grids or {})


class _Writer:
    def __init__(self, graph: Graph, plan: Plan) -> None:
        self._graph = graph
        self._plan = plan
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]
        self._codes: dict[tuple[str, int], int] = {}
        # (tensor of the graph, how it is stored) → tensor of the file
        self._stored: dict[tuple[int, NodePrecision], int] = {}

    def write(self, io_type: Io, io_grids: Mapping[str, Grid]) -> bytes:
        image = self._input(io_type)
        for node in self._graph.nodes:
            self._node(node)
        outputs = {name: self._output(name, tensor, io_type, io_grids) for name, tensor in self._graph.outputs.items()}

        subgraph = schema.SubGraphT()
        subgraph.name = "main"
        subgraph.tensors, subgraph.operators = self._tensors, self._operators
        subgraph.inputs = np.array([image], np.int32)
        subgraph.outputs = np.array(list(outputs.values()), np.int32)
        model = schema.ModelT()
        model.version, model.description = 3, "blazeport"
        model.subgraphs, model.buffers = [subgraph], self._buffers
        model.operatorCodes = [_operator_code(kind, version) for kind, version in self._codes]
        set_signature(model, {"image": image}, outputs)
        model.metadata = []
        for name, content in self._graph.metadata.items():
            entry = schema.MetadataT()
            entry.name, entry.buffer = name, self._buffer(np.frombuffer(content, np.uint8))
            model.metadata.append(entry)
        return pack(model)

    def _input(self, io_type: Io) -> int:
        tensor, shape = self._graph.input, self._graph.shapes[self._graph.input]
        if io_type == "float":
            image = self._tensor("image", shape, schema.TensorType.FLOAT32)
            self._stored[tensor, "float"] = image
            return image
        grid = self._plan.grids[tensor, "int8"]
        if io_type == "int8":
            image = self._tensor("image", shape, schema.TensorType.INT8, grid)
            self._stored[tensor, "int8"] = image
            return image
        unsigned = Grid("int8", grid.scale, grid.zero_point + 128)
        image = self._tensor("image", shape, schema.TensorType.UINT8, unsigned)
        signed = self._tensor("image_int8", shape, schema.TensorType.INT8, grid)
        self._operator("QUANTIZE", "int8", [image], signed, schema.QuantizeOptionsT())
        self._stored[tensor, "int8"] = signed
        return image

    def _output(self, name: str, tensor: int, io_type: Io, io_grids: Mapping[str, Grid]) -> int:
        real = self._as(tensor, "float")
        shape = self._graph.shapes[tensor]
        if io_type == "float":
            self._tensors[real].name = name
            return real
        grid = io_grids[name]
        stored = self._tensor(name, shape, schema.TensorType.INT8, grid)
        self._operator("QUANTIZE", "float", [real], stored, schema.QuantizeOptionsT())
        if io_type == "int8":
            return stored
        self._tensors[stored].name = f"{name}_int8"
        unsigned = self._tensor(name, shape, schema.TensorType.UINT8, Grid("int8", grid.scale, grid.zero_point + 128))
        self._operator("QUANTIZE", "int8", [stored], unsigned, schema.QuantizeOptionsT())
        return unsigned

    def _node(self, node: Node) -> None:
        precision = self._plan.precision[node.output]
        inputs = []
        for tensor in node.inputs:
            if node.is_convolution and tensor in self._graph.constants:
                continue
            if tensor in self._graph.constants:
                inputs.append(self._constant(self._graph.names[tensor], self._graph.constants[tensor]))
            else:
                inputs.append(self._as(tensor, precision))
        if node.is_convolution:
            inputs += self._kernel(node, precision)
        output = self._new_version(node.output, precision)
        if hasattr(node.options, "fusedActivationFunction"):
            node.options.fusedActivationFunction = _FUSED[node.activation]
        self._operator(node.kind, precision, inputs, output, node.options)

    def _kernel(self, node: Node, precision: NodePrecision) -> list[int]:
        name = self._graph.names[node.output]
        if precision == "float":
            kernel, bias = (self._graph.constants[tensor] for tensor in node.inputs[1:])
            half = self._constant(f"{name}_kernel_fp16", kernel.astype(np.float16))
            unpacked = self._tensor(f"{name}_kernel", kernel.shape, schema.TensorType.FLOAT32)
            self._operator("DEQUANTIZE", "float", [half], unpacked, schema.DequantizeOptionsT())
            return [unpacked, self._constant(f"{name}_bias", bias.astype(np.float32))]
        weights = self._plan.weights[node.output]
        axis = 3 if node.kind == "DEPTHWISE_CONV_2D" else 0
        input_scale = self._plan.grids[node.inputs[0], precision].scale
        wide = np.int64 if precision == "int16" else np.int32
        return [
            self._constant(f"{name}_kernel", weights.kernel, weights.scales, axis),
            self._constant(f"{name}_bias", weights.bias.astype(wide), weights.scales * np.float32(input_scale), 0),
        ]

    def _as(self, tensor: int, precision: NodePrecision) -> int:
        """The file's tensor that holds `tensor` in the given precision, converted where it is not there yet."""
        if (tensor, precision) in self._stored:
            return self._stored[tensor, precision]
        have = next(stored for (stored_tensor, stored) in self._stored if stored_tensor == tensor)
        source = self._stored[tensor, have]
        converted = self._new_version(tensor, precision)
        if precision == "float":
            self._operator("DEQUANTIZE", have, [source], converted, schema.DequantizeOptionsT())
        else:
            self._operator("QUANTIZE", have, [source], converted, schema.QuantizeOptionsT())
        return converted

    def _new_version(self, tensor: int, precision: NodePrecision) -> int:
        grid = None if precision == "float" else self._plan.grids[tensor, precision]
        versions = sum(stored == tensor for stored, _ in self._stored)
        name = self._graph.names[tensor] if versions == 0 else f"{self._graph.names[tensor]}_{precision}"
        index = self._tensor(name, self._graph.shapes[tensor], _TYPES[precision], grid)
        self._stored[tensor, precision] = index
        return index

    def _tensor(self, name: str, shape: tuple[int, ...], dtype: int, grid: Grid | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, np.array(shape, np.int32), dtype, 0
        if grid is not None:
            tensor.quantization = _quantization([grid.scale], [grid.zero_point])
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _constant(self, name: str, value: np.ndarray, scales: np.ndarray | None = None, axis: int = 0) -> int:
        index = self._tensor(name, value.shape, _CONSTANT_TYPES[value.dtype])
        self._tensors[index].buffer = self._buffer(np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8))
        if scales is not None:
            self._tensors[index].quantization = _quantization(scales, np.zeros(len(scales)), axis)
        return index

    def _buffer(self, data: np.ndarray) -> int:
        buffer = schema.BufferT()
        buffer.data = data
        self._buffers.append(buffer)
        return len(self._buffers) - 1

    def _operator(self, kind: str, precision: NodePrecision, inputs: list[int], output: int, options: Any) -> None:
        key = (kind, _VERSIONS[kind][precision])
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(key, len(self._codes))
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(operator)


def _quantization(scales: Any, zero_points: Any, axis: int = 0) -> Any:
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.array(scales, np.float32)
    parameters.zeroPoint = np.array(zero_points, np.int64)
    parameters.quantizedDimension = axis
    return parameters


def _operator_code(kind: str, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    # Readers from before code 127 existed look here.
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
    return code
