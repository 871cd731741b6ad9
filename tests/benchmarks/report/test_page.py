"""The page as text: what is in it, what is left out, and what hostile records cannot do to it."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from blazeport.benchmarks.records import BenchmarkRecord
from blazeport.benchmarks.report.page import Written, write_report
from blazeport.benchmarks.report.pictures import find_cases
from blazeport.benchmarks.report.plain import bytes_text, json_for_script, ms_text, plain, plain_text
from blazeport.benchmarks.report.results import Results, read_results
from blazeport.benchmarks.report.rows import row_of
from blazeport.errors import ConfigError, InputError
from testing.hostile_records import HOSTILE, evaluation_page, hostile
from testing.played_records import MACHINES, PlayedFile, played_record, played_records

LITE = PlayedFile("pose_landmark_lite", "landmarks", "int8")


def write(out: Path, *records: BenchmarkRecord, **more: Any) -> Written:
    results = Results(
        records={Path(f"{number}.json"): record for number, record in enumerate(records)},
        problems=more.pop("result_problems", ()),
    )
    return write_report(
        results, out, **{"files": {}, "heads_label": lambda variant, heads: "+".join(heads), "made": {}, **more}
    )


class Tags(HTMLParser):
    """Every element of a page with its attributes, and the texts of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts.append(data)
        elif self.cdata_elem is None:
            self.text += data


def data_of(page: Path) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_every_record_is_in_the_table_and_in_the_data(tmp_path: Path):
    records = list(played_records(7))
    written = write(tmp_path / "report.html", *records)
    assert (written.records, written.matched, written.problems) == (7, 0, ())
    assert written.size_bytes == (tmp_path / "report.html").stat().st_size
    rows = data_of(tmp_path / "report.html")["records"]
    assert sorted(row["sha256"] for row in rows) == sorted(record.model.sha256 for record in records)
    by_path = {row["path"]: row for row in rows}
    for number, record in enumerate(records):
        row = by_path[f"{number}.json"]
        assert row["median"] == pytest.approx(record.median_us, rel=1e-3)
        assert row["warnings"] == list(record.warnings())
        assert row["synthetic"] == record.synthetic
        if len(record.samples_us):
            assert row["p99"] == pytest.approx(record.percentile_us(99), rel=1e-3)
            assert len(row["quantiles"]) == 101
    page = Tags((tmp_path / "report.html").read_text())
    assert sum(tag == "tbody" for tag, _ in page.tags) == 7


def test_raw_samples_stay_in_the_records(tmp_path: Path):
    few = write(tmp_path / "few.html", played_record(LITE, samples=50))
    many = write(tmp_path / "many.html", played_record(LITE, samples=5000))
    assert abs(few.size_bytes - many.size_bytes) < 1000


def test_a_page_loads_nothing_and_runs_only_its_own_scripts(tmp_path: Path):
    write(tmp_path / "report.html", *played_records(3))
    page = Tags((tmp_path / "report.html").read_text())
    for tag, attributes in page.tags:
        assert tag not in {"iframe", "object", "embed", "base"}
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_record_is_shown_as_text(text: str, tmp_path: Path):
    write(tmp_path / "plain.html", played_record(LITE, MACHINES[1], samples=20))
    write(tmp_path / "hostile.html", hostile(text), problems=[text], made={text: text})
    harmless, page = (Tags((tmp_path / f"{name}.html").read_text()) for name in ("plain", "hostile"))
    extra = {"details", "summary", "ul", "li", "dl", "dt", "dd"}
    names = [[tag for tag, _ in each.tags if tag not in extra] for each in (harmless, page)]
    assert names[0] == names[1]
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert len(page.scripts) == len(harmless.scripts) == 3
    assert page.scripts[2] == harmless.scripts[2]
    row = data_of(tmp_path / "hostile.html")["records"][0]
    assert row["file"] == plain_text(text)
    assert plain_text(text) in page.text


def test_json_in_a_script_cannot_leave_it():
    text = json_for_script({"name": "</script><!--\u2028&"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"name": "</script><!--\u2028&"}


def test_values_no_browser_reads_alike_become_plain():
    value = {
        "nan": float("nan"),
        "large": 2**70,
        "half": "\ud800",
        "deep": [[[[[[[[1]]]]]]]],
        "flag": True,
        "long": "x" * 9000,
    }
    made = plain(value)
    assert (made["nan"], made["large"], made["half"], made["flag"]) == (None, str(2**70), "?", True)
    assert len(made["long"]) < 2100
    assert "…" in json.dumps(made["deep"], ensure_ascii=False)
    json_for_script(made).encode()


@pytest.mark.parametrize(
    ("us", "text"),
    [(None, "–"), (float("inf"), "–"), (812.3, "0.812"), (3214, "3.21"), (12345, "12.3"), (99960, "100")],
)
def test_milliseconds_have_three_digits(us: float | None, text: str):
    assert ms_text(us) == text


@pytest.mark.parametrize(
    ("size", "text"), [(None, "–"), (230_400, "230 kB"), (999_600, "1.00 MB"), (27.3e6, "27.30 MB")]
)
def test_sizes_have_their_unit(size: float | None, text: str):
    assert bytes_text(size) == text


def test_synthetic_records_are_marked_everywhere(tmp_path: Path):
    write(tmp_path / "mixed.html", played_record(LITE), played_record(LITE, threads=4, synthetic=True))
    page = (tmp_path / "mixed.html").read_text()
    assert "1 of 2 records are synthetic" in page
    assert page.count('class="synthetic"><tr>') == 1
    write(tmp_path / "all.html", played_record(LITE, synthetic=True))
    assert "Every record is synthetic" in (tmp_path / "all.html").read_text()
    write(tmp_path / "none.html", played_record(LITE))
    assert 'id="synthetic"' not in (tmp_path / "none.html").read_text()


def test_a_sustained_record_has_its_throttling_point(tmp_path: Path):
    row = row_of(Path("a.json"), played_record(LITE, MACHINES[1], mode="sustained"), None, lambda variant, heads: "")
    point = row["sustained"]["point"]
    assert point["slowdown"] == pytest.approx(1.35, abs=0.05)
    assert point["seconds"] in row["sustained"]["seconds"]
    assert len(row["sustained"]["celsius"]) == 60


@pytest.mark.parametrize("change", ["no runs", "zeros", "throttled", "huge"])
def test_a_record_without_usable_numbers_is_shown_or_named(change: str, tmp_path: Path):
    record = played_record(LITE, MACHINES[1], mode="sustained" if change == "zeros" else "repeats", samples=20)
    runs = {
        "no runs": (),
        "zeros": tuple(dataclasses.replace(run, samples_us=(0.0, 0.0), throttled=True) for run in record.runs),
        "throttled": tuple(dataclasses.replace(run, throttled=True) for run in record.runs),
        "huge": tuple(dataclasses.replace(run, samples_us=(1e308, 1e308)) for run in record.runs),
    }[change]
    odd = dataclasses.replace(record, runs=runs, model=dataclasses.replace(record.model, size_bytes=10**400))
    written = write(tmp_path / "report.html", played_record(LITE), odd)
    assert written.records + len(written.problems) == 2
    assert all("1.json" in problem for problem in written.problems)


def test_records_of_which_none_can_be_shown_are_an_error(tmp_path: Path):
    record = played_record(LITE, MACHINES[1], mode="sustained")
    zeros = tuple(dataclasses.replace(run, samples_us=(0.0,), throttled=True) for run in record.runs)
    with pytest.raises(InputError, match=r"0\.json holds numbers that cannot be shown"):
        write(tmp_path / "report.html", dataclasses.replace(record, runs=zeros))
    assert not list(tmp_path.iterdir())


def test_without_plotly_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from blazeport.benchmarks.report import page

    page._plotly.cache_clear()
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ConfigError, match=r"needs plotly.*blazeport\[report\]"):
        write(tmp_path / "report.html", played_record(LITE))
    assert not list(tmp_path.iterdir())


def test_records_are_found_in_files_and_folders_and_everything_else_is_named(tmp_path: Path):
    whole = played_record(LITE, samples=20)
    for name in ("a.json", "phones/b.json", "phones/.half.json", ".hidden/c.json"):
        whole.write(tmp_path / name)
    (tmp_path / "foreign.json").write_text('{"name": "package"}')
    (tmp_path / "half.json").write_text(whole.to_json()[:500])
    (tmp_path / "older.json").write_text(whole.to_json().replace('"schema_version": ', '"schema_version": -'))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    found = read_results([tmp_path, tmp_path / "a.json", tmp_path / "gone.json"])
    assert [path.name for path in found.records] == ["a.json", "b.json"]
    for name in ("foreign", "half", "older", "deep", "bytes", "gone"):
        assert sum(f"{name}.json" in problem for problem in found.problems) == 1
    assert len(found.problems) == 6


def test_no_record_at_all_is_an_error_that_names_what_was_found(tmp_path: Path):
    with pytest.raises(InputError, match=r"Found: No \.json file at all"):
        read_results([tmp_path])
    (tmp_path / "half.json").write_text("{")
    with pytest.raises(InputError, match=r"half\.json should be a benchmark record"):
        read_results([tmp_path])


def test_worst_cases_come_as_pictures_and_text_only(tmp_path: Path):
    jpeg = "data:image/jpeg;base64,/9j/4AAQ"
    others = (
        "https://example.org/a.jpg",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "javascript:alert(1)",
        f"{jpeg}&quot; x=&quot;",
    )
    (tmp_path / "lite.html").write_text(evaluation_page(*others, *[jpeg] * 6))
    (tmp_path / "accuracy.html").write_text("<title>figures only</title>")
    (cases,) = find_cases([tmp_path])
    assert (cases.title, len(cases.cases), cases.left_out) == ("lite.int8 against lite.fp32", 4, 2)
    assert {picture for _, pictures in cases.cases for picture in pictures} == {jpeg}
    assert all(caption.startswith("photo <1>.jpg: visible points 9.1 px") for caption, _ in cases.cases)
    write(tmp_path / "report.html", played_record(LITE), cases=[cases])
    page = Tags((tmp_path / "report.html").read_text())
    assert [attributes["src"] for tag, attributes in page.tags if tag == "img"] == [jpeg] * 4
    assert "photo <1>.jpg" in page.text
