"""What a session knows of a phone and its cells while it runs, and what it makes of them for records."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..benchmarks.cells import Cell
from ..benchmarks.records import BenchmarkRecord, MachineRecord, RunRecord
from ..errors import BlazeportError
from .parsers import Absent
from .probe import Snapshot, ThermalSample
from .runners.base import RunResult
from .verify import Verification


@dataclass(frozen=True, kw_only=True)
class Event:
    """Where a phone is; for the progress view."""

    serial: str
    state: str
    done: int
    total: int
    celsius: float | None = None
    cell: str = ""


Listener = Callable[[Event], None]


@dataclass(kw_only=True)
class DeviceReport:
    """What came of one phone.

    Attributes:
        serial: adb's name of it.
        records: file → record of every cell that is complete.
        kept: cells that were complete before.
        failures: sentences about cells without a record.
        error: why the phone was given up; None when it was not.
    """

    serial: str
    records: dict[Path, BenchmarkRecord] = field(default_factory=dict)
    kept: int = 0
    failures: list[str] = field(default_factory=list)
    error: BlazeportError | None = None

    @property
    def complete(self) -> bool:
        """Every cell has its record."""
        return self.error is None and not self.failures


@dataclass(kw_only=True)
class CellState:
    """A cell on its way to a record."""

    cell: Cell
    path: Path
    runs: list[RunRecord] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    commands: tuple[str, ...] = ()
    delegate_applied: str = ""
    synthetic: bool = False
    verification: Verification | None = None
    dead: bool = False

    @property
    def missing(self) -> list[int]:
        """Numbers of the repeats without a valid run."""
        valid = {run.number for run in self.runs if not run.throttled}
        return [number for number in range(self.cell.settings.repeats) if number not in valid]

    @property
    def partial(self) -> Path:
        """Where the runs so far are kept; its name tells that it is no record yet."""
        return self.path.with_name(f".{self.path.stem}.partial.json")


def machine_record(snapshot: Snapshot, settings: dict[str, str]) -> MachineRecord:
    """A phone for records: its hashed identity, its name, and all that was read."""
    words = [word for word in (snapshot.manufacturer, snapshot.model) if not isinstance(word, Absent)]
    name = re.sub(r"[^\x20-\x7e]", "?", " ".join(words))[:80] or "unknown phone"
    return MachineRecord(
        kind="android", id=snapshot.identity, name=name, facts=snapshot.to_record(), settings=dict(settings)
    )


def run_record(
    result: RunResult,
    number: int,
    session: str,
    started: str,
    seconds: float,
    before: ThermalSample,
    after: ThermalSample,
) -> RunRecord:
    """A run for records; `number` counts the repeats and `seconds` since the session's first run."""
    return RunRecord(
        number=number,
        session=session,
        started=started,
        seconds=round(seconds, 3),
        init_us=result.init_us,
        first_us=result.first_us,
        warmup_us=result.warmup_us,
        samples_us=result.samples_us,
        summary=result.summary,
        cpu_us=result.cpu_us,
        peak_rss_bytes=result.peak_rss_bytes,
        celsius_before=before.hottest_celsius,
        celsius_after=after.hottest_celsius,
        thermal_status_after=after.status,
        throttled=bool(after.status),
        ops=result.ops,
        notes=result.notes,
    )
