"""What calibration found out, stored: the same network again without photos, and nothing but what fits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from blazeport.convert.source import open_source
from blazeport.convert.tflite import to_tflite
from blazeport.errors import ConfigError, ConversionError
from blazeport.models.config import VARIANTS, get_config
from blazeport.quantize.fit import Fit, read_fit
from blazeport.quantize.graph import read_graph
from blazeport.quantize.post_training import apply_fit, fit_graph, quantize_graph
from blazeport.quantize.recipes import SHIPPED as SHIPPED_RECIPES
from blazeport.quantize.recipes import Recipe, shipped_ranges, shipped_recipe
from blazeport.quantize.refit import shipped_files
from blazeport.runtime.interpreter import Model

FACE = "face_detection_short_range"
ROUNDED = Recipe(feedback_rounding=True, balance_channels=0.5)
SHIPPED = [pytest.param(*each, id=each[-1].stem) for each in shipped_files()]


@pytest.fixture(scope="module")
def fitted(graph_of, samples_of) -> Fit:
    return fit_graph(graph_of(FACE), [sample[None] for sample in samples_of(FACE)], ROUNDED)


def test_a_fit_survives_its_file_and_writes_the_same_network(fitted: Fit, graph_of, samples_of, tmp_path: Path):
    path = tmp_path / "fit.npz"
    path.write_bytes(fitted.to_bytes())
    again = read_fit(path)
    assert again.to_bytes() == fitted.to_bytes()
    expected = quantize_graph(graph_of(FACE), [sample[None] for sample in samples_of(FACE)], ROUNDED)
    assert apply_fit(graph_of(FACE), ROUNDED, again) == expected


def test_a_fit_of_all_heads_serves_fewer(graph_of, samples_of):
    variant, recipe = "pose_landmark_lite", Recipe(split_residuals=True)
    fit = fit_graph(graph_of(variant), [sample[None] for sample in samples_of(variant)[:2]], recipe)
    whole = len(apply_fit(graph_of(variant), recipe, fit))
    assert len(apply_fit(graph_of(variant, "landmarks", "presence"), recipe, fit)) < 0.95 * whole


def test_a_fit_holds_no_weights(fitted: Fit):
    assert len(fitted.to_bytes()) < 40_000
    assert all(np.abs(steps).max() < 40 for steps in fitted.roundings.values())


@pytest.mark.parametrize("field", ["biases", "grids"])
def test_a_fit_that_lacks_something_is_refused(fitted: Fit, graph_of, field: str):
    with pytest.raises(ConversionError, match="Nothing that fits is stored"):
        apply_fit(graph_of(FACE), ROUNDED, dataclasses.replace(fitted, **{field: {}}))


def test_a_fit_of_another_recipe_is_refused(fitted: Fit, graph_of):
    with pytest.raises(ConversionError, match="fitted to this network by this recipe"):
        apply_fit(graph_of(FACE), dataclasses.replace(ROUNDED, int16_maps_px=16), fitted)


@pytest.mark.parametrize("damage", ["truncated", "sizes", "version", "pickle", "missing"])
def test_a_damaged_file_is_refused(fitted: Fit, tmp_path: Path, damage: str):
    path = tmp_path / "fit.npz"
    path.write_bytes(fitted.to_bytes())
    stored = dict(np.load(path))
    head = json.loads(stored["head"].tobytes())
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "missing":
        path.unlink()
    else:
        if damage == "sizes":
            head["index"]["biases"][0][1] += 1
        elif damage == "version":
            head["schema_version"] = 99
        else:
            stored["factors"] = np.array([{"an": "object"}], dtype=object)
        stored["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
        np.savez(path, **stored)
    with pytest.raises(ConfigError):
        read_fit(path)


@pytest.mark.parametrize(("variant", "heads", "precision", "path"), SHIPPED)
def test_ranges_are_shipped_for_every_recipe(variant: str, heads: tuple[str, ...], precision: str, path: Path):
    fit = read_fit(path)
    assert set(fit.output_ranges) == set(heads)
    assert fit.input_range == get_config(variant).input_range
    assert len(fit.media["media"]) == 38
    assert not fit.media["demo"]
    assert bool(fit.roundings) == shipped_recipe(variant, precision).feedback_rounding


@pytest.mark.parametrize("variant", [FACE, "pose_landmark_lite"])
def test_what_is_shipped_fits_the_network_with_any_of_its_heads(variant: str):
    source = open_source(variant)
    model = source.build()
    for preset, heads in source.config.presets.items():
        content = to_tflite(model, source.config, heads, "fp32", licence=source.licence, author=source.author)
        for recipe in SHIPPED_RECIPES.glob(f"{variant}.*.json"):
            precision = recipe.name.split(".")[1]
            path = shipped_ranges(variant, heads, precision)
            assert path is not None, (preset, precision)
            quantized = apply_fit(read_graph(content), shipped_recipe(variant, precision), read_fit(path))
            assert set(Model(quantized).outputs) == set(heads)


def test_ranges_of_all_heads_are_taken_where_none_are_stored_for_just_these():
    lite = get_config("pose_landmark_lite")
    tracking = shipped_ranges("pose_landmark_lite", lite.presets["tracking"], "int8")
    assert tracking == shipped_ranges("pose_landmark_lite", lite.head_names, "int8")
    assert tracking != shipped_ranges("pose_landmark_lite", lite.presets["landmarks"], "int8")
    assert set(VARIANTS) == {variant for variant, *_ in shipped_files()}
