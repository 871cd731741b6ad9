"""For a CI: has something become slower than it was?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from .compare import METRICS, Comparison, compare
from .records import CONFIDENCE, BenchmarkRecord


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a gate found.

    Attributes:
        max_regression: relative; 0.03 is 3 %.
        comparisons: baseline → result, one per cell that both have.
        unmatched: sentences about cells that only one of them has.
    """

    max_regression: float
    comparisons: tuple[Comparison, ...]
    unmatched: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Comparison, ...]:
        """What is worse for certain (its interval lies above 1), and by more than is allowed."""
        return tuple(
            each
            for each in self.comparisons
            if each.verdict == METRICS[each.metric].more and each.interval.ratio > 1 + self.max_regression
        )

    @property
    def undecided(self) -> tuple[Comparison, ...]:
        """What may be worse by more than is allowed, or not."""
        regressions = self.regressions
        return tuple(
            each
            for each in self.comparisons
            if each not in regressions and each.interval.high > 1 + self.max_regression
        )

    def sentence(self, comparison: Comparison) -> str:
        """What happened to one cell."""
        return f"{comparison.sentence} Allowed is {1 + self.max_regression:.3f}."

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "passed": not self.regressions,
            "max_regression": self.max_regression,
            "regressions": [self.sentence(each) for each in self.regressions],
            "undecided": [self.sentence(each) for each in self.undecided],
            "unmatched": list(self.unmatched),
            "comparisons": [each.to_dict() for each in self.comparisons],
        }


def gate(
    results: Sequence[BenchmarkRecord],
    baseline: Sequence[BenchmarkRecord],
    *,
    max_regression: float,
    metric: str = "p50",
    confidence: float = CONFIDENCE,
) -> Gate:
    """Compares results with a baseline, cell by cell: the same file name, machine and setting.

    Args:
        results: of now.
        baseline: of then.
        max_regression: relative, 0 or more.
        metric: of `compare.METRICS`.
        confidence: of the intervals, in (0, 1).
    Raises:
        ConfigError: no cell is in both, one side has a cell twice, or two records do not go together.
    """
    now, then = _by_cell(results, "results"), _by_cell(baseline, "baseline")
    shared = [key for key in now if key in then]
    if not shared:
        raise ConfigError(
            "The results and the baseline share no cell (file name, machine, threads, delegate, tool). "
            f"Results: {_listed(results)}. Baseline: {_listed(baseline)}."
        )
    names = {key: _named(now[key]) for key in shared}
    return Gate(
        max_regression=max_regression,
        comparisons=tuple(
            compare(
                then[key],
                now[key],
                metric=metric,
                confidence=confidence,
                names=(f"{names[key]} (baseline)", names[key]),
            )
            for key in shared
        ),
        unmatched=(
            *(f"{_named(now[key])} is not in the baseline." for key in now if key not in then),
            *(f"{_named(then[key])} is in the baseline only." for key in then if key not in now),
        ),
    )


def _by_cell(records: Sequence[BenchmarkRecord], side: str) -> dict[tuple[object, ...], BenchmarkRecord]:
    cells: dict[tuple[object, ...], BenchmarkRecord] = {}
    for record in records:
        settings = record.settings
        key = (
            *(record.model.file, record.machine.id, record.tool.name, record.delegate_applied, record.synthetic),
            *(settings.num_threads, settings.mask, settings.delegate, settings.inputs_sha256, settings.mode),
        )
        if key in cells:
            raise ConfigError(f"The {side} have two records of {_named(record)}. Keep one.")
        cells[key] = record
    return cells


def _named(record: BenchmarkRecord) -> str:
    threads = record.settings.num_threads
    return f"{record.model.file}, {threads} thread{'s' if threads > 1 else ''}, {record.machine.name}"


def _listed(records: Sequence[BenchmarkRecord]) -> str:
    return "; ".join(map(_named, records)) or "none"
