"""Channel balancing: the network stays what it is, its channels use more of their grids."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from blazeport.quantize.equalize import RELU6_MARGIN, channel_peaks, equalize
from blazeport.quantize.execute import run_graph

FACE, LITE, POSE = "face_detection_short_range", "pose_landmark_lite", "pose_detection"


def channel_use(peaks: dict[int, np.ndarray]) -> float:
    """Mean share of its tensor's range that a channel uses."""
    return float(np.mean([np.mean(peak / peak.max()) for peak in peaks.values() if peak.max() > 0]))


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (4, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module", params=[FACE, LITE, POSE, "face_detection_full_range_sparse"])
def pair(request, graph_of, samples_of):
    """A graph, the balanced one, and the samples; between them they hold PAD, pools, resizing and depth-to-space."""
    graph, samples = graph_of(request.param), samples_of(request.param)[:6]
    return graph, equalize(graph, samples), samples


def test_the_outputs_stay_what_they_are(pair):
    graph, balanced, samples = pair
    expected, received = run_graph(graph, samples), run_graph(balanced, samples)
    for name, reference in expected.items():
        assert np.abs(received[name] - reference).max() <= 1e-4 * np.ptp(reference), name


def test_channels_use_more_of_their_tensors_range(pair):
    graph, balanced, samples = pair
    before, after = channel_peaks(graph, samples), channel_peaks(balanced, samples)
    assert channel_use(after) > channel_use(before) + 0.05


def test_no_channel_shrinks_and_none_is_raised_to_where_relu6_cuts(pair):
    graph, balanced, samples = pair
    before, after = channel_peaks(graph, samples), channel_peaks(balanced, samples)
    for node in graph.nodes:
        old, new = before[node.output], after[node.output]
        assert (new >= old * 0.999 - 1e-4).all()
        if node.activation == "RELU6":
            raised = new > old * 1.001 + 1e-4
            assert (new[raised] <= 6 * RELU6_MARGIN * 1.001).all()


def test_channels_at_six_are_not_raised(pair):
    graph, balanced, samples = pair
    before, after = channel_peaks(graph, samples), channel_peaks(balanced, samples)
    bounded = [node.output for node in graph.nodes if node.activation == "RELU6"]
    for tensor in bounded:
        full = before[tensor] >= 6
        assert np.allclose(after[tensor][full], 6)


def test_outputs_of_the_graph_are_fixed(pair):
    graph, balanced, samples = pair
    before, after = channel_peaks(graph, samples), channel_peaks(balanced, samples)
    for tensor in graph.outputs.values():
        assert np.allclose(before[tensor], after[tensor], rtol=1e-3)


def test_the_graph_is_left_as_it_is(graph_of, samples_of):
    graph, samples = graph_of(FACE), samples_of(FACE)[:2]
    expected = run_graph(graph, samples)
    equalize(graph, samples)
    assert all(np.array_equal(values, expected[name]) for name, values in run_graph(graph, samples).items())


def test_strength_zero_changes_nothing(graph_of, samples_of):
    graph, samples = graph_of(FACE), samples_of(FACE)[:2]
    before, after = channel_peaks(graph, samples), channel_peaks(equalize(graph, samples, 0.0), samples)
    assert all(np.allclose(before[tensor], after[tensor], rtol=1e-5) for tensor in before)


def test_half_the_strength_is_between(graph_of, samples_of):
    graph, samples = graph_of(FACE), samples_of(FACE)[:2]
    none, half, full = (channel_use(channel_peaks(equalize(graph, samples, s), samples)) for s in (0.0, 0.5, 1.0))
    assert none < half < full


def test_a_small_channel_is_raised_to_the_largest_one(small, samples):
    network = small()
    kernel = np.eye(3).reshape(3, 1, 1, 3) * np.array([1, 0.1, 0.05]).reshape(3, 1, 1, 1)
    first = network.convolution("first", 0, kernel, [0, 0, 0], "RELU")
    graph = network.finish(out=network.convolution("out", first, np.ones((2, 1, 1, 3)), [0, 1]))
    balanced = equalize(graph, samples)
    assert channel_peaks(balanced, samples)[first] == pytest.approx(
        np.full(3, channel_peaks(graph, samples)[first][0]), rel=1e-4
    )
    assert np.allclose(run_graph(balanced, samples)["out"], run_graph(graph, samples)["out"], atol=1e-5)


def test_channels_that_are_added_are_scaled_alike(small, samples):
    network = small()
    left = network.convolution("left", 0, np.eye(3).reshape(3, 1, 1, 3), [0, 0, 0])
    right = network.convolution("right", 0, np.diag([1, 0.1, 0.5]).reshape(3, 1, 1, 3), [0, 0, 0])
    total = network.sum("total", left, right)
    graph = network.finish(out=network.convolution("out", total, np.ones((1, 1, 1, 3)), [0]))
    before = channel_peaks(graph, samples)
    after = channel_peaks(equalize(graph, samples), samples)
    factors = [after[tensor] / before[tensor] for tensor in (left, right, total)]
    assert np.allclose(factors[0], factors[1], rtol=1e-4)
    assert np.allclose(factors[0], factors[2], rtol=1e-4)


def test_padded_channels_follow_the_channels_they_are_added_to(small, samples):
    network = small()
    first = network.convolution("first", 0, np.diag([1, 0.2, 0.5]).reshape(3, 1, 1, 3), [0, 0, 0], "RELU")
    paddings = network.constant("paddings", np.array([[0, 0], [0, 0], [0, 0], [1, 2]], np.int32))
    padded = network.add("PAD", "padded", [first, paddings], schema.PadOptionsT(), shape=(1, 8, 8, 6))
    sizes = np.array([0.3, 0.3, 0.01, 0.05, 0.3, 0.3]).reshape(6, 1, 1, 1)
    wide = network.convolution("wide", first, np.ones((6, 1, 1, 3)) * sizes, [0] * 6)
    total = network.sum("total", padded, wide, "RELU")
    graph = network.finish(out=network.convolution("out", total, np.ones((1, 1, 1, 6)), [0]))
    balanced = equalize(graph, samples)
    before, after = channel_peaks(graph, samples), channel_peaks(balanced, samples)
    factors = after[first] / before[first]
    assert factors.max() > 1.1
    assert np.allclose((after[wide] / before[wide])[1:4], factors, rtol=1e-4)
    assert np.allclose((after[padded][1:4] / before[padded][1:4]), factors, rtol=1e-4)
    assert np.allclose(run_graph(balanced, samples)["out"], run_graph(graph, samples)["out"], rtol=1e-4)


def test_depth_to_space_takes_the_same_factor_for_all_places_of_a_channel(small, samples):
    network = small()
    kernel = np.random.default_rng(1).uniform(0, 1, (8, 1, 1, 3)) * np.linspace(0.1, 1, 8).reshape(8, 1, 1, 1)
    first = network.convolution("first", 0, kernel, [0] * 8)
    options = schema.DepthToSpaceOptionsT()
    options.blockSize = 2
    spread = network.add("DEPTH_TO_SPACE", "spread", [first], options, shape=(1, 16, 16, 2))
    graph = network.finish(out=network.convolution("out", spread, np.ones((1, 1, 1, 2)), [0]))
    balanced = equalize(graph, samples)
    factors = channel_peaks(balanced, samples)[first] / channel_peaks(graph, samples)[first]
    assert np.allclose(factors.reshape(4, 2), factors[:2], rtol=1e-4)
    assert factors.max() > 1.1
    assert np.allclose(run_graph(balanced, samples)["out"], run_graph(graph, samples)["out"], rtol=1e-4)


def test_a_dead_channel_stays_as_it_is(small, samples):
    network = small()
    kernel = np.diag([1, 0, 0.5]).reshape(3, 1, 1, 3)
    first = network.convolution("first", 0, kernel, [0, 0, 0], "RELU")
    graph = network.finish(out=network.convolution("out", first, np.ones((1, 1, 1, 3)), [0]))
    balanced = equalize(graph, samples)
    assert channel_peaks(balanced, samples)[first][1] == 0
    assert all(np.isfinite(value).all() for value in balanced.constants.values())
