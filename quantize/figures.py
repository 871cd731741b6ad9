"""Figures with their number of cases and a bootstrap interval."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import missing_package

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure.

    Attributes:
        value: in the unit that ends the figure's name; None when there was nothing to measure.
        n: how many cases it is taken over: points, detections, crops or photos.
        count: for a share: how many of the `n` cases.
        low: lower end of the 95 % bootstrap interval over photos or crops; None for fewer than two of them.
        high: upper end.
    """

    value: float | None
    n: int
    count: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Meaning:
    """How a figure is shown: a short title, one sentence, and the decimals of its value."""

    title: str
    sentence: str
    decimals: int


Figures = Mapping[str, Figure]


def mean_of(sums: np.ndarray, counts: np.ndarray) -> Figure:
    """The mean over all cases; the interval resamples photos or crops, whose cases belong together.

    Args:
        sums: `(samples,)` sum of the values of each sample.
        counts: `(samples,)` how many values that were.
    """
    return Figure(n=int(counts.sum()), **_estimate(_ratio, sums, counts))


def share_of(cases: np.ndarray, totals: np.ndarray) -> Figure:
    """How many of all cases, in percent; the interval resamples photos or crops.

    Args:
        cases: `(samples,)` cases in each sample.
        totals: `(samples,)` out of how many; may be fewer where cases come on top, as extra detections do.
    """
    return Figure(n=int(totals.sum()), count=int(cases.sum()), **_estimate(_ratio, cases * 100.0, totals))


def median_of(values: np.ndarray) -> Figure:
    """The median of `(samples,)` values."""
    return Figure(n=len(values), **_estimate(np.median, values))


def rms_ratio_of(squares: np.ndarray, reference_squares: np.ndarray) -> Figure:
    """Ratio of two root mean squares, from the `(samples,)` sums of squares of each."""
    return Figure(n=len(squares), **_estimate(_root_ratio, squares, reference_squares))


def figure_text(figure: Figure | None, meaning: Meaning, *, with_interval: bool = True) -> str:
    """A figure for people: `1.35 (1.20–1.51)`, or `3 of 83 = 3.6 % (0.0–8.4)`; `–` where nothing was measured."""
    if figure is None or (figure.value is None and not figure.count):
        return "–"
    digits = f".{meaning.decimals}f"
    value = "–" if figure.value is None else format(figure.value, digits)
    text = value if figure.count is None else f"{figure.count} of {figure.n} = {value} %"
    if with_interval and figure.low is not None:
        text += f" ({figure.low:{digits}}–{figure.high:{digits}})"
    return text


def require_intervals() -> None:
    """Raises `ConfigError` when intervals cannot be computed, so that nobody waits for a measurement in vain."""
    if importlib.util.find_spec("scipy") is None:
        raise missing_package("Intervals", "scipy", "quantize")


def _ratio(sums: np.ndarray, counts: np.ndarray, axis: int = -1) -> np.ndarray:
    """Sum over sum, NaN where there is nothing."""
    total = np.asarray(counts.sum(axis=axis), np.float64)
    return np.divide(sums.sum(axis=axis), total, out=np.full_like(total, np.nan), where=total > 0)


def _root_ratio(squares: np.ndarray, reference_squares: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.sqrt(_ratio(squares, reference_squares, axis)))


def _estimate(statistic: Callable[..., Any], *samples: np.ndarray) -> dict[str, Any]:
    """`value`, `low` and `high` of a statistic over samples; the percentile bootstrap, with a fixed seed."""
    number = len(samples[0])
    value = _finite(statistic(*samples)) if number else None
    if number < 2 or value is None:
        return {"value": value}
    from scipy.stats import DegenerateDataWarning, bootstrap  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        # So few cases that some resamples have none: then there is no interval.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        interval = bootstrap(
            samples,
            statistic,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            paired=True,
            vectorized=True,
            rng=np.random.default_rng(0),
        ).confidence_interval
    return {"value": value, "low": _finite(interval.low), "high": _finite(interval.high)}


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
