"""Statistics of latency samples: what describes them, and how far a ratio of two files can be trusted.

What differs between two files is judged by the interval of their ratio, one ratio per pair of processes: samples within
a process share its luck (memory layout, a busy neighbour), so that thousands of them say less than ten processes do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, missing_package

TRIM = 0.3  # of each end: three disturbed processes in ten move little
RESAMPLES = 4000
POWER = 0.8
MIN_PAIRS = 5
_OUTLIER_MADS = 5.0


@dataclass(frozen=True, kw_only=True)
class Description:
    """What one set of samples looks like, in the unit of the samples.

    Attributes:
        count: samples.
        median, p90, p99: of them.
        mad: median absolute deviation from the median, as it is (times 1.4826 it is a normal's standard deviation).
        trimmed_mean: without the lowest and the highest 30 %.
        outliers: samples more than five (normalised) MADs above the median.
    """

    count: int
    median: float
    p90: float
    p99: float
    mad: float
    trimmed_mean: float
    outliers: int


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A ratio and what it may be.

    Attributes:
        ratio: trimmed geometric mean over the pairs.
        low, high: ends of the interval.
        confidence: how often such an interval holds the true ratio.
        pairs: that it is made of; of unpaired runs, those of the side that has fewer.
        detectable: smallest relative difference that as many pairs as these find four times of five.
    """

    ratio: float
    low: float
    high: float
    confidence: float
    pairs: int
    detectable: float


def describe(samples: Sequence[float] | np.ndarray) -> Description:
    """Describes samples.

    Args:
        samples: at least one, finite.
    Raises:
        ConfigError: there are none, or one is not finite.
    """
    values = _finite(samples)
    median, p90, p99 = (float(value) for value in np.percentile(values, (50, 90, 99)))
    mad = float(np.median(np.abs(values - median)))
    above = (values - median) > _OUTLIER_MADS * 1.4826 * mad
    return Description(
        count=len(values),
        median=median,
        p90=p90,
        p99=p99,
        mad=mad,
        trimmed_mean=float(trimmed_mean(values)),
        outliers=int(above.sum()) if mad > 0 else 0,
    )


def trimmed_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean without the lowest and the highest 30 %, as `scipy.stats.trim_mean(values, 0.3)`."""
    values = np.sort(values, axis=axis)
    count = values.shape[axis]
    cut = int(TRIM * count)
    return np.asarray(np.take(values, range(cut, count - cut), axis=axis).mean(axis=axis))


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of the median of a few values, one per process.

    Args:
        values: two or more.
        confidence: in (0, 1).
        seed: of the resampling.
    Returns:
        Both ends, in the unit of the values.
    """
    return _interval((_finite(values),), np.median, confidence, seed)


def paired_ratio(
    candidate: Sequence[float] | np.ndarray,
    baseline: Sequence[float] | np.ndarray,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The ratio of two things measured in pairs, and its bootstrap interval over the pairs.

    Args:
        candidate: one positive figure per pair.
        baseline: of the same pairs, in their order.
        confidence: in (0, 1).
        seed: of the resampling.
    Raises:
        ConfigError: fewer than two pairs, sides of different length, or a figure that is not above 0.

    Source: percentile bootstrap, expanded for few values: Hesterberg 2015, "What Teachers Should Know About the
    Bootstrap", section 5.3. Without that, five pairs hold the truth in four of five cases where 19 of 20 were promised.
    """
    ours, theirs = _positive(candidate), _positive(baseline)
    if len(ours) != len(theirs):
        raise ConfigError(f"Pairs need two sides of the same length. Received: {len(ours)} and {len(theirs)}.")
    logs = np.log(ours) - np.log(theirs)
    low, high = _interval((logs,), trimmed_mean, confidence, seed)
    return _as_interval(float(trimmed_mean(logs)), low, high, confidence, len(logs))


def unpaired_ratio(
    candidate: Sequence[float] | np.ndarray,
    baseline: Sequence[float] | np.ndarray,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The ratio of two things that were not measured side by side. What changed between them is in it, unseen.

    Args and errors: as `paired_ratio`; the sides may differ in length.
    """
    ours, theirs = np.log(_positive(candidate)), np.log(_positive(baseline))

    def difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
        return trimmed_mean(first, axis) - trimmed_mean(second, axis)

    low, high = _interval((ours, theirs), difference, confidence, seed)
    return _as_interval(float(difference(ours, theirs)), low, high, confidence, min(len(ours), len(theirs)))


def pairs_needed(interval: Interval, effect: float) -> int:
    """How many pairs would tell a difference of `effect` from none, four times of five.

    Args:
        interval: of the pairs so far.
        effect: relative difference, above 0: 0.03 is 3 %.
    Returns:
        At least as many as are there when they do not do.
    """
    if effect >= interval.detectable:
        return interval.pairs
    return max(interval.pairs + 1, math.ceil(interval.pairs * (interval.detectable / effect) ** 2))


def neighbour_spread(rows: Sequence[Sequence[float]]) -> float | None:
    """What two figures of the same thing, one after the other, differ by: median over all neighbours, relative.

    Args:
        rows: figures in the order they were measured; neighbours are sought within a row only.
    Returns:
        None without neighbours.
    """
    steps = [abs(second - first) / min(first, second) for row in rows for first, second in itertools.pairwise(row)]
    return float(np.median(steps)) if steps else None


def _as_interval(center: float, low: float, high: float, confidence: float, pairs: int) -> Interval:
    from scipy.special import ndtri, stdtrit  # type: ignore[import-untyped]

    # The half width is t * standard error; to be found with this power a difference must be (t + z) standard errors.
    width = float(stdtrit(max(pairs - 1, 1), (1 + confidence) / 2))
    error = (high - low) / 2 / width
    detectable = math.expm1(min((width + float(ndtri(POWER))) * error, 50.0))
    return Interval(
        ratio=math.exp(center),
        low=math.exp(min(low, center)),
        high=math.exp(max(high, center)),
        confidence=confidence,
        pairs=pairs,
        detectable=detectable,
    )


def _interval(
    samples: tuple[np.ndarray, ...], statistic: Callable[..., Any], confidence: float, seed: int
) -> tuple[float, float]:
    try:
        from scipy.special import ndtr, stdtrit  # scipy.stats takes a second more to import
    except ImportError as error:
        raise missing_package("Intervals", "scipy", "bench") from error
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be between 0 and 1. Received: {confidence}.")
    fewest = min(map(len, samples))
    if fewest < 2:
        raise ConfigError(f"An interval needs at least 2 values. Received: {fewest}.")
    if all(np.ptp(values) == 0 for values in samples):
        alike = float(statistic(*samples))
        return alike, alike
    expanded = 2 * ndtr(stdtrit(fewest - 1, (1 + confidence) / 2) * math.sqrt(fewest / (fewest - 1))) - 1
    outside = (1 - min(float(expanded), 1 - 1e-9)) / 2
    chance = np.random.default_rng(seed)
    resampled = (values[chance.integers(0, len(values), (RESAMPLES, len(values)))] for values in samples)
    low, high = np.quantile(statistic(*resampled, axis=-1), (outside, 1 - outside))
    return float(low), float(high)


def _finite(samples: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(samples, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ConfigError("Expected at least one sample, all of them finite.")
    return values


def _positive(samples: Sequence[float] | np.ndarray) -> np.ndarray:
    values = _finite(samples)
    if not (values > 0).all():
        raise ConfigError("A ratio needs figures above 0.")
    return values
