"""Recipes: written and read back as JSON, and refused with a reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from blazeport.errors import ConfigError
from blazeport.quantize.recipes import SHIPPED, Recipe, read_recipe, shipped_recipe


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.json"


def test_a_recipe_is_read_back_as_it_was_written(path: Path):
    recipe = Recipe(base="int16", float_layers=("a", "b"), score_range=(-5.0, 4.0), float_maps_px=4)
    path.write_text(recipe.to_json())
    assert read_recipe(path) == recipe
    assert isinstance(read_recipe(path).float_layers, tuple)


def test_entries_left_away_have_their_defaults(path: Path):
    path.write_text('{"range_method": "entropy"}')
    assert read_recipe(path) == Recipe(range_method="entropy")


def test_json_holds_every_entry():
    assert set(json.loads(Recipe().to_json())) == {field.name for field in dataclasses.fields(Recipe)}


def test_an_unknown_entry_is_named(path: Path):
    path.write_text('{"speed": 11}')
    with pytest.raises(ConfigError, match=r"entry of the recipe mine\.json.*base.*'speed'"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("base", "int4", "int8, int16.*'int4'"),
        ("range_method", "best", "minmax.*'best'"),
        ("range_method", {}, "range_method must be"),
        ("balance_channels", 1.5, r"balance_channels must lie in \[0, 1\]\. Received: 1.5"),
        ("balance_channels", "full", "balance_channels must be of the kind of 1.0. Received: 'full'"),
        ("float_maps_px", "8", "float_maps_px must be of the kind of 0"),
        ("float_maps_px", None, "float_maps_px must be"),
        ("correct_bias", "no", "correct_bias must be of the kind of True"),
        ("correct_bias", 1, "correct_bias must be"),
        ("head_margin", True, "head_margin must be"),
        ("float_layers", "conv", "float_layers must be"),
        ("score_range", [1], "two rising logits"),
        ("score_range", [6, -10], "two rising logits"),
        ("schema_version", 99, "schema version must be 1. Received: 99"),
    ],
)
def test_an_impossible_value_is_refused_with_its_name(path: Path, entry: str, value, message: str):
    path.write_text(json.dumps({entry: value}))
    with pytest.raises(ConfigError, match=message):
        read_recipe(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'{"base": "int8",}'])
def test_what_is_no_json_is_an_error(path: Path, content: bytes):
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"Expected a recipe as JSON\. .*mine\.json cannot be read"):
        read_recipe(path)


@pytest.mark.parametrize("content", ["[]", "3", '"int8"', "null"])
def test_json_that_is_no_object_is_an_error(path: Path, content: str):
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"as a JSON object\. Received: .*mine\.json"):
        read_recipe(path)


def test_a_missing_file_is_an_error(path: Path):
    with pytest.raises(ConfigError, match=r"mine\.json cannot be read"):
        read_recipe(path)


def test_whole_numbers_do_for_fractions(path: Path):
    path.write_text('{"balance_channels": 1, "score_range": [-10, 6]}')
    assert read_recipe(path) == Recipe()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_every_shipped_recipe_can_be_had(path: Path):
    variant, precision, _ = path.name.split(".")
    recipe = shipped_recipe(variant, precision)
    assert recipe == read_recipe(path)
    assert recipe.base == ("int16" if precision == "int16x8" else "int8")


def test_an_unknown_variant_or_precision_is_named():
    with pytest.raises(ConfigError, match=r"variant.*pose_landmark_lite.*'hand'"):
        shipped_recipe("hand", "int8")
    with pytest.raises(ConfigError, match=r"precision with a recipe for pose_landmark_lite.*'int4'"):
        shipped_recipe("pose_landmark_lite", "int4")
