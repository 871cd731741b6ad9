"""`blazeport bench compare|gate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import print_json
from .parameters import ModelFile, Percent

if TYPE_CHECKING:
    from ..benchmarks.compare import Comparison
    from ..benchmarks.records import BenchmarkRecord


def comparison_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of both commands."""
    for option in reversed(
        (
            click.option(
                "--metric",
                type=click.Choice(["p50", "p90", "init", "memory"]),
                default="p50",
                show_default=True,
                help="What is compared.",
            ),
            click.option(
                "--confidence",
                type=click.FloatRange(0.5, 0.9999),
                default=0.95,
                show_default=True,
                help="Of the interval that the verdict is read from.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("baseline", metavar="A", type=ModelFile())
@click.argument("candidate", metavar="B", type=ModelFile())
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option("--repeats", type=click.IntRange(2), default=12, show_default=True, help="Pairs of fresh processes.")
@click.option("--min-seconds", type=click.FloatRange(0), default=0.5, show_default=True, help="Seconds per process.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of the runs.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for both records, with all samples.")
@comparison_options
def compare(
    baseline: Path,
    candidate: Path,
    threads: int,
    repeats: int,
    min_seconds: float,
    seed: int,
    output: Path | None,
    metric: str,
    confidence: float,
    as_json: bool,
) -> None:
    """Is B really faster than A? Or slower, or is there no telling?

    Two .tflite files (or variants, for their official files) are measured now, in turns; two records, or folders of
    them, are compared as they are.

    \b
    Example:
      blazeport bench compare pose_landmark_lite build/export/pose_landmark_lite.landmarks.fp16.tflite
    """
    from ..benchmarks.compare import compare as compare_records

    if baseline.suffix == candidate.suffix == ".tflite":
        first, second = _measured(baseline, candidate, threads, repeats, min_seconds, seed, output)
        names = (str(baseline), str(candidate)) if baseline.name == candidate.name else None
        found = [compare_records(first, second, metric=metric, confidence=confidence, names=names)]
    elif ".tflite" in (baseline.suffix, candidate.suffix):
        raise click.UsageError("A and B must both be .tflite files, or both be records or folders of records.")
    else:
        found = _recorded(baseline, candidate, metric, confidence)
    if as_json:
        print_json(found[0].to_dict() if len(found) == 1 else [each.to_dict() for each in found])
        return
    for each in found:
        _print(each)


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), required=True, help="Records of before: folder or file.")
@click.option("--max-regression", type=Percent(), default="3%", show_default=True, help="What is allowed.")
@click.option("--strict", is_flag=True, help="Also fail where there is no telling, and for cells without a baseline.")
@comparison_options
def gate(
    results: tuple[Path, ...],
    baseline: Path,
    max_regression: float,
    strict: bool,
    metric: str,
    confidence: float,
    as_json: bool,
) -> None:
    """Fail when RESULTS are slower than a baseline (for a CI).

    A cell fails when it is slower for certain, and by more than is allowed. Exit code 1, with the sentence.

    \b
    Example:
      blazeport bench gate results/host --baseline results/main --max-regression 3%
    """
    from ..benchmarks.gate import gate as compare_with_baseline
    from ..errors import BlazeportError

    now = [record for path in results for record in read_results(path)]
    found = compare_with_baseline(
        now, read_results(baseline), max_regression=max_regression, metric=metric, confidence=confidence
    )
    if as_json:
        print_json(found.to_dict())
    else:
        for each in found.comparisons:
            click.echo(each.sentence)
        for sentence in found.unmatched:
            click.echo(f"! {sentence}")
        for each in found.undecided:
            click.echo(f"! Undecided: {found.sentence(each)}")
    failures = [found.sentence(each) for each in found.regressions]
    if strict:
        failures += [found.sentence(each) for each in found.undecided] + list(found.unmatched)
    if failures:
        raise BlazeportError(" ".join(failures))


def _measured(
    baseline: Path, candidate: Path, threads: int, repeats: int, min_seconds: float, seed: int, output: Path | None
) -> list[BenchmarkRecord]:
    from ..benchmarks.host import HostOptions, measure_host
    from .artifacts import command_line

    if baseline == candidate:
        raise click.UsageError("A and B are the same path. For an A/A trial, copy the file.")
    options = HostOptions(
        files=(baseline, candidate),
        threads=(threads,),
        repeats=repeats,
        min_samples=10,
        min_seconds=min_seconds,
        seed=seed,
    )
    records = measure_host(options, command=command_line())
    if output:
        for side, record in zip("ab", records, strict=True):
            record.write(output / f"{side}.json")
    return records


def _recorded(baseline: Path, candidate: Path, metric: str, confidence: float) -> list[Comparison]:
    from ..benchmarks.compare import compare as compare_records
    from ..benchmarks.gate import gate as compare_folders

    if baseline.is_dir() or candidate.is_dir():
        found = compare_folders(
            read_results(candidate), read_results(baseline), max_regression=0.0, metric=metric, confidence=confidence
        )
        for sentence in found.unmatched:
            click.echo(f"! {sentence}", err=True)
        return list(found.comparisons)
    ((first,), (second,)) = read_results(baseline), read_results(candidate)
    return [compare_records(first, second, metric=metric, confidence=confidence)]


def read_results(path: Path) -> list[BenchmarkRecord]:
    """The records of a file or a folder; what is none in a folder is named on stderr and skipped."""
    from ..benchmarks.records import read_record, read_records
    from ..errors import InputError

    if not path.is_dir():
        return [read_record(path)]
    records, problems = read_records(path)
    for sentence in problems:
        click.echo(f"! Skipped: {sentence}", err=True)
    if not records:
        raise InputError(f"Expected benchmark records in {path}. Found none; write them with: blazeport bench host -o.")
    return records


def _print(comparison: Comparison) -> None:
    click.echo(comparison.sentence)
    for sentence in comparison.doubts:
        click.echo(f"! {sentence}")
