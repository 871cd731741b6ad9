"""Nodes run in float: as LiteRT runs them, in any batch size, with and without their activation."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from blazeport.quantize.execute import activated, run_graph, run_node
from blazeport.quantize.write import Plan, write_tflite
from blazeport.runtime.interpreter import Model

FACE = "face_detection_short_range"


def litert(graph, samples: np.ndarray) -> dict[str, np.ndarray]:
    """The graph written in float and run by LiteRT."""
    model = Model(write_tflite(graph, Plan(precision={node.output: "float" for node in graph.nodes})))
    runs = [model.run(sample[None]) for sample in samples]
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("constant_first", [False, True])
def test_arithmetic_with_a_constant_keeps_the_order_of_its_operands(small, samples, kind: str, constant_first: bool):
    network = small()
    constant = network.constant("constant", np.array([3, 2, 5], np.float32))
    operands = [constant, 0] if constant_first else [0, constant]
    options = getattr(schema, f"{kind.capitalize()}OptionsT")()
    graph = network.finish(out=network.add(kind, "out", operands, options, shape=(1, 8, 8, 3)))
    received = run_graph(graph, samples)["out"]
    constants = np.float32([3, 2, 5])
    left, right = (constants, samples) if constant_first else (samples, constants)
    expected = {"ADD": left + right, "SUB": left - right, "MUL": left * right}[kind]
    assert np.array_equal(received, expected)
    assert np.allclose(received, litert(graph, samples)["out"], atol=1e-6)


@pytest.mark.parametrize("padding", [schema.Padding.SAME, schema.Padding.VALID], ids=["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("depthwise", [False, True])
def test_convolutions_are_litert_s(small, samples, padding: int, stride: int, depthwise: bool):
    rng = np.random.default_rng(1)
    kernel = rng.integers(-8, 9, (1, 3, 3, 3) if depthwise else (5, 3, 3, 3)) / 8  # exact in fp16
    network = small()
    output = network.convolution("out", 0, kernel, rng.normal(size=3 if depthwise else 5), "RELU6")
    graph = network.finish(out=output)
    (node,) = graph.nodes
    node.options.padding, node.options.strideH, node.options.strideW = padding, stride, stride
    side = -(-8 // stride) if padding == schema.Padding.SAME else (8 - 3) // stride + 1
    graph.shapes[output] = (1, side, side, graph.shapes[output][-1])
    received = run_graph(graph, samples)["out"]
    assert received.shape == (3, *graph.shapes[output][1:])
    assert np.allclose(received, litert(graph, samples)["out"], atol=1e-5)


def test_activations_cut_at_zero_and_six():
    values = np.float32([-1, 0, 3, 7])
    assert activated(values, "NONE") is values
    assert activated(values, "RELU").tolist() == [0, 0, 3, 7]
    assert activated(values, "RELU6").tolist() == [0, 0, 3, 6]


def test_an_activation_can_be_left_away(small, samples):
    network = small()
    graph = network.finish(out=network.sum("out", 0, 0, "RELU6"))
    (node,) = graph.nodes
    assert np.array_equal(run_node(graph, node, [samples, samples], activate=False), samples * 2)
    assert np.array_equal(run_node(graph, node, [samples, samples]), np.clip(samples * 2, 0, 6))


def test_samples_do_not_influence_each_other(graph_of, samples_of):
    graph, samples = graph_of(FACE), samples_of(FACE)
    many = np.concatenate([samples, samples, samples])  # more than one batch
    together, alone = run_graph(graph, many), run_graph(graph, samples[3:4])
    for name, values in together.items():
        assert len(values) == len(many)
        for index in (3, 3 + len(samples), 3 + 2 * len(samples)):
            assert np.allclose(values[index], alone[name][0], rtol=1e-4, atol=1e-2)


def test_the_samples_are_left_as_they_are(graph_of, samples_of):
    samples = samples_of(FACE)[:2].copy()
    before = samples.copy()
    run_graph(graph_of(FACE), samples)
    assert np.array_equal(samples, before)
