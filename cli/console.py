"""What the command line shows: progress on stderr, tables and JSON on stdout. rich is imported only when needed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")


def stderr_console() -> Console:
    """A rich console on stderr, so that stdout stays parseable."""
    from rich.console import Console

    return Console(stderr=True)


class RichReporter:
    """Shows progress bars and spinners on a terminal, and one plain line per step elsewhere (a CI log)."""

    def track(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        """Yields `items` under a progress bar."""
        if not sys.stderr.isatty():
            click.echo(f"{description} …", err=True)
            yield from items
            return
        from rich.progress import track

        yield from track(items, description, total=total, console=stderr_console(), transient=True)

    @contextlib.contextmanager
    def step(self, description: str) -> Iterator[None]:
        """Shows a spinner while the block runs."""
        if not sys.stderr.isatty():
            click.echo(f"{description} …", err=True)
            yield
            return
        with stderr_console().status(description):
            yield


def print_json(record: Any) -> None:
    """Prints a JSON value on stdout."""
    click.echo(json.dumps(record, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Prints a table on stdout; the columns named in `right` are aligned right. A narrow terminal folds the others."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        is_number = column in right
        table.add_column(column, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
