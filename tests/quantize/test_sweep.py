"""The sweep: what it simulates is what LiteRT runs, biases are corrected, and ranges are the ones asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from blazeport.quantize import sweep as sweep_module
from blazeport.quantize.equalize import equalize
from blazeport.quantize.execute import run_graph, run_node
from blazeport.quantize.graph import Graph, Node
from blazeport.quantize.grid import Grid, real_weights
from blazeport.quantize.post_training import node_precisions
from blazeport.quantize.recipes import Recipe
from blazeport.quantize.sweep import SweepOptions, sweep
from blazeport.quantize.write import Plan, write_tflite
from blazeport.runtime.interpreter import Model

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"


@dataclass
class Swept:
    """A graph, its plan, the samples, what the sweep simulated for each output, and the file."""

    graph: Graph
    plan: Plan
    samples: np.ndarray
    simulated: dict[str, np.ndarray]
    content: bytes


def run_sweep(graph: Graph, samples: np.ndarray, base: str = "int8", *, options=None, **settings) -> Swept:
    last: dict[int, np.ndarray] = {}

    def recorded(graph: Graph, node: Node, inputs: list[np.ndarray], **how) -> np.ndarray:
        last[node.output] = run_node(graph, node, inputs, **how)
        return last[node.output]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "run_node", recorded)
        precision = node_precisions(graph, Recipe(base=base))
        plan = sweep(graph, precision, samples, options or SweepOptions(), **settings)
    # The float tail runs last on what the quantized network holds.
    simulated = {name: last[tensor] for name, tensor in graph.outputs.items()}
    return Swept(graph, plan, samples, simulated, write_tflite(graph, plan))


def run_file(swept: Swept, count: int) -> dict[str, np.ndarray]:
    model = Model(swept.content)
    runs = [model.run(sample[None]) for sample in swept.samples[:count]]
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


@pytest.fixture(scope="module")
def lite(graph_of, samples_of) -> Swept:
    samples = samples_of(LITE)
    graph = equalize(graph_of(LITE, "landmarks"), samples)
    return run_sweep(graph, samples, fixed_ranges={graph.input: (0.0, 1.0)})


@pytest.fixture(scope="module")
def lite_int16(graph_of, samples_of) -> Swept:
    graph = graph_of(LITE, "landmarks")
    return run_sweep(graph, samples_of(LITE)[:4], "int16", fixed_ranges={graph.input: (0.0, 1.0)})


@dataclass
class Peek:
    """Real values of a file's tensors by name, from its integers."""

    interpreter: Interpreter

    def __call__(self, graph: Graph, tensor: int) -> tuple[np.ndarray, Grid]:
        details = {each["name"]: each for each in self.interpreter.get_tensor_details()}
        name = "input_1_int8" if tensor == graph.input else graph.names[tensor]
        each = details[name]
        scale, zero_point = each["quantization"]
        stored = self.interpreter.get_tensor(each["index"])
        return (stored.astype(np.float32) - zero_point) * np.float32(scale), Grid("int8", scale, zero_point)


def peek(content: bytes, image: np.ndarray, resolver: OpResolverType) -> Peek:
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=resolver, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return Peek(interpreter)


@pytest.mark.parametrize("kernels", ["BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"])
def test_on_the_same_inputs_every_operator_gives_what_the_kernels_give(lite: Swept, kernels: str):
    graph, plan = lite.graph.copy(), lite.plan
    look = peek(lite.content, lite.samples[:1], getattr(OpResolverType, kernels))
    differing = []
    for node in graph.nodes:
        if plan.precision[node.output] == "float":
            continue
        if node.is_convolution:
            weights, axis = plan.weights[node.output], 3 if node.kind == "DEPTHWISE_CONV_2D" else 0
            step = weights.scales * np.float32(plan.grids[node.inputs[0], "int8"].scale)
            graph.constants[node.inputs[1]] = real_weights(weights.kernel, weights.scales, axis)
            graph.constants[node.inputs[2]] = (weights.bias * step).astype(np.float32)
        expected = run_node(graph, node, [look(graph, tensor)[0] for tensor in graph.activations(node)])
        received, grid = look(graph, node.output)
        assert grid.scale == pytest.approx(plan.grids[node.output, "int8"].scale)
        steps = np.abs(grid.store(expected).astype(int) - grid.store(received))
        assert steps.max() <= 1, graph.names[node.output]
        differing.append(np.mean(steps > 0))
    assert len(differing) > 60
    assert np.mean(differing) < 0.01  # kernels round halves up


def test_the_simulation_of_int8_agrees_with_litert_within_a_few_steps(lite: Swept):
    received, simulated = run_file(lite, len(lite.samples))["landmarks"], lite.simulated["landmarks"]
    head = next(node for node in reversed(lite.graph.nodes) if node.is_convolution)
    steps = np.abs(received - simulated) / lite.plan.grids[head.output, "int8"].scale
    assert np.median(steps) <= 1
    assert np.mean(steps) < 2.5  # single differing roundings grow through 80 layers
    real = run_graph(lite.graph, lite.samples)["landmarks"]
    assert np.mean(np.abs(received - simulated)) < np.mean(np.abs(received - real))


def test_the_simulation_of_int16_agrees_with_litert_to_a_fraction_of_a_pixel(lite_int16: Swept):
    received = run_file(lite_int16, 1)["landmarks"]
    difference = np.abs(received - lite_int16.simulated["landmarks"][:1])
    assert difference.mean() < 0.2
    assert difference.max() < 1


def channel_means(swept: Swept, layers: list[Node]) -> list[np.ndarray]:
    """Of each layer: per-channel mean error of the file against float over the samples, in output steps."""
    probe = swept.graph.copy()
    probe.outputs = {str(node.output): node.output for node in layers}
    expected = run_graph(probe, swept.samples)
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    looks = [peek(swept.content, sample[None], resolver) for sample in swept.samples]
    means = []
    for node in layers:
        received = np.concatenate([look(swept.graph, node.output)[0] for look in looks])
        error = (received - expected[str(node.output)]).mean((0, 1, 2))
        means.append(error / swept.plan.grids[node.output, "int8"].scale)
    return means


def test_bias_correction_brings_the_mean_of_every_channel_back(lite: Swept):
    layers = [node for node in lite.graph.convolutions() if node.activation == "NONE"]
    # Small maps have too few elements for a mean.
    layers = [node for node in layers if lite.graph.shapes[node.output][1] >= 32]
    assert len(layers) == 5
    plain = run_sweep(
        lite.graph,
        lite.samples,
        options=SweepOptions(correct_bias=False),
        fixed_ranges={lite.graph.input: (0.0, 1.0)},
    )
    corrected, uncorrected = (
        np.concatenate([np.abs(each) for each in channel_means(swept, layers)]) for swept in (lite, plain)
    )
    assert corrected.mean() < 0.25 * uncorrected.mean()
    assert corrected.mean() < 0.1


@pytest.mark.parametrize(("activation", "expected"), [("NONE", 0.165), ("RELU", 0.03), ("RELU6", 0.03)])
def test_only_elements_that_the_activation_lets_through_move_a_bias(small, activation: str, expected: float):
    network = small(channels=2)
    kernel = np.array([1, 0.003]).reshape(1, 1, 1, 2)  # the second weight rounds to 0
    graph = network.finish(out=network.convolution("out", 0, kernel, [0], activation))
    samples = np.zeros((4, 8, 8, 2), np.float32)
    samples[:, :4] = 3, 10
    samples[:, 4:] = -5, 100
    (node,) = graph.nodes
    plan = sweep(graph, {node.output: "int16"}, samples, SweepOptions())
    weights = plan.weights[node.output]
    assert weights.kernel.ravel().tolist() == [127, 0]
    assert weights.bias * weights.scales * plan.grids[0, "int16"].scale == pytest.approx(expected, abs=0.01)


def test_a_range_that_is_given_is_taken(small):
    network = small()
    graph = network.finish(out=network.convolution("out", 0, np.ones((2, 1, 1, 3)), [0, 0]))
    samples = np.random.default_rng(0).uniform(0, 1, (4, 8, 8, 3)).astype(np.float32)
    (node,) = graph.nodes
    plan = sweep(graph, {node.output: "int8"}, samples, SweepOptions(), fixed_ranges={0: (-1, 1), node.output: (-4, 4)})
    assert plan.grids[0, "int8"].scale == pytest.approx(2 / 255)
    assert plan.grids[node.output, "int8"].scale == pytest.approx(8 / 255)


@pytest.mark.parametrize("method", ["minmax", "mse"])
def test_linear_outputs_get_their_range_by_the_method(small, method: str):
    network = small()
    graph = network.finish(out=network.convolution("out", 0, np.eye(3).reshape(3, 1, 1, 3), [0] * 3))
    samples = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)
    samples[0, 0, 0, 0] = 7
    (node,) = graph.nodes
    plan = sweep(graph, {node.output: "int8"}, samples, SweepOptions(range_method=method), fixed_ranges={0: (-8, 8)})
    reach = plan.grids[node.output, "int8"].scale * 255
    widest = samples.max() - samples.min()
    assert reach == pytest.approx(widest, rel=1e-3) if method == "minmax" else reach < 0.98 * widest


def test_a_residual_gets_no_wider_range_than_can_matter(small):
    network = small()
    x = network.convolution("x", 0, np.eye(3).reshape(3, 1, 1, 3), [0] * 3, "RELU6")
    y = network.convolution("y", 0, np.eye(3).reshape(3, 1, 1, 3) * 20, [0] * 3)
    graph = network.finish(out=network.sum("out", x, y, "RELU6"))
    samples = np.random.default_rng(0).uniform(-2, 2, (4, 8, 8, 3)).astype(np.float32)
    plan = sweep(graph, dict.fromkeys((x, y, graph.nodes[-1].output), "int8"), samples, SweepOptions())
    assert plan.grids[y, "int8"].scale * 255 == pytest.approx(12, rel=0.2)


def test_only_important_positions_count(small):
    network = small()
    graph = network.finish(out=network.convolution("out", 0, np.eye(3).reshape(3, 1, 1, 3), [0] * 3))
    samples = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)
    samples[:, 4:] *= 1000  # junk
    mask = np.zeros((4, 8, 8), bool)
    mask[:, :4] = True
    importance: Callable[[int, int], np.ndarray] = lambda height, width: mask  # noqa: E731
    (node,) = graph.nodes
    plan = sweep(graph, {node.output: "int8"}, samples, SweepOptions(), importance=importance)
    assert plan.grids[0, "int8"].scale * 255 == pytest.approx(2, rel=0.1)
    assert plan.grids[node.output, "int8"].scale * 255 == pytest.approx(2, rel=0.1)


def test_every_reader_of_a_float_tensor_sees_the_same_integers(small):
    network = small()
    first = network.convolution("first", 0, np.eye(3).reshape(3, 1, 1, 3), [0] * 3)
    left = network.convolution("left", first, np.eye(3).reshape(3, 1, 1, 3), [0] * 3)
    graph = network.finish(out=network.sum("out", first, left))
    samples = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)
    seen: list[np.ndarray] = []

    def recorded(graph: Graph, node: Node, inputs: list[np.ndarray], **how) -> np.ndarray:
        seen.append(inputs[0])
        return run_node(graph, node, inputs, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "run_node", recorded)
        out = graph.nodes[-1].output
        plan = sweep(graph, {first: "float", left: "int8", out: "int8"}, samples, SweepOptions())
    grid = plan.grids[first, "int8"]
    assert np.array_equal(seen[-1], grid.round(seen[-1]))  # what the last ADD read


def test_int16_and_float_layers_read_what_int8_layers_made(small):
    network = small()
    tensors = [network.convolution("c0", 0, np.eye(3).reshape(3, 1, 1, 3), [0] * 3)]
    for number in (1, 2, 3):
        tensors.append(network.convolution(f"c{number}", tensors[-1], np.eye(3).reshape(3, 1, 1, 3), [0.1] * 3))
    graph = network.finish(out=tensors[-1])
    samples = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)
    precision = dict(zip(tensors, ("int8", "int16", "float", "int8"), strict=True))
    plan = sweep(graph, precision, samples, SweepOptions())
    model = Model(write_tflite(graph, plan))
    received = np.concatenate([model.run(sample[None])["out"] for sample in samples])
    assert np.abs(received - run_graph(graph, samples)["out"]).max() < 0.05
    assert {mode for _, mode in plan.grids} == {"int8", "int16"}
    assert set(plan.weights) == {tensor for tensor, mode in precision.items() if mode != "float"}
