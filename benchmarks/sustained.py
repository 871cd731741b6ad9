"""Latency and temperature over minutes of load: where a phone begins to throttle, and what is left then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from .records import BenchmarkRecord

SLOWER = 1.10
_STAYS_FOR = 2  # runs in a row, so that one disturbed run is no throttling
_LEVEL_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class ThrottlingPoint:
    """Where throttling begins.

    Attributes:
        seconds: since the first run.
        celsius: when that run ended; None when it could not be read.
        reason: `status` when the phone said so, `latency` when it only became slower.
        before_us: median latency at the start.
        after_us: median latency from there on.
    """

    seconds: float
    celsius: float | None
    reason: str
    before_us: float
    after_us: float

    @property
    def slowdown(self) -> float:
        """Latency afterwards as a multiple of that at the start."""
        return self.after_us / self.before_us


def throttling_point(record: BenchmarkRecord) -> ThrottlingPoint | None:
    """The first run at whose end the phone reports throttling, or from which on it stays 10 % slower than at the start.

    Args:
        record: of a sustained measurement.
    Returns:
        None when neither happens.
    Raises:
        ConfigError: the record is of single runs.
    """
    if record.settings.mode != "sustained":
        raise ConfigError("A throttling point needs a sustained measurement. Received one of single runs.")
    runs = record.runs
    if len(runs) <= _LEVEL_RUNS:
        return None
    medians = record.run_medians_us
    level = float(np.median(medians[:_LEVEL_RUNS]))
    for index, run in enumerate(runs):
        slow = index >= _LEVEL_RUNS and bool(
            (medians[index : index + _STAYS_FOR] > SLOWER * level).all() and index + _STAYS_FOR <= len(runs)
        )
        if run.throttled or slow:
            return ThrottlingPoint(
                seconds=run.seconds - runs[0].seconds,
                celsius=run.celsius_after,
                reason="status" if run.throttled else "latency",
                before_us=level,
                after_us=float(np.median(medians[index:])),
            )
    return None
