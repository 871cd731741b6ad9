"""The importer: every weight of a file in its place, or an error that names what does not fit and nothing assigned."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from blazeport.errors import WeightsError
from blazeport.models.blocks import Network
from blazeport.models.build import build_model, build_network
from blazeport.models.config import FACE_DETECTION_SHORT_RANGE, VARIANTS, get_config, resolve_heads
from blazeport.models.importer import import_weights
from blazeport.models.keras_api import keras
from blazeport.weights.fetch import official_file
from blazeport.weights.reader import TfliteGraph, named_arrays, read_tflite
from real_networks import exported, network
from tflite_surgery import read, write

CONVOLUTION_KINDS = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D"}
NUM_CONVOLUTIONS = {
    "face_detection_short_range": 37,
    "face_detection_full_range": 89,
    "face_detection_full_range_sparse": 91,
    "pose_detection": 73,
    "pose_landmark_lite": 88,
    "pose_landmark_full": 96,
    "pose_landmark_heavy": 198,
}


# --- official files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_constant_of_the_official_file_is_a_weight_of_its_layer(variant: str):
    graph, layers = read_tflite(official_file(variant)), network(variant).convolutions
    ops = [op for op in graph.ops if op.kind in CONVOLUTION_KINDS]
    assert len(ops) == len(layers) == NUM_CONVOLUTIONS[variant]
    placed = set()
    for op, layer in zip(ops, layers, strict=True):
        assert type(layer).__name__ == CONVOLUTION_KINDS[op.kind]
        kernel, bias = layer.get_weights()
        np.testing.assert_array_equal(kernel, np.moveaxis(graph.constant(op.inputs[1]), 0, -1))
        np.testing.assert_array_equal(bias, graph.constant(op.inputs[2]))
        placed |= {graph.storage(index) for index in op.inputs[1:3]}
    assert len(placed) == len(named_arrays(graph))
    assert placed == {tensor.index for tensor in graph.tensors if tensor.is_constant and tensor.dtype[:5] == "float"}


# --- blazeport's own exports ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "heads"),
    [*((name, "all") for name in VARIANTS if name != "pose_landmark_heavy"), ("pose_landmark_lite", "landmarks")],
)
def test_an_export_gives_the_same_weights_again(variant: str, heads: str, tmp_path: Path):
    (tmp_path / "x.tflite").write_bytes(exported(variant, heads, "fp16"))
    model = build_model(variant, tmp_path / "x.tflite")
    assert set(model.output) == set(resolve_heads(get_config(variant), heads))
    layers = {layer.name: layer for layer in network(variant).model.layers}
    for layer in model.layers:
        for expected, received in zip(layers[layer.name].get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(received, expected)


# --- files that do not fit --------------------------------------------------------------------------------------------

Edit = Callable[[schema.ModelT, list[schema.OperatorT]], None]


@pytest.fixture(scope="module")
def fresh() -> Network:
    """A network whose random weights every failed import must leave as they are."""
    return build_network(FACE_DETECTION_SHORT_RANGE)


def refusal(target: Network, graph: TfliteGraph) -> str:
    """The message of the error; nothing may have been assigned."""
    before = target.model.get_weights()
    with pytest.raises(WeightsError) as error:
        import_weights(target, graph)
    for old, new in zip(before, target.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return str(error.value)


def edited(edit: Edit) -> TfliteGraph:
    """The official short-range file after an edit of its model, which gets its convolutions too."""
    model = read(official_file("face_detection_short_range").read_bytes())
    kinds = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    convolutions = {schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D}
    edit(model, [op for op in model.subgraphs[0].operators if kinds[op.opcodeIndex] in convolutions])
    return read_tflite(write(model))


def add_tensor(model: schema.ModelT, name: str, like: int, *, constant: bool) -> int:
    """A float32 tensor of the shape of tensor `like`."""
    graph = model.subgraphs[0]
    tensor = copy.copy(graph.tensors[like])
    tensor.name, tensor.type, tensor.buffer, tensor.quantization = name, schema.TensorType.FLOAT32, 0, None
    if constant:
        buffer = schema.BufferT()
        buffer.data = np.zeros(4 * int(np.prod(tensor.shape)), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "face_detection_full_range",
            "convolution 0, 'stem', expected kernel and bias [(5, 5, 3, 24), (24,)], received ",
        ),
        ("pose_landmark_lite", "convolution 0, 'stem', expected kernel and bias [(5, 5, 3, 24), (24,)], received "),
    ],
)
def test_a_file_of_another_network_is_refused_at_the_first_layer_that_differs(fresh: Network, file: str, expected: str):
    message = refusal(fresh, read_tflite(official_file(file)))
    assert message.startswith(f"{official_file(file)} is not the network face_detection_short_range: {expected}")


@pytest.mark.parametrize(
    ("variant", "file", "layer"),
    [
        ("face_detection_full_range", "face_detection_full_range_sparse", "stage0_block2_squeeze"),
        ("pose_landmark_lite", "pose_landmark_full", "first_project"),
        ("pose_landmark_full", "pose_landmark_heavy", "first_project"),
    ],
)
def test_the_weights_of_a_sibling_are_refused(variant: str, file: str, layer: str):
    message = refusal(build_network(get_config(variant)), read_tflite(official_file(file)))
    assert f"{layer!r}, expected kernel and bias " in message


def test_a_missing_convolution_is_named(fresh: Network):
    def remove_last(model: schema.ModelT, convolutions: list[schema.OperatorT]) -> None:
        model.subgraphs[0].operators.remove(convolutions[-1])

    message = refusal(fresh, edited(remove_last))
    assert (
        "expected 37 convolutions, received 36. Without weights: ['boxes_8px']. Left over in the file: []." in message
    )


def test_a_convolution_too_many_is_named(fresh: Network):
    def repeat_last(model: schema.ModelT, convolutions: list[schema.OperatorT]) -> None:
        extra = copy.copy(convolutions[-1])
        extra.outputs = [add_tensor(model, "mask", int(extra.outputs[0]), constant=False)]
        model.subgraphs[0].operators.append(extra)

    message = refusal(fresh, edited(repeat_last))
    assert "expected 37 convolutions, received 38. Without weights: []. Left over in the file: ['mask']." in message


def test_a_constant_that_no_convolution_uses_is_named(fresh: Network):
    def add_slope(model: schema.ModelT, convolutions: list[schema.OperatorT]) -> None:
        add_tensor(model, "prelu_slope", int(convolutions[0].inputs[2]), constant=True)

    message = refusal(fresh, edited(add_slope))
    assert message.endswith("holds weights that face_detection_short_range has no place for: ['prelu_slope'].")


def test_another_stride_is_named(fresh: Network):
    def slow_down(model: schema.ModelT, convolutions: list[schema.OperatorT]) -> None:
        convolutions[0].builtinOptions.strideH = 1

    message = refusal(fresh, edited(slow_down))
    assert "convolution 0, 'stem', expected stride (2, 2), received (1, 2)." in message


def test_another_kind_of_convolution_is_named(fresh: Network):
    def swap(model: schema.ModelT, convolutions: list[schema.OperatorT]) -> None:
        ops = model.subgraphs[0].operators
        first, second = (next(i for i, op in enumerate(ops) if op is each) for each in convolutions[:2])
        ops[first], ops[second] = ops[second], ops[first]

    message = refusal(fresh, edited(swap))
    assert "convolution 0, 'stem', expected Conv2D, received DEPTHWISE_CONV_2D." in message


def test_another_shape_is_named(fresh: Network):
    def widen(model: schema.ModelT, convolutions: list[schema.OperatorT]) -> None:
        convolutions[2].inputs = [convolutions[2].inputs[0], *convolutions[4].inputs[1:]]

    message = refusal(fresh, edited(widen))
    assert (
        "convolution 2, 'stage0_block0_pointwise', expected kernel and bias [(1, 1, 24, 24), (24,)], "
        "received [(1, 1, 24, 28), (28,)]." in message
    )


@pytest.mark.parametrize("case", ["no-bias", "computed-kernel"])
def test_a_convolution_without_constant_weights_is_named(fresh: Network, case: str):
    def change(model: schema.ModelT, convolutions: list[schema.OperatorT]) -> None:
        image, kernel, bias = (int(index) for index in convolutions[2].inputs)
        computed = add_tensor(model, "computed", kernel, constant=False)
        convolutions[2].inputs = [image, kernel] if case == "no-bias" else [image, computed, bias]

    message = refusal(fresh, edited(change))
    assert "convolution 2, 'stage0_block0_pointwise', expected a constant kernel and bias." in message


def test_quantized_weights_are_refused_instead_of_taken_for_numbers(fresh: Network):
    def quantize(model: schema.ModelT, convolutions: list[schema.OperatorT]) -> None:
        image, kernel, bias = (int(index) for index in convolutions[2].inputs)
        quantized = add_tensor(model, "quantized", kernel, constant=True)
        tensor = model.subgraphs[0].tensors[quantized]
        tensor.type = schema.TensorType.INT8
        model.buffers[tensor.buffer].data = np.ones(int(np.prod(tensor.shape)), np.uint8)
        convolutions[2].inputs = [image, quantized, bias]
        drop_storage(model, kernel)

    message = refusal(fresh, edited(quantize))
    assert "convolution 2, 'stage0_block0_pointwise', expected float weights, received int8 and float16." in message


def drop_storage(model: schema.ModelT, tensor: int) -> None:
    """Removes the DEQUANTIZE that makes a tensor and empties what it unpacks."""
    graph = model.subgraphs[0]
    (unpacking,) = (op for op in graph.operators if int(op.outputs[0]) == tensor)
    graph.operators.remove(unpacking)
    graph.tensors[int(unpacking.inputs[0])].buffer = 0


def test_a_variable_that_no_file_can_fill_is_named():
    built = build_network(FACE_DETECTION_SHORT_RANGE)
    outputs = dict(built.model.output)
    outputs["scores"] = keras.layers.Dense(1, name="calibrated")(outputs["scores"])
    larger = Network(built.config, keras.Model(built.model.input, outputs), built.convolutions)
    message = refusal(larger, read_tflite(official_file("face_detection_short_range")))
    assert "has no weights for these variables of face_detection_short_range: ['calibrated/kernel" in message
