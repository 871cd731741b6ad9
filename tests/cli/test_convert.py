"""`blazeport convert`: what it writes and prints, and one line with exit code 1 or 2 for whatever cannot be done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fine_tuned
import numpy as np
import pytest
from blazeport.cli.main import main
from blazeport.convert.manifest import read_manifest
from blazeport.convert.source import Source
from blazeport.files import sha256_of
from blazeport.runtime.interpreter import Model
from click.testing import CliRunner, Result

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"


def blazeport(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_is_one_line(result: Result, reason: str, code: int = 1) -> None:
    """It failed with this exit code; the last thing on stderr is one line, and there is no traceback."""
    assert result.exit_code == code, result.output
    assert reason in result.stderr.splitlines()[-1]
    assert code == 2 or result.stderr.splitlines()[-1].startswith("Error: ")
    assert result.stdout == ""
    assert result.exception is None or isinstance(result.exception, SystemExit)


# --- what it does -----------------------------------------------------------------------------------------------------


def test_a_variant_is_converted_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/blazeport", "convert", FACE, "-o", "my build"])
    monkeypatch.chdir(tmp_path)
    done = blazeport(FACE, "-o", "my build")
    assert done.exit_code == 0, done.output
    name = f"{FACE}.fp16"
    assert files_below(tmp_path) == [
        *(f"my build/{FACE}.anchors.json", f"my build/{name}.json", f"my build/{name}.tflite"),
    ]
    header, _, row, *_, last = (line.strip() for line in done.stdout.splitlines() if line.strip())
    assert header.split("  ")[0] == "variant"
    assert row.split() == [FACE, "all", "fp16", "230,304", "73", "30.8", "M", "0%", "exact"]
    assert last == f"Wrote my build/{name}.tflite"
    assert "Converting" in done.stderr
    manifest = read_manifest(tmp_path / "my build" / f"{name}.json")
    assert manifest.command == f"blazeport convert {FACE} -o 'my build'"


def test_the_file_may_be_named_and_gets_the_heads_and_precision_asked_for(tmp_path: Path):
    done = blazeport(LITE, "--heads", "presence+landmarks", "--precision", "fp32", "-o", tmp_path / "my.model.tflite")
    assert done.exit_code == 0, done.output
    assert files_below(tmp_path) == ["my.model.json", "my.model.tflite"]
    assert list(Model(tmp_path / "my.model.tflite").outputs) == ["landmarks", "presence"]
    manifest = read_manifest(tmp_path / "my.model.json")
    assert (manifest.file, manifest.precision) == ("my.model.tflite", "fp32")
    assert manifest.parity.exact


def test_an_own_keras_file_is_converted_and_not_called_official(tmp_path: Path):
    fine_tuned.save(tmp_path / "mine.keras")
    done = blazeport(tmp_path / "mine.keras", "--variant", FACE, "-o", tmp_path)
    assert done.exit_code == 0, done.output
    manifest = read_manifest(tmp_path / f"{FACE}.fp16.json")
    assert (manifest.weights.official, manifest.weights.licence) == (False, "not stated")
    assert manifest.weights.file == "mine.keras"


def test_an_official_tflite_file_anywhere_is_known_to_be_official(tmp_path: Path, official):
    shutil.copy(official(FACE), tmp_path / f"{FACE}_copy.tflite")
    done = blazeport(tmp_path / f"{FACE}_copy.tflite", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert read_manifest(tmp_path / "out" / f"{FACE}.fp16.json").weights.official


def test_own_photos_serve_the_gate_and_a_broken_one_is_named(tmp_path: Path, data_dir: Path, caplog):
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(data_dir / "images" / "tfjs_portrait.jpg", photos)
    (photos / "broken.jpg").write_bytes(b"no photo")
    done = blazeport(FACE, "--inputs", photos, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert read_manifest(tmp_path / "out" / f"{FACE}.fp16.json").parity.inputs == 6 + 1
    assert f"Skipped: {photos / 'broken.jpg'} is not a picture" in caplog.text


# --- the gate ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are built with other weights than the file they are compared with."""
    build = Source.build

    def build_other(self: Source):
        model = build(self)
        model.set_weights([weights * np.float32(1.01) for weights in model.get_weights()])
        return model

    monkeypatch.setattr(Source, "build", build_other)


def test_a_file_that_fails_the_gate_gets_no_name(tmp_path: Path, other_weights):
    assert_is_one_line(blazeport(FACE, "-o", tmp_path), f"Output 'boxes' of {FACE}.fp16.tflite is off by ")
    assert files_below(tmp_path) == []


def test_a_file_that_fails_the_gate_can_be_kept(tmp_path: Path, other_weights):
    assert_is_one_line(blazeport(FACE, "--keep-failed", "-o", tmp_path), "where 0 is allowed, against the official")
    assert files_below(tmp_path) == [f"{FACE}.fp16.tflite.failed"]


# --- what cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nonsense"], "Unknown variant. Expected one of: face_detection_short_range, "),
        ([FACE, "--heads", "landmarks"], "Unknown heads for face_detection_short_range. Expected one of: all, "),
        ([LITE, "--heads", "landmarks+landmarks"], "Each head may be named once."),
        ([FACE, "--precision", "fp8"], "Expected one of: fp32, fp16. Received: 'fp8'."),
        ([FACE, "--precision", "int8"], "(quantized ones: blazeport quantize)"),
        ([FACE, "--variant", LITE], "--variant goes with a .keras, .weights.h5, .tflite or .pth file."),
        ([FACE, "--inputs", "{tmp}/missing"], "missing is not a folder."),
        ([FACE, "--inputs", "{tmp}"], "Expected photos or videos ("),
        (["{tmp}/missing.keras"], "missing.keras does not exist."),
        (["{tmp}/mine.keras"], "Which network is in mine.keras? Name it with --variant. Expected one of: "),
        (["{tmp}/mine.keras", "--variant", "x"], "Unknown variant."),
    ],
)
def test_unknown_names_and_missing_files_are_said_at_once(tmp_path: Path, arguments: list[str], reason: str):
    (tmp_path / "mine.keras").write_bytes(b"no keras file")
    result = blazeport(*(each.format(tmp=tmp_path) for each in arguments), "-o", tmp_path / "out")
    assert_is_one_line(result, reason)
    assert "Converting" not in result.stderr
    assert files_below(tmp_path) == ["mine.keras"]


@pytest.mark.parametrize("arguments", [[], [FACE, "--tiny"], [FACE, LITE]], ids=["nothing", "option", "two"])
def test_wrong_usage_exits_with_2(arguments: list[str]):
    assert blazeport(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.tflite", lambda data: data[:100_000], "x.tflite as a .tflite file: it is truncated or damaged."),
        ("x.tflite", lambda data: b"", "a .tflite file (mark TFL3) was expected. Received: an empty file."),
        ("x.tflite", lambda data: b"\x89PNG" + bytes(5000), "Received: a file that begins with b'\\x89PNG"),
        ("x.keras", lambda data: b"no zip", "Keras cannot read "),
        ("x.weights.h5", lambda data: data[:5000], "x.weights.h5 does not fit face_detection_short_range: "),
    ],
    ids=["truncated", "empty", "foreign", "keras", "weights.h5"],
)
def test_a_damaged_source_is_one_line(tmp_path: Path, official, name: str, content, reason: str):
    (tmp_path / name).write_bytes(content(official(FACE).read_bytes()))
    assert_is_one_line(blazeport(tmp_path / name, "--variant", FACE, "-o", tmp_path / "out"), reason)
    assert files_below(tmp_path) == [name]


def test_the_tflite_file_of_another_network_is_one_line(tmp_path: Path, official):
    result = blazeport(official(FACE), "--variant", "pose_detection", "-o", tmp_path)
    assert_is_one_line(result, "is not the network pose_detection: ")
    assert files_below(tmp_path) == []


def test_photos_without_a_person_are_not_enough_for_a_landmark_network(tmp_path: Path, data_dir: Path):
    (tmp_path / "photos").mkdir()
    shutil.copy(data_dir / "images" / "jet_horse_2.jpg", tmp_path / "photos")
    result = blazeport(LITE, "--heads", "landmarks", "--inputs", tmp_path / "photos", "-o", tmp_path / "out")
    assert_is_one_line(result, "The parity gate needs photos or videos with a person. Received: none in 1 files.")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def offline(tmp_path: Path, official, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no network and no program on PATH; the cache's folder."""
    official(FACE)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("BLAZEPORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "bin"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path / "cache"


def test_without_network_and_cache_the_error_lists_what_was_tried(offline: Path, tmp_path: Path):
    result = blazeport(FACE, "-o", tmp_path / "out")
    assert result.exit_code == 1
    error = result.stderr[result.stderr.index("Error: ") :]
    assert error.startswith(
        f"Error: Cannot fetch {FACE}. To use files you have: --from DIR. Tried:\n  installed mediapi"
    )
    assert "npm is not installed" in error
    assert "Traceback" not in result.output
    assert files_below(tmp_path) == []


def test_a_cached_file_with_a_wrong_sha256_is_not_used(offline: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    from blazeport.weights.sources import OFFICIAL

    damaged = offline / "downloads" / OFFICIAL[FACE].sha256s[0] / f"{FACE}.tflite"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"TFL3 something else")
    result = blazeport(FACE, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"{FACE} in the cache is damaged and is not used: {damaged}" in caplog.text
    assert f"Cannot fetch {FACE}" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_read_only_cache_is_one_line(tmp_path: Path, official, monkeypatch: pytest.MonkeyPatch):
    """Root may write anywhere: the cache is below a file, where nobody can make a folder."""
    folder = tmp_path / "from"
    folder.mkdir()
    shutil.copy(official(FACE), folder / f"{FACE}.tflite")
    (tmp_path / "file").touch()
    monkeypatch.setenv("BLAZEPORT_CACHE", str(tmp_path / "file" / "cache"))
    result = CliRunner().invoke(main, ["weights", "fetch", FACE, "--from", str(folder)])
    assert_is_one_line(result, "Not a directory. Free the disk or choose a writable folder.")


@pytest.mark.parametrize("out", ["file", "file/folder", "file/x.tflite"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, out: str):
    (tmp_path / "file").write_text("old")
    assert_is_one_line(blazeport(FACE, "-o", tmp_path / out), "Free the disk or choose a writable folder.")
    assert files_below(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("interrupted", ["tflite", "json"])
def test_an_interrupt_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: str):
    write_bytes = Path.write_bytes

    def interrupt(path: Path, data: bytes) -> int:
        if path.suffix == f".{interrupted}":
            write_bytes(path, data[: len(data) // 2])
            raise KeyboardInterrupt
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", interrupt)
    result = blazeport(FACE, "-o", tmp_path)
    assert result.exit_code == 1
    assert "Aborted!" in result.stderr
    assert files_below(tmp_path) == []


# --- the process ------------------------------------------------------------------------------------------------------


def test_the_terminal_shows_steps_and_result_and_no_library_chatter(tmp_path: Path):
    command = [
        sys.executable,
        "-c",
        "from blazeport.cli.main import main; main()",
        "convert",
        FACE,
        "-o",
        str(tmp_path),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"Building {FACE} …",
        f"Converting {FACE}.fp16 …",
        f"Reading photos for {FACE} …",
        f"Comparing with the official {FACE}.tflite …",
    ]
    assert (
        sha256_of(tmp_path / f"{FACE}.fp16.tflite")
        == json.loads((tmp_path / f"{FACE}.fp16.json").read_text())["sha256"]
    )
