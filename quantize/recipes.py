"""Recipes: how a precision is reached for a network, as readable JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import ConfigError, unknown
from ..models.config import VARIANTS, artifact_name, get_config, heads_label
from .ranges import METHODS

SHIPPED = Path(__file__).parent / "recipes"
SCHEMA_VERSION = 1
BASE_PRECISIONS = ("int8", "int16")
Spared = Literal["float", "int16"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a float graph is quantized. See docs/quantization.md for what each step does.

    Attributes:
        base: integer type of the activations: `int8`, or `int16` with int8 weights.
        float_maps_px: layers whose feature map's side is at most this run in float; 0: none.
        int16_maps_px: likewise, for int16 activations.
        float_layers: names of further layers that run in float.
        int16_layers: likewise, for int16 activations.
        balance_channels: scale channels to like ranges, 0 (off) to 1 (fully).
        split_residuals: make additions before a ReLU6 exact; costs a second convolution each.
        own_head_ranges: give every output channel of the heads a range of its own.
        head_margin: how far these ranges reach beyond what calibration shows, as a share of it.
        score_range: logits that a detector's scores may take; beyond it they saturate.
        range_method: of linear activations: `minmax`, `percentile`, `mse`, `entropy`.
        correct_bias: keep each layer's mean output.
        feedback_rounding: GPTQ rounding of weights.
        important_positions: fit detectors to the positions behind detections only.
        schema_version: of this record.
    """

    base: str = "int8"
    float_maps_px: int = 0
    int16_maps_px: int = 0
    float_layers: tuple[str, ...] = ()
    int16_layers: tuple[str, ...] = ()
    balance_channels: float = 1.0
    split_residuals: bool = False
    own_head_ranges: bool = True
    head_margin: float = 0.2
    score_range: tuple[float, float] = (-10.0, 6.0)
    range_method: str = "mse"
    correct_bias: bool = True
    feedback_rounding: bool = False
    important_positions: bool = True
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise ConfigError(f"Recipe schema version must be {SCHEMA_VERSION}. Received: {self.schema_version}.")
        for field in dataclasses.fields(self):
            kind, value = type(field.default), getattr(self, field.name)
            fits = isinstance(value, (int, float) if kind is float else kind)
            if kind in (bool, int, float, str, tuple) and (not fits or isinstance(value, bool) != (kind is bool)):
                raise ConfigError(f"{field.name} must be of the kind of {field.default!r}. Received: {value!r}.")
        if len(self.score_range) != 2 or not self.score_range[0] < self.score_range[1]:
            raise ConfigError(f"score_range must be two rising logits. Received: {list(self.score_range)}.")
        if self.base not in BASE_PRECISIONS:
            raise unknown("base of a recipe", self.base, BASE_PRECISIONS)
        if self.range_method not in METHODS:
            raise unknown("range method", self.range_method, METHODS)
        if not 0.0 <= self.balance_channels <= 1.0:
            raise ConfigError(f"balance_channels must lie in [0, 1]. Received: {self.balance_channels}.")

    def to_json(self) -> str:
        """The recipe as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe.

    Raises:
        ConfigError: it is not there, is not JSON, or has an unknown or impossible entry.
    """
    try:
        record: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"Expected a recipe as JSON. {path} cannot be read: {error}.") from error
    names = [field.name for field in dataclasses.fields(Recipe)]
    if not isinstance(record, dict):
        raise ConfigError(f"Expected a recipe as a JSON object. Received: {path}.")
    for name, value in record.items():
        if name not in names:
            raise unknown(f"entry of the recipe {path.name}", name, names)
        if isinstance(value, list):
            record[name] = tuple(value)
    try:
        return Recipe(**record)
    except TypeError as error:
        raise ConfigError(f"{path} is no recipe: {error}.") from error


def shipped_recipe(variant: str, precision: str) -> Recipe:
    """The recipe that blazeport brings for a variant: `int8`, `int16x8` or `mixed`.

    Raises:
        ConfigError: unknown variant, or a precision this variant has no recipe for.
    """
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    path = SHIPPED / f"{variant}.{precision}.json"
    if not path.is_file():
        available = sorted(recipe.name.split(".")[1] for recipe in SHIPPED.glob(f"{variant}.*.json"))
        raise unknown(f"precision with a recipe for {variant}", precision, available)
    return read_recipe(path)


def stored_path(variant: str, heads: tuple[str, ...], precision: str) -> Path:
    """Where the ranges that blazeport brings for a shipped recipe and a set of heads stand, or would."""
    config = get_config(variant)
    return SHIPPED / f"{artifact_name(config, heads_label(config, heads), precision)}.npz"


def shipped_ranges(variant: str, heads: tuple[str, ...], precision: str) -> Path | None:
    """The ranges to use: of just these heads, else of all heads, which serve fewer as well; None: none are shipped."""
    everything = get_config(variant).head_names
    candidates = (stored_path(variant, names, precision) for names in (heads, everything))
    return next((path for path in candidates if path.is_file()), None)


def sparing_nothing(recipe: Recipe) -> Recipe:
    """The same recipe with every layer in its base precision."""
    return dataclasses.replace(recipe, float_maps_px=0, int16_maps_px=0, float_layers=(), int16_layers=())


def sparing(recipe: Recipe, layers: Iterable[str], spared: Spared) -> Recipe:
    """The same recipe with these layers, too, out of its base precision."""
    have = recipe.float_layers if spared == "float" else recipe.int16_layers
    all_of_them = (*have, *(layer for layer in layers if layer not in have))
    if spared == "float":
        return dataclasses.replace(recipe, float_layers=all_of_them)
    return dataclasses.replace(recipe, int16_layers=all_of_them)
