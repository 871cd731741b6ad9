"""The table of results that a README shows, made of records, with what each number was measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from ..files import write_atomic
from .compare import compare
from .records import BenchmarkRecord
from .stats import Interval

BEGIN = "<!-- results: written by `blazeport bench table` -->"
END = "<!-- end of results -->"
_COLUMNS = (
    *("file", "size", "threads", "median", "95 % interval", "p90", "load", "memory"),
    *("time / official", "interval"),
)


def results_table(records: Sequence[BenchmarkRecord], officials: Mapping[str, str], *, is_brief: bool = False) -> str:
    """Markdown: one table per machine and tool, and under it the machine, the versions and the doubts.

    Args:
        records: of any machines; those of one machine are ordered by network.
        officials: sha256 of an official file → its variant.
        is_brief: one row per network, its heads and threads, with the size and the ratio of each precision.
    Raises:
        InputError: there are none.
    """
    if not records:
        raise InputError("Expected benchmark records for a table. Received none.")
    groups: dict[tuple[str, str, str], list[BenchmarkRecord]] = {}
    for record in records:
        groups.setdefault((record.machine.id, record.tool.name, record.tool.version), []).append(record)
    make = _brief if is_brief else _one_machine
    return "\n".join("\n".join([*make(group, officials), "", _caption(group)]) for group in groups.values())


def update(path: Path, table: str) -> bool:
    """Replaces what is between the two marks in a Markdown file.

    Returns:
        Whether the file changed.
    Raises:
        InputError: the file cannot be read or lacks the marks.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path} must have the lines {BEGIN} and {END} around the place of the table.")
    changed = f"{head}{BEGIN}\n{table}\n{END}{tail}"
    if changed != text:
        write_atomic(path, changed)
    return changed != text


def _baselines(
    records: Sequence[BenchmarkRecord], officials: Mapping[str, str]
) -> dict[tuple[str, int], BenchmarkRecord]:
    """Network and threads → the record of its official file."""
    return {
        (officials[record.model.sha256], record.settings.num_threads): record
        for record in records
        if record.model.sha256 in officials
    }


def _order(officials: Mapping[str, str]) -> dict[str, int]:
    return {variant: place for place, variant in enumerate(dict.fromkeys(officials.values()))}


def _brief(records: Sequence[BenchmarkRecord], officials: Mapping[str, str]) -> list[str]:
    baselines, order = _baselines(records, officials), _order(officials)
    rows: dict[tuple[str, tuple[str, ...], int], dict[str, BenchmarkRecord]] = {}
    for record in records:
        model = record.model
        if model.sha256 not in officials and model.variant and model.heads and model.precision:
            key = (model.variant, model.heads, record.settings.num_threads)
            rows.setdefault(key, {})[model.precision] = record
    precisions = list(dict.fromkeys(precision for found in rows.values() for precision in sorted(found)))
    columns = ["network", "heads", "threads", "official"]
    columns += [column for precision in precisions for column in (precision, f"{precision}, time / official")]
    lines = [_cells(columns), "|---" * len(columns) + "|"]
    for (variant, heads, threads), found in sorted(
        rows.items(), key=lambda each: (order.get(each[0][0], len(order)), each[0])
    ):
        baseline = baselines.get((variant, threads))
        cells = [f"`{variant}`", ", ".join(heads), str(threads)]
        cells.append(f"{_size(baseline)}, {_median(baseline)}" if baseline else "–")
        for precision in precisions:
            file = found.get(precision)
            cells += ["–", "–"] if file is None else [_size(file), _with_interval(_ratio(file, baseline))]
        lines.append(_cells(cells))
    return lines


def _one_machine(records: Sequence[BenchmarkRecord], officials: Mapping[str, str]) -> list[str]:
    baselines, order = _baselines(records, officials), _order(officials)

    def variant(record: BenchmarkRecord) -> str:
        return officials.get(record.model.sha256) or record.model.variant or ""

    def place(record: BenchmarkRecord) -> tuple[object, ...]:
        known = order.get(variant(record), len(order)), variant(record), record.settings.num_threads
        return (*known, record.model.sha256 not in officials, record.model.file)

    rows = []
    for record in sorted(records, key=place):
        baseline = baselines.get((variant(record), record.settings.num_threads))
        ratio = None if baseline is record else _ratio(record, baseline)
        rows.append(_row(record, ratio, is_official=record.model.sha256 in officials))
    return [_cells(_COLUMNS), "|---" * len(_COLUMNS) + "|", *rows]


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _size(record: BenchmarkRecord) -> str:
    return f"{record.model.size_bytes / 1e6:.2f} MB"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e3:.2f} ms"


def _median(record: BenchmarkRecord) -> str:
    return _ms(record.median_us) + (" \\*" if list(record.instability()) else "")


def _with_interval(ratio: Interval | None) -> str:
    return "–" if ratio is None else f"{ratio.ratio:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def _ratio(record: BenchmarkRecord, baseline: BenchmarkRecord | None) -> Interval | None:
    return None if baseline is None else compare(baseline, record).interval


def _row(record: BenchmarkRecord, ratio: Interval | None, *, is_official: bool) -> str:
    interval = record.interval_us()
    memory = record.median_over_runs(lambda run: run.memory_bytes)
    cells = (
        f"{'official ' if is_official else ''}`{record.model.file}`" + (" (synthetic)" if record.synthetic else ""),
        _size(record),
        str(record.settings.num_threads),
        _median(record),
        "–" if interval is None else f"{interval[0] / 1e3:.2f}–{interval[1] / 1e3:.2f}",
        _ms(record.percentile_us(90)),
        _ms(record.median_over_runs(lambda run: run.init_us)),
        "–" if memory is None else f"{memory / 1e6:.1f} MB",
        "–" if ratio is None else f"{ratio.ratio:.3f}",
        "–" if ratio is None else f"{ratio.low:.3f}–{ratio.high:.3f}",
    )
    return _cells(cells)


def _caption(records: Sequence[BenchmarkRecord]) -> str:
    first = records[0]
    facts = first.machine.facts
    flags = ", ".join(facts.get("cpu_flags") or ())
    runs = sorted({len(record.valid_runs) for record in records})
    days = sorted({run.started[:10] for record in records for run in record.runs})
    words = [
        f"{first.machine.name}{f' with {flags}' if flags else ''}",
        f"{facts.get('system', 'system unknown')}",
        f"{first.tool.name} {first.tool.version}, {first.delegate_applied}",
        f"blazeport {facts.get('blazeport', 'unknown')}",
        f"{'–'.join(map(str, dict.fromkeys((runs[0], runs[-1]))))} processes per cell, in turns",
        "real photos as inputs" if first.settings.inputs_sha256 else "noise as inputs",
        " to ".join(dict.fromkeys((days[0], days[-1]))),
    ]
    text = "; ".join(words) + ". Load: opening the file. Memory: peak over that of the process before."
    unstable = [record for record in records if list(record.instability())]
    if unstable:
        cells = f"{len(unstable)} of {len(records)} cells"
        text += f" The machine was not quiet in {cells} (\\*): their ratios hold, their times may not."
    return text
