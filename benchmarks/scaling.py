"""How the cost of a file grows: with threads, with streams at the same time, and with inputs per frame."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import progress
from ..errors import ConfigError
from .host import HostOptions, measure_host
from .host_process import HostProcess, host_process

DEFAULT_ROUNDS = 8
BLOCK_SECONDS = 0.3

Measure = Callable[[int], tuple[float, float]]  # number → (milliseconds, per second)


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The cost at one size, compared with that at the smallest.

    Attributes:
        what: `threads`, `streams` or `inputs`.
        number: of them.
        milliseconds: median time of one frame (threads, inputs), or of one inference in one of the streams.
        per_second: frames per second; of all streams together.
        ratio: per_second, as a multiple of that at the smallest size.
    """

    what: str
    number: int
    milliseconds: float
    per_second: float
    ratio: float


def thread_scaling(path: Path, counts: Sequence[int], *, repeats: int = 5) -> list[Scaling]:
    """One inference at a time, with more threads.

    Args:
        path: a .tflite file with one image input.
        counts: numbers of threads.
        repeats: processes per number.
    """
    options = HostOptions(
        files=(path,), threads=tuple(counts), repeats=repeats, min_samples=5, min_seconds=0.3, together=len(counts)
    )
    medians = [float(np.median(record.run_medians_us)) for record in measure_host(options)]
    return _scaled("threads", counts, [median / 1e3 for median in medians], [1e6 / median for median in medians])


def stream_scaling(path: Path, counts: Sequence[int], *, rounds: int = DEFAULT_ROUNDS) -> list[Scaling]:
    """Several processes at the same time, one thread each: what a machine can take altogether.

    Args:
        path: a .tflite file with one image input.
        counts: numbers of processes.
        rounds: each number has its turn once per round, in random order.
    """
    _check(counts)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(host_process(path)) for _ in range(max(counts))]
        runs = _runs_in(BLOCK_SECONDS, processes[0])

        def together(count: int) -> tuple[float, float]:
            start = time.perf_counter()
            for process in processes[:count]:
                process.begin(runs)
            times = [time_us for process in processes[:count] for time_us in process.end()["times_us"]]
            return float(np.median(times)) / 1e3, count * runs / (time.perf_counter() - start)

        return _in_turns("streams", counts, rounds, together)


def input_scaling(path: Path, counts: Sequence[int], *, rounds: int = DEFAULT_ROUNDS) -> list[Scaling]:
    """Several inputs per frame, one after the other, as for several people: files have a batch of 1.

    Args:
        path: a .tflite file with one image input.
        counts: inputs per frame.
        rounds: each number has its turn once per round, in random order.
    """
    _check(counts)
    with host_process(path) as process:
        frames = _runs_in(BLOCK_SECONDS / max(counts), process)

        def in_a_row(count: int) -> tuple[float, float]:
            times = [sum(process.ask(count)["times_us"]) / 1e3 for _ in range(frames)]
            return float(np.median(times)), 1e3 / float(np.median(times))

        return _in_turns("inputs", counts, rounds, in_a_row)


def _in_turns(what: str, counts: Sequence[int], rounds: int, measure: Measure) -> list[Scaling]:
    order = random.Random(0)
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    for _ in progress.track(range(rounds), f"Measuring {what}", rounds):
        for count in order.sample(list(counts), len(counts)):
            found[count].append(measure(count))
    figures = [np.median(found[count], axis=0) for count in counts]
    return _scaled(what, counts, [float(each[0]) for each in figures], [float(each[1]) for each in figures])


def _scaled(
    what: str, counts: Sequence[int], milliseconds: Sequence[float], per_second: Sequence[float]
) -> list[Scaling]:
    smallest = per_second[int(np.argmin(counts))]
    return [
        Scaling(what=what, number=count, milliseconds=time_ms, per_second=rate, ratio=rate / smallest)
        for count, time_ms, rate in zip(counts, milliseconds, per_second, strict=True)
    ]


def _runs_in(seconds: float, process: HostProcess) -> int:
    typical_us = float(np.median(process.ask(5)["times_us"]))
    return int(np.clip(seconds * 1e6 / max(typical_us, 1.0), 2, 1000))


def _check(counts: Sequence[int]) -> None:
    if not counts or min(counts) < 1:
        raise ConfigError(f"Expected numbers from 1 on. Received: {', '.join(map(str, counts)) or 'none'}.")
