"""Values of records as plain JSON and text that a page can hold, whoever wrote the record."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_TEXT = 2000
MAX_DEPTH = 6
MAX_ITEMS = 5000
_EXACT_INT = 2**53


def plain(value: Any, depth: int = 0) -> Any:
    """A JSON value that every browser reads alike: finite numbers, encodable text, and neither deep nor long."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < _EXACT_INT else plain_text(str(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())[:MAX_ITEMS]
        return {plain_text(str(key)): plain(item, depth + 1) for key, item in items}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value[:MAX_ITEMS]]
    return plain_text(str(value))


def plain_text(text: str) -> str:
    """Text without lone surrogates and control characters, cut where it is far too long to be read."""
    if len(text) <= MAX_TEXT and text.isascii() and text.isprintable():
        return text
    encodable = text[:MAX_TEXT].encode("utf-8", "replace").decode()
    shown = "".join(each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in encodable)
    return shown if len(text) <= MAX_TEXT else f"{shown}…"


def json_for_script(value: Any) -> str:
    """JSON that nothing in it can end the script element early or open a comment in."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def ms_text(us: float | None) -> str:
    """Microseconds as milliseconds with three digits; `–` for None."""
    if us is None or not math.isfinite(us):
        return "–"
    ms = us / 1000
    return f"{ms:.0f}" if ms >= 99.95 else f"{ms:.1f}" if ms >= 9.995 else f"{ms:.2f}" if ms >= 0.9995 else f"{ms:.3f}"


def bytes_text(size: float | None) -> str:
    """Bytes as kB or MB; `–` for None."""
    if size is None:
        return "–"
    return f"{size / 1e6:.2f} MB" if abs(size) >= 999_500 else f"{size / 1e3:.0f} kB"
