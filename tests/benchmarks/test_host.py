"""Measuring on this machine, with real processes and the real face detector. No time is asserted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from blazeport.benchmarks.cells import model_record
from blazeport.benchmarks.host import HostOptions, measure_host
from blazeport.benchmarks.host_process import host_process
from blazeport.benchmarks.machine import host_machine, read_load
from blazeport.benchmarks.records import read_records
from blazeport.errors import BlazeportError, ConfigError, InputError, RuntimeUnavailable
from blazeport.files import sha256_of

FACE = "face_detection_short_range"


@pytest.fixture(scope="session")
def face(official: Callable[[str], Path]) -> Path:
    return official(FACE)


def quick(*files: Path, repeats: int = 2, **options: object) -> HostOptions:
    return HostOptions(files=files, repeats=repeats, min_samples=4, min_seconds=0.0, **options)  # type: ignore[arg-type]


def test_every_repeat_is_a_fresh_process_and_everything_is_recorded(face: Path, tmp_path: Path):
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(face.read_bytes())
    first, second = measure_host(quick(face, copy), folder=tmp_path / "records", command="blazeport bench host …")
    assert (first.model.sha256, second.model.file) == (sha256_of(face), "copy.tflite")
    assert first.machine == host_machine()
    assert first.commands == ("blazeport bench host …",)
    for record in (first, second):
        assert [run.number for run in record.runs] == [0, 1]
        for run in record.runs:
            assert len(run.samples_us) >= 4
            assert sum(run.block_runs) == len(run.samples_us)
            assert len(run.warmup_us) == 3
            assert min(run.init_us or 0, run.first_us or 0, run.cpu_us or 0) > 0
            assert (run.peak_rss_bytes or 0) > (run.baseline_rss_bytes or 0) > 0
            assert run.load_average is not None
    assert {run.session for run in first.runs} == {run.session for run in second.runs}
    records, problems = read_records(tmp_path / "records")
    assert not problems
    assert sorted(records, key=lambda each: each.model.file) == sorted(
        (first, second), key=lambda each: each.model.file
    )


def test_threads_are_cells_and_inputs_are_used(face: Path):
    inputs = {face: [np.full((1, 128, 128, 3), value, np.float32) for value in (-1.0, 1.0)]}
    one, two = measure_host(quick(face, threads=(1, 2)), inputs=inputs)
    assert (one.settings.num_threads, two.settings.num_threads) == (1, 2)
    assert one.settings.inputs_sha256 == two.settings.inputs_sha256
    assert not any("noise" in sentence for sentence in one.warnings())


def test_the_same_call_measures_only_what_is_missing(face: Path, tmp_path: Path):
    (first,) = measure_host(quick(face), folder=tmp_path)
    (again,) = measure_host(quick(face), folder=tmp_path)
    assert again == first
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"runs": record["runs"][:1]}))
    (resumed,) = measure_host(quick(face), folder=tmp_path)
    assert resumed.runs[0] == first.runs[0]
    assert resumed.runs[1].session != first.runs[1].session
    assert any("2 sessions" in sentence for sentence in resumed.warnings())


def test_killed_in_the_middle_it_keeps_its_finished_runs_and_goes_on(face: Path, tmp_path: Path):
    words = ["bench", "host", str(face), "--repeats", "6", "--min-samples", "4", "--min-seconds", "0"]
    command = [str(Path(sys.executable).with_name("blazeport")), *words, "-o", str(tmp_path)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        while not (records := list(tmp_path.glob("*.json"))):
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept = json.loads(records[0].read_text())["runs"]
    assert 1 <= len(kept) < 6
    (resumed,) = measure_host(quick(face, repeats=6), folder=tmp_path)
    assert [run.number for run in resumed.runs] == list(range(6))
    assert [run.started for run in resumed.runs[: len(kept)]] == [run["started"] for run in kept]


def test_half_a_record_in_the_folder_is_named_and_not_overwritten(face: Path, tmp_path: Path):
    measure_host(quick(face), folder=tmp_path)
    (path,) = tmp_path.glob("*.json")
    half = path.read_text()[:300]
    path.write_text(half)
    with pytest.raises(InputError, match="Remove it to measure"):
        measure_host(quick(face), folder=tmp_path)
    assert path.read_text() == half


def test_two_names_of_one_record_are_an_error(face: Path, tmp_path: Path):
    copy = tmp_path / "elsewhere" / face.name
    copy.parent.mkdir()
    copy.write_bytes(face.read_bytes())
    with pytest.raises(ConfigError, match="same content and name"):
        measure_host(quick(face, copy), folder=tmp_path / "records")


def test_a_file_that_cannot_be_run_is_an_error_of_its_own_words(tmp_path: Path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\0\0\0\0TFL3" + b"\0" * 40)
    with pytest.raises(InputError, match=r"broken\.tflite"):
        measure_host(quick(broken))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"threads": (0,)}, "threads must be from 1 to 64"),
        ({"files": ()}, "Received none"),
        ({"together": 0}, "together must be at least 1"),
    ],
)
def test_options_out_of_range_are_errors(face: Path, options: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        measure_host(HostOptions(**({"files": (face,)} | options)))  # type: ignore[arg-type]


def test_a_process_that_breaks_off_is_an_error_and_no_wait(face: Path):
    with host_process(face) as process:
        process._process.kill()
        with pytest.raises(BlazeportError, match="broke off"):
            process.ask(3)


def test_the_machine_is_described_without_its_name():
    machine = host_machine()
    assert machine.kind == "host"
    assert machine.facts["threads"] >= machine.facts["usable_threads"] >= 1
    assert os.uname().nodename not in json.dumps(machine.facts)
    before = read_load()
    assert read_load().total_s >= before.total_s


def test_a_runtime_of_another_python_is_measured_and_leaves_untold_what_is_its_own(
    face: Path, tflite_runtime_python: Path
):
    (record,) = measure_host(quick(face, repeats=1, runtime="tflite-runtime", python=tflite_runtime_python))
    (run,) = record.runs
    assert (record.tool.name, record.tool.version) == ("tflite-runtime", "2.14.0")
    assert len(run.samples_us) >= 4
    assert (run.cpu_us, run.peak_rss_bytes, run.baseline_rss_bytes) == (None, None, None)


def test_a_runtime_that_does_not_exist_or_work_is_an_error(face: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="Unknown runtime"):
        measure_host(quick(face, runtime="caffe"))
    with pytest.raises(RuntimeUnavailable, match="cannot be used in"):
        measure_host(quick(face, runtime="tflite-runtime", python=tmp_path / "python"))


def test_an_official_file_is_known_by_its_content(face: Path, tmp_path: Path):
    renamed = tmp_path / "mine.tflite"
    renamed.write_bytes(face.read_bytes())
    found = model_record(renamed)
    assert (found.variant, found.heads, found.precision) == (FACE, ("boxes", "scores"), "fp16")
    renamed.write_bytes(b"\0\0\0\0TFL3")
    assert model_record(renamed).variant is None
