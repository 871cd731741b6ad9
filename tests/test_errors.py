"""The errors: one base, facts as attributes, messages that list what is allowed."""

from __future__ import annotations

import inspect

from blazeport import errors


def test_every_error_is_a_blazeport_error():
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]
    assert len(classes) > 5
    assert all(issubclass(each, errors.BlazeportError) for each in classes)


def test_an_unknown_name_is_answered_with_those_that_exist():
    error = errors.unknown("variant", "pose", ["lite", "full"])
    assert isinstance(error, errors.ConfigError)
    assert str(error) == "Unknown variant. Expected one of: lite, full. Received: 'pose'."


def test_a_parity_error_carries_its_facts():
    error = errors.ParityError("Too far.", output="boxes", figure=0.5, budget=0.0, metric="max_abs")
    assert (str(error), error.output, error.figure, error.budget, error.metric) == (
        "Too far.",
        "boxes",
        0.5,
        0.0,
        "max_abs",
    )
