"""Finishing touches on a TFLite file: names, output order, signature, metadata. Graph and constants stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..errors import ConversionError

SIGNATURE_KEY = "serving_default"
# schema.fbs: `data:[ubyte] (force_align: 16)`, which the generated Python code does not do.
_BUFFER_ALIGNMENT = 16


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A constant whose bytes begin at a multiple of 16, as the schema asks."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        """Writes the buffer."""
        vector = None
        if self.data is not None and len(self.data):
            array = np.ascontiguousarray(self.data, dtype=np.uint8)
            builder.StartVector(1, array.size, _BUFFER_ALIGNMENT)
            builder.head = builder.Head() - array.size
            builder.Bytes[builder.Head() : builder.Head() + array.size] = array.tobytes()
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def finish(content: bytes, output_names: tuple[str, ...], metadata: Mapping[str, bytes]) -> bytes:
    """Names the input `image` and the outputs, orders the outputs, and adds a signature and metadata.

    Args:
        content: a file from the converter, with a signature of one input and outputs `output_0`, `output_1`, ….
        output_names: the names of those outputs, in the order of their numbers and of the finished file.
        metadata: entries to add, name → content.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    (signature,) = model.signatureDefs
    tensors = {entry.name.decode(): entry.tensorIndex for entry in signature.outputs}
    outputs = [tensors[f"output_{number}"] for number in range(len(output_names))]
    _name(model, {"image": int(model.subgraphs[0].inputs[0])}, dict(zip(output_names, outputs, strict=True)))
    _append_metadata(model, metadata)
    return pack(model)


def finish_foreign(
    content: bytes, inputs: Mapping[str, str], outputs: Mapping[str, int], metadata: Mapping[str, bytes]
) -> bytes:
    """As `finish`, for a file of TensorFlow's converter that another program called.

    Args:
        content: the file; its outputs are numbered by their tensors' names, or by those of its signature.
        inputs: name of an input's tensor → the name it gets.
        outputs: name an output gets → its number; also the order of the finished file.
        metadata: entries to add, name → content.
    Raises:
        ConversionError: the inputs or outputs cannot be told apart.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]
    given = {_plain_name(graph.tensors[index].name): int(index) for index in graph.inputs}
    numbered = {_number(graph.tensors[index].name): int(index) for index in graph.outputs}
    for signature in model.signatureDefs or []:
        given |= {entry.name.decode(): entry.tensorIndex for entry in signature.inputs}
        numbered |= {_number(entry.name): entry.tensorIndex for entry in signature.outputs}
    if not (inputs.keys() <= given.keys() and set(outputs.values()) <= numbered.keys()):
        raise ConversionError(
            f"The converter's file has the inputs {', '.join(given)} and {len(graph.outputs)} outputs; expected the "
            f"inputs {', '.join(inputs)} and {len(outputs)} outputs."
        )
    _name(
        model,
        {name: given[origin] for origin, name in inputs.items()},
        {name: numbered[number] for name, number in outputs.items()},
    )
    _append_metadata(model, metadata)
    return pack(model)


def _name(model: Any, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
    """Names inputs and outputs, orders them, and writes the signature."""
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = (np.array(list(side.values()), dtype=np.int32) for side in (inputs, outputs))
    graph.name = "main"
    named = {**inputs, **outputs}
    _shorten_names(graph.tensors, taken=tuple(named))
    for name, index in named.items():
        graph.tensors[index].name = name
    set_signature(model, inputs, outputs)


def _plain_name(name: bytes) -> str:
    """Of an input: without the prefix of a signature and the number of a tensor."""
    return name.decode().removeprefix("serving_default_").partition(":")[0]


def _number(name: bytes) -> int:
    """Of an output: `Identity` and `call:0` are 0, `Identity_1`, `call:1` and `output_1` are 1."""
    digits = re.search(r"[_:](\d+)$", name.decode())
    return int(digits[1]) if digits else 0


def add_metadata(content: bytes, metadata: Mapping[str, bytes]) -> bytes:
    """The same file with these metadata entries, name → content; they replace those of the same name."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    _append_metadata(model, metadata)
    return pack(model)


def set_signature(model: Any, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
    """Gives a `ModelT` its one signature: names → tensor indices of the first subgraph."""
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE_KEY, 0
    signature.inputs = [_tensor_map(name, index) for name, index in inputs.items()]
    signature.outputs = [_tensor_map(name, index) for name, index in outputs.items()]
    model.signatureDefs = [signature]


def pack(model: Any) -> bytes:
    """Serialises a `ModelT`, constants aligned to 16 bytes."""
    for buffer in model.buffers:
        buffer.__class__ = _AlignedBuffer
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(size + (1 << 16))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _append_metadata(model: Any, metadata: Mapping[str, bytes]) -> None:
    model.metadata = [entry for entry in model.metadata or [] if entry.name.decode() not in metadata]
    for name, data in metadata.items():
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        model.buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(model.buffers) - 1
        model.metadata.append(entry)


def _shorten_names(tensors: list[Any], taken: tuple[str, ...]) -> None:
    """Names each tensor after the Keras layer that made it; none gets a name in `taken`.

    The converter joins the paths of all fused operators, which makes up a tenth of a small file.
    """
    seen = dict.fromkeys(taken, 1)
    for tensor in tensors:
        path = tensor.name.decode().split(";")[0].split("/")
        name = path[1] if len(path) > 1 else path[0]
        seen[name] = seen.get(name, 0) + 1
        tensor.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _tensor_map(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
