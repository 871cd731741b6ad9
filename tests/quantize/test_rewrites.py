"""Rewrites before quantization: the float network stays what it is."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from blazeport.quantize.execute import run_graph
from blazeport.quantize.rewrites import head_convolutions, residual_limits, scale_heads, split_residuals, tail_nodes

FACE, LITE, POSE = "face_detection_short_range", "pose_landmark_lite", "pose_detection"


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32) * 3


def values_of(graph, samples: np.ndarray, tensors) -> dict[int, np.ndarray]:
    probe = graph.copy()
    probe.outputs = {str(tensor): tensor for tensor in tensors}
    return {int(name): values for name, values in run_graph(probe, samples).items()}


def head_ranges(graph, samples: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    found = values_of(graph, samples, [node.output for node in head_convolutions(graph)])
    flat = {tensor: values.reshape(-1, values.shape[-1]) for tensor, values in found.items()}
    return {tensor: (values.min(0), values.max(0)) for tensor, values in flat.items()}


def residual(network, x: int, y: int, activation: str = "RELU6"):
    """`activation(x + y)` and a convolution of it."""
    total = network.sum("total", x, y, activation)
    return network.convolution("out", total, np.ones((1, 1, 1, 3)), [0])


def test_the_heads_of_the_face_detector_are_its_last_convolutions(graph_of):
    graph = graph_of(FACE)
    assert sorted(graph.names[node.output] for node in head_convolutions(graph)) == [
        "classificator_16",
        "classificator_8",
        "regressor_16",
        "regressor_8",
    ]
    assert [node.kind for node in tail_nodes(graph)] == ["RESHAPE"] * 4 + ["CONCATENATION"] * 2


def test_the_tail_of_the_landmark_network_reshapes_and_applies_the_sigmoid(graph_of):
    graph = graph_of(LITE)
    assert sorted(node.kind for node in tail_nodes(graph)) == ["LOGISTIC", "RESHAPE", "RESHAPE", "RESHAPE"]
    heads = {graph.names[node.output].split("#")[0] for node in head_convolutions(graph)}
    assert heads == {
        "Identity_2",  # segmentation
        "Identity_3",  # heatmap
        "model_1/model/convld_3d/BiasAdd",
        "model_1/model/convworld_3d/BiasAdd",
        "model_1/model/conv_poseflag/BiasAdd",
    }


def test_depth_to_space_behind_the_last_convolution_belongs_to_the_tail(graph_of):
    kinds = [node.kind for node in tail_nodes(graph_of("face_detection_full_range_sparse"))]
    assert kinds.count("DEPTH_TO_SPACE") == 2


def test_a_convolution_with_an_activation_is_no_head(small):
    network = small()
    graph = network.finish(out=network.convolution("out", 0, np.ones((3, 1, 1, 3)), [0] * 3, "RELU"))
    assert head_convolutions(graph) == []


@pytest.mark.parametrize("variant", [FACE, POSE, LITE, "face_detection_full_range_sparse"])
def test_scaled_heads_give_what_they_gave(variant: str, graph_of, samples_of):
    graph, samples = graph_of(variant), samples_of(variant)[:4]
    expected = run_graph(graph, samples)
    scaled = scale_heads(graph, head_ranges(graph, samples))
    for name, values in run_graph(scaled, samples).items():
        assert np.abs(values - expected[name]).max() <= 1e-5 * np.ptp(expected[name]), name
    heads = head_convolutions(scaled)
    assert [scaled.names[node.output][-7:] for node in heads] == ["_scaled"] * len(head_convolutions(graph))
    for values in values_of(scaled, samples, [node.output for node in heads]).values():
        peaks = np.abs(values).reshape(-1, values.shape[-1])
        assert peaks.max() <= 1 + 1e-3
        assert np.allclose(peaks.max(0)[np.ptp(peaks, 0) > 0.1], 1, atol=1e-3)


def test_only_the_named_heads_are_scaled(graph_of, samples_of):
    graph = graph_of(FACE)
    tensor, limits = next(iter(head_ranges(graph, samples_of(FACE)[:2]).items()))
    scaled = scale_heads(graph, {tensor: limits})
    assert len(scaled.nodes) == len(graph.nodes) + 2
    assert scale_heads(graph, {}).nodes == graph.nodes


def test_a_channel_that_never_changes_can_be_scaled(small, samples):
    network = small()
    output = network.convolution("out", 0, np.diag([1, 0, 1]).reshape(3, 1, 1, 3), [0, 5, 0])
    graph = network.finish(out=output)
    scaled = scale_heads(graph, head_ranges(graph, samples))
    assert np.allclose(run_graph(scaled, samples)["out"], run_graph(graph, samples)["out"], atol=1e-4)


@pytest.mark.parametrize(("activation", "top"), [("RELU6", 6.0), ("RELU", np.inf)])
def test_beyond_its_limits_a_residual_cannot_matter(small, samples, activation: str, top: float):
    network = small()
    x = network.convolution("x", 0, np.eye(3).reshape(3, 1, 1, 3), [0] * 3, "RELU6")
    y = network.convolution("y", 0, np.random.default_rng(1).normal(size=(3, 3, 3, 3)) * 4, [0] * 3)
    graph = network.finish(out=residual(network, x, y, activation))
    limits = residual_limits(graph, {x: 6.0})
    assert limits == {y: (-6.0, top)}
    found = values_of(graph, samples, [x, y])
    assert found[y].min() < -6 and found[y].max() > 6  # noqa: PT018
    cut = {"RELU6": 6.0, "RELU": None}[activation]
    clipped = np.clip(found[y], *limits[y])
    assert np.array_equal(np.clip(found[x] + clipped, 0, cut), np.clip(found[x] + found[y], 0, cut))


def test_real_residuals_can_be_cut_at_their_limits(graph_of, samples_of):
    graph, samples = graph_of(LITE, "landmarks"), samples_of(LITE)[:3]
    limits = residual_limits(graph, {node.output: 6.0 for node in graph.nodes if node.activation == "RELU6"})
    assert limits
    found = values_of(graph, samples, {t for node in graph.nodes if node.kind == "ADD" for t in node.inputs})
    cut_somewhere = 0
    for node in graph.nodes:
        (free, *rest) = [tensor for tensor in node.inputs if tensor in limits] or [None]
        if free is None or rest:
            continue
        (other,) = (tensor for tensor in node.inputs if tensor != free)
        clipped = np.clip(found[free], *limits[free])
        cut_somewhere += not np.array_equal(clipped, found[free])
        assert np.array_equal(np.clip(found[other] + clipped, 0, 6), np.clip(found[other] + found[free], 0, 6))
    assert cut_somewhere


def test_a_sum_without_activation_or_of_two_bounded_tensors_has_no_limits(small):
    network = small()
    x = network.convolution("x", 0, np.ones((3, 1, 1, 3)), [0] * 3, "RELU6")
    y = network.convolution("y", 0, np.ones((3, 1, 1, 3)), [0] * 3)
    linear = network.sum("linear", x, y)
    both = network.sum("both", x, x, "RELU6")
    graph = network.finish(a=linear, b=both)
    assert residual_limits(graph, {x: 6.0}) == {}


@pytest.mark.parametrize("reason", ["another node reads it", "it is an output"])
def test_a_residual_that_matters_elsewhere_has_no_limits_and_is_not_split(small, samples, reason: str):
    network = small()
    x = network.convolution("x", 0, np.ones((3, 1, 1, 3)), [0] * 3, "RELU6")
    y = network.convolution("y", 0, np.ones((3, 1, 1, 3)), [0] * 3)
    out = residual(network, x, y)
    other = network.convolution("other", y, np.ones((1, 1, 1, 3)), [0]) if reason == "another node reads it" else y
    graph = network.finish(out=out, other=other)
    assert residual_limits(graph, {x: 6.0}) == {}
    assert [node.kind for node in split_residuals(graph).nodes] == [node.kind for node in graph.nodes]


@pytest.mark.parametrize("variant", [LITE, POSE])
def test_split_residuals_compute_the_same(variant: str, graph_of, samples_of):
    graph, samples = graph_of(variant), samples_of(variant)[:3]
    split = split_residuals(graph)
    added = len(split.nodes) - len(graph.nodes)
    assert added > 0
    assert sum(node.kind == "SUB" for node in split.nodes) == added / 2
    expected = run_graph(graph, samples)
    for name, values in run_graph(split, samples).items():
        assert np.abs(values - expected[name]).max() <= 1e-5 * np.ptp(expected[name]), name


def test_a_split_residual_lies_on_one_grid(small, samples):
    network = small()
    x = network.convolution("x", 0, np.eye(3).reshape(3, 1, 1, 3), [0] * 3, "RELU6")
    y = network.convolution("y", 0, np.random.default_rng(1).normal(size=(3, 1, 1, 3)) * 4, [0.5] * 3)
    graph = network.finish(out=residual(network, x, y))
    split = split_residuals(graph)
    assert [node.kind for node in split.nodes] == ["CONV_2D", "CONV_2D", "CONV_2D", "ADD", "SUB", "CONV_2D"]
    assert [node.activation for node in split.nodes] == ["RELU6"] * 5 + ["NONE"]
    inner = values_of(split, samples, [node.output for node in split.nodes[:-1]])
    assert all(values.min() >= 0 and values.max() <= 6 for values in inner.values())
    assert np.allclose(run_graph(split, samples)["out"], run_graph(graph, samples)["out"], atol=1e-5)


def test_a_skip_path_through_pool_and_pad_counts_as_bounded(small, samples):
    network = small()
    first = network.convolution("first", 0, np.eye(3).reshape(3, 1, 1, 3), [0] * 3, "RELU6")
    paddings = network.constant("paddings", np.zeros((4, 2), np.int32))
    x = network.add("PAD", "x", [first, paddings], schema.PadOptionsT())
    y = network.convolution("y", 0, np.ones((3, 1, 1, 3)), [0] * 3)
    graph = network.finish(out=residual(network, x, y))
    assert "SUB" in {node.kind for node in split_residuals(graph).nodes}


def test_rewriting_leaves_the_graph_as_it_is(graph_of, samples_of):
    graph, samples = graph_of(LITE, "landmarks"), samples_of(LITE)[:2]
    before = [(node.kind, list(node.inputs), node.output, node.activation) for node in graph.nodes]
    constants = dict(graph.constants)
    split_residuals(graph)
    scale_heads(graph, head_ranges(graph, samples))
    assert [(node.kind, node.inputs, node.output, node.activation) for node in graph.nodes] == before
    assert all(graph.constants[tensor] is value for tensor, value in constants.items())
