"""`blazeport android devices|clean`: what is attached, and removing what was put there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from .console import print_json, print_table

if TYPE_CHECKING:
    from ..android_harness.attached import Attached


def adb_server_option(command: Callable[..., None]) -> Callable[..., None]:
    """--adb-server, once or more."""
    return click.option(
        "--adb-server",
        "servers",
        metavar="HOST:PORT",
        multiple=True,
        help="An adb server, e.g. that of a device lab; may be repeated.  [default: your own]",
    )(command)


@click.command()
@adb_server_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def devices(servers: tuple[str, ...], as_json: bool) -> None:
    """List the attached phones: what each can do, and why one cannot be used.

    Settings that an interrupted run left changed on a phone are put back first.

    \b
    Example:
      blazeport android devices
      blazeport android devices --json --adb-server lab1:5037
    """
    from ..android_harness.attached import adb_servers, attached
    from ..android_harness.guard import default_journal_dir, replay_journals

    found = attached(adb_servers(servers))
    for sentence in replay_journals(
        default_journal_dir(), [each.device for each in found if each.device and each.snapshot]
    ):
        click.echo(sentence, err=True)
    if as_json:
        print_json([each.to_record() for each in found])
    else:
        columns = ("serial", "phone", "Android", "SoC", "cores", "°C", "battery", "can", "problem")
        print_table(columns, ([_plain(cell) for cell in _row(each)] for each in found), right=("°C", "battery"))


@click.command()
@adb_server_option
@click.option("--serial", "serials", metavar="SERIAL", multiple=True, help="Only this phone; may be repeated.")
def clean(servers: tuple[str, ...], serials: tuple[str, ...]) -> None:
    """Remove what blazeport put on the attached phones, and nothing else.

    Settings that an interrupted run left changed are put back, too. A phone that a run uses now is left alone.

    \b
    Example:
      blazeport android clean
      blazeport android clean --serial 127.0.0.1:5555
    """
    from ..android_harness.attached import adb_servers, clean_up, select

    for sentence in clean_up(select(adb_servers(servers), serials)):
        click.echo(sentence)


def _row(each: Attached) -> tuple[str, ...]:
    from ..android_harness.parsers import Absent

    serial = each.entry.serial if each.server is None else f"{each.entry.serial} at {each.server}"
    problem = "; ".join(each.problems) or "-"
    snapshot = each.snapshot
    if snapshot is None:
        return (serial, each.entry.details.get("model", "-"), "-", "-", "-", "-", "-", "-", problem)

    def shown(*values: str | Absent) -> str:
        return " ".join(value for value in values if not isinstance(value, Absent)) or "-"

    clusters = () if isinstance(snapshot.clusters, Absent) else snapshot.clusters
    hottest = snapshot.warmth.hottest_celsius
    percent = None if isinstance(snapshot.battery, Absent) else snapshot.battery.percent
    return (
        serial,
        shown(snapshot.manufacturer, snapshot.model),
        shown(snapshot.android_version),
        shown(snapshot.soc_manufacturer, snapshot.soc_model)
        if shown(snapshot.soc_model) != "-"
        else shown(snapshot.board_platform),
        " + ".join(f"{len(each.cpus)}×{each.max_khz / 1e6:.2f} GHz" for each in clusters) or "-",
        "-" if hottest is None else f"{hottest:.1f}",
        "-" if percent is None else f"{percent} %",
        ", ".join(each.abilities) or "-",
        problem,
    )


def _plain(text: str) -> str:
    """A phone's text as a table cell: no markup of rich's, nothing that steers a terminal."""
    from rich.markup import escape

    return escape("".join(each if each.isprintable() else "?" for each in text))
