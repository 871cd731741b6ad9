"""From a variant's name, or a user's own weights, to a Keras model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blazeport.convert.tflite import to_tflite
from blazeport.errors import ConfigError, InputError, WeightsError
from blazeport.models.build import build_model, load_keras
from blazeport.models.config import VARIANTS, get_config
from blazeport.models.keras_api import keras
from blazeport.weights.fetch import official_file
from real_networks import exported, network, real_inputs

# Between them they have every layer of ours and the heads that can be removed.
ROUND_TRIPS = ["face_detection_short_range", "face_detection_full_range_sparse", "pose_landmark_lite"]


def weights_equal(first: Any, second: Any) -> bool:
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def test_official_weights_are_the_default():
    assert weights_equal(build_model("pose_landmark_lite"), network("pose_landmark_lite").model)


def test_a_tflite_file_can_be_named():
    path = official_file("face_detection_short_range")
    official = network("face_detection_short_range").model
    assert weights_equal(build_model("face_detection_short_range", path), official)
    assert weights_equal(build_model("face_detection_short_range", str(path)), official)


def test_without_weights_they_are_random():
    first, second = (build_model("face_detection_short_range", weights=None) for _ in range(2))
    assert not weights_equal(first, second)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Variant and suffix → its official weights as Keras saves them."""
    folder = tmp_path_factory.mktemp("saved")

    @functools.cache
    def save(variant: str, suffix: str) -> Path:
        path, model = folder / f"{variant}{suffix}", network(variant).model
        (model.save if suffix == ".keras" else model.save_weights)(path)
        return path

    return save


@pytest.fixture(scope="module")
def loaded(saved: Callable[[str, str], Path]) -> Callable[[str, str], Any]:
    """Variant and suffix → the model that comes back from what Keras saved."""
    return functools.cache(lambda variant, suffix: build_model(variant, saved(variant, suffix)))


@pytest.mark.parametrize("variant", ROUND_TRIPS)
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_saved_model_loads_with_identical_outputs(loaded: Callable[[str, str], Any], variant: str, suffix: str):
    original, copy = network(variant).model, loaded(variant, suffix)
    assert [layer.name for layer in copy.layers] == [layer.name for layer in original.layers]
    image = real_inputs(variant)[0]
    expected, received = original(image, training=False), copy(image, training=False)
    assert list(received) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(received[name], expected[name])


@pytest.mark.parametrize(
    ("variant", "heads"), [("face_detection_full_range_sparse", "all"), ("pose_landmark_lite", "tracking")]
)
def test_a_loaded_keras_file_exports_exactly_like_the_original(
    loaded: Callable[[str, str], Any], variant: str, heads: str
):
    config = get_config(variant)
    content = to_tflite(loaded(variant, ".keras"), config, config.presets[heads], "fp16")
    assert content == exported(variant, heads, "fp16")


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_path_may_be_a_string(saved: Callable[[str, str], Path], suffix: str):
    copy = build_model("face_detection_short_range", str(saved("face_detection_short_range", suffix)))
    assert weights_equal(copy, network("face_detection_short_range").model)


# --- what a user can get wrong ----------------------------------------------------------------------------------------


def test_an_unknown_variant_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match=f"Unknown variant. Expected one of: {', '.join(VARIANTS)}. Received: 'pose'"):
        build_model("pose")


def test_a_tflite_file_of_another_variant_is_refused():
    with pytest.raises(WeightsError, match="is not the network pose_landmark_lite"):
        build_model("pose_landmark_lite", official_file("pose_landmark_full"))


@pytest.mark.parametrize(
    ("name", "error", "expected"),
    [
        ("mine.keras", InputError, r"Expected a \.keras file\. .*mine\.keras does not exist"),
        ("mine.weights.h5", InputError, r"Expected a \.weights\.h5 file\. .*mine\.weights\.h5 does not exist"),
        ("mine.tflite", WeightsError, r"A \.tflite file was expected\. Received: .*mine\.tflite, which does not exist"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, name: str, error: type[Exception], expected: str):
    with pytest.raises(error, match=expected):
        build_model("face_detection_short_range", tmp_path / name)


@pytest.mark.parametrize(
    ("name", "error", "expected"),
    [
        ("mine.keras", InputError, r"Keras cannot read .*mine\.keras: "),
        ("mine.weights.h5", InputError, r"mine\.weights\.h5 does not fit face_detection_short_range: "),
        ("mine.tflite", WeightsError, r"a \.tflite file \(mark TFL3\) was expected"),
    ],
)
@pytest.mark.parametrize(
    "content", [b"", b"these are no weights", b"PK\x03\x04 half a zip"], ids=["empty", "text", "zip"]
)
def test_a_foreign_file_is_one_error_in_one_line(
    tmp_path: Path, name: str, error: type[Exception], expected: str, content: bytes
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(error, match=expected) as caught:
        build_model("face_detection_short_range", path)
    assert "\n" not in str(caught.value)


def test_a_truncated_keras_file_is_refused(saved: Callable[[str, str], Path], tmp_path: Path):
    path = tmp_path / "mine.keras"
    path.write_bytes(saved("face_detection_short_range", ".keras").read_bytes()[:-2000])
    with pytest.raises(InputError, match="Keras cannot read"):
        load_keras(path)


def test_weights_of_another_variant_are_refused(saved: Callable[[str, str], Path]):
    path = saved("face_detection_short_range", ".weights.h5")
    with pytest.raises(InputError, match=r"short_range\.weights\.h5 does not fit face_detection_full_range: "):
        build_model("face_detection_full_range", path)


def test_code_inside_a_keras_file_is_not_run(tmp_path: Path):
    image = keras.Input((3,))
    unsafe = keras.Model(image, keras.layers.Lambda(lambda x: x)(image))
    unsafe.save(tmp_path / "unsafe.keras")
    with pytest.raises(InputError, match=r"Keras cannot read .*Lambda"):
        load_keras(tmp_path / "unsafe.keras")
