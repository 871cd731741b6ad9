from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from blazeport.cli.main import main
from click.testing import CliRunner, Result

Official = Callable[[str], Path]
SHORT = "face_detection_short_range"


def quantized(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", "quantized", *map(str, arguments)])


@pytest.fixture
def folder(data_dir: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("tfjs_portrait.jpg", "tfjs_pose.jpg", "df_couple.jpg"):
        shutil.copy(data_dir / "images" / name, folder)
    return folder


def test_a_table_shows_each_figure_with_its_controls_and_n(official: Official, folder: Path) -> None:
    done = quantized(official(SHORT), "--against", official(SHORT), "--images", folder, "--side", "all")
    assert done.exit_code == 0, done.output
    assert f"{SHORT}.tflite against {SHORT}.tflite: 3 photos" in done.stdout
    assert "±1/255 noise" in done.stdout
    missed = next(line for line in done.stdout.splitlines() if "missed" in line)
    assert missed.count("0 of 3 = 0.0 %") == 3
    assert missed.split()[-1] == "3"


def test_json_on_stdout_stands_alone_and_the_page_is_written(official: Official, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "out" / "page.html"
    done = quantized(
        *(official(SHORT), "--against", official(SHORT), "--images", folder),
        *("--side", "all", "--limit", 2, "--json", "--html", page),
    )
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert (record["variant"], record["side"], record["schema_version"]) == (SHORT, "all", 1)
    assert record["photos"]["samples"] == 2
    assert record["photos"]["candidate"]["missed_percent"]["count"] == 0
    assert record["clips"] is None
    assert page.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("file", "against", "images", "options", "code", "reason"),
    [
        ("missing.tflite", "{official}", "{folder}", [], 1, "Cannot read the model"),
        ("{photo}", "{official}", "{folder}", [], 1, "is not a TFLite model"),
        ("{official}", "{other}", "{folder}", [], 1, "must be the same network"),
        ("{official}", "{official}", "{empty}", [], 1, "Found none"),
        ("{official}", "{official}", "{folder}/gone", [], 1, "is not a folder"),
        ("{official}", "{official}", "{folder}", ["--side", "both"], 2, "'both' is not one of"),
        ("{official}", "{official}", "{folder}", ["--limit", "0"], 2, "--limit"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    official: Official,
    folder: Path,
    tmp_path: Path,
    file: str,
    against: str,
    images: str,
    options: list[str],
    code: int,
    reason: str,
) -> None:
    (tmp_path / "empty").mkdir()
    places = {
        "official": official(SHORT),
        "other": official("pose_detection"),
        "folder": folder,
        "photo": folder / "tfjs_pose.jpg",
        "empty": tmp_path / "empty",
    }
    arguments = (each.format(**places) for each in (file, "--against", against, "--images", images, *options))
    done = quantized(*arguments)
    assert done.exit_code == code, done.output
    assert reason in done.stderr
    assert "Traceback" not in done.output


def test_a_photo_that_cannot_be_read_is_skipped_by_name(
    official: Official, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.jpg").write_bytes(b"no photo")
    done = quantized(official(SHORT), "--against", official(SHORT), "--images", folder, "--side", "all")
    assert done.exit_code == 0, done.output
    assert "broken.jpg" in caplog.text
