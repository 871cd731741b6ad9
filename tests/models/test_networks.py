"""The Keras networks: their structure, and that they compute what the official files compute."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from blazeport.models.blocks import DepthToSpace, LayerFactory, PadChannels
from blazeport.models.build import build_network
from blazeport.models.config import (
    FACE_DETECTION_FULL_RANGE_SPARSE,
    POSE_LANDMARK_LITE,
    VARIANTS,
    get_config,
)
from blazeport.models.keras_api import keras, tf
from blazeport.weights.fetch import official_file
from real_networks import KERAS_BARS, NUM_INPUTS, keras_parity, keras_runner, network, official_model, real_inputs

PARAMS = {
    "face_detection_short_range": 101_390,
    "face_detection_full_range": 514_069,
    "face_detection_full_range_sparse": 508_308,
    "pose_detection": 2_965_314,
    "pose_landmark_lite": 1_363_089,
    "pose_landmark_full": 3_169_489,
    "pose_landmark_heavy": 13_751_073,
}

# --- structure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_model_has_the_named_input_and_outputs_of_its_config(variant: str):
    config, model = get_config(variant), network(variant).model
    assert model.name == variant
    assert [(each.name, tuple(each.shape)) for each in model.inputs] == [("image", config.input_shape)]
    assert {name: tuple(output.shape) for name, output in model.output.items()} == {
        head.name: head.shape for head in config.heads
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_layer_that_makes_a_head_carries_its_name(variant: str):
    model = network(variant).model
    for head in get_config(variant).heads:
        assert model.get_layer(head.name).output is model.output[head.name]


@pytest.mark.parametrize("variant", VARIANTS)
def test_layer_names_are_unique_and_ours(variant: str):
    names = [layer.name for layer in network(variant).model.layers]
    assert len(set(names)) == len(names)
    # Keras numbers the layers nobody named by how many were made before: such names change from run to run.
    assert not [name for name in names if name.startswith(("conv2d", "depthwise_conv2d", "re_lu", "add", "tf."))]


def test_layer_names_do_not_depend_on_what_was_built_before():
    first, second = (build_network(FACE_DETECTION_FULL_RANGE_SPARSE) for _ in range(2))
    assert [layer.name for layer in first.model.layers] == [layer.name for layer in second.model.layers]


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_are_counted_as_in_the_official_file(variant: str):
    assert network(variant).model.count_params() == PARAMS[variant]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_weight_belongs_to_a_recorded_convolution(variant: str):
    built = network(variant)
    recorded = {id(weight) for layer in built.convolutions for weight in layer.weights}
    assert {id(weight) for weight in built.model.weights} == recorded
    assert len(set(built.convolutions)) == len(built.convolutions)


@pytest.mark.parametrize("variant", VARIANTS)
def test_random_weights_give_finite_outputs(variant: str):
    config = get_config(variant)
    outputs = build_network(config).model(np.zeros(config.input_shape, np.float32), training=False)
    assert {name: value.shape for name, value in outputs.items()} == {head.name: head.shape for head in config.heads}
    assert all(np.isfinite(value).all() for value in outputs.values())


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(
            dataclasses.replace(POSE_LANDMARK_LITE, name="short_trunk", trunk_blocks=(1, 0), num_landmarks=33),
            id="landmarks-without-auxiliary-ones",
        ),
        pytest.param(
            dataclasses.replace(FACE_DETECTION_FULL_RANGE_SPARSE, name="plain_heads", head_depth_to_space=False),
            id="a-detector-with-plain-heads",
        ),
    ],
)
def test_a_new_variant_is_a_replaced_field(config):
    model = build_network(config).model
    assert {name: tuple(output.shape) for name, output in model.output.items()} == {
        head.name: head.shape for head in config.heads
    }


# --- layers -----------------------------------------------------------------------------------------------------------


def test_channels_are_padded_at_their_end():
    padded = PadChannels(2)(tf.ones((1, 1, 1, 3)))
    np.testing.assert_array_equal(padded, [[[[1, 1, 1, 0, 0]]]])


def test_depth_to_space_spreads_channels_over_two_by_two_cells():
    spread = DepthToSpace()(tf.reshape(tf.range(8.0), (1, 1, 1, 8)))
    np.testing.assert_array_equal(spread, [[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]])


@pytest.mark.parametrize(
    "layer", [PadChannels(3, name="pad"), DepthToSpace(name="spread")], ids=lambda layer: layer.name
)
def test_a_layer_of_ours_survives_serialisation(layer):
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is type(layer)
    assert copy.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("padding", "expected"), [("same", [[9, 6], [6, 4]]), ("symmetric", [[4, 6], [6, 9]])], ids=["same", "symmetric"]
)
def test_strided_padding_is_at_the_end_or_on_both_sides(padding: str, expected: list[list[int]]):
    """The classic error: on an even side, SAME pads only after the last row. Each output counts the pixels it saw."""
    layers = LayerFactory()
    image = keras.Input(batch_shape=(1, 4, 4, 1))
    model = keras.Model(image, layers.conv(image, 1, 3, name="conv", stride=2, padding=padding))
    layers.convolutions[0].set_weights([np.ones((3, 3, 1, 1), np.float32), np.zeros(1, np.float32)])
    seen = np.asarray(model(np.ones((1, 4, 4, 1), np.float32)))
    np.testing.assert_array_equal(seen[0, :, :, 0], expected)


# --- Keras against the official files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_keras_computes_what_the_official_file_computes(variant: str):
    parity = keras_parity(variant)
    assert parity.inputs >= NUM_INPUTS[variant]
    assert [output.name for output in parity.outputs] == list(get_config(variant).head_names)
    for output in parity.outputs:
        assert output.finite
        metric, bar = KERAS_BARS[output.name]
        if output.name != "segmentation":  # See the next test.
            assert getattr(output, metric) <= bar, output


@pytest.mark.parametrize(
    ("variant", "exceptions"), [("pose_landmark_lite", 0), ("pose_landmark_full", 2), ("pose_landmark_heavy", 0)]
)
def test_keras_masks_differ_from_the_official_ones_by_rounding_only(variant: str, exceptions: int):
    """Full's mask branch amplifies rounding a millionfold on a few crops, in the official file as well as in Keras.

    There, far from the mask's edge, logits may leave the bar, but by no more than the official file's own logits move.
    """
    official, keras_run = official_model(variant).run, keras_runner(variant)
    pairs = [
        (image, official(image)["segmentation"], keras_run(image)["segmentation"]) for image in real_inputs(variant)
    ]
    logits = np.stack([expected for _, expected, _ in pairs])
    metric, bar = KERAS_BARS["segmentation"]
    assert metric == "relative"
    over = [
        (image, expected, received)
        for image, expected, received in pairs
        if np.abs(expected - received).max() > bar * np.ptp(logits)
    ]
    assert len(over) <= exceptions
    for image, expected, received in over:
        assert np.abs(expected - received).max() <= 3 * rounding_noise(variant, image)
    for _, expected, received in pairs:
        np.testing.assert_allclose(probability(received), probability(expected), atol=0.02)


def rounding_noise(variant: str, image: np.ndarray) -> float:
    """How far the official file's mask logits move with other kernels, and with the input's last bit."""
    model = official_model(variant)
    expected = model.run(image)["segmentation"]
    plain = Interpreter(
        model_path=str(official_file(variant)),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    plain.allocate_tensors()
    plain.set_tensor(plain.get_input_details()[0]["index"], image)
    plain.invoke()
    (mask,) = (each for each in plain.get_output_details() if tuple(each["shape"]) == expected.shape)
    moved = [plain.get_tensor(mask["index"])]
    moved += [model.run(np.nextafter(image, np.float32(limit)))["segmentation"] for limit in (0, 1)]
    return max(float(np.abs(each - expected).max()) for each in moved)


def probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
