from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from blazeport.cli.main import main
from blazeport.pipeline.image import read_image
from click.testing import CliRunner, Result

Official = Callable[[str], Path]

PORTRAIT, POSE, NOBODY = "tfjs_portrait.jpg", "tfjs_pose.jpg", "jet_horse_2.jpg"


def blazeport(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, arguments)])


@pytest.fixture
def folder(data_dir: Path, tmp_path: Path) -> Path:
    """A folder of three photos and a note."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in (PORTRAIT, POSE, NOBODY):
        shutil.copy(data_dir / "images" / name, folder)
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_a_photo_gets_a_line_and_an_annotated_picture(official: Official, folder: Path, tmp_path: Path) -> None:
    done = blazeport("face", folder / PORTRAIT, "-o", tmp_path / "out" / "faces.png")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{folder / PORTRAIT}: 1 face (0.9")
    picture, photo = read_image(tmp_path / "out" / "faces.png"), read_image(folder / PORTRAIT)
    assert picture.shape == photo.shape
    assert not np.array_equal(picture, photo)


@pytest.mark.parametrize(("model", "score"), [("short", "0.92"), ("full", "0.91"), ("full-dense", "0.85")])
def test_each_face_model_can_be_chosen(official: Official, folder: Path, model: str, score: str) -> None:
    assert f"1 face ({score})" in blazeport("face", folder / PORTRAIT, "--model", model).stdout


def test_a_folder_gets_a_folder_and_one_json_line_per_photo(official: Official, folder: Path, tmp_path: Path) -> None:
    done = blazeport("pose", folder, "--model", "lite", "-o", tmp_path / "out", "--jsonl", tmp_path / "people.jsonl")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted((PORTRAIT, POSE, NOBODY))
    assert "no person" in done.stdout
    assert "33 of 33 landmarks visible" in done.stdout
    records = [json.loads(line) for line in (tmp_path / "people.jsonl").read_text().splitlines()]
    assert [len(record["people"]) for record in records] == [0, 1, 1]
    for record, name in zip(records, (NOBODY, PORTRAIT, POSE), strict=True):
        assert list(record) == ["source", "frame", "time_us", "timing_ms", "detector_ran", "people"]
        assert record["source"] == str(folder / name)
        assert (record["frame"], record["time_us"]) == (0, 0)
        assert set(record["timing_ms"]) == {"decode", "crop", "infer", "post"}
    assert set(records[1]["people"][0]) == {
        *("number", "presence", "detection", "roi", "next_roi", "landmarks", "world_landmarks"),
    }


def test_json_lines_on_stdout_stand_alone(official: Official, folder: Path) -> None:
    done = blazeport("face", folder / POSE, folder / PORTRAIT, "--jsonl", "-")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["source"] for record in records] == [str(folder / POSE), str(folder / PORTRAIT)]
    assert set(records[1]["faces"][0]) == {"score", "box", "keypoints"}


def test_files_of_ones_own_and_the_refinement_can_be_chosen(official: Official, folder: Path) -> None:
    files = ["--landmark-file", official("pose_landmark_lite"), "--detector-file", official("pose_detection")]

    def landmarks(*options: object) -> Any:
        record = json.loads(blazeport("pose", folder / POSE, *files, *options, "--jsonl", "-").stdout)
        return record["people"][0]["landmarks"]

    default = landmarks()
    assert default == landmarks("--heatmap-kernel", "7") == landmarks("--refine")
    assert default != landmarks("--heatmap-kernel", "9")
    assert default != landmarks("--no-refine")
    faces = blazeport("face", folder / PORTRAIT, "--file", official("face_detection_short_range"))
    assert "1 face (0.92)" in faces.stdout


@pytest.mark.parametrize("kind", ["grey", "RGBA", "16 bits", "1x1", "8000x8000"])
def test_photos_of_any_kind_are_taken(official: Official, tmp_path: Path, kind: str) -> None:
    pixels = {
        "grey": np.full((60, 80), 99, np.uint8),
        "RGBA": np.full((60, 80, 4), 99, np.uint8),
        "16 bits": np.full((60, 80, 3), 25000, np.uint16),
        "1x1": np.full((1, 1, 3), 99, np.uint8),
        "8000x8000": np.full((8000, 8000, 3), 99, np.uint8),
    }[kind]
    cv2.imwrite(str(tmp_path / "photo.png"), pixels)
    for command in (("face",), ("pose", "--model", "lite")):
        done = blazeport(*command, tmp_path / "photo.png")
        assert done.exit_code == 0, done.output
        assert ": no " in done.stdout


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"no photo", "is not a picture")])
def test_an_unreadable_photo_is_one_line_and_exit_code_1(
    official: Official, tmp_path: Path, content: bytes, reason: str
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(content)
    done = blazeport("face", photo, "-o", tmp_path / "out.png", "--jsonl", tmp_path / "out.jsonl")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {photo} {reason}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [photo]


def test_a_bad_photo_among_others_does_not_stop_them(official: Official, folder: Path, tmp_path: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"no photo")
    done = blazeport("face", folder, "--jsonl", tmp_path / "faces.jsonl")
    assert done.exit_code == 1
    assert "bad.jpg is not a picture" in done.stderr
    assert "1 of 4 photos could not be processed" in done.stderr
    assert len((tmp_path / "faces.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["{folder}/missing.jpg"], 1, "does not exist"),
        (["{folder}/empty"], 1, "holds no photo"),
        (["{folder}", "-o", "{folder}/all.png"], 2, "-o must be a folder for several photos"),
        (["{folder}", "-o", "{folder}"], 2, "would write over the photo"),
        (["{photo}", "-o", "{photo}"], 2, "would write over the photo"),
        (["{photo}", "{folder}", "-o", "{folder}/out"], 2, "Several photos have the same name"),
        (["{photo}", "--model", "tiny"], 2, "'tiny' is not one of 'short', 'full', 'full-dense'"),
        (["{photo}", "--file", "{photo}"], 1, "is not a TFLite model"),
        (["{photo}", "--file", "{folder}/missing.tflite"], 1, "Cannot read the model"),
        (["{photo}", "--model", "full", "--file", "x.tflite"], 2, "exclude each other"),
        ([], 2, "Missing argument 'INPUT...'"),
    ],
)
def test_what_cannot_be_done_is_said(
    official: Official, folder: Path, arguments: list[str], code: int, reason: str
) -> None:
    (folder / "empty").mkdir()
    before = sorted(folder.rglob("*"))
    done = blazeport("face", *(each.format(folder=folder, photo=folder / PORTRAIT) for each in arguments))
    assert done.exit_code == code, done.output
    assert reason in done.stderr
    assert "Traceback" not in done.output
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--model", "lite", "--landmark-file", "x.tflite"], 2, "exclude each other"),
        (["--no-refine", "--heatmap-kernel", "9"], 2, "exclude each other"),
        (["--heatmap-kernel", "8"], 2, "'8' is not one of '7', '9'"),
        (["--landmark-file", "{detector}"], 1, "must be a pose landmark"),
    ],
)
def test_pose_options_that_do_not_fit_are_refused(
    official: Official, folder: Path, arguments: list[str], code: int, reason: str
) -> None:
    options = (each.format(detector=official("pose_detection")) for each in arguments)
    done = blazeport("pose", folder / POSE, *options)
    assert done.exit_code == code, done.output
    assert reason in done.stderr


def test_a_folder_that_cannot_be_made_is_one_line(official: Official, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    for option in ("-o", "--jsonl"):
        done = blazeport("face", folder / PORTRAIT, option, folder / "notes.txt" / "out.png")
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: Cannot write")
    assert sorted(folder.rglob("*")) == before


def test_running_on_photos_never_imports_tensorflow(official: Official, folder: Path) -> None:
    code = """
import sys
from click.testing import CliRunner
from blazeport.cli.main import main
for command in (["face"], ["pose", "--model", "lite"]):
    assert CliRunner().invoke(main, ["run", *command, sys.argv[1]]).exit_code == 0
print(sorted({"tensorflow", "keras", "tf_keras", "onnx"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(folder / PORTRAIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "[]\n", done.stderr
    assert done.stderr == ""
