"""`blazeport bench`: latency on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .bench_compare import compare, gate
from .bench_cost import ops, pipeline, scaling
from .bench_host import host, megabytes
from .bench_report import report
from .bench_routes import routes
from .bench_table import table
from .console import print_json, print_table


@click.group()
def bench() -> None:
    """Measure latency.

    \b
    Example:
      blazeport bench host build/export/*.tflite -o results/host
    """


for command in (host, compare, gate, ops, scaling, pipeline, table, report, routes):
    bench.add_command(command)


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


@bench.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--clip", type=click.Path(path_type=Path), required=True, help="A video with one person.")
@click.option(
    "--peer-python",
    type=click.Path(path_type=Path),
    default=Path("build/peer/bin/python"),
    show_default=True,
    help="Python of an environment with mediapipe 0.10.21; `make bench-peer` makes it.",
)
@click.option("--rounds", type=click.IntRange(1), default=12, show_default=True, help="Interleaved rounds.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the record, with all samples, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def peer(
    files: tuple[Path, ...], clip: Path, peer_python: Path, rounds: int, output: Path | None, as_json: bool
) -> None:
    """Measure the pose or face loop with FILEs against the mediapipe package, interleaved.

    CPU time per frame, all threads together, each side in a process of its own. Without FILE: the official files.

    \b
    Example:
      blazeport bench peer --clip clip.mp4 build/export/pose_landmark_lite.landmarks.fp16.tflite
    """
    import json

    from ..benchmarks.peer import PEERS, compare_with_mediapipe
    from ..files import write_atomic
    from ..weights.fetch import official_file

    officials = {variant: official_file(variant) for variant in PEERS}
    compared = compare_with_mediapipe(
        files or tuple(officials.values()),
        detector=official_file("pose_detection"),
        officials=officials,
        clip=clip,
        peer_python=peer_python,
        rounds=rounds,
    )
    record = {"schema_version": 1, "clip": clip.name, "results": [result.to_dict() for result in compared]}
    if output:
        write_atomic(output, json.dumps(record, indent=2) + "\n")
    if as_json:
        print_json(record)
        return
    print_table(
        ("file", "heads", "CPU ms", "mediapipe", "ours / mediapipe", "middle half", "MB", "mediapipe MB", "seen"),
        (
            (
                result.file,
                len(result.heads),
                f"{result.median_ms:.2f}",
                f"{result.peer_median_ms:.2f}",
                f"{result.ratio:.3f}",
                "{:.3f}–{:.3f}".format(*result.middle_half),
                megabytes(result.peak_rss_bytes),
                megabytes(result.peer_peak_rss_bytes),
                f"{result.seen:.0%} / {result.peer_seen:.0%}",
            )
            for result in compared
        ),
        right=("heads", "CPU ms", "mediapipe", "ours / mediapipe", "middle half", "MB", "mediapipe MB", "seen"),
    )
