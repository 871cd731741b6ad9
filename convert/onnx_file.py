"""Reads a .onnx file of anybody's: what is malformed, dynamic, unknown or too large is one error before it is run."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from ..errors import ConversionError, InputError
from ..models.config import VARIANTS
from ..runtime.interpreter import TensorSpec
from .onnx import require

MAX_BYTES = 2**31 - 1  # what protobuf and flatbuffers can hold
MAX_ELEMENTS = 2**28  # of one tensor; 1 GB in float32
_OWN_DOMAINS = ("", "ai.onnx")
_EXTERNAL_NUMBERS = ("offset", "length")


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxFile:
    """A model that was checked: static shapes, standard operators, every constant in memory.

    Attributes:
        path: of the file.
        proto: the `onnx.ModelProto`, with external data loaded.
        inputs: name → spec.
        outputs: name → spec.
        opset: version of the standard operators.
        metadata: name → text.
    """

    path: Path
    proto: Any
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    opset: int
    metadata: dict[str, str]

    @property
    def variant(self) -> str | None:
        """The variant that blazeport wrote into it; None for a stranger's network."""
        return self.metadata.get("variant") if self.metadata.get("variant") in VARIANTS else None

    def runner(self) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
        """Runs it in onnxruntime on the CPU, one thread: input name → array to output name → array.

        Raises:
            InputError: onnxruntime cannot run it.
        """
        ort = require("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = ort.InferenceSession(self.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common base.
            raise InputError(f"onnxruntime cannot run {self.path}: {_reason(error)}") from error
        names = list(self.outputs)

        def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            try:
                return dict(zip(names, session.run(names, inputs), strict=True))
            except Exception as error:
                raise InputError(f"onnxruntime fails in {self.path}: {_reason(error)}") from error

        return run


def read_onnx(path: Path) -> OnnxFile:
    """Reads and checks a model; nothing of it is run.

    Args:
        path: of the file; external data must lie in its folder or below.
    Raises:
        InputError: it is missing, no ONNX model, contradicts itself, has a dynamic or huge shape, or its external data
            lie elsewhere, are missing or are too short.
        ConversionError: it needs operators or an opset that are not known here.
    """
    require("onnx")
    if not path.is_file():
        raise InputError(f"Expected an existing .onnx file. {path} does not exist.")
    try:
        return _read(path)
    except (TypeError, ValueError, OverflowError) as error:  # Damaged text arrives as bytes where a name should be.
        raise InputError(f"{path} is malformed: {_reason(error)}") from error


def _read(path: Path) -> OnnxFile:
    onnx = require("onnx")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} is larger than 2 GB, which neither ONNX nor TFLite files can be.")
    try:
        proto = onnx.load_model(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, or whatever its reader meets.
        raise InputError(f"{path} is not an ONNX model: {_reason(error)}") from error
    if not proto.graph.node or not proto.graph.output:
        raise InputError(f"{path} is not an ONNX model: it has no operators or no outputs.")
    opset = _check_versions(proto, path)
    _check_operators(proto, path)
    _load_constants(proto, path)
    inputs = _static_inputs(proto, path)
    try:
        onnx.checker.check_model(proto)
        inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, data_prop=True)
    except Exception as error:  # The checker and shape inference raise errors of their own.
        raise InputError(f"{path} is malformed: {_reason(error)}") from error
    _check_sizes(inferred, path)
    outputs = {value.name: _spec(value, path) for value in inferred.graph.output}
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    return OnnxFile(path=path, proto=proto, inputs=inputs, outputs=outputs, opset=opset, metadata=metadata)


def require_onnx2tf_operators(file: OnnxFile) -> None:
    """Raises `ConversionError` for an operator that the installed onnx2tf does not have."""
    require_package = importlib.util.find_spec("onnx2tf")
    if require_package is None or not require_package.submodule_search_locations:
        require("onnx2tf")
        return
    known = {path.stem for path in (Path(require_package.submodule_search_locations[0]) / "ops").glob("*.py")}
    if missing := sorted({node.op_type for node in _nodes(file.proto.graph)} - known):
        raise ConversionError(
            f"{file.path} uses operators that onnx2tf does not know: {', '.join(missing)}. Replace them in the model."
        )


def _check_versions(proto: Any, path: Path) -> int:
    onnx = require("onnx")
    newest = int(onnx.defs.onnx_opset_version())
    if proto.ir_version > onnx.IR_VERSION:
        raise ConversionError(
            f"{path} has IR version {proto.ir_version}; the installed onnx reads up to {onnx.IR_VERSION}. "
            "Export it with an older one."
        )
    opset = next((entry.version for entry in proto.opset_import if entry.domain in _OWN_DOMAINS), 0)
    if opset > newest:
        raise ConversionError(
            f"{path} has opset {opset}; the installed onnx knows up to {newest}. Export it with an older opset."
        )
    if opset < 1:
        raise InputError(f"{path} is malformed: it names no opset of the standard operators.")
    return int(opset)


def _check_operators(proto: Any, path: Path) -> None:
    onnx = require("onnx")
    foreign = {f"{node.domain}.{node.op_type}" for node in _nodes(proto.graph) if node.domain not in _OWN_DOMAINS}
    unknown = {
        node.op_type for node in _nodes(proto.graph) if node.domain in _OWN_DOMAINS and not onnx.defs.has(node.op_type)
    }
    if foreign or unknown:
        raise ConversionError(
            f"{path} uses operators that are not standard ONNX: {', '.join(sorted(foreign | unknown))}. "
            "Export it without them."
        )


def _load_constants(proto: Any, path: Path) -> None:
    """Checks the declared size of every constant, then loads those that lie in other files."""
    onnx = require("onnx")
    folder = path.parent.resolve()
    total = 0
    for tensor in _tensors(proto.graph):
        if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > MAX_ELEMENTS:
            raise InputError(
                f"Constant {tensor.name!r} of {path} has the shape {list(tensor.dims)}, which is too large."
            )
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            total += _external_bytes(tensor, path, folder)
    if total > MAX_BYTES:
        raise InputError(f"The external data of {path} are larger than 2 GB, which a TFLite file cannot hold.")
    try:
        onnx.external_data_helper.load_external_data_for_model(proto, str(folder))
    except Exception as error:
        raise InputError(f"The external data of {path} cannot be read: {_reason(error)}") from error


def _external_bytes(tensor: Any, path: Path, folder: Path) -> int:
    """The size of a constant in another file, which must lie in the model's folder or below."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    outside = not location or Path(location).is_absolute() or PureWindowsPath(location).is_absolute()
    file = folder / location
    if outside or not file.resolve().is_relative_to(folder):
        raise InputError(
            f"The external data of {path} must lie in its folder. Received: {location!r} for {tensor.name!r}. "
            "Save the model with its data beside it."
        )
    if not file.is_file():
        raise InputError(f"{path} keeps {tensor.name!r} in {location}, which is not there. Copy it beside the model.")
    try:
        offset, length = (int(entries.get(key) or 0) for key in _EXTERNAL_NUMBERS)
    except ValueError as error:
        raise InputError(f"{path} is malformed: offset and length of {tensor.name!r} are no numbers.") from error
    available = file.stat().st_size
    if min(offset, length) < 0 or offset + length > available:
        raise InputError(f"{path} keeps {tensor.name!r} beyond the end of {location}, which has {available} bytes.")
    return length or available - offset


def _static_inputs(proto: Any, path: Path) -> dict[str, TensorSpec]:
    constants = {tensor.name for tensor in proto.graph.initializer}
    values = [value for value in proto.graph.input if value.name not in constants]
    if not values:
        raise InputError(f"{path} has no input.")
    return {value.name: _spec(value, path) for value in values}


def _spec(value: Any, path: Path) -> TensorSpec:
    onnx = require("onnx")
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise InputError(f"{value.name!r} of {path} has no shape. Export the model with static shapes.")
    sizes = [each.dim_value if each.HasField("dim_value") else each.dim_param or "?" for each in kind.shape.dim]
    if any(isinstance(size, str) or size < 1 for size in sizes):
        raise InputError(
            f"{value.name!r} of {path} has the shape [{', '.join(map(str, sizes))}]: static shapes are required. "
            "Fix them, e.g. with: onnxsim in.onnx out.onnx --overwrite-input-shape NAME:1,3,224,224."
        )
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{value.name!r} of {path} has element type {kind.elem_type}, which is unknown.") from error
    return TensorSpec(shape=tuple(map(int, sizes)), dtype=dtype)


def _check_sizes(inferred: Any, path: Path) -> None:
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        sizes = [each.dim_value for each in value.type.tensor_type.shape.dim]
        if math.prod(sizes) > MAX_ELEMENTS:
            raise InputError(f"Tensor {value.name!r} of {path} has the shape {sizes}, which is too large.")


def _nodes(graph: Any) -> Iterator[Any]:
    """Every node, those in the branches of control flow too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    """Every constant: initializers, sparse ones, and tensors in attributes."""
    for each in graph.sparse_initializer:
        yield from (each.values, each.indices)
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _reason(error: Exception) -> str:
    """What an error of a library says, on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
