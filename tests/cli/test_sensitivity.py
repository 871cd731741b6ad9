"""`blazeport sensitivity`, and `blazeport quantize --budget`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from blazeport.cli.main import main
from blazeport.convert.manifest import read_manifest
from blazeport.quantize import budget_quantizer
from blazeport.quantize.budget_quantizer import analyse
from blazeport.quantize.recipes import Recipe, read_recipe
from blazeport.quantize.sensitivity import Sensitivity
from click.testing import CliRunner, Result

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"


def blazeport(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A recipe that takes seconds."""
    path = tmp_path / "plain.json"
    path.write_text(Recipe(balance_channels=0.5).to_json())
    return path


def test_layers_are_ranked_in_a_table_and_as_json(plain: Path, monkeypatch: pytest.MonkeyPatch):
    ranked = []

    def once(*arguments: object, **options: object) -> Sensitivity:
        ranked[:] = ranked or [analyse(*arguments, **options)]
        return ranked[0]

    monkeypatch.setattr(budget_quantizer, "analyse", once)
    options = ("--recipe", plain, "--samples", 7, "--limit", 5)
    done = blazeport("sensitivity", FACE, *options)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{FACE}, int8, on 5 samples of calibration photos\nAll layers: missed ")
    assert "keypoints" in done.stdout
    record = json.loads(blazeport("sensitivity", FACE, *options, "--json").stdout)
    rows = [line.split() for line in done.stdout.splitlines() if "%" in line and "missed" in line]
    assert [row[0] for row in rows] == [row["unit"]["name"] for row in record["units"]]
    assert record["schema_version"] == 1


def test_a_recipe_is_found_written_and_gives_the_same_file(plain: Path, tmp_path: Path):
    options = ("--precision", "mixed")
    out = tmp_path / "out"
    budget = ("--samples", 7, "--budget", "keypoints=4,int8_macs=0.3")
    done = blazeport("quantize", FACE, *options, "--recipe", plain, *budget, "-o", out)
    assert done.exit_code == 0, done.output
    recipe_path = out / f"{FACE}.mixed.recipe.json"
    assert f"Wrote {recipe_path} and its ranges\n" in done.stdout
    manifest = read_manifest(out / f"{FACE}.mixed.json")
    found = read_recipe(recipe_path)
    assert manifest.recipe is not None
    assert tuple(manifest.recipe["float_layers"]) == found.float_layers
    again = blazeport("quantize", FACE, *options, "--recipe", recipe_path, "-o", tmp_path / "again")
    assert again.exit_code == 0, again.output
    assert read_manifest(tmp_path / "again" / f"{FACE}.mixed.json").sha256 == manifest.sha256


def test_a_file_over_its_budget_is_not_written(plain: Path, tmp_path: Path):
    options = ("--recipe", plain, "--samples", 7, "--budget", "keypoints=0.01")
    done = blazeport("quantize", FACE, *options, "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "(at most 0.01)" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_file_within_its_budget_is_written(plain: Path, tmp_path: Path):
    options = ("--recipe", plain, "--samples", 7, "--budget", "keypoints=60,int8_macs=1")
    done = blazeport("quantize", FACE, *options, "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert (tmp_path / f"{FACE}.int8.tflite").is_file()
    assert not list(tmp_path.glob("*.recipe.json"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["sensitivity", FACE, "--precision", "fp16"], "Expected one of: int8, int16x8, mixed. Received: 'fp16'."),
        (["sensitivity", LITE, "--heads", "presence"], "Add landmarks to --heads."),
        (["sensitivity", "nonsense"], "Unknown variant."),
        (
            ["quantize", LITE, "--heads", "landmarks", "--budget", "missed=0"],
            "Expected one of: px, presence, int8_macs.",
        ),
        (["quantize", LITE, "--heads", "presence", "--budget", "px=1"], "Add landmarks to --heads."),
        (["quantize", FACE, "--precision", "dynamic", "--budget", "missed=0"], "--budget goes with int8, int16x8 and"),
        (["quantize", FACE, "--method", "tflite", "--budget", "missed=0"], "--budget goes with int8, int16x8 and"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(arguments: list[str], reason: str, tmp_path: Path):
    done = blazeport(*arguments, *(["-o", tmp_path / "out"] if arguments[0] == "quantize" else []))
    assert done.exit_code == 1, done.output
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert reason in done.stderr.splitlines()[-1]
    assert "Building" not in done.stderr
