"""Quantized files read back: what runs in int8, what goes in and out, and that nothing but the calibration decides."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blazeport.convert.artifact import ArtifactWriter, default_name
from blazeport.convert.manifest import Manifest
from blazeport.convert.source import open_source
from blazeport.files import sha256_of
from blazeport.models.config import get_config
from blazeport.quantize.calibration import Calibration, open_calibration
from blazeport.quantize.quantizer import RecipeQuantizer
from blazeport.quantize.recipes import shipped_recipe
from blazeport.runtime.interpreter import Model
from blazeport.weights.reader import TfliteGraph, read_tflite

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"
CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
SAMPLES = 14

Written = tuple[Path, Manifest]


class Quantizer:
    """Writes quantized files of one variant, calibrated on the demo photos."""

    def __init__(self, variant: str, folder: Path) -> None:
        self.config = get_config(variant)
        self.calibration = open_calibration(None, limit=SAMPLES)
        self.samples = self.calibration.samples(self.config)
        self._folder = folder
        self._writer = ArtifactWriter(open_source(variant))

    def write(self, precision: str = "int8", io_type="float", calibration: Calibration | None = None) -> Written:
        used = calibration or self.calibration
        recipe = shipped_recipe(self.config.name, "int8")
        out = self._folder / default_name(self._writer.source, self.config.head_names, precision, io_type)
        return out, self._writer.write(
            out,
            self.config.head_names,
            precision,
            io_type=io_type,
            quantizer=RecipeQuantizer(recipe, used, self.config) if precision == "int8" else None,
        )


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Quantizer:
    return Quantizer(FACE, tmp_path_factory.mktemp("face"))


@pytest.fixture(scope="module")
def face_int8(face: Quantizer) -> Written:
    return face.write()


@pytest.fixture(scope="module", params=[FACE, LITE])
def int8(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    if request.param == FACE:
        return request.getfixturevalue("face_int8")
    return Quantizer(LITE, tmp_path_factory.mktemp("lite")).write()


def convolutions(graph: TfliteGraph) -> list[tuple[str, str, str]]:
    """Dtypes of the input, the weights and the output of every convolution."""
    return [
        tuple(graph.tensors[index].dtype for index in (op.inputs[0], op.inputs[1], op.outputs[0]))
        for op in graph.ops
        if op.kind in CONVOLUTIONS
    ]


def test_every_convolution_is_int8(int8: Written):
    path, manifest = int8
    found = convolutions(read_tflite(path))
    assert len(found) > 20
    assert set(found) == {("int8", "int8", "int8")}
    assert manifest.int8_mac_share == 1.0


def test_int8_has_the_float_files_input_and_outputs(int8: Written, official):
    path, manifest = int8
    model, reference = Model(path), Model(official(manifest.variant))
    assert (model.input, list(model.outputs)) == (reference.input, list(reference.outputs))
    assert model.outputs == reference.outputs
    assert {each.dtype for each in (manifest.input, *manifest.outputs)} == {"float32"}
    assert {each.scale for each in (manifest.input, *manifest.outputs)} == {None}


def test_int8_is_smaller_than_the_official_file_which_is_fp16(int8: Written, official):
    path, manifest = int8
    assert manifest.size_bytes == path.stat().st_size < official(manifest.variant).stat().st_size


def test_the_manifest_says_how_far_int8_is_from_the_official_file(int8: Written, official):
    path, manifest = int8
    model, reference = Model(path), Model(official(manifest.variant))
    blank = np.full(model.input_shape, np.mean(get_config(manifest.variant).input_range), np.float32)
    expected, received = reference.run(blank), model.run(blank)
    for output in manifest.parity.outputs:
        difference = np.abs(expected[output.name].astype(np.float64) - received[output.name])
        assert 0 < difference.max() <= output.max_abs
        assert output.relative == pytest.approx(output.max_abs / output.reference_range)
        assert output.mean_abs < output.max_abs
    assert not manifest.parity.exact


def test_the_manifest_says_what_int8_was_calibrated_on(face: Quantizer, face_int8: Written):
    _, manifest = face_int8
    assert manifest.calibration == replace(face.calibration.record, samples=SAMPLES)
    assert manifest.calibration.demo
    assert len(manifest.calibration.media) == 7


@pytest.mark.parametrize(("io_type", "suffix"), [("int8", "_io8"), ("uint8", "_iou8")])
def test_integer_input_and_outputs_give_what_float_ones_give(
    face: Quantizer, face_int8: Written, io_type: str, suffix: str
):
    path, manifest = face.write(io_type=io_type)
    assert path.name == f"{FACE}.int8{suffix}.tflite"
    assert manifest.precision == f"int8{suffix}"
    assert {each.dtype for each in (manifest.input, *manifest.outputs)} == {io_type}

    model, float_model = Model(path), Model(face_int8[0])
    assert list(model.outputs) == list(float_model.outputs)
    for record in (manifest.input, *manifest.outputs):
        spec = model.outputs.get(record.name, model.input)
        assert (record.shape, record.dtype) == (spec.shape, spec.dtype.name)
        assert record.scale == pytest.approx(spec.scale)
        assert record.zero_point == spec.zero_point
    for image in face.samples:
        expected, received = float_model.run(image), model.run(image)
        for name, spec in model.outputs.items():
            assert np.abs(expected[name] - received[name]).max() <= spec.scale  # one step


def test_dynamic_range_has_int8_weights_and_float_activations(face: Quantizer, face_int8: Written):
    path, manifest = face.write("dynamic")
    dtypes = convolutions(read_tflite(path))
    assert {(inputs, outputs) for inputs, _, outputs in dtypes} == {("float32", "float32")}
    assert ("float32", "int8", "float32") in dtypes
    assert (manifest.precision, manifest.int8_mac_share, manifest.calibration) == ("dynamic", 0.0, None)
    assert Model(path).outputs == Model(face_int8[0]).outputs
    errors = {output.name: output.mean_abs for output in face_int8[1].parity.outputs}
    assert all(output.mean_abs < errors[output.name] for output in manifest.parity.outputs)


def test_the_same_calibration_gives_the_same_bytes_in_another_process(face_int8: Written, tmp_path: Path):
    blazeport = [sys.executable, "-c", "from blazeport.cli.main import main; main()"]
    recipe = tmp_path / "without_stored_ranges.json"
    recipe.write_text(shipped_recipe(FACE, "int8").to_json())
    command = [*blazeport, "quantize", FACE, "--recipe", recipe, "--samples", str(SAMPLES), "-o", str(tmp_path)]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    path, manifest = face_int8
    assert sha256_of(tmp_path / path.name) == manifest.sha256


def test_other_photos_give_other_bytes(face: Quantizer, face_int8: Written, tmp_path: Path):
    sha256 = face_int8[1].sha256
    for photo in face.calibration.media[:3]:
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    other = Quantizer(FACE, tmp_path / "out").write(calibration=open_calibration(tmp_path))
    assert other[1].sha256 != sha256
    assert not other[1].calibration.demo
