"""`blazeport bench routes`: the table of both ways, from records that were measured before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from blazeport.cli.main import main
from click.testing import CliRunner, Result

FACE = "face_detection_short_range"
RECORD = {
    "variant": FACE,
    "ops": [73, 74],
    "transposes": 1,
    "fp16_bytes": [200_000, 210_000],
    "time_ratios": {"fp32": [1.5, 1.4, 1.6], "fp16": [1.0, 0.9, 1.1]},
    "differences": {"fp32": {"boxes": [0.5, 0.001]}, "fp16": {"boxes": [0.0, 0.0]}},
    "int8": None,
}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.json"
    path.write_text(json.dumps({FACE: RECORD}))
    return path


def routes(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", "routes", FACE, *map(str, arguments)])


def test_the_table_goes_between_the_marks_of_a_page(records: Path, tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- routes -->\nold\n<!-- /routes -->\nafter\n")
    for _ in range(2):
        result = routes("--records", records, "--docs", page)
        assert result.exit_code == 0, result.output
    before, mark, head, rule, row, end, after = page.read_text().splitlines()
    assert (before, mark, end, after) == ("before", "<!-- routes -->", "<!-- /routes -->", "after")
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *(FACE, "73 → 74", "1", "200,000 → 210,000", "1.050", "1.50 (1.40–1.60)", "1.00 (0.90–1.10)"),
        "boxes 0.5 (0.001 of its range)",
    ]
    assert head.count("|") == rule.count("|") == row.count("|")


def test_int8_has_columns_where_it_was_measured(records: Path, tmp_path: Path):
    figures = {"direct int8": {"missed_percent": 0.0, "extra_percent": 5.2}}
    records.write_text(json.dumps({FACE: RECORD | {"int8": figures}}))
    page = tmp_path / "page.md"
    page.write_text("<!-- routes -->\n<!-- /routes -->\n")
    assert routes("--records", records, "--docs", page).exit_code == 0
    assert "| missed 0.0 %, extra 5.2 % |" in page.read_text()
    assert json.loads(routes("--records", records, "--json").stdout)[0]["int8"] == figures


def test_a_page_without_marks_is_left_alone(records: Path, tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    result = routes("--records", records, "--docs", page)
    assert result.exit_code == 1
    assert "has no place for the table" in result.stderr
    assert page.read_text() == "no marks\n"
