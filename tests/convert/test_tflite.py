"""Keras to TFLite: exported files compute exactly what the official files compute, and are what users were promised."""

from __future__ import annotations

import numpy as np
import pytest
from blazeport.convert.tflite import prune_heads, to_tflite
from blazeport.errors import ConfigError, ConversionError
from blazeport.models.config import FACE_DETECTION_SHORT_RANGE, POSE_LANDMARK_LITE, VARIANTS, get_config, resolve_heads
from blazeport.models.cost import cost_of
from blazeport.models.keras_api import keras, tf
from blazeport.runtime.interpreter import Model
from blazeport.weights.fetch import official_file
from blazeport.weights.reader import read_tflite
from real_networks import NUM_INPUTS, exported, exported_parity, network, real_inputs

DYNAMIC_SHAPE_OPS = {"SHAPE", "STRIDED_SLICE", "PACK", "FILL", "RANGE"}
EXPORTS = [(variant, "all", precision) for variant in VARIANTS for precision in ("fp32", "fp16")]
PRUNED = [
    ("pose_landmark_lite", "landmarks"),
    ("pose_landmark_lite", "tracking"),
    ("pose_landmark_full", "landmarks"),
    ("pose_landmark_full", "tracking"),
    ("pose_landmark_heavy", "landmarks"),
]
EVERY_FILE = [*EXPORTS, *((variant, heads, "fp16") for variant, heads in PRUNED)]

# --- against the official files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variant", "heads", "precision"), EVERY_FILE)
def test_every_output_is_bit_identical_to_the_official_file(variant: str, heads: str, precision: str):
    parity = exported_parity(variant, heads, precision)
    assert parity.inputs >= NUM_INPUTS[variant]
    names = resolve_heads(get_config(variant), heads)
    assert tuple(output.name for output in parity.outputs) == names
    assert {output.name: output.max_abs for output in parity.outputs} == dict.fromkeys(names, 0.0)
    assert all(output.finite and not output.constant for output in parity.outputs)


@pytest.mark.parametrize("variant", VARIANTS)
def test_fp16_files_are_no_larger_than_the_official_ones(variant: str):
    assert len(exported(variant, "all", "fp16")) <= 1.02 * official_file(variant).stat().st_size


@pytest.mark.parametrize(("variant", "heads", "precision"), EVERY_FILE)
def test_no_file_needs_more_operators_than_the_official_one(variant: str, heads: str, precision: str):
    official = cost_of(read_tflite(official_file(variant)))
    found = cost_of(read_tflite(exported(variant, heads, precision)))
    assert found.ops <= official.ops
    assert (found.macs == official.macs) == (heads == "all")


# --- what is in a file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variant", "heads", "precision"), EVERY_FILE)
def test_a_file_is_static_batch_one_and_needs_builtin_operators_only(variant: str, heads: str, precision: str):
    graph = read_tflite(exported(variant, heads, precision))
    assert all(size > 0 for tensor in graph.tensors for size in tensor.shape)
    assert graph.tensors[graph.inputs[0]].shape == get_config(variant).input_shape
    kinds = {op.kind for op in graph.ops}
    assert not [kind for kind in kinds if kind.startswith("CUSTOM")]
    assert not kinds & DYNAMIC_SHAPE_OPS


@pytest.mark.parametrize(("variant", "heads", "precision"), EVERY_FILE)
def test_the_signature_names_the_input_and_the_outputs_in_the_order_of_the_file(
    variant: str, heads: str, precision: str
):
    graph, config = read_tflite(exported(variant, heads, precision)), get_config(variant)
    shapes = {head.name: head.shape for head in config.heads}
    names = resolve_heads(config, heads)
    assert graph.signature is not None
    assert list(graph.signature["inputs"]) == ["image"]
    assert tuple(graph.signature["inputs"].values()) == graph.inputs
    assert tuple(graph.signature["outputs"]) == names
    assert tuple(graph.signature["outputs"].values()) == graph.outputs
    assert [(graph.tensors[index].name, graph.tensors[index].shape) for index in graph.outputs] == [
        (name, shapes[name]) for name in names
    ]
    assert {graph.tensors[index].dtype for index in (*graph.inputs, *graph.outputs)} == {"float32"}


@pytest.mark.parametrize(("variant", "heads", "precision"), EVERY_FILE)
def test_tensor_names_are_unique_and_short(variant: str, heads: str, precision: str):
    names = [tensor.name for tensor in read_tflite(exported(variant, heads, precision)).tensors]
    assert len(set(names)) == len(names)
    assert not [name for name in names if ";" in name or "/" in name]


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_fp16_files_allow_fp16_arithmetic(variant: str):
    metadata = {precision: read_tflite(exported(variant, "all", precision)).metadata for precision in ("fp32", "fp16")}
    assert metadata["fp16"]["reduced_precision_support"] == b"fp16accfp32"
    assert "reduced_precision_support" not in metadata["fp32"]
    assert all("TFLITE_METADATA" in each and "min_runtime_version" in each for each in metadata.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_fp16_files_store_weights_as_fp16_and_those_of_sparse_networks_sparse(variant: str):
    graph = read_tflite(exported(variant, "all", "fp16"))
    weights = [op.inputs[1] for op in graph.ops if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    assert {graph.tensors[graph.storage(index)].dtype for index in weights} == {"float16"}
    assert any(op.kind == "DENSIFY" for op in graph.ops) == get_config(variant).sparse


def test_converting_twice_gives_the_same_file():
    content = to_tflite(
        network("face_detection_short_range").model, FACE_DETECTION_SHORT_RANGE, ("boxes", "scores"), "fp16"
    )
    assert content == exported("face_detection_short_range", "all", "fp16")


def test_converting_leaves_the_terminal_alone(capfd: pytest.CaptureFixture[str]):
    to_tflite(network("face_detection_short_range").model, FACE_DETECTION_SHORT_RANGE, ("boxes", "scores"), "fp32")
    assert capfd.readouterr() == ("", "")


# --- heads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "gone"),
    [
        (
            "landmarks",
            ("segmentation", "heatmap", "world_landmarks_conv", "decoder_depthwise", "lateral_64px_depthwise"),
        ),
        ("no_heatmap", ("heatmap",)),
        ("heatmap", ("segmentation", "landmarks", "trunk_bridge_depthwise")),
        ("segmentation", ("heatmap", "landmarks", "trunk_bridge_depthwise")),
    ],
)
def test_layers_that_fed_only_other_heads_are_gone(spec: str, gone: tuple[str, ...]):
    model = network("pose_landmark_lite").model
    heads = resolve_heads(POSE_LANDMARK_LITE, spec)
    pruned = prune_heads(model, heads)
    names = {layer.name for layer in pruned.layers}
    assert tuple(pruned.output) == heads
    assert set(gone) <= {layer.name for layer in model.layers}
    assert not names & set(gone)


def test_a_pruned_model_shares_the_weights_of_the_whole_one():
    model = network("pose_landmark_lite").model
    assert prune_heads(model, ("heatmap",)).get_layer("heatmap") is model.get_layer("heatmap")


def test_outputs_have_the_order_that_was_asked_for():
    model = network("face_detection_short_range").model
    content = to_tflite(model, FACE_DETECTION_SHORT_RANGE, ("scores", "boxes"), "fp32")
    graph = read_tflite(content)
    assert [graph.tensors[index].name for index in graph.outputs] == ["scores", "boxes"]
    image = real_inputs("face_detection_short_range")[0]
    swapped, straight = (
        Model(content).run(image),
        Model(exported("face_detection_short_range", "all", "fp32")).run(image),
    )
    for name in ("boxes", "scores"):
        np.testing.assert_array_equal(swapped[name], straight[name])


def test_a_model_without_a_layer_named_after_the_head_is_refused():
    image = keras.Input(batch_shape=(1, 128, 128, 3), name="image")
    own = keras.Model(image, {"scores": keras.layers.Flatten(name="scores")(image)}, name="own")
    with pytest.raises(ConversionError) as error:
        prune_heads(own, ("boxes", "scores"))
    assert "Expected a layer named after each head. Missing in own: boxes. Keep the layer names" in str(error.value)


# --- quantized files --------------------------------------------------------------------------------------------------


def test_dynamic_range_files_keep_float_activations():
    config = FACE_DETECTION_SHORT_RANGE
    graph = read_tflite(to_tflite(network(config.name).model, config, config.head_names, "dynamic"))
    assert {graph.tensors[index].dtype for index in (*graph.inputs, *graph.outputs)} == {"float32"}
    kernels = [op.inputs[1] for op in graph.ops if op.kind == "CONV_2D"]
    assert "int8" in {graph.tensors[index].dtype for index in kernels}
    assert graph.signature is not None
    assert tuple(graph.signature["outputs"]) == config.head_names
    assert cost_of(graph).int8_share == 0.0


@pytest.mark.parametrize(("io_type", "dtype"), [("float", "float32"), ("int8", "int8"), ("uint8", "uint8")])
def test_int8_files_have_the_input_and_outputs_that_were_asked_for(io_type, dtype: str):
    config = FACE_DETECTION_SHORT_RANGE
    samples = real_inputs(config.name)[:5]
    content = to_tflite(
        network(config.name).model, config, config.head_names, "int8", calibration=samples, io_type=io_type
    )
    graph = read_tflite(content)
    assert {graph.tensors[index].dtype for index in (*graph.inputs, *graph.outputs)} == {dtype}
    assert graph.signature is not None
    assert tuple(graph.signature["outputs"]) == config.head_names
    assert tuple(graph.signature["outputs"].values()) == graph.outputs
    assert [graph.tensors[index].shape for index in graph.outputs] == [head.shape for head in config.heads]
    assert cost_of(graph).int8_share == 1.0
    assert len(content) < official_file(config.name).stat().st_size


# --- what can go wrong ------------------------------------------------------------------------------------------------


def test_an_unknown_precision_is_named_with_those_there_are():
    with pytest.raises(ConfigError) as error:
        to_tflite(network("face_detection_short_range").model, FACE_DETECTION_SHORT_RANGE, ("boxes", "scores"), "int4")
    assert str(error.value) == "Unknown precision. Expected one of: fp32, fp16, dynamic, int8. Received: 'int4'."


def test_int8_without_calibration_is_refused():
    with pytest.raises(ConversionError, match=r"int8 needs calibration inputs\. Received none\."):
        to_tflite(network("face_detection_short_range").model, FACE_DETECTION_SHORT_RANGE, ("boxes", "scores"), "int8")


def test_a_model_that_needs_more_than_builtin_operators_is_one_error_in_one_line(capfd: pytest.CaptureFixture[str]):
    class Inverse(keras.layers.Layer):
        def call(self, inputs):
            return tf.linalg.inv(inputs[..., 0])

    image = keras.Input(batch_shape=(1, 128, 128, 3), name="image")
    own = keras.Model(image, {"scores": Inverse(name="scores")(image)})
    with pytest.raises(ConversionError) as error:
        to_tflite(own, FACE_DETECTION_SHORT_RANGE, ("scores",), "fp32")
    assert str(error.value).startswith("TensorFlow cannot convert face_detection_short_range to fp32: ")
    assert "\n" not in str(error.value)
