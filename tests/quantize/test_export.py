"""Exporting many artifacts: what a plan holds, and that only what changed is built again."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blazeport.convert.artifact import manifest_path
from blazeport.convert.inputs import find_media
from blazeport.convert.manifest import read_manifest
from blazeport.errors import CalibrationError, ConfigError, InputError
from blazeport.models.config import VARIANTS
from blazeport.quantize.evaluate import group_of
from blazeport.quantize.export import Exported, ExportPlan, export
from blazeport.quantize.split import split_media
from blazeport.weights.fetch import demo_photos

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"
PLAN = ExportPlan(variants=(FACE,))
FP32, FP16, INT8 = (f"{FACE}.{precision}.tflite" for precision in ("fp32", "fp16", "int8"))


def rebuilt(plan: ExportPlan, out: Path) -> dict[str, bool]:
    """File name → whether it was built."""
    return {artifact.path.name: artifact.rebuilt for artifact in export(plan, out)}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Exported]]:
    """A first export; nobody may change it."""
    out = tmp_path_factory.mktemp("export")
    return out, list(export(PLAN, out, command="blazeport export"))


@pytest.fixture
def out(first, tmp_path: Path) -> Path:
    """A copy of the first export."""
    return Path(shutil.copytree(first[0], tmp_path / "export"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos of one's own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in demo_photos()[:3]:
        shutil.copy(photo, folder)
    return folder


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_holds_everything_by_default():
    plan = ExportPlan()
    assert plan.variants == tuple(VARIANTS)
    assert plan.precisions_of("pose_detection", ("boxes", "scores")) == ("fp32", "fp16", "int8")
    assert plan.precisions_of("pose_landmark_lite", VARIANTS["pose_landmark_lite"].head_names)[-1] == "int8"
    assert plan.precisions_of("pose_landmark_lite", ("landmarks", "presence"))[-2:] == ("int16x8", "mixed")
    assert plan.heads_of("pose_landmark_heavy") == (
        VARIANTS["pose_landmark_heavy"].head_names,
        ("landmarks", "presence"),
    )
    assert plan.heads_of("pose_detection") == (("boxes", "scores"),)


def test_heads_are_for_landmark_networks_and_the_same_set_is_exported_once():
    plan = ExportPlan(heads=("tracking", "landmarks", "presence+landmarks"))
    tracking, landmarks = ("landmarks", "presence", "world_landmarks"), ("landmarks", "presence")
    assert plan.heads_of(LITE) == (tracking, landmarks)
    assert plan.heads_of(FACE) == (("boxes", "scores"),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variants": ("x",)}, r"Unknown variant\. Expected one of: face_detection_short_range, .* Received: 'x'"),
        ({"precisions": ("fp64",)}, r"Unknown precision\. Expected one of: fp32, fp16, .*int8.* Received: 'fp64'"),
        ({"heads": ("boxes",)}, r"Unknown heads for pose_landmark_lite\. Expected one of: all, .* Received: 'boxes'"),
        ({"variants": (FACE,), "heads": ("tracking",)}, f"landmark networks only. Received: heads tracking for {FACE}"),
    ],
    ids=["variant", "precision", "heads", "heads_of_a_detector"],
)
def test_a_plan_is_checked_before_anything_is_done(options: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        ExportPlan(**options)


# --- what is built ----------------------------------------------------------------------------------------------------


def test_an_export_writes_each_precision_with_its_manifest(first, official):
    out, artifacts = first
    assert [artifact.path.name for artifact in artifacts] == [FP32, FP16, INT8]
    assert all(artifact.rebuilt for artifact in artifacts)
    assert {artifact.official for artifact in artifacts} == {official(FACE)}
    expected = [path for artifact in artifacts for path in (artifact.path, manifest_path(artifact.path))]
    assert sorted(out.iterdir()) == sorted([*expected, out / f"{FACE}.anchors.json"])
    fp32, fp16, int8 = (artifact.manifest for artifact in artifacts)
    assert fp32.parity.exact
    assert fp16.parity.exact
    assert int8.int8_mac_share == 1.0
    assert int8.calibration is not None
    assert {manifest.command for manifest in (fp32, fp16, int8)} == {"blazeport export"}


def test_artifacts_are_handed_out_one_by_one(out: Path):
    (out / FP32).unlink()
    (out / INT8).unlink()
    (artifact,) = itertools.islice(export(PLAN, out), 1)
    assert artifact.path == out / FP32
    assert not (out / INT8).exists()


def test_a_second_export_builds_nothing_and_imports_no_tensorflow(first):
    out, _ = first
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    code = f"""
import sys
from pathlib import Path
from blazeport.quantize.export import ExportPlan, export
print([artifact.rebuilt for artifact in export(ExportPlan(variants=({FACE!r},)), Path(sys.argv[1]))])
print(sorted({{"tensorflow", "keras", "tf_keras"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, out], capture_output=True, text=True, check=False)
    assert done.stdout == "[False, False, False]\n[]\n", done.stderr
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "affected"),
    [
        pytest.param(lambda out: (out / FP16).unlink(), FP16, id="deleted"),
        pytest.param(lambda out: manifest_path(out / FP32).unlink(), FP32, id="without_manifest"),
        pytest.param(
            lambda out: (out / INT8).write_bytes((out / INT8).read_bytes()[:-1] + b"\xff"), INT8, id="corrupt"
        ),
        pytest.param(lambda out: (out / FP32).write_bytes(b""), FP32, id="empty"),
    ],
)
def test_only_a_damaged_file_is_built_again_and_is_the_same_again(out: Path, first, change, affected: str):
    change(out)
    assert rebuilt(PLAN, out) == {name: name == affected for name in (FP32, FP16, INT8)}
    assert (out / affected).read_bytes() == (first[0] / affected).read_bytes()
    assert not any(rebuilt(PLAN, out).values())


def test_other_calibration_photos_affect_int8_only(out: Path, folder: Path):
    own = ExportPlan(variants=(FACE,), calibration=folder)
    assert rebuilt(own, out) == {FP32: False, FP16: False, INT8: True}
    assert not any(rebuilt(own, out).values())
    shutil.copy(demo_photos()[3], folder)
    assert rebuilt(own, out) == {FP32: False, FP16: False, INT8: True}
    assert rebuilt(PLAN, out) == {FP32: False, FP16: False, INT8: True}


def test_other_heads_are_added_to_those_there_are(tmp_path: Path):
    def name(heads: str) -> str:
        return f"{LITE}.{heads}.fp16.tflite"

    landmarks = ExportPlan(variants=(LITE,), heads=("landmarks",), precisions=("fp16",))
    assert rebuilt(landmarks, tmp_path) == {name("landmarks"): True}
    both = ExportPlan(variants=(LITE,), heads=("landmarks", "tracking"), precisions=("fp16",))
    assert rebuilt(both, tmp_path) == {name("landmarks"): False, name("tracking"): True}


def test_own_photos_serve_the_gate_even_when_nothing_is_calibrated(out: Path, folder: Path):
    (out / FP16).unlink()
    plan = ExportPlan(variants=(FACE,), precisions=("fp16",), calibration=folder)
    (artifact,) = export(plan, out)
    assert artifact.manifest.parity.inputs == 3 * 6 + 1  # photos, views of each, and a blank one
    assert artifact.manifest.calibration is None


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_empty_calibration_folder_is_an_error(tmp_path: Path, precision: str):
    plan = ExportPlan(variants=(FACE,), precisions=(precision,), calibration=tmp_path)
    with pytest.raises(CalibrationError, match="Found none"):
        list(export(plan, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_photos_without_a_person_calibrate_no_landmark_network(data_dir: Path, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    shutil.copy(data_dir / "images" / "jet_horse_2.jpg", tmp_path / "photos")
    plan = ExportPlan(variants=(LITE,), heads=("landmarks",), precisions=("int8",), calibration=tmp_path / "photos")
    with pytest.raises(CalibrationError, match=r"crops with a person\. Received: 0 "):
        list(export(plan, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_missing_calibration_folder_is_found_before_anything_is_built(out: Path):
    before = {path: path.read_bytes() for path in out.iterdir()}
    plan = ExportPlan(variants=(FACE, LITE), heads=("landmarks",), calibration=out.parent / "missing")
    with pytest.raises(CalibrationError, match="is not a folder"):
        list(export(plan, out))
    assert {path: path.read_bytes() for path in out.iterdir()} == before


# --- accuracy ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ExportPlan]:
    """An export that measured, the folder it measured on, and its plan."""
    out, folder = tmp_path_factory.mktemp("evaluated"), tmp_path_factory.mktemp("all_photos")
    for photo in demo_photos():
        shutil.copy(photo, folder)
    plan = ExportPlan(variants=(FACE,), precisions=("fp16", "int8"), calibration=folder, evaluation=folder)
    list(export(plan, out))
    return out, folder, plan


def test_figures_at_the_task_stand_in_the_manifest_of_a_quantized_file(evaluated):
    out, folder, _ = evaluated
    manifest = read_manifest(manifest_path(out / INT8))
    assert manifest.accuracy is not None
    assert manifest.accuracy["side"] == "evaluation"
    photos = group_of(manifest.accuracy["photos"])
    assert photos.media == len(split_media(find_media(folder)).evaluation)
    assert photos.candidate["missed_percent"].n > 0
    assert photos.noise["iou"].value is not None
    assert read_manifest(manifest_path(out / FP16)).accuracy is None
    assert str(folder) not in manifest_path(out / INT8).read_text()


def test_what_is_measured_on_is_never_calibrated_on(evaluated):
    out, folder, _ = evaluated
    calibrated = read_manifest(manifest_path(out / INT8)).calibration
    assert calibrated is not None
    assert set(calibrated.media).isdisjoint(path.name for path in split_media(find_media(folder)).evaluation)


def test_the_page_of_an_export_shows_every_quantized_file(evaluated):
    page = (evaluated[0] / "accuracy.html").read_text()
    assert f"<h2>{INT8}</h2>" in page
    assert FP16 not in page
    assert "keypoints, % of IOD" in page


def test_figures_are_kept_while_file_and_photos_stay(evaluated, monkeypatch: pytest.MonkeyPatch):
    out, _, plan = evaluated

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("blazeport.quantize.export.evaluate", fail)
    assert [exported.rebuilt for exported in export(plan, out)] == [False, False]


def test_a_folder_with_nothing_to_measure_on_is_said_before_anything_is_written(tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    plan = ExportPlan(variants=(FACE,), evaluation=folder)
    with pytest.raises(InputError, match="Found none"):
        list(export(plan, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
