from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from blazeport.cli.main import main
from blazeport.pipeline.image import read_image, write_image
from blazeport.pipeline.video import open_photos, open_video, write_video
from click.testing import CliRunner, Result

Official = Callable[[str], Path]

PORTRAIT, POSE, NOBODY = "tfjs_portrait.jpg", "tfjs_pose.jpg", "jet_horse_2.jpg"


SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "frame.json").read_text())
SQUATS = "tfjs_pose_squats.mp4"


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
        assert list(record) == [
            *("source", "frame", "time_us", "width", "height", "timing_ms", "detector_ran", "people")
        ]
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


@pytest.fixture
def clip(data_dir: Path, tmp_path: Path) -> Path:
    """The first 12 frames of the squats, at their 5 frames per second."""
    frames = open_video(data_dir / "clips" / SQUATS).frames
    with write_video(tmp_path / "squats.mp4", 5) as append:
        for _ in range(12):
            append(next(frames).rgb)
    return tmp_path / "squats.mp4"


def records_of(path: Path) -> list[Any]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        jsonschema.validate(record, SCHEMA)
    return records


def pose_records(tmp_path: Path, *arguments: object) -> list[Any]:
    done = blazeport("pose", *arguments, "--model", "lite", "--jsonl", tmp_path / "pose.jsonl")
    assert done.exit_code == 0, done.output
    return records_of(tmp_path / "pose.jsonl")


def test_a_video_becomes_an_annotated_video_and_a_line_per_frame(
    official: Official, clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "pose.mp4"
    done = blazeport("pose", clip, "--model", "lite", "-o", out, "--jsonl", tmp_path / "pose.jsonl")
    assert done.exit_code == 0, done.output
    assert "squats.mp4: 12 frames, people in 12, 1 tracked, detector ran in 1, " in done.stdout
    assert done.stdout.endswith(f"→ {out}\n")
    stream = open_video(out)
    assert (stream.num_frames, stream.fps) == (12, 5)
    drawn, original = next(stream.frames).rgb, next(open_video(clip).frames).rgb
    assert drawn.shape == original.shape
    assert np.abs(drawn.astype(int) - original).max() > 100
    records = records_of(tmp_path / "pose.jsonl")
    assert [record["frame"] for record in records] == list(range(12))
    assert [record["time_us"] for record in records] == [200_000 * number for number in range(12)]
    assert [record["detector_ran"] for record in records] == [True] + [False] * 11
    assert [record["people"][0]["detection"] is None for record in records] == [False] + [True] * 11
    assert records[0]["people"][0]["next_roi"] == records[1]["people"][0]["roi"]
    assert (records[0]["width"], records[0]["height"]) == (720, 1280)


def test_the_options_of_tracking_change_what_they_say(official: Official, clip: Path, tmp_path: Path) -> None:
    def last(*options: str) -> Any:
        records = pose_records(tmp_path, clip, *options)
        return records[-1]["people"][0]["landmarks"], sum(record["detector_ran"] for record in records)

    default, runs = last()
    assert runs == 1
    assert last("--timestamps", "mediapipe")[0] != default
    assert last("--no-smoothing")[0] != default
    assert last("--static")[1] == 12
    assert last("--max-people", "2")[1] == 12


def test_a_folder_may_be_a_sequence_or_stills(official: Official, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    for frame in open_video(clip).frames:
        write_image(folder / f"{frame.number + 7}.png", frame.rgb)
    records = pose_records(tmp_path, folder, "--sequence", "-o", tmp_path / "annotated")
    assert [Path(record["source"]).name for record in records] == [f"{number + 7}.png" for number in range(12)]
    assert [record["time_us"] for record in records[:2]] == [33_333, 66_666]
    assert sum(record["detector_ran"] for record in records) == 1
    assert len(list((tmp_path / "annotated").iterdir())) == 12
    assert open_photos(tmp_path / "annotated").num_frames == 12
    stills = pose_records(tmp_path, folder)
    assert all(record["detector_ran"] for record in stills)


def test_masks_are_drawn_and_written(official: Official, folder: Path, clip: Path, tmp_path: Path) -> None:
    done = blazeport(
        *("pose", folder / POSE, clip, "--model", "lite", "--masks", tmp_path / "masks", "--smooth-masks"),
        *("-o", tmp_path / "out"),
    )
    assert done.exit_code == 0, done.output
    mask = cv2.imread(str(tmp_path / "masks" / "tfjs_pose.png"), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert (mask.dtype, mask.shape) == (np.uint8, read_image(folder / POSE).shape[:2])
    assert 0.02 < (mask > 127).mean() < 0.3
    assert len(list((tmp_path / "masks" / "squats").iterdir())) == 12
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["squats.mp4", POSE]


def test_faces_of_a_video_are_found(official: Official, folder: Path, tmp_path: Path) -> None:
    rgb = read_image(folder / PORTRAIT)
    with write_video(tmp_path / "still.mp4", 30) as append:
        for _ in range(4):
            append(rgb)
    done = blazeport("face", tmp_path / "still.mp4", "-o", tmp_path / "o.mp4", "--jsonl", tmp_path / "f.jsonl")
    assert done.exit_code == 0, done.output
    assert "4 frames, faces in 4" in done.stdout
    assert [len(record["faces"]) for record in records_of(tmp_path / "f.jsonl")] == [1] * 4


def test_a_video_that_breaks_off_keeps_what_was_processed(official: Official, folder: Path, tmp_path: Path) -> None:
    broken, rgb = tmp_path / "broken.avi", read_image(folder / PORTRAIT)[:256, :256]
    writer = cv2.VideoWriter(str(broken), cv2.VideoWriter.fourcc(*"MJPG"), 25, (256, 256))
    for _ in range(30):
        writer.write(rgb)
    writer.release()
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    done = blazeport("face", broken, "-o", tmp_path / "o.mp4", "--jsonl", tmp_path / "f.jsonl")
    assert done.exit_code == 1
    assert "breaks off after" in done.stderr
    assert "kept" in done.stderr
    assert "Traceback" not in done.output
    count = len(records_of(tmp_path / "f.jsonl"))
    assert 5 < count < 30
    assert open_video(tmp_path / "o.mp4").num_frames == count


class Unplugged:
    """A camera that gives two pictures."""

    def __init__(self, index: int, backend: int) -> None:
        self.left = 2

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, what: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.zeros((64, 64, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        pass


class Stopped(Unplugged):
    """A camera whose user presses Ctrl-C after two pictures."""

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.left == 0:
            raise KeyboardInterrupt
        return super().read()


def test_a_camera_that_is_unplugged_keeps_what_was_processed(
    official: Official, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Unplugged)
    done = blazeport("face", "camera:0", "--jsonl", tmp_path / "f.jsonl")
    assert done.exit_code == 1
    assert "Is it still plugged in?" in done.stderr
    assert [record["source"] for record in records_of(tmp_path / "f.jsonl")] == ["camera:0"] * 2


def test_ctrl_c_is_how_a_camera_ends(official: Official, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Stopped)
    done = blazeport("face", "camera:0", "--jsonl", tmp_path / "f.jsonl", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert "2 frames" in done.stdout
    assert len(records_of(tmp_path / "f.jsonl")) == 2
    assert (tmp_path / "camera-0.mp4").exists()


def test_a_bad_video_among_others_does_not_stop_them(official: Official, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"")
    done = blazeport("face", tmp_path / "bad.mp4", folder / PORTRAIT, "--jsonl", tmp_path / "f.jsonl")
    assert done.exit_code == 1
    assert "bad.mp4 is empty" in done.stderr
    assert "1 of 2 inputs could not be processed" in done.stderr
    assert len(records_of(tmp_path / "f.jsonl")) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{clip}", "-o", "{clip}"], "would write over the video"),
        (["{clip}", "-o", "o.png"], "-o must be an .mp4 file or a folder for a video"),
        (["{photo}", "-o", "o.mp4"], "-o must be a picture or a folder for a photo"),
        (["{clip}", "{photo}", "-o", "o.mp4"], "-o must be a folder for several"),
        (["{clip}", "--sequence"], "no INPUT is a folder"),
        (["{clip}", "--static", "--no-smoothing"], "exclude each other"),
        (["{clip}", "--static", "--sequence"], "exclude each other"),
        (["{clip}", "--smooth-masks"], "needs --masks"),
        (["{clip}", "--max-people", "0"], "0 is not in the range"),
        (["{clip}", "--timestamps", "true"], "'true' is not one of"),
    ],
)
def test_outputs_and_options_that_fit_no_stream_are_refused(
    folder: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    done = blazeport("pose", *(each.format(clip=clip, photo=folder / POSE) for each in arguments))
    assert done.exit_code == 2, done.output
    assert reason in done.stderr


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
