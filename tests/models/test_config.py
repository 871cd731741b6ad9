"""The variants as data: what they say agrees with the official files, and names resolve in one way only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from blazeport.errors import ConfigError
from blazeport.models.config import (
    POSE_LANDMARK_LITE,
    VARIANTS,
    DetectorConfig,
    PoseLandmarkConfig,
    artifact_name,
    get_config,
    heads_label,
    resolve_heads,
)
from blazeport.weights.reader import read_tflite

Official = Callable[[str], Path]

ALL_HEADS = ("landmarks", "presence", "segmentation", "heatmap", "world_landmarks")
DETECTORS = [name for name, config in VARIANTS.items() if isinstance(config, DetectorConfig)]
LANDMARKERS = [name for name, config in VARIANTS.items() if isinstance(config, PoseLandmarkConfig)]


def test_there_are_the_seven_official_variants():
    assert [*DETECTORS, *LANDMARKERS] == list(VARIANTS)
    assert DETECTORS == [
        "face_detection_short_range",
        "face_detection_full_range",
        "face_detection_full_range_sparse",
        "pose_detection",
    ]
    assert LANDMARKERS == ["pose_landmark_lite", "pose_landmark_full", "pose_landmark_heavy"]
    assert all(name == config.name for name, config in VARIANTS.items())


@pytest.mark.parametrize("variant", VARIANTS)
def test_input_and_heads_are_those_of_the_official_file_in_its_order(official: Official, variant: str):
    graph, config = read_tflite(official(variant)), get_config(variant)
    assert [graph.tensors[index].shape for index in graph.inputs] == [config.input_shape]
    assert [graph.tensors[index].shape for index in graph.outputs] == [head.shape for head in config.heads]
    assert all(head.meaning for head in config.heads)


@pytest.mark.parametrize(
    ("variant", "grids", "num_anchors", "num_coords"),
    [
        ("face_detection_short_range", ((16, 2), (8, 6)), 896, 16),
        ("face_detection_full_range", ((48, 1),), 2304, 16),
        ("face_detection_full_range_sparse", ((48, 1),), 2304, 16),
        ("pose_detection", ((28, 2), (14, 2), (7, 6)), 2254, 12),
    ],
)
def test_anchors_are_counted_from_the_strides(
    variant: str, grids: tuple[tuple[int, int], ...], num_anchors: int, num_coords: int
):
    config = get_config(variant)
    assert isinstance(config, DetectorConfig)
    assert (config.anchor_grids, config.num_anchors, config.num_coords) == (grids, num_anchors, num_coords)


def test_detectors_take_minus_one_to_one_and_landmark_networks_zero_to_one():
    assert {VARIANTS[name].input_range for name in DETECTORS} == {(-1.0, 1.0)}
    assert {VARIANTS[name].input_range for name in LANDMARKERS} == {(0.0, 1.0)}


def test_a_config_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        POSE_LANDMARK_LITE.trunk_channels = 64


def test_derived_numbers_follow_a_replaced_field():
    smaller = dataclasses.replace(POSE_LANDMARK_LITE, name="smaller", input_size=128, num_landmarks=33)
    assert [head.shape for head in smaller.heads] == [(1, 165), (1, 1), (1, 128, 128, 1), (1, 32, 32, 33), (1, 99)]


def test_an_unknown_variant_is_named_with_those_there_are():
    with pytest.raises(ConfigError) as error:
        get_config("pose_landmark_tiny")
    assert str(error.value) == (
        f"Unknown variant. Expected one of: {', '.join(VARIANTS)}. Received: 'pose_landmark_tiny'."
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("all", ALL_HEADS),
        ("no_heatmap", ("landmarks", "presence", "segmentation", "world_landmarks")),
        ("tracking", ("landmarks", "presence", "world_landmarks")),
        ("landmarks", ("landmarks", "presence")),
        ("heatmap", ("heatmap",)),
        ("presence+landmarks", ("landmarks", "presence")),
        ("world_landmarks+heatmap+landmarks", ("landmarks", "heatmap", "world_landmarks")),
    ],
)
def test_heads_resolve_to_the_order_of_the_file(spec: str, expected: tuple[str, ...]):
    assert resolve_heads(POSE_LANDMARK_LITE, spec) == expected


@pytest.mark.parametrize(
    ("variant", "spec"),
    [
        ("pose_landmark_lite", "face"),
        ("pose_landmark_lite", ""),
        ("pose_landmark_lite", "landmarks+"),
        ("pose_landmark_lite", "landmarks+all"),
        ("pose_landmark_lite", "landmarks presence"),
        ("pose_landmark_lite", "Landmarks"),
        ("pose_detection", "landmarks"),
        ("face_detection_short_range", "tracking"),
    ],
)
def test_unknown_heads_are_named_with_the_presets_and_heads_there_are(variant: str, spec: str):
    config = get_config(variant)
    with pytest.raises(ConfigError) as error:
        resolve_heads(config, spec)
    message = str(error.value)
    assert message.startswith(f"Unknown heads for {variant}. Expected one of: all, ")
    assert message.endswith(f"Received: {spec!r}.")
    assert all(name in message for name in (*config.presets, *config.head_names))


def test_a_head_named_twice_is_refused():
    with pytest.raises(ConfigError, match=r"once\. Received: 'presence\+presence'"):
        resolve_heads(POSE_LANDMARK_LITE, "presence+presence")


@pytest.mark.parametrize(
    ("variant", "heads", "precision", "expected"),
    [
        ("pose_landmark_lite", "all", "fp32", "pose_landmark_lite.fp32"),
        ("pose_landmark_lite", "no_heatmap", "fp16", "pose_landmark_lite.no_heatmap.fp16"),
        ("pose_landmark_full", "tracking", "dynamic", "pose_landmark_full.tracking.dynamic"),
        ("pose_landmark_heavy", "landmarks", "int8", "pose_landmark_heavy.landmarks.int8"),
        ("pose_landmark_lite", "presence+landmarks", "int8_io8", "pose_landmark_lite.landmarks.int8_io8"),
        ("pose_landmark_lite", "heatmap+landmarks", "fp16", "pose_landmark_lite.landmarks+heatmap.fp16"),
        ("pose_landmark_lite", "+".join(reversed(ALL_HEADS)), "fp16", "pose_landmark_lite.fp16"),
        ("pose_detection", "all", "fp16", "pose_detection.fp16"),
        ("pose_detection", "scores+boxes", "fp16", "pose_detection.fp16"),
        ("face_detection_short_range", "scores", "fp16", "face_detection_short_range.scores.fp16"),
    ],
)
def test_one_set_of_heads_has_one_artifact_name(variant: str, heads: str, precision: str, expected: str):
    assert artifact_name(get_config(variant), heads, precision) == expected


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_preset_is_its_own_label(variant: str):
    config = get_config(variant)
    assert [heads_label(config, names) for names in config.presets.values()] == list(config.presets)
    assert all(resolve_heads(config, preset) == names for preset, names in config.presets.items())
    assert config.presets["all"] == config.head_names
