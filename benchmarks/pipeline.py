"""Where the time of a frame goes: the model's share, and what the pipeline around it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import InputError
from .stats import Description, describe

MODEL_STAGE = "infer"
WARM_UP_FRAMES = 5


class Timed(Protocol):
    """The result of one frame, with the milliseconds of each stage."""

    @property
    def timing_ms(self) -> dict[str, float]:
        """Stage → milliseconds."""
        ...


@dataclass(frozen=True, kw_only=True)
class PipelineCost:
    """The cost of a frame.

    Attributes:
        frames: that count.
        total_ms: of a frame, without reading it.
        stages_ms: `crop` (image to tensor), `infer` (the models) and `post` (decoding, tracking, smoothing).
        read_ms: reading a frame.
        cpu_ms: CPU time of all threads, per frame (mean).
    """

    frames: int
    total_ms: Description
    stages_ms: dict[str, Description]
    read_ms: Description
    cpu_ms: float

    @property
    def model_share(self) -> float:
        """Part of a frame's time that the models take, in [0, 1], by the stages' trimmed means."""
        means = {stage: found.trimmed_mean for stage, found in self.stages_ms.items()}
        return means.get(MODEL_STAGE, 0.0) / (sum(means.values()) or 1.0)


def measure_pipeline(
    frames: Iterable[tuple[np.ndarray, int | None]],
    process: Callable[[np.ndarray, int | None], Timed],
    *,
    limit: int | None = None,
) -> PipelineCost:
    """Runs a pipeline over a video and adds up its stages.

    Args:
        frames: `(H, W, 3)` uint8 RGB and its time in microseconds (None: unknown), in order.
        process: the pipeline.
        limit: frames to measure, after five that do not count.
    Raises:
        InputError: there are too few frames.
    """
    stages: dict[str, list[float]] = {}
    totals: list[float] = []
    reads: list[float] = []
    cpu_s = 0.0
    before = time.perf_counter()
    for number, (rgb, time_us) in enumerate(frames):
        read, cpu = time.perf_counter(), time.process_time()
        found = process(rgb, time_us)
        done = time.perf_counter()
        if number >= WARM_UP_FRAMES:
            reads.append((read - before) * 1e3)
            totals.append((done - read) * 1e3)
            cpu_s += time.process_time() - cpu
            for stage, taken_ms in found.timing_ms.items():
                stages.setdefault(stage, []).append(taken_ms)
        if limit is not None and len(totals) >= limit:
            break
        before = time.perf_counter()
    if not totals:
        raise InputError(f"Expected a video of more than {WARM_UP_FRAMES} frames.")
    return PipelineCost(
        frames=len(totals),
        total_ms=describe(totals),
        stages_ms={stage: describe(taken) for stage, taken in stages.items()},
        read_ms=describe(reads),
        cpu_ms=cpu_s * 1e3 / len(totals),
    )
