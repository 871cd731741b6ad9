"""What the commands for phones put into records."""

from __future__ import annotations

import sys

import pytest
from blazeport.cli.android_options import recorded_command


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["android", "bench", "a.tflite", "--serial", "R58M123", "--threads", "1"], "--serial … --threads 1"),
        (["android", "bench", "a.tflite", "--serial=R58M123", "--resume"], "--serial=… --resume"),
        (["android", "bench", "--adb-server", "lab.example:5037", "--serial", "x y"], "--adb-server … --serial …"),
    ],
)
def test_no_serial_number_gets_into_a_recorded_command(
    words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", ["blazeport", *words])
    command = recorded_command().replace("'", "")
    assert expected in command
    assert "R58M123" not in command
