"""`blazeport android bench|build-runner`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .android_options import (
    chosen_devices,
    device_options,
    live_view,
    network_inputs,
    printable,
    recorded_command,
)
from .console import print_json, print_table
from .parameters import Numbers

if TYPE_CHECKING:
    from ..android_harness.outcome import DeviceReport
    from ..benchmarks.records import BenchmarkRecord


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@device_options
@click.option("--threads", type=Numbers(), default="1", show_default=True, metavar="N,…", help="CPU threads.")
@click.option("--affinity", metavar="big|little|all|MASK", help="Cores to run on.  [default: the scheduler's choice]")
@click.option(
    "--delegate",
    "delegates",
    type=click.Choice(["cpu", "gpu", "nnapi", "npu"]),
    multiple=True,
    default=("cpu",),
    show_default=True,
    help="What should run the file; may be repeated.",
)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Processes per cell.")
@click.option("--min-samples", type=click.IntRange(1), default=100, show_default=True, help="Inferences per process.")
@click.option("--min-seconds", type=click.FloatRange(0), default=5.0, show_default=True, help="Seconds per process.")
@click.option("--max-start-celsius", type=float, default=37.0, show_default=True, help="No run starts above it.")
@click.option("--cooldown", type=click.FloatRange(0), default=600.0, show_default=True, help="Longest wait, seconds.")
@click.option("--inputs", type=click.Path(path_type=Path), help="Folder of photos to run on.  [default: noise]")
@click.option("--verify", "check", is_flag=True, help="Compare outputs with the host's first; needs --inputs.")
@click.option("--op-profile", is_flag=True, help="Time every op (benchmark_model only; slows runs down).")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of the runs.")
@click.option("--resume", is_flag=True, help="Measure only what is missing in RESULTS.")
@click.option("--allow-emulator", is_flag=True, help="Measure emulators, too.")
@click.option("--estimate", is_flag=True, help="Only say how long it takes; the FILEs need not exist yet.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build/android"),
    show_default=True,
    help="Folder for the records.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(
    files: tuple[Path, ...],
    serials: tuple[str, ...],
    servers: tuple[str, ...],
    runner: str,
    runner_binary: str | None,
    cooldown: float,
    inputs: Path | None,
    check: bool,
    op_profile: bool,
    estimate: bool,
    output: Path,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure the latency of FILEs on all attached phones at once.

    Every file is measured with every number of threads and every delegate, in --repeats processes each, in random
    order. One record per phone, file and setting is written to the folder as it is complete.

    \b
    Example:
      blazeport android bench build/export/*.tflite --threads 1,4 --affinity big -o results/phones
    """
    from ..android_harness.plan import BenchOptions
    from ..android_harness.runners.choose import runner_factory
    from ..android_harness.session import run_session

    options = BenchOptions(
        files=tuple(dict.fromkeys(files)), cooldown_s=cooldown, command=recorded_command(), **settings
    )
    options.check(files_exist=not estimate)
    make_runner = runner_factory(runner, runner_binary, profile_ops=op_profile)
    devices = chosen_devices(servers, serials)
    minutes = max(options.seconds / 60, 0.1)
    cells = len(options.files) * len(options.threads) * len(options.delegates)
    click.echo(
        f"{_count(cells, 'cell')} × {options.repeats} repeats on {_count(len(devices), 'phone')}, all at once: "
        f"at least {minutes:.1f} minutes, and more where a phone has to cool down.",
        err=True,
    )
    if estimate:
        return
    made = network_inputs(options.files, inputs) if inputs else None
    with live_view() as listen:
        reports = run_session(devices, options, make_runner, output, inputs=made, verify=check, listen=listen)
    if as_json:
        print_json([_report_json(report) for report in reports])
    else:
        _print_records([record for report in reports for record in report.records.values()])
    _raise_incomplete(reports)


@click.command("build-runner")
@click.option(
    "--abi",
    "abis",
    type=click.Choice(["arm64-v8a", "x86_64"]),
    multiple=True,
    help="May be repeated.  [default: both]",
)
@click.option("--android-litert", type=click.Path(path_type=Path), help="libLiteRt.so for Android; with the NDK only.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build/android-runner"),
    show_default=True,
    help="Folder for the runner.",
)
def build_runner(abis: tuple[str, ...], android_litert: Path | None, output: Path) -> None:
    """Build the native runner for phones; `make android-runner` does the same.

    Needs CMake and g++ for the ABI (g++-aarch64-linux-gnu for phones), or the NDK that ANDROID_NDK_HOME names
    (untested).

    \b
    Example:
      blazeport android build-runner --abi arm64-v8a
    """
    from ..android_harness import runner_build

    for bundle in runner_build.build_runner(output, abis or runner_build.ABIS, android_litert=android_litert):
        size = sum(path.stat().st_size for path in bundle.paths.values()) / 2**20
        click.echo(f"{bundle.folder}: LiteRT {bundle.litert}, {len(bundle.files)} files, {size:.1f} MiB")


def _print_records(records: list[BenchmarkRecord]) -> None:
    from rich.markup import escape

    def ms(value: float | None) -> str:
        return "-" if value is None else f"{value / 1000:.2f}"

    def row(record: BenchmarkRecord) -> tuple[object, ...]:
        interval = record.interval_us()
        firsts = [run.init_us for run in record.valid_runs if run.init_us is not None]
        return (
            escape(record.machine.name) + (" (synthetic)" if record.synthetic else ""),
            escape(printable(record.model.file)),
            record.settings.num_threads,
            f"{record.delegate_applied}, {record.tool.context}",
            ms(record.median_us),
            "-" if interval is None else f"{ms(interval[0])}–{ms(interval[1])}",
            ms(record.percentile_us(90)),
            ms(record.percentile_us(99)),
            ms(sorted(firsts)[len(firsts) // 2] if firsts else None),
            "-" if record.cv is None else f"{record.cv:.1%}",
        )

    columns = ("phone", "file", "threads", "ran by", "median ms", "95 % interval", "p90", "p99", "init ms", "CV")
    print_table(columns, map(row, records), right=("threads", *columns[4:]))
    for record in records:
        for sentence in record.warnings():
            what = f"{record.machine.name}, {record.model.file}, {_count(record.settings.num_threads, 'thread')}"
            click.echo(printable(f"! {what}: {sentence}"))


def _report_json(report: DeviceReport) -> dict[str, Any]:
    return {
        "serial": report.serial,
        "error": str(report.error) if report.error else None,
        "failures": report.failures,
        "kept": report.kept,
        "records": [
            {
                "path": str(path),
                "file": record.model.file,
                "threads": record.settings.num_threads,
                "delegate_applied": record.delegate_applied,
                "synthetic": record.synthetic,
                "median_us": record.median_us,
                "p90_us": record.percentile_us(90),
                "p99_us": record.percentile_us(99),
                "interval_us": record.interval_us(),
                "cv": record.cv,
                "warnings": record.warnings(),
            }
            for path, record in report.records.items()
        ],
    }


def _raise_incomplete(reports: list[DeviceReport]) -> None:
    """Raises when a cell of some phone has no record."""
    from ..errors import DeviceError

    problems = [
        f"{report.serial}: {sentence}"
        for report in reports
        for sentence in ([str(report.error)] if report.error else []) + report.failures
    ]
    if problems:
        raise DeviceError("Not everything was measured. " + " ".join(problems) + " What is missing: --resume.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
