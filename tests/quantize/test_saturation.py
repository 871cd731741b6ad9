"""Ranges from some samples, tried on others."""

from __future__ import annotations

import numpy as np
import pytest
from blazeport.models.config import get_config
from blazeport.quantize.saturation import MAX_SAMPLES, measure_saturation

FACE = "face_detection_short_range"


@pytest.fixture
def graph(small):
    """`doubled` is twice the input, `capped` is it between 0 and 6."""
    network = small(side=2)
    doubled = network.convolution("doubled", 0, 2 * np.eye(3).reshape(3, 1, 1, 3), [0, 0, 0])
    capped = network.convolution("capped", doubled, np.eye(3).reshape(3, 1, 1, 3), [0, 0, 0], activation="RELU6")
    return network.finish(out=capped)


def test_values_beyond_the_range_of_the_other_half_are_counted(graph):
    samples = np.ones((4, 2, 2, 3), np.float32)
    samples[:2, 0] = -1
    samples[2, 0, 0, 0] = 3  # in the group that is held back: 1 of 24 values, by a whole range
    capped, doubled = measure_saturation(graph, samples, ["a", "a", "b", "b"])
    assert (doubled.layer, doubled.outside, doubled.reach) == ("doubled", round(1 / 24, 6), 1.0)
    assert (capped.layer, capped.outside, capped.reach) == ("capped", round(1 / 24, 6), 2.0)
    assert doubled.saturates


def test_samples_that_show_the_same_saturate_nothing(graph):
    samples = np.tile(np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 2, 2, 3), (6, 1, 1, 1))
    layers = measure_saturation(graph, samples, list("abcdef"))
    assert [(layer.outside, layer.reach, layer.saturates) for layer in layers] == [(0, 0, False)] * 2


def test_a_little_beyond_is_no_saturation(graph):
    samples = np.ones((2, 2, 2, 3), np.float32)
    samples[:, 0] = -1
    samples[1, 0] = -1.5
    assert not any(layer.saturates for layer in measure_saturation(graph, samples, ["a", "b"]))


def test_one_group_is_split_and_one_sample_tells_nothing(graph):
    samples = np.ones((3, 2, 2, 3), np.float32)
    assert len(measure_saturation(graph, samples, ["a", "a", "a"])) == 2
    assert measure_saturation(graph, samples[:1], ["a"]) == ()


def test_at_most_so_many_samples_are_run(graph, monkeypatch: pytest.MonkeyPatch):
    seen = []
    from blazeport.quantize import saturation

    original = saturation.run_node
    monkeypatch.setattr(saturation, "run_node", lambda *args: seen.append(len(args[2][0])) or original(*args))
    samples = np.ones((100, 2, 2, 3), np.float32)
    measure_saturation(graph, samples, [str(number) for number in range(100)])
    assert set(seen) == {MAX_SAMPLES}


def test_detectors_are_looked_at_where_they_detect_something(graph_of, samples_of):
    groups = [str(number // 2) for number in range(8)]
    everywhere = measure_saturation(graph_of(FACE), samples_of(FACE), groups)
    important = measure_saturation(graph_of(FACE), samples_of(FACE), groups, get_config(FACE))
    assert len(everywhere) == len(important) == 53
    assert everywhere != important
    assert important == measure_saturation(graph_of(FACE), samples_of(FACE), groups, get_config(FACE))
