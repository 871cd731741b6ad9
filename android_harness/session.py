"""Measures files on several phones at once and leaves one record per cell, whatever the phones do meanwhile.

Runs of all cells are interleaved in a seeded random order, each in a process of its own. A run starts only when the
phone is cool, however long that takes up to a limit. A run during which the phone throttled is kept, marked, and made
again at the end. Nothing is dropped silently: what failed stands in the record, or in the report when there is none.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..benchmarks.cells import Cell
from ..benchmarks.records import BenchmarkRecord, MachineRecord, read_record
from ..errors import (
    AdbTimeout,
    BlazeportError,
    ConfigError,
    ConnectionLost,
    CorruptTransfer,
    DeviceError,
    DeviceOffline,
    DeviceUnauthorized,
    InputError,
    NotFit,
)
from .adb import Device
from .guard import Guard, default_journal_dir
from .inputs import Inputs
from .outcome import CellState, DeviceReport, Event, Listener, machine_record, run_record
from .plan import BenchOptions, make_cells, shuffled_rounds
from .probe import Snapshot, ThermalSample, thermal
from .runners.base import DamagedRunError, Runner, RunnerError, RunRequest
from .store import Store
from .verify import verify_run

SYNTHETIC_PROPERTY = "ro.blazeport.synthetic"
MAX_TRIES = 3  # of one repeat, when the connection or the temperature spoils it
_RECOVERABLE = (ConnectionLost, DeviceOffline, AdbTimeout, CorruptTransfer, DamagedRunError)
_LOST = (DeviceOffline, DeviceUnauthorized)
_LOGGER = logging.getLogger(__name__)


def run_session(
    devices: Sequence[Device],
    options: BenchOptions,
    make_runner: Callable[[], Runner],
    results: Path,
    *,
    inputs: Inputs | None = None,
    verify: bool = False,
    journal_dir: Path | None = None,
    listen: Listener | None = None,
) -> list[DeviceReport]:
    """Measures on all phones at once.

    Args:
        devices: the phones; one given twice is measured once.
        options: what and how.
        make_runner: called once per phone.
        results: folder of the records.
        inputs: real inputs per file; None for noise.
        verify: compare the outputs for `inputs` with the host's first, and measure nothing that is wrong.
        journal_dir: of the undo journals.
        listen: is told of everything that happens, from any thread.
    Returns:
        One report per phone, in order. A phone that fails does not stop the others.
    Raises:
        ConfigError, InputError: what was asked for cannot be measured on any phone.
    """
    options.check()
    if verify and inputs is None:
        raise ConfigError("--verify compares real outputs and needs --inputs: a folder of photos.")
    stop = threading.Event()
    sessions = [
        _DeviceSession(
            device,
            options,
            make_runner(),
            results,
            inputs,
            verify,
            journal_dir or default_journal_dir(),
            listen or _deaf,
            stop,
        )
        for device in devices
    ]
    if len(sessions) == 1:
        return [sessions[0].run()]
    with concurrent.futures.ThreadPoolExecutor(max(len(sessions), 1)) as pool:
        waiting = [pool.submit(session.run) for session in sessions]
        try:
            return [each.result() for each in waiting]
        except BaseException:
            stop.set()  # The others end with their run and put their phone back.
            raise


class _DeviceSession:
    """One phone, from its guard to its last record."""

    def __init__(
        self,
        device: Device,
        options: BenchOptions,
        runner: Runner,
        results: Path,
        inputs: Inputs | None,
        verify: bool,
        journal_dir: Path,
        listen: Listener,
        stop: threading.Event,
    ) -> None:
        self._device, self._options, self._runner, self._results = device, options, runner, results
        self._inputs, self._verify, self._journal_dir = inputs, verify, journal_dir
        self._listen, self._stop = listen, stop
        self._store = Store(device, timeout_s=options.transfer_timeout_s)
        self._session = secrets.token_hex(6)
        self._report = DeviceReport(serial=device.serial)
        self._machine = MachineRecord(kind="android", id="", name="")
        self._last: ThermalSample | None = None
        self._had_sensor = False
        self._started = time.monotonic()
        self._done = self._total = 0

    def run(self) -> DeviceReport:
        """Measures everything that is missing. Never raises what is this phone's fault: the report has it."""
        options = self._options
        try:
            self._tell("checking")
            guard = Guard(
                self._device,
                journal_dir=self._journal_dir,
                allow_emulator=options.allow_emulator,
                max_start_celsius=options.max_start_celsius,
            )
            with guard, contextlib.ExitStack() as cleanup:
                assert guard.snapshot is not None
                synthetic = self._device.shell(["getprop", SYNTHETIC_PROPERTY], retry=True).stdout.strip() == "1"
                self._machine = machine_record(guard.snapshot, guard.settings_applied)
                self._last = guard.snapshot.warmth
                self._had_sensor = self._last.hottest_celsius is not None
                self._tell("preparing")
                cleanup.push(self._remove_scratch)
                self._runner.prepare(self._device, self._store)
                states = self._cells(guard.snapshot, synthetic)
                self._measure(states, guard)
        except (ConfigError, InputError):
            raise
        except BlazeportError as error:
            self._report.error = error
        self._tell("failed" if self._report.error else "done")
        return self._report

    def _cells(self, snapshot: Snapshot, synthetic: bool) -> list[CellState]:
        """The cells without a record, with the runs that an interrupted session kept."""
        options = self._options
        mask = snapshot.mask(options.affinity) if options.affinity else None
        if options.affinity and mask is None:
            raise NotFit(
                f"{self._device.serial} does not tell its cores, which --affinity {options.affinity} needs. "
                "Measure it without, or give a mask."
            )
        digests = {path: self._inputs.sha256(path) for path in options.files} if self._inputs else None
        states, present = [], []
        for cell in make_cells(options, mask=mask, inputs_sha256=digests):
            path = self._results / f"{cell.name(self._machine, self._runner.tool)}.json"
            state = CellState(cell=cell, path=path, synthetic=synthetic)
            if path.exists():
                present.append(path)
                continue
            if state.partial.exists():
                self._take_up(state)
            states.append(state)
        if present and not options.resume:
            raise ConfigError(
                f"{self._results} already holds {len(present)} of these records, e.g. {present[0].name}. "
                "Measure what is missing with --resume, or choose another folder."
            )
        for path in present:
            self._report.records[path] = read_record(path)
        self._report.kept = len(present)
        return states

    def _take_up(self, state: CellState) -> None:
        """Goes on with the runs that an interrupted session kept; what cannot be read is made again."""
        try:
            kept = read_record(state.partial)
        except InputError as error:
            state.failures.append(f"Runs that an interrupted session kept were lost: {error}")
            _LOGGER.warning("%s", error)
            return
        state.runs, state.failures = list(kept.runs), list(kept.failures)
        state.delegate_applied, state.commands = kept.delegate_applied, kept.commands

    def _measure(self, states: list[CellState], guard: Guard) -> None:
        by_cell = {state.cell: state for state in states}
        missing = {state.cell: state.missing for state in states}
        seed = f"{self._options.seed}-{self._machine.id}"
        queue = deque((by_cell[cell], number) for cell, number in shuffled_rounds(list(by_cell), missing, seed))
        tries: dict[tuple[str, int], int] = {}
        self._total = len(queue)
        for state in states:
            if not state.missing:
                self._finish(state)
        while queue:
            state, number = queue.popleft()
            if state.dead:
                continue
            self._refuse_stop()
            key = (state.path.name, number)
            tries[key] = tries.get(key, 0) + 1
            if again := self._attempt(state, number, guard, is_last=tries[key] >= MAX_TRIES):
                queue.append((state, number))
                self._total += 1
            self._done += 1
            if not again and not state.dead and (not state.missing or not any(each is state for each, _ in queue)):
                self._finish(state)

    def _attempt(self, state: CellState, number: int, guard: Guard, *, is_last: bool) -> bool:
        """One process. Returns whether this repeat has to be made again."""
        before = self._cooled(state.cell)
        self._tell("running", state.cell)
        try:
            if self._verify and state.verification is None:
                self._check(state)
            if state.dead:
                return False
            started, seconds = datetime.now(UTC), time.monotonic() - self._started
            result = self._runner.run(self._device, self._store, self._request(state.cell))
            after = self._look()
        except _RECOVERABLE as error:
            self._note(state, error, is_last=is_last)
            self._recover(guard)
            return not is_last
        except RunnerError as error:
            self._note(state, error, is_last=True)
            return False
        run = run_record(result, number, self._session, started.isoformat(timespec="seconds"), seconds, before, after)
        if state.runs and state.delegate_applied not in ("", result.delegate_applied):
            sentence = f"{result.delegate_applied} ran this file now, and {state.delegate_applied} before."
            self._note(state, RunnerError(sentence), is_last=True)
            return False
        state.delegate_applied = result.delegate_applied
        state.synthetic = state.synthetic or result.synthetic
        state.runs.append(run)
        self._record(state).write(state.partial)
        return run.throttled and not is_last

    def _request(self, cell: Cell) -> RunRequest:
        settings = cell.settings
        return RunRequest(
            model=cell.path,
            num_threads=settings.num_threads,
            mask=settings.mask,
            delegate=settings.delegate,
            min_samples=settings.min_samples,
            min_seconds=settings.min_seconds,
            warmup_runs=settings.warmup_runs,
            inputs=self._inputs.stored(cell.path) if self._inputs else None,
            timeout_s=self._options.run_timeout_s,
        )

    def _check(self, state: CellState) -> None:
        """Compares the phone's outputs with the host's; a cell whose outputs are wrong is not measured."""
        assert self._inputs is not None
        state.verification = verify_run(
            self._runner, self._device, self._store, self._request(state.cell), self._inputs, state.cell.model
        )
        if problems := state.verification.problems:
            self._note(state, RunnerError(f"Its outputs are wrong: {problems[0]}"), is_last=True)

    def _cooled(self, cell: Cell) -> ThermalSample:
        """Waits until the phone is cool enough.

        Raises:
            NotFit: it did not cool down in time, or its temperature can no longer be read.
        """
        options, deadline = self._options, time.monotonic() + self._options.cooldown_s
        sample = self._last if self._last is not None else self._look()
        while True:
            hottest = sample.hottest_celsius
            if self._had_sensor and hottest is None:
                raise NotFit(f"The temperature of {self._device.serial} can no longer be read.")
            if not sample.status and (hottest is None or hottest <= options.max_start_celsius):
                return sample
            if time.monotonic() >= deadline:
                raise NotFit(
                    f"{self._device.serial} did not cool down to {options.max_start_celsius:g} °C within "
                    f"{options.cooldown_s:g} s (now {_shown(hottest)}, throttling status {sample.status}). Take it out "
                    "of its case or the sun and continue with --resume."
                )
            self._refuse_stop()
            self._tell("cooling down", cell)
            self._stop.wait(min(options.poll_s, max(deadline - time.monotonic(), 0.0)))
            sample = self._look()

    def _look(self) -> ThermalSample:
        self._last = thermal(self._device)
        return self._last

    def _recover(self, guard: Guard) -> None:
        """Reaches the phone again after a lost connection, and waits while it starts or cools down."""
        self._tell("reconnecting")
        self._last = None
        self._device.reconnect()
        self._runner.stop(self._device)
        deadline = time.monotonic() + self._options.cooldown_s
        while True:
            try:
                guard.check()
                return
            except NotFit:
                if time.monotonic() >= deadline:
                    raise
            self._stop.wait(self._options.poll_s)
            self._refuse_stop()

    def _note(self, state: CellState, error: BlazeportError, *, is_last: bool) -> None:
        state.failures.append(str(error))
        _LOGGER.warning("%s on %s: %s", state.cell, self._device.serial, error)
        if is_last and not state.dead:
            state.dead = isinstance(error, RunnerError) and not isinstance(error, DamagedRunError)
            if state.dead:
                self._report.failures.append(f"{state.cell}: {error}")
        if state.runs:
            self._record(state).write(state.partial)

    def _finish(self, state: CellState) -> None:
        """Gives a cell its record; a cell that lacks repeats keeps its runs for --resume instead."""
        lacking = [
            number for number in range(state.cell.settings.repeats) if number not in {r.number for r in state.runs}
        ]
        if lacking or not state.runs:
            last = state.failures[-1] if state.failures else "nothing was said"
            self._report.failures.append(f"{state.cell}: {len(lacking)} repeats have no result. The last error: {last}")
            return
        record = self._record(state)
        record.write(state.path)
        state.partial.unlink(missing_ok=True)
        self._report.records[state.path] = record

    def _record(self, state: CellState) -> BenchmarkRecord:
        return BenchmarkRecord(
            model=state.cell.model,
            machine=self._machine,
            settings=state.cell.settings,
            tool=self._runner.tool,
            delegate_applied=state.delegate_applied,
            synthetic=state.synthetic,
            runs=tuple(state.runs),
            failures=tuple(state.failures),
            verification=state.verification.to_record() if state.verification else None,
            commands=tuple(dict.fromkeys(filter(None, (*state.commands, self._options.command)))),
        )

    def _remove_scratch(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, _LOST):
            return  # Waiting for the phone once more would change nothing; `clean` removes what stayed.
        with contextlib.suppress(DeviceError):
            if kind is not None:
                self._runner.stop(self._device)
            self._store.remove_scratch()

    def _refuse_stop(self) -> None:
        if self._stop.is_set():
            raise DeviceError(f"{self._device.serial} was stopped. Continue with --resume.")

    def _tell(self, state: str, cell: Cell | None = None) -> None:
        celsius = self._last.hottest_celsius if self._last else None
        self._listen(
            Event(
                serial=self._device.serial,
                state=state,
                done=self._done,
                total=self._total,
                celsius=celsius,
                cell=str(cell) if cell else "",
            )
        )


def _deaf(event: Event) -> None:
    del event


def _shown(celsius: float | None) -> str:
    return "unknown" if celsius is None else f"{celsius:.1f} °C"
