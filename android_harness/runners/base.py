"""What every runner takes and gives: one process that times one file, and what is known of it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...benchmarks.records import Context, OpRecord, SummaryRecord, ToolRecord
from ...errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from ..adb import Device
    from ..store import Store

DELEGATES = ("cpu", "gpu", "nnapi", "npu")
RUNNERS = ("native", "benchmark_model", "litert_benchmark_model", "apk")
SYNTHETIC_MARK = "blazeport synthetic"  # printed by what only plays a tool


class RunnerError(DeviceError):
    """A run that ended without a result that can be believed. The next one would end the same way."""


class DamagedRunError(RunnerError):
    """A run whose report or outputs did not arrive as they were written. The next one may."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRequest:
    """What a run should do.

    Attributes:
        model: the file, here.
        num_threads: CPU threads.
        mask: hexadecimal CPU mask without 0x; None leaves it to the scheduler.
        delegate: of `DELEGATES`.
        min_samples: counted inferences, at least.
        min_seconds: seconds of counted inferences, at least.
        warmup_runs: inferences before them, after the first.
        inputs: `(1, …)` arrays in the file's own dtype, used in turn; None for noise.
        want_outputs: bring the outputs for every input.
        timeout_s: the run is over after that in any case.
    """

    model: Path
    num_threads: int = 1
    mask: str | None = None
    delegate: str = "cpu"
    min_samples: int = 50
    min_seconds: float = 1.0
    warmup_runs: int = 5
    inputs: tuple[np.ndarray, ...] | None = None
    want_outputs: bool = False
    timeout_s: float = 1800.0


@dataclass(frozen=True, kw_only=True, eq=False)
class RunResult:
    """What a run gave. Times in microseconds.

    Attributes:
        samples_us: the counted inferences; empty where there is only `summary`.
        delegate_applied: what really ran the file, in the tool's words.
        synthetic: the tool says that it is only played.
        outputs: per input, the file's own name of an output → array in its own dtype.
        notes: sentences for the record.
    """

    init_us: float
    first_us: float
    warmup_us: tuple[float, ...] = ()
    samples_us: tuple[float, ...] = ()
    summary: SummaryRecord | None = None
    delegate_applied: str
    context: Context
    tool: ToolRecord
    synthetic: bool = False
    cpu_us: float | None = None
    peak_rss_bytes: int | None = None
    outputs: tuple[dict[str, np.ndarray], ...] | None = None
    ops: tuple[OpRecord, ...] = ()
    notes: tuple[str, ...] = ()


class Runner(Protocol):
    """A way to time a file on a device. One instance serves one device."""

    @property
    def name(self) -> str:
        """Of `RUNNERS`."""

    @property
    def context(self) -> Context:
        """Where its process lives."""

    @property
    def tool(self) -> ToolRecord:
        """The program, known after `prepare`."""

    def prepare(self, device: Device, store: Store) -> None:
        """Brings the program to the device.

        Raises:
            DeviceError: there is none for this device.
        """

    def run(self, device: Device, store: Store, request: RunRequest) -> RunResult:
        """One process.

        Raises:
            RunnerError: it ended without a result, or with one that is not about what was asked.
            AdbError: the device was lost meanwhile.
        """

    def stop(self, device: Device) -> None:
        """Ends a run that a lost connection left behind, so that it does not heat the phone or disturb the next."""


def require_delegate(runner: str, delegate: str, supported: tuple[str, ...], reason: str) -> None:
    """Raises `ConfigError` when a runner cannot apply a delegate."""
    if delegate not in supported:
        raise ConfigError(
            f"The {runner} runner supports the delegates {', '.join(supported)}. Received: {delegate!r}. {reason}"
        )
