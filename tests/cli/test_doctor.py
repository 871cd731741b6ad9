"""`blazeport doctor`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tflite_surgery as surgery
from blazeport.cli.main import main
from click.testing import CliRunner, Result

NAME = "face_detection_short_range"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def short(official: Callable[[str], Path]) -> Path:
    return official(NAME)


def test_findings_are_grouped_by_severity_with_what_where_and_do(short: Path):
    shown = run(short).stdout
    assert shown.startswith(f"{short.name}: has the shapes of {NAME}; run on 7 inputs\n")
    assert shown.index("2 warnings") < shown.index("  output-range: ") < shown.index("1 info")
    assert "    - scores: " in shown
    assert "      at classificators\n" in shown
    assert "    do: Stay with fp16" in shown


@pytest.mark.parametrize(("fail_on", "code"), [("info", 1), ("warning", 1), ("error", 0)])
def test_the_exit_code_follows_fail_on(short: Path, fail_on: str, code: int):
    assert run(short, "--fail-on", fail_on).exit_code == code


def test_json_holds_every_finding(short: Path):
    result = run(short, "--json")
    record = json.loads(result.stdout)
    assert (record["schema_version"], record["variants"], record["num_inputs"]) == (1, [NAME], 7)
    assert [finding["code"] for finding in record["findings"]] == ["output-range", "no-signature", "fp16-weights"]
    assert set(record["findings"][0]) == {"code", "severity", "where", "what", "why", "do"}
    assert record["findings"][0]["severity"] == "warning"


def test_inputs_of_the_user_are_used(short: Path, photos: list[Path], tmp_path: Path):
    for photo in photos[:2]:
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    assert "run on 2 inputs" in run(short, "--inputs", tmp_path).stdout


def test_a_folder_without_photos_is_an_error(short: Path, tmp_path: Path):
    result = run(short, "--inputs", tmp_path)
    assert (result.exit_code, "Found none" in result.stderr) == (1, True)


def test_what_is_no_tflite_file_is_one_line_of_error(tmp_path: Path):
    (tmp_path / "note.tflite").write_text("no network")
    for name in ("note.tflite", "missing.tflite"):
        result = run(tmp_path / name)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert "Traceback" not in result.output


def test_control_characters_of_a_strangers_file_do_not_reach_the_terminal(short: Path, tmp_path: Path):
    model = surgery.read(short.read_bytes())
    model.subgraphs[0].tensors[model.subgraphs[0].outputs[1]].name = b"\x1b[2Jevil"
    path = tmp_path / "evil.tflite"
    path.write_bytes(surgery.write(model))
    shown = run(path).stdout
    assert "\x1b" not in shown
    assert "at ?[2Jevil" in shown
