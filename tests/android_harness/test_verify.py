"""What a phone computes is compared with this machine and with the official network; each kind of wrong is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tflite_surgery
from blazeport.android_harness.inputs import Inputs
from blazeport.android_harness.runners.base import DamagedRunError, RunRequest
from blazeport.android_harness.runners.choose import runner_factory
from blazeport.android_harness.runners.native import NativeRunner
from blazeport.android_harness.store import Store
from blazeport.android_harness.verify import FLOAT_TOLERANCE, FileVerification, compare, verify_files
from blazeport.errors import ConfigError, DeviceOffline, InputError
from blazeport.runtime.interpreter import Model
from blazeport.weights.fetch import demo_photos, official_file
from testing.adb_server import AdbServer
from testing.bench import measure, reach, runner_folder, settings_of, signed_face, wrapped_runner
from testing.device import TestDevice

Outputs = list[dict[str, np.ndarray]]
KEEP_THE_FIRST = "kept=/data/local/tmp/kept\n[ -f $kept ] && cp $kept outputs.bin || cp outputs.bin $kept"


@pytest.fixture(scope="module")
def photos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for photo in demo_photos():
        shutil.copy(photo, folder)
    return folder


@pytest.fixture
def face(tmp_path: Path) -> Path:
    path = tmp_path / "face.tflite"
    path.write_bytes(signed_face())
    return path


def swapped(path: Path) -> Path:
    """An export whose two outputs have each other's names."""
    model = tflite_surgery.read(signed_face())
    tflite_surgery.sign(model, ("scores", "boxes"))
    path.write_bytes(tflite_surgery.write(model))
    return path


def without_weights(path: Path) -> Path:
    """An export that lost its weights: all are zero."""
    model = tflite_surgery.read(signed_face())
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) > 64:
            buffer.data = np.zeros(len(buffer.data), np.uint8)
    path.write_bytes(tflite_surgery.write(model))
    return path


def verify_on(
    server: AdbServer, phone: TestDevice, files: list[Path], photos: Path, runner: Callable | None = None
) -> list[FileVerification]:
    inputs = Inputs((), photos, limit=3, find_reference=official_file)
    make_runner = runner or (lambda: NativeRunner(runner_folder()))
    return list(verify_files([reach(server, phone)], files, make_runner, inputs))


def test_a_right_phone_passes_and_a_swapped_a_lost_and_a_stale_export_are_caught(
    photos_folder: Path, face: Path, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    files = [face, swapped(tmp_path / "swapped.tflite"), without_weights(tmp_path / "lost.tflite")]
    right, names, lost = verify_on(adb_server, pixel, files, photos_folder)
    assert right.passed
    assert right.verification is not None
    assert right.verification.identical
    assert right.verification.task["missed_percent"] == 0
    assert "fit no variant" in str(names.error)
    assert lost.verification is not None
    assert "the weights are lost" in lost.verification.problems[0]
    assert not names.passed
    assert not lost.passed


def test_an_export_whose_bytes_on_the_phone_are_stale_is_caught(face: Path, adb_server: AdbServer, pixel: TestDevice):
    device = reach(adb_server, pixel)
    store, runner = Store(device), NativeRunner(runner_folder())
    runner.prepare(device, store)
    request = RunRequest(model=face, min_samples=1, min_seconds=0, warmup_runs=0)
    runner.run(device, store, request)
    on_phone = pixel.path(store.put(face))
    on_phone.write_bytes(without_weights(face.with_name("old.tflite")).read_bytes())
    with pytest.raises(DamagedRunError, match="ran other bytes"):
        runner.run(device, store, request)


def test_outputs_of_an_earlier_run_are_caught(
    photos_folder: Path, face: Path, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    other = tmp_path / "other.tflite"
    other.write_bytes(official_file("face_detection_short_range").read_bytes())
    make_runner = runner_factory("native", str(wrapped_runner(tmp_path / "runner", after=KEEP_THE_FIRST)))
    first = verify_on(adb_server, pixel, [face], photos_folder, make_runner)
    assert first[0].passed
    second = verify_on(adb_server, pixel, [without_weights(other)], photos_folder, make_runner)
    assert "are not those of this run" in str(second[0].error)


def test_a_session_measures_nothing_that_is_wrong(
    photos_folder: Path, face: Path, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    files = [face, without_weights(tmp_path / "lost.tflite")]
    inputs = Inputs(files, photos_folder, limit=2, find_reference=official_file)
    (report,) = measure([reach(adb_server, pixel)], files, tmp_path, inputs=inputs, verify=True)
    (record,) = report.records.values()
    assert record.model.file == "face.tflite"
    assert record.settings.inputs_sha256 == inputs.sha256(face)
    assert record.verification is not None
    assert record.verification["outputs"][0]["max_abs"] == 0
    assert len(report.failures) == 1
    assert "the weights are lost" in report.failures[0]


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("drop", {"after_bytes": 1000}),
        ("corrupt_byte", {"after_bytes": 1000}),
        ("reboot", {"after_bytes": 1000, "seconds": 0.5}),
    ],
)
def test_a_fault_while_outputs_are_fetched_costs_nothing_but_time(
    kind: str,
    details: dict,
    photos_folder: Path,
    face: Path,
    adb_server: AdbServer,
    pixel: TestDevice,
    tmp_path: Path,
):
    before = settings_of(pixel)
    inputs = Inputs([face], photos_folder, limit=2)
    fault = pixel.fault(kind, at="pull", **details)
    (report,) = measure([reach(adb_server, pixel)], [face], tmp_path, inputs=inputs, verify=True, cooldown_s=30.0)
    assert fault.struck == 1
    assert report.complete
    (record,) = report.records.values()
    assert record.verification is not None
    assert not record.verification["problems"]
    assert settings_of(pixel) == before


def test_a_phone_lost_while_outputs_are_fetched_is_a_typed_error_and_resume_makes_the_rest(
    photos_folder: Path, face: Path, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    inputs = Inputs([face], photos_folder, limit=2)
    pixel.fault("offline", at="pull", after_bytes=1000)
    device = reach(adb_server, pixel)
    device.reconnect_timeout_s = 1.0
    (report,) = measure([device], [face], tmp_path, inputs=inputs, verify=True)
    assert isinstance(report.error, DeviceOffline)
    assert not list((tmp_path / "results").glob("*.json"))
    pixel.heal()
    adb_server.connect(pixel)
    (report,) = measure([reach(adb_server, pixel)], [face], tmp_path, inputs=inputs, verify=True, resume=True)
    assert report.complete


def test_verify_needs_inputs_and_a_runner_that_gives_outputs(
    photos_folder: Path, face: Path, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    with pytest.raises(ConfigError, match="needs --inputs"):
        measure([reach(adb_server, pixel)], [face], tmp_path, verify=True)
    program = tmp_path / "program"
    program.write_text("#!/system/bin/sh\n")
    with pytest.raises(ConfigError, match="gives no outputs"):
        verify_on(adb_server, pixel, [face], photos_folder, runner_factory("benchmark_model", str(program)))


@pytest.fixture
def given(photos_folder: Path, face: Path) -> tuple[Inputs, Path, Outputs]:
    """Inputs, a file, and the right outputs for them."""
    inputs = Inputs([face], photos_folder, limit=3, find_reference=official_file)
    with Model(face) as model:
        return inputs, face, [model.run(image) for image in inputs.floats(face)]


def nan(outputs: Outputs) -> Outputs:
    outputs[1]["boxes"] = np.full_like(outputs[1]["boxes"], np.nan)
    return outputs


def zero(outputs: Outputs) -> Outputs:
    return [each | {"boxes": np.zeros_like(each["boxes"])} for each in outputs]


def same(outputs: Outputs) -> Outputs:
    return [outputs[0]] * len(outputs)


def rolled(outputs: Outputs) -> Outputs:
    return [*outputs[1:], outputs[0]]


def too_few(outputs: Outputs) -> Outputs:
    return outputs[:-1]


def missing(outputs: Outputs) -> Outputs:
    return [{"boxes": each["boxes"]} for each in outputs]


def transposed(outputs: Outputs) -> Outputs:
    return [{"boxes": each["scores"], "scores": each["boxes"]} for each in outputs]


def a_little_off(outputs: Outputs) -> Outputs:
    return [each | {"boxes": each["boxes"] * np.float32(1.001)} for each in outputs]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (nan, "not finite"),
        (zero, "the same for every input"),
        (same, "stale bytes"),
        (rolled, "belongs to other inputs"),
        (too_few, "for 2 of 3 inputs"),
        (missing, "no output 'scores'"),
        (transposed, "no output 'boxes' of the right shape"),
        (a_little_off, "is off by"),
    ],
)
def test_every_kind_of_wrong_output_is_named(
    spoil: Callable[[Outputs], Outputs], said: str, given: tuple[Inputs, Path, Outputs]
):
    inputs, path, outputs = given
    found = compare(spoil(outputs), path, inputs, tolerance=FLOAT_TOLERANCE)
    assert found.problems
    assert said in found.problems[0]


def test_right_outputs_have_no_problem_also_under_a_files_own_tensor_names(given: tuple[Inputs, Path, Outputs]):
    inputs, path, outputs = given
    own_names = [{"regressors": each["boxes"], "classificators": each["scores"]} for each in outputs]
    for right in (outputs, own_names):
        found = compare(right, path, inputs, tolerance=FLOAT_TOLERANCE)
        assert found.problems == ()
        assert found.identical


def test_a_wider_tolerance_lets_a_small_difference_pass(given: tuple[Inputs, Path, Outputs]):
    inputs, path, outputs = given
    found = compare(a_little_off(outputs), path, inputs, tolerance=0.01)
    assert found.problems == ()
    assert not found.identical


def test_integer_inputs_are_quantized_as_the_file_says(photos_folder: Path, tmp_path: Path):
    model = tflite_surgery.read(signed_face())
    tflite_surgery.quantize_io(model, np.uint8, (1 / 127.5, 127), {})
    tflite_surgery.sign(model, ("boxes", "scores"))
    path = tmp_path / "iou8.tflite"
    path.write_bytes(tflite_surgery.write(model))
    inputs = Inputs([path], photos_folder, limit=1)
    (stored,) = inputs.stored(path)
    assert stored.dtype == np.uint8
    np.testing.assert_allclose((stored.astype(float) - 127) / 127.5, inputs.floats(path)[0], atol=0.5 / 127.5 + 0.01)


def test_photos_without_what_a_network_looks_for_are_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="not a folder"):
        Inputs((), tmp_path / "gone")
