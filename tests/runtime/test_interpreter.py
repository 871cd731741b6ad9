from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite_surgery as surgery
from blazeport.errors import ConfigError, InputError, ShapeError
from blazeport.models.config import VARIANTS
from blazeport.runtime.interpreter import Model

Official = Callable[[str], Path]

LANDMARK_MODELS = ("pose_landmark_lite", "pose_landmark_full", "pose_landmark_heavy")
FULL_RANGE_MODELS = ("face_detection_full_range", "face_detection_full_range_sparse")


def random_image(model: Model, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(model.input_shape, dtype=np.float32)


def in_subprocess(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_of_every_official_file_are_named_by_their_shapes(official: Official, variant: str) -> None:
    config = VARIANTS[variant]
    model = Model(official(variant))
    assert tuple(model.outputs) == config.head_names
    assert model.input_shape == config.input_shape
    assert model.input_dtype == np.float32
    for head in config.heads:
        assert model.outputs[head.name].shape == head.shape
    assert variant in model.candidates


def test_a_variant_with_shapes_of_its_own_is_recognised(official: Official) -> None:
    for variant in ("face_detection_short_range", "pose_detection"):
        assert Model(official(variant)).variant == variant


def test_variants_that_share_their_shapes_are_told_apart_by_the_metadata_alone(official: Official) -> None:
    path = official("face_detection_full_range_sparse")
    unnamed = Model(path)
    assert unnamed.candidates == FULL_RANGE_MODELS
    assert unnamed.variant is None
    for variant in FULL_RANGE_MODELS:  # one name begins the other
        builder = flatbuffers.Builder(64)
        builder.Finish(builder.CreateString(variant))
        model = surgery.read(path.read_bytes())
        surgery.set_metadata(model, "TFLITE_METADATA", bytes(builder.Output()))
        assert Model(surgery.write(model)).variant == variant


def test_outputs_are_named_by_the_signature_when_there_is_one(official: Official) -> None:
    model = surgery.read(official("pose_landmark_lite").read_bytes())
    surgery.keep_outputs(model, [4, 0, 1])
    surgery.sign(model, ["world_landmarks", "landmarks", "presence"])
    signed = Model(surgery.write(model))
    assert tuple(signed.outputs) == ("world_landmarks", "landmarks", "presence")
    assert signed.candidates == LANDMARK_MODELS

    whole = Model(official("pose_landmark_lite"))
    image = random_image(whole)
    expected = whole.run(image)
    for name, output in signed.run(image).items():
        assert np.array_equal(output, expected[name])


def test_a_pruned_file_without_signature_is_named_by_its_shapes(official: Official) -> None:
    model = surgery.read(official("pose_landmark_lite").read_bytes())
    surgery.keep_outputs(model, [1, 0])
    pruned = Model(surgery.write(model))
    assert tuple(pruned.outputs) == ("presence", "landmarks")
    assert pruned.candidates == LANDMARK_MODELS


def test_a_signature_of_foreign_names_fits_no_variant(official: Official) -> None:
    model = surgery.read(official("face_detection_short_range").read_bytes())
    surgery.sign(model, ["a", "b"])
    foreign = Model(surgery.write(model))
    assert tuple(foreign.outputs) == ("a", "b")
    assert foreign.candidates == ()
    assert foreign.variant is None


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_quantized_input_and_outputs_look_like_float(official: Official, dtype: type[np.generic]) -> None:
    path = official("face_detection_short_range")
    middle = 0 if dtype == np.int8 else 128
    edited = surgery.read(path.read_bytes())
    surgery.quantize_io(edited, dtype, (2 / 255, middle), {0: (1.0, middle), 1: (0.5, middle)})
    quantized, original = Model(surgery.write(edited)), Model(path)
    assert quantized.input_dtype == dtype
    assert quantized.outputs["scores"].scale == 0.5
    assert quantized.outputs["scores"].zero_point == middle

    levels = np.random.default_rng(0).integers(-127, 128, quantized.input_shape)
    image = levels.astype(np.float32) * np.float32(2 / 255)
    expected, received = original.run(image), quantized.run(image)
    for name, step in (("boxes", 1.0), ("scores", 0.5)):
        assert received[name].dtype == np.float32
        inside = np.clip(expected[name], -128 * step, 127 * step)
        assert np.abs(received[name] - inside).max() <= step / 2 + 1e-4


def test_values_beyond_the_quantized_range_are_clipped(official: Official) -> None:
    edited = surgery.read(official("face_detection_short_range").read_bytes())
    surgery.quantize_io(edited, np.int8, (1 / 128, 0), {})
    model = Model(surgery.write(edited))
    ones, tens = (np.full(model.input_shape, value, np.float32) for value in (127 / 128, 10))
    assert np.array_equal(model.run(tens)["scores"], model.run(ones)["scores"])


def test_outputs_belong_to_the_caller(official: Official) -> None:
    model = Model(official("face_detection_short_range"))
    first = model.run(random_image(model))
    kept = {name: output.copy() for name, output in first.items()}
    model.run(random_image(model, seed=1))
    for name, output in first.items():
        assert np.array_equal(output, kept[name])


def test_the_content_of_a_file_works_like_its_path(official: Official) -> None:
    path = official("face_detection_short_range")
    with Model(path) as from_path, Model(path.read_bytes()) as from_bytes:
        image = random_image(from_path)
        assert np.array_equal(from_path.run(image)["boxes"], from_bytes.run(image)["boxes"])


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((128, 128, 3), np.float32), id="no batch"),
        pytest.param(np.zeros((1, 192, 192, 3), np.float32), id="other size"),
        pytest.param(np.zeros((1, 128, 128, 3), np.uint8), id="uint8"),
        pytest.param(np.zeros((1, 128, 128, 3)), id="float64"),
    ],
)
def test_another_shape_or_dtype_is_refused(official: Official, image: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"needs a float32 image \(1, 128, 128, 3\)\. Received: "):
        Model(official("face_detection_short_range")).run(image)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"hello, world", "it begins with", id="text"),
        pytest.param(b"\x1c\0\0\0TFL3", "truncated", id="header only"),
        pytest.param(b"\x1c\0\0\0TFL3" + bytes(range(256)) * 8, "truncated", id="rubbish"),
    ],
)
def test_a_foreign_file_is_a_one_line_error(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(InputError, match=reason) as caught:
            Model(source)
        assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.tflite", tmp_path):
        with pytest.raises(InputError, match="Cannot read the model"):
            Model(path)


def test_a_network_without_one_image_input_is_refused(official: Official) -> None:
    edited = surgery.read(official("face_detection_short_range").read_bytes())
    edited.subgraphs[0].tensors[edited.subgraphs[0].inputs[0]].shape = [1, 128, 128, 1]
    with pytest.raises(InputError, match=r"truncated or not a model|must have one image input"):
        Model(surgery.write(edited))


def test_at_least_one_thread_is_needed(official: Official) -> None:
    with pytest.raises(ConfigError, match=r"at least 1\. Received: 0"):
        Model(official("face_detection_short_range"), num_threads=0)


def test_damaged_files_never_crash_the_process(official: Official) -> None:
    code = """
import pathlib, random, sys
from blazeport.errors import InputError
from blazeport.runtime.interpreter import Model
data = pathlib.Path(sys.argv[1]).read_bytes()
damaged = [data[: len(data) * part // 12] for part in range(12)] + [data[:-1], data[:9], data[:8]]
for seed in range(25):
    source, content = random.Random(seed), bytearray(data)
    for _ in range(20):
        content[source.randrange(8, len(content))] = source.randrange(256)
    damaged.append(bytes(content))
refused = 0
for content in damaged:
    try:
        Model(content)
    except InputError:
        refused += 1
print(refused)
"""
    done = in_subprocess(code, official("face_detection_short_range"))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 15


def test_a_model_loads_silently_and_without_tensorflow(official: Official) -> None:
    code = """
import pathlib, sys
from blazeport.runtime.interpreter import Model
Model(pathlib.Path(sys.argv[1]))
print("tensorflow" in sys.modules)
"""
    done = in_subprocess(code, official("face_detection_short_range"))
    assert done.stdout.strip() == "False"
    assert done.stderr == ""
