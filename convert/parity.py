"""The parity gate: how far a file is from its reference, and whether that is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .. import progress
from ..errors import ParityError, ShapeError

Runner = Callable[[np.ndarray], Mapping[str, np.ndarray]]
Given = TypeVar("Given")  # what a network is given: an image, or input name → array


@dataclass(frozen=True, kw_only=True)
class OutputParity:
    """How far one output is from its reference, over all inputs.

    Attributes:
        name: the output.
        max_abs: largest absolute difference, in the output's unit.
        mean_abs: mean absolute difference, in the output's unit.
        reference_range: largest minus smallest value of the reference.
        relative: `max_abs / reference_range`; 0 when both are 0.
        mean_relative: `mean_abs / reference_range`; 0 when both are 0.
        finite: every value of the candidate is finite.
        constant: the candidate gave the same values for every input although the reference did not.
    """

    name: str
    max_abs: float
    mean_abs: float
    reference_range: float
    relative: float
    mean_relative: float
    finite: bool
    constant: bool


@dataclass(frozen=True, kw_only=True)
class Parity:
    """A comparison of a file with its reference.

    Attributes:
        reference: what it was compared with.
        inputs: number of inputs.
        outputs: one entry per output, in the order of the file.
    """

    reference: str
    inputs: int
    outputs: tuple[OutputParity, ...]

    @property
    def worst(self) -> OutputParity:
        """The output with the largest relative difference."""
        return max(self.outputs, key=lambda output: output.relative)

    @property
    def exact(self) -> bool:
        """Every output is bit-identical on every input (−0 and 0 count as equal)."""
        return all(output.max_abs == 0.0 for output in self.outputs)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The largest difference allowed on every output.

    Attributes:
        metric: `max_abs` in the output's unit, or `relative` or `mean_relative` to the range of the reference.
        limit: the largest value that passes.
    """

    metric: str
    limit: float


EXACT = Budget(metric="max_abs", limit=0.0)
# The mean: single mask logits of a network that is quite right move by 6e-3 of their range from rounding alone.
FLOAT_NOISE = Budget(metric="mean_relative", limit=1e-4)


def measure(
    reference: Callable[[Given], Mapping[str, np.ndarray]],
    candidate: Callable[[Given], Mapping[str, np.ndarray]],
    inputs: Sequence[Given],
    names: Sequence[str],
    *,
    reference_name: str,
) -> Parity:
    """Runs both on every input and compares output by output.

    Args:
        reference: input → output name → array.
        candidate: likewise; must have every output in `names`.
        inputs: float32 `(1, S, S, 3)` in the network's range; at least one.
        names: the outputs to compare.
        reference_name: what the reference is, for the record.
    """
    trackers = {name: _Tracker() for name in names}
    for image in progress.track(inputs, f"Comparing with {reference_name}"):
        expected, received = reference(image), candidate(image)
        for name, tracker in trackers.items():
            tracker.add(np.asarray(expected[name]), np.asarray(received[name]))
    outputs = tuple(tracker.result(name) for name, tracker in trackers.items())
    return Parity(reference=reference_name, inputs=len(inputs), outputs=outputs)


def check(parity: Parity, budget: Budget | None, file_name: str) -> None:
    """Raises `ParityError` for the first output that is not finite, constant, or over the budget (None: no limit)."""
    for output in parity.outputs:
        limit = math.inf if budget is None else budget.limit
        metric = "max_abs" if budget is None else budget.metric
        figure = float(getattr(output, metric))
        if not output.finite:
            problem = "gives values that are not finite"
        elif output.constant:
            problem = "gives the same values for every input"
        elif not figure <= limit:
            problem = f"is off by {figure:.3g} ({metric}) where {limit:g} is allowed"
        else:
            continue
        raise ParityError(
            f"Output {output.name!r} of {file_name} {problem}, against {parity.reference} on {parity.inputs} inputs. "
            "The file was not written; --keep-failed keeps it for a look.",
            output=output.name,
            figure=figure,
            budget=limit,
            metric=metric,
        )


class _Tracker:
    """Running figures of one output."""

    def __init__(self) -> None:
        self._max = self._sum = 0.0
        self._count = 0
        self._low, self._high = math.inf, -math.inf
        self._finite = True
        self._first: tuple[np.ndarray, np.ndarray] | None = None
        self._reference_varies = self._candidate_varies = False

    def add(self, expected: np.ndarray, received: np.ndarray) -> None:
        if expected.shape != received.shape:
            raise ShapeError(f"Outputs to compare must have one shape. Received: {expected.shape}, {received.shape}.")
        self._finite = self._finite and bool(np.isfinite(received).all())
        difference = np.abs(expected.astype(np.float64) - received)
        self._max = float(np.maximum(self._max, difference.max()))  # Unlike `max`, it keeps a NaN.
        self._sum += float(difference.sum())
        self._count += difference.size
        self._low, self._high = min(self._low, float(expected.min())), max(self._high, float(expected.max()))
        if self._first is None:
            self._first = expected, received
            return
        self._reference_varies = self._reference_varies or not np.array_equal(expected, self._first[0])
        self._candidate_varies = self._candidate_varies or not np.array_equal(received, self._first[1])

    def result(self, name: str) -> OutputParity:
        spread, mean = self._high - self._low, self._sum / max(self._count, 1)
        return OutputParity(
            name=name,
            max_abs=self._max,
            mean_abs=mean,
            reference_range=spread,
            relative=_share(self._max, spread),
            mean_relative=_share(mean, spread),
            finite=self._finite,
            constant=self._reference_varies and not self._candidate_varies,
        )


def _share(difference: float, spread: float) -> float:
    if spread > 0:
        return difference / spread
    return 0.0 if difference == 0.0 else math.inf


def require_outputs(names: Iterable[str], available: Mapping[str, object], file_name: str) -> None:
    """Raises `ParityError` when the file lacks one of the outputs it should have."""
    for name in names:
        if name not in available:
            raise ParityError(
                f"{file_name} should have an output named {name!r}. Received: {', '.join(available)}.",
                output=name,
                figure=math.inf,
                budget=0.0,
                metric="named",
            )
