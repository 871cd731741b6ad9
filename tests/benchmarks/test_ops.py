"""Where the time goes: real profiles and real sub-networks. No time is asserted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tflite_surgery
from blazeport.benchmarks import op_worker
from blazeport.benchmarks.ops import by_kind, head_costs, keep_heads, profile
from blazeport.benchmarks.records import OpRecord
from blazeport.errors import BlazeportError, ConfigError, InputError
from blazeport.runtime.interpreter import Model

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"


def test_every_operator_that_the_delegate_runs_is_timed(official: Callable[[str], Path]):
    found = profile(official(FACE), runs=3)
    kinds = {kind.kind: kind for kind in by_kind(found)}
    assert [op.name for op in found] == [str(number) for number in range(len(found))]
    assert sum(kind.count for kind in kinds.values()) == len(found)
    assert sum(kind.share for kind in kinds.values()) == pytest.approx(1.0)
    depthwise = [kind.count for name, kind in kinds.items() if "DWConv" in name]
    assert sum(depthwise) == 16  # the 16 blaze blocks


def test_kinds_are_added_up_and_the_costliest_is_first():
    ops = [OpRecord(kind=kind, name="", mean_us=time, calls=1) for kind, time in (("a", 1.0), ("b", 5.0), ("a", 2.0))]
    first, second = by_kind(ops)
    assert (first.kind, first.share) == ("b", pytest.approx(0.625))
    assert (second.kind, second.count, second.mean_us) == ("a", 2, 3.0)


@pytest.mark.parametrize("kept", [("landmarks", "presence"), ("segmentation",), ("heatmap", "world_landmarks")])
def test_a_file_with_fewer_heads_computes_the_same(official: Callable[[str], Path], kept: tuple[str, ...]):
    path = official(LITE)
    image = np.random.default_rng(0).random((1, 256, 256, 3), np.float32)
    with Model(path) as whole:
        content = keep_heads(path.read_bytes(), tuple(whole.outputs), kept)
        expected = whole.run(image)
    with Model(content) as part:
        found = part.run(image)
    assert set(found) == set(kept)
    for head in kept:
        np.testing.assert_array_equal(found[head], expected[head])


def test_operators_that_only_other_heads_needed_are_gone(official: Callable[[str], Path]):
    path = official(LITE)
    with Model(path) as whole:
        heads = tuple(whole.outputs)
    sizes = {
        kept: len(profile_names(keep_heads(path.read_bytes(), heads, kept))) for kept in (heads, heads[:2], heads[2:3])
    }
    assert sizes[heads] > max(sizes[heads[:2]], sizes[heads[2:3]])


def profile_names(content: bytes) -> list[str]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    return [op["op_name"] for op in interpreter._get_ops_details()]


def test_heads_are_measured_without_and_alone_whatever_they_are_called(official: Callable[[str], Path], tmp_path: Path):
    names = ["../boxes", "call/scores:0"]
    model = tflite_surgery.read(official(FACE).read_bytes())
    tflite_surgery.sign(model, names)
    (tmp_path / "strange.tflite").write_bytes(tflite_surgery.write(model))
    costs = head_costs(tmp_path / "strange.tflite", repeats=2, min_seconds=0.0)
    assert sorted(cost.head for cost in costs) == names
    for cost in costs:
        assert cost.alone.candidate == f"{cost.head} alone"
        assert cost.without is not None
        assert cost.without.candidate == f"all but {cost.head}"
        assert cost.alone.paired


def test_a_file_that_is_none_and_no_runs_are_errors(tmp_path: Path, official: Callable[[str], Path]):
    (tmp_path / "empty.tflite").write_bytes(b"")
    with pytest.raises(InputError, match="not a TFLite model"):
        profile(tmp_path / "empty.tflite")
    with pytest.raises(ConfigError, match="runs must be at least 1"):
        profile(official(FACE), runs=0)


def test_a_profiler_that_breaks_off_is_an_error(official: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(op_worker, "__name__", "blazeport.benchmarks.no_such_worker")
    with pytest.raises(BlazeportError, match=r"gave no profile of .*No module named"):
        profile(official(FACE), runs=1)
