"""Written files: which precision each operator has, where its borders are, and that LiteRT's kernels run them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from blazeport.convert.flatbuffer import SIGNATURE_KEY
from blazeport.models.config import get_config
from blazeport.models.cost import cost_of
from blazeport.quantize.execute import run_graph
from blazeport.quantize.post_training import quantize_graph
from blazeport.quantize.recipes import Recipe
from blazeport.quantize.write import Plan, write_tflite
from blazeport.runtime.interpreter import Model
from blazeport.weights.reader import TfliteGraph, read_tflite

FACE, LITE, POSE = "face_detection_short_range", "pose_landmark_lite", "pose_detection"
BORDERS = ("QUANTIZE", "DEQUANTIZE")


def borders(graph: TfliteGraph) -> Counter:
    """How often each (kind, from, to) is there, among computed tensors."""
    return Counter(
        (op.kind, graph.tensors[op.inputs[0]].dtype, graph.tensors[op.outputs[0]].dtype)
        for op in graph.ops
        if op.kind in BORDERS and not graph.is_constant(op.outputs[0])
    )


def run_all(content: bytes, samples: np.ndarray) -> dict[str, np.ndarray]:
    model = Model(content)
    runs = [model.run(sample[None]) for sample in samples]
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


@pytest.mark.parametrize(
    ("variant", "heads", "num_head_tensors"),
    [(FACE, (), 4), (LITE, ("landmarks", "presence"), 2)],
    ids=["face", "lite"],
)
def test_pure_int8_has_one_border_in_and_one_out_for_each_head(variant, heads, num_head_tensors: int, quantized):
    graph = read_tflite(quantized(variant, *heads))
    assert cost_of(graph).int8_share == 1.0
    assert borders(graph) == {
        ("QUANTIZE", "float32", "int8"): 1,
        ("DEQUANTIZE", "int8", "float32"): num_head_tensors,
    }


def test_float_regions_have_borders_only_where_precision_changes(quantized, graph_of):
    graph = read_tflite(quantized(LITE, "landmarks", "presence", float_maps_px=4))
    found = borders(graph)
    assert found["QUANTIZE", "float32", "int8"] == 1
    assert sum(found.values()) == 2  # into int8 at the image, out of it before the trunk
    assert 0.95 < cost_of(graph).int8_share < 1
    half = [op for op in graph.ops if op.kind == "DEQUANTIZE" and graph.is_constant(op.outputs[0])]
    assert {graph.tensors[op.inputs[0]].dtype for op in half} == {"float16"}


def test_int16_regions_have_borders_only_where_precision_changes(quantized, samples_of, graph_of):
    content = quantized(FACE, int16_maps_px=8)
    graph = read_tflite(content)
    found = borders(graph)
    assert found["QUANTIZE", "float32", "int8"] == 1
    assert found["QUANTIZE", "int8", "int16"] == 1  # the one tensor that enters the 8 x 8 maps
    assert found["DEQUANTIZE", "int8", "float32"] == found["DEQUANTIZE", "int16", "float32"] == 2  # heads of each level
    assert sum(found.values()) == 6
    kinds = {
        (graph.tensors[op.inputs[0]].dtype, graph.tensors[op.inputs[1]].dtype, graph.tensors[op.inputs[2]].dtype)
        for op in graph.ops
        if op.kind == "CONV_2D"
    }
    assert kinds == {("int8", "int8", "int32"), ("int16", "int8", "int64")}
    assert run_all(content, samples_of(FACE)[:1])["scores"].shape == (1, 896, 1)


def test_each_bias_is_stored_in_steps_of_input_times_weights(quantized):
    graph = read_tflite(quantized(FACE))
    for op in graph.ops:
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            source, kernel, bias = (graph.tensors[index] for index in op.inputs)
            assert (kernel.dtype, bias.dtype) == ("int8", "int32")
            assert kernel.quantized_dimension == (3 if op.kind == "DEPTHWISE_CONV_2D" else 0)
            assert bias.scale == pytest.approx(np.array(kernel.scale) * source.scale[0], rel=1e-5)
            assert set(kernel.zero_point) == set(bias.zero_point) == {0}


@pytest.mark.parametrize("io_type", ["int8", "uint8"])
def test_integer_input_and_outputs_stand_for_the_same_values(io_type: str, quantized, samples_of):
    content = quantized(FACE, io_type=io_type)
    model, reference = Model(content), Model(quantized(FACE))
    assert {spec.dtype.name for spec in (model.input, *model.outputs.values())} == {io_type}
    assert model.input.scale == pytest.approx(2 / 255)
    for sample in samples_of(FACE)[:2]:
        expected, received = reference.run(sample[None]), model.run(sample[None])
        for name, spec in model.outputs.items():
            assert np.abs(expected[name] - received[name]).max() <= spec.scale * 1.01, name


@pytest.mark.parametrize("recipe", [{"base": "int16"}, {"float_maps_px": 64}], ids=["int16", "float"])
def test_integer_input_can_feed_a_first_layer_of_another_precision(recipe, quantized, samples_of):
    content = quantized(FACE, io_type="uint8", **recipe)
    assert Model(content).input.dtype == np.uint8
    expected = run_all(quantized(FACE, **recipe), samples_of(FACE)[:1])
    received = run_all(content, samples_of(FACE)[:1])
    certain = expected["scores"][0, :, 0] > 0
    assert np.abs(received["scores"] - expected["scores"])[0, certain].max() < 3


def test_signature_names_and_shapes_are_kept(quantized, graph_of):
    content = quantized(LITE, "landmarks", "presence")
    config, graph = get_config(LITE), graph_of(LITE, "landmarks", "presence")
    read = read_tflite(content)
    assert list(read.signature["inputs"]) == ["image"]
    assert list(read.signature["outputs"]) == ["landmarks", "presence"]
    assert [read.tensors[index].name for index in (*read.inputs, *read.outputs)] == ["image", "landmarks", "presence"]
    shapes = {head.name: head.shape for head in config.heads}
    for name, index in read.signature["outputs"].items():
        assert read.tensors[index].shape == shapes[name] == graph.shapes[graph.outputs[name]]
    assert list(Interpreter(model_content=content).get_signature_list()) == [SIGNATURE_KEY]


@pytest.mark.parametrize("variant", [FACE, LITE])
def test_metadata_is_kept(variant: str, quantized, official):
    heads = () if variant == FACE else ("landmarks", "presence")
    metadata = read_tflite(quantized(variant, *heads)).metadata
    assert metadata == read_tflite(official(variant)).metadata
    assert metadata


@pytest.mark.parametrize("recipe", [{}, {"base": "int16"}, {"float_maps_px": 8}, {"int16_maps_px": 8}], ids=str)
def test_xnnpack_and_the_reference_kernels_run_the_file_alike(recipe, quantized, samples_of):
    content, image = quantized(FACE, **recipe), samples_of(FACE)[:1]
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(SIGNATURE_KEY)
    reference, received = runner(image=image), Model(content).run(image)
    scores = reference["scores"][0, :, 0]
    certain = scores > 0
    assert certain.any()
    assert np.abs(received["scores"][0, :, 0] - scores)[certain].max() < 1
    assert np.abs(received["boxes"] - reference["boxes"])[0, certain].max() < 4  # px of 128


def test_a_plan_in_float_writes_the_float_network(graph_of, samples_of):
    graph, samples = graph_of(POSE), samples_of(POSE)[:2]
    content = write_tflite(graph, Plan(precision={node.output: "float" for node in graph.nodes}))
    assert borders(read_tflite(content)) == {}
    received = run_all(content, samples)
    for name, expected in run_graph(graph, samples).items():
        # The official weights are fp16, so writing them as fp16 loses nothing.
        assert np.abs(received[name] - expected).max() <= 1e-5 * np.ptp(expected), name


def test_files_are_deterministic(quantized, graph_of, samples_of):
    samples = [sample[None] for sample in samples_of(FACE)]
    assert quantize_graph(graph_of(FACE), samples, Recipe()) == quantized(FACE)


def test_int8_is_about_half_as_large_as_the_official_fp16_file(quantized, official):
    assert len(quantized(FACE)) < 0.85 * official(FACE).stat().st_size
    assert len(quantized(LITE, "landmarks", "presence")) < 0.65 * official(LITE).stat().st_size
