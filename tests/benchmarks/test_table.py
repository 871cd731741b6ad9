"""The table of results: made of records, and put between the marks of a Markdown file."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_records import host_record, steady
from blazeport.benchmarks.records import MachineRecord, ModelRecord
from blazeport.benchmarks.table import BEGIN, END, results_table, update
from blazeport.errors import InputError

OFFICIALS = {"o" * 64: "pose_landmark_lite"}


def official(**fields: object) -> object:
    model = ModelRecord(file="pose_landmark_lite.tflite", sha256="o" * 64, size_bytes=2_800_000)
    return host_record(steady([20_000.0] * 5), model=model, **fields)


def exported(**fields: object) -> object:
    model = ModelRecord(
        file="lite.landmarks.fp16.tflite", sha256="e" * 64, size_bytes=2_500_000, variant="pose_landmark_lite"
    )
    return host_record(
        steady([8_000.0] * 5, peak_rss_bytes=70_000_000, baseline_rss_bytes=50_000_000), model=model, **fields
    )


def test_a_file_stands_below_its_official_one_and_is_compared_with_it():
    head, _, first, second, _, caption = results_table([exported(), official()], OFFICIALS).splitlines()
    assert head.startswith("| file | size | threads |")
    assert first.startswith("| official `pose_landmark_lite.tflite` | 2.80 MB | 1 | 20.00 ms |")
    assert second.startswith("| `lite.landmarks.fp16.tflite` | 2.50 MB | 1 | 8.00 ms |")
    assert "20.0 MB | 0.400 | 0.400–0.400 |" in second
    assert "Server" in caption
    assert "litert 2.3" in caption
    assert "5 processes per cell" in caption


def test_machines_have_tables_of_their_own_and_doubts_are_marked():
    other = MachineRecord(kind="host", id="h2", name="Other")
    unstable = host_record(steady([10_000.0, 20_000.0, 30_000.0]), machine=other)
    text = results_table([official(), unstable], OFFICIALS)
    assert text.count("| file |") == 2
    assert "20.00 ms \\*" in text
    assert "not quiet in 1 of 1 cells" in text


def test_a_brief_table_has_a_row_per_network_with_each_precision():
    fields = {"variant": "pose_landmark_lite", "heads": ("landmarks", "presence")}
    records = [
        host_record(
            steady([time] * 5),
            model=ModelRecord(file=f"{name}.tflite", sha256=name * 16, size_bytes=size, **fields, precision=name),
        )
        for name, time, size in (("fp16", 8_000.0, 2_500_000), ("int8", 4_000.0, 1_900_000))
    ]
    head, _, row, _, caption = results_table([*records, official()], OFFICIALS, is_brief=True).splitlines()
    assert head.count("time / official") == 2
    assert (
        "| landmarks, presence | 1 | 2.80 MB, 20.00 ms | 2.50 MB | 0.40 (0.40–0.40) | 1.90 MB | 0.20 (0.20–0.20) |"
        in row
    )
    assert "litert 2.3" in caption


def test_a_bar_in_a_name_does_not_break_the_table():
    text = results_table([host_record(steady([1.0] * 5), file="a|b.tflite")], {})
    assert "`a\\|b.tflite`" in text


def test_it_goes_between_the_marks_and_nothing_else_changes(tmp_path: Path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert update(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert not update(page, "new")


def test_a_page_without_marks_and_a_table_of_nothing_are_errors(tmp_path: Path):
    (tmp_path / "page.md").write_text("no marks")
    with pytest.raises(InputError, match="must have the lines"):
        update(tmp_path / "page.md", "new")
    with pytest.raises(InputError, match="Received none"):
        results_table([], {})
