"""`blazeport calibrate`: what it prints, as text and as JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from blazeport.cli.main import main
from blazeport.weights.fetch import demo_photos
from click.testing import CliRunner, Result

FACE = "face_detection_short_range"


def calibrate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven photos, one of them twice, and a broken one."""
    for photo in demo_photos():
        shutil.copy(photo, tmp_path)
    shutil.copy(demo_photos()[0], tmp_path / "zwilling.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    return tmp_path


def test_the_audit_is_printed_with_what_is_missing(photos: Path):
    done = calibrate(photos, FACE)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{FACE}: ")
    assert lines[0].endswith(" samples from 8 photos and 0 videos, 1 skipped")
    assert lines[1] == f"alike: {demo_photos()[0].name}, zwilling.jpg"
    assert lines[2].endswith(" detections in 8 of 8 frames")
    assert [line.split(":")[0].strip() for line in lines[3:6]] == ["rotation", "size", "position"]
    assert "held-back samples saturate most in" in done.stdout
    assert "Missing: There are 7 different photos. Best are 50 or more." in lines


def test_json_is_the_whole_record(photos: Path):
    done = calibrate(photos, FACE, "--samples", 8, "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert (record["variant"], record["photos"], record["samples"], record["schema_version"]) == (FACE, 8, 8, 1)
    assert record["skipped"] == ["broken.jpg"]
    assert len(record["saturation"]) == 53


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{tmp}/missing", FACE], "Expected a folder of photos or videos."),
        (["{tmp}", "nonsense"], "Unknown variant. Expected one of: face_detection_short_range, "),
        (["{tmp}/few", FACE], "needs at least 5 letterboxed frames. Received: 4 from 1 files"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, arguments: list[str], reason: str):
    (tmp_path / "few").mkdir()
    shutil.copy(demo_photos()[0], tmp_path / "few")
    done = calibrate(*(each.format(tmp=tmp_path) for each in arguments))
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert reason in done.stderr.splitlines()[-1]
