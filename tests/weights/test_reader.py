"""The reader against the official files, against LiteRT's own unpacking, and against files made to hurt it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from blazeport.errors import WeightsError
from blazeport.weights.reader import TfliteGraph, named_arrays, read_tflite

Official = Callable[[str], Path]

# Weights and float constants of each network; two biases of the pose detector serve two layers each and count once.
NUM_PARAMS = {
    "face_detection_short_range": 101_390,
    "face_detection_full_range": 514_069,
    "face_detection_full_range_sparse": 508_308,
    "pose_detection": 2_965_314 - 288,
    "pose_landmark_lite": 1_363_089,
    "pose_landmark_full": 3_169_489,
    "pose_landmark_heavy": 13_751_073,
}


@pytest.fixture(scope="session")
def short_range(official: Official) -> bytes:
    return official("face_detection_short_range").read_bytes()


# --- official files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", NUM_PARAMS)
def test_every_weight_of_an_official_file_is_read(official: Official, variant: str):
    graph = read_tflite(official(variant))
    arrays = named_arrays(graph)
    assert sum(array.size for array in arrays.values()) == NUM_PARAMS[variant]
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())
    assert next(op.stride for op in graph.ops if op.stride) == (2, 2)
    assert {op.padding for op in graph.ops if op.kind == "DEPTHWISE_CONV_2D"} <= {"SAME", "VALID"}
    assert {op.depth_multiplier for op in graph.ops if op.kind == "DEPTHWISE_CONV_2D"} == {1}
    assert graph.tensors[graph.inputs[0]].dtype == "float32"


@pytest.mark.parametrize("variant", ["face_detection_full_range_sparse", "pose_detection", "pose_landmark_lite"])
@pytest.mark.filterwarnings("ignore:Warning. Enabling `experimental_preserve_all_tensors`:UserWarning")
def test_folded_constants_are_what_litert_unpacks(official: Official, variant: str):
    path = official(variant)
    graph = read_tflite(path)
    interpreter = Interpreter(
        model_path=str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    unpacked = [op.outputs[0] for op in graph.ops if op.kind == "DEQUANTIZE"]
    assert unpacked
    for index in unpacked:
        np.testing.assert_array_equal(graph.constant(index), interpreter.get_tensor(index))


@pytest.mark.parametrize(("variant", "zeros"), [("face_detection_full_range_sparse", 0.70), ("pose_detection", 0.75)])
def test_sparse_kernels_have_their_zeros_again(official: Official, variant: str, zeros: float):
    graph = read_tflite(official(variant))
    kernels = [graph.constant(op.outputs[0]) for op in graph.ops if op.kind == "DENSIFY"]
    assert kernels
    for kernel in kernels:
        assert np.mean(kernel == 0) == pytest.approx(zeros, abs=0.01)


def test_a_path_and_its_bytes_read_alike(official: Official, short_range: bytes):
    from_path, from_bytes = read_tflite(official("face_detection_short_range")), read_tflite(short_range)
    assert from_path.tensors == from_bytes.tensors
    assert from_path.ops == from_bytes.ops


def test_asking_for_a_computed_tensor_names_it(short_range: bytes):
    graph = read_tflite(short_range)
    output = graph.outputs[0]
    assert not graph.is_constant(output)
    with pytest.raises(WeightsError, match=graph.tensors[output].name):
        graph.constant(output)
    with pytest.raises(WeightsError, match="number 99999"):
        graph.constant(99999)


# --- hand-made files --------------------------------------------------------------------------------------------------


def tensor(name: str, shape: list[int], *, dtype: int = schema.TensorType.FLOAT32, buffer: int = 0) -> schema.TensorT:
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name, shape, dtype, buffer
    return made


def operator(code: int, inputs: list[int], outputs: list[int]) -> schema.OperatorT:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, outputs
    return made


def op_code(kind: int, custom: str | None = None) -> schema.OperatorCodeT:
    made = schema.OperatorCodeT()
    made.builtinCode, made.deprecatedBuiltinCode, made.customCode = kind, min(kind, 127), custom
    return made


def sparsity(shape: list[int]) -> schema.SparsityParametersT:
    """All levels dense but the last, which is compressed and stores nothing."""
    made = schema.SparsityParametersT()
    made.traversalOrder = list(range(len(shape)))
    made.dimMetadata = []
    for size in shape[:-1]:
        level = schema.DimensionMetadataT()
        level.format, level.denseSize = schema.DimensionType.DENSE, size
        made.dimMetadata.append(level)
    last = schema.DimensionMetadataT()
    last.format = schema.DimensionType.SPARSE_CSR
    last.arraySegmentsType = last.arrayIndicesType = schema.SparseIndexVector.Int32Vector
    last.arraySegments, last.arrayIndices = schema.Int32VectorT(), schema.Int32VectorT()
    last.arraySegments.values, last.arrayIndices.values = [0, 1], [0]
    made.dimMetadata.append(last)
    return made


def model(
    tensors: list[schema.TensorT],
    buffers: Sequence[bytes] = (),
    operators: Sequence[schema.OperatorT] = (),
    codes: Sequence[schema.OperatorCodeT] = (),
    *,
    inputs: Sequence[int] = (),
    outputs: Sequence[int] = (),
    subgraphs: int = 1,
    change: Callable[[schema.ModelT], None] = lambda made: None,
) -> bytes:
    """A .tflite file; buffer 0 is the empty one, `buffers` begin at 1."""
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, inputs, outputs
    made = schema.ModelT()
    made.version, made.subgraphs, made.operatorCodes, made.buffers = 3, [graph] * subgraphs, codes, []
    for content in [b"", *buffers]:
        buffer = schema.BufferT()
        buffer.data = list(content) or None
        made.buffers.append(buffer)
    change(made)
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_quantization_signature_metadata_and_custom_ops_are_read():
    weights = tensor("w", [2, 2], dtype=schema.TensorType.INT8, buffer=1)
    weights.quantization = schema.QuantizationParametersT()
    weights.quantization.scale, weights.quantization.zeroPoint = [0.5, 0.25], [0, 3]
    weights.quantization.quantizedDimension = 1

    def describe(made: schema.ModelT) -> None:
        signature, entry, metadata = schema.SignatureDefT(), schema.TensorMapT(), schema.MetadataT()
        entry.name, entry.tensorIndex = "image", 1
        signature.inputs, signature.outputs, signature.signatureKey = [entry], [], "serving_default"
        metadata.name, metadata.buffer = "variant", 2
        made.signatureDefs, made.metadata = [signature], [metadata]

    graph = read_tflite(
        model(
            [weights, tensor("x", [-1, 2]), tensor("y", [1, 2])],
            [bytes([1, 2, 255, 4]), b"lite"],
            [operator(0, [1, 0, -1], [2])],
            [op_code(schema.BuiltinOperator.CUSTOM, "MyOp")],
            inputs=[1],
            outputs=[2],
            change=describe,
        )
    )
    assert graph.tensors[0].is_constant
    assert graph.tensors[0].dtype == "int8"
    assert (graph.tensors[0].scale, graph.tensors[0].zero_point) == ((0.5, 0.25), (0, 3))
    assert graph.tensors[0].quantized_dimension == 1
    np.testing.assert_array_equal(graph.constant(0), np.array([[1, 2], [-1, 4]], np.int8))
    assert graph.constant(0).dtype == np.int8
    assert graph.tensors[1].shape == (-1, 2)
    assert graph.ops[0].kind == "CUSTOM:MyOp"
    assert graph.ops[0].inputs == (1, 0, -1)
    assert graph.signature == {"inputs": {"image": 1}, "outputs": {}}
    assert graph.metadata == {"variant": b"lite"}
    assert named_arrays(graph) == {}


def test_names_that_occur_twice_stay_apart_and_in_order():
    tensors = [tensor("w", [1], buffer=1), tensor("w", [1], buffer=2), tensor("x", [1]), tensor("y", [1])]
    contents = [np.float32(value).tobytes() for value in (1, 2)]
    operators = [operator(0, [2, 1], [3]), operator(0, [3, 0, 1], [3])]
    arrays = named_arrays(read_tflite(model(tensors, contents, operators, [op_code(schema.BuiltinOperator.ADD)])))
    assert {name: float(value[0]) for name, value in arrays.items()} == {"w": 2.0, "w_1": 1.0}
    assert list(arrays) == ["w", "w_1"]


def dequantize_loop() -> bytes:
    half = schema.TensorType.FLOAT16
    tensors = [tensor("a", [1], dtype=half), tensor("b", [1], dtype=half)]
    operators = [operator(0, [0], [1]), operator(0, [1], [0])]
    return model(tensors, [], operators, [op_code(schema.BuiltinOperator.DEQUANTIZE)])


def test_constants_that_unpack_in_a_circle_are_no_constants():
    graph = read_tflite(dequantize_loop())
    assert not graph.is_constant(0)
    assert not graph.is_constant(1)


def sparse_model(shape: list[int], change: Callable[[schema.SparsityParametersT], None] = lambda made: None) -> bytes:
    made = tensor("w", shape, buffer=1)
    made.sparsity = sparsity(shape)
    change(made.sparsity)
    return model([made], [np.float32(7).tobytes()])


def test_a_sparse_float32_tensor_is_read():
    np.testing.assert_array_equal(read_tflite(sparse_model([1, 3])).constant(0), [[7, 0, 0]])


def index_beyond(made: schema.SparsityParametersT) -> None:
    made.dimMetadata[-1].arrayIndices.values = [3]


def out_of_graph_signature(made: schema.ModelT) -> None:
    signature, entry = schema.SignatureDefT(), schema.TensorMapT()
    entry.name, entry.tensorIndex = "image", 7
    signature.inputs, signature.outputs = [entry], []
    made.signatureDefs = [signature]


def same_table_many_times(made: schema.ModelT) -> None:
    made.buffers = made.buffers * 70_000


def external_buffer(made: schema.ModelT) -> None:
    made.buffers[0].offset, made.buffers[0].size = 100, 100


four_bytes, huge = bytes(4), 2**31 - 1
ADD = op_code(schema.BuiltinOperator.ADD)

HOSTILE = {
    "huge dense shape": lambda: model([tensor("w", [huge, huge, huge], buffer=1)], [four_bytes]),
    "shape larger than its data": lambda: model([tensor("w", [2], buffer=1)], [four_bytes]),
    "negative dimension": lambda: model([tensor("w", [-1, -1], buffer=1)], [four_bytes]),
    "rank 100": lambda: model([tensor("w", [1] * 100)]),
    "huge sparse shape": lambda: sparse_model([1, huge]),
    "many huge sparse dimensions": lambda: sparse_model([1, 1, 1, 1, 1, 1, 1, huge]),
    "sparse index beyond its dimension": lambda: sparse_model([1, 3], index_beyond),
    "tensor without a buffer": lambda: model([tensor("w", [1], buffer=9)]),
    "operator input beyond the tensors": lambda: model([tensor("w", [1])], [], [operator(0, [5], [0])], [ADD]),
    "negative graph input": lambda: model([tensor("w", [1])], inputs=[-1]),
    "operator without a code": lambda: model([tensor("w", [1])], [], [operator(3, [0], [0])], [ADD]),
    "unknown operator": lambda: model([tensor("w", [1])], [], [operator(0, [0], [0])], [op_code(9999)]),
    "unknown dtype": lambda: model([tensor("w", [1], dtype=99)]),
    "two subgraphs": lambda: model([tensor("w", [1])], subgraphs=2),
    "no subgraph": lambda: model([tensor("w", [1])], subgraphs=0),
    "signature beyond the tensors": lambda: model([tensor("w", [1])], change=out_of_graph_signature),
    "too many buffers": lambda: model([tensor("w", [1])], change=same_table_many_times),
    "data outside the flatbuffer": lambda: model([tensor("w", [1])], change=external_buffer),
    "DEQUANTIZE without input": lambda: model(
        [tensor("w", [1])], [], [operator(0, [], [0])], [op_code(schema.BuiltinOperator.DEQUANTIZE)]
    ),
}


def read_all(data: bytes) -> TfliteGraph:
    graph = read_tflite(data)
    for index in range(len(graph.tensors)):
        if graph.is_constant(index):
            graph.constant(index)
    named_arrays(graph)
    return graph


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_a_one_line_error_and_allocates_little(case: str):
    data = HOSTILE[case]()
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=r"as a \.tflite file") as caught:
            read_all(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 16e6


def one_tensor_many_times(count: int, name: str) -> bytes:
    """A file whose list of tensors holds one tensor `count` times. It lies behind the list: offsets point forward."""
    data = bytearray(model([tensor(name, [1])]))
    graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    tensor_at, list_field_at = graph.Tensors(0)._tab.Pos, graph._tab.Pos + graph._tab.Offset(4)
    data[list_field_at : list_field_at + 4] = np.uint32(len(data) - list_field_at).tobytes()
    offsets = np.arange(count, 0, -1, dtype=np.uint32) * 4 + tensor_at
    return bytes(data) + np.uint32(count).tobytes() + offsets.tobytes() + bytes(data)


def test_what_is_stored_once_and_named_often_cannot_add_up():
    hostile = one_tensor_many_times(60_000, name="n" * 100_000)  # 6 GB if each name were copied
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match="claim more than the file holds"):
            read_tflite(hostile)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16e6


# --- broken and foreign files -----------------------------------------------------------------------------------------


def test_every_truncation_is_an_error(official: Official):
    # This file ends with the network. Others carry a zip of labels behind it, which is not read.
    data = official("face_detection_full_range").read_bytes()
    offsets = {*range(120), *np.linspace(120, len(data) - 1, 80).astype(int).tolist()}
    for offset in sorted(offsets):
        with pytest.raises(WeightsError):
            read_all(data[:offset])


@pytest.mark.parametrize("region", ["head", "anywhere"])
def test_flipped_bytes_are_an_error_or_a_readable_file(short_range: bytes, region: str):
    rng = np.random.default_rng(seed=2)
    end = 4000 if region == "head" else len(short_range)
    errors = []
    tracemalloc.start()
    try:
        for _ in range(120):
            damaged = np.frombuffer(short_range, np.uint8).copy()
            where = rng.integers(0, end, rng.integers(1, 12))
            damaged[where] = rng.integers(0, 256, where.size)
            try:
                read_all(damaged.tobytes())
            except WeightsError as error:
                errors.append(str(error))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert errors
    assert not any("\n" in error for error in errors)
    assert peak < 32e6


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), id="PNG"),
        pytest.param(b"<!DOCTYPE html><html>404</html>", id="HTML"),
        pytest.param(b"\x1c\x00\x00\x00TFL3", id="only the mark"),
        pytest.param(b"\xff\xff\xff\xffTFL3" + b"\xff" * 100, id="all ones"),
        pytest.param(b"\x00\x00\x00\x00TFL3" + bytes(100), id="all zeros"),
    ],
)
def test_a_foreign_file_is_a_one_line_error_that_names_it(tmp_path: Path, content: bytes):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.tflite") as caught:
        read_tflite(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_a_folder_and_a_pipe_are_errors(tmp_path: Path):
    with pytest.raises(WeightsError, match="does not exist"):
        read_tflite(tmp_path / "missing.tflite")
    with pytest.raises(WeightsError, match="not a regular file"):
        read_tflite(tmp_path)
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(WeightsError, match="not a regular file"):
        read_tflite(tmp_path / "pipe.tflite")
