"""What options and arguments of several commands take: numbers, percentages, model files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class Numbers(click.ParamType):
    """Whole numbers from 1 on, separated by commas."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """`1,2,4` → (1, 2, 4)."""
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
            self.fail(f"Expected numbers such as 1,2,4. Received: {value!r}.", param, ctx)
        return tuple(dict.fromkeys(int(word) for word in words))


class Percent(click.ParamType):
    """`3%` or `0.03` → 0.03."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises a usage error for anything else."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            number = -1.0
        if not 0 <= number < 10:
            self.fail(f"Expected a percentage such as 3%. Received: {value!r}.", param, ctx)
        return number


class ModelFile(click.ParamType):
    """A .tflite file, or the name of a variant for its official file."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """A file of that name comes before a variant."""
        from ..weights.fetch import official_file
        from ..weights.sources import OFFICIAL

        path = Path(value)
        return official_file(str(value)) if str(value) in OFFICIAL and not path.exists() else path
