"""`blazeport quantize`: what it writes and prints, and one line for whatever cannot be done."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import fine_tuned
import numpy as np
import pytest
import strangers
from blazeport.cli.main import main
from blazeport.convert.manifest import Manifest, read_manifest
from blazeport.files import sha256_of
from blazeport.quantize.recipes import shipped_ranges, shipped_recipe
from blazeport.runtime.interpreter import Model
from blazeport.weights.fetch import demo_photos
from click.testing import CliRunner, Result

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"


def blazeport(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["quantize", *map(str, arguments)])


def quantized(folder: Path, name: str) -> Manifest:
    manifest = read_manifest(folder / f"{name}.json")
    anchors = [manifest.decoding.anchors] if manifest.decoding and manifest.decoding.anchors else []
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{name}.json", f"{name}.tflite", *anchors])
    return manifest


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of one's own, one of them broken."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in demo_photos()[:3]:
        shutil.copy(photo, folder)
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def test_a_variant_is_quantized_by_the_ranges_that_blazeport_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/blazeport", "quantize", FACE])
    monkeypatch.chdir(tmp_path)
    done = blazeport(FACE)
    assert done.exit_code == 0, done.output
    manifest = quantized(tmp_path, f"{FACE}.int8")
    assert manifest.calibration is not None
    assert not manifest.calibration.demo
    assert manifest.calibration.stored_sha256 == sha256_of(shipped_ranges(FACE, ("boxes", "scores"), "int8"))
    assert manifest.command == f"blazeport quantize {FACE}"
    assert "demo grade" not in caplog.text
    header, _, row, last = (line.strip() for line in done.stdout.splitlines() if line.strip())
    assert [cell.strip() for cell in header.split("   ") if cell.strip()] == [
        *("variant", "heads", "precision", "bytes", "ops", "MACs", "int8 MACs", "parity (largest difference)"),
    ]
    assert row.split()[:3] == [FACE, "all", "int8"]
    worst = manifest.parity.worst
    assert f"100%   {worst.name} {worst.max_abs:.3g} ({worst.relative:.1%} of its range)" in row
    assert last == f"Wrote {FACE}.int8.tflite"


def test_own_photos_seed_and_number_of_samples_are_recorded(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    done = blazeport(
        *(LITE, "--heads", "landmarks", "--calibration", photos, "--samples", 8, "--seed", 3, "-o", tmp_path / "out")
    )
    assert done.exit_code == 0, done.output
    manifest = quantized(tmp_path / "out", f"{LITE}.landmarks.int8")
    assert manifest.calibration is not None
    assert (manifest.calibration.limit, manifest.calibration.seed, manifest.calibration.demo) == (8, 3, False)
    assert manifest.int8_mac_share == 1.0
    assert list(Model(tmp_path / "out" / manifest.file).outputs) == ["landmarks", "presence"]
    assert f"Skipped: {photos / 'broken.jpg'} is not a picture" in caplog.text
    assert "demo grade" not in caplog.text
    assert str(tmp_path) not in (tmp_path / "out" / f"{LITE}.landmarks.int8.json").read_text()


def test_integer_input_and_outputs_are_in_the_name(tmp_path: Path):
    done = blazeport(FACE, "--io", "uint8", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert quantized(tmp_path, f"{FACE}.int8_iou8").precision == "int8_iou8"
    assert Model(tmp_path / f"{FACE}.int8_iou8.tflite").input_dtype == np.uint8


@pytest.mark.parametrize(("precision", "source"), [("int8", "mine.keras"), ("dynamic", f"{FACE}.weights.h5")])
def test_own_weights_are_quantized_against_keras(tmp_path: Path, precision: str, source: str):
    path = fine_tuned.save(tmp_path / source)
    options = ["--variant", FACE] if precision == "int8" else []
    done = blazeport(path, *options, "--precision", precision, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    manifest = quantized(tmp_path / "out", f"{FACE}.{precision}")
    assert (manifest.weights.official, manifest.weights.licence) == (False, "not stated")
    assert manifest.parity.reference == f"Keras with {source}"
    assert 0 < manifest.parity.worst.relative < 1
    assert manifest.int8_mac_share == (1.0 if precision == "int8" else 0.0)


def test_fp16_is_what_convert_writes(tmp_path: Path):
    done = blazeport(FACE, "--precision", "fp16", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    manifest = quantized(tmp_path, f"{FACE}.fp16")
    assert manifest.parity.exact
    assert manifest.calibration is None


def test_the_litert_quantizer_is_there_to_compare_with(tmp_path: Path):
    done = blazeport(FACE, "--method", "litert", "--samples", 7, "-o", tmp_path)
    assert done.exit_code == 0, done.output
    manifest = quantized(tmp_path, f"{FACE}.int8")
    assert (manifest.method, manifest.recipe, manifest.int8_mac_share) == ("litert", None, 1.0)
    assert "litert-quantizer" in manifest.tools


def test_the_file_of_another_network_is_quantized(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "plain.tflite").write_bytes(strangers.stranger())
    arguments = ("--calibration", photos, "--samples", 12, "--input-range", "-1,1", "-o", tmp_path / "out")
    done = blazeport(tmp_path / "plain.tflite", *arguments)
    assert done.exit_code == 0, done.output
    manifest = quantized(tmp_path / "out", "plain.int8")
    assert manifest.variant == "plain"
    assert manifest.input.meaning == "RGB, pixel 0 is -1 and pixel 255 is 1"
    assert manifest.calibration is not None
    assert manifest.calibration.samples == 9
    assert manifest.calibration.warnings == ("There are 3 different photos. Best are 50 or more.",)
    assert "Calibration of plain: There are 3 different photos." in caplog.text
    assert done.stdout.split()[-2:] == ["Wrote", str(tmp_path / "out" / "plain.int8.tflite")]


def test_the_file_of_a_variant_is_quantized_by_keras_where_the_file_alone_will_not_do(tmp_path: Path, official):
    done = blazeport(official(FACE), "--precision", "dynamic", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert quantized(tmp_path, f"{FACE}.dynamic").parity.reference == f"the official {FACE}.tflite"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nonsense"], "Unknown variant. Expected one of: face_detection_short_range, "),
        ([FACE, "--heads", "landmarks"], "Unknown heads for face_detection_short_range."),
        ([FACE, "--precision", "fp32"], "Expected one of: dynamic, int8, int16x8, mixed, fp16. Received: 'fp32'."),
        ([FACE, "--precision", "fp16", "--calibration", "{tmp}"], "fp16 needs no calibration and no recipe."),
        ([FACE, "--precision", "mixed", "--method", "litert"], "--method litert makes int8 only, without a recipe."),
        ([FACE, "--input-range", "0,1"], "--input-range goes with a .tflite file."),
        (["{tmp}/missing.tflite"], "missing.tflite does not exist."),
        (["{tmp}/mean.tflite"], "Cannot quantize the operator MEAN ("),
        (["{tmp}/plain.tflite", "--precision", "dynamic"], "plain.tflite is none of blazeport's networks."),
        (["{tmp}/plain.tflite", "--calibration", "{tmp}/horse"], "needs at least 5 letterboxed frames. Received: 4"),
        ([FACE, "--precision", "dynamic", "--io", "int8"], "--io int8 goes with precision int8 only."),
        (
            [FACE, "--precision", "dynamic", "--calibration", "{tmp}"],
            "Dynamic range needs no calibration and no recipe.",
        ),
        ([FACE, "--calibration", "{tmp}/missing"], "Expected a folder of photos or videos."),
        ([FACE, "--calibration", "{tmp}/mine.keras"], "mine.keras is not a folder."),
        ([FACE, "--calibration", "{tmp}/empty"], "in {tmp}/empty. Found none."),
        ([LITE, "--calibration", "{tmp}/horse"], "needs at least 5 crops with a person. Received: 0 from 1 file"),
        ([FACE, "--calibration", "{tmp}/horse"], "needs at least 5 letterboxed frames. Received: 4 from 1 file"),
        (["{tmp}/mine.keras"], "Which network is in mine.keras? Name it with --variant."),
    ],
)
def test_what_cannot_be_done_is_said_at_once(tmp_path: Path, data_dir: Path, arguments: list[str], reason: str):
    (tmp_path / "mine.keras").write_bytes(b"no keras file")
    for kind in ("mean", "plain"):
        (tmp_path / f"{kind}.tflite").write_bytes(strangers.stranger(kind))
    for name in ("empty", "horse"):
        (tmp_path / name).mkdir()
    shutil.copy(data_dir / "images" / "jet_horse_2.jpg", tmp_path / "horse")
    done = blazeport(*(each.format(tmp=tmp_path) for each in arguments), "-o", tmp_path / "out")
    assert done.exit_code == 1, done.output
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert reason.format(tmp=tmp_path) in done.stderr.splitlines()[-1]
    assert "Converting" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--io", "int4"], ["--samples", "4"], ["--seed", "x"], ["--method", "none"]),
        *(["--input-range", "1"], ["--input-range", "1,0"], ["--input-range", "a,b"], ["--input-range", "0,inf"]),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str]):
    done = blazeport(FACE, *arguments)
    assert done.exit_code == 2
    assert arguments[0] in done.stderr


def test_the_stored_ranges_give_the_same_bytes_every_time(tmp_path: Path):
    for name in ("one.tflite", "two.tflite"):
        assert blazeport(FACE, "-o", tmp_path / name).exit_code == 0
    assert (tmp_path / "one.tflite").read_bytes() == (tmp_path / "two.tflite").read_bytes()


def test_a_recipe_of_ones_own_takes_demo_photos_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    recipe = tmp_path / "mine.json"
    recipe.write_text(shipped_recipe(FACE, "int8").to_json())
    done = blazeport(FACE, "--recipe", recipe, "-o", tmp_path / "out.tflite")
    assert done.exit_code == 0, done.output
    assert read_manifest(tmp_path / "out.json").calibration.demo
    assert "demo grade" in caplog.text


def test_a_recipe_with_ranges_beside_it_needs_no_photos(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    recipe = tmp_path / "mine.json"
    recipe.write_text(shipped_recipe(FACE, "int8").to_json())
    shutil.copy(shipped_ranges(FACE, ("boxes", "scores"), "int8"), tmp_path / "mine.npz")
    assert blazeport(FACE, "--recipe", recipe, "-o", tmp_path / "out.tflite").exit_code == 0
    assert read_manifest(tmp_path / "out.json").calibration.stored_sha256 == sha256_of(tmp_path / "mine.npz")
    assert "demo grade" not in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 not an archive", None], ids=["empty", "foreign", "other network"]
)
def test_ranges_that_do_not_fit_are_one_line_and_leave_no_file(tmp_path: Path, content: bytes | None):
    recipe = tmp_path / "mine.json"
    recipe.write_text(shipped_recipe(FACE, "int8").to_json())
    if content is None:
        other = shipped_ranges("pose_detection", ("boxes", "scores"), "int8")
        assert other is not None
        shutil.copy(other, tmp_path / "mine.npz")
    else:
        (tmp_path / "mine.npz").write_bytes(content)
    done = blazeport(FACE, "--recipe", recipe, "-o", tmp_path / "out.tflite")
    assert done.exit_code == 1
    assert "Expected ranges that" in done.output
    assert not list(tmp_path.glob("out*"))


def test_samples_of_stored_ranges_cannot_be_chosen(tmp_path: Path):
    done = blazeport(FACE, "--samples", 14, "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "--samples and --seed go with --calibration" in done.output
    assert not (tmp_path / "out").exists()
