"""The page itself: one HTML file with the table, the data, the scripts and the plotting library in it."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import ConfigError, InputError
from ...files import write_atomic
from .model_files import ModelFile
from .pictures import Cases
from .plain import bytes_text, json_for_script, ms_text, plain, plain_text
from .results import Results
from .rows import HeadsLabel, files_of, row_of

_HERE = Path(__file__).parent
# Column → its head, and whether it holds numbers. Each is also what its cells are sorted by.
_COLUMNS = (
    ("variant", "Network and file", False),
    ("heads", "Heads", False),
    ("precision", "Precision", False),
    ("machine", "Machine", False),
    ("threads", "Threads", True),
    ("delegate", "Run by", False),
    ("median", "Median ms", True),
    ("doubts", "Doubts", True),
    ("p90", "p90 ms", True),
    ("p99", "p99 ms", True),
    ("init", "Init ms", True),
    ("cv", "CV", True),
    ("memory", "Memory", True),
    ("size_bytes", "File size", True),
)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What `write_report` did.

    Attributes:
        records: shown.
        matched: records whose file's manifest was found.
        problems: sentences about files that are not in the report.
        size_bytes: of the page.
    """

    records: int
    matched: int
    problems: tuple[str, ...]
    size_bytes: int


def write_report(
    results: Results,
    out: Path,
    *,
    files: Mapping[str, ModelFile],
    heads_label: HeadsLabel,
    cases: Sequence[Cases] = (),
    problems: Sequence[str] = (),
    made: Mapping[str, str],
) -> Written:
    """Writes records as one HTML file that needs no other and no network.

    Args:
        results: the records.
        out: the page.
        files: sha256 → what its manifest says of a measured file, or of others to compare with.
        heads_label: names outputs that no manifest names.
        cases: worst-case pictures.
        problems: sentences about other files that could not be read.
        made: name → text: how and when the report was made.
    Raises:
        ConfigError: plotly is not installed.
        InputError: no record holds numbers that can be shown.
        OutputError: it cannot be written.
    """
    plotly, version = _plotly()
    rows, unshown = [], []
    for path, record in results.records.items():
        try:
            rows.append(row_of(path, record, files.get(record.model.sha256), heads_label))
        except InputError as error:
            unshown.append(str(error))
    if not rows:
        raise InputError(" ".join(unshown))
    rows.sort(key=_order)
    for number, row in enumerate(rows):
        row["id"] = number
    machines = {record.machine.id: record.machine for record in results.records.values()}
    everything = (*results.problems, *unshown, *problems)
    data = {"records": rows, "files": files_of(files)}
    made = {**made, "blazeport": __version__, "plotly.js": version}
    body = [
        _header(rows, made),
        _problems(everything),
        _filled("body.html", table=_table(rows), pictures=_pictures(cases)),
        _provenance(machines.values(), files.values(), made),
    ]
    script = "\n".join(_template(name) for name in ("plots.js", "charts.js", "close_up.js", "page.js"))
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {_hash(script)} {_hash(plotly)}"
    page = _filled(
        "page.html",
        policy=policy,
        style=_template("page.css"),
        body="\n".join(body),
        data=json_for_script(data),
        plotly=_packed_plotly(),
        script=script,
    )
    content = page.encode()
    write_atomic(out, content)
    matched = sum(row["sha256"] in files for row in rows)
    return Written(records=len(rows), matched=matched, problems=everything, size_bytes=len(content))


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    fastest = row["median"] if row["median"] is not None else float("inf")
    return row["synthetic"], row["variant"], row["machine"], str(row["threads"]), fastest


@functools.cache
def _template(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _filled(name: str, **parts: str) -> str:
    """A template with its parts, in one pass: what looks like a gap in a part stays as it is."""
    return re.sub(r"\{\{(\w+)\}\}", lambda gap: parts[gap[1]], _template(name))


@functools.cache
def _plotly() -> tuple[str, str]:
    """The source of plotly.js, and the version of the package that brings it."""
    try:
        import plotly  # type: ignore[import-untyped]
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError("A report needs plotly. Install it with: pip install 'blazeport[report]'.") from error
    return get_plotlyjs(), plotly.__version__


@functools.cache
def _packed_plotly() -> str:
    """plotly.js, compressed: the browser unpacks it faster than it reads three times the text."""
    return base64.b64encode(gzip.compress(_plotly()[0].encode(), 4, mtime=0)).decode()


def _hash(script: str) -> str:
    """What a Content-Security-Policy calls a script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _header(rows: Sequence[dict[str, Any]], made: Mapping[str, str]) -> str:
    synthetic = sum(row["synthetic"] for row in rows)
    counts = [
        (len(rows), "record"),
        (len({row["variant"] for row in rows}), "network"),
        (len({row["sha256"] for row in rows}), "file"),
        (len({row["machine_id"] for row in rows}), "machine"),
        (sum(row["samples"] for row in rows), "inference"),
    ]
    facts = "".join(f"<li><b>{count:,}</b> {_plural(count, noun)}</li>" for count, noun in counts)
    if synthetic == len(rows):
        mark = (
            "<b>Every record is synthetic</b>: made on a test device or by a played tool. No number here is a phone's."
        )
    else:
        mark = (
            f"<b>{synthetic} of {len(rows)} records are synthetic</b>, made on a test device or by a played tool. "
            "They carry this hatching in the table and hollow, dashed marks in charts, and share no front with others."
        )
    banner = f'<p class="synthetic banner" id="synthetic">{mark}</p>' if synthetic else ""
    return (
        f'<header><div><h1>Benchmark report</h1><p class="quiet">{_text(made.get("made", ""))}</p></div>'
        '<button id="theme" type="button">Theme: auto</button>'
        f'<ul class="counts">{facts}</ul></header>{banner}'
    )


def _problems(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    count = len(sentences)
    verb = "is" if count == 1 else "are"
    return (
        f'<details class="problems" id="problems"><summary>{count} {_plural(count, "file")} {verb} not in this report'
        f"</summary><ul>{items}</ul></details>"
    )


def _table(rows: Sequence[dict[str, Any]]) -> str:
    head = "".join(
        f'<th scope="col" data-sort="{name}"{_number(is_number)}><button type="button">{title}</button></th>'
        for name, title, is_number in _COLUMNS
    )
    return (
        '<table id="records"><caption class="unseen">One row per record; the column heads sort</caption>'
        f"<thead><tr>{head}</tr></thead>{''.join(map(_row, rows))}</table>"
    )


def _number(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _row(row: dict[str, Any]) -> str:
    number = row["id"]
    badge = '<span class="badge">synthetic</span> ' if row["synthetic"] else ""
    mode = '<span class="badge plain">sustained</span> ' if row["mode"] == "sustained" else ""
    interval = "" if row["low"] is None else f"<small>{ms_text(row['low'])}–{ms_text(row['high'])}</small>"
    doubts = len(row["warnings"])
    cells = {
        "variant": (
            f'<button type="button" class="more" aria-expanded="false" aria-controls="more-{number}">'
            f"{_text(row['variant'])}</button><small>{badge}{mode}{_text(row['file'].removesuffix('.tflite'))}</small>"
        ),
        "heads": _text(row["heads"]),
        "precision": f'<span class="dot" data-precision="{_text(row["precision"])}"></span>{_text(row["precision"])}',
        "machine": _text(row["machine"]),
        "threads": _text(row["threads"]),
        "delegate": _text(row["delegate"]),
        "median": f"<b>{ms_text(row['median'])}</b>{interval}",
        "doubts": f'<span class="doubt">{doubts}</span>' if doubts else "–",
        "p90": ms_text(row["p90"]),
        "p99": ms_text(row["p99"]),
        "init": ms_text(row["init"]),
        "cv": "–" if row["cv"] is None else f"{row['cv']:.1%}",
        "memory": bytes_text(row["memory"]),
        "size_bytes": bytes_text(row["size_bytes"]),
    }
    shown = "".join(
        f'<td class="{"number" if is_number else name}">{cells[name]}</td>' for name, _, is_number in _COLUMNS
    )
    sentences = "".join(f"<li>{_text(sentence)}</li>" for sentence in row["warnings"])
    classes = ' class="synthetic"' if row["synthetic"] else ""
    return (
        f'<tbody id="record-{number}"{classes}><tr>{shown}</tr><tr class="about" id="more-{number}">'
        f'<td colspan="{len(_COLUMNS)}"><ul class="sentences">{sentences}</ul></td></tr></tbody>'
    )


def _pictures(cases: Sequence[Cases]) -> str:
    if not cases:
        return ""
    parts = [
        '<section id="pictures"><h2>Worst cases</h2><p class="lead">Where a file is furthest from its float file: '
        "float on the left, the file on the right.</p>"
    ]
    for page in cases:
        note = f" {page.left_out} more in its own page." if page.left_out else ""
        figures = "".join(
            '<figure class="case"><div>'
            + "".join(f'<img alt="{_text(caption)}" src="{picture}">' for picture in pictures)
            + f"</div><figcaption>{_text(caption)}</figcaption></figure>"
            for caption, pictures in page.cases
        )
        parts.append(f'<h3>{_text(page.title)}</h3><p class="quiet">{note}</p><div class="cases">{figures}</div>')
    return "".join([*parts, "</section>"])


def _provenance(machines: Iterable[Any], files: Iterable[ModelFile], made: Mapping[str, str]) -> str:
    parts = ['<section id="provenance"><h2>Where the numbers are from</h2>']
    parts.append(_details("This report", made, opened=True))
    for machine in machines:
        facts = plain({"kind": machine.kind, "id": machine.id, **machine.facts})
        parts.append(_details(f"Machine: {machine.name}", facts))
    for file in files:
        facts = {
            "sha256": file.sha256,
            "network": f"{file.variant}, heads {file.heads}, {file.precision}",
            "size": f"{bytes_text(file.size_bytes)}, {file.ops} ops, {file.macs / 1e6:.1f} M MACs, "
            f"{file.int8_mac_share:.0%} of them in int8",
            "against its reference": "the same bits" if file.exact else _parity_text(file.parity),
            **file.provenance,
        }
        parts.append(_details(f"File: {file.file}", facts))
    return "".join([*parts, "</section>"])


def _parity_text(parity: Mapping[str, float]) -> str:
    return ", ".join(f"{name} off by up to {share:.1%} of its range" for name, share in parity.items())


def _details(title: str, facts: Mapping[str, Any], *, opened: bool = False) -> str:
    terms = "".join(f"<dt>{_text(name)}</dt><dd>{_value(value)}</dd>" for name, value in facts.items())
    return f"<details{' open' if opened else ''}><summary>{_text(title)}</summary><dl>{terms}</dl></details>"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"<dl>{''.join(f'<dt>{_text(name)}</dt><dd>{_value(item)}</dd>' for name, item in value.items())}</dl>"
    if isinstance(value, list):
        return _text(", ".join(str(item) for item in value)) or "–"
    return "–" if value is None else _text(value)


def _text(value: object) -> str:
    """Text for HTML, also inside a quoted attribute."""
    return html.escape(plain_text(str(value)))


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"
