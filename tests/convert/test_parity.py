"""The gate on hand-made arrays: what it measures, and what it lets pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from blazeport.convert.parity import EXACT, FLOAT_NOISE, Budget, Parity, Runner, check, measure, require_outputs
from blazeport.errors import ParityError


def runner(**outputs: Sequence[object]) -> Runner:
    """Answers the n-th input, which holds n, with the n-th value of each output."""
    return lambda image: {name: np.array(values[int(image[0])], np.float32) for name, values in outputs.items()}


def compared(reference: Sequence[object], candidate: Sequence[object]) -> Parity:
    inputs = [np.array([number], np.float32) for number in range(len(reference))]
    return measure(
        runner(scores=reference), runner(scores=candidate), inputs, ["scores"], reference_name="the original"
    )


def test_differences_are_measured_over_all_inputs():
    parity = compared(reference=[[0, 1], [2, 4]], candidate=[[0, 1.5], [2, 3]])
    (scores,) = parity.outputs
    assert (parity.reference, parity.inputs, scores.name) == ("the original", 2, "scores")
    assert (scores.max_abs, scores.mean_abs) == (1.0, 1.5 / 4)
    assert (scores.reference_range, scores.relative) == (4.0, 0.25)
    assert scores.finite
    assert not scores.constant
    assert not parity.exact


def test_equal_outputs_are_exact_and_minus_zero_is_zero():
    parity = compared(reference=[[0.0], [1.0]], candidate=[[-0.0], [1.0]])
    assert parity.exact
    check(parity, EXACT, "file.tflite")


def test_the_worst_output_is_the_one_with_the_largest_relative_difference():
    one = [np.zeros(1, np.float32), np.ones(1, np.float32)]
    parity = measure(
        runner(boxes=[[0], [1000]], scores=[[0], [1]]),
        runner(boxes=[[0], [1010]], scores=[[0], [1.1]]),
        one,
        ["boxes", "scores"],
        reference_name="the original",
    )
    assert [output.name for output in parity.outputs] == ["boxes", "scores"]
    assert parity.worst.name == "scores"


def test_only_the_named_outputs_are_compared():
    parity = measure(
        runner(boxes=[[0]], scores=[[0]]),
        runner(boxes=[[0]], scores=[[9]], extra=[[1]]),
        [np.zeros(1, np.float32)],
        ["boxes"],
        reference_name="the original",
    )
    assert [output.name for output in parity.outputs] == ["boxes"]
    assert parity.exact


def test_a_reference_without_a_range_makes_any_difference_infinite():
    assert compared(reference=[[3], [3]], candidate=[[3], [3]]).outputs[0].relative == 0.0
    assert compared(reference=[[3], [3]], candidate=[[3], [4]]).outputs[0].relative == math.inf


def failure(parity: Parity, budget: Budget | None) -> ParityError:
    with pytest.raises(ParityError) as error:
        check(parity, budget, "file.tflite")
    return error.value


def test_an_output_over_its_budget_fails_with_the_facts():
    error = failure(compared(reference=[[0], [4]], candidate=[[0], [5]]), Budget(metric="max_abs", limit=0.5))
    assert (error.output, error.figure, error.budget, error.metric) == ("scores", 1.0, 0.5, "max_abs")
    assert str(error) == (
        "Output 'scores' of file.tflite is off by 1 (max_abs) where 0.5 is allowed, against the original on 2 inputs. "
        "The file was not written; --keep-failed keeps it for a look."
    )


def test_a_relative_budget_is_held_against_the_range():
    parity = compared(reference=[[0], [1000]], candidate=[[0], [1000.15]])
    check(parity, FLOAT_NOISE, "file.tflite")
    error = failure(compared(reference=[[0], [1000]], candidate=[[0], [1000.25]]), FLOAT_NOISE)
    assert (error.figure, error.budget, error.metric) == (pytest.approx(1.25e-4, rel=1e-3), 1e-4, "mean_relative")


def test_a_figure_on_its_budget_passes():
    check(compared(reference=[[0], [4]], candidate=[[0], [5]]), Budget(metric="max_abs", limit=1.0), "file.tflite")


def test_the_smallest_difference_fails_an_exact_budget():
    error = failure(
        compared(reference=[[1], [0]], candidate=[[np.nextafter(np.float32(1), np.float32(2))], [0]]), EXACT
    )
    assert error.figure == pytest.approx(2**-23)


def test_without_a_budget_any_difference_passes():
    check(compared(reference=[[0], [4]], candidate=[[9], [1000]]), None, "file.tflite")


@pytest.mark.parametrize("budget", [EXACT, FLOAT_NOISE, None], ids=["exact", "float-noise", "none"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_fail_under_every_budget(value: float, budget: Budget | None):
    error = failure(compared(reference=[[0], [1]], candidate=[[0], [value]]), budget)
    assert "gives values that are not finite" in str(error)
    assert error.output == "scores"


@pytest.mark.parametrize("budget", [EXACT, FLOAT_NOISE, None], ids=["exact", "float-noise", "none"])
def test_a_reference_that_is_not_a_number_proves_nothing(budget: Budget | None):
    failure(compared(reference=[[0], [math.nan]], candidate=[[0], [1]]), budget)


@pytest.mark.parametrize("budget", [Budget(metric="max_abs", limit=100.0), None], ids=["wide", "none"])
def test_an_output_that_never_changes_fails_under_every_budget(budget: Budget | None):
    error = failure(compared(reference=[[0, 1], [2, 3]], candidate=[[1, 1], [1, 1]]), budget)
    assert "gives the same values for every input" in str(error)


def test_an_output_may_stay_where_its_reference_stays():
    check(compared(reference=[[5], [5]], candidate=[[5], [5]]), EXACT, "file.tflite")


def test_a_single_input_cannot_show_that_an_output_is_constant():
    assert not compared(reference=[[5]], candidate=[[5]]).outputs[0].constant


def test_the_first_output_that_fails_is_named():
    parity = measure(
        runner(boxes=[[0], [1]], scores=[[0], [1]], extra=[[0], [1]]),
        runner(boxes=[[0], [1]], scores=[[0], [2]], extra=[[0], [3]]),
        [np.zeros(1, np.float32), np.ones(1, np.float32)],
        ["boxes", "scores", "extra"],
        reference_name="the original",
    )
    assert failure(parity, EXACT).output == "scores"


def test_a_missing_output_is_named_with_those_there_are():
    require_outputs(["boxes", "scores"], {"scores": 1, "boxes": 2}, "file.tflite")
    with pytest.raises(ParityError) as error:
        require_outputs(["boxes", "scores"], {"boxes": 1, "score": 2}, "file.tflite")
    assert str(error.value) == "file.tflite should have an output named 'scores'. Received: boxes, score."
    assert (error.value.output, error.value.metric) == ("scores", "named")
