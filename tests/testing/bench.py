"""What the tests of benchmarks on phones share: a built runner, networks to measure, and short sessions."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite_surgery
from blazeport.android_harness.adb import Adb, Device
from blazeport.android_harness.outcome import DeviceReport
from blazeport.android_harness.plan import BenchOptions
from blazeport.android_harness.runner_build import build_runner, read_bundle, write_manifest
from blazeport.android_harness.runners.native import NativeRunner
from blazeport.android_harness.session import SYNTHETIC_PROPERTY, run_session
from blazeport.weights.fetch import official_file
from testing.adb_server import AdbServer
from testing.device import TestDevice

FACE, FACE_HEADS = "face_detection_short_range", ("boxes", "scores")
SETTINGS = ("global/low_power", "global/stay_on_while_plugged_in", "global/airplane_mode_on")
QUICK: dict[str, Any] = {"repeats": 2, "min_samples": 3, "min_seconds": 0.0, "warmup_runs": 1, "poll_s": 0.05}


def runner_folder(abi: str = "x86_64") -> Path:
    """The folder of a native runner that was built for this test run."""
    for program in ("cmake", "g++" if abi == "x86_64" else "aarch64-linux-gnu-g++"):
        if shutil.which(program) is None:
            pytest.skip(f"the native runner for {abi} needs {program}")
    return _built(abi)


@functools.cache
def _built(abi: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="blazeport-runner-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    build_runner(folder, [abi])
    return folder


def wrapped_runner(folder: Path, before: str = "", after: str = "") -> Path:
    """The native runner with shell commands before and after it in every process; `$folder` is where it lies."""
    wrapped = folder / "x86_64"
    shutil.copytree(runner_folder() / "x86_64", wrapped)
    loader = read_bundle(wrapped).loader
    (wrapped / "runner").rename(wrapped / "real")
    lines = (
        "#!/system/bin/sh",
        "folder=${0%/*}",
        before,
        f'"$folder/{loader}" --library-path "$folder" "$folder/real" "$@" || exit 1',
        after,
    )
    (wrapped / "runner").write_text("\n".join(lines) + "\n")
    write_manifest(wrapped, "x86_64", "played", None)
    return folder


@functools.cache
def signed_face(variant: str = FACE) -> bytes:
    """An official face detector with a signature, as our exports have one."""
    model = tflite_surgery.read(official_file(variant).read_bytes())
    tflite_surgery.sign(model, FACE_HEADS)
    return tflite_surgery.write(model)


def other_weights(content: bytes, factor: float = 0.0) -> bytes:
    """A file of the same size whose largest weights are multiplied by `factor`."""
    model = tflite_surgery.read(content)
    largest = max((buffer for buffer in model.buffers if buffer.data is not None), key=lambda each: len(each.data))
    weights = np.array(largest.data, np.uint8).view(np.float16)
    largest.data = (weights * np.float16(factor)).view(np.uint8)
    changed = tflite_surgery.write(model)
    assert len(changed) == len(tflite_surgery.write(tflite_surgery.read(content)))
    return changed


def networks(folder: Path, count: int = 1) -> tuple[Path, ...]:
    """Files to measure, the fastest that there are; no two hold the same bytes."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(count):
        path = folder / f"face{number}.tflite"
        path.write_bytes(signed_face() if number == 0 else other_weights(signed_face(), 1 + number / 4))
        paths.append(path)
    return tuple(paths)


@functools.cache
def exports() -> tuple[Path, ...]:
    """Three files that blazeport exported: a face detector in fp16 and in int8, and the landmarks of pose lite."""
    from blazeport.quantize.export import ExportPlan, export

    folder = Path(tempfile.mkdtemp(prefix="blazeport-exports-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    face = ExportPlan(variants=(FACE,), precisions=("fp16", "int8"))
    pose = ExportPlan(variants=("pose_landmark_lite",), heads=("landmarks",), precisions=("fp16",))
    return tuple(exported.path for plan in (face, pose) for exported in export(plan, folder))


def reach(server: AdbServer, phone: TestDevice) -> Device:
    """A test device through the real adb, which is near and answers at once where it answers at all."""
    phone.set_property(SYNTHETIC_PROPERTY, "1")
    device = Adb(server.binary, env=server.env).device(phone.serial)
    device.reconnect_timeout_s, device.connect_timeout_s, device.unauthorized_for_s = 12.0, 0.5, 1.0
    return device


def measure(
    devices: Iterable[Device], files: Iterable[Path], folder: Path, *, listen: Any = None, **options: Any
) -> list[DeviceReport]:
    """A short session with the native runner; records go to `folder`/results, journals to `folder`/journals."""
    runner = options.pop("make_runner", None) or (lambda: NativeRunner(runner_folder()))
    extra = {name: options.pop(name) for name in ("inputs", "verify") if name in options}
    return run_session(
        list(devices),
        BenchOptions(files=tuple(files), **(QUICK | options)),
        runner,
        folder / "results",
        journal_dir=folder / "journals",
        listen=listen,
        **extra,
    )


def settings_of(phone: TestDevice) -> dict[str, str | None]:
    """What a session changes and must put back."""
    mode = phone.state / "fixed_performance"
    found = {name: phone.setting(name) for name in SETTINGS}
    return {**found, "fixed_performance": mode.read_text().strip() if mode.exists() else None}
