"""Edits .tflite files for tests: the official networks with other heads, names, metadata or input and output types."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TENSOR_TYPES = {np.int8: schema.TensorType.INT8, np.uint8: schema.TensorType.UINT8}


def read(data: bytes) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(data, 0)


def write(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def keep_outputs(model: schema.ModelT, positions: Sequence[int]) -> None:
    graph = model.subgraphs[0]
    graph.outputs = [int(graph.outputs[position]) for position in positions]


def repeat_operators(model: schema.ModelT, numbers: Sequence[int]) -> None:
    """Makes a network slower: operators are done again, and what they give are outputs of the file, too.

    Args:
        model: changed in place; loses its signature.
        numbers: of the operators, which must have one output each; a number may come more than once.
    """
    graph = model.subgraphs[0]
    for number in numbers:
        again = copy.copy(graph.operators[number])
        result = copy.copy(graph.tensors[int(again.outputs[0])])
        result.name, result.buffer = f"again_{len(graph.tensors)}", 0
        again.outputs = [len(graph.tensors)]
        graph.tensors.append(result)
        graph.operators.append(again)
        graph.outputs = [*graph.outputs, again.outputs[0]]
    model.signatureDefs = []


def sign(model: schema.ModelT, output_names: Sequence[str]) -> None:
    """Names the input `image` and the outputs in a signature."""
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.inputs = [_tensor_map("image", graph.inputs[0])]
    signature.outputs = [_tensor_map(name, index) for name, index in zip(output_names, graph.outputs, strict=True)]
    model.signatureDefs = [signature]


def set_metadata(model: schema.ModelT, name: str, content: bytes) -> None:
    """Makes this the file's only metadata."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name.encode(), len(model.buffers) - 1
    model.metadata = [entry]


def quantize_io(
    model: schema.ModelT,
    dtype: type[np.generic],
    input_scale: tuple[float, int],
    output_scales: Mapping[int, tuple[float, int]],
) -> None:
    """Puts DEQUANTIZE after the input and QUANTIZE before the outputs at these positions; (scale, zero point) each."""
    graph = model.subgraphs[0]
    inner = int(graph.inputs[0])
    outer = _add_tensor(model, graph.tensors[inner].shape, dtype, input_scale)
    graph.inputs = [outer]
    graph.operators.insert(0, _operator(model, schema.BuiltinOperator.DEQUANTIZE, outer, inner))
    outputs = [int(index) for index in graph.outputs]
    for position, scale in output_scales.items():
        inner = outputs[position]
        outputs[position] = _add_tensor(model, graph.tensors[inner].shape, dtype, scale)
        graph.operators.append(_operator(model, schema.BuiltinOperator.QUANTIZE, inner, outputs[position]))
    graph.outputs = outputs


def _tensor_map(name: str, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), int(index)
    return entry


def _add_tensor(model: schema.ModelT, shape: Sequence[int], dtype: type[np.generic], scale: tuple[float, int]) -> int:
    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.buffer = list(shape), TENSOR_TYPES[dtype], 0
    tensor.name = f"quantized_{len(model.subgraphs[0].tensors)}".encode()
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [scale[0]], [scale[1]]
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _operator(model: schema.ModelT, builtin: int, source: int, target: int) -> schema.OperatorT:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 2 if builtin == schema.BuiltinOperator.DEQUANTIZE else 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes) - 1, [source], [target]
    return operator
