"""Load for minutes on one phone: runs back to back, and the temperature between them."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path

from ..benchmarks.records import BenchmarkRecord
from ..errors import ConfigError
from .adb import Device
from .guard import Guard, default_journal_dir
from .outcome import Event, Listener, machine_record, run_record
from .plan import BenchOptions, make_cells
from .probe import thermal
from .runners.base import Runner, RunRequest
from .session import SYNTHETIC_PROPERTY
from .store import Store

DEFAULT_SLICE_SECONDS = 10.0
STOP_CELSIUS = 50.0  # of the skin or battery; phones shut down soon after


def run_sustained(
    device: Device,
    path: Path,
    runner: Runner,
    results: Path,
    *,
    minutes: float,
    num_threads: int = 1,
    affinity: str | None = None,
    slice_seconds: float = DEFAULT_SLICE_SECONDS,
    min_samples: int = 10,
    options: BenchOptions | None = None,
    journal_dir: Path | None = None,
    listen: Listener | None = None,
) -> tuple[Path, BenchmarkRecord]:
    """Runs a file over and over and writes one record of all runs, after every run.

    The phone must be cool at the start, and nothing is done about it becoming hot: that is what is measured. It ends
    early above 50 °C or when the temperature can no longer be read.

    Args:
        device: the phone.
        path: the file.
        runner: for this phone.
        results: folder of the record.
        minutes: of load.
        num_threads: CPU threads.
        affinity: as in `BenchOptions`.
        slice_seconds: per process; the temperature is read between two.
        min_samples: inferences per process, at least.
        options: limits for the start; the default ones when None.
        journal_dir: of the undo journals.
        listen: is told of every run.
    Returns:
        The record and its file.
    Raises:
        ConfigError: no time is asked for.
        DeviceError: the phone is not fit, a run failed, or the phone was lost; runs that were made are kept.
    """
    if minutes <= 0 or slice_seconds <= 0:
        raise ConfigError(f"minutes and slice_seconds must be above 0. Received: {minutes:g}, {slice_seconds:g}.")
    chosen = options or BenchOptions(files=(path,))
    chosen = dataclasses.replace(
        chosen,
        files=(path,),
        threads=(num_threads,),
        affinity=affinity,
        repeats=1,
        min_samples=min_samples,
        min_seconds=slice_seconds,
    )
    chosen.check()
    guard = Guard(
        device,
        journal_dir=journal_dir or default_journal_dir(),
        allow_emulator=chosen.allow_emulator,
        max_start_celsius=chosen.max_start_celsius,
    )
    with guard:
        assert guard.snapshot is not None
        store = Store(device, timeout_s=chosen.transfer_timeout_s)
        try:
            runner.prepare(device, store)
            return _run(device, runner, store, guard, chosen, results, minutes, listen)
        finally:
            store.remove_scratch()


def _run(
    device: Device,
    runner: Runner,
    store: Store,
    guard: Guard,
    options: BenchOptions,
    results: Path,
    minutes: float,
    listen: Listener | None,
) -> tuple[Path, BenchmarkRecord]:
    assert guard.snapshot is not None
    snapshot = guard.snapshot
    (cell,) = make_cells(options, mask=snapshot.mask(options.affinity) if options.affinity else None)
    settings = dataclasses.replace(cell.settings, mode="sustained")
    cell = dataclasses.replace(cell, settings=settings)
    machine = machine_record(snapshot, guard.settings_applied)
    started = datetime.now(UTC)
    session = started.strftime("%Y%m%dT%H%M%S")
    target = results / f"sustained-{session}-{cell.name(machine, runner.tool)}.json"
    record = BenchmarkRecord(
        model=cell.model,
        machine=machine,
        settings=settings,
        tool=runner.tool,
        delegate_applied="",
        synthetic=device.shell(["getprop", SYNTHETIC_PROPERTY], retry=True).stdout.strip() == "1",
        runs=(),
        commands=tuple(filter(None, (options.command,))),
    )
    request = RunRequest(
        model=cell.path,
        num_threads=settings.num_threads,
        mask=settings.mask,
        min_samples=settings.min_samples,
        min_seconds=settings.min_seconds,
        warmup_runs=0,
    )
    before, had_sensor, begin = snapshot.warmth, snapshot.warmth.hottest_celsius is not None, time.monotonic()
    while (seconds := time.monotonic() - begin) < 60 * minutes or not record.runs:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        result = runner.run(device, store, request)
        after = thermal(device)
        run = run_record(result, len(record.runs), session, now, seconds, before, after)
        record = dataclasses.replace(
            record,
            runs=(*record.runs, run),
            delegate_applied=result.delegate_applied,
            synthetic=record.synthetic or result.synthetic,
        )
        hottest = after.hottest_celsius
        ended = None
        if had_sensor and hottest is None:
            ended = "Ended early: the temperature could no longer be read."
        elif hottest is not None and hottest > STOP_CELSIUS:
            ended = f"Ended early: {hottest:.1f} °C is above {STOP_CELSIUS:g} °C."
        if ended:
            record = dataclasses.replace(record, failures=(ended,))
        record.write(target)
        if listen:
            listen(
                Event(
                    serial=device.serial,
                    state=f"{run.median_us / 1000:.2f} ms{', throttled' if run.throttled else ''}",
                    done=min(round(time.monotonic() - begin), round(60 * minutes)),
                    total=round(60 * minutes),
                    celsius=hottest,
                    cell=str(cell),
                )
            )
        if ended:
            break
        before = after
    return target, record
