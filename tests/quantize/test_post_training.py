"""Post-training quantization at the task: faces stay found, landmarks stay where they are, any network can come."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from blazeport.convert.source import open_source
from blazeport.convert.tflite import to_tflite
from blazeport.errors import CalibrationError
from blazeport.models.config import FaceDetectorConfig
from blazeport.pipeline.detector import Detector
from blazeport.pipeline.image import read_image
from blazeport.quantize.execute import run_graph
from blazeport.quantize.graph import read_graph
from blazeport.quantize.post_training import node_precisions, quantize_graph
from blazeport.quantize.recipes import SHIPPED, Recipe, read_recipe
from blazeport.quantize.rewrites import tail_nodes
from blazeport.runtime.interpreter import Model
from blazeport.weights.fetch import demo_photos

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"


def small_samples(count: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(0, 1, (1, 8, 8, 3)).astype(np.float32) for _ in range(count)]


def quantized_error(graph, recipe: Recipe) -> float:
    """Largest error of the quantized file on its samples, as a share of the range of `out`."""
    samples = small_samples()
    expected = run_graph(graph, np.concatenate(samples))["out"]
    model = Model(quantize_graph(graph, samples, recipe))
    received = np.concatenate([model.run(sample)["out"] for sample in samples])
    return float(np.abs(received - expected).max() / np.ptp(expected))


@pytest.mark.parametrize(
    "recipe", [{}, {"feedback_rounding": True}, {"base": "int16"}], ids=["int8", "gptq", "int16x8"]
)
def test_the_face_detector_finds_the_same_faces(recipe, quantized, official):
    reference = Detector(official(FACE), FaceDetectorConfig)
    detector = Detector(Model(quantized(FACE, **recipe)), FaceDetectorConfig)
    total = 0
    for photo in demo_photos():
        image = read_image(photo)
        expected, received = reference.detect(image), detector.detect(image)
        assert len(expected) == len(received), photo.name
        total += len(expected)
        for one in expected:
            distance = min(float(np.abs(np.asarray(one.box) - np.asarray(other.box)).max()) for other in received)
            assert distance < 0.03, photo.name
    assert total >= 2


def visible_error(content: bytes, official, samples: np.ndarray) -> float:
    """Mean distance of visible landmarks to the official file's, in px."""
    reference, model = Model(official(LITE)), Model(content)
    errors = []
    for sample in samples:
        expected, received = (each.run(sample[None])["landmarks"].reshape(-1, 5)[:33] for each in (reference, model))
        visible = expected[:, 3] > 0
        errors.append(np.hypot(*(expected - received)[visible, :2].T))
    return float(np.concatenate(errors).mean())


def test_landmarks_stay_where_they_are(quantized, official, samples_of):
    samples = samples_of(LITE)
    assert visible_error(quantized(LITE, "landmarks", "presence"), official, samples) < 3
    assert visible_error(quantized(LITE, "landmarks", "presence", float_maps_px=4), official, samples) < 2


def test_int16x8_is_nearer(quantized, official, samples_of):
    assert visible_error(quantized(LITE, "landmarks", "presence", base="int16"), official, samples_of(LITE)[:2]) < 1.5


def test_the_presence_of_a_person_is_kept(quantized, official, samples_of):
    model, reference = Model(quantized(LITE, "landmarks", "presence")), Model(official(LITE))
    for sample in samples_of(LITE):
        expected, received = reference.run(sample[None])["presence"], model.run(sample[None])["presence"]
        assert (expected > 0.5) == (received > 0.5)


@pytest.mark.parametrize(
    "recipe",
    [
        {"split_residuals": True},
        {"balance_channels": 0.0},
        {"own_head_ranges": False},
        {"correct_bias": False},
        {"range_method": "percentile"},
        {"range_method": "entropy"},
        {"important_positions": False},
    ],
    ids=lambda recipe: next(iter(recipe)),
)
def test_every_step_can_be_switched(recipe, quantized, samples_of):
    content = quantized(FACE, **recipe)
    assert content != quantized(FACE) or recipe == {"split_residuals": True}  # the face detector has no such sums
    outputs = Model(content).run(samples_of(FACE)[:1])
    assert np.isfinite(outputs["boxes"]).all()


def test_float_and_int16_regions_are_chosen_by_the_size_of_the_map(graph_of):
    graph = graph_of(LITE, "landmarks")
    named = next(graph.convolutions())
    chosen = node_precisions(
        graph, Recipe(float_maps_px=4, int16_maps_px=16, float_layers=(graph.names[named.output],))
    )
    tail = {node.output for node in tail_nodes(graph)}
    for node in graph.nodes:
        side = graph.shapes[node.output][1]
        expected = "float" if node.output in tail or node is named or side <= 4 else "int16" if side <= 16 else "int8"
        assert chosen[node.output] == expected


def test_single_layers_run_in_int16(graph_of):
    graph = graph_of(FACE)
    named = next(graph.convolutions())
    chosen = node_precisions(graph, Recipe(int16_layers=(graph.names[named.output],)))
    assert [node for node in graph.nodes if chosen[node.output] == "int16"] == [named]


def test_a_layer_that_is_not_there_is_named(graph_of, samples_of, caplog: pytest.LogCaptureFixture):
    samples = [sample[None] for sample in samples_of(FACE)[:5]]
    quantize_graph(graph_of(FACE), samples, Recipe(float_layers=("steam", "stem_relu"), important_positions=False))
    assert "The recipe spares layers that this network does not have: steam" in caplog.text


def test_the_layers_of_a_shipped_recipe_exist():
    for path in SHIPPED.glob("*.json"):
        recipe, variant = read_recipe(path), path.name.split(".")[0]
        if named := {*recipe.float_layers, *recipe.int16_layers}:
            assert named <= converted_layers(variant), path.name


def converted_layers(variant: str) -> set[str]:
    """Names of the layers of the fp32 file that recipes are applied to."""
    source = open_source(variant)
    config = source.config
    content = to_tflite(source.build(), config, config.head_names, "fp32", licence=source.licence, author=source.author)
    graph = read_graph(content)
    return {graph.names[node.output] for node in graph.nodes}


def test_depth_to_space_runs_in_float_among_int16_layers(graph_of):
    graph = graph_of("face_detection_full_range_sparse")
    spread = [node.output for node in graph.nodes if node.kind == "DEPTH_TO_SPACE"]
    assert spread
    chosen = node_precisions(graph, Recipe(base="int16"))
    assert {chosen[tensor] for tensor in spread} == {"float"}


@pytest.mark.parametrize("base", ["int8", "int16"])
def test_arithmetic_with_constants_is_written_so_that_it_runs(small, base: str):
    rng = np.random.default_rng(0)
    network = small()
    doubled = network.add("MUL", "doubled", [0, network.constant("two", np.float32([2]))], schema.MulOptionsT())
    first = network.convolution("first", doubled, rng.normal(size=(4, 3, 3, 3)), [0] * 4, "RELU6")
    ones = network.constant("ones", np.ones(4, np.float32))
    flipped = network.add("SUB", "flipped", [ones, first], schema.SubOptionsT(), shape=(1, 8, 8, 4))
    graph = network.finish(out=network.convolution("out", flipped, rng.normal(size=(4, 1, 1, 4)), [0] * 4))
    assert quantized_error(graph, Recipe(base=base)) < 0.05


@pytest.mark.parametrize("base", ["int8", "int16"])
def test_tensors_of_different_ranges_can_be_concatenated(small, base: str):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 3, 3, 3))
    network = small()
    little = network.convolution("little", 0, kernel, [0] * 4, "RELU6")
    much = network.convolution("much", 0, kernel * 9, [0] * 4)
    options = schema.ConcatenationOptionsT()
    options.axis = 3
    joined = network.add("CONCATENATION", "joined", [little, much], options, shape=(1, 8, 8, 8))
    graph = network.finish(out=network.convolution("out", joined, rng.normal(size=(4, 1, 1, 8)), [0] * 4))
    assert quantized_error(graph, Recipe(base=base)) < 0.05


@pytest.mark.parametrize("base", ["int8", "int16"])
def test_an_activation_of_its_own_can_be_quantized(small, base: str):
    rng = np.random.default_rng(0)
    network = small()
    linear = network.convolution("linear", 0, rng.normal(size=(4, 3, 3, 3)), [0] * 4)
    relu = network.add("RELU", "relu", [linear])
    total = network.sum("total", linear, relu)
    graph = network.finish(out=network.convolution("out", total, rng.normal(size=(4, 1, 1, 4)), [0] * 4))
    assert quantized_error(graph, Recipe(base=base)) < 0.05


def test_photos_on_which_nothing_is_detected_cannot_calibrate_a_detector(graph_of):
    dark = [np.full((1, 128, 128, 3), -1, np.float32)] * 5
    graph = graph_of(FACE)
    assert run_graph(graph, np.concatenate(dark))["scores"].max() < -3
    with pytest.raises(CalibrationError, match="on which the float network detects something"):
        quantize_graph(graph, dark, Recipe())


@pytest.mark.parametrize("head", ["boxes", "scores"])
def test_one_head_of_a_detector_can_be_quantized_alone(head: str, quantized, samples_of):
    outputs = Model(quantized(FACE, head)).run(samples_of(FACE)[:1])
    assert list(outputs) == [head]


def test_the_graph_is_left_as_it_is(graph_of, samples_of):
    graph, samples = graph_of(FACE), samples_of(FACE)[:5]
    expected = run_graph(graph, samples)
    quantize_graph(graph, [sample[None] for sample in samples], Recipe(split_residuals=True))
    assert all(np.array_equal(values, expected[name]) for name, values in run_graph(graph, samples).items())


def test_scores_of_background_saturate(quantized, samples_of):
    model = Model(quantized(FACE))
    scores = np.concatenate([model.run(sample[None])["scores"] for sample in samples_of(FACE)])
    assert scores.min() == pytest.approx(-10, abs=0.1)
    assert scores.max() <= 6.1
