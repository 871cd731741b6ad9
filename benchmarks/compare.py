"""Is B faster than A? Answered from the interval of their ratio, and "cannot tell" is an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, unknown
from .records import CONFIDENCE, BenchmarkRecord, RunRecord, require_alike
from .stats import MIN_PAIRS, Interval, paired_ratio, pairs_needed, unpaired_ratio

DEFAULT_REPEATS = 12  # of a comparison that is measured for it
SMALLEST_EFFECT = 0.01  # what "how many more runs" is told for when the two look alike
CANNOT_TELL = "cannot tell"
_ALIKE = (
    *("machine.id", "settings.num_threads", "settings.mask", "settings.inputs_sha256", "tool.name", "tool.version"),
    *("tool.context", "synthetic"),
)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What is compared.

    Attributes:
        what: for sentences: B takes 0.9 of A's `what`.
        less, more: verdicts.
        of_run: the figure of one run; None where it was not measured.
    """

    what: str
    less: str
    more: str
    of_run: Callable[[RunRecord], float | None]


def _p90(run: RunRecord) -> float | None:
    return float(np.percentile(run.samples_us, 90)) if run.samples_us else None


METRICS = {
    "p50": Metric(what="time", less="faster", more="slower", of_run=lambda run: run.median_us),
    "p90": Metric(what="90th percentile of the time", less="faster", more="slower", of_run=_p90),
    "init": Metric(what="loading time", less="faster", more="slower", of_run=lambda run: run.init_us),
    "memory": Metric(what="memory", less="smaller", more="larger", of_run=lambda run: run.memory_bytes),
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The answer.

    Attributes:
        baseline, candidate: names of A and B.
        metric: of `METRICS`.
        verdict: of B: `faster`, `slower` (memory: `smaller`, `larger`) or `cannot tell`.
        interval: of the ratio B / A.
        paired: the runs of both were made side by side.
        baseline_figure, candidate_figure: medians over the runs, microseconds or bytes.
        pairs_needed: pairs that would tell the difference seen (at least 1 %) four times of five.
        doubts: sentences, of both records too.
    """

    baseline: str
    candidate: str
    metric: str
    verdict: str
    interval: Interval
    paired: bool
    baseline_figure: float
    candidate_figure: float
    pairs_needed: int
    doubts: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        metric, found = METRICS[self.metric], self.interval
        bounds = f"{found.confidence:.0%} interval {found.low:.3f} to {found.high:.3f}"
        numbers = f"{found.ratio:.3f} of its {metric.what}, {bounds}"
        runs = f"{found.pairs} {'pairs of runs' if self.paired else 'runs of each, not made side by side'}"
        if self.verdict != CANNOT_TELL:
            return f"{self.candidate} is {self.verdict} than {self.baseline}: {numbers} ({runs})."
        text = f"Cannot tell whether {self.candidate} is {metric.less} than {self.baseline}: {numbers} ({runs})."
        more = max(self.pairs_needed, MIN_PAIRS) - found.pairs
        effect = max(abs(found.ratio - 1), SMALLEST_EFFECT)
        if more <= 0:
            return f"{text} A difference of {found.detectable:.1%} would have been found."
        return f"{text} {more} more would tell a difference of {effect:.1%}; these find one of {found.detectable:.1%}."

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "verdict": self.verdict,
            "metric": self.metric,
            "ratio": self.interval.ratio,
            "interval": [self.interval.low, self.interval.high],
            "confidence": self.interval.confidence,
            "paired": self.paired,
            "pairs": self.interval.pairs,
            "detectable": self.interval.detectable,
            "pairs_needed": self.pairs_needed,
            "baseline": {"name": self.baseline, "figure": self.baseline_figure},
            "candidate": {"name": self.candidate, "figure": self.candidate_figure},
            "sentence": self.sentence,
            "doubts": list(self.doubts),
        }


def compare(
    baseline: BenchmarkRecord,
    candidate: BenchmarkRecord,
    *,
    metric: str = "p50",
    confidence: float = CONFIDENCE,
    names: tuple[str, str] | None = None,
) -> Comparison:
    """Compares two records of one machine and one setting.

    Runs that began together took turns and count as pairs; when there are fewer than two such pairs, all runs of one
    side are compared with all of the other.

    Args:
        baseline: A.
        candidate: B.
        metric: of `METRICS`.
        confidence: of the interval, in (0, 1).
        names: of A and B, when their files' names do not do.
    Raises:
        ConfigError: an unknown metric, one that was not measured, or records of unlike machines or settings; the
            message names the field.
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    require_alike(baseline, candidate, _ALIKE)
    ours, theirs = _figures(candidate, metric), _figures(baseline, metric)
    pairs = _pairs(baseline, candidate)
    paired = len(pairs) >= 2
    if paired and metric == "p50":
        ratios = [_turn_ratio(first, second) for first, second in pairs]
        interval = paired_ratio(ratios, np.ones(len(ratios)), confidence=confidence)
    elif paired:
        of_run = METRICS[metric].of_run
        sides = [[of_run(run) or 0.0 for run in side] for side in zip(*pairs, strict=True)]
        interval = paired_ratio(sides[1], sides[0], confidence=confidence)
    else:
        interval = unpaired_ratio(ours, theirs, confidence=confidence)
    first, second = names or (baseline.model.file, candidate.model.file)
    return Comparison(
        baseline=first,
        candidate=second,
        metric=metric,
        verdict=_verdict(interval, METRICS[metric]),
        interval=interval,
        paired=paired,
        baseline_figure=float(np.median(theirs)),
        candidate_figure=float(np.median(ours)),
        pairs_needed=pairs_needed(interval, max(abs(interval.ratio - 1), SMALLEST_EFFECT)),
        doubts=tuple(_doubts(baseline, candidate, interval, paired=paired, names=(first, second))),
    )


def _verdict(interval: Interval, metric: Metric) -> str:
    if interval.pairs < MIN_PAIRS:
        return CANNOT_TELL
    if interval.high < 1:
        return metric.less
    return metric.more if interval.low > 1 else CANNOT_TELL


def _figures(record: BenchmarkRecord, metric: str) -> list[float]:
    figures = [METRICS[metric].of_run(run) for run in record.valid_runs]
    found = [figure for figure in figures if figure is not None]
    if len(found) < 2 or len(found) < len(figures):
        raise ConfigError(
            f"Comparing the {METRICS[metric].what} needs at least 2 runs that measured it. {record.model.file} has "
            f"{len(found)}."
        )
    return found


def _pairs(baseline: BenchmarkRecord, candidate: BenchmarkRecord) -> list[tuple[RunRecord, RunRecord]]:
    theirs = {(run.session, run.number, run.started): run for run in baseline.valid_runs}
    ours = {(run.session, run.number, run.started): run for run in candidate.valid_runs}
    return [(theirs[key], ours[key]) for key in theirs if key in ours]


def _turn_ratio(baseline: RunRecord, candidate: RunRecord) -> float:
    """Median over the turns that two processes took, of the ratio of the two blocks' medians."""
    blocks = list(zip(candidate.blocks_us, baseline.blocks_us, strict=False))
    if len(blocks) < 2:
        return candidate.median_us / baseline.median_us
    return float(np.median([np.median(ours) / np.median(theirs) for ours, theirs in blocks]))


def _doubts(
    baseline: BenchmarkRecord, candidate: BenchmarkRecord, interval: Interval, *, paired: bool, names: Sequence[str]
) -> list[str]:
    doubts = []
    if interval.pairs < MIN_PAIRS:
        doubts.append(f"Only {interval.pairs} runs of each: a verdict needs {MIN_PAIRS}.")
    if not paired:
        doubts.append("The runs were not made side by side: what else changed on the machine is in the ratio.")
    if baseline.synthetic:
        doubts.append("Synthetic: made on a test device or by a played tool. These are not a phone's numbers.")
    records = zip(names, (baseline, candidate), strict=True)
    return doubts + [f"{name}: {sentence}" for name, record in records for sentence in record.instability()]
