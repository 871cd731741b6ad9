"""`blazeport bench`: the files of a folder against the official ones. No time is asserted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from blazeport.cli.main import main
from blazeport.convert.artifact import ArtifactWriter
from blazeport.convert.source import open_source
from click.testing import CliRunner, Result

FACE = "face_detection_short_range"


def blazeport(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", "official", *map(str, arguments)])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two artifacts of one variant."""
    out = tmp_path_factory.mktemp("export")
    writer = ArtifactWriter(open_source(FACE))
    for heads in (("boxes", "scores"), ("scores",)):
        writer.write(out / f"{FACE}.{'_'.join(heads)}.tflite", heads, "fp16")
    return out


def test_every_file_gets_a_row_with_times_and_ratio(exported: Path):
    done = blazeport(exported, "--rounds", 2)
    assert done.exit_code == 0, done.output
    header, _, *rows = (line.split() for line in done.stdout.splitlines() if line.strip())
    assert " ".join(header) == "file ms official ms time / official middle half"
    assert [row[0] for row in rows] == [f"{FACE}.boxes_scores.tflite", f"{FACE}.scores.tflite"]
    for _, milliseconds, official, ratio, _ in rows:
        assert float(milliseconds) > 0
        assert float(official) > 0
        assert float(ratio) > 0
    assert "Measuring 3 files" in done.stderr


def test_json_holds_every_sample(exported: Path):
    done = blazeport(exported, "--rounds", 3, "--threads", 2, "--json")
    first, second = json.loads(done.stdout)
    assert (first["file"], first["threads"]) == (f"{FACE}.boxes_scores.tflite", 2)
    for record in (first, second):
        assert len(record["samples_us"]) == 3
        assert record["median_us"] > 0
        low, high = record["ratio_middle_half"]
        assert low <= record["ratio"] <= high
    assert first["official_median_us"] == second["official_median_us"]


def test_a_folder_without_artifacts_is_one_line(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "missing"):
        done = blazeport(folder)
        assert done.exit_code == 1
        assert done.output == (
            f"Error: Expected exported .tflite files in {folder}. Found none; write them with: blazeport export.\n"
        )


def test_a_file_without_its_manifest_is_one_line(exported: Path, tmp_path: Path):
    shutil.copy(exported / f"{FACE}.scores.tflite", tmp_path)
    done = blazeport(tmp_path)
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: Cannot read the manifest {tmp_path / FACE}.scores.json: No such file")
    assert done.output.count("\n") == 1


@pytest.mark.parametrize("option", ["--rounds", "--threads"])
def test_zero_is_wrong_usage(exported: Path, option: str):
    done = blazeport(exported, option, 0)
    assert done.exit_code == 2
    assert option in done.stderr
