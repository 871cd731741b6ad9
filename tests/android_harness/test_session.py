"""Sessions on test devices through the real adb: complete records, whatever goes wrong on the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blazeport.android_harness.outcome import Event
from blazeport.android_harness.runners.base import RunRequest
from blazeport.android_harness.runners.choose import runner_factory
from blazeport.android_harness.runners.native import NativeRunner
from blazeport.android_harness.session import MAX_TRIES
from blazeport.android_harness.store import ROOT, Store
from blazeport.benchmarks.records import read_record, read_records
from blazeport.errors import AdbTimeout, ConfigError, DeviceOffline, DeviceUnauthorized, NoSpace, NotFit
from blazeport.files import sha256_of
from testing import profiles
from testing.adb_server import AdbServer
from testing.bench import measure, networks, other_weights, reach, runner_folder, settings_of, signed_face
from testing.device import TestDevice

Phones = Callable[..., TestDevice]


def test_a_session_needs_few_adb_calls_and_pushes_every_file_once(
    adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    device = reach(adb_server, pixel)
    measure([device], networks(tmp_path / "files", 2), tmp_path, threads=(1, 2))
    cells, runs = 4, 8
    pushes = sum(service.startswith("sync:") for service in pixel.services)
    assert pushes == 3  # the runner in one, and each file
    assert device.calls - pushes <= 10 * cells + 2 * runs
    assert device.calls - pushes <= 20 + 2 * runs  # what it really is


def test_other_bytes_under_the_same_name_and_of_the_same_size_are_what_runs(
    adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    (path,) = networks(tmp_path / "files")
    device = reach(adb_server, pixel)
    store, runner = Store(device), NativeRunner(runner_folder())
    runner.prepare(device, store)
    request = RunRequest(model=path, min_samples=1, min_seconds=0, warmup_runs=0, want_outputs=True)
    first = runner.run(device, store, request).outputs
    old = path.read_bytes()
    path.write_bytes(other_weights(old, 2.0))
    assert path.stat().st_size == len(old)
    second = runner.run(device, store, request).outputs
    assert first is not None
    assert second is not None
    assert (first[0]["scores"] != second[0]["scores"]).any()


def test_an_old_phone_and_one_that_tells_little_are_measured_too(
    adb_server: AdbServer, old_phone: TestDevice, sparse_phone: TestDevice, tmp_path: Path
):
    devices = [reach(adb_server, phone) for phone in (old_phone, sparse_phone)]
    reports = measure(devices, networks(tmp_path / "files"), tmp_path)
    assert [(report.error, report.failures) for report in reports] == [(None, []), (None, [])]


FAULTS = [
    pytest.param("drop", "push", {"after_bytes": 100_000}, id="drop_mid_push"),
    pytest.param("corrupt_byte", "push", {"after_bytes": 100_000}, id="corrupt_byte_in_push"),
    pytest.param("slow_link", "push", {"bytes_per_s": 3e7}, id="slow_link"),
    pytest.param("reboot", "push", {"after_bytes": 100_000, "seconds": 0.5}, id="reboot_mid_push"),
    pytest.param("drop", "shell", {"matching": "--report"}, id="drop_as_the_run_begins"),
    pytest.param("drop", "shell", {"matching": "--report", "after_bytes": 60}, id="drop_mid_report"),
    pytest.param("drop", "shell", {"matching": "thermalservice", "after_calls": 2}, id="drop_between_runs"),
    pytest.param("reboot", "shell", {"matching": "--report", "seconds": 0.5}, id="reboot_mid_run"),
    pytest.param("corrupt_byte", "shell", {"matching": "--report", "after_bytes": 60}, id="corrupt_byte_in_report"),
    pytest.param("hang", "shell", {"matching": "--report"}, id="hang_mid_run"),
]


@pytest.mark.parametrize(("kind", "place", "details"), FAULTS)
def test_a_session_recovers_from_what_passes(
    kind: str, place: str, details: dict, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    before = settings_of(pixel)
    fault = pixel.fault(kind, at=place, **details)
    (report,) = measure(
        [reach(adb_server, pixel)], networks(tmp_path / "files"), tmp_path, run_timeout_s=3.0, cooldown_s=30.0
    )
    assert fault.struck == 1
    assert report.error is None
    (record,) = report.records.values()
    assert sorted(run.number for run in record.runs) == [0, 1]
    assert bool(record.failures) == (details.get("matching") == "--report")
    assert settings_of(pixel) == before


LASTING = [
    pytest.param("disk_full", "push", {"times": 99}, NoSpace, id="disk_full"),
    pytest.param("offline", "shell", {"matching": "--report", "after_calls": 2}, DeviceOffline, id="offline"),
    pytest.param(
        "unauthorized", "shell", {"matching": "--report", "after_calls": 2}, DeviceUnauthorized, id="unauthorized"
    ),
    pytest.param(
        "reboot", "shell", {"matching": "--report", "after_calls": 2, "seconds": None}, DeviceOffline, id="never_back"
    ),
]


@pytest.mark.parametrize(("kind", "place", "details", "error"), LASTING)
def test_what_lasts_is_a_typed_error_that_keeps_what_was_measured_and_resume_makes_the_rest(
    kind: str,
    place: str,
    details: dict,
    error: type[Exception],
    adb_server: AdbServer,
    pixel: TestDevice,
    tmp_path: Path,
):
    files, before = networks(tmp_path / "files", 2), settings_of(pixel)
    pixel.fault(kind, at=place, **details)
    device = reach(adb_server, pixel)
    device.reconnect_timeout_s = 1.0
    (report,) = measure([device], files, tmp_path)
    assert isinstance(report.error, error)
    results = tmp_path / "results"
    assert not [path for path in results.glob("*") if not path.name.startswith(".")]
    kept = {run.started for path in results.glob(".*.partial.json") for run in read_record(path).runs}
    assert bool(kept) == (place == "shell")
    pixel.heal()
    if kind == "reboot":
        pixel.power_on()
    adb_server.connect(pixel)
    (report,) = measure([reach(adb_server, pixel)], files, tmp_path, resume=True)
    assert report.complete
    records, problems = read_records(results)
    assert not problems
    assert [len(record.runs) for record in records] == [2, 2]
    assert kept <= {run.started for record in records for run in record.runs}
    assert settings_of(pixel) == before


def test_a_push_that_hangs_costs_no_finished_cell_and_resume_survives_one_more(
    adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    files, before = networks(tmp_path / "files", 2), settings_of(pixel)
    stuck = sha256_of(files[1])
    hang: dict[str, Any] = {"at": "push", "matching": stuck, "after_bytes": 100_000}
    options: dict[str, Any] = {"repeats": 1, "transfer_timeout_s": 1.0}
    fault = pixel.fault("hang", times=99, **hang)
    (report,) = measure([reach(adb_server, pixel)], files, tmp_path, **options)
    assert fault.struck == 2 * MAX_TRIES
    assert (report.error, len(report.failures)) == (None, 1)
    assert re.search(r"face1\.tflite.* adb push did not end within 1\.\d+ s", report.failures[0])
    (finished,) = (tmp_path / "results").iterdir()
    content = finished.read_bytes()
    assert read_record(finished).model.file == "face0.tflite"
    assert not [path for path in pixel.path(ROOT).iterdir() if path.name.startswith(stuck)]
    assert settings_of(pixel) == before
    pixel.heal()
    once = pixel.fault("hang", **hang)
    (report,) = measure([reach(adb_server, pixel)], files, tmp_path, resume=True, **options)
    assert once.struck == 1
    assert (report.complete, report.kept, len(report.records)) == (True, 1, 2)
    assert finished.read_bytes() == content
    assert sha256_of(pixel.path(f"{ROOT}/{stuck}")) == stuck
    assert settings_of(pixel) == before


def test_a_phone_that_hangs_while_the_runner_is_pushed_is_given_up_with_a_timeout(
    adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    before, program = settings_of(pixel), tmp_path / "program"
    program.write_text("#!/system/bin/sh\n")
    fault = pixel.fault("hang", at="push", times=99)
    (report,) = measure(
        [reach(adb_server, pixel)],
        networks(tmp_path / "files"),
        tmp_path,
        make_runner=runner_factory("benchmark_model", str(program)),
        transfer_timeout_s=1.0,
    )
    assert isinstance(report.error, AdbTimeout)
    assert fault.struck == 2
    assert not list(pixel.path(ROOT).iterdir())
    assert settings_of(pixel) == before


def test_one_lost_phone_does_not_stop_the_other(
    adb_server: AdbServer, pixel: TestDevice, samsung: TestDevice, tmp_path: Path
):
    pixel.fault("offline", at="shell", matching="--report")
    devices = [reach(adb_server, phone) for phone in (pixel, samsung)]
    devices[0].reconnect_timeout_s = 1.0
    lost, other = measure(devices, networks(tmp_path / "files"), tmp_path)
    assert isinstance(lost.error, DeviceOffline)
    assert other.complete


def test_finished_records_are_never_overwritten_and_resume_leaves_them_as_they_are(
    adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    first, second = networks(tmp_path / "files", 2)
    measure([reach(adb_server, pixel)], [first], tmp_path)
    (path,) = (tmp_path / "results").iterdir()
    content = path.read_bytes()
    with pytest.raises(ConfigError, match="--resume"):
        measure([reach(adb_server, pixel)], [first, second], tmp_path)
    (report,) = measure([reach(adb_server, pixel)], [first, second], tmp_path, resume=True)
    assert (report.kept, len(report.records)) == (1, 2)
    assert path.read_bytes() == content


def test_kept_runs_that_cannot_be_read_are_made_again(adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    (path,) = networks(tmp_path / "files")
    measure([reach(adb_server, pixel)], [path], tmp_path)
    (record,) = (tmp_path / "results").iterdir()
    record.rename(record.with_name(f".{record.stem}.partial.json")).write_text('{"schema_version": 1, "model')
    (report,) = measure([reach(adb_server, pixel)], [path], tmp_path, resume=True)
    assert report.complete
    assert any("were lost" in sentence for sentence in read_record(record).failures)


def test_a_warm_phone_is_waited_for_until_it_is_cool_and_not_for_a_time(
    adb_server: AdbServer, phone: Phones, tmp_path: Path
):
    pixel = phone(profiles.PIXEL, time_scale=0)
    states = []

    def listen(event: Event) -> None:
        states.append(event.state)
        if event.state == "running" and event.done == 0:
            pixel.work(200)
        if event.state == "cooling down":
            pixel.pass_time(100)

    (report,) = measure([reach(adb_server, pixel)], networks(tmp_path / "files"), tmp_path, listen=listen)
    assert report.complete
    assert states.count("cooling down") > 1
    (record,) = report.records.values()
    valid = [run for run in record.runs if not run.throttled]
    assert all(run.celsius_before is not None and run.celsius_before <= 37 for run in record.runs)
    assert [run.number for run in valid] in ([0, 1], [1, 0])


def test_a_throttled_run_is_kept_marked_and_made_again_at_the_end(adb_server: AdbServer, phone: Phones, tmp_path: Path):
    pixel = phone(profiles.PIXEL, time_scale=0)

    def listen(event: Event) -> None:
        if event.state == "running" and event.done == 0:
            pixel.work(1000)
        if event.state == "cooling down":
            pixel.pass_time(10_000)

    (report,) = measure([reach(adb_server, pixel)], networks(tmp_path / "files"), tmp_path, listen=listen)
    (record,) = report.records.values()
    assert [(run.number, run.throttled) for run in record.runs] == [(0, True), (1, False), (0, False)]
    assert any("1 of 3 runs were throttled" in sentence for sentence in record.warnings())


def test_a_phone_that_does_not_cool_down_is_given_up_with_its_runs_kept(
    adb_server: AdbServer, phone: Phones, tmp_path: Path
):
    pixel = phone(profiles.PIXEL, time_scale=0)

    def listen(event: Event) -> None:
        if event.state == "running" and event.done == 1:
            pixel.work(1000)

    device, files = reach(adb_server, pixel), networks(tmp_path / "files", 2)
    (report,) = measure([device], files, tmp_path, listen=listen, cooldown_s=0.3)
    assert isinstance(report.error, NotFit)
    assert "did not cool down" in str(report.error)
    assert len(list((tmp_path / "results").glob(".*.partial.json"))) == 2


def test_a_hostile_file_name_is_a_file_name(adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    names = ("a b", "$(touch pwned)", "it's", 'say "hi"', ";reboot;", "..", "-rf", "ä\nb")
    paths = [tmp_path / f"{name}.tflite" for name in names]
    for path in paths:
        path.write_bytes(signed_face())
    (report,) = measure([reach(adb_server, pixel)], paths, tmp_path, repeats=1)
    assert (report.error, report.failures) == (None, [])
    assert sorted(record.model.file for record in report.records.values()) == sorted(path.name for path in paths)
    assert set(report.records) == set((tmp_path / "results").iterdir())
    assert not list(pixel.path("/").rglob("pwned"))


def test_a_hostile_property_stays_in_the_record_and_out_of_file_names(
    adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    pixel.set_property("ro.product.model", "../../x'\"$(touch /data/local/tmp/pwned)\n;id")
    (report,) = measure([reach(adb_server, pixel)], networks(tmp_path / "files"), tmp_path, repeats=1)
    (written,) = report.records
    assert written.parent == tmp_path / "results"
    assert "/" not in written.name.removeprefix(str(tmp_path))
    assert not pixel.path("/data/local/tmp/pwned").exists()


def test_a_phone_that_is_hung_up_for_good_is_a_timeout(adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    pixel.fault("hang", at="shell", matching="--report", times=99)
    device = reach(adb_server, pixel)
    (report,) = measure([device], networks(tmp_path / "files"), tmp_path, repeats=1, run_timeout_s=1.0)
    assert isinstance(report.error, AdbTimeout) or any("did not end within" in each for each in report.failures)
