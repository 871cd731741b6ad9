"""Verdicts of records made by hand, and the gate of a CI."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from benchmark_records import host_record, host_run, steady
from blazeport.benchmarks.compare import compare
from blazeport.benchmarks.gate import gate
from blazeport.benchmarks.records import MachineRecord
from blazeport.errors import ConfigError

NOISE = np.exp(np.random.default_rng(0).normal(0, 0.01, 10))


def pair(factor: float, count: int = 10, **fields: Any) -> tuple[Any, Any]:
    """Records of the same session; B takes `factor` of A's time, on a machine that becomes slower and slower."""
    drift = 1000.0 * np.linspace(1, 3, count)
    a = host_record(steady(list(drift), **fields))
    b = host_record(steady(list(drift * factor * NOISE[:count]), **fields), file="b.tflite")
    return a, b


@pytest.mark.parametrize(("factor", "verdict"), [(0.9, "faster"), (1.1, "slower"), (1.0, "cannot tell")])
def test_the_verdict_is_read_from_the_interval_of_the_paired_ratio(factor: float, verdict: str):
    found = compare(*pair(factor))
    assert (found.verdict, found.paired) == (verdict, True)
    assert found.interval.low <= factor * 1.02
    assert found.interval.high >= factor * 0.98
    assert ("Cannot tell" in found.sentence) == (verdict == "cannot tell")


def test_medians_that_differ_are_not_enough():
    """B's median is 20 % lower, by one lucky half of the runs."""
    a = host_record(steady([100.0] * 6))
    b = host_record(steady([60.0, 60.0, 60.0, 100.0, 140.0, 140.0]), file="b.tflite")
    assert compare(a, b).verdict == "cannot tell"


def test_blocks_that_took_turns_are_compared_with_each_other():
    """The machine becomes ten times slower in the middle of each run; the ratio of neighbours does not care."""
    a = [host_run(number, [[10.0] * 3, [100.0] * 3]) for number in range(6)]
    b = [host_run(number, [[11.0] * 3, [110.0] * 3, [110.0] * 3]) for number in range(6)]
    assert compare(host_record(a), host_record(b, file="b.tflite")).interval.ratio == pytest.approx(1.1)


def test_runs_of_other_sessions_are_not_pairs_and_it_says_so():
    a, b = pair(0.5)
    b = dataclasses.replace(b, runs=tuple(dataclasses.replace(run, session="s2") for run in b.runs))
    found = compare(a, b)
    assert not found.paired
    assert any("not made side by side" in doubt for doubt in found.doubts)


def test_cannot_tell_says_how_many_more_runs_would_do():
    a = host_record(steady([100.0] * 6))
    b = host_record(steady([101.0, 99.0, 104.0, 97.0, 102.0, 99.0]), file="b.tflite")
    found = compare(a, b)
    assert found.verdict == "cannot tell"
    assert found.pairs_needed > 6
    assert f"{found.pairs_needed - 6} more would tell" in found.sentence


def test_too_few_runs_give_no_verdict():
    found = compare(*pair(0.5, 3))
    assert found.verdict == "cannot tell"
    assert any("a verdict needs 5" in doubt for doubt in found.doubts)


def test_memory_and_loading_have_verdicts_of_their_own():
    runs = {"baseline_rss_bytes": 50_000_000}
    a = host_record(steady([100.0] * 6, peak_rss_bytes=60_000_000, init_us=900.0, **runs))
    b = host_record(steady([100.0] * 6, peak_rss_bytes=58_000_000, init_us=990.0, **runs), file="b.tflite")
    memory, init = compare(a, b, metric="memory"), compare(a, b, metric="init")
    assert (memory.verdict, memory.interval.ratio) == ("smaller", pytest.approx(0.8))
    assert (init.verdict, init.interval.ratio) == ("slower", pytest.approx(1.1))
    assert compare(a, b, metric="p90").verdict == "cannot tell"


def test_an_unstable_record_is_named_in_the_doubts():
    a = host_record([host_run(number, [[10.0], [20.0], [10.0]]) for number in range(6)])
    b = host_record(steady([10.0] * 6), file="b.tflite")
    assert any("a.tflite: Unstable" in doubt for doubt in compare(a, b).doubts)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"machine": MachineRecord(kind="host", id="h2", name="Other")}, "machine.id"),
        ({"synthetic": True}, "synthetic"),
        ({"num_threads": 2}, "settings.num_threads"),
    ],
)
def test_unlike_runs_refuse_and_say_which_field_differs(change: dict[str, Any], field: str):
    with pytest.raises(ConfigError, match=f"{field} is"):
        compare(host_record(steady([1.0] * 5)), host_record(steady([1.0] * 5), **change))


def test_what_was_not_measured_is_an_error():
    a, b = pair(1.0)
    with pytest.raises(ConfigError, match="memory needs at least 2 runs"):
        compare(a, b, metric="memory")
    with pytest.raises(ConfigError, match="Unknown metric"):
        compare(a, b, metric="p95")


# --- gate -------------------------------------------------------------------------------------------------------------


def moved(factor: float, file: str = "a.tflite", **fields: Any) -> Any:
    return host_record(steady([100.0 * factor * noise for noise in NOISE[:8]], session="s2"), file=file, **fields)


def test_the_gate_names_what_became_slower_and_lets_the_rest_pass():
    then = [host_record(steady(list(100.0 * NOISE[:8])), file=name) for name in ("a.tflite", "b.tflite", "c.tflite")]
    now = [moved(1.2), moved(1.0, "b.tflite"), moved(0.8, "c.tflite")]
    found = gate(now, then, max_regression=0.03)
    (regression,) = found.regressions
    assert regression.candidate.startswith("a.tflite")
    assert "slower" in found.sentence(regression)
    assert "Allowed is 1.030" in found.sentence(regression)


def test_a_slowdown_within_what_is_allowed_passes():
    then = [host_record(steady(list(100.0 * NOISE[:8])))]
    assert gate([moved(1.2)], then, max_regression=0.5).regressions == ()


def test_a_result_that_may_be_slower_is_undecided_and_no_regression():
    then = [host_record(steady([100.0, 130.0, 80.0, 100.0, 120.0, 90.0]))]
    found = gate([moved(1.05)], then, max_regression=0.03)
    assert found.regressions == ()
    assert len(found.undecided) == 1


def test_cells_of_one_side_are_named_and_no_shared_cell_is_an_error():
    then = [host_record(steady([1.0] * 5)), host_record(steady([1.0] * 5), file="old.tflite")]
    found = gate([moved(0.01), moved(1.0, "new.tflite")], then, max_regression=0.03)
    assert any(sentence.startswith("new.tflite") for sentence in found.unmatched)
    assert any(sentence.startswith("old.tflite") for sentence in found.unmatched)
    with pytest.raises(ConfigError, match=r"share no cell.*new\.tflite"):
        gate([moved(1.0, "new.tflite")], then, max_regression=0.03)


def test_a_cell_that_is_there_twice_is_an_error():
    twice = [host_record(steady([1.0] * 5))] * 2
    with pytest.raises(ConfigError, match="two records"):
        gate(twice, twice, max_regression=0.03)
