"""`blazeport parity`: the figures of two models, the verdict, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import strangers_onnx as strangers
from blazeport.cli.main import main
from click.testing import CliRunner, Result

FACE = "face_detection_short_range"


def parity(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["parity", *map(str, arguments)])


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    return strangers.save(strangers.convolutional(), tmp_path / "a.onnx")


def test_a_model_is_the_same_as_itself(official):
    result = parity(official(FACE), official(FACE), "--limit", 3)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["boxes", "0", "0", "0", "1e-05", "of", "range", "same"] in rows
    assert f"{FACE}.tflite is the same network, against {FACE}.tflite on 4 inputs." in result.stdout


def test_a_wrong_model_differs_and_exits_with_1(stranger: Path, tmp_path: Path):
    other = strangers.save(strangers.permuted(strangers.convolutional()), tmp_path / "b.onnx")
    result = parity(stranger, other, "--limit", 3, "--json")
    assert result.exit_code == 1
    record = json.loads(result.stdout)
    assert {output["name"]: output["passed"] for output in record["outputs"]} == {"heat map": False, "flag": True}
    assert not record["passed"]
    assert parity(stranger, other, "--limit", 3, "--tolerance", 10).exit_code == 0


def test_own_photos_are_taken(stranger: Path, data_dir: Path, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes((data_dir / "images" / "tfjs_portrait.jpg").read_bytes())
    result = parity(stranger, stranger, "--inputs", tmp_path / "photos", "--json")
    assert json.loads(result.stdout)["inputs"] == 6 + 1


def test_models_of_other_networks_cannot_be_compared(stranger: Path, official):
    result = parity(official(FACE), stranger)
    assert result.exit_code == 1
    assert "have neither a name nor a shape in common" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.tflite", None, "missing.tflite does not exist"),
        ("x.pt", b"", "Unknown kind of model. Expected one of: .tflite, .onnx, .keras, a SavedModel folder."),
        ("x.tflite", b"no model", "is not a TFLite model"),
        ("x.onnx", b"no model", "is not an ONNX model"),
        ("x.keras", b"no model", "Keras cannot read"),
        ("folder", "folder", "is a folder without saved_model.pb"),
        ("damaged", "damaged", "TensorFlow cannot read the SavedModel"),
    ],
)
def test_what_is_no_model_is_one_line(official, tmp_path: Path, name: str, content, reason: str):
    path = tmp_path / name
    if content in ("folder", "damaged"):
        path.mkdir()
    if content == "damaged":
        (path / "saved_model.pb").write_bytes(b"no model")
    elif isinstance(content, bytes):
        path.write_bytes(content)
    result = parity(official(FACE), path)
    assert result.exit_code == 1
    assert reason in result.stderr.splitlines()[-1]
