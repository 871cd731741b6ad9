"""Records → what the page's table and charts need. Raw samples stay in the records; the page holds quantiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError, InputError
from ..records import BenchmarkRecord
from ..sustained import throttling_point
from .model_files import ModelFile
from .plain import plain

LARGEST_FILE = 2**50
HeadsLabel = Callable[[str | None, tuple[str, ...]], str]
"""Variant, names of the outputs → label of the heads."""


def row_of(path: Path, record: BenchmarkRecord, file: ModelFile | None, heads_label: HeadsLabel) -> dict[str, Any]:
    """A record as JSON values. Times in microseconds, rounded to 0.1 %.

    Args:
        path: where the record lies.
        record: the record.
        file: what the manifest of the measured file says; None without one.
        heads_label: names outputs that no manifest names.
    Raises:
        InputError: the record holds numbers that nothing can be calculated with.
    """
    try:
        with np.errstate(all="ignore"):
            return plain(_row(path, record, file, heads_label))  # type: ignore[no-any-return]
    except (ArithmeticError, ValueError, ConfigError) as error:
        raise InputError(f"{path} holds numbers that cannot be shown ({type(error).__name__}: {error}).") from error


def _row(path: Path, record: BenchmarkRecord, file: ModelFile | None, heads_label: HeadsLabel) -> dict[str, Any]:
    model, settings = record.model, record.settings
    if not 0 <= model.size_bytes < LARGEST_FILE:
        raise ValueError("the file's size is none")
    variant = model.variant or (file.variant if file else None)
    interval = record.interval_us()
    runs = record.valid_runs
    quantiles = _quantiles(record.samples_us)
    return {
        "path": str(path),
        "file": model.file,
        "sha256": model.sha256,
        "variant": variant or "unknown network",
        "heads": file.heads if file else heads_label(variant, model.heads) if model.heads else "unknown",
        "precision": model.precision or (file.precision if file else None) or "unknown",
        "size_bytes": model.size_bytes,
        "machine": record.machine.name,
        "machine_id": record.machine.id,
        "kind": record.machine.kind,
        "threads": settings.num_threads,
        "delegate": record.delegate_applied,
        "mode": settings.mode,
        "synthetic": record.synthetic,
        "condition": _condition(record),
        "runs": len(runs),
        "samples": sum(run.count for run in runs),
        "median": _us(record.median_us),
        "low": _us(interval[0]) if interval else None,
        "high": _us(interval[1]) if interval else None,
        "p90": quantiles[90] if quantiles else None,
        "p99": quantiles[99] if quantiles else None,
        "init": _us(record.median_over_runs(lambda run: run.init_us)),
        "first": _us(record.median_over_runs(lambda run: run.first_us)),
        "memory": record.median_over_runs(lambda run: run.memory_bytes),
        "cv": None if record.cv is None else round(record.cv, 4),
        "quantiles": quantiles,
        "spread": _spread(record, quantiles),
        "sustained": _sustained(record) if settings.mode == "sustained" else None,
        "warnings": record.warnings(),
        "provenance": _provenance(record),
    }


def _condition(record: BenchmarkRecord) -> str:
    """What must be equal for two latencies to be comparable, apart from the file."""
    settings = record.settings
    parts = [
        f"{settings.num_threads} thread{'' if settings.num_threads == 1 else 's'}",
        record.delegate_applied,
        *([f"{settings.affinity} cores"] if settings.affinity else []),
        *([record.tool.context] if record.tool.context == "foreground-app" else []),
    ]
    return " · ".join(parts)


def _provenance(record: BenchmarkRecord) -> dict[str, Any]:
    """Everything that is said once per record and is no latency."""
    known = {"model", "machine", "runs", "failures", "tool", "settings", "synthetic", "schema_version"}
    others = {
        field.name: getattr(record, field.name) for field in dataclasses.fields(record) if field.name not in known
    }
    starts = [run.started for run in record.runs]
    tool = record.tool
    return {
        "settings": {name: value for name, value in dataclasses.asdict(record.settings).items() if value is not None},
        "tool": f"{tool.name} {tool.version}, {tool.context}, sha256 {tool.sha256}",
        "machine set to": record.machine.settings,
        "runs": f"{len(record.valid_runs)} valid of {len(record.runs)}",
        "started": min(starts) if starts else None,
        "last run": max(starts) if starts else None,
        "schema version": record.schema_version,
        **{name.replace("_", " "): value for name, value in others.items()},
    }


def _quantiles(samples: np.ndarray) -> list[float | None] | None:
    """Percentiles 0 to 100."""
    return [_us(value) for value in np.percentile(samples, range(101))] if len(samples) else None


def _spread(record: BenchmarkRecord, quantiles: Sequence[float | None] | None) -> dict[str, float | None]:
    """5th, 25th, 75th and 95th percentile; where a tool keeps the samples, what its summaries say."""
    if quantiles:
        return {f"p{percent}": quantiles[percent] for percent in (5, 25, 75, 95)}
    summaries = [run.summary for run in record.valid_runs if run.summary]
    return {
        "p5": _us(_median([summary.p5_us for summary in summaries])),
        "p25": None,
        "p75": None,
        "p95": _us(_median([summary.p95_us for summary in summaries])),
    }


def _sustained(record: BenchmarkRecord) -> dict[str, Any]:
    runs = record.runs
    start = runs[0].seconds if runs else 0.0
    point = throttling_point(record)
    return {
        "seconds": [round(run.seconds - start, 1) for run in runs],
        "median": [_us(run.median_us) for run in runs],
        "celsius": [run.celsius_after for run in runs],
        "throttled": [run.throttled for run in runs],
        "point": point and {**dataclasses.asdict(point), "slowdown": round(point.slowdown, 3)},
    }


def _median(values: list[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _us(value: float | None) -> float | None:
    """Four digits are more than a latency has."""
    return None if value is None else float(f"{value:.4g}")


def files_of(files: Mapping[str, ModelFile]) -> list[dict[str, Any]]:
    """The files as JSON values."""
    return [plain(dataclasses.asdict(file)) for file in files.values()]
