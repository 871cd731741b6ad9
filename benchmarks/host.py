"""Latency of files on this machine: fresh processes, files in turns, and everything that was measured in records.

In each repeat every cell gets a process of its own. The processes then take turns, a block of inferences each, in a new
random order every time, so that what the machine does meanwhile falls on all of them alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import random
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import progress
from ..errors import ConfigError, InputError, RuntimeUnavailable
from ..files import sha256_of
from ..runtime.runtimes import get_runtime, probe, runtime_for
from .cells import Cell, model_record
from .host_process import HostProcess, host_process
from .machine import host_machine, read_load
from .records import BenchmarkRecord, RunRecord, SettingsRecord, ToolRecord, read_record

DEFAULT_REPEATS, DEFAULT_SAMPLES, DEFAULT_SECONDS, DEFAULT_WARMUP = 5, 50, 1.0, 3
TOGETHER = 8  # processes that take turns; more would need much memory
_BLOCK_SECONDS = 0.06
_MIN_RUNS, _MAX_RUNS = 3, 100
_MEMORY_RUNS = 3

Inputs = Mapping[Path, Sequence[np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """How files are measured. `files` × `threads` are the cells.

    Attributes:
        files: with one image input.
        threads: numbers of CPU threads.
        repeats: processes per cell.
        min_samples, min_seconds: per process; both must be reached.
        warmup_runs: inferences of each process that do not count, after the first.
        seed: of the order.
        together: processes at a time that take turns; files that are to be compared must fit.
        runtime: what runs the files; None: onnxruntime for .onnx files, LiteRT for all others.
        python: the Python that has the runtime; None: see `runtime.runtimes`.
    """

    files: tuple[Path, ...]
    threads: tuple[int, ...] = (1,)
    repeats: int = DEFAULT_REPEATS
    min_samples: int = DEFAULT_SAMPLES
    min_seconds: float = DEFAULT_SECONDS
    warmup_runs: int = DEFAULT_WARMUP
    seed: int = 0
    together: int = TOGETHER
    runtime: str | None = None
    python: Path | None = None

    def check(self) -> None:
        """Raises `ConfigError` for what cannot be measured, `InputError` for a file that is not there."""
        if not self.files:
            raise ConfigError("Expected .tflite files to measure. Received none.")
        for name in ("repeats", "min_samples", "warmup_runs", "together"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1. Received: {getattr(self, name)}.")
        if not all(1 <= count <= 64 for count in self.threads):
            raise ConfigError(f"threads must be from 1 to 64. Received: {', '.join(map(str, self.threads))}.")
        if self.runtime:
            get_runtime(self.runtime)
        for path in self.files:
            if not path.is_file():
                raise InputError(f"Expected a model file at {path}. There is none.")


def measure_host(
    options: HostOptions, *, inputs: Inputs | None = None, folder: Path | None = None, command: str = ""
) -> list[BenchmarkRecord]:
    """Measures files on this machine.

    Args:
        options: what and how.
        inputs: file → images `(1, S, S, 3)` float32 in the network's range, used in turn; None is seeded noise.
        folder: for the records, each written anew after every repeat. Runs that are there already are kept, so that the
            same call goes on where a killed one ended, and does nothing when all is there.
        command: the command line, for the records.
    Returns:
        One record per file and number of threads, in that order.
    Raises:
        ConfigError: an option is out of range.
        InputError: a file or a record in the folder cannot be read.
        BlazeportError: a measuring process broke off.
    """
    options.check()
    with tempfile.TemporaryDirectory(prefix="blazeport-bench-") as scratch:
        session = _Session(options, inputs, folder, command, Path(scratch))
        rounds = [number for number in range(options.repeats) if session.due(number)]
        for number in progress.track(rounds, f"Measuring {len(session.states)} cells", len(rounds)):
            session.measure(number)
    return [session.record(state) for state in session.states]


@dataclass(kw_only=True)
class _State:
    cell: Cell
    tool: ToolRecord
    inputs: Path | None
    path: Path | None = None
    runs: list[RunRecord] = field(default_factory=list)
    commands: tuple[str, ...] = ()


class _Session:
    """One call of `measure_host`."""

    def __init__(
        self, options: HostOptions, inputs: Inputs | None, folder: Path | None, command: str, scratch: Path
    ) -> None:
        self._options, self._command, self._scratch = options, command, scratch
        self._order = random.Random(options.seed)
        self._id = secrets.token_hex(4)
        self._machine = host_machine()
        self.states = [
            _State(cell=cell, tool=_tool(options.runtime or runtime_for(path).name, options.python), inputs=saved)
            for path in options.files
            for saved, sha256 in [self._save(inputs[path] if inputs else None)]
            for cell in _cells(path, options, sha256)
        ]
        if folder:
            for state in self.states:
                self._resume(state, folder)
            if len({state.path for state in self.states}) < len(self.states):
                raise ConfigError("Two of the files have the same content and name, so that one record is for both.")

    def due(self, number: int) -> list[_State]:
        """The cells that lack this repeat."""
        return [state for state in self.states if number not in {run.number for run in state.runs}]

    def measure(self, number: int) -> None:
        """Makes this repeat of every cell that lacks it."""
        due = self.due(number)
        due = self._order.sample(due, len(due))
        for start in range(0, len(due), self._options.together):
            group = due[start : start + self._options.together]
            for state, run in zip(group, self._take_turns(group, number), strict=True):
                state.runs = sorted([*state.runs, run], key=lambda each: each.number)
                state.commands = tuple(dict.fromkeys(filter(None, (*state.commands, self._command))))
                if state.path:
                    self.record(state).write(state.path)

    def record(self, state: _State) -> BenchmarkRecord:
        """What is known of a cell so far."""
        return BenchmarkRecord(
            model=state.cell.model,
            machine=self._machine,
            settings=state.cell.settings,
            tool=state.tool,
            delegate_applied="cpu" if state.tool.name == "onnxruntime" else "xnnpack",
            synthetic=False,
            runs=tuple(state.runs),
            commands=state.commands,
        )

    def _save(self, images: Sequence[np.ndarray] | None) -> tuple[Path | None, str | None]:
        if images is None:
            return None, None
        content = np.stack(images)
        sha256 = sha256_of(content.tobytes())
        path = self._scratch / f"{sha256}.npy"
        np.save(path, content, allow_pickle=False)
        return path, sha256

    def _resume(self, state: _State, folder: Path) -> None:
        state.path = folder / f"{state.cell.name(self._machine, state.tool)}.json"
        if not state.path.exists():
            return
        try:
            found = read_record(state.path)
        except InputError as error:
            raise InputError(f"{error} Remove it to measure {state.cell} anew.") from error
        state.runs, state.commands = list(found.runs), found.commands

    def _take_turns(self, group: list[_State], number: int) -> list[RunRecord]:
        before = read_load()
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        with contextlib.ExitStack() as stack:
            turns = [_Turns(stack.enter_context(self._started(state, state.inputs)), self._options) for state in group]
            while due := [each for each in turns if not each.done]:
                for each in self._order.sample(due, len(due)):
                    each.block()
        steal = read_load().steal_share_since(before)
        return [
            RunRecord(
                number=number,
                session=self._id,
                started=started,
                **each.measured(),
                **self._memory(state),
                steal_share=steal,
                load_average=before.load_average,
            )
            for state, each in zip(group, turns, strict=True)
        ]

    def _started(self, state: _State, inputs: Path | None) -> contextlib.AbstractContextManager[HostProcess]:
        return host_process(
            state.cell.path,
            num_threads=state.cell.settings.num_threads,
            inputs=inputs,
            runtime=self._options.runtime,
            python=self._options.python,
        )

    def _memory(self, state: _State) -> dict[str, Any]:
        """Memory of a process that does nothing but load the file and run it, on one input of noise."""
        with self._started(state, None) as worker:
            peak = worker.ask(_MEMORY_RUNS)["peak_rss_bytes"]
            return {"baseline_rss_bytes": worker.first["baseline_rss_bytes"], "peak_rss_bytes": peak}


class _Turns:
    """The process of one cell and what it measured."""

    def __init__(self, worker: HostProcess, options: HostOptions) -> None:
        self._worker, self._options = worker, options
        first = worker.first
        warmup = worker.ask(options.warmup_runs)["times_us"]
        self._samples: list[float] = []
        self._blocks: list[int] = []
        self._cpu_us: float | None = 0.0
        self._facts = {"init_us": first["init_us"], "first_us": first["first_us"], "warmup_us": tuple(warmup)}
        self._runs = int(np.clip(_BLOCK_SECONDS * 1e6 / max(min(warmup), 1.0), _MIN_RUNS, _MAX_RUNS))

    @property
    def done(self) -> bool:
        """Both the samples and the seconds that were asked for are there."""
        enough = len(self._samples) >= self._options.min_samples
        return enough and sum(self._samples) >= self._options.min_seconds * 1e6

    def block(self) -> None:
        """One more block of inferences, after one that does not count: it warms the caches up that others used."""
        self._worker.ask(1)
        answer = self._worker.ask(self._runs)
        self._samples += answer["times_us"]
        self._blocks.append(self._runs)
        if self._cpu_us is not None:
            self._cpu_us = None if answer["cpu_us"] is None else self._cpu_us + answer["cpu_us"]

    def measured(self) -> dict[str, Any]:
        """As fields of a run's record."""
        counted = {"samples_us": tuple(self._samples), "block_runs": tuple(self._blocks), "cpu_us": self._cpu_us}
        return self._facts | counted


def _cells(path: Path, options: HostOptions, inputs_sha256: str | None) -> list[Cell]:
    model = model_record(path)
    settings = SettingsRecord(
        num_threads=1,
        min_samples=options.min_samples,
        min_seconds=options.min_seconds,
        warmup_runs=options.warmup_runs,
        repeats=options.repeats,
        inputs_sha256=inputs_sha256,
    )
    return [Cell(path, model, dataclasses.replace(settings, num_threads=threads)) for threads in options.threads]


@functools.cache
def _tool(runtime: str, python: Path | None) -> ToolRecord:
    """A runtime as it is in its Python.

    Raises:
        RuntimeUnavailable: it does not work there.
    """
    status = probe(get_runtime(runtime), python)
    if not status.usable:
        raise RuntimeUnavailable(f"{runtime} cannot be used in {status.python}: {status.problem}")
    version = status.version or "unknown"
    return ToolRecord(
        name=runtime, version=version, sha256=sha256_of(f"{runtime} {version}".encode()), context="process"
    )
