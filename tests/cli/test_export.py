"""`blazeport export`: its options, its table and JSON, and what it does not do twice."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from blazeport.cli.main import main
from blazeport.convert.manifest import read_manifest
from blazeport.models.config import VARIANTS
from blazeport.weights.fetch import demo_photos
from click.testing import CliRunner, Result

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"
SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "manifest.json"
COLUMNS = ["variant", "heads", "precision", "bytes", "ops", "MACs", "int8 MACs", "parity (largest difference)"]


def blazeport(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def table(done: Result) -> list[list[str]]:
    """The cells of each row."""
    lines = (line.strip() for line in done.stdout.splitlines())
    return [re.split(r" {2,}", line) for line in lines if line and not line.startswith("─")]


def states(done: Result) -> list[str]:
    return [line.split("  ")[0] for line in done.stderr.splitlines() if line.endswith(".tflite")]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A first export with latency; nobody may change it."""
    out = tmp_path_factory.mktemp("first") / "export"
    done = blazeport("--variants", FACE, "-o", out)
    assert done.exit_code == 0, done.output
    return out, done


@pytest.fixture
def out(first, tmp_path: Path) -> Path:
    """A copy of the first export."""
    return Path(shutil.copytree(first[0], tmp_path / "export"))


def test_an_export_ends_with_one_table(first):
    out, done = first
    header, *rows = table(done)
    assert header == [*COLUMNS, "time / official"]
    assert [row[:3] for row in rows] == [[FACE, "all", precision] for precision in ("fp32", "fp16", "int8")]
    for row, precision in zip(rows, ("fp32", "fp16", "int8"), strict=True):
        path = out / f"{FACE}.{precision}.tflite"
        assert row[3] == f"{path.stat().st_size:,}"
        assert re.fullmatch(r"\d+\.\d\d", row[-1])
    assert [row[6] for row in rows] == ["0%", "0%", "100%"]
    assert [row[7] for row in rows][:2] == ["exact", "exact"]
    assert re.fullmatch(r"(boxes|scores) \d\S* \(\d+\.\d% of its range\)", rows[2][7])
    assert states(done) == ["wrote"] * 3


def test_a_second_export_builds_and_measures_nothing_and_prints_the_same_table(out: Path, first):
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    done = blazeport("--variants", FACE, "-o", out)
    assert states(done) == ["up to date"] * 3
    assert "Measuring" not in done.stderr
    assert table(done) == table(first[1])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_second_export_in_a_new_process_imports_no_tensorflow(first):
    out, _ = first
    code = """
import sys
from blazeport.cli.main import main
main(sys.argv[1:], standalone_mode=False)
print(sorted({"tensorflow", "keras", "tf_keras"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, "export", "--variants", FACE, "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr.count("up to date") == 3


def test_only_what_was_built_again_is_measured_again(out: Path, first):
    measured = json.loads((out / "latency.json").read_text())["ratios"]
    (out / f"{FACE}.fp16.tflite").unlink()
    done = blazeport("--variants", FACE, "--precisions", "fp16,fp32", "-o", out)
    assert states(done) == ["wrote", "up to date"]
    # It is the same file again, so its ratio is known.
    assert "Measuring" not in done.stderr
    assert json.loads((out / "latency.json").read_text())["ratios"] == measured

    (out / "latency.json").unlink()
    done = blazeport("--variants", FACE, "--precisions", "fp16", "-o", out)
    assert "Measuring 2 files" in done.stderr
    assert len(json.loads((out / "latency.json").read_text())["ratios"]) == 1


def test_json_gives_the_manifests_and_the_ratios(out: Path):
    done = blazeport("--variants", FACE, "--json", "-o", out)
    records = json.loads(done.stdout)
    assert [record["precision"] for record in records] == ["fp32", "fp16", "int8"]
    for record in records:
        assert set(record.pop("time_to_official")) == {"median", "low", "high"}
        jsonschema.validate(record, json.loads(SCHEMA.read_text()))
        assert record == json.loads((out / record["file"]).with_suffix(".json").read_text())


def test_latency_can_be_left_out(out: Path):
    (out / "latency.json").unlink()
    done = blazeport("--variants", FACE, "--precisions", "fp16", "--no-latency", "-o", out)
    assert table(done)[0] == COLUMNS
    assert not (out / "latency.json").exists()
    as_json = blazeport("--variants", FACE, "--precisions", "fp16", "--no-latency", "--json", "-o", out)
    assert json.loads(as_json.stdout)[0]["time_to_official"] is None


def test_variants_heads_precisions_and_calibration_can_be_chosen(out: Path, tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in demo_photos()[:2]:
        shutil.copy(photo, photos)
    done = blazeport(
        *("--variants", f"{FACE},{LITE}", "--heads", "landmarks,presence", "--precisions", "int8"),
        *("--calibration", photos, "--no-latency", "-o", out),
    )
    assert done.exit_code == 0, done.output
    assert [row[:3] for row in table(done)[1:]] == [
        [FACE, "all", "int8"],
        [LITE, "landmarks", "int8"],
        [LITE, "presence", "int8"],
    ]
    assert states(done) == ["wrote"] * 3
    for name in (f"{FACE}.int8", f"{LITE}.landmarks.int8", f"{LITE}.presence.int8"):
        calibration = read_manifest(out / f"{name}.json").calibration
        assert calibration is not None
        assert calibration.media == tuple(sorted(photo.name for photo in demo_photos()[:2]))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--variants", f"{FACE},x"], f"Unknown variant. Expected one of: {', '.join(VARIANTS)}. Received: 'x'."),
        (["--precisions", "int4"], "Unknown precision. Expected one of: fp32, fp16, dynamic, int8"),
        (["--heads", "all,x"], "Unknown heads for pose_landmark_lite. Expected one of: all, no_heatmap, "),
        (["--variants", FACE, "--heads", "tracking"], "Heads are chosen for landmark networks only."),
        (["--calibration", "{tmp}/missing"], "missing is not a folder."),
        (["--calibration", "{tmp}", "--precisions", "fp16"], "Found none."),
    ],
)
def test_unknown_names_and_folders_are_said_at_once(tmp_path: Path, arguments: list[str], reason: str):
    done = blazeport(*(each.format(tmp=tmp_path) for each in arguments), "-o", tmp_path / "out")
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_wrong_usage(tmp_path: Path):
    (tmp_path / "file").touch()
    assert blazeport("--variants", FACE, "-o", tmp_path / "file").exit_code == 2


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    done = blazeport("--variants", FACE, "--precisions", "fp16", "-o", tmp_path / "file" / "out")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: Cannot write ")
    assert (tmp_path / "file").read_bytes() == b""
