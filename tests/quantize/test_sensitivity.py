"""Units of layers, files of any mix of precisions from one sweep, and the ranking of a real network."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from blazeport.models.config import get_config
from blazeport.models.cost import cost_of
from blazeport.quantize.post_training import quantize_graph
from blazeport.quantize.recipes import Recipe
from blazeport.quantize.rewrites import tail_nodes
from blazeport.quantize.sensitivity import MixedFiles, sensitivity
from blazeport.quantize.task_figures import TaskMeter
from blazeport.quantize.units import units_of
from blazeport.runtime.interpreter import Model
from blazeport.weights.reader import read_tflite

FACE, LITE, SPARSE = "face_detection_short_range", "pose_landmark_lite", "face_detection_full_range_sparse"


@pytest.mark.parametrize("variant", [FACE, SPARSE, LITE, "pose_landmark_full", "pose_detection"])
def test_every_layer_that_can_be_integer_is_in_one_unit(variant: str, graph_of):
    graph = graph_of(variant)
    units = units_of(graph)
    tail = {node.output for node in tail_nodes(graph)}
    layers = [layer for unit in units for layer in unit.layers]
    assert sorted(layers) == sorted(graph.names[node.output] for node in graph.nodes if node.output not in tail)
    assert sum(unit.mac_share for unit in units) == pytest.approx(1.0)
    assert len({unit.name for unit in units}) == len(units) > 10


@pytest.mark.parametrize("variant", [FACE, LITE])
def test_units_have_the_macs_of_the_file(variant: str, graph_of, official):
    assert sum(unit.macs for unit in units_of(graph_of(variant))) == cost_of(read_tflite(official(variant))).macs


def test_a_unit_is_a_residual_block_a_convolution_or_a_head(small):
    network = small(side=4)
    kernel = np.ones((3, 1, 1, 3))
    stem = network.convolution("stem", 0, kernel, [0] * 3, "RELU6")
    inner = network.convolution("inner", stem, kernel, [0] * 3)
    block = network.sum("block", stem, inner, "RELU6")
    head = network.convolution("head", block, kernel, [0] * 3)
    other = network.convolution("other", block, kernel, [0] * 3)
    units = units_of(network.finish(a=head, b=other))
    assert [unit.layers for unit in units] == [("stem",), ("inner", "block"), ("head",), ("other",)]
    assert [unit.side_px for unit in units] == [4] * 4
    assert [unit.macs for unit in units] == [4 * 4 * 3 * 3] * 4


@pytest.mark.parametrize("base", ["int8", "int16"])
@pytest.mark.parametrize("split_residuals", [False, True])
def test_a_file_that_spares_nothing_is_the_file_of_its_recipe(graph_of, samples_of, base: str, split_residuals: bool):
    recipe = Recipe(base=base, split_residuals=split_residuals)
    samples = [sample[None] for sample in samples_of(FACE)]
    whole = MixedFiles(graph_of(FACE), samples, recipe).write(recipe)
    assert whole == quantize_graph(graph_of(FACE), samples, recipe)


def test_layers_of_a_split_residual_follow_the_layer_they_come_from(graph_of, samples_of):
    recipe = Recipe(split_residuals=True)
    graph = graph_of(LITE, "landmarks", "presence")
    unit = max((unit for unit in units_of(graph) if len(unit.layers) > 2), key=lambda unit: unit.macs)
    samples = [sample[None] for sample in samples_of(LITE)]
    content = MixedFiles(graph, samples, recipe).write(dataclasses.replace(recipe, float_layers=unit.layers))
    by_name = {tensor.name: tensor.dtype for tensor in read_tflite(content).tensors}
    made = {name: dtype for name, dtype in by_name.items() if name in {*unit.layers, *_split(unit.layers)}}
    assert set(made.values()) == {"float32"}
    assert {"int8", "float32"} <= set(by_name.values())


def _split(layers: tuple[str, ...]) -> list[str]:
    return [f"{layer}{suffix}" for layer in layers for suffix in ("_negative", "_raised")]


def test_int8_int16_and_float_layers_share_a_file(graph_of, samples_of):
    recipe = Recipe()
    graph = graph_of(FACE)
    units = units_of(graph)
    mixed = dataclasses.replace(
        recipe, float_layers=units[1].layers, int16_layers=(*units[3].layers, *units[-1].layers)
    )
    content = MixedFiles(graph, [sample[None] for sample in samples_of(FACE)], recipe).write(mixed)
    share = cost_of(read_tflite(content)).int8_share
    assert share == pytest.approx(1 - units[1].mac_share - units[3].mac_share - units[-1].mac_share)
    outputs = Model(content).run(samples_of(FACE)[:1])
    assert all(np.isfinite(values).all() for values in outputs.values())


def test_units_are_ranked_by_what_they_lose(graph_of, samples_of, official):
    samples = [sample[None] for sample in samples_of(FACE)]
    config = get_config(FACE)
    meter = TaskMeter(Model(official(FACE)).run, samples[:4], config)
    ranked = sensitivity(graph_of(FACE), samples, Recipe(balance_channels=0.5), meter, config)
    assert {row.unit.name for row in ranked.units} == {unit.name for unit in units_of(graph_of(FACE))}
    losses = [row.alone_loss for row in ranked.units]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 2 * losses[-1]
    for row in ranked.units:
        assert row.alone["int8_macs"] == pytest.approx(row.unit.mac_share)
        assert row.spared["int8_macs"] == pytest.approx(1 - row.unit.mac_share)
        assert row.alone_loss < meter.loss(ranked.whole)
    assert json.loads(json.dumps(ranked.to_dict(), allow_nan=False))["units"][0]["unit"]["layers"]
