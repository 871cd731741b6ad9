"""Latency of several files against one another, interleaved in one process.

Absolute times on a shared machine mean little; ratios of runs that lie next to each other in time hold.
"""

from __future__ import annotations

import dataclasses
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import progress
from ..errors import ConfigError
from ..files import sha256_of, write_atomic
from ..runtime.interpreter import Model

DEFAULT_ROUNDS = 15
_BLOCK_SECONDS = 0.06
_MIN_RUNS, _MAX_RUNS = 3, 50


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """Samples of one file.

    Attributes:
        file: its name.
        sha256: its content.
        rounds_us: one row per round, one time in microseconds per run.
    """

    file: str
    sha256: str
    rounds_us: tuple[tuple[float, ...], ...]

    @property
    def median_us(self) -> float:
        """Median over all runs."""
        return statistics.median(sample for samples in self.rounds_us for sample in samples)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How long a file takes compared with a baseline that was measured beside it.

    Attributes:
        median: median over the rounds of the ratio of the two medians.
        low: smallest ratio of the middle half of the rounds.
        high: largest ratio of the middle half of the rounds.
    """

    median: float
    low: float
    high: float


def measure_latencies(
    files: Sequence[Path], *, num_threads: int = 1, rounds: int = DEFAULT_ROUNDS, seed: int = 0
) -> list[Latencies]:
    """Measures files against one another.

    In every round each file runs a block of inferences, in a new random order; the first run of a block warms the
    caches up and is not kept. Inputs are seeded noise: these networks take the same time for any input.

    Args:
        files: .tflite files with one image input.
        num_threads: threads of each interpreter.
        rounds: rounds; 15 bring the ratio within about 2 % on a quiet machine.
        seed: of the input and the order.
    Raises:
        ConfigError: `rounds` is below 1.
    """
    if rounds < 1:
        raise ConfigError(f"rounds must be at least 1. Received: {rounds}.")
    order, noise = random.Random(seed), np.random.default_rng(seed)
    models = [Model(path, num_threads=num_threads) for path in files]
    images = [noise.random(model.input_shape, np.float32) for model in models]
    runs = [_runs_per_block(model, image) for model, image in zip(models, images, strict=True)]
    samples: list[list[tuple[float, ...]]] = [[] for _ in files]
    for _ in progress.track(range(rounds), f"Measuring {len(files)} files", rounds):
        for number in order.sample(range(len(files)), len(files)):
            samples[number].append(_block(models[number], images[number], runs[number]))
    return [
        Latencies(file=path.name, sha256=sha256_of(path), rounds_us=tuple(rows))
        for path, rows in zip(files, samples, strict=True)
    ]


def ratio_of(candidate: Latencies, baseline: Latencies) -> Ratio:
    """The paired ratio of two files measured by one call of `measure_latencies`."""
    ratios = sorted(
        statistics.median(mine) / statistics.median(others)
        for mine, others in zip(candidate.rounds_us, baseline.rounds_us, strict=True)
    )
    quarter = len(ratios) // 4
    return Ratio(median=statistics.median(ratios), low=ratios[quarter], high=ratios[-1 - quarter])


class LatencyCache:
    """Ratios already measured, in a JSON file: `sha256 of the file/sha256 of the baseline` → ratio."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            records = json.loads(path.read_text())["ratios"]
            self._ratios = {key: Ratio(**record) for key, record in records.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._ratios = {}  # Not there or not ours: everything is measured anew.

    def get(self, candidate_sha256: str, baseline_sha256: str) -> Ratio | None:
        """The ratio, if it was measured."""
        return self._ratios.get(f"{candidate_sha256}/{baseline_sha256}")

    def add(self, candidate: Latencies, baseline: Latencies) -> None:
        """Remembers the ratio of two files and writes the cache."""
        self._ratios[f"{candidate.sha256}/{baseline.sha256}"] = ratio_of(candidate, baseline)
        records = {key: dataclasses.asdict(ratio) for key, ratio in self._ratios.items()}
        write_atomic(self._path, json.dumps({"schema_version": 1, "ratios": records}, indent=2) + "\n")


def _runs_per_block(model: Model, image: np.ndarray) -> int:
    """As many runs as fit a block; a file slower than that still gets three."""
    typical = min(_block(model, image, 2))
    return int(np.clip(_BLOCK_SECONDS * 1e6 / max(typical, 1.0), _MIN_RUNS, _MAX_RUNS))


def _block(model: Model, image: np.ndarray, runs: int) -> tuple[float, ...]:
    """Times in microseconds of `runs` inferences after one that is not kept."""
    model.run(image)
    times = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        model.run(image)
        times.append((time.perf_counter_ns() - start) / 1000)
    return tuple(times)
