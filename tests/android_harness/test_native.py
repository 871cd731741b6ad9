"""The native runner: its outputs are LiteRT's to the bit, and it gives every sample away."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blazeport.android_harness.inputs import Inputs
from blazeport.android_harness.runner_build import build_runner, read_bundle
from blazeport.android_harness.runners.base import RunnerError, RunRequest
from blazeport.android_harness.runners.native import NativeRunner
from blazeport.android_harness.store import Store
from blazeport.android_harness.verify import verify_files
from blazeport.errors import ConfigError, DeviceError
from blazeport.runtime.interpreter import Model
from blazeport.weights.fetch import demo_photos
from testing import profiles
from testing.adb_server import AdbServer
from testing.bench import reach, runner_folder
from testing.device import TestDevice


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the program here as a phone does: through its own loader, with its own libraries only."""
    bundle = read_bundle(runner_folder() / "x86_64")
    assert bundle.loader is not None
    command = [bundle.folder / bundle.loader, "--library-path", bundle.folder, bundle.folder / "runner"]
    litert = ["--litert", str(bundle.folder / "libLiteRt.so")]
    return subprocess.run([*command, *litert, *arguments], capture_output=True, text=True, cwd=folder, check=False)


def noise(model: Model, count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).random((count, *model.input_shape), np.float32))


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("variant", ["face_detection_short_range", "pose_landmark_lite"])
def test_outputs_are_those_of_litert_to_the_bit(
    variant: str, num_threads: int, official: Callable[[str], Path], tmp_path: Path
):
    model = Model(official(variant))
    images = noise(model, 2)
    (tmp_path / "in").write_bytes(b"".join(image.tobytes() for image in images))
    options = ["--model", str(official(variant)), "--inputs", "in", "--outputs", "out", "--report", "report"]
    done = start(tmp_path, *options, "--threads", str(num_threads), "--min-samples", "2", "--min-seconds", "0")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report").read_text())
    data, offset = (tmp_path / "out").read_bytes(), 0
    for image in images:
        for expected, tensor in zip(model.run(image).values(), report["outputs"], strict=True):
            received = np.frombuffer(data, np.float32, expected.size, offset).reshape(tensor["shape"])
            np.testing.assert_array_equal(received, expected)
            offset += tensor["bytes"]
    assert offset == len(data) == report["outputs_bytes"]


def test_the_report_keeps_init_first_warmup_and_every_sample_apart(official: Callable[[str], Path], tmp_path: Path):
    path = str(official("face_detection_short_range"))
    options = ["--min-samples", "7", "--min-seconds", "0", "--warmup-runs", "3", "--nonce", 'a"\\b', "--threads", "2"]
    assert start(tmp_path, "--model", path, "--report", "r", *options).returncode == 0
    report = json.loads((tmp_path / "r").read_text())
    assert (len(report["warmup_ns"]), len(report["samples_ns"])) == (3, 7)
    assert all(time > 0 for time in (report["init_ns"], report["first_ns"], *report["samples_ns"]))
    assert report["nonce"] == 'a"\\b'
    assert report["threads_alive"] >= 2
    assert report["fully_accelerated"] is True
    assert report["steady_cpu_ns"] > 0
    assert not list(tmp_path.glob("*.part"))


def test_seconds_extend_the_samples(official: Callable[[str], Path], tmp_path: Path):
    path = str(official("face_detection_short_range"))
    start(tmp_path, "--model", path, "--report", "r", "--min-samples", "1", "--min-seconds", "0.3")
    report = json.loads((tmp_path / "r").read_text())
    assert report["steady_wall_ns"] >= 0.3e9
    assert sum(report["samples_ns"]) <= report["steady_wall_ns"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--model is needed"),
        (["--model", "gone", "--report", "r"], "loading the model"),
        (["--model", "gone", "--report", "r", "--treads", "2"], "unknown flag --treads"),
        (["--model"], "a value is missing after --model"),
        (["--model", "broken", "--report", "r"], "loading the model"),
        (["--model", "MODEL", "--report", "r", "--inputs", "broken"], "not a multiple of 196608"),
        (["--model", "MODEL", "--report", "no/such/r", "--min-seconds", "0"], "cannot write"),
        (["--model", "MODEL", "--report", "r", "--litert", "gone.so"], "cannot load LiteRT"),
    ],
)
def test_what_goes_wrong_is_said_and_leaves_no_report(
    arguments: list[str], said: str, official: Callable[[str], Path], tmp_path: Path
):
    (tmp_path / "broken").write_bytes(b"not a model")
    path = str(official("face_detection_short_range"))
    done = start(tmp_path, *(path if word == "MODEL" else word for word in arguments))
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "r").exists()


def run_on(device: Any, path: Path, folder: Path, **request: Any) -> Any:
    store, runner = Store(device), NativeRunner(folder)
    runner.prepare(device, store)
    defaults: dict[str, Any] = {"min_samples": 1, "min_seconds": 0.0, "warmup_runs": 0}
    return runner.run(device, store, RunRequest(model=path, **(defaults | request)))


def test_a_phone_gives_the_outputs_of_litert_here(
    official: Callable[[str], Path], adb_server: AdbServer, pixel: TestDevice
):
    path = official("face_detection_short_range")
    model = Model(path)
    images = tuple(noise(model, 3))
    result = run_on(reach(adb_server, pixel), path, runner_folder(), inputs=images, want_outputs=True, mask="f0")
    for image, outputs in zip(images, result.outputs, strict=True):
        for received, expected in zip(outputs.values(), model.run(image).values(), strict=True):
            np.testing.assert_array_equal(received, expected)
    assert (pixel.state / "affinity").read_text().startswith("f0 ")


def test_a_program_that_ends_badly_on_the_phone_says_why(adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"not a model")
    with pytest.raises(RunnerError, match=r"ended with 1 .* loading the model"):
        run_on(reach(adb_server, pixel), path, runner_folder())


def test_a_phone_without_a_build_for_it_is_told_what_to_do(adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    with pytest.raises(DeviceError, match="make android-runner"):
        run_on(reach(adb_server, pixel), tmp_path / "x.tflite", tmp_path)


def test_a_runner_that_was_changed_after_its_build_is_refused(tmp_path: Path):
    bundle = read_bundle(runner_folder() / "x86_64")
    for name, path in {**bundle.paths, "bundle.json": bundle.folder / "bundle.json"}.items():
        (tmp_path / name).write_bytes(path.read_bytes())
    (tmp_path / "libLiteRt.so").write_bytes(b"other")
    with pytest.raises(DeviceError, match="not the file that was built"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text('{"schema_version": 1}')
    with pytest.raises(DeviceError, match="no usable native runner"):
        read_bundle(tmp_path)


def test_an_ndk_needs_a_library_for_android(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANDROID_NDK_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="--android-litert"):
        build_runner(tmp_path / "out")
    with pytest.raises(DeviceError, match="must be the folder of an NDK"):
        build_runner(tmp_path / "out", ["arm64-v8a"], android_litert=tmp_path / "libLiteRt.so")


def test_an_unknown_abi_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="Unknown ABI"):
        build_runner(tmp_path, ["mips"])


@pytest.mark.arm64
@pytest.mark.parametrize("adb_server", ["adb-36"], indirect=True)
@pytest.mark.parametrize("variant", ["face_detection_short_range", "pose_landmark_lite"])
def test_arm64_code_gives_the_outputs_of_this_machine(
    variant: str,
    official: Callable[[str], Path],
    adb_server: AdbServer,
    phone: Callable[..., TestDevice],
    tmp_path: Path,
):
    shutil.copy(demo_photos()[0], tmp_path)
    inputs = Inputs((), tmp_path, limit=1, find_reference=official)
    device = reach(adb_server, phone(profiles.PIXEL, arch="arm64"))
    (found,) = verify_files(
        [device], [official(variant)], lambda: NativeRunner(runner_folder("arm64-v8a")), inputs, tolerance=1e-5
    )
    assert found.error is None
    assert found.verification is not None
    assert found.verification.problems == ()
