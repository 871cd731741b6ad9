"""The tables of README.md and docs/performance.md are those of the records in results/."""

from __future__ import annotations

from pathlib import Path

import pytest
from blazeport.benchmarks.records import read_records
from blazeport.benchmarks.table import BEGIN, END, results_table
from blazeport.weights.sources import OFFICIAL

ROOT = Path(__file__).parents[2]
OFFICIALS = {sha256: variant for variant, remote in OFFICIAL.items() for sha256 in remote.sha256s}


@pytest.mark.parametrize(("page", "is_brief"), [("README.md", True), ("docs/performance.md", False)])
def test_the_table_of_a_page_is_that_of_the_records(page: str, is_brief: bool):
    records, problems = read_records(ROOT / "results")
    assert not problems
    shown = (ROOT / page).read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == results_table(records, OFFICIALS, is_brief=is_brief)
