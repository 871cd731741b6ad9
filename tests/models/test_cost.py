"""The cost of the networks, counted from the files, against the known figures."""

from __future__ import annotations

import functools

import pytest
from blazeport.errors import ShapeError
from blazeport.models.config import VARIANTS, get_config, resolve_heads
from blazeport.models.cost import Cost, cost_of, head_tensors, savings_by_head
from blazeport.weights.fetch import official_file
from blazeport.weights.reader import TfliteGraph, read_tflite
from real_networks import POSE_LANDMARKS, exported


@functools.cache
def official_graph(variant: str) -> TfliteGraph:
    return read_tflite(official_file(variant))


@pytest.mark.parametrize(
    ("variant", "params", "mega_macs"),
    [
        ("face_detection_short_range", 101_390, 30.8),
        ("face_detection_full_range", 514_069, 105.7),
        ("face_detection_full_range_sparse", 508_308, 117.2),
        ("pose_detection", 2_965_314, 429.9),
        ("pose_landmark_lite", 1_363_089, 197.8),
        ("pose_landmark_full", 3_169_489, 386.1),
        ("pose_landmark_heavy", 13_751_073, 1927.3),
    ],
)
def test_params_and_macs_of_the_official_files(variant: str, params: int, mega_macs: float):
    cost = cost_of(official_graph(variant))
    assert cost.params == params
    assert cost.macs / 1e6 == pytest.approx(mega_macs, abs=0.05)
    assert (cost.int8_macs, cost.int8_share) == (0, 0.0)


def test_operators_that_only_unpack_weights_are_not_counted():
    """Counted by hand: 21 convolutions, 16 depthwise, 17 ReLU, 16 add, 11 pad, 3 max-pool, 4 reshape, 2 concat."""
    graph = official_graph("face_detection_short_range")
    assert cost_of(graph).ops == 21 + 16 + 17 + 16 + 11 + 3 + 4 + 2
    assert len(graph.ops) > cost_of(graph).ops


SAVINGS = [
    # variant, head, operators, parameters, MACs in millions, share of all MACs
    ("pose_landmark_lite", "segmentation", 21, 1_417, 31.5, 0.159),
    ("pose_landmark_full", "segmentation", 20, 1_849, 34.8, 0.090),
    ("pose_landmark_heavy", "segmentation", 20, 1_993, 37.0, 0.019),
    ("pose_landmark_lite", "heatmap", 1, 1_287, 5.1, 0.026),
    ("pose_landmark_full", "heatmap", 1, 1_911, 7.7, 0.020),
    ("pose_landmark_heavy", "heatmap", 1, 1_911, 7.7, 0.004),
    ("pose_landmark_lite", "world_landmarks", 2, 89_973, 0.09, 0.0005),
    ("pose_landmark_full", "world_landmarks", 2, 134_901, 0.13, 0.0003),
    ("pose_landmark_heavy", "world_landmarks", 2, 134_901, 0.13, 0.0001),
]


@pytest.mark.parametrize(("variant", "head", "ops", "params", "mega_macs", "share"), SAVINGS)
def test_what_removing_one_head_saves(variant: str, head: str, ops: int, params: int, mega_macs: float, share: float):
    graph = official_graph(variant)
    saved = savings_by_head(graph, get_config(variant))[head]
    assert (saved.ops, saved.params) == (ops, params)
    assert saved.macs / 1e6 == pytest.approx(mega_macs, abs=0.05)
    assert saved.macs / cost_of(graph).macs == pytest.approx(share, abs=0.0005)


@pytest.mark.parametrize(
    ("variant", "heads", "ops", "params", "macs"),
    [
        ("pose_landmark_lite", "tracking", 36, 0.023, 0.214),
        ("pose_landmark_full", "tracking", 35, 0.020, 0.141),
        ("pose_landmark_heavy", "tracking", 21, 0.0003, 0.023),
        ("pose_landmark_lite", "landmarks", 38, 0.089, 0.215),
        ("pose_landmark_full", "landmarks", 37, 0.062, 0.141),
        ("pose_landmark_heavy", "landmarks", 23, 0.010, 0.023),
    ],
)
def test_what_a_preset_saves(variant: str, heads: str, ops: int, params: float, macs: float):
    """More than the heads one by one: in lite and full the decoder serves only segmentation and heatmap."""
    graph, config = official_graph(variant), get_config(variant)
    tensors, total = head_tensors(graph, config), cost_of(graph)
    saved = total.minus(cost_of(graph, [tensors[name] for name in resolve_heads(config, heads)]))
    assert saved.ops == ops
    assert saved.params / total.params == pytest.approx(params, abs=0.0005)
    assert saved.macs / total.macs == pytest.approx(macs, abs=0.0005)


@pytest.mark.parametrize("variant", POSE_LANDMARKS)
@pytest.mark.parametrize("heads", ["all", "landmarks"])
def test_an_exported_file_costs_what_its_heads_cost_in_the_official_one(variant: str, heads: str):
    official, config = official_graph(variant), get_config(variant)
    tensors = head_tensors(official, config)
    expected = cost_of(official, [tensors[name] for name in resolve_heads(config, heads)])
    assert cost_of(read_tflite(exported(variant, heads, "fp16"))) == expected


@pytest.mark.parametrize("variant", VARIANTS)
def test_heads_are_found_in_official_and_exported_files(variant: str):
    config = get_config(variant)
    for graph in (official_graph(variant), read_tflite(exported(variant, "all", "fp16"))):
        found = head_tensors(graph, config)
        assert list(found) == list(config.head_names)
        assert {name: graph.tensors[index].shape for name, index in found.items()} == {
            head.name: head.shape for head in config.heads
        }


def test_a_file_of_another_variant_has_none_of_its_heads():
    with pytest.raises(ShapeError) as error:
        head_tensors(official_graph("pose_detection"), get_config("face_detection_short_range"))
    assert "[(1, 896, 16), (1, 896, 1)]. Received: (1, 2254, 12)" in str(error.value)


def test_costs_subtract_field_by_field_and_know_their_int8_share():
    whole, part = Cost(ops=5, params=70, macs=400, int8_macs=300), Cost(ops=2, params=30, macs=100, int8_macs=50)
    assert whole.minus(part) == Cost(ops=3, params=40, macs=300, int8_macs=250)
    assert whole.int8_share == 0.75
    assert Cost(ops=0, params=0, macs=0, int8_macs=0).int8_share == 0.0
