"""The comparison with the mediapipe package, here with a stand-in for it. No time is asserted."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blazeport.cli.main import main
from blazeport.pipeline.image import read_image
from blazeport.pipeline.video import write_video
from blazeport.weights.fetch import demo_photos
from click.testing import CliRunner, Result

Official = Callable[[str], Path]

LITE = "pose_landmark_lite"
STAND_IN = """
from types import SimpleNamespace
class Pose:
    def __init__(self, model_complexity):
        assert model_complexity in (0, 1, 2)
    def process(self, rgb):
        assert rgb.shape[2] == 3
        sum(range(20000))
        return SimpleNamespace(pose_landmarks=[])
class FaceDetection:
    def __init__(self, model_selection):
        assert model_selection in (0, 1)
    def process(self, rgb):
        return SimpleNamespace(detections=None)
solutions = SimpleNamespace(
    pose=SimpleNamespace(Pose=Pose), face_detection=SimpleNamespace(FaceDetection=FaceDetection)
)
"""


def peer(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", "peer", *map(str, arguments)])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    rgb = read_image(next(photo for photo in demo_photos() if photo.suffix == ".jpg"))
    with write_video(tmp_path / "clip.mp4", 30) as append:
        for _ in range(3):
            append(rgb)
    return tmp_path / "clip.mp4"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package named mediapipe that processes take up."""
    package = tmp_path / "peer" / "mediapipe"
    (package / "modules" / "pose_landmark").mkdir(parents=True)
    (package / "__init__.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return package


def test_both_sides_track_the_clip_in_alternating_blocks(
    official: Official, clip: Path, stand_in: Path, tmp_path: Path
) -> None:
    out = tmp_path / "peer.json"
    done = peer("--clip", clip, "--peer-python", sys.executable, "--rounds", 2, "-o", out, official(LITE))
    assert done.exit_code == 0, done.output
    assert f"{LITE}.tflite" in done.stdout
    (result,) = json.loads(out.read_text())["results"]
    assert result["variant"] == LITE
    assert [len(row) for row in result["cpu_ms"]] == [len(row) for row in result["peer_cpu_ms"]] == [20, 20]
    assert result["peer_seen"] == 1
    assert result["ratio"] > 0
    # The wheel lacks some official files; they are put into its place.
    assert len(list((stand_in / "modules" / "pose_landmark").iterdir())) == 3


def test_a_face_detector_is_compared_with_mediapipes_face_loop(
    official: Official, clip: Path, stand_in: Path, tmp_path: Path
) -> None:
    out = tmp_path / "peer.json"
    files = [official("face_detection_short_range"), official("face_detection_full_range_sparse")]
    done = peer("--clip", clip, "--peer-python", sys.executable, "--rounds", 1, "-o", out, *files)
    assert done.exit_code == 0, done.output
    short, full = json.loads(out.read_text())["results"]
    assert (short["variant"], full["variant"]) == ("face_detection_short_range", "face_detection_full_range_sparse")
    assert (short["seen"], short["peer_seen"]) == (1, 0)
    assert min(short["peak_rss_bytes"], short["peer_peak_rss_bytes"]) > 1e6


def test_what_cannot_be_compared_is_said(
    official: Official, clip: Path, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = tmp_path / "own.tflite"
    shutil.copy(official("pose_detection"), unknown)
    options = ["--peer-python", sys.executable]
    for arguments, reason in (
        (["--clip", tmp_path / "missing.mp4", *options], "does not exist"),
        (["--clip", clip, *options, unknown], "must be one of: pose_landmark_lite"),
        (["--clip", clip, "--peer-python", tmp_path / "python"], "Make its environment with: make bench-peer"),
    ):
        done = peer(*arguments)
        assert done.exit_code == 1
        assert reason in done.stderr
    (stand_in / "__init__.py").write_text("raise SystemExit(3)")
    done = peer("--clip", clip, *options, official(LITE))
    assert done.exit_code == 1
    assert "A tracking process broke off" in done.stderr
