"""What is to be measured: cells (file × threads × delegate) of one device, their names, and their order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..benchmarks.cells import Cell, model_record
from ..benchmarks.records import SettingsRecord
from ..errors import ConfigError, InputError, unknown
from .runners.base import DELEGATES
from .store import DEFAULT_TIMEOUT_S

DEFAULT_REPEATS, DEFAULT_SAMPLES, DEFAULT_SECONDS, DEFAULT_WARMUP = 5, 100, 5.0, 5
DEFAULT_START_CELSIUS, DEFAULT_COOLDOWN_S = 37.0, 600.0
_SECONDS_BESIDE_A_RUN = 3.0  # starting the process, loading the file, reading temperatures


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How a session measures. `files` × `threads` × `delegates` are the cells.

    Attributes:
        files: .tflite files.
        threads: numbers of CPU threads.
        delegates: of `DELEGATES`.
        affinity: `big`, `little`, `all`, a hexadecimal mask, or None for the scheduler's choice.
        repeats: processes per cell.
        min_samples, min_seconds: per process; both must be reached.
        warmup_runs: inferences of each process that do not count, after the first.
        max_start_celsius: no run starts above it.
        cooldown_s: longest wait for that; then the phone is given up.
        poll_s: between two looks at the temperature while it cools down.
        run_timeout_s: a run that takes longer is lost.
        transfer_timeout_s: a push or pull that takes longer than this and a second per megabyte has hung.
        seed: of the order.
        resume: measure only what is missing in the folder of results.
        allow_emulator: measure emulators, too.
        command: the command line, for the records; without serial numbers.
    """

    files: tuple[Path, ...]
    threads: tuple[int, ...] = (1,)
    delegates: tuple[str, ...] = ("cpu",)
    affinity: str | None = None
    repeats: int = DEFAULT_REPEATS
    min_samples: int = DEFAULT_SAMPLES
    min_seconds: float = DEFAULT_SECONDS
    warmup_runs: int = DEFAULT_WARMUP
    max_start_celsius: float = DEFAULT_START_CELSIUS
    cooldown_s: float = DEFAULT_COOLDOWN_S
    poll_s: float = 5.0
    run_timeout_s: float = 1800.0
    transfer_timeout_s: float = DEFAULT_TIMEOUT_S
    seed: int = 0
    resume: bool = False
    allow_emulator: bool = False
    command: str = ""

    def check(self, *, files_exist: bool = True) -> None:
        """Raises `ConfigError` for what cannot be measured, `InputError` for a file that cannot be read."""
        if not self.files:
            raise ConfigError("Expected .tflite files to measure. Received none.")
        for delegate in self.delegates:
            if delegate not in DELEGATES:
                raise unknown("delegate", delegate, DELEGATES)
        for name in ("repeats", "min_samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1. Received: {getattr(self, name)}.")
        if not all(1 <= count <= 64 for count in self.threads):
            raise ConfigError(f"threads must be from 1 to 64. Received: {', '.join(map(str, self.threads))}.")
        for path in self.files:
            if files_exist and not path.is_file():
                raise InputError(f"Expected a .tflite file at {path}. There is none.")

    @property
    def seconds(self) -> float:
        """How long a device needs at least, without cooling down."""
        cells = len(self.files) * len(self.threads) * len(self.delegates)
        return cells * self.repeats * (self.min_seconds + _SECONDS_BESIDE_A_RUN)


def make_cells(options: BenchOptions, *, mask: str | None, inputs_sha256: dict[Path, str] | None = None) -> list[Cell]:
    """All cells for a device whose affinity came out as `mask`."""
    models = {path: model_record(path) for path in options.files}
    return [
        Cell(
            path,
            model,
            SettingsRecord(
                num_threads=threads,
                affinity=options.affinity,
                mask=mask,
                delegate=delegate,
                min_samples=options.min_samples,
                min_seconds=options.min_seconds,
                warmup_runs=options.warmup_runs,
                repeats=options.repeats,
                inputs_sha256=(inputs_sha256 or {}).get(path),
                max_start_celsius=options.max_start_celsius,
            ),
        )
        for path, model in models.items()
        for threads in options.threads
        for delegate in options.delegates
    ]


def shuffled_rounds(cells: Sequence[Cell], missing: dict[Cell, list[int]], seed: str) -> list[tuple[Cell, int]]:
    """The runs, interleaved: every cell once per round, each round in another order.

    What the phone does over time (warming up, background work) then falls on all cells alike.

    Args:
        cells: of one device.
        missing: cell → numbers of the repeats to make.
        seed: of the order.
    """
    order = random.Random(seed)
    runs: list[tuple[Cell, int]] = []
    waiting = {cell: list(missing.get(cell, ())) for cell in cells}
    while any(waiting.values()):
        due = [cell for cell in cells if waiting[cell]]
        runs += [(cell, waiting[cell].pop(0)) for cell in order.sample(due, len(due))]
    return runs
