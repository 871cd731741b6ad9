"""Progress of long work. The library reports here; only the command line shows it, so notebooks stay quiet.

Notes and warnings go through `logging`; this module is only for work that takes time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Reporter(Protocol):
    """What shows progress; the command line has one built on rich."""

    def track(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        """Yields `items` while their progress is shown."""

    def step(self, description: str) -> contextlib.AbstractContextManager[None]:
        """A context that shows `description` while its block runs."""


_reporter: Reporter | None = None


def use(reporter: Reporter | None) -> None:
    """Shows progress through `reporter` from now on; None makes it silent again."""
    global _reporter
    _reporter = reporter


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yields `items` while their progress is shown; `total` where `items` has no length."""
    if _reporter is None:
        yield from items
    else:
        yield from _reporter.track(items, description, total)


def step(description: str) -> contextlib.AbstractContextManager[None]:
    """A context that shows `description` while its block runs."""
    return contextlib.nullcontext() if _reporter is None else _reporter.step(description)
