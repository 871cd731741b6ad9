"""`blazeport android verify|sustained`."""

from __future__ import annotations

from pathlib import Path

import click

from .android_options import chosen_devices, device_options, live_view, network_inputs, printable, recorded_command
from .console import print_json, print_table


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@device_options
@click.option("--inputs", type=click.Path(path_type=Path), required=True, help="Folder of photos.")
@click.option("--limit", type=click.IntRange(1), default=8, show_default=True, help="Inputs per file.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option(
    "--tolerance", type=click.FloatRange(0), help="Of an output's scale.  [default: 1e-5; quantized files 1/128]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    files: tuple[Path, ...],
    serials: tuple[str, ...],
    servers: tuple[str, ...],
    runner: str,
    runner_binary: str | None,
    inputs: Path,
    limit: int,
    threads: int,
    tolerance: float | None,
    as_json: bool,
) -> None:
    """Compare what FILEs compute on phones with this machine and with the official networks.

    \b
    Example:
      blazeport android verify build/export/pose_landmark_lite.fp16.tflite --inputs photos/
    """
    from rich.markup import escape

    from ..android_harness.runners.choose import runner_factory
    from ..android_harness.verify import verify_files
    from ..errors import DeviceError

    make_runner = runner_factory(runner, runner_binary)
    devices = chosen_devices(servers, serials)
    made = network_inputs((), inputs, limit)
    found = list(verify_files(devices, files, make_runner, made, num_threads=threads, tolerance=tolerance))
    if as_json:
        print_json(
            [
                {
                    "serial": each.serial,
                    "file": each.file,
                    "passed": each.passed,
                    "verification": each.verification.to_record() if each.verification else None,
                    "error": str(each.error) if each.error else None,
                }
                for each in found
            ]
        )
    else:
        rows = [
            (
                escape(printable(each.serial)),
                escape(printable(each.file)),
                escape(printable(output.name)),
                f"{output.max_abs:.3g}",
                f"{output.relative:.2g}",
                f"{output.tolerance:.2g}",
            )
            for each in found
            if each.verification
            for output in each.verification.outputs
        ]
        print_table(
            ("phone", "file", "output", "max difference", "of scale", "allowed"),
            rows,
            right=("max difference", "of scale", "allowed"),
        )
    problems = [
        f"{each.file or each.serial}: {problem}"
        for each in found
        for problem in (each.verification.problems if each.verification else (str(each.error),))
    ]
    if problems:
        raise DeviceError("Not verified. " + " ".join(problems))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@device_options
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True, help="Of load.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option("--affinity", metavar="big|little|all|MASK", help="Cores to run on.  [default: the scheduler's choice]")
@click.option(
    "--slice-seconds", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="Per process."
)
@click.option("--max-start-celsius", type=float, default=37.0, show_default=True, help="Refuse a warmer phone.")
@click.option("--allow-emulator", is_flag=True, help="Measure an emulator, too.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the record.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sustained(
    file: Path,
    serials: tuple[str, ...],
    servers: tuple[str, ...],
    runner: str,
    runner_binary: str | None,
    minutes: float,
    threads: int,
    affinity: str | None,
    slice_seconds: float,
    max_start_celsius: float,
    allow_emulator: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Run FILE for minutes on one phone: latency and temperature over time, and where it begins to throttle.

    \b
    Example:
      blazeport android sustained build/export/pose_landmark_lite.fp16.tflite --minutes 20 -o results/phones
    """
    from ..android_harness.plan import BenchOptions
    from ..android_harness.runners.choose import runner_factory
    from ..android_harness.sustained import run_sustained
    from ..benchmarks.sustained import throttling_point
    from ..errors import ConfigError

    make_runner = runner_factory(runner, runner_binary)
    devices = chosen_devices(servers, serials)
    if len(devices) != 1:
        raise ConfigError(f"A sustained run needs one phone. {len(devices)} are attached: choose one with --serial.")
    with live_view() as listen:
        path, record = run_sustained(
            devices[0],
            file,
            make_runner(),
            output,
            minutes=minutes,
            num_threads=threads,
            affinity=affinity,
            slice_seconds=slice_seconds,
            options=BenchOptions(
                files=(file,),
                max_start_celsius=max_start_celsius,
                allow_emulator=allow_emulator,
                command=recorded_command(),
            ),
            listen=listen,
        )
    point = throttling_point(record)
    if as_json:
        throttling = None if point is None else {**vars(point), "slowdown": point.slowdown}
        print_json({"record": str(path), "throttling": throttling, "warnings": record.warnings()})
        return
    rows = [
        (
            f"{run.seconds:.0f}",
            f"{run.median_us / 1000:.2f}",
            "-" if run.celsius_after is None else f"{run.celsius_after:.1f}",
            "throttled" if run.throttled else "",
        )
        for run in record.runs
    ]
    print_table(("s", "median ms", "°C", ""), rows, right=("s", "median ms", "°C"))
    if point is None:
        click.echo(f"No throttling within {record.runs[-1].seconds / 60:.1f} minutes.")
    else:
        warm = "an unknown temperature" if point.celsius is None else f"{point.celsius:.1f} °C"
        click.echo(
            f"Throttling from {point.seconds:.0f} s on, at {warm} (by {point.reason}): "
            f"{point.before_us / 1000:.2f} ms before, {point.after_us / 1000:.2f} ms after."
        )
    for sentence in record.warnings():
        click.echo(f"! {sentence}")
    click.echo(f"Record: {path}", err=True)
