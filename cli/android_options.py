"""What the commands of `blazeport android` share: which phones, which runner, and the view of what they do."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .android_devices import adb_server_option
from .console import stderr_console

if TYPE_CHECKING:
    from ..android_harness.adb import Device
    from ..android_harness.outcome import Event


_PRIVATE = ("--serial", "--adb-server")


def device_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which phones, and with which runner."""
    for option in (
        click.option("--runner-binary", metavar="PATH|URL", help="Program of the runner; a URL ends in #sha256=…"),
        click.option(
            "--runner",
            type=click.Choice(["native", "benchmark_model", "litert_benchmark_model", "apk"]),
            default="native",
            show_default=True,
            help="What times the file.",
        ),
        adb_server_option,
        click.option("--serial", "serials", metavar="SERIAL", multiple=True, help="Only this phone; may be repeated."),
    ):
        command = option(command)
    return command


def recorded_command() -> str:
    """The command line for records, without serial numbers and addresses of servers."""
    words: list[str] = []
    for word in sys.argv[1:]:
        name, equals, _ = word.partition("=")
        is_value = bool(words) and words[-1] in _PRIVATE
        words.append("…" if is_value else f"{name}=…" if equals and name in _PRIVATE else word)
    return shlex.join(["blazeport", *words])


def chosen_devices(servers: tuple[str, ...], serials: tuple[str, ...]) -> tuple[Device, ...]:
    """The phones to use, after putting back what interrupted runs left on them."""
    from ..android_harness.attached import adb_servers, select
    from ..android_harness.guard import default_journal_dir, replay_journals

    devices = select(adb_servers(servers), serials)
    for sentence in replay_journals(default_journal_dir(), devices):
        click.echo(sentence, err=True)
    return devices


def network_inputs(files: tuple[Path, ...], folder: Path, limit: int = 8) -> Any:
    """What the files see of a folder of photos."""
    from ..android_harness.inputs import Inputs
    from ..weights.fetch import official_file

    return Inputs(files, folder, limit=limit, find_reference=official_file)


@contextmanager
def live_view() -> Iterator[Callable[[Event], None]]:
    """A table of the phones on a terminal, one line per news elsewhere."""
    events: dict[str, Event] = {}
    lock = threading.Lock()
    console = stderr_console()

    def line(event: Event) -> str:
        warm = "" if event.celsius is None else f", {event.celsius:.1f} °C"
        what = f"{event.state} {event.cell}".strip()
        return printable(f"{event.serial}: {event.done}/{event.total}{warm}, {what}")

    if not console.is_terminal:

        def tell(event: Event) -> None:
            with lock:
                click.echo(line(event), err=True)

        yield tell
        return
    from rich.live import Live
    from rich.markup import escape

    with Live("", console=console, refresh_per_second=4, transient=True) as live:

        def show(event: Event) -> None:
            with lock:
                events[event.serial] = event
                live.update(escape("\n".join(line(each) for each in events.values())))

        yield show


def printable(text: str) -> str:
    """A phone's or file's name without what steers a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)
