"""Reads a .tflite file into plain data: tensors, operators in order, and constants as dense arrays.

The file may come from anywhere, so nothing in it is trusted: every count, shape and index is checked against the file's
own size before anything is allocated, and whatever is wrong becomes one `WeightsError`.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..errors import WeightsError
from .sparse import Level, Sparsity

MAX_FILE_BYTES = 2**31 - 1  # a flatbuffer's own limit
MAX_TABLES = 2**16  # tensors, operators or buffers; the largest official file has about 1500
MAX_RANK = 8
MAX_CONSTANT_ELEMENTS = 2**25  # all constants together, unless the file itself is larger

_FOLDED_KINDS = ("DEQUANTIZE", "DENSIFY")


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


_KINDS = _names(schema.BuiltinOperator)
_DTYPES = {value: name.lower() for value, name in _names(schema.TensorType).items()}
_NUMPY_DTYPES = {"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))} | {
    "float16",
    "float32",
    "float64",
}
_PADDINGS = _names(schema.Padding)
_STRIDED_OPTIONS = {
    schema.BuiltinOptions.Conv2DOptions: schema.Conv2DOptions,
    schema.BuiltinOptions.DepthwiseConv2DOptions: schema.DepthwiseConv2DOptions,
    schema.BuiltinOptions.Pool2DOptions: schema.Pool2DOptions,
    schema.BuiltinOptions.TransposeConvOptions: schema.TransposeConvOptions,
}
_INDEX_VECTORS = {
    schema.SparseIndexVector.Int32Vector: schema.Int32Vector,
    schema.SparseIndexVector.Uint16Vector: schema.Uint16Vector,
    schema.SparseIndexVector.Uint8Vector: schema.Uint8Vector,
}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of the graph.

    Attributes:
        index: its place in `TfliteGraph.tensors`.
        name: its name in the file.
        shape: as stored; -1 is a dimension that is known only at run time.
        dtype: numpy's name, e.g. `float32`; TFLite's in lower case where numpy has none, e.g. `int4`.
        is_constant: its value is stored in the file. `TfliteGraph.is_constant` also counts what folds to a constant.
        scale: quantization scales, one or one per channel; empty when it is not quantized.
        zero_point: quantization zero points, as many as scales.
        quantized_dimension: the axis the scales run along.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    is_constant: bool
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    quantized_dimension: int = 0


@dataclass(frozen=True, kw_only=True)
class Op:
    """One operator of the graph.

    Attributes:
        kind: the builtin's name, e.g. `CONV_2D`; `CUSTOM:name` for a custom one.
        inputs: tensor indices; -1 is an optional input that is left out.
        outputs: tensor indices.
        stride: `(vertical, horizontal)` of convolutions and pools, else None.
        padding: `SAME` or `VALID` of convolutions and pools, else None.
        depth_multiplier: of depthwise convolutions, else None. Converters may leave it 0: the shapes tell it too.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    stride: tuple[int, int] | None = None
    padding: str | None = None
    depth_multiplier: int | None = None


class Signature(TypedDict):
    """Names of a graph's inputs and outputs → tensor indices."""

    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stored:
    """A constant as it lies in the file: a view of its bytes, and where they belong when it is sparse."""

    data: np.ndarray  # (bytes,) uint8
    sparsity: Sparsity | None


@dataclass(frozen=True, kw_only=True, eq=False)
class TfliteGraph:
    """The one subgraph of a .tflite file.

    Attributes:
        source: what it was read from, for messages.
        tensors: by index.
        ops: in execution order, including those that only unpack constants (`DEQUANTIZE`, `DENSIFY`).
        inputs: tensor indices.
        outputs: tensor indices.
        signature: the first signature, or None.
        metadata: name → bytes.
    """

    source: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signature: Signature | None
    metadata: dict[str, bytes]
    _stored: dict[int, _Stored] = field(repr=False)
    _folded: dict[int, int] = field(repr=False)

    def is_constant(self, index: int) -> bool:
        """Whether `constant(index)` has a value: stored, or unpacked from a stored one by DEQUANTIZE or DENSIFY."""
        return index in self._stored or index in self._folded

    def storage(self, index: int) -> int:
        """The tensor that stores a constant: itself, or the one that DEQUANTIZE or DENSIFY unpacks."""
        return self._folded.get(index, index)

    def constant(self, index: int) -> np.ndarray:
        """The value of a constant, with float16 and sparse storage folded away.

        Args:
            index: tensor index; the output of a DEQUANTIZE or DENSIFY of a stored float is a constant too.
        Returns:
            The tensor's shape, dense; float32 for every kind of float, integers as they are stored (not dequantized).
        Raises:
            WeightsError: the tensor is not a constant, or its data are broken.
        """
        if not self.is_constant(index):
            name = self.tensors[index].name if index in range(len(self.tensors)) else f"number {index}"
            raise WeightsError(
                f"A constant was expected. Received: tensor {name!r} of {self.source}, which is computed."
            )
        origin = self.storage(index)
        tensor, stored = self.tensors[origin], self._stored[origin]
        if tensor.dtype not in _NUMPY_DTYPES:
            raise WeightsError(f"{self.source}: constants of dtype {tensor.dtype} cannot be read ({tensor.name!r}).")
        values = stored.data.view(np.dtype(tensor.dtype).newbyteorder("<"))
        if stored.sparsity is not None:
            try:
                dense = stored.sparsity.densify(values, tensor.shape)
            except WeightsError as error:
                raise _unreadable(self.source, f"tensor {tensor.name!r}: {error}") from error
        else:
            dense = values.reshape(tensor.shape)
        return dense.astype(np.float32 if dense.dtype.kind == "f" else np.dtype(tensor.dtype))


def read_tflite(source: Path | bytes) -> TfliteGraph:
    """Reads a .tflite file.

    Args:
        source: the file, or its content.
    Returns:
        The graph. Constants are unpacked when they are asked for.
    Raises:
        WeightsError: it cannot be opened, is no .tflite file, is truncated or contradicts itself.
    """
    name, data = ("the given bytes", source) if isinstance(source, bytes) else (str(source), _read_file(source))
    _check_header(name, data[:8], len(data))
    try:
        return _Reader(data).graph(name)
    except WeightsError as error:
        raise _unreadable(name, str(error)) from error
    except (struct.error, IndexError, KeyError, ValueError, TypeError, OverflowError) as error:
        # What flatbuffers, struct and numpy raise for offsets that point outside the file.
        raise _unreadable(name, "it is truncated or damaged") from error


def named_arrays(graph: TfliteGraph) -> dict[str, np.ndarray]:
    """All float constants the operators use, in the order of their first use.

    Returns:
        Name of the tensor that stores it → float32 array in the file's layout (`OHWI` convolutions, `1HWC` depthwise).
        A name that occurs twice gets `_1`, `_2`, … appended.
    Raises:
        WeightsError: a constant's data are broken.
    """
    arrays: dict[str, np.ndarray] = {}
    seen: set[int] = set()
    for op in graph.ops:
        if op.kind in _FOLDED_KINDS and graph.is_constant(op.outputs[0]):
            continue
        for index in op.inputs:
            if not graph.is_constant(index):
                continue
            stored = graph.tensors[graph.storage(index)]
            if stored.index in seen or not stored.dtype.startswith("float"):
                continue
            seen.add(stored.index)
            copies = (f"{stored.name}_{i}" for i in itertools.count(1))
            name = next(name for name in itertools.chain([stored.name], copies) if name not in arrays)
            arrays[name] = graph.constant(index)
    return arrays


def _unreadable(name: str, reason: str) -> WeightsError:
    return WeightsError(f"Cannot read {name} as a .tflite file: {reason}. Fetch or export the file again.")


def _read_file(path: Path) -> bytes:
    if not path.exists():
        raise WeightsError(f"A .tflite file was expected. Received: {path}, which does not exist.")
    if not path.is_file():  # reading a pipe or a device might never end
        raise WeightsError(f"A .tflite file was expected. Received: {path}, which is not a regular file.")
    try:
        with path.open("rb") as stream:
            _check_header(str(path), stream.read(8), path.stat().st_size)
            stream.seek(0)
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"Cannot read {path}: {error.strerror or error}.") from error


def _check_header(name: str, header: bytes, size: int) -> None:
    if header[4:8] != b"TFL3":
        received = "an empty file" if size == 0 else f"a file that begins with {header[:8]!r}"
        raise WeightsError(f"Cannot read {name}: a .tflite file (mark TFL3) was expected. Received: {received}.")
    if size > MAX_FILE_BYTES:
        raise _unreadable(name, f"it has {size} bytes, at most {MAX_FILE_BYTES} are possible")


class _Reader:
    """Walks the flatbuffer through lazy accessors, with a budget for what may be copied out of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        # An honest file stores each list and name once. A hostile one may point at the same megabytes a million times.
        self._bytes_left = 2 * len(data)
        self._elements_left = max(MAX_CONSTANT_ELEMENTS, len(data))

    def graph(self, source: str) -> TfliteGraph:
        model = schema.Model.GetRootAs(self._data, 0)
        if model.SubgraphsLength() != 1:
            raise WeightsError(f"one subgraph was expected, it has {model.SubgraphsLength()}")
        subgraph = model.Subgraphs(0)
        buffers = [self._buffer(buffer) for buffer in self._tables(model, "Buffers")]
        kinds = [self._kind(code) for code in self._tables(model, "OperatorCodes")]
        ops = tuple(self._op(op, kinds) for op in self._tables(subgraph, "Operators"))
        computed = {index for op in ops for index in op.outputs}
        inputs, outputs = self._numbers(subgraph, "Inputs"), self._numbers(subgraph, "Outputs")

        tensors: list[Tensor] = []
        stored: dict[int, _Stored] = {}
        for index, raw in enumerate(self._tables(subgraph, "Tensors")):
            data = buffers[raw.Buffer()]
            is_constant = data.size > 0 and index not in computed and index not in inputs and not raw.IsVariable()
            tensors.append(self._tensor(index, raw, is_constant))
            if is_constant:
                stored[index] = self._constant(tensors[-1], raw, data)

        used = {*computed, *inputs, *outputs, *(index for op in ops for index in op.inputs if index != -1)}
        if not used <= set(range(len(tensors))):
            raise WeightsError(f"it uses a tensor beyond its {len(tensors)}")
        return TfliteGraph(
            source=source,
            tensors=tuple(tensors),
            ops=ops,
            inputs=inputs,
            outputs=outputs,
            signature=self._signature(model, len(tensors)),
            metadata={
                self._text(entry.Name()): self._copy(buffers[entry.Buffer()])
                for entry in self._tables(model, "Metadata")
            },
            _stored=stored,
            _folded=_fold(ops, tensors, stored),
        )

    def _spend(self, num_bytes: int) -> None:
        self._bytes_left -= num_bytes
        if self._bytes_left < 0:
            raise WeightsError("its lists claim more than the file holds")

    def _tables(self, parent: Any, field_name: str) -> Iterator[Any]:
        length = getattr(parent, f"{field_name}Length")()
        if length > MAX_TABLES:
            raise WeightsError(f"it claims {length} {field_name.lower()}, at most {MAX_TABLES} are possible")
        self._spend(4 * length)
        accessor: Callable[[int], Any] = getattr(parent, field_name)
        return (accessor(i) for i in range(length))

    def _numbers(self, parent: Any, field_name: str) -> tuple[Any, ...]:
        length = getattr(parent, f"{field_name}Length")()
        self._spend(4 * length)
        return tuple(getattr(parent, f"{field_name}AsNumpy")().tolist()) if length else ()

    def _text(self, raw: bytes | None) -> str:
        self._spend(len(raw or b""))
        return (raw or b"").decode("utf-8", "replace")

    def _copy(self, data: np.ndarray) -> bytes:
        self._spend(data.size)
        return data.tobytes()

    def _buffer(self, buffer: Any) -> np.ndarray:
        if buffer.Offset() > 1:
            raise WeightsError("it keeps constants outside the flatbuffer, which is not supported")
        data: np.ndarray = buffer.DataAsNumpy() if buffer.DataLength() else np.empty(0, np.uint8)
        return data

    def _kind(self, code: Any) -> str:
        # Codes below 127 live in the old field, later ones in the new.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == schema.BuiltinOperator.CUSTOM:
            return f"CUSTOM:{self._text(code.CustomCode())}"
        if number not in _KINDS:
            raise WeightsError(f"it uses operator code {number}, which is unknown")
        return _KINDS[number]

    def _op(self, op: Any, kinds: list[str]) -> Op:
        kind, inputs, outputs = kinds[op.OpcodeIndex()], self._numbers(op, "Inputs"), self._numbers(op, "Outputs")
        if kind in _FOLDED_KINDS and (len(inputs), len(outputs)) != (1, 1):
            raise WeightsError(f"a {kind} has {len(inputs)} inputs and {len(outputs)} outputs")
        table = op.BuiltinOptions()
        if table is None or op.BuiltinOptionsType() not in _STRIDED_OPTIONS:
            return Op(kind=kind, inputs=inputs, outputs=outputs)
        options = _STRIDED_OPTIONS[op.BuiltinOptionsType()]()
        options.Init(table.Bytes, table.Pos)
        return Op(
            kind=kind,
            inputs=inputs,
            outputs=outputs,
            stride=(options.StrideH(), options.StrideW()),
            padding=_PADDINGS[options.Padding()],
            depth_multiplier=options.DepthMultiplier() if kind == "DEPTHWISE_CONV_2D" else None,
        )

    def _tensor(self, index: int, raw: Any, is_constant: bool) -> Tensor:
        name = self._text(raw.Name())
        if raw.ShapeLength() > MAX_RANK:
            raise WeightsError(f"tensor {name!r} has {raw.ShapeLength()} dimensions, at most {MAX_RANK} are possible")
        shape = self._numbers(raw, "Shape")
        if any(size < (0 if is_constant else -1) for size in shape):
            raise WeightsError(f"tensor {name!r} has the shape {list(shape)}")
        if raw.Type() not in _DTYPES:
            raise WeightsError(f"tensor {name!r} has dtype number {raw.Type()}, which is unknown")
        quantization = raw.Quantization()
        return Tensor(
            index=index,
            name=name,
            shape=shape,
            dtype=_DTYPES[raw.Type()],
            is_constant=is_constant,
            scale=() if quantization is None else self._numbers(quantization, "Scale"),
            zero_point=() if quantization is None else self._numbers(quantization, "ZeroPoint"),
            quantized_dimension=0 if quantization is None else quantization.QuantizedDimension(),
        )

    def _constant(self, tensor: Tensor, raw: Any, data: np.ndarray) -> _Stored:
        elements = math.prod(tensor.shape)
        self._elements_left -= elements
        if self._elements_left < 0:
            raise WeightsError(f"tensor {tensor.name!r} of shape {list(tensor.shape)} is too large for the file")
        itemsize = np.dtype(tensor.dtype).itemsize if tensor.dtype in _NUMPY_DTYPES else 1
        sparsity = self._sparsity(raw.Sparsity())
        if sparsity is not None:
            if data.size % itemsize:
                raise WeightsError(f"tensor {tensor.name!r} holds {data.size} bytes of {tensor.dtype}")
            sparsity.check(tensor.shape, data.size // itemsize)
        elif tensor.dtype in _NUMPY_DTYPES and data.size != elements * itemsize:
            needed = f"{elements * itemsize} bytes, it has {data.size}"
            raise WeightsError(f"tensor {tensor.name!r} of shape {list(tensor.shape)} needs {needed}")
        return _Stored(data=data, sparsity=sparsity)

    def _sparsity(self, raw: Any) -> Sparsity | None:
        if raw is None:
            return None
        if max(raw.DimMetadataLength(), raw.TraversalOrderLength(), raw.BlockMapLength()) > 2 * MAX_RANK:
            raise WeightsError("a sparse tensor has too many dimensions")
        return Sparsity(
            order=self._numbers(raw, "TraversalOrder"),
            block_map=self._numbers(raw, "BlockMap"),
            levels=tuple(self._level(level) for level in self._tables(raw, "DimMetadata")),
        )

    def _level(self, raw: Any) -> Level:
        if raw.Format() == schema.DimensionType.DENSE:
            return Level(size=raw.DenseSize(), segments=np.empty(0, np.int32), indices=np.empty(0, np.int32))
        return Level(
            size=None,
            segments=self._index_vector(raw.ArraySegmentsType(), raw.ArraySegments()),
            indices=self._index_vector(raw.ArrayIndicesType(), raw.ArrayIndices()),
        )

    def _index_vector(self, kind: int, table: Any) -> np.ndarray:
        vector = _INDEX_VECTORS[kind]()
        vector.Init(table.Bytes, table.Pos)
        values: np.ndarray = vector.ValuesAsNumpy() if vector.ValuesLength() else np.empty(0, np.int32)
        return values

    def _signature(self, model: Any, num_tensors: int) -> Signature | None:
        if model.SignatureDefsLength() == 0:
            return None
        signature = model.SignatureDefs(0)
        names: list[dict[str, int]] = []
        for side in ("Inputs", "Outputs"):
            entries = {self._text(entry.Name()): entry.TensorIndex() for entry in self._tables(signature, side)}
            if any(index >= num_tensors for index in entries.values()):
                raise WeightsError(f"its signature names a tensor beyond its {num_tensors}")
            names.append(entries)
        return Signature(inputs=names[0], outputs=names[1])


def _fold(ops: tuple[Op, ...], tensors: list[Tensor], stored: dict[int, _Stored]) -> dict[int, int]:
    """Outputs of operators that only unpack a stored float → the tensor that stores it."""
    folded: dict[int, int] = {}
    for op in ops:
        if op.kind not in _FOLDED_KINDS:
            continue
        origin = folded.get(op.inputs[0], op.inputs[0])
        if origin not in stored or (op.kind == "DEQUANTIZE" and not tensors[origin].dtype.startswith("float")):
            continue
        if tensors[origin].shape != tensors[op.outputs[0]].shape:
            raise WeightsError(f"a {op.kind} changes the shape of tensor {tensors[origin].name!r}")
        folded[op.outputs[0]] = origin
    return folded
