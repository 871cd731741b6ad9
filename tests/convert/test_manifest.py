"""The manifest: what is written is what is read, and its JSON Schema is the documented one."""

from __future__ import annotations

import dataclasses
import json
from importlib import metadata
from pathlib import Path

import blazeport
import jsonschema
import pytest
from blazeport.cli.schema import manifest_schema
from blazeport.convert.manifest import (
    CalibrationRecord,
    Manifest,
    TensorRecord,
    WeightsRecord,
    read_manifest,
    tool_versions,
)
from blazeport.convert.parity import OutputParity, Parity
from blazeport.errors import InputError, OutputError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "schema" / "manifest.json"


def tensor(name: str, shape: tuple[int, ...]) -> TensorRecord:
    return TensorRecord(name=name, shape=shape, dtype="int8", meaning="logit", scale=0.5, zero_point=-3)


def output(name: str, max_abs: float, relative: float) -> OutputParity:
    return OutputParity(
        name=name,
        max_abs=max_abs,
        mean_abs=max_abs / 2,
        reference_range=1.0,
        relative=relative,
        mean_relative=relative / 2,
        finite=True,
        constant=False,
    )


QUANTIZED = Manifest(
    file="face_detection_short_range.int8_io8.tflite",
    variant="face_detection_short_range",
    heads=("boxes", "scores"),
    precision="int8_io8",
    sha256="a" * 64,
    size_bytes=183_856,
    input=tensor("image", (1, 128, 128, 3)),
    outputs=(tensor("boxes", (1, 896, 16)), tensor("scores", (1, 896, 1))),
    ops=76,
    params=101_390,
    macs=30_760_960,
    int8_mac_share=1.0,
    weights=WeightsRecord(
        file="my_face.keras",
        sha256="b" * 64,
        official=False,
        licence="not stated",
        author="not stated",
        paper="arXiv 1",
    ),
    calibration=CalibrationRecord(
        media=("Größe 1.jpg", "b.mp4"),
        sha256="c" * 64,
        views=4,
        limit=128,
        seed=0,
        demo=False,
        samples=90,
        warnings=("Feet are never visible.",),
    ),
    parity=Parity(reference="Keras", inputs=41, outputs=(output("boxes", 9.0, 0.1), output("scores", 1.0, 0.2))),
    method="blazeport",
    recipe={"base": "int8"},
    fingerprint="d" * 64,
    tools={"python": "3.11.7", "tensorflow": "2.21.0"},
    command="blazeport quantize my_face.keras",
)
FLOAT = dataclasses.replace(
    QUANTIZED,
    input=dataclasses.replace(QUANTIZED.input, dtype="float32", scale=None, zero_point=None),
    calibration=None,
)
both = pytest.mark.parametrize("manifest", [QUANTIZED, FLOAT], ids=["quantized", "float"])


@both
def test_what_is_written_is_what_is_read(tmp_path: Path, manifest: Manifest):
    manifest.write(tmp_path / "manifest.json")
    assert read_manifest(tmp_path / "manifest.json") == manifest


def test_a_manifest_from_before_the_audit_is_read(tmp_path: Path):
    record = json.loads(json.dumps(dataclasses.asdict(QUANTIZED)))
    del record["calibration"]["samples"], record["calibration"]["warnings"]
    (tmp_path / "old.json").write_text(json.dumps(record))
    calibration = read_manifest(tmp_path / "old.json").calibration
    assert calibration == dataclasses.replace(QUANTIZED.calibration, samples=None, warnings=())


@both
def test_a_manifest_fits_the_documented_schema(tmp_path: Path, manifest: Manifest):
    manifest.write(tmp_path / "manifest.json")
    schema, record = json.loads(SCHEMA.read_text()), json.loads((tmp_path / "manifest.json").read_text())
    jsonschema.validate(record, schema)
    assert set(record) == set(schema["properties"])


def test_the_documented_schema_is_up_to_date():
    assert SCHEMA.read_text(encoding="utf-8") == manifest_schema()


def test_the_schema_refuses_what_is_no_manifest():
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    record = json.loads(json.dumps(dataclasses.asdict(QUANTIZED)))
    for wrong in ({**record, "macs": "many"}, {**record, "weights": None}, {"file": "a.tflite"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_the_worst_output_is_the_one_furthest_off_in_its_own_range():
    assert QUANTIZED.parity.worst.name == "scores"
    assert not QUANTIZED.parity.exact


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "is not a manifest of blazeport", id="empty"),
        pytest.param(b"\x00\xff\xfe", "is not a manifest of blazeport", id="binary"),
        pytest.param(b"[1]", "is not a manifest of blazeport", id="list"),
        pytest.param(b"{}", "is not a manifest of blazeport .*schema_version", id="nothing_in_it"),
        pytest.param(b'{"schema_version": 2}', "has schema version 2; this blazeport reads 1", id="other_version"),
        pytest.param(b'{"schema_version": 1}', "is not a manifest of blazeport", id="fields_missing"),
    ],
)
def test_what_is_no_manifest_is_named(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.json {reason}"):
        read_manifest(tmp_path / "x.json")


@pytest.mark.parametrize(
    "change",
    [{"extra": 1}, {"weights": None}, {"parity": []}, {"outputs": [1]}, {"calibration": "demo"}],
    ids=lambda change: next(iter(change)),
)
def test_a_field_of_another_kind_is_named(tmp_path: Path, change: dict):
    (tmp_path / "x.json").write_text(json.dumps(dataclasses.asdict(QUANTIZED) | change))
    with pytest.raises(InputError, match=r"x\.json is not a manifest of blazeport \(\w+Error: .*\)\. Write its"):
        read_manifest(tmp_path / "x.json")


def test_a_missing_manifest_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"Cannot read the manifest .*x\.json: No such file or directory\."):
        read_manifest(tmp_path / "x.json")


def test_a_manifest_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write .*manifest\.json"):
        QUANTIZED.write(tmp_path / "file" / "manifest.json")


def test_the_tools_are_those_installed(monkeypatch: pytest.MonkeyPatch):
    assert tool_versions()["blazeport"] == blazeport.__version__
    assert tool_versions()["tensorflow"] == metadata.version("tensorflow")

    def not_installed(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", not_installed)
    assert list(tool_versions()) == ["python"]
