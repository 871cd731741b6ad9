"""Worst-case pictures from the pages that `blazeport evaluate quantized --html` writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from .plain import plain_text

MAX_CASES = 4
MAX_PICTURE = 400_000  # characters of base64
_PICTURE = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, kw_only=True)
class Cases:
    """The worst cases of one page.

    Attributes:
        title: of the page: which file against which.
        cases: caption, and the addresses of the pictures, which hold the pictures themselves.
        left_out: cases of the page that are not in here.
    """

    title: str
    cases: tuple[tuple[str, tuple[str, ...]], ...]
    left_out: int


def find_cases(folders: Sequence[Path]) -> list[Cases]:
    """The worst cases in the .html files of some folders; a page without any is passed over."""
    found = []
    for page in sorted({path for folder in folders for path in folder.glob("*.html")}):
        reader = _Reader()
        try:
            reader.feed(page.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        cases = [(caption, pictures) for caption, pictures in reader.cases if pictures]
        if cases:
            found.append(
                Cases(
                    title=plain_text(reader.title.strip()),
                    cases=tuple(cases[:MAX_CASES]),
                    left_out=len(cases) - MAX_CASES if len(cases) > MAX_CASES else 0,
                )
            )
    return found


class _Reader(HTMLParser):
    """Collects figures with pictures; takes over text and JPEG data, and no markup."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.cases: list[tuple[str, tuple[str, ...]]] = []
        self._pictures: list[str] = []
        self._caption: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens a figure or its caption, or takes a picture."""
        if tag in {"title", "figure", "figcaption"}:
            self._inside.append(tag)
        if tag == "figure":
            self._pictures, self._caption = [], []
        source = dict(attrs).get("src") or ""
        if tag == "img" and "figure" in self._inside and len(source) < MAX_PICTURE and _PICTURE.fullmatch(source):
            self._pictures.append(source)
        if tag == "br" and "figcaption" in self._inside:
            self._caption.append(": ")

    def handle_endtag(self, tag: str) -> None:
        """Closes what was opened."""
        if tag in self._inside:
            self._inside.remove(tag)
        if tag == "figure":
            self.cases.append((plain_text("".join(self._caption)), tuple(self._pictures)))
            self._pictures = []

    def handle_data(self, data: str) -> None:
        """Takes a title or caption."""
        if "title" in self._inside:
            self.title += data
        elif "figcaption" in self._inside:
            self._caption.append(data)
