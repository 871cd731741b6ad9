"""GPTQ rounding: on its own inputs, a convolution comes nearer to float than with weights rounded to nearest."""

from __future__ import annotations

import numpy as np
import pytest
from blazeport.quantize.execute import run_graph, run_node
from blazeport.quantize.grid import real_weights, store_weights, weight_scales
from blazeport.quantize.rounding import round_with_feedback

FACE = "face_detection_short_range"


@pytest.fixture
def inputs() -> np.ndarray:
    """`(4, 8, 8, 3)`: neighbouring pixels and channels are alike, as in feature maps."""
    rng = np.random.default_rng(0)
    smooth = rng.uniform(0, 1, (4, 8, 8, 1)).cumsum(1).cumsum(2)
    return (smooth / 10 + rng.uniform(0, 0.2, (4, 8, 8, 3))).astype(np.float32)


def output_error(graph, node, stored: np.ndarray, scales: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Squared error of every output element against the float convolution."""
    rounded = graph.copy()
    rounded.constants[node.inputs[1]] = real_weights(stored, scales, 3 if node.kind == "DEPTHWISE_CONV_2D" else 0)
    return np.square(run_node(rounded, node, [inputs]) - run_node(graph, node, [inputs]))


@pytest.mark.parametrize("shape", [(6, 3, 3, 3), (6, 1, 1, 3), (1, 3, 3, 3)], ids=["3x3", "1x1", "depthwise"])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_output_error_falls(small, inputs, shape: tuple[int, ...], stride: int):
    kernel = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    axis = 3 if shape[0] == 1 else 0
    network = small()
    network.convolution("out", 0, kernel, [0] * shape[axis])
    (node,) = network.graph.nodes
    node.options.strideH = node.options.strideW = stride
    scales = weight_scales(kernel, axis) * 16  # coarse: about 4 bits, so that rounding matters
    nearest, fed = (
        store_weights(kernel, scales, axis),
        round_with_feedback(node, kernel, scales, inputs, None),
    )
    assert fed.dtype == np.int8
    assert fed.shape == kernel.shape
    assert (
        output_error(network.graph, node, fed, scales, inputs).mean()
        < 0.8 * output_error(network.graph, node, nearest, scales, inputs).mean()
    )


def test_the_output_error_falls_on_real_layers(graph_of, samples_of):
    graph, samples = graph_of(FACE), samples_of(FACE)
    probe = graph.copy()
    layers = [node for node in graph.convolutions() if node.inputs[0] != graph.input][:4]
    assert {node.kind for node in layers} == {"CONV_2D", "DEPTHWISE_CONV_2D"}
    probe.outputs = {str(node.inputs[0]): node.inputs[0] for node in layers}
    inputs = run_graph(probe, samples)
    for node in layers:
        kernel, seen = graph.constants[node.inputs[1]], inputs[str(node.inputs[0])]
        axis = 3 if node.kind == "DEPTHWISE_CONV_2D" else 0
        scales = weight_scales(kernel, axis)
        fed = round_with_feedback(node, kernel, scales, seen, None)
        nearest = store_weights(kernel, scales, axis)
        assert np.abs(fed.astype(int)).max() <= 127
        assert (
            output_error(graph, node, fed, scales, seen).mean()
            < output_error(graph, node, nearest, scales, seen).mean()
        )


def test_weights_stay_in_the_int8_range_where_errors_would_push_them_out(small, inputs):
    kernel = np.random.default_rng(1).normal(size=(6, 3, 3, 3)).astype(np.float32)
    network = small()
    network.convolution("out", 0, kernel, [0] * 6)
    scales = weight_scales(kernel, 0) / 3  # too small for the largest weights
    stored = round_with_feedback(network.graph.nodes[0], kernel, scales, inputs, None)
    assert stored.min() == -127
    assert stored.max() == 127


def test_weights_on_the_grid_are_left_there(small, inputs):
    stored = np.random.default_rng(1).integers(-127, 128, (6, 3, 3, 3))
    scales = np.full(6, 0.5, np.float32)
    network = small()
    network.convolution("out", 0, stored * 0.5, [0] * 6)
    assert np.array_equal(
        round_with_feedback(network.graph.nodes[0], (stored * 0.5).astype(np.float32), scales, inputs, None), stored
    )


def test_the_error_falls_where_positions_are_important(small, inputs):
    kernel = np.random.default_rng(1).normal(size=(6, 3, 3, 3)).astype(np.float32)
    network = small()
    network.convolution("out", 0, kernel, [0] * 6)
    graph, (node,) = network.graph, network.graph.nodes
    inputs = inputs.copy()
    inputs[:, 4:] = np.random.default_rng(2).normal(size=inputs[:, 4:].shape) * 50  # junk in the lower half
    upper = np.zeros((4, 8, 8), bool)
    upper[:, :3] = True
    scales = weight_scales(kernel, 0) * 16
    everywhere, masked = (
        output_error(graph, node, round_with_feedback(node, kernel, scales, inputs, mask), scales, inputs)[upper].mean()
        for mask in (None, lambda height, width: upper)
    )
    assert masked < everywhere


@pytest.mark.parametrize("importance", [None, lambda height, width: np.zeros((4, height, width), bool)])
def test_without_anything_to_fit_to_weights_are_rounded_to_nearest(small, inputs, importance):
    kernel = np.random.default_rng(1).normal(size=(2, 3, 3, 3)).astype(np.float32)
    network = small()
    network.convolution("out", 0, kernel, [0] * 2)
    scales = weight_scales(kernel, 0)
    stored = round_with_feedback(network.graph.nodes[0], kernel, scales, inputs * 0, importance)
    assert np.array_equal(stored, store_weights(kernel, scales, 0))
