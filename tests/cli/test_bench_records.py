"""`blazeport bench host|compare|gate|ops|scaling|pipeline`, as a user calls them. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmark_records import host_record, steady
from blazeport.cli.main import main
from click.testing import CliRunner, Result

FACE = "face_detection_short_range"


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one record of this machine, written by the command."""
    from blazeport.weights.fetch import official_file

    folder = tmp_path_factory.mktemp("measured")
    done = bench("host", official_file(FACE), "--repeats", 3, "--min-samples", 5, "--min-seconds", 0, "-o", folder)
    assert done.exit_code == 0, done.output
    assert f"{FACE}.tflite" in done.stdout
    assert "! " in done.stdout
    return folder


def test_host_writes_records_that_report_and_gate_read(measured: Path):
    (path,) = measured.glob("*.json")
    record = json.loads(path.read_text())
    assert record["commands"][0].startswith("blazeport")
    done = bench("gate", measured, "--baseline", measured)
    assert done.exit_code == 0, done.output
    assert "Cannot tell" in done.stdout


def test_host_prints_json(official: Callable[[str], Path], data_dir: Path):
    words = ("--repeats", 2, "--min-samples", 2, "--min-seconds", 0, "--threads", "1,2", "--json")
    done = bench("host", official(FACE), *words, "--inputs", data_dir / "images")
    one, two = json.loads(done.stdout)
    assert (one["threads"], two["threads"]) == (1, 2)
    assert one["median_us"] > 0
    assert not any("noise" in sentence for sentence in one["warnings"])


def test_compare_measures_two_files(official: Callable[[str], Path], tmp_path: Path):
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(official(FACE).read_bytes())
    words = ("--repeats", 2, "--min-seconds", 0, "--json", "-o", tmp_path / "records")
    found = json.loads(bench("compare", official(FACE), copy, *words).stdout)
    assert (found["verdict"], found["pairs"], found["paired"]) == ("cannot tell", 2, True)
    done = bench("compare", tmp_path / "records" / "a.json", tmp_path / "records" / "b.json")
    assert done.exit_code == 0
    assert "copy.tflite" in done.stdout


def test_compare_reads_folders_of_records(tmp_path: Path):
    host_record(steady([100.0 + n for n in range(6)])).write(tmp_path / "a" / "x.json")
    host_record(steady([50.0 + n for n in range(6)], session="s2")).write(tmp_path / "b" / "x.json")
    done = bench("compare", tmp_path / "a", tmp_path / "b", "--json")
    assert json.loads(done.stdout)["verdict"] == "faster"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("a.tflite", "a.tflite"), "the same path"),
        (("a.tflite", "b.json"), "must both be .tflite files"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error(names: tuple[str, str], sentence: str):
    done = bench("compare", *names)
    assert done.exit_code == 2
    assert sentence in done.stderr


def test_the_gate_fails_with_the_sentence_that_says_what_got_slower(tmp_path: Path):
    host_record(steady([100.0 + n for n in range(6)])).write(tmp_path / "then" / "x.json")
    host_record(steady([150.0 + n for n in range(6)], session="s2")).write(tmp_path / "now" / "x.json")
    (tmp_path / "now" / "half.json").write_text("{")
    done = bench("gate", tmp_path / "now", "--baseline", tmp_path / "then", "--max-regression", "3%")
    assert done.exit_code == 1
    assert "a.tflite, 1 thread, Server is slower than" in done.stderr
    assert "half.json" in done.stderr
    as_json = bench("gate", tmp_path / "now", "--baseline", tmp_path / "then", "--json")
    assert json.loads(as_json.stdout)["passed"] is False


def test_a_strict_gate_also_fails_for_what_has_no_baseline(tmp_path: Path):
    for name in ("a.tflite", "b.tflite"):
        host_record(steady([100.0] * 6), file=name).write(tmp_path / "now" / f"{name}.json")
    host_record(steady([100.0] * 6)).write(tmp_path / "then" / "x.json")
    words = ("gate", tmp_path / "now", "--baseline", tmp_path / "then")
    assert bench(*words).exit_code == 0
    done = bench(*words, "--strict")
    assert done.exit_code == 1
    assert "b.tflite, 1 thread, Server is not in the baseline" in done.stderr


@pytest.mark.parametrize("text", ["three", "-1%", "5000%"])
def test_a_regression_that_is_no_percentage_is_a_usage_error(text: str, tmp_path: Path):
    done = bench("gate", tmp_path, "--baseline", tmp_path, "--max-regression", text)
    assert done.exit_code == 2
    assert "such as 3%" in done.stderr


def test_a_folder_without_records_is_an_error(tmp_path: Path):
    done = bench("gate", tmp_path, "--baseline", tmp_path)
    assert done.exit_code == 1
    assert "Expected benchmark records" in done.stderr


def test_ops_shows_kinds_and_heads(official: Callable[[str], Path]):
    done = bench("ops", official(FACE), "--runs", 2, "--repeats", 2, "--all")
    assert done.exit_code == 0, done.output
    assert "DWConv" in done.stdout
    assert "scores" in done.stdout
    found = json.loads(bench("ops", official(FACE), "--runs", 2, "--no-heads", "--json").stdout)
    assert found["heads"] == []
    assert len(found["ops"]) == sum(kind["count"] for kind in found["kinds"])


def test_scaling_shows_threads_streams_and_inputs(official: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    from blazeport.benchmarks import scaling

    monkeypatch.setattr(scaling, "BLOCK_SECONDS", 0.01)
    monkeypatch.setattr(scaling, "DEFAULT_ROUNDS", 1)
    words = ("--threads", "1", "--streams", "1,2", "--inputs", "1,2", "--json")
    found = json.loads(bench("scaling", official(FACE), *words).stdout)
    assert [(each["what"], each["number"]) for each in found] == [
        *(("threads", 1), ("streams", 1), ("streams", 2), ("inputs", 1), ("inputs", 2))
    ]


@pytest.mark.parametrize(("task", "model"), [("pose", "lite"), ("face", "short")])
def test_pipeline_shows_the_models_share(data_dir: Path, task: str, model: str):
    clip = data_dir / "clips" / "tfjs_pose_1.mp4"
    words = ("--task", task, "--model", model, "--frames", 5)
    done = bench("pipeline", clip, *words)
    assert done.exit_code == 0, done.output
    assert "the models take" in done.stdout
    found = json.loads(bench("pipeline", clip, *words, "--json").stdout)
    assert 0 < found["model_share"] < 1
    assert set(found["stages_ms"]) == {"crop", "infer", "post"}


def test_pipeline_takes_only_models_of_its_task(tmp_path: Path):
    done = bench("pipeline", tmp_path / "clip.mp4", "--task", "face", "--model", "lite")
    assert done.exit_code == 2
    assert "--task face takes --model short" in done.stderr


def test_measuring_processes_are_quiet(official: Callable[[str], Path]):
    command = [str(Path(sys.executable).with_name("blazeport")), "bench", "host", str(official(FACE))]
    words = ["--repeats", "1", "--min-samples", "2", "--min-seconds", "0", "--json"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=True)
    assert done.stderr == "Measuring 1 cells …\n"
