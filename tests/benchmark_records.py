"""Records made by hand for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blazeport.benchmarks.records import (
    BenchmarkRecord,
    MachineRecord,
    ModelRecord,
    RunRecord,
    SettingsRecord,
    ToolRecord,
)


def host_run(number: int, blocks: Sequence[Sequence[float]], *, session: str = "s1", **fields: Any) -> RunRecord:
    """A run whose samples were taken in blocks, microseconds."""
    samples = tuple(sample for block in blocks for sample in block)
    return RunRecord(
        number=number,
        session=session,
        started="2026-01-01T00:00:00+00:00",
        samples_us=samples,
        block_runs=tuple(map(len, blocks)),
        **({"cpu_us": sum(samples), "init_us": 100.0} | fields),
    )


def host_record(runs: Sequence[RunRecord], *, file: str = "a.tflite", num_threads: int = 1, **fields: Any) -> Any:
    """A record of this machine; `fields` replace the record's."""
    made: dict[str, Any] = {
        "model": ModelRecord(file=file, sha256=file[0] * 64, size_bytes=1),
        "machine": MachineRecord(kind="host", id="h1", name="Server"),
        "settings": SettingsRecord(
            num_threads=num_threads, min_samples=1, min_seconds=0.0, warmup_runs=1, repeats=len(runs)
        ),
        "tool": ToolRecord(name="litert", version="2.3", sha256="t" * 64, context="process"),
        "delegate_applied": "xnnpack",
        "synthetic": False,
        "runs": tuple(runs),
    }
    return BenchmarkRecord(**(made | fields))


def steady(medians: Sequence[float], **fields: Any) -> list[RunRecord]:
    """One run per median, each of three blocks that agree."""
    return [host_run(number, [[median] * 3] * 3, **fields) for number, median in enumerate(medians)]
