"""What a latency measurement leaves behind: one record per file and setting, from a phone or from this machine.

Raw samples are kept and statistics are methods. Unlike runs refuse to merge. `warnings` says in sentences what stands
between the number and the truth; they are printed beside it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..errors import ConfigError, InputError
from ..files import write_atomic
from .record_reading import Upgrade, build, read_json
from .stats import bootstrap_interval, neighbour_spread

SCHEMA_VERSION = 2
STABLE_CV = 0.03
BUSY_SHARE = 0.03
MIN_REPEATS, MIN_SAMPLES, MIN_SECONDS = 5, 1024, 60.0
CONFIDENCE = 0.95

Machine = Literal["android", "host"]
Context = Literal["shell", "foreground-app", "process"]
Mode = Literal["repeats", "sustained"]
CONTEXTS: tuple[str, ...] = get_args(Context)


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """The file that was measured. What only its manifest tells is None without one."""

    file: str
    sha256: str
    size_bytes: int
    variant: str | None = None
    heads: tuple[str, ...] | None = None
    precision: str | None = None
    macs: int | None = None
    int8_mac_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class MachineRecord:
    """What it ran on.

    Attributes:
        kind: `android` or `host`.
        id: hash that tells one device from another; the serial number stays out of records.
        name: manufacturer and model, for people.
        facts: everything else that was read; a fact that could not be read says why.
        settings: what was set for the measurement and put back afterwards.
    """

    kind: Machine
    id: str
    name: str
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SettingsRecord:
    """How it was measured. Records of unlike settings do not merge.

    Attributes:
        num_threads: CPU threads that were asked for.
        affinity: `big`, `little`, `all`, a hexadecimal mask, or None for the scheduler's choice.
        mask: the hexadecimal CPU mask that was applied.
        delegate: `cpu`, `gpu`, `nnapi` or `npu`.
        min_samples: inferences per run, at least.
        min_seconds: seconds per run, at least; both must be reached.
        warmup_runs: inferences before that, kept apart.
        repeats: processes; each run starts one.
        inputs_sha256: of the real inputs; None for seeded noise.
        max_start_celsius: no run started above it.
        mode: `repeats`, or `sustained` for back-to-back runs over minutes.
    """

    num_threads: int
    affinity: str | None = None
    mask: str | None = None
    delegate: str = "cpu"
    min_samples: int
    min_seconds: float
    warmup_runs: int
    repeats: int
    inputs_sha256: str | None = None
    max_start_celsius: float | None = None
    mode: Mode = "repeats"


@dataclass(frozen=True, kw_only=True)
class ToolRecord:
    """The program that ran the file, and where: a program of the shell and an app in the foreground differ.

    `sha256` is that of its file; of its name and version for a runtime that is a Python package.
    """

    name: str
    version: str
    sha256: str
    context: Context


@dataclass(frozen=True, kw_only=True)
class SummaryRecord:
    """What a tool says of its samples when it does not give them away. Times in microseconds."""

    count: int
    mean_us: float
    min_us: float | None = None
    max_us: float | None = None
    std_us: float | None = None
    median_us: float | None = None
    p5_us: float | None = None
    p95_us: float | None = None


@dataclass(frozen=True, kw_only=True)
class OpRecord:
    """One node of an op profile: its type and name, mean time, and how often it ran per inference."""

    kind: str
    name: str
    mean_us: float
    calls: int


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One process.

    Attributes:
        number: of the repeat, from 0; a repeat that was done again has the same number.
        session: of the command that made it.
        started: UTC, ISO 8601; the same for runs of one session that took turns.
        seconds: since the session's first run.
        init_us: loading and compiling the model.
        first_us: the first inference.
        warmup_us: the inferences after it that do not count.
        samples_us: the inferences that count; empty where the tool gives a summary only.
        summary: None where the samples are there.
        block_runs: samples per block, where blocks of several files took turns; empty where they did not.
        cpu_us: CPU time of all threads over the counted inferences.
        baseline_rss_bytes: of a process of its own, before it loaded the model.
        peak_rss_bytes: of that process (on a phone, of the one that took the samples).
        steal_share: part of the machine's CPU time that its host gave to others, in [0, 1].
        load_average: processes that wanted a CPU in the minute before.
        celsius_before, celsius_after: the hottest of skin, battery and CPU that could be read.
        thermal_status_after: Android's, 0 (none) to 6 (shutdown).
        throttled: the phone said so, or was over its limit: kept, and left out of the statistics.
        ops: the op profile, where it was asked for; taking it slows the run down.
        notes: sentences about this run.
    """

    number: int
    session: str
    started: str
    seconds: float = 0.0
    init_us: float | None = None
    first_us: float | None = None
    warmup_us: tuple[float, ...] = ()
    samples_us: tuple[float, ...] = ()
    summary: SummaryRecord | None = None
    block_runs: tuple[int, ...] = ()
    cpu_us: float | None = None
    baseline_rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    steal_share: float | None = None
    load_average: float | None = None
    celsius_before: float | None = None
    celsius_after: float | None = None
    thermal_status_after: int | None = None
    throttled: bool = False
    ops: tuple[OpRecord, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Inferences that count."""
        return self.summary.count if self.summary else len(self.samples_us)

    @functools.cached_property
    def median_us(self) -> float:
        """Of the samples; where there are none the tool's own median, or its mean."""
        if self.summary is None:
            return float(np.median(self.samples_us))
        return self.summary.mean_us if self.summary.median_us is None else self.summary.median_us

    @property
    def memory_bytes(self) -> int | None:
        """What the file needed: the peak, less what the process had before where that was measured."""
        return None if self.peak_rss_bytes is None else self.peak_rss_bytes - (self.baseline_rss_bytes or 0)

    @property
    def blocks_us(self) -> list[np.ndarray]:
        """The samples, one array per block; a single one where there were no turns."""
        ends = np.cumsum(self.block_runs, dtype=np.int64)[:-1]
        return np.split(np.array(self.samples_us, np.float64), ends) if self.samples_us else []


@dataclass(frozen=True, kw_only=True)
class BenchmarkRecord:
    """One file on one machine with one setting.

    Attributes:
        model: the file.
        machine: what it ran on.
        settings: how.
        tool: the program.
        delegate_applied: what really ran it, as the tool tells.
        synthetic: a test device or a played tool: no number in here is a phone's.
        runs: in the order they were made.
        failures: sentences about runs that ended without a result.
        verification: the comparison with the host, where it was asked for.
        commands: the command lines that made the runs.
        schema_version: of this record.
    """

    model: ModelRecord
    machine: MachineRecord
    settings: SettingsRecord
    tool: ToolRecord
    delegate_applied: str
    synthetic: bool
    runs: tuple[RunRecord, ...]
    failures: tuple[str, ...] = ()
    verification: dict[str, Any] | None = None
    commands: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def valid_runs(self) -> tuple[RunRecord, ...]:
        """The runs that were not throttled; all of them in a sustained measurement, which is about that."""
        if self.settings.mode == "sustained":
            return self.runs
        return tuple(run for run in self.runs if not run.throttled)

    @property
    def samples_us(self) -> np.ndarray:
        """All samples of the valid runs."""
        return np.array([sample for run in self.valid_runs for sample in run.samples_us], np.float64)

    @property
    def run_medians_us(self) -> np.ndarray:
        """One median per valid run."""
        return np.array([run.median_us for run in self.valid_runs], np.float64)

    @property
    def median_us(self) -> float | None:
        """Median of the runs' medians, so that a long run counts no more than a short one; None without a valid run."""
        return float(np.median(self.run_medians_us)) if self.valid_runs else None

    def percentile_us(self, percent: float) -> float | None:
        """Over all samples of the valid runs; None where there are none."""
        samples = self.samples_us
        return float(np.percentile(samples, percent)) if len(samples) else None

    def median_over_runs(self, figure: Callable[[RunRecord], float | None]) -> float | None:
        """Median of a figure over the valid runs that have it; None where none has."""
        found = [value for value in map(figure, self.valid_runs) if value is not None]
        return float(np.median(found)) if found else None

    @property
    def cv(self) -> float | None:
        """Standard deviation of the runs' medians over their mean; None below two valid runs."""
        medians = self.run_medians_us
        return float(medians.std(ddof=1) / medians.mean()) if len(medians) > 1 else None

    def interval_us(self, confidence: float = CONFIDENCE, *, seed: int = 0) -> tuple[float, float] | None:
        """Bootstrap interval of `median_us` over the runs.

        Returns:
            The two ends; None below three valid runs or without scipy.
        """
        medians = self.run_medians_us
        if len(medians) < 3:
            return None
        if importlib.util.find_spec("scipy") is None:
            return None
        return bootstrap_interval(medians, confidence=confidence, seed=seed)

    @property
    def neighbour_spread(self) -> float | None:
        """What two blocks of the same file, next to each other in time, differ by (median): the machine's noise."""
        return neighbour_spread([[float(np.median(block)) for block in run.blocks_us] for run in self.valid_runs])

    @property
    def waiting_share(self) -> float | None:
        """Part of the time in which one thread was ready and did not get a CPU; None where it cannot be told."""
        if self.settings.num_threads != 1 or not self.valid_runs:
            return None
        shares = [1 - run.cpu_us / sum(run.samples_us) for run in self.valid_runs if run.cpu_us and run.samples_us]
        return float(np.median(shares)) if len(shares) == len(self.valid_runs) else None

    def warnings(self) -> tuple[str, ...]:
        """Sentences about what makes the numbers doubtful; none for a publishable record."""
        return tuple(self._warnings())

    def _warnings(self) -> Iterable[str]:
        runs = self.valid_runs
        if self.synthetic:
            yield "Synthetic: made on a test device or by a played tool. These are not a phone's numbers."
        if not runs:
            yield "No valid run."
            return
        sustained = self.settings.mode == "sustained"
        if throttled := len(self.runs) - len(runs):
            yield f"{throttled} of {len(self.runs)} runs were throttled; they are kept and not counted."
        if len(runs) < self.settings.repeats and not sustained:
            yield f"{len(runs)} valid runs where {self.settings.repeats} were asked for."
        if len(runs) < MIN_REPEATS and not sustained:
            yield f"Only {len(runs)} runs; {MIN_REPEATS} or more tell how much the result moves."
        if any(run.summary for run in runs):
            what = "median" if all(run.summary and run.summary.median_us is not None for run in runs) else "mean"
            yield f"{self.tool.name} gives no samples: the {what} of each run is its own."
        elif (fewest := min(run.count for run in runs)) < MIN_SAMPLES and self._shortest_seconds() < MIN_SECONDS:
            yield f"A run has only {fewest} samples; {MIN_SAMPLES} or {MIN_SECONDS:.0f} s are worth publishing."
        yield from self.instability()
        if self.machine.kind == "android" and all(run.celsius_before is None for run in runs):
            yield "No temperature could be read: throttling would go unnoticed."
        if self.settings.inputs_sha256 is None:
            yield "The inputs were noise, not photos."
        if len({run.session for run in runs}) > 1:
            yield f"The runs are from {len({run.session for run in runs})} sessions."
        if self.failures:
            yield f"{len(self.failures)} runs ended without a result. The last: {self.failures[-1]}"
        yield from dict.fromkeys(note for run in runs for note in run.notes)

    def instability(self) -> Iterable[str]:
        """Sentences about what says that the same file may take another time in an hour."""
        if self.settings.mode == "sustained":
            return
        if self.cv is not None and self.cv > STABLE_CV:
            yield f"Unstable: the runs' medians differ by {self.cv:.1%} (CV); up to {STABLE_CV:.0%} is fine."
        spread, waiting = self.neighbour_spread, self.waiting_share
        if spread is not None and spread > STABLE_CV:
            limit = f"up to {STABLE_CV:.0%} is fine"
            yield f"Unstable: blocks of the same file, one after another, differ by {spread:.1%}; {limit}."
        if waiting is not None and waiting > BUSY_SHARE:
            yield f"Unstable: the thread waited for a CPU for {waiting:.1%} of the time."
        steals = [run.steal_share for run in self.valid_runs if run.steal_share is not None]
        if steals and max(steals) > BUSY_SHARE:
            yield f"Unstable: up to {max(steals):.1%} of the machine's CPU time went to other guests of its host."

    def _shortest_seconds(self) -> float:
        return min(sum(run.samples_us) for run in self.valid_runs) / 1e6

    def write(self, path: Path) -> None:
        """Writes the record as JSON, atomically."""
        write_atomic(path, self.to_json())

    def to_json(self) -> str:
        """The record as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


# Version 2 added fields that a record can be without: the blocks and noise of a run, and the commands.
UPGRADES: dict[int, Upgrade] = {1: dict}


def merge(records: Sequence[BenchmarkRecord]) -> BenchmarkRecord:
    """One record of the runs of several, which must be alike in everything else.

    Raises:
        ConfigError: they are not; the message names the field and both values.
    """
    if not records:
        raise ConfigError("Expected records to merge. Received none.")
    first = records[0]
    for other in records[1:]:
        require_alike(first, other, ("model.sha256", "machine.id", "settings", "tool", "delegate_applied", "synthetic"))
    return dataclasses.replace(
        first,
        runs=tuple(run for record in records for run in record.runs),
        failures=tuple(failure for record in records for failure in record.failures),
        commands=tuple(dict.fromkeys(command for record in records for command in record.commands)),
    )


def read_record(path: Path) -> BenchmarkRecord:
    """Reads a record.

    Raises:
        InputError: it is not there, cut off, not a record, or of another schema version; the message names the file.
    """
    record = read_json(path, SCHEMA_VERSION, "a benchmark record", UPGRADES)
    try:
        found: BenchmarkRecord = build(BenchmarkRecord, record)
        times = [time for run in found.runs for time in (*run.samples_us, *run.warmup_us)]
        if not all(math.isfinite(time) and time >= 0 for time in times):
            raise ValueError("a time is negative or not a number")
        if any(run.summary is None and not run.samples_us for run in found.runs):
            raise ValueError("a run has neither samples nor a summary")
        if any(run.block_runs and sum(run.block_runs) != len(run.samples_us) for run in found.runs):
            raise ValueError("the blocks of a run do not add up to its samples")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is not a benchmark record of blazeport ({type(error).__name__}: {error}).") from error
    return found


def read_records(folder: Path) -> tuple[list[BenchmarkRecord], list[str]]:
    """All records in a folder, and one sentence about every other .json file in it.

    Files whose name begins with a dot are work in progress and no records.
    """
    records, problems = [], []
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            records.append(read_record(path))
        except InputError as error:
            problems.append(str(error))
    return records, problems


def require_alike(first: BenchmarkRecord, other: BenchmarkRecord, fields: Iterable[str]) -> None:
    """Raises `ConfigError`, with the field and both values, where two records differ in one of `fields`."""
    for field in fields:
        _require_equal(first, other, field)


def _require_equal(first: BenchmarkRecord, other: BenchmarkRecord, field: str) -> None:
    ours, theirs = (functools.reduce(getattr, field.split("."), record) for record in (first, other))
    if ours == theirs:
        return
    if dataclasses.is_dataclass(ours):
        for inner in dataclasses.fields(ours):
            if getattr(ours, inner.name) != getattr(theirs, inner.name):
                _require_equal(first, other, f"{field}.{inner.name}")
    raise ConfigError(f"These runs do not belong together: {field} is {ours!r} in one and {theirs!r} in the other.")
