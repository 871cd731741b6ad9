"""Comparing two models: how inputs and outputs are paired, the order of axes, the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from blazeport.convert.compare import Comparison, compare, comparison_inputs, gate, turn
from blazeport.convert.model_file import ModelFile
from blazeport.convert.parity import Budget
from blazeport.errors import InputError, ParityError, ShapeError
from blazeport.runtime.interpreter import TensorSpec

IMAGES = [np.random.default_rng(seed).random((1, 6, 4, 3), np.float32) for seed in range(3)]


def model(run, outputs: dict[str, tuple[int, ...]], *, name: str = "x", shape: tuple[int, ...] = (1, 6, 4, 3)):
    """A model of one input that is a Python function."""
    spec = TensorSpec(shape=shape, dtype=np.dtype(np.float32))
    return ModelFile(
        path=Path("model.onnx"), inputs={name: spec}, outputs=outputs, run=lambda values: run(values[name])
    )


def identity(name: str = "y") -> ModelFile:
    return model(lambda x: {name: x}, {name: (1, 6, 4, 3)})


def on_images(reference: ModelFile, candidate: ModelFile, **options) -> Comparison:
    return compare(reference, candidate, [{"x": image} for image in IMAGES], **options)


def test_outputs_without_a_common_name_are_paired_by_shape_and_axes_are_turned():
    candidate = model(
        lambda x: {"map": x, "sum": x.sum(axis=(1, 2, 3))},
        {"map": (1, 3, 6, 4), "sum": (1,)},
        name="picture",
        shape=(1, 3, 6, 4),
    )
    reference = model(lambda x: {"y": x, "z": x.sum(axis=(1, 2, 3))}, {"y": (1, 6, 4, 3), "z": (1,)})
    comparison = on_images(reference, candidate)
    assert comparison.passed
    assert [output.name for output in comparison.parity.outputs] == ["y", "z"]


def test_outputs_that_only_one_has_are_named():
    more = model(lambda x: {"y": x, "z": x[..., 0]}, {"y": (1, 6, 4, 3), "z": (1, 6, 4)})
    assert on_images(more, identity()).left_out == ("z",)
    assert on_images(identity(), more).left_out == ("z",)


def test_the_axes_of_a_cube_are_found_by_its_values():
    cubes = [np.random.default_rng(seed).random((1, 5, 5, 5), np.float32) for seed in range(3)]

    def cube(turned) -> ModelFile:
        return model(lambda x: {"y": turned(x)}, {"y": (1, 5, 5, 5)}, shape=(1, 5, 5, 5))

    same, other = cube(lambda x: x), cube(lambda x: x.transpose(0, 3, 1, 2))
    assert compare(same, other, [{"x": each} for each in cubes]).parity.exact
    wrong = cube(lambda x: x.transpose(0, 2, 1, 3))
    assert not compare(same, wrong, [{"x": each} for each in cubes]).passed


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda x: x + 0.01, "is off by 0.01"),
        (lambda x: x * np.float32("nan"), "gives values that are not finite"),
        (lambda x: np.zeros_like(x), "gives the same values for every input"),
    ],
    ids=["off", "not finite", "constant"],
)
def test_what_is_off_does_not_pass(change, word: str):
    comparison = on_images(identity(), model(lambda x: {"y": change(x)}, {"y": (1, 6, 4, 3)}))
    assert not comparison.passed
    with pytest.raises(ParityError, match=word):
        gate(comparison, "out.tflite")


def test_a_tolerance_replaces_the_budget_and_int8_has_none():
    comparison = on_images(identity(), model(lambda x: {"y": x + 0.01}, {"y": (1, 6, 4, 3)}), tolerance=0.05)
    assert comparison.passed
    assert comparison.budgets == {"y": Budget(metric="relative", limit=0.05)}
    gate(on_images(identity(), model(lambda x: {"y": x + 0.5}, {"y": (1, 6, 4, 3)})), "out.tflite", None)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (model(lambda x: {"y": x}, {"y": (1, 6, 4, 3)}, shape=(1, 8, 8, 3)), "Expected an array that can be turned"),
        (model(lambda x: {"a": x, "b": x}, {"a": (1, 6, 4, 3), "b": (1, 6, 4, 3)}), "shapes that fit more than once"),
        (model(lambda x: {"a": x, "b": x}, {"a": (7,), "b": (8,)}), "neither a name nor a shape in common"),
        (model(lambda x: {"y": x[0]}, {"y": (6, 4, 3)}), "Output 'y' should have the shape"),
    ],
    ids=["input", "ambiguous", "nothing", "rank"],
)
def test_models_that_do_not_fit_each_other_are_an_error(candidate: ModelFile, reason: str):
    with pytest.raises((InputError, ShapeError), match=reason):
        on_images(identity(), candidate)


def test_turning_needs_a_shape_that_fits():
    assert turn(IMAGES[0], (1, 3, 6, 4)).shape == (1, 3, 6, 4)
    with pytest.raises(ShapeError, match="can be turned to"):
        turn(IMAGES[0], (1, 4, 6, 3))


def test_a_network_without_an_image_gets_the_same_noise_every_time():
    vector = model(lambda x: {"y": x}, {"y": (1, 8)}, shape=(1, 8))
    first, second = (comparison_inputs(vector, None, 40) for _ in range(2))
    assert len(first) == 10
    np.testing.assert_array_equal(first[3]["x"], second[3]["x"])
