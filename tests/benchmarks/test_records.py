from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blazeport.benchmarks.records import (
    BenchmarkRecord,
    MachineRecord,
    ModelRecord,
    RunRecord,
    SettingsRecord,
    SummaryRecord,
    ToolRecord,
    merge,
    read_record,
    read_records,
)
from blazeport.cli.schema import record_schema
from blazeport.errors import ConfigError, InputError
from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "benchmark.json"


def run(number: int = 0, samples: tuple[float, ...] = (10.0, 11.0, 12.0), **fields: Any) -> RunRecord:
    fields = {"celsius_before": 30.0, **fields}
    return RunRecord(number=number, session="a", started="2026-01-01T00:00:00+00:00", samples_us=samples, **fields)


def record(*runs: RunRecord, **fields: Any) -> BenchmarkRecord:
    defaults: dict[str, Any] = {
        "model": ModelRecord(file="lite.tflite", sha256="m" * 64, size_bytes=3, heads=("landmarks", "presence")),
        "machine": MachineRecord(kind="android", id="d1", name="Pixel", facts={"ram": 4, "soc": None}),
        "settings": SettingsRecord(num_threads=1, min_samples=3, min_seconds=0, warmup_runs=1, repeats=len(runs)),
        "tool": ToolRecord(name="native", version="2.3.0", sha256="t" * 64, context="shell"),
        "delegate_applied": "xnnpack",
        "synthetic": False,
    }
    return BenchmarkRecord(runs=runs, **(defaults | fields))


def test_a_record_survives_writing_and_reading(tmp_path: Path):
    written = record(run(), run(1, notes=("note",)), verification={"max_abs": 0.0}, failures=("lost",))
    written.write(tmp_path / "cell.json")
    assert read_record(tmp_path / "cell.json") == written


def test_the_schema_in_the_docs_is_the_one_of_the_code_and_fits_a_record():
    assert SCHEMA.read_text(encoding="utf-8") == record_schema("benchmark")
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(record(run()).to_json()))


def test_statistics_weigh_runs_equally_and_leave_throttled_ones_out():
    long = run(0, (10.0,) * 100)
    found = record(long, run(1, (20.0,)), run(2, (30.0,)), run(3, (500.0,), throttled=True))
    assert found.median_us == 20.0
    assert len(found.samples_us) == 102
    assert found.percentile_us(50) == 10.0
    assert found.cv == pytest.approx(np.std([10, 20, 30], ddof=1) / 20)
    low, high = found.interval_us() or (0, 0)
    assert (low, high) == (10.0, 30.0)
    assert any("1 of 4 runs were throttled" in sentence for sentence in found.warnings())


def test_too_few_runs_have_no_interval_and_equal_ones_an_empty_one():
    assert record(run(), run(1)).interval_us() is None
    assert record(run(), run(1), run(2)).interval_us() == (11.0, 11.0)


def test_a_tool_without_samples_is_said_to_have_none():
    summary = SummaryRecord(count=75, mean_us=12167.6, min_us=11787.0, max_us=13649.0)
    found = record(run(samples=(), summary=summary))
    assert found.median_us == 12167.6
    assert found.percentile_us(90) is None
    assert any("the mean of each run is its own" in sentence for sentence in found.warnings())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"synthetic": True}, "not a phone's numbers"),
        ({"failures": ("connection lost",)}, "connection lost"),
        ({"runs": ()}, "No valid run"),
        ({"runs": (run(celsius_before=None),)}, "No temperature could be read"),
        ({"runs": (run(), run(1, (20.0,)))}, "Unstable"),
        ({"runs": (run(), dataclasses.replace(run(1), session="b"))}, "from 2 sessions"),
    ],
)
def test_doubts_are_sentences_beside_the_number(fields: dict[str, Any], sentence: str):
    found = dataclasses.replace(record(run()), **fields)
    assert any(sentence in warning for warning in found.warnings())


def test_a_publishable_record_has_no_warning():
    settings = SettingsRecord(
        num_threads=1, min_samples=1024, min_seconds=1, warmup_runs=5, repeats=5, inputs_sha256="i" * 64
    )
    runs = [run(number, (10.0,) * 1024) for number in range(5)]
    assert record(*runs, settings=settings).warnings() == ()


def test_alike_records_merge():
    merged = merge([record(run()), record(run(), failures=("lost",))])
    assert len(merged.runs) == 2
    assert merged.failures == ("lost",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.sha256", {"model": ModelRecord(file="lite.tflite", sha256="n" * 64, size_bytes=3)}),
        ("machine.id", {"machine": MachineRecord(kind="android", id="d2", name="Pixel")}),
        ("tool.context", {"tool": ToolRecord(name="native", version="2.3.0", sha256="t" * 64, context="process")}),
        ("delegate_applied", {"delegate_applied": "gpu"}),
        ("synthetic", {"synthetic": True}),
        (
            "settings.num_threads",
            {"settings": SettingsRecord(num_threads=4, min_samples=3, min_seconds=0, warmup_runs=1, repeats=1)},
        ),
    ],
)
def test_unlike_records_refuse_to_merge_and_say_which_field_differs(field: str, value: dict[str, Any]):
    with pytest.raises(ConfigError, match=rf"do not belong together: {field} is"):
        merge([record(run()), record(run(), **value)])


def broken_records() -> list[Any]:
    whole = json.loads(record(run()).to_json())
    unlike = {
        "an unknown field": whole | {"surprise": 1},
        "a missing field": {key: value for key, value in whole.items() if key != "tool"},
        "a wrong type": whole | {"synthetic": "yes"},
        "an older version": whole | {"schema_version": 0},
        "a newer version": whole | {"schema_version": 99},
        "a foreign file": {"name": "package", "version": "1.0"},
        "a list": [1, 2],
        "a time that is none": whole | {"runs": [whole["runs"][0] | {"samples_us": [float("nan")]}]},
        "a run of nothing": whole | {"runs": [whole["runs"][0] | {"samples_us": []}]},
        "an unknown context": whole | {"tool": whole["tool"] | {"context": "browser"}},
    }
    texts = {name: json.dumps(value) for name, value in unlike.items()}
    half = json.dumps(whole)[: len(json.dumps(whole)) // 2]
    return [pytest.param(text, id=name) for name, text in (texts | {"half a file": half, "nothing": ""}).items()]


@pytest.mark.parametrize("text", broken_records())
def test_what_is_no_record_is_named_and_skipped(text: str, tmp_path: Path):
    record(run()).write(tmp_path / "good.json")
    (tmp_path / "bad.json").write_text(text)
    (tmp_path / ".half.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json"):
        read_record(tmp_path / "bad.json")
    records, problems = read_records(tmp_path)
    assert records == [record(run())]
    assert len(problems) == 1
    assert "bad.json" in problems[0]


def test_a_missing_record_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(InputError, match=r"gone\.json"):
        read_record(tmp_path / "gone.json")
