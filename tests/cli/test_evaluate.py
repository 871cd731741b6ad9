"""`blazeport evaluate jitter` and `tracking`: exact on tracks made by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from blazeport.cli.main import main
from click.testing import CliRunner, Result


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def frame(number: int, **found: Any) -> dict[str, Any]:
    return {"source": "clip.mp4", "frame": number, "width": 200, "height": 100, "detector_ran": False} | found


def person(number: int, x_px: float = 0, y_px: float = 0) -> dict[str, Any]:
    return {"number": number, "landmarks": [[0.5 + x_px / 200, 0.5 + y_px / 100, 0, 1, 1]] * 33}


def face(x_px: float) -> dict[str, Any]:
    """A face whose eyes are 40 px apart."""
    return {"keypoints": [[(80 + x_px) / 200, 0.5], [(120 + x_px) / 200, 0.5]] + [[0.5, 0.6]] * 4}


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_jitter_of_a_person_is_in_px(tmp_path: Path) -> None:
    records = write(
        tmp_path / "pose.jsonl",
        [frame(i, people=[person(0, 3 * (-1) ** i, 4 * (-1) ** i)]) for i in range(6)] + [frame(6, people=[])],
    )
    measured = json.loads(evaluate("jitter", records, "--json").stdout)
    assert (measured["kind"], measured["frames"]) == ("people", 6)
    assert measured["rms_px"] == pytest.approx(5)
    assert measured["points_rms_px"] == pytest.approx([5] * 33)
    assert measured["percent_of_inter_ocular"] is None
    assert "5.000" in evaluate("jitter", records).stdout


def test_someone_who_does_not_move_has_no_jitter(tmp_path: Path) -> None:
    records = write(tmp_path / "pose.jsonl", [frame(i, people=[person(0)]) for i in range(3)])
    assert json.loads(evaluate("jitter", records, "--json").stdout)["rms_px"] == 0


def test_jitter_of_a_face_is_relative_to_its_eyes(tmp_path: Path) -> None:
    records = write(tmp_path / "face.jsonl", [frame(i, faces=[face(2 * (-1) ** i)]) for i in range(4)])
    measured = json.loads(evaluate("jitter", records, "--json").stdout)
    assert measured["points_rms_px"] == pytest.approx([2, 2, 0, 0, 0, 0], abs=1e-9)
    assert measured["rms_px"] == pytest.approx(math.sqrt(2 * 4 / 6))
    assert measured["inter_ocular_px"] == pytest.approx(40)
    assert measured["percent_of_inter_ocular"] == pytest.approx(100 * math.sqrt(2 * 4 / 6) / 40)
    assert "% of the distance of the eyes" in evaluate("jitter", records).stdout


def test_losses_and_the_duty_cycle_are_counted(tmp_path: Path) -> None:
    shown = [[0], [0, 1], [1], [], [2], [2, 3], [3], [3]]
    ran = [True, False, False, False, True, False, False, False]
    records = write(
        tmp_path / "pose.jsonl",
        [frame(i, people=[person(n) for n in shown[i]], detector_ran=ran[i]) for i in range(8)],
    )
    assert json.loads(evaluate("tracking", records, "--json").stdout) == {
        "frames": 8,
        "frames_with_people": 7,
        "tracks": 4,
        "losses": 3,
        "detector_runs": 2,
        "duty_cycle": 0.25,
    }
    assert "25.0%" in evaluate("tracking", records).stdout


@pytest.mark.parametrize(
    ("command", "records", "reason"),
    [
        ("jitter", [frame(0, people=[person(0)])], "needs two frames"),
        ("jitter", [frame(i, people=[person(0), person(1)]) for i in range(3)], "needs two frames"),
        ("tracking", [frame(0, faces=[])], "Received: faces"),
        ("tracking", [frame(0, people=[]), frame(0, people=[])], "Expected frame 1. Received: 0"),
        ("tracking", [{"source": "x"}], "Line 1 of"),
        ("tracking", [], "is empty"),
    ],
)
def test_records_that_cannot_be_measured_are_refused(
    tmp_path: Path, command: str, records: list[dict[str, Any]], reason: str
) -> None:
    done = evaluate(command, write(tmp_path / "records.jsonl", records))
    assert done.exit_code == 1
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe no")
    for path, reason in ((tmp_path / "x.jsonl", "was not written by"), (tmp_path / "missing.jsonl", "Cannot read")):
        done = evaluate("tracking", path)
        assert done.exit_code == 1
        assert reason in done.stderr
