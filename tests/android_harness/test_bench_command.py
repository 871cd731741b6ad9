"""`blazeport android bench|verify|sustained` as a user runs them, on test devices through the real adb."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blazeport.android_harness.store import ROOT
from blazeport.benchmarks.records import (
    BenchmarkRecord,
    MachineRecord,
    ModelRecord,
    RunRecord,
    SettingsRecord,
    ToolRecord,
    read_record,
    read_records,
)
from blazeport.benchmarks.sustained import throttling_point
from blazeport.cli.main import main
from blazeport.convert.manifest import read_manifest
from blazeport.errors import ConfigError
from blazeport.files import sha256_of
from blazeport.weights.fetch import demo_photos
from click.testing import CliRunner, Result
from testing import profiles
from testing.adb_server import AdbServer
from testing.bench import exports, networks, reach, runner_folder, settings_of, wrapped_runner
from testing.device import TestDevice

REPOSITORY = Path(__file__).parents[2]
# For what does not depend on adb's version.
ONE_ADB = pytest.mark.parametrize("adb_server", ["adb-36"], indirect=True)
PIXEL_NAME, SAMSUNG_NAME = "Google Pixel 6", "samsung SM-A526B"
QUICK = ["--repeats", "2", "--min-samples", "3", "--min-seconds", "0"]
Command = Callable[..., Result]


@pytest.fixture
def command(adb_server: AdbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`blazeport android …` with the tests' adb, and journals of its own; what was downloaded stays where it is."""
    for name, value in environment(adb_server, tmp_path).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, ["android", *map(str, arguments)])

    return run


def environment(adb_server: AdbServer, folder: Path) -> dict[str, str]:
    from blazeport.files import cache_dir

    cache = folder / "cache"
    cache.mkdir()
    for name in ("downloads", "litert"):
        (cache_dir() / name).mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(cache_dir() / name)
    return {
        "BLAZEPORT_ADB": str(adb_server.binary),
        "BLAZEPORT_CACHE": str(cache),
        **{name: value for name, value in adb_server.env.items() if name.startswith(("ANDROID_", "ADB_", "HOME"))},
    }


def test_bench_measures_three_exports_on_all_attached_phones_and_prints_numbers_beside_their_doubts(
    command: Command, adb_server: AdbServer, pixel: TestDevice, samsung: TestDevice, tmp_path: Path
):
    phones, files = (pixel, samsung), exports()
    for phone in phones:
        reach(adb_server, phone)
    before = [settings_of(phone) for phone in phones]
    options = [*QUICK, "--affinity", "big", "--runner-binary", runner_folder(), "-o", tmp_path / "out"]
    done = command("bench", *files, *options)
    assert done.exit_code == 0, done.output
    assert "3 cells × 2 repeats on 2 phones, all at once: at least" in done.stderr
    assert "°C" in done.stderr
    assert "Google Pixel 6 (synthetic)" in done.stdout
    assert "These are not a phone's numbers" in done.stdout
    records, problems = read_records(tmp_path / "out")
    assert (len(records), problems) == (6, [])
    digests = {sha256_of(path) for path in files}
    machines = {record.machine.id for record in records}
    assert len(machines) == 2
    assert {(r.machine.id, r.model.sha256) for r in records} == set(itertools.product(machines, digests))
    for record in records:
        assert {run.number for run in record.runs} == {0, 1}
        assert all(len(run.samples_us) >= 3 and run.celsius_before is not None for run in record.runs)
        manifest = read_manifest(next(each for each in files if each.name == record.model.file).with_suffix(".json"))
        assert (record.model.variant, record.model.precision) == (manifest.variant, manifest.precision)
        assert record.delegate_applied == "xnnpack"
        assert record.tool.context == "shell"
        assert record.settings.mask
        assert record.synthetic
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    assert not list((tmp_path / "cache/android-journals").glob("*.json"))
    for phone, settings in zip(phones, before, strict=True):
        assert settings_of(phone) == settings
        stored = {path.name: path for path in phone.path(ROOT).iterdir() if path.is_file()}
        assert set(stored) == digests
        assert all(sha256_of(path) == name for name, path in stored.items())
        assert not list(phone.path(ROOT).glob("scratch-*"))


def test_bench_measures_the_phones_of_two_adb_servers_in_one_command(
    command: Command, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    with AdbServer(adb_server.binary) as other, TestDevice(tmp_path / "other", profiles.SAMSUNG) as samsung:
        other.connect(samsung)
        pairs = ((adb_server, pixel), (other, samsung))
        for server, phone in pairs:
            reach(server, phone)
            assert set(server.states()) == {phone.serial}
        before = [settings_of(phone) for _, phone in pairs]
        servers = [word for server, _ in pairs for word in ("--adb-server", server.address)]
        files, options = networks(tmp_path / "files"), ["--runner-binary", runner_folder(), "-o", tmp_path / "out"]
        done = command("bench", *files, *servers, *QUICK, *options)
        assert done.exit_code == 0, done.output
        assert "1 cell × 2 repeats on 2 phones" in done.stderr
        assert [settings_of(phone) for _, phone in pairs] == before
    records, problems = read_records(tmp_path / "out")
    assert not problems
    assert {record.machine.name: len(record.runs) for record in records} == {PIXEL_NAME: 2, SAMSUNG_NAME: 2}


def test_bench_prints_json_and_resumes(command: Command, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    reach(adb_server, pixel)
    first, second = networks(tmp_path / "files", 2)
    options = [*QUICK, "--runner-binary", runner_folder(), "-o", tmp_path / "out", "--serial", pixel.serial, "--json"]
    assert command("bench", first, *options).exit_code == 0
    again = command("bench", first, *options)
    assert again.exit_code == 1
    assert "--resume" in again.stderr
    done = command("bench", first, second, *options, "--resume")
    assert done.exit_code == 0
    (report,) = json.loads(done.stdout)
    assert (report["kept"], len(report["records"]), report["error"]) == (1, 2, None)
    assert all(record["synthetic"] for record in report["records"])


def test_without_a_phone_bench_says_in_one_line_what_to_do(command: Command, tmp_path: Path):
    done = command("bench", "--estimate", tmp_path / "not-built-yet.tflite")
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "No phone is attached. Plug one in" in line


@ONE_ADB
def test_make_android_bench_without_a_phone_says_in_one_line_what_to_do(adb_server: AdbServer, tmp_path: Path):
    """The target's recipe as it is, in an environment that is up to date."""
    for name in ("Makefile", "requirements.lock", "setup.cfg", "pyproject.toml", "weights/sources.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    for stamp in (".environment", ".weights"):
        (tmp_path / ".venv" / stamp).touch()
    env = {**adb_server.env, "BLAZEPORT_ADB": str(adb_server.binary), "BLAZEPORT_CACHE": str(tmp_path / "cache")}
    if "PYTHONPATH" in os.environ:
        env["PYTHONPATH"] = os.environ["PYTHONPATH"]
    done = subprocess.run(["make", "android-bench"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout == ""
    said, makes_own = done.stderr.splitlines()
    assert "No phone is attached. Plug one in" in said
    assert re.fullmatch(r"make: \*\*\* \[Makefile:\d+: android-bench\] Error 1", makes_own)
    assert done.returncode != 0
    assert not (tmp_path / "build").exists()


@ONE_ADB
def test_build_runner_says_what_it_built(command: Command, tmp_path: Path):
    done = command("build-runner", "--abi", "x86_64", "-o", tmp_path / "runner")
    assert done.exit_code == 0, done.output
    assert "x86_64: LiteRT 2." in done.stdout
    assert (tmp_path / "runner" / "x86_64" / "bundle.json").exists()


@ONE_ADB
def test_the_estimate_needs_no_files(command: Command, pixel: TestDevice, tmp_path: Path):
    done = command("bench", "--estimate", tmp_path / "a.tflite", tmp_path / "b.tflite", "--threads", "1,2")
    assert done.exit_code == 0
    assert "4 cells × 5 repeats on 1 phone, all at once: at least 2.7 minutes" in done.stderr


@ONE_ADB
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.tflite"], "Expected a .tflite file at gone.tflite"),
        (["x.tflite", "--threads", "one"], "Expected numbers such as 1,2,4"),
        (["x.tflite", "--runner", "benchmark_model"], "needs --runner-binary"),
        (["x.tflite", "--op-profile"], "--op-profile needs --runner benchmark_model"),
    ],
)
def test_bench_refuses_what_it_cannot_do(
    arguments: list[str], said: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.tflite").touch()
    done = command("bench", *arguments)
    assert done.exit_code in (1, 2)
    assert said in done.stderr


def test_what_was_not_measured_makes_the_command_fail(
    command: Command, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    reach(adb_server, pixel)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    files = [*networks(tmp_path / "files"), broken]
    done = command("bench", *files, *QUICK, "--runner-binary", runner_folder(), "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "Not everything was measured" in done.stderr
    assert "broken.tflite, 1 thread, cpu" in done.stderr
    assert len(read_records(tmp_path / "out")[0]) == 1


def test_a_killed_bench_leaves_a_journal_and_the_next_command_puts_the_phone_back(
    command: Command, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    reach(adb_server, pixel)
    before = settings_of(pixel)
    (path,) = networks(tmp_path / "files")
    options = [
        "--repeats",
        "3",
        "--min-seconds",
        "0.5",
        "--runner-binary",
        str(runner_folder()),
        "-o",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", "from blazeport.cli.main import main; main()", "android", "bench", str(path), *options],
        env=dict(os.environ),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        journals = tmp_path / "cache" / "android-journals"
        wait_for(lambda: list((tmp_path / "out").glob(".*.partial.json")))
        assert settings_of(pixel) != before
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert list(journals.glob("*.json"))
    assert settings_of(pixel) != before
    done = command("devices")
    assert done.exit_code == 0
    assert "Put back" in done.stderr
    assert settings_of(pixel) == before
    assert not list(journals.glob("*.json"))
    done = command("bench", path, *options, "--resume")
    assert done.exit_code == 0, done.output
    (record,) = read_records(tmp_path / "out")[0]
    assert sorted(run.number for run in record.runs) == [0, 1, 2]
    assert len({run.session for run in record.runs}) == 2
    assert settings_of(pixel) == before


@ONE_ADB
def test_verify_prints_every_output_and_fails_when_one_is_wrong(
    command: Command, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in demo_photos()[:2]:
        shutil.copy(photo, photos)
    (path,) = networks(tmp_path / "files")
    options = ["--inputs", photos, "--limit", "2", "--runner-binary", runner_folder()]
    done = command("verify", path, *options)
    assert done.exit_code == 0, done.output
    assert "boxes" in done.stdout
    assert "scores" in done.stdout
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(path.read_bytes()[:1000])
    done = command("verify", path, broken, *options, "--json")
    assert done.exit_code == 1
    assert "Not verified. broken.tflite" in done.stderr
    assert [each["passed"] for each in json.loads(done.stdout)] == [True, False]


@ONE_ADB
def test_sustained_finds_where_a_heating_phone_begins_to_throttle(
    command: Command, adb_server: AdbServer, phone: Callable[..., TestDevice], tmp_path: Path
):
    pixel = phone(profiles.PIXEL, time_scale=0)
    reach(adb_server, pixel)
    (path,) = networks(tmp_path / "files")
    runner = wrapped_runner(tmp_path / "runner", "busy 50")
    options = ["--slice-seconds", "0.05", "--runner-binary", runner, "-o", tmp_path / "out", "--json"]
    done = command("sustained", path, "--minutes", "0.1", *options)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    record = read_record(Path(found["record"]))
    assert found["throttling"]["reason"] in ("status", "latency")
    assert found["throttling"] == {**vars(point := throttling_point(record)), "slowdown": point.slowdown}  # type: ignore[arg-type, union-attr]
    assert record.settings.mode == "sustained"
    celsius = [run.celsius_after for run in record.runs if run.celsius_after is not None]
    assert max(celsius) > celsius[0] + 5
    assert any(run.throttled for run in record.runs)
    assert record.synthetic


@ONE_ADB
def test_sustained_takes_one_phone(command: Command, pixel: TestDevice, samsung: TestDevice, tmp_path: Path):
    done = command("sustained", tmp_path / "x.tflite", "-o", tmp_path)
    assert done.exit_code == 1
    assert "choose one with --serial" in done.stderr


def sustained_record(medians: list[float], throttled_from: int = 99, mode: str = "sustained") -> BenchmarkRecord:
    runs = tuple(
        RunRecord(
            number=number,
            session="s",
            started="2026-01-01T00:00:00+00:00",
            seconds=10.0 * number,
            samples_us=(median,),
            celsius_after=30.0 + number,
            throttled=number >= throttled_from,
        )
        for number, median in enumerate(medians)
    )
    return BenchmarkRecord(
        model=ModelRecord(file="a.tflite", sha256="m", size_bytes=1),
        machine=MachineRecord(kind="android", id="d", name="phone"),
        settings=SettingsRecord(num_threads=1, min_samples=1, min_seconds=1, warmup_runs=0, repeats=1, mode=mode),  # type: ignore[arg-type]
        tool=ToolRecord(name="native", version="1", sha256="t", context="shell"),
        delegate_applied="xnnpack",
        synthetic=True,
        runs=runs,
    )


def test_throttling_begins_where_the_phone_says_so_or_where_latency_stays_higher():
    by_status = throttling_point(sustained_record([10, 10, 10, 10, 10, 12], throttled_from=4))
    assert by_status is not None
    assert (by_status.seconds, by_status.celsius, by_status.reason) == (40.0, 34.0, "status")
    by_latency = throttling_point(sustained_record([10, 10, 10, 10, 13, 10, 14, 15, 14]))
    assert by_latency is not None
    assert (by_latency.seconds, by_latency.reason, by_latency.slowdown) == (60.0, "latency", 1.4)
    assert throttling_point(sustained_record([10, 10, 10, 13, 10, 10, 10.5, 13])) is None
    assert throttling_point(sustained_record([10, 20])) is None
    with pytest.raises(ConfigError, match="sustained"):
        throttling_point(sustained_record([10], mode="repeats"))


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)
