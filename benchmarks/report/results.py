"""Reading result files for a report: records from files and folders, and a sentence about everything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..records import BenchmarkRecord, read_record


@dataclass(frozen=True, kw_only=True)
class Results:
    """What was found.

    Attributes:
        records: path → record, in the order of the paths.
        problems: one sentence about every file that is no record.
    """

    records: dict[Path, BenchmarkRecord]
    problems: tuple[str, ...]


def read_results(paths: Sequence[Path]) -> Results:
    """Reads records.

    Args:
        paths: record files, and folders that are searched for .json files with their subfolders. Names that begin with
            a dot are work in progress and left out.
    Raises:
        InputError: nothing is a record; the message names what was found instead.
    """
    records: dict[Path, BenchmarkRecord] = {}
    problems = []
    for path in dict.fromkeys(file for given in paths for file in _files(given)):
        try:
            records[path] = read_record(path)
        except (InputError, RecursionError) as error:
            problems.append(str(error) if isinstance(error, InputError) else f"{path} is nested too deeply to be read.")
    if not records:
        found = " ".join(problems) or "No .json file at all."
        raise InputError(
            f"Expected benchmark records in {', '.join(map(str, paths))}. Found: {found} "
            "Write records with: blazeport bench host FILE -o DIR."
        )
    return Results(records=records, problems=tuple(problems))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for found in sorted(path.rglob("*.json")):
        if not any(part.startswith(".") for part in found.relative_to(path).parts):
            yield found
