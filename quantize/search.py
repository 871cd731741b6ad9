"""The cheapest layers to spare from int8 so that a file keeps its budget at the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import progress
from ..errors import ParityError
from .budget import TaskBudget
from .fit import Fit
from .graph import Graph
from .post_training import apply_fit, fit_graph
from .recipes import Recipe, Spared, sparing
from .sensitivity import MixedFiles, alone_figures
from .task_figures import TaskMeter, measured
from .units import Unit, units_of

# Files made by a recipe of their own, each of which takes a sweep.
_MAX_FILES = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """What a search ends with.

    Attributes:
        recipe: spares the layers that were chosen.
        fit: what it takes from the samples.
        content: the .tflite file by it.
        figures: of that file, on the calibration samples that it was measured on.
        units: the chosen ones, in execution order.
    """

    recipe: Recipe
    fit: Fit
    content: bytes
    figures: dict[str, float]
    units: tuple[Unit, ...]


def search(
    graph: Graph,
    samples: Sequence[np.ndarray],
    recipe: Recipe,
    budget: TaskBudget,
    meter: TaskMeter,
    *,
    spared: Spared = "float",
) -> Found:
    """Spares units until the budget is kept: those first that do most damage for their multiply-accumulates.

    Errors of single units add up like independent ones, so a unit counts by the square of its loss alone, per MAC.
    Every step is measured in LiteRT. Then each unit without which the budget is still kept is taken back, and the file
    is made anew by its recipe and measured again; where it is over the budget after all, further units are spared.

    Args:
        graph: the float network.
        samples: float32 `(1, S, S, 3)` calibration inputs.
        recipe: how it is quantized; layers it spares stay spared.
        budget: what must be kept, on the meter's samples.
        meter: measures the files.
        spared: what chosen layers run in.
    Raises:
        ParityError: the budget cannot be kept. Says how near the best file came.
    """
    files = MixedFiles(graph, samples, recipe)
    least = budget.limits.get("int8_macs", 0.0)

    def figures(chosen: Sequence[Unit]) -> dict[str, float]:
        return measured(files.write(sparing(recipe, _layers(chosen), spared)), meter)

    chosen: list[Unit] = []
    reached = figures(chosen)
    candidates: list[Unit] = []
    if budget.over(reached):
        candidates = _by_damage(files, graph, recipe, meter)
    for unit in progress.track(candidates, "Sparing layers", len(candidates)):
        if not _errors_over(budget, reached):
            break
        tried = figures([*chosen, unit])
        if tried["int8_macs"] >= least:
            chosen, reached = [*chosen, unit], tried
    if not budget.over(reached):
        chosen = _needed(chosen, figures, budget)

    best: tuple[float, dict[str, float]] | None = None
    waiting = [unit for unit in candidates if unit not in chosen]
    for _ in range(_MAX_FILES):
        candidate = sparing(recipe, _layers(_in_order(graph, chosen)), spared)
        with progress.step("Quantizing by the recipe that was found"):
            fit = fit_graph(graph, samples, candidate)
            content = apply_fit(graph, candidate, fit)
        reached = measured(content, meter)
        if not budget.over(reached):
            units = _in_order(graph, chosen)
            return Found(recipe=candidate, fit=fit, content=content, figures=reached, units=units)
        loss = meter.loss(reached)
        if best is None or loss < best[0]:
            best = loss, reached
        following = next((u for u in waiting if reached["int8_macs"] - u.mac_share >= least), None)
        if following is None:
            break
        waiting.remove(following)
        chosen = [*chosen, following]
    assert best is not None
    name = budget.over(best[1])[0]
    raise ParityError(
        f"No set of layers in {spared} keeps the budget on {meter.samples} calibration samples. The best that was "
        f"reached: {budget.text(best[1])}. Allow more, or give a recipe to begin with by --recipe.",
        output=name,
        figure=best[1][name],
        budget=budget.limits[name],
        metric=name,
    )


def _layers(units: Sequence[Unit]) -> list[str]:
    return [layer for unit in units for layer in unit.layers]


def _by_damage(files: MixedFiles, graph: Graph, recipe: Recipe, meter: TaskMeter) -> list[Unit]:
    """All units, the one with most damage per MAC first."""
    units = units_of(graph)
    damage = {}
    for unit in progress.track(units, "Measuring layer by layer", len(units)):
        loss = meter.loss(alone_figures(files, recipe, units, unit, meter))
        damage[unit.name] = loss**2 / max(unit.mac_share, 1e-3)
    return sorted(units, key=lambda unit: -damage[unit.name])


def _errors_over(budget: TaskBudget, figures: dict[str, float]) -> bool:
    return any(name != "int8_macs" for name in budget.over(figures))


def _needed(chosen: list[Unit], figures: object, budget: TaskBudget) -> list[Unit]:
    """Takes back what the budget is kept without, the most expensive first."""
    assert callable(figures)
    for unit in sorted(chosen, key=lambda unit: -unit.macs):
        fewer = [other for other in chosen if other is not unit]
        if not budget.over(figures(fewer)):
            chosen = fewer
    return chosen


def _in_order(graph: Graph, chosen: Sequence[Unit]) -> tuple[Unit, ...]:
    names = {unit.name for unit in chosen}
    return tuple(unit for unit in units_of(graph) if unit.name in names)
