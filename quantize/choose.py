"""Which quantizer makes a file: by its precision, a method, a recipe and a budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..convert.artifact import Quantizer
from ..convert.precisions import CALIBRATED_PRECISIONS
from ..convert.source import Source
from ..errors import unknown
from ..models.config import VariantConfig
from .budget import TaskBudget
from .budget_quantizer import GatedQuantizer, SearchingQuantizer, first_recipe
from .calibration import Calibration
from .quantizer import ConverterQuantizer, LitertQuantizer, recipe_quantizer
from .recipes import Recipe, Spared, shipped_ranges, shipped_recipe

METHODS = ("blazeport", "tflite", "litert")


def stored_ranges(source: Source, heads: tuple[str, ...], precision: str, recipe_file: Path | None) -> Path | None:
    """Ranges with which a file needs no photos: beside a recipe of one's own, or blazeport's for official weights.

    Args:
        source: the network.
        heads: which of its outputs the file has.
        precision: of `CALIBRATED_PRECISIONS`.
        recipe_file: one's own recipe, or None.
    """
    if recipe_file is not None:
        beside = recipe_file.with_suffix(".npz")
        return beside if beside.is_file() else None
    return shipped_ranges(source.config.name, heads, precision) if source.official else None


def choose_quantizer(
    config: VariantConfig,
    precision: str,
    photos: Callable[[], Calibration],
    *,
    method: str = "blazeport",
    recipe: Recipe | None = None,
    stored: Path | None = None,
    budget: TaskBudget | None = None,
    spared: Spared = "float",
) -> Quantizer | None:
    """The quantizer for one file.

    Args:
        config: the network.
        precision: of the file.
        photos: opens the calibration photos; called only where they are needed.
        method: of `METHODS`; the last two take neither a recipe nor a budget.
        recipe: one's own; None takes the variant's.
        stored: ranges for the recipe and these weights; a search does without.
        budget: what the file must keep; `mixed` searches for the layers to spare.
        spared: what those layers run in.
    Returns:
        None for a precision that nothing is calibrated for.
    Raises:
        ConfigError: an unknown method, a variant without a recipe for this precision, or ranges that cannot be read.
        CalibrationError, InputError: photos that are needed cannot be read.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if precision not in CALIBRATED_PRECISIONS:
        return None
    if method != "blazeport":
        return (LitertQuantizer if method == "litert" else ConverterQuantizer)(photos(), config)
    if budget is not None and precision == "mixed":
        return SearchingQuantizer(recipe or first_recipe(config.name), photos(), config, budget, spared)
    recipe = recipe or shipped_recipe(config.name, precision)
    quantizer = recipe_quantizer(config, recipe, stored=stored, calibration=photos)
    return quantizer if budget is None else GatedQuantizer(quantizer, photos(), budget)
