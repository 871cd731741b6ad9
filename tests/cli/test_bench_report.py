"""`blazeport bench report`: what is printed, and how manifests meet records."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from blazeport.cli.main import main
from click.testing import CliRunner, Result
from testing.played_records import PlayedFile, manifest_of, played_record

LITE = PlayedFile("pose_landmark_lite", "landmarks", "int8")
FACE = PlayedFile("face_detection_short_range", "all", "fp16")


def blazeport(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", "report", *map(str, arguments)])


def data_of(page: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with records of two files."""
    for number, file in enumerate((LITE, FACE)):
        played_record(file, samples=20).write(tmp_path / "results" / f"{number}.json")
    return tmp_path / "results"


def test_records_and_manifests_of_the_same_file_meet_by_its_sha256(results: Path, tmp_path: Path):
    for file in (LITE, PlayedFile("pose_landmark_full", "all", "fp16")):
        manifest_of(file).write(tmp_path / "models" / f"{Path(file.name).stem}.json")
    (tmp_path / "models" / "latency.json").write_text('{"schema_version": 1, "ratios": {}}')
    done = blazeport(results, "--models", tmp_path / "models", "-o", tmp_path / "report.html")
    assert done.exit_code == 0, done.output
    assert re.search(r"report\.html: 2 records, 1 with the manifest of their file, \d\.\d MB\n", done.stdout)
    assert done.stderr == ""
    data = data_of(tmp_path / "report.html")
    lite = next(file for file in data["files"] if file["sha256"] == LITE.sha256)
    assert (lite["variant"], lite["heads"], lite["exact"]) == ("pose_landmark_lite", "landmarks", False)
    assert lite["accuracy"][0]["title"] == "visible points, px"
    assert lite["accuracy"][0]["over"] == "90 samples from 76 photos"
    assert lite["accuracy"][0]["low"] < lite["accuracy"][0]["value"] < lite["accuracy"][0]["high"]
    assert {row["heads"] for row in data["records"]} == {"landmarks", "all"}


def test_files_that_are_no_records_are_named_on_stderr_and_in_the_page(results: Path, tmp_path: Path):
    (results / "half.json").write_text("{")
    (results / "foreign\x1b[31m.json").write_text("{}")
    done = blazeport(results, "-o", tmp_path / "report.html")
    assert done.exit_code == 0, done.output
    assert "2 records, " in done.stdout
    assert done.stderr.count("! Not in the report: ") == 2
    assert "half.json should be a benchmark record and is no JSON" in done.stderr
    assert "\x1b" not in done.output
    page = (tmp_path / "report.html").read_text()
    assert "2 files are not in this report" in page
    assert "half.json should be a benchmark record" in page


@pytest.mark.parametrize("content", ["{", '{"schema_version": 99}', '{"schema_version": 1, "parity": []}'])
def test_a_broken_manifest_beside_its_file_is_named(content: str, results: Path, tmp_path: Path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "lite.tflite").touch()
    (tmp_path / "models" / "lite.json").write_text(content)
    done = blazeport(results, "--models", tmp_path / "models", "-o", tmp_path / "report.html")
    assert done.exit_code == 0, done.output
    assert "lite.json" in done.stderr


def test_a_manifest_with_odd_values_is_named(results: Path, tmp_path: Path):
    manifest_of(LITE).write(tmp_path / "models" / "lite.json")
    path = tmp_path / "models" / "lite.json"
    for field, value in (("accuracy", {"photos": 3}), ("macs", "many"), ("heads", None), ("tools", [])):
        path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
        (tmp_path / "models" / "lite.tflite").touch()
        done = blazeport(results, "--models", tmp_path / "models", "-o", tmp_path / "report.html")
        assert done.exit_code == 0, done.output
        assert "lite.json" in done.stderr
        manifest_of(LITE).write(path)


def test_nothing_to_report_is_one_line(tmp_path: Path):
    (tmp_path / "notes.json").write_text("[]")
    done = blazeport(tmp_path, "-o", tmp_path / "report.html")
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: Expected benchmark records in {tmp_path}. Found: {tmp_path}/notes.json")
    assert done.output.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_results_and_existing_folders_are_required(tmp_path: Path):
    assert blazeport().exit_code == 2
    assert blazeport(tmp_path, "--models", tmp_path / "gone").exit_code == 2


def test_a_page_that_cannot_be_written_is_one_line(results: Path):
    done = blazeport(results, "-o", results / "0.json" / "report.html")
    assert done.exit_code == 1
    assert done.output.startswith("Error: Cannot write ")
