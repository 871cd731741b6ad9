"""How cost grows, and where a frame's time goes. No time is asserted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from blazeport.benchmarks import scaling
from blazeport.benchmarks.pipeline import WARM_UP_FRAMES, measure_pipeline
from blazeport.benchmarks.scaling import input_scaling, stream_scaling, thread_scaling
from blazeport.errors import ConfigError, InputError

FACE = "face_detection_short_range"


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "BLOCK_SECONDS", 0.01)


@pytest.mark.parametrize(
    ("measure", "what"),
    [
        (lambda path: stream_scaling(path, (1, 2), rounds=2), "streams"),
        (lambda path: input_scaling(path, (1, 3), rounds=2), "inputs"),
        (lambda path: thread_scaling(path, (1, 2), repeats=1), "threads"),
    ],
)
def test_each_size_is_compared_with_the_smallest(official: Callable[[str], Path], measure: Callable, what: str):
    first, second = measure(official(FACE))
    assert (first.what, second.what) == (what, what)
    assert (first.number, first.ratio) == (1, 1.0)
    assert second.ratio == pytest.approx(second.per_second / first.per_second)
    assert min(first.milliseconds, second.milliseconds) > 0


def test_more_inputs_in_a_frame_are_fewer_frames(official: Callable[[str], Path]):
    one, eight = input_scaling(official(FACE), (1, 8), rounds=3)
    assert eight.milliseconds > 2 * one.milliseconds  # eight times the work


@pytest.mark.parametrize("counts", [(), (0, 1)])
def test_numbers_below_one_are_errors(official: Callable[[str], Path], counts: tuple[int, ...]):
    with pytest.raises(ConfigError, match="from 1 on"):
        stream_scaling(official(FACE), counts)


# --- the pipeline -----------------------------------------------------------------------------------------------------


@dataclass
class Result:
    timing_ms: dict[str, float]


def frames(count: int) -> list[tuple[np.ndarray, int]]:
    return [(np.zeros((2, 2, 3), np.uint8), number) for number in range(count)]


def test_the_models_share_is_that_of_all_stages():
    calls: list[int] = []

    def process(_rgb: np.ndarray, time_us: int) -> Result:
        calls.append(time_us)
        return Result({"crop": 1.0, "infer": 6.0, "post": 1.0})

    found = measure_pipeline(frames(20), process, limit=10)
    assert found.frames == 10
    assert len(calls) == 10 + WARM_UP_FRAMES
    assert found.model_share == pytest.approx(0.75)
    assert found.stages_ms["infer"].median == 6.0


def test_a_video_that_is_too_short_is_an_error():
    with pytest.raises(InputError, match="more than 5 frames"):
        measure_pipeline(frames(WARM_UP_FRAMES), lambda _rgb, _time_us: Result({}))
