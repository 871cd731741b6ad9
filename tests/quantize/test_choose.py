"""Which quantizer a precision, a method, ranges and a budget come to, and when photos are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from blazeport.convert.source import open_source
from blazeport.errors import ConfigError
from blazeport.models.config import get_config
from blazeport.quantize.budget import parse_budget
from blazeport.quantize.budget_quantizer import GatedQuantizer, SearchingQuantizer
from blazeport.quantize.calibration import Calibration, open_calibration
from blazeport.quantize.choose import choose_quantizer, stored_ranges
from blazeport.quantize.quantizer import ConverterQuantizer, LitertQuantizer, RecipeQuantizer, StoredQuantizer
from blazeport.quantize.recipes import shipped_ranges

CONFIG = get_config("pose_landmark_lite")
HEADS = ("landmarks", "presence")
BUDGET = parse_budget("px=1.5", CONFIG)


def no_photos() -> Calibration:
    raise AssertionError("no photo was to be opened")


def photos() -> Calibration:
    return open_calibration(None)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "dynamic"])
def test_what_is_not_calibrated_needs_no_quantizer(precision: str):
    assert choose_quantizer(CONFIG, precision, no_photos) is None


def test_with_stored_ranges_no_photo_is_opened():
    stored = shipped_ranges(CONFIG.name, HEADS, "int8")
    assert stored is not None
    assert isinstance(choose_quantizer(CONFIG, "int8", no_photos, stored=stored), StoredQuantizer)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"precision": "int8"}, RecipeQuantizer),
        ({"precision": "int16x8"}, RecipeQuantizer),
        ({"precision": "int8", "budget": BUDGET}, GatedQuantizer),
        ({"precision": "mixed"}, RecipeQuantizer),
        ({"precision": "mixed", "budget": BUDGET}, SearchingQuantizer),
        ({"precision": "int8", "method": "tflite"}, ConverterQuantizer),
        ({"precision": "int8", "method": "litert"}, LitertQuantizer),
    ],
)
def test_every_choice_has_its_quantizer(options: dict, kind: type):
    assert type(choose_quantizer(CONFIG, photos=photos, **options)) is kind


def test_an_unknown_method_is_an_error():
    with pytest.raises(ConfigError, match="blazeport, tflite, litert"):
        choose_quantizer(CONFIG, "int8", no_photos, method="tf")


def test_ranges_lie_beside_ones_own_recipe_or_come_with_official_weights(tmp_path: Path):
    source = open_source(CONFIG.name, None)
    assert stored_ranges(source, HEADS, "int8", None) == shipped_ranges(CONFIG.name, HEADS, "int8")
    recipe = tmp_path / "own.json"
    assert stored_ranges(source, HEADS, "int8", recipe) is None
    beside = tmp_path / "own.npz"
    beside.touch()
    assert stored_ranges(source, HEADS, "int8", recipe) == beside
