"""Compares two models of any kind, output by output, on the same inputs; `blazeport parity` and the gates of
conversions use it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import InputError, ShapeError
from .artifact import gate_inputs
from .inputs import ImageInput
from .model_file import ModelFile, Values, nhwc_shape
from .parity import FLOAT_NOISE, Budget, Parity, check, measure

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
# What two runtimes may differ by that compute the same float network. The official landmark files in LiteRT are
# themselves up to 0.025 px and 2e-5 of presence from what the network gives in float64.
HEAD_BUDGETS = {
    "boxes": Budget(metric="relative", limit=1e-5),
    "scores": Budget(metric="relative", limit=1e-5),
    "landmarks": Budget(metric="max_abs", limit=0.05),  # px
    "presence": Budget(metric="max_abs", limit=5e-5),
    "segmentation": FLOAT_NOISE,
    "heatmap": Budget(metric="relative", limit=2e-3),
    "world_landmarks": Budget(metric="relative", limit=2e-3),
}
NETWORK_BUDGET = Budget(metric="relative", limit=1e-3)
# fp16 rounds weights that are not fp16 already; what that costs is not an error of the conversion.
ROUNDING = Budget(metric="mean_relative", limit=1e-2)
RANDOM_INPUTS = 10


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models side by side.

    Attributes:
        parity: the figures, one entry per compared output.
        budgets: output → what it may differ by.
        left_out: outputs that only one of the two has.
    """

    parity: Parity
    budgets: dict[str, Budget]
    left_out: tuple[str, ...]

    def passes(self, name: str) -> bool:
        """Whether an output is finite, varies, and keeps its budget."""
        (output,) = (each for each in self.parity.outputs if each.name == name)
        budget = self.budgets[name]
        return output.finite and not output.constant and float(getattr(output, budget.metric)) <= budget.limit

    @property
    def passed(self) -> bool:
        """Whether every output does."""
        return all(self.passes(output.name) for output in self.parity.outputs)


def compare(
    reference: ModelFile,
    candidate: ModelFile,
    inputs: Sequence[Values],
    *,
    tolerance: float | None = None,
    reference_name: str | None = None,
) -> Comparison:
    """Runs both models on the same inputs.

    Inputs and outputs are paired by name, or, where no names agree, by shape. An image or map may lie in NHWC order in
    one model and in NCHW in the other.

    Args:
        reference: the model that is right.
        candidate: the model that is judged.
        inputs: for the reference, input name → array.
        tolerance: largest difference allowed, as a share of each output's range; None takes `HEAD_BUDGETS` for
            blazeport's networks and `NETWORK_BUDGET` for others.
        reference_name: what messages call the reference.
    Raises:
        InputError: their inputs or outputs do not fit each other.
    """
    input_pairs = _pairs(
        {name: spec.shape for name, spec in reference.inputs.items()},
        {name: spec.shape for name, spec in candidate.inputs.items()},
        f"inputs of {reference.path.name} and {candidate.path.name}",
    )
    if len(input_pairs) != len(reference.inputs) or len(input_pairs) != len(candidate.inputs):
        raise InputError(f"{reference.path} and {candidate.path} have other inputs: {_names(reference, candidate)}.")
    pairs = _pairs(reference.outputs, candidate.outputs, f"outputs of {reference.path.name} and {candidate.path.name}")
    aligner = _Aligner(pairs)

    def run_reference(values: Values) -> Mapping[str, np.ndarray]:
        aligner.expected = reference.run(values)
        return aligner.expected

    def run_candidate(values: Values) -> Mapping[str, np.ndarray]:
        turned = {other: turn(values[name], candidate.inputs[other].shape) for name, other in input_pairs.items()}
        return aligner.align(candidate.run(turned))

    name = reference_name or reference.path.name
    parity = measure(run_reference, run_candidate, inputs, list(pairs), reference_name=name)
    known = reference.config
    default = Budget(metric="relative", limit=tolerance) if tolerance is not None else None
    budgets = {
        name: default or (HEAD_BUDGETS.get(name, NETWORK_BUDGET) if known is not None else NETWORK_BUDGET)
        for name in pairs
    }
    left_out = [name for name in reference.outputs if name not in pairs]
    left_out += [name for name in candidate.outputs if name not in pairs.values()]
    return Comparison(parity=parity, budgets=budgets, left_out=tuple(left_out))


def gate(comparison: Comparison, file_name: str, budget: Budget | Literal["float"] | None = "float") -> None:
    """Raises `ParityError` for an output over its budget: `float` for its own, None for no limit, or one for all."""
    parity = comparison.parity
    for output in parity.outputs:
        limit = comparison.budgets[output.name] if budget == "float" else budget
        check(dataclasses.replace(parity, outputs=(output,)), limit, file_name)


def comparison_inputs(
    model: ModelFile,
    media: Sequence[Path] | None,
    limit: int,
    *,
    input_range: tuple[float, float] = (0.0, 1.0),
) -> list[dict[str, np.ndarray]]:
    """Inputs for a comparison: what the network would see of photos, or seeded noise where it takes no image.

    Args:
        model: the network; its inputs decide.
        media: photos and videos; the demo photos by default.
        limit: at most so many.
        input_range: values that pixel 0 and 255 are mapped to, for a network that is none of blazeport's.
    Raises:
        InputError: no input can be made of the media.
    """
    layout = model.image_layout
    if layout is None:
        return _random_inputs(model, min(limit, RANDOM_INPUTS))
    ((name, spec),) = model.inputs.items()
    _, height, width, _ = nhwc_shape(spec.shape, layout)
    stranger = ImageInput(name=model.path.stem, height=height, width=width, input_range=input_range)
    images = gate_inputs(model.config or stranger, media, limit)
    return [{name: turn(image, spec.shape)} for image in images]


def turn(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array in the shape asked for: as it is, or from NHWC to NCHW order or back.

    Raises:
        ShapeError: neither gives that shape.
    """
    for axes in _orders(value.shape, shape):
        return np.ascontiguousarray(value.transpose(axes))
    raise ShapeError(f"Expected an array that can be turned to {shape}. Received: {value.shape}.")


def _orders(received: tuple[int, ...], wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every order of axes that makes `wanted` of `received`: as it is, to NHWC, to NCHW."""
    orders = [tuple(range(len(received)))]
    if len(received) == 4:
        orders += [TO_NHWC, TO_NCHW]
    return [order for order in orders if tuple(received[axis] for axis in order) == wanted]


class _Aligner:
    """Gives the candidate's outputs the names and the order of axes of the reference's.

    Where several orders fit the shape, as in a cube, the first input decides: the one with the smaller difference.
    """

    def __init__(self, pairs: dict[str, str]) -> None:
        self.expected: Mapping[str, np.ndarray] = {}
        self._pairs = pairs
        self._orders: dict[str, tuple[int, ...]] = {}

    def align(self, received: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: self._turned(name, received[other]) for name, other in self._pairs.items()}

    def _turned(self, name: str, value: np.ndarray) -> np.ndarray:
        expected = self.expected[name]
        if name not in self._orders:
            fitting = _orders(value.shape, expected.shape)
            if not fitting:
                raise ShapeError(f"Output {name!r} should have the shape {expected.shape}. Received: {value.shape}.")
            self._orders[name] = min(fitting, key=lambda order: float(np.abs(expected - value.transpose(order)).mean()))
        return value.transpose(self._orders[name])


def _pairs(left: Mapping[str, tuple[int, ...]], right: Mapping[str, tuple[int, ...]], what: str) -> dict[str, str]:
    """Names of the left side → names of the right: by name, or else by shape when that is unambiguous."""
    if common := [name for name in left if name in right]:
        return {name: name for name in common}
    if len(left) == len(right) == 1:
        return dict(zip(left, right, strict=True))
    pairs: dict[str, str] = {}
    for name, other in itertools.product(left, right):
        if _orders(right[other], left[name]):
            if name in pairs or other in pairs.values():
                raise InputError(f"The {what} have no name in common and shapes that fit more than once.")
            pairs[name] = other
    if not pairs:
        raise InputError(f"The {what} have neither a name nor a shape in common: {dict(left)}, {dict(right)}.")
    return pairs


def _random_inputs(model: ModelFile, count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)

    def values(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if dtype.kind == "f":
            return rng.standard_normal(shape).astype(dtype)
        return rng.integers(0, 2, shape).astype(dtype)

    return [
        {
            name: values(spec.shape, np.dtype(np.float32) if spec.scale else spec.dtype)
            for name, spec in model.inputs.items()
        }
        for _ in range(count)
    ]


def _names(*models: ModelFile) -> str:
    return "; ".join(", ".join(f"{name} {spec.shape}" for name, spec in model.inputs.items()) for model in models)
