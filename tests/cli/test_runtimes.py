"""`blazeport runtimes` and `blazeport run --runtime`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blazeport.cli.main import main
from blazeport.runtime import runtimes
from blazeport.runtime.runtimes import RUNTIMES, RuntimeStatus
from blazeport.weights.fetch import demo_photos
from click.testing import CliRunner, Result

Official = Callable[[str], Path]


def blazeport(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def photo() -> Path:
    return demo_photos()[0]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteRT as it is, and an onnxruntime that is in no Python."""
    monkeypatch.setenv("BLAZEPORT_ONNXRUNTIME_PYTHON", "/no/such/python")
    few = [RUNTIMES["litert"], RUNTIMES["onnxruntime"]]
    probe_all: Callable[..., list[RuntimeStatus]] = runtimes.probe_all
    monkeypatch.setattr(runtimes, "probe_all", lambda: probe_all(few))


@pytest.mark.usefixtures("few")
def test_runtimes_are_listed_and_what_is_wrong_with_them():
    done = blazeport("runtimes")
    assert done.exit_code == 0, done.output
    header, _, litert, onnx, *problems = (line.strip() for line in done.stdout.splitlines() if line.strip())
    assert header.split() == ["runtime", "files", "usable", "version", "process", "python"]
    assert litert.split()[:3] == ["litert", ".tflite", "yes"]
    assert onnx.split()[:4] == ["onnxruntime", ".onnx", "no", "–"]
    assert problems == [
        "onnxruntime: this Python cannot be run (No such file or directory). "
        "To use onnxruntime: pip install onnxruntime."
    ]


@pytest.mark.usefixtures("few")
def test_runtimes_are_listed_as_json():
    litert, onnx = json.loads(blazeport("runtimes", "--json").stdout)
    assert (litert["usable"], litert["problem"], litert["python"], litert["own_process"]) == (
        *(True, None, sys.executable, False),
    )
    assert (onnx["usable"], onnx["version"], onnx["python_version"], onnx["own_process"]) == (False, None, None, True)


def test_a_face_is_found_in_another_runtime(official: Official, photo: Path, tflite_runtime_python: Path):
    here = blazeport("run", "face", photo)
    there = blazeport("run", "face", photo, "--runtime", "tflite-runtime", "--runtime-python", tflite_runtime_python)
    assert ": 1 face (0." in here.stdout
    assert there.stdout.split(",")[0] == here.stdout.split(",")[0]


def test_a_pose_is_found_in_another_runtime(official: Official, photo: Path, tflite_runtime_python: Path):
    options = ["--model", "lite", "--runtime", "tflite-runtime", "--runtime-python", tflite_runtime_python]
    here, there = blazeport("run", "pose", photo, "--model", "lite"), blazeport("run", "pose", photo, *options)
    assert ": 1 person (presence" in here.stdout
    assert there.stdout.rsplit(",", 1)[0] == here.stdout.rsplit(",", 1)[0]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (
            ["--runtime", "tensorrt"],
            1,
            "Unknown runtime. Expected one of: litert, tflite-runtime, tf-lite, onnxruntime",
        ),
        (["--runtime-python", "python3"], 2, "--runtime-python needs --runtime."),
        (["--runtime", "onnxruntime"], 1, "onnxruntime runs .onnx files. Received: no file for"),
        (["--runtime", "litert", "--runtime-python", "/no/such/python"], 1, "litert cannot be used in /no/such/python"),
    ],
    ids=["unknown", "no runtime", "no file", "no Python"],
)
@pytest.mark.parametrize("task", ["face", "pose"])
def test_what_cannot_be_run_is_one_line(
    task: str, options: list[str], code: int, said: str, official: Official, photo: Path
):
    done = blazeport("run", task, photo, *options)
    assert done.exit_code == code
    assert said in done.stderr.splitlines()[-1]
    assert done.stdout == ""
