"""`blazeport bench host`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .android_options import network_inputs
from .console import print_json, print_table
from .parameters import ModelFile, Numbers
from .run import runtime_options

if TYPE_CHECKING:
    from ..benchmarks.records import BenchmarkRecord


@click.command()
@click.argument("files", metavar="FILE|VARIANT...", nargs=-1, required=True, type=ModelFile())
@click.option("--threads", type=Numbers(), default="1", show_default=True, metavar="N,…", help="CPU threads.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Processes per cell.")
@click.option("--min-samples", type=click.IntRange(1), default=50, show_default=True, help="Inferences per process.")
@click.option("--min-seconds", type=click.FloatRange(0), default=1.0, show_default=True, help="Seconds per process.")
@runtime_options
@click.option("--inputs", type=click.Path(path_type=Path), help="Folder of photos to run on.  [default: noise]")
@click.option("--together", type=click.IntRange(1), default=8, show_default=True, help="Processes that take turns.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of the runs.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the records.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def host(
    files: tuple[Path, ...],
    inputs: Path | None,
    output: Path | None,
    runtime_python: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure the latency of FILEs on this machine; a VARIANT is its official file.

    Every file with every number of threads gets --repeats fresh processes, which take turns in random order. With -o
    the runs are written as they are made; the same command goes on where a stopped one ended.

    \b
    Example:
      blazeport bench host pose_landmark_lite build/export/*.tflite --threads 1,2 -o build/bench
    """
    from ..benchmarks.host import HostOptions, measure_host
    from .artifacts import command_line

    options = HostOptions(files=tuple(dict.fromkeys(files)), python=runtime_python, **settings)
    options.check()
    made = network_inputs(options.files, inputs) if inputs else None
    images = {path: made.floats(path) for path in options.files} if made else None
    records = measure_host(options, inputs=images, folder=output, command=command_line())
    if as_json:
        print_json([record_json(record) for record in records])
        return
    print_records(records)


def record_json(record: BenchmarkRecord) -> dict[str, Any]:
    """What a record tells, without the samples."""
    from ..benchmarks.stats import describe

    described = describe(record.samples_us)
    over_runs = record.median_over_runs
    return {
        "file": record.model.file,
        "sha256": record.model.sha256,
        "threads": record.settings.num_threads,
        "machine": record.machine.name,
        "median_us": record.median_us,
        "interval_us": record.interval_us(),
        "p90_us": record.percentile_us(90),
        "p99_us": record.percentile_us(99),
        "trimmed_mean_us": described.trimmed_mean,
        "mad_us": described.mad,
        "outliers": described.outliers,
        "init_us": over_runs(lambda run: run.init_us),
        "first_us": over_runs(lambda run: run.first_us),
        "cpu_us": over_runs(lambda run: run.cpu_us / run.count if run.cpu_us else None),
        "memory_bytes": over_runs(lambda run: run.memory_bytes),
        "cv": record.cv,
        "neighbour_spread": record.neighbour_spread,
        "runs": len(record.valid_runs),
        "warnings": list(record.warnings()),
    }


def print_records(records: list[BenchmarkRecord]) -> None:
    """The table of records of this machine, and what is doubtful about them."""
    found = [record_json(record) for record in records]
    columns = (
        "file",
        "threads",
        "median ms",
        "95 % interval",
        "p90",
        "p99",
        "CPU ms",
        "init ms",
        "first ms",
        "MB",
        "CV",
    )
    print_table(columns, map(_row, found), right=columns[1:])
    for record in found:
        for sentence in record["warnings"]:
            click.echo(f"! {record['file']}, {record['threads']} thread{'s' * (record['threads'] > 1)}: {sentence}")


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    low, high = record["interval_us"] or (None, None)
    return (
        record["file"],
        record["threads"],
        milliseconds(record["median_us"]),
        f"{milliseconds(low)}–{milliseconds(high)}",
        *(milliseconds(record[key]) for key in ("p90_us", "p99_us", "cpu_us", "init_us", "first_us")),
        megabytes(record["memory_bytes"]),
        "-" if record["cv"] is None else f"{record['cv']:.1%}",
    )


def milliseconds(microseconds: float | None) -> str:
    """With two decimals; `-` for what was not measured."""
    return "-" if microseconds is None else f"{microseconds / 1000:.2f}"


def megabytes(count: float | None) -> str:
    """10^6 bytes with one decimal; `-` for what was not measured."""
    return "-" if count is None else f"{count / 1e6:.1f}"
