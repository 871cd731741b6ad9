"""`blazeport bench`: latency on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .console import print_json, print_table


@click.group()
def bench() -> None:
    """Measure latency.

    \b
    Example:
      blazeport bench official build/export
    """


@bench.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("build/export"))
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="Interleaved rounds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def official(folder: Path, threads: int, rounds: int, as_json: bool) -> None:
    """Measure the exported files in FOLDER against the official ones, interleaved in one process.

    The ratio holds on a noisy machine; the times are only as good as the machine is quiet.

    \b
    Example:
      blazeport bench official build/export --threads 2
    """
    from ..benchmarks.latency import measure_latencies, ratio_of
    from ..convert.manifest import read_manifest
    from ..errors import InputError
    from ..weights.fetch import official_file

    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.tflite")):
        manifest = read_manifest(path.with_suffix(".json"))
        groups.setdefault(manifest.variant, []).append(path)
    if not groups:
        raise InputError(f"Expected exported .tflite files in {folder}. Found none; write them with: blazeport export.")
    records: list[dict[str, Any]] = []
    for variant, paths in groups.items():
        baseline, *others = measure_latencies([official_file(variant), *paths], num_threads=threads, rounds=rounds)
        for latencies in others:
            ratio = ratio_of(latencies, baseline)
            records.append(
                {
                    "file": latencies.file,
                    "threads": threads,
                    "median_us": latencies.median_us,
                    "official_median_us": baseline.median_us,
                    "ratio": ratio.median,
                    "ratio_middle_half": [ratio.low, ratio.high],
                    "samples_us": latencies.rounds_us,
                }
            )
    if as_json:
        print_json(records)
        return
    print_table(
        ("file", "ms", "official ms", "time / official", "middle half"),
        (
            (
                record["file"],
                f"{record['median_us'] / 1000:.2f}",
                f"{record['official_median_us'] / 1000:.2f}",
                f"{record['ratio']:.3f}",
                "{:.3f}–{:.3f}".format(*record["ratio_middle_half"]),
            )
            for record in records
        ),
        right=("ms", "official ms", "time / official", "middle half"),
    )
