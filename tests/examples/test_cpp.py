"""The C++ example: built here, it finds what the pipeline finds, with the same files."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ai_edge_litert
import cv2
import numpy as np
import pytest
from blazeport.cli.main import main
from blazeport.pipeline.face import FaceDetector
from blazeport.pipeline.image import read_image
from blazeport.pipeline.pose import PoseTracker
from blazeport.quantize.foreign import open_tflite, quantize_tflite
from blazeport.weights.fetch import demo_photos
from click.testing import CliRunner

EXAMPLE = Path(__file__).parents[2] / "examples" / "cpp"
LIBRARY = Path(ai_edge_litert.__path__[0]) / "libLiteRt.so"
FACE, FACE_INT8 = "face_detection_short_range.fp16.tflite", "face_detection_short_range.int8_io8.tflite"
POSE, LITE = "pose_detection.fp16.tflite", "pose_landmark_lite.fp16.tflite"

Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Builds the program; runs it with the LiteRT library and some words."""
    if not (shutil.which("cmake") and shutil.which("g++")):
        pytest.skip("the C++ example needs cmake and g++")
    build = tmp_path_factory.mktemp("cpp")
    for command in (["cmake", "-S", EXAMPLE, "-B", build], ["cmake", "--build", build]):
        subprocess.run(command, check=True, capture_output=True)
    return lambda *words: subprocess.run(
        [str(word) for word in (build / "on_device", LIBRARY, *words)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def files(official: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with their manifests and anchors, made of the official ones, which is faster than by Keras."""
    folder = tmp_path_factory.mktemp("files")
    for name in (FACE, POSE, LITE):
        source = open_tflite(official(name.split(".")[0]))
        quantize_tflite(source, folder / name, "fp16", media=demo_photos()[:1])
    words = ["quantize", str(official(FACE.split(".")[0])), "--io", "int8", "-o", str(folder)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[np.ndarray, Path]]:
    """Pixels of photos, and the same as PPM files."""
    made = []
    for photo in demo_photos():
        rgb, path = read_image(photo), tmp_path_factory.mktemp("ppm") / "photo.ppm"
        cv2.imwrite(str(path), rgb[:, :, ::-1])
        made.append((rgb, path))
    return made


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("name", "limit"), [(FACE, 1e-3), (FACE_INT8, 2e-2)], ids=["fp16", "int8 in and out"])
def test_faces_are_those_of_the_pipeline(name: str, limit: float, start: Start, files: Path, photos):
    seen = 0
    for rgb, path in photos:
        height, width = rgb.shape[:2]
        found = answer(start("face", files / name, path))
        expected = FaceDetector(files / name).process(rgb).faces
        assert len(found) == len(expected)
        for received, face in zip(found, expected, strict=True):
            assert received["score"] == pytest.approx(face.score, abs=limit)
            difference = np.array(received["keypoints"]) - face.keypoints * [width, height]
            assert np.abs(difference).max() / max(width, height) <= limit
            (low, high), box = np.array(received["box"]), face.box.reshape(2, 2) * [width, height]
            assert np.abs([low - box[0], high - low - box[1]]).max() / max(width, height) <= limit
        seen += len(found)
    assert seen >= 5


def test_landmarks_are_those_of_the_pipeline(start: Start, files: Path, photos):
    seen = 0
    for rgb, path in photos:
        height, width = rgb.shape[:2]
        found = answer(start("pose", files / POSE, files / LITE, path))
        people = PoseTracker(files / POSE, files / LITE, static=True, refine=False).process(rgb).people
        assert (found is not None) == bool(people)
        for person in people:
            landmarks, side = np.array(found["landmarks"]), person.roi.width * width
            assert np.abs(landmarks[:, :2] - person.landmarks[:, :2] * [width, height]).max() / side <= 2e-3
            assert np.abs(landmarks[:, 2] - person.landmarks[:, 2] * width).max() / side <= 4e-3
            assert np.abs(landmarks[:, 3:] - person.landmarks[:, 3:]).max() <= 1e-2
            assert found["presence"] == pytest.approx(person.presence, abs=1e-3)
            seen += 1
    assert seen >= 4


def spoiled(files: Path, folder: Path, **contents: bytes | None) -> Path:
    """A copy of the face detector with its manifest and anchors, of which some are replaced, or removed by None."""
    endings = {"model": ".fp16.tflite", "manifest": ".fp16.json", "anchors": ".anchors.json"}
    for what, ending in endings.items():
        path = files / f"face_detection_short_range{ending}"
        content = contents.get(what, path.read_bytes())
        if content is not None:
            (folder / path.name).write_bytes(content)
    return folder / FACE


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"model": b"no model"}, "loading the model failed"),
        ({"manifest": None}, "cannot read"),
        ({"manifest": b'{"input": '}, "not JSON at byte 10"),
        ({"manifest": b"[" * 100_000}, "not JSON"),
        ({"manifest": b"{}"}, 'the JSON has no "input"'),
        ({"anchors": None}, "cannot read"),
        ({"anchors": b'{"anchors": [[0.5, 0.5]]}'}, "the anchors are those of another network"),
        ({"anchors": b'{"anchors": [[0.5]]}'}, "vector"),
    ],
    ids=["model", "no manifest", "half a manifest", "deep", "empty", "no anchors", "one anchor", "half an anchor"],
)
def test_files_that_do_not_go_together_are_an_error(
    contents: dict[str, bytes | None], said: str, start: Start, files: Path, photos, tmp_path: Path
):
    done = start("face", spoiled(files, tmp_path, **contents), photos[0][1])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert said in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no PPM file"),
        (b"P6 4 4 255\nabc", "is cut off"),
        (b"P6 -4 4 255\nabc", "is no PPM file"),
        (b"P6 99999999 99999999 255\n", "is no PPM file"),
    ],
    ids=["empty", "cut off", "negative", "huge"],
)
def test_a_photo_that_is_none_is_an_error(content: bytes, said: str, start: Start, files: Path, tmp_path: Path):
    (tmp_path / "photo.ppm").write_bytes(content)
    done = start("face", files / FACE, tmp_path / "photo.ppm")
    assert done.returncode == 1
    assert said in done.stderr


def test_wrong_words_show_how_it_is_used(start: Start):
    done = start("faces")
    assert (done.returncode, done.stderr[:14]) == (1, "error: usage: ")
