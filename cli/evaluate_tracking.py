"""`blazeport evaluate jitter|tracking`: how steady results on a stream are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .console import print_json, print_table


def records_options(command: Callable[..., None]) -> Callable[..., None]:
    """RECORDS and --json."""
    records = click.argument("records", metavar="RECORDS.jsonl", type=click.Path(path_type=Path))
    return records(click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command))


@click.command()
@records_options
def jitter(records: Path, as_json: bool) -> None:
    """Measure how much landmarks or keypoints tremble on one person or face that holds still.

    Root mean square of the distance of each point from its own mean position: in px, for faces also in percent of the
    distance of the eyes. Frames without exactly one person or face are left out.

    \b
    Example:
      blazeport evaluate jitter faces.jsonl
    """
    from ..pipeline.quality import measure_jitter, read_records

    measured = measure_jitter(read_records(records))
    percent = measured.percent_of_inter_ocular
    rows: list[tuple[str, object]] = [("frames", measured.frames), ("jitter, px RMS", f"{measured.rms_px:.3f}")]
    if percent is not None:
        rows.append(("jitter, % of the distance of the eyes", f"{percent:.3f}"))
    _print(asdict(measured) | {"percent_of_inter_ocular": percent}, rows, as_json)


@click.command()
@records_options
def tracking(records: Path, as_json: bool) -> None:
    """Count how often people were lost, and how often the detector had to look.

    \b
    Example:
      blazeport evaluate tracking pose.jsonl
    """
    from ..pipeline.quality import measure_tracking, read_records

    measured = measure_tracking(read_records(records))
    rows: list[tuple[str, object]] = [
        ("frames", measured.frames),
        ("frames with people", measured.frames_with_people),
        ("tracks", measured.tracks),
        ("losses", measured.losses),
        ("detector runs", measured.detector_runs),
        ("detector duty cycle", f"{measured.duty_cycle:.1%}"),
    ]
    _print(asdict(measured) | {"duty_cycle": measured.duty_cycle}, rows, as_json)


def _print(record: dict[str, Any], rows: list[tuple[str, object]], as_json: bool) -> None:
    if as_json:
        print_json(record)
    else:
        print_table(("measure", "value"), rows, right=("value",))
