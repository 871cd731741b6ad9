"""Latency: samples of every round, ratios by hand-made samples, and a cache that may be lost. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from blazeport.benchmarks.latency import Latencies, LatencyCache, Ratio, measure_latencies, ratio_of
from blazeport.errors import ConfigError, InputError, OutputError
from blazeport.files import sha256_of
from blazeport.runtime.interpreter import Model

FACE = "face_detection_short_range"


def latencies(*rounds_us: tuple[float, ...], name: str = "a") -> Latencies:
    return Latencies(file=f"{name}.tflite", sha256=name * 64, rounds_us=rounds_us)


# --- ratios -----------------------------------------------------------------------------------------------------------


def test_the_median_is_over_all_runs():
    assert latencies((1.0, 2.0, 9.0), (3.0, 50.0)).median_us == 3.0


def test_a_ratio_pairs_the_medians_of_each_round():
    candidate = latencies((5.0, 6.0, 90.0), (2.0, 2.0, 2.0), (30.0, 30.0, 30.0))
    baseline = latencies((12.0, 12.0, 1.0), (4.0, 1.0, 9.0), (60.0, 60.0, 99.0), name="b")
    assert ratio_of(candidate, baseline) == Ratio(median=0.5, low=0.5, high=0.5)


def test_a_machine_that_slows_down_for_both_changes_no_ratio():
    rounds = [(100.0, 110.0, 105.0), (300.0, 320.0, 310.0), (1000.0, 1100.0, 1050.0)]
    doubled = [tuple(2 * sample for sample in samples) for samples in rounds]
    ratio = ratio_of(latencies(*doubled), latencies(*rounds))
    assert (ratio.median, ratio.low, ratio.high) == (2.0, 2.0, 2.0)


def test_one_disturbed_round_does_not_move_the_middle_half():
    baseline = latencies(*[(100.0,)] * 8)
    candidate = latencies(*[(value,) for value in (50.0, 51.0, 52.0, 53.0, 54.0, 55.0, 56.0, 9999.0)])
    assert ratio_of(candidate, baseline) == Ratio(median=0.535, low=0.52, high=0.55)


def test_a_single_round_has_a_ratio():
    assert ratio_of(latencies((3.0,)), latencies((4.0,))) == Ratio(median=0.75, low=0.75, high=0.75)


def test_files_of_different_measurements_have_no_ratio():
    with pytest.raises(ValueError, match="longer"):
        ratio_of(latencies((1.0,)), latencies((1.0,), (1.0,)))


# --- measuring --------------------------------------------------------------------------------------------------------


def test_every_round_gives_samples_of_every_file(official):
    files = [official(FACE), official("pose_landmark_heavy")]
    measured = measure_latencies(files, rounds=2)
    assert [each.file for each in measured] == [path.name for path in files]
    assert [each.sha256 for each in measured] == [sha256_of(path) for path in files]
    for each in measured:
        assert len(each.rounds_us) == 2
        assert {len(samples) for samples in each.rounds_us} == {len(each.rounds_us[0])}
        assert 3 <= len(each.rounds_us[0]) <= 50
        assert all(sample > 0 for samples in each.rounds_us for sample in samples)


def test_files_are_run_in_an_order_that_changes_by_the_seed(official, monkeypatch: pytest.MonkeyPatch):
    runs: list[tuple[int, float]] = []
    monkeypatch.setattr(Model, "run", lambda self, image: runs.append((id(self), float(image.sum()))))

    def order(seed: int) -> list[int]:
        runs.clear()
        measure_latencies([official(FACE)] * 3, rounds=4, seed=seed)
        numbers = {model: number for number, model in enumerate(dict.fromkeys(model for model, _ in runs))}
        return [numbers[model] for model, _ in runs]

    assert order(0) == order(0)
    assert order(0) != order(1)


def test_integer_files_are_measured_too(official, tmp_path: Path):
    import tflite_surgery

    edited = tflite_surgery.read(official(FACE).read_bytes())
    tflite_surgery.quantize_io(edited, np.uint8, (2 / 255, 128), {0: (2.0, 128), 1: (2.0, 128)})
    (tmp_path / "uint8.tflite").write_bytes(tflite_surgery.write(edited))
    (measured,) = measure_latencies([tmp_path / "uint8.tflite"], rounds=1, num_threads=2)
    assert len(measured.rounds_us) == 1


@pytest.mark.parametrize("rounds", [0, -1])
def test_a_measurement_has_at_least_one_round(official, rounds: int):
    with pytest.raises(ConfigError, match=f"rounds must be at least 1. Received: {rounds}"):
        measure_latencies([official(FACE)], rounds=rounds)


def test_a_file_that_is_no_model_is_an_input_error(tmp_path: Path):
    (tmp_path / "x.tflite").write_bytes(b"no model")
    with pytest.raises(InputError, match="is not a TFLite model"):
        measure_latencies([tmp_path / "x.tflite"], rounds=1)


# --- the cache --------------------------------------------------------------------------------------------------------


def test_a_ratio_is_remembered_by_the_contents_of_both_files(tmp_path: Path):
    cache = LatencyCache(tmp_path / "latency.json")
    assert cache.get("a" * 64, "b" * 64) is None
    cache.add(latencies((1.0,), (1.0,)), latencies((2.0,), (4.0,), name="b"))
    expected = Ratio(median=0.375, low=0.25, high=0.5)
    for each in (cache, LatencyCache(tmp_path / "latency.json")):
        assert each.get("a" * 64, "b" * 64) == expected
        assert each.get("b" * 64, "a" * 64) is None
    record = json.loads((tmp_path / "latency.json").read_text())
    assert record["schema_version"] == 1


def test_a_second_ratio_is_added_to_the_first(tmp_path: Path):
    for name in "ac":
        LatencyCache(tmp_path / "latency.json").add(latencies((1.0,), name=name), latencies((2.0,), name="b"))
    cache = LatencyCache(tmp_path / "latency.json")
    assert cache.get("a" * 64, "b" * 64) == cache.get("c" * 64, "b" * 64) == Ratio(median=0.5, low=0.5, high=0.5)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"ratios": 1}',
        b'{"ratios": {"a/b": {"median": 1}}}',
        b'{"ratios": {"a/b": 1}}',
    ],
)
def test_a_damaged_cache_is_measured_anew(tmp_path: Path, content: bytes):
    (tmp_path / "latency.json").write_bytes(content)
    cache = LatencyCache(tmp_path / "latency.json")
    assert cache.get("a", "b") is None
    cache.add(latencies((1.0,)), latencies((2.0,), name="b"))
    assert LatencyCache(tmp_path / "latency.json").get("a" * 64, "b" * 64) is not None


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write .*latency\.json"):
        LatencyCache(tmp_path / "file" / "latency.json").add(latencies((1.0,)), latencies((2.0,)))
