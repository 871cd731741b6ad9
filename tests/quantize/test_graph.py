"""Float graphs read from files: the official ones compute the same, and what cannot be quantized is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tflite_surgery
from ai_edge_litert import schema_py_generated as schema
from blazeport.errors import ConversionError, WeightsError
from blazeport.models.config import VARIANTS, get_config
from blazeport.quantize.execute import run_graph
from blazeport.quantize.graph import KNOWN, read_graph
from blazeport.quantize.write import Plan, write_tflite
from blazeport.runtime.interpreter import Model
from blazeport.weights.reader import read_tflite

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"
QUICK = tuple(name for name in VARIANTS if name != "pose_landmark_heavy")


@pytest.fixture
def face(official) -> schema.ModelT:
    """The official short-range file, to be edited."""
    return tflite_surgery.read(official(FACE).read_bytes())


def first_operator(model: schema.ModelT, builtin: int) -> schema.OperatorT:
    return next(
        operator
        for operator in model.subgraphs[0].operators
        if model.operatorCodes[operator.opcodeIndex].deprecatedBuiltinCode == builtin
    )


def read_edited(model: schema.ModelT):
    return read_graph(tflite_surgery.write(model))


@pytest.mark.parametrize("variant", QUICK)
def test_the_graph_computes_what_litert_computes_on_the_official_file(variant: str, official, graph_of, samples_of):
    graph, samples = graph_of(variant), samples_of(variant)[:3]
    model = Model(official(variant))
    expected = [model.run(sample[None]) for sample in samples]
    received = run_graph(graph, samples)
    assert tuple(received) == get_config(variant).head_names
    for name, values in received.items():
        reference = np.concatenate([outputs[name] for outputs in expected])
        assert values.shape == reference.shape
        errors = np.abs(values - reference)
        if name == "segmentation":  # Rounding is amplified there: the official file differs from itself by 9 logits.
            assert errors.max() <= 1e-2 * np.ptp(reference)
            errors = np.quantile(errors, 0.999)
        assert np.max(errors) <= 5e-4 * np.ptp(reference) + 1e-6, name


@pytest.mark.parametrize("variant", QUICK)
def test_fp16_and_sparse_constants_are_folded_to_dense_float32(variant: str, graph_of):
    graph = graph_of(variant)
    assert not {node.kind for node in graph.nodes} - set(KNOWN)
    for node in graph.convolutions():
        kernel, bias = (graph.constants[tensor] for tensor in node.inputs[1:])
        assert kernel.dtype == bias.dtype == np.float32
        assert kernel.ndim == 4
        assert bias.shape == graph.shapes[node.output][-1:]


def test_an_activation_of_its_own_moves_into_the_operator_before_it(official, graph_of):
    stored = Counter(op.kind for op in read_tflite(official(FACE)).ops)
    graph = graph_of(FACE)
    assert "RELU" not in {node.kind for node in graph.nodes}
    assert sum(node.activation == "RELU" for node in graph.nodes) == stored["RELU"] == 17


def test_an_activation_stays_alone_when_what_is_before_it_is_also_used_elsewhere(small):
    network = small()
    linear = network.convolution("linear", 0, np.ones((3, 1, 1, 3)), [0, 0, -1])
    relu = network.add("RELU", "relu", [linear])
    graph = network.finish(out=network.sum("out", linear, relu))
    written = write_tflite(graph, Plan(precision={node.output: "float" for node in graph.nodes}))
    assert [node.kind for node in read_graph(written).nodes] == ["CONV_2D", "RELU", "ADD"]


def test_an_activation_stays_alone_when_what_is_before_it_is_an_output(small):
    network = small()
    linear = network.convolution("linear", 0, np.ones((3, 1, 1, 3)), [0, 0, -1])
    graph = network.finish(out=network.add("RELU", "relu", [linear]), linear=linear)
    written = write_tflite(graph, Plan(precision={node.output: "float" for node in graph.nodes}))
    assert [(node.kind, node.activation) for node in read_graph(written).nodes] == [
        ("CONV_2D", "NONE"),
        ("RELU", "NONE"),
    ]


def test_a_copy_can_be_rewritten_without_touching_the_original(graph_of):
    graph = graph_of(FACE)
    changed = graph.copy()
    node = changed.nodes[1]
    node.activation, node.inputs[1] = "RELU6", -7
    changed.outputs.clear()
    tensor = changed.new_tensor("new", (3,), np.zeros(3, np.float32))
    assert graph.nodes[1].activation != "RELU6"
    assert -7 not in graph.nodes[1].inputs
    assert set(graph.outputs) == {"boxes", "scores"}
    assert tensor not in graph.names
    assert tensor not in graph.constants


def test_producers_and_consumers_are_found_along_the_graph(graph_of):
    graph = graph_of(FACE)
    assert graph.producer(graph.input) is None
    first = graph.nodes[0]
    assert graph.producer(first.output) is first
    assert all(first.output in node.inputs for node in graph.consumers(first.output))
    assert graph.activations(next(graph.convolutions()))[0] not in graph.constants


def test_outputs_are_named_by_the_signature_when_there_is_one(face: schema.ModelT):
    tflite_surgery.sign(face, ["first", "second"])
    assert list(read_edited(face).outputs) == ["first", "second"]


def test_outputs_of_an_unknown_network_keep_their_tensors_names(face: schema.ModelT):
    tflite_surgery.keep_outputs(face, [0])
    assert list(read_edited(face).outputs) == ["regressors"]


def test_metadata_is_kept(face: schema.ModelT):
    tflite_surgery.set_metadata(face, "note", b"hello")
    assert read_edited(face).metadata == {"note": b"hello"}


def test_an_operator_that_cannot_be_quantized_is_named(face: schema.ModelT):
    code = next(c for c in face.operatorCodes if c.deprecatedBuiltinCode == schema.BuiltinOperator.MAX_POOL_2D)
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.AVERAGE_POOL_2D
    with pytest.raises(ConversionError, match=r"Cannot quantize the operator AVERAGE_POOL_2D \(max_pool.*Known: CONV"):
        read_edited(face)


def test_a_quantized_input_is_refused_by_name(face: schema.ModelT):
    tflite_surgery.quantize_io(face, np.uint8, (1 / 128, 128), {})
    with pytest.raises(ConversionError, match=r"operator DEQUANTIZE \(input\)"):
        read_edited(face)


def test_a_file_that_is_quantized_already_is_refused(quantized):
    with pytest.raises(ConversionError, match="Cannot quantize the operator QUANTIZE"):
        read_graph(quantized(FACE))


def test_weights_that_are_quantized_already_are_refused_by_name(face: schema.ModelT):
    convolution = first_operator(face, schema.BuiltinOperator.CONV_2D)
    tensors = face.subgraphs[0].tensors
    buffer, kernel = schema.BufferT(), schema.TensorT()
    kernel.name, kernel.type = b"int8_kernel", schema.TensorType.INT8
    kernel.shape = tensors[convolution.inputs[1]].shape
    buffer.data = np.ones(int(np.prod(kernel.shape)), np.uint8)
    face.buffers.append(buffer)
    kernel.buffer = len(face.buffers) - 1
    tensors.append(kernel)
    convolution.inputs = [int(convolution.inputs[0]), len(tensors) - 1, int(convolution.inputs[2])]
    with pytest.raises(ConversionError, match=r"Expected a float network\. The weights of '.+' are quantized already"):
        read_edited(face)


def test_a_second_input_is_refused(face: schema.ModelT):
    graph = face.subgraphs[0]
    graph.inputs = [int(graph.inputs[0]), int(graph.inputs[0])]
    with pytest.raises(ConversionError, match=r"one image input\. .* has 2"):
        read_edited(face)


def test_a_dynamic_shape_is_refused_by_name(face: schema.ModelT):
    pool = first_operator(face, schema.BuiltinOperator.MAX_POOL_2D)
    face.subgraphs[0].tensors[pool.outputs[0]].shape = [-1, 64, 64, 24]
    with pytest.raises(ConversionError, match=r"static shapes\. Received: MAX_POOL_2D \(max_pool"):
        read_edited(face)


def test_an_activation_that_cannot_be_quantized_is_named(face: schema.ModelT):
    options = first_operator(face, schema.BuiltinOperator.ADD).builtinOptions
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    with pytest.raises(ConversionError, match=r"fused activation of ADD \(.+\) of .*Known: RELU, RELU6"):
        read_edited(face)


def test_a_dilated_convolution_is_refused_by_name(face: schema.ModelT):
    first_operator(face, schema.BuiltinOperator.CONV_2D).builtinOptions.dilationWFactor = 2
    with pytest.raises(ConversionError, match=r"Dilated convolutions are not supported\. Received: '.+'"):
        read_edited(face)


def test_a_computed_kernel_is_refused_by_name(face: schema.ModelT):
    convolution = first_operator(face, schema.BuiltinOperator.CONV_2D)
    convolution.inputs = [int(convolution.inputs[index]) for index in (0, 0, 2)]
    with pytest.raises(ConversionError, match=r"constant kernel and bias\. The convolution '.+' computes them"):
        read_edited(face)


def test_a_convolution_without_a_bias_gets_a_zero_one(face: schema.ModelT):
    convolution = first_operator(face, schema.BuiltinOperator.CONV_2D)
    convolution.inputs = [int(index) for index in convolution.inputs[:2]]
    graph = read_edited(face)
    assert not graph.constants[next(graph.convolutions()).inputs[2]].any()


@pytest.mark.parametrize("content", [b"", b"no model at all"])
def test_what_is_no_tflite_file_is_an_error(content: bytes, tmp_path: Path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(WeightsError):
            read_graph(source)
