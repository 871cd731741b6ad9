"""Budgets at the task: read from text, checked, and kept by a search over the layers of a real network."""

from __future__ import annotations

import dataclasses
import math

import pytest
from blazeport.errors import ConfigError, ParityError
from blazeport.models.config import get_config
from blazeport.quantize.budget import parse_budget
from blazeport.quantize.post_training import apply_fit
from blazeport.quantize.recipes import Recipe, sparing, sparing_nothing
from blazeport.quantize.search import search
from blazeport.quantize.task_figures import TaskMeter, measured, task_figures
from blazeport.runtime.interpreter import Model

FACE, LITE, PERSON = "face_detection_short_range", "pose_landmark_lite", "pose_detection"
# A sweep without rounding by feedback takes seconds.
PLAIN = Recipe(balance_channels=0.5)


@pytest.fixture(scope="module")
def meter(official, samples_of) -> TaskMeter:
    return TaskMeter(Model(official(FACE)).run, [sample[None] for sample in samples_of(FACE)], get_config(FACE))


@pytest.mark.parametrize(
    ("variant", "text", "limits"),
    [
        (LITE, "px=1.5,presence=0.99", {"px": 1.5, "presence": 0.99}),
        (FACE, " missed=0, extra=2 ,keypoints=2.5,int8_macs=0.6", None),
        (PERSON, "center=1,size=2,rotation=1,missed=0,", None),
    ],
)
def test_limits_are_read_in_their_order(variant: str, text: str, limits: dict[str, float] | None):
    budget = parse_budget(text, get_config(variant))
    if limits is not None:
        assert budget.limits == limits
    assert list(budget.limits) == [part.split("=")[0].strip() for part in text.split(",") if part.strip()]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("px=1", "Expected one of: missed, extra, scores, keypoints, iou, int8_macs. Received: 'px'."),
        ("missed", "missed .* needs a number of at least 0. Received: 'missed'."),
        ("missed=few", "Received: 'missed=few'."),
        ("missed=nan", "Received: 'missed=nan'."),
        ("missed=-1", "Received: 'missed=-1'."),
        ("iou=98", r"needs a number in \[0, 1\]. Received: 'iou=98'."),
        ("missed=0,missed=1", "Received twice: missed."),
        (" , ", "names at least one of missed, extra,"),
    ],
)
def test_what_is_no_limit_is_refused_with_what_is(text: str, reason: str):
    with pytest.raises(ConfigError, match=reason):
        parse_budget(text, get_config(FACE))


def test_a_figure_may_equal_its_limit():
    budget = parse_budget("px=1.5,presence=0.99", get_config(LITE))
    assert budget.over({"px": 1.5, "presence": 0.99}) == ()
    assert budget.over({"px": 1.6, "presence": 0.98}) == ("px", "presence")


def test_a_figure_that_could_not_be_measured_is_over():
    assert parse_budget("keypoints=9", get_config(FACE)).over({"keypoints": math.nan}) == ("keypoints",)


def test_the_error_says_what_was_reached():
    budget = parse_budget("px=1.5,presence=0.99", get_config(LITE))
    with pytest.raises(ParityError, match=r"The file .* on 9 calibration samples: px 2 \(at most 1.5\), presence 1 \("):
        budget.check({"px": 2.0, "presence": 1.0}, "The file", 9)


@pytest.mark.parametrize("variant", [FACE, PERSON, LITE])
def test_the_float_file_loses_nothing_against_itself(variant: str, official, samples_of):
    run = Model(official(variant)).run
    figures = TaskMeter(run, [sample[None] for sample in samples_of(variant)[:3]], get_config(variant)).measure(run)
    assert set(figures) == {name for name in task_figures(get_config(variant)) if name != "int8_macs"}
    for name, value in figures.items():
        assert value == pytest.approx(1.0 if name in ("iou", "presence") else 0.0)


def test_pixel_noise_moves_the_float_file(meter: TaskMeter):
    noise = meter.noise()
    assert 0 < noise["keypoints"] < 5
    assert meter.loss(noise) > 0


def test_a_search_spares_what_the_budget_asks_for(graph_of, samples_of, meter: TaskMeter):
    samples = [sample[None] for sample in samples_of(FACE)]
    budget = parse_budget("keypoints=3,int8_macs=0.5", get_config(FACE))
    found = search(graph_of(FACE), samples, PLAIN, budget, meter)
    assert not budget.over(found.figures)
    assert found.figures == pytest.approx(measured(found.content, meter))
    assert found.units
    assert found.recipe.float_layers == tuple(layer for unit in found.units for layer in unit.layers)
    assert dataclasses.replace(found.recipe, float_layers=()) == PLAIN
    assert 0.5 <= found.figures["int8_macs"] < 1.0
    assert apply_fit(graph_of(FACE), found.recipe, found.fit) == found.content


def test_a_budget_that_int8_keeps_spares_nothing(graph_of, samples_of, meter: TaskMeter):
    samples = [sample[None] for sample in samples_of(FACE)]
    found = search(graph_of(FACE), samples, PLAIN, parse_budget("keypoints=50", get_config(FACE)), meter)
    assert (found.units, found.recipe, found.figures["int8_macs"]) == ((), PLAIN, 1.0)


def test_a_budget_that_cannot_be_kept_says_how_near_it_came(graph_of, samples_of, meter: TaskMeter):
    samples = [sample[None] for sample in samples_of(FACE)]
    budget = parse_budget("keypoints=0.01,int8_macs=0.95", get_config(FACE))
    with pytest.raises(ParityError, match=r"The best that was reached: keypoints \d.* \(at most 0.01\)") as caught:
        search(graph_of(FACE), samples, PLAIN, budget, meter)
    assert caught.value.metric == "keypoints"
    assert caught.value.figure > caught.value.budget == 0.01


def test_layers_are_spared_once_and_in_the_precision_asked_for():
    recipe = sparing(sparing(Recipe(), ["a", "b"], "float"), ["b", "c"], "float")
    assert recipe.float_layers == ("a", "b", "c")
    both = sparing(recipe, ["d"], "int16")
    assert both.int16_layers == ("d",)
    assert sparing_nothing(dataclasses.replace(both, float_maps_px=4, int16_maps_px=8)) == Recipe()
