"""Where the time of one image goes."""

from __future__ import annotations

import time


class Stopwatch:
    """Adds up named laps. The pipeline names them `crop`, `infer` and `post`."""

    def __init__(self) -> None:
        self.timing_ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Adds the time since the last lap, or since the start, to `name`."""
        now = time.perf_counter()
        self.timing_ms[name] = self.timing_ms.get(name, 0.0) + (now - self._last) * 1e3
        self._last = now
