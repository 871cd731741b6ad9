"""What a user may name as the source of a conversion."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from blazeport.convert.source import NOT_STATED, KerasRunner, open_source
from blazeport.errors import ConfigError, InputError, WeightsError
from blazeport.files import sha256_of
from blazeport.models.config import VARIANTS, get_config
from blazeport.weights.fetch import official_file
from real_networks import network, real_inputs


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_stands_for_its_official_file(variant: str):
    source = open_source(variant)
    assert source.config is get_config(variant)
    assert source.path == official_file(variant)
    assert (source.official, source.licence, source.author) == (True, "Apache-2.0", "MediaPipe, Google")
    assert source.sha256 == sha256_of(official_file(variant))


@pytest.mark.parametrize(
    ("file_name", "variant"),
    [
        ("pose_landmark_lite.keras", "pose_landmark_lite"),
        ("pose_landmark_full-finetuned.weights.h5", "pose_landmark_full"),
        ("face_detection_full_range.weights.h5", "face_detection_full_range"),
        ("face_detection_full_range_sparse.weights.h5", "face_detection_full_range_sparse"),
        ("pose_detection_v2.tflite", "pose_detection"),
    ],
)
def test_a_file_is_the_variant_its_name_begins_with(tmp_path: Path, file_name: str, variant: str):
    path = tmp_path / file_name
    path.write_bytes(b"own weights")
    source = open_source(str(path))
    assert (source.config.name, source.path) == (variant, path)
    assert (source.official, source.licence, source.author) == (False, NOT_STATED, NOT_STATED)


def test_a_named_variant_goes_before_the_file_name(tmp_path: Path):
    path = tmp_path / "pose_landmark_lite.keras"
    path.write_bytes(b"own weights")
    assert open_source(str(path), "pose_landmark_full").config.name == "pose_landmark_full"


def test_an_official_file_is_known_under_any_name(tmp_path: Path):
    path = shutil.copy(official_file("face_detection_short_range"), tmp_path / "mine.tflite")
    source = open_source(str(path), "face_detection_short_range")
    assert (source.official, source.licence) == (True, "Apache-2.0")


def test_an_official_file_of_another_variant_is_not_official(tmp_path: Path):
    path = shutil.copy(official_file("pose_landmark_full"), tmp_path / "pose_landmark_lite.tflite")
    source = open_source(str(path))
    assert not source.official
    with pytest.raises(WeightsError, match="is not the network pose_landmark_lite"):
        source.build()


def test_an_unknown_variant_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match=rf"Expected one of: {', '.join(VARIANTS)}\. Received: 'pose_landmark'\."):
        open_source("pose_landmark")
    with pytest.raises(ConfigError, match=r"Unknown variant\. .* Received: 'model\.onnx'\."):
        open_source("model.onnx")


def test_a_file_whose_name_says_nothing_needs_a_variant(tmp_path: Path):
    path = tmp_path / "mine.keras"
    path.write_bytes(b"own weights")
    with pytest.raises(ConfigError, match=r"Which network is in mine\.keras\? Name it with --variant\."):
        open_source(str(path))
    with pytest.raises(ConfigError, match=r"Unknown variant\. .* Received: 'pose'\."):
        open_source(str(path), "pose")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"pose_landmark_lite\.keras does not exist"):
        open_source(str(tmp_path / "pose_landmark_lite.keras"))


def test_a_variant_beside_a_variant_is_refused():
    with pytest.raises(ConfigError, match=r"--variant goes with a .* file\. Received: SOURCE 'pose_landmark_lite'\."):
        open_source("pose_landmark_lite", "pose_landmark_full")


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".tflite"])
def test_own_weights_of_every_kind_are_built(tmp_path: Path, suffix: str):
    official = network("face_detection_short_range").model
    path = tmp_path / f"face_detection_short_range{suffix}"
    if suffix == ".tflite":
        shutil.copy(official_file("face_detection_short_range"), path)
    else:
        (official.save if suffix == ".keras" else official.save_weights)(path)
    built = open_source(str(path)).build()
    for expected, received in zip(official.get_weights(), built.get_weights(), strict=True):
        np.testing.assert_array_equal(expected, received)


def test_a_keras_file_of_another_network_is_refused(tmp_path: Path):
    path = tmp_path / "face_detection_full_range.keras"
    network("face_detection_short_range").model.save(path)
    with pytest.raises(InputError) as error:
        open_source(str(path)).build()
    assert str(error.value) == (
        f"{path} is not face_detection_full_range: expected the input (192, 192, 3), received (128, 128, 3). "
        "Name its network with --variant."
    )


def test_a_source_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        open_source("pose_landmark_lite").official = False


def test_a_keras_model_runs_as_a_file_does():
    model = network("face_detection_short_range").model
    image = real_inputs("face_detection_short_range")[0]
    outputs = KerasRunner(model)(image)
    assert {name: (value.shape, value.dtype) for name, value in outputs.items()} == {
        "boxes": ((1, 896, 16), np.float32),
        "scores": ((1, 896, 1), np.float32),
    }
    assert all(type(value) is np.ndarray for value in outputs.values())
