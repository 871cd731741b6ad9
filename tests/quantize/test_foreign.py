"""Other people's .tflite files, and exports of our own: recognised, quantized, and compared with themselves."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import real_networks
import strangers
import tflite_surgery
from blazeport.convert.inputs import ImageInput, network_inputs
from blazeport.convert.manifest import Manifest, read_manifest
from blazeport.errors import ConfigError, ConversionError, InputError, OutputError, ParityError, WeightsError
from blazeport.models.config import get_config
from blazeport.pipeline.image import read_image
from blazeport.quantize.calibration import Calibration, open_calibration
from blazeport.quantize.detector_errors import detector_errors, letterboxed
from blazeport.quantize.foreign import TfliteSource, open_tflite, quantize_tflite, takes
from blazeport.quantize.quantizer import RecipeQuantizer
from blazeport.quantize.recipes import Recipe, shipped_recipe
from blazeport.runtime.interpreter import Model
from blazeport.weights.fetch import demo_photos
from blazeport.weights.reader import read_tflite
from blazeport.weights.sources import OFFICIAL

FACE, SPARSE, LITE = "face_detection_short_range", "face_detection_full_range_sparse", "pose_landmark_lite"
SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "manifest.json"


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Content and name → path of a file."""

    def saved(content: bytes, name: str = "stranger.tflite") -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return saved


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return open_calibration(None, limit=7)


def quantized(
    source: TfliteSource,
    folder: Path,
    precision: str,
    calibration: Calibration,
    recipe: Recipe | None = None,
    **options,
) -> tuple[Path, Manifest]:
    out = folder / "out" / source.default_name(precision, options.get("io_type", "float"))
    quantizer = None
    if precision != "fp16":
        quantizer = RecipeQuantizer(recipe or source.recipe(precision), calibration, source.config)
    manifest = quantize_tflite(source, out, precision, quantizer=quantizer, **options)
    written = out.with_suffix(".json")
    assert json.loads(json.dumps(dataclasses.asdict(manifest))) == json.loads(written.read_text())
    jsonschema.validate(json.loads(written.read_text()), json.loads(SCHEMA.read_text()))
    assert read_manifest(written).outputs == manifest.outputs
    return out, manifest


def test_a_strangers_network_keeps_its_name_shape_and_outputs(saved, caplog: pytest.LogCaptureFixture):
    source = open_tflite(saved(strangers.stranger()))
    assert source.config == ImageInput(name="stranger", height=48, width=64, input_range=(0.0, 1.0))
    assert (source.outputs, source.official) == (tuple(Model(source.path).outputs), False)
    assert source.default_name("int8", "uint8") == "stranger.int8_iou8.tflite"
    (note,) = caplog.messages
    assert note.startswith("Pixels are mapped to 0 … 1 for stranger.tflite. Say --input-range")
    assert open_tflite(source.path, input_range=(-1.0, 1.0)).config.input_range == (-1.0, 1.0)


@pytest.mark.parametrize("stored", ["fp32", "fp16"])
@pytest.mark.parametrize(("precision", "limit", "share"), [("int8", 0.06, 1.0), ("int16x8", 0.02, 0.0)])
def test_a_strangers_network_stays_close_to_itself(
    saved, tmp_path: Path, calibration: Calibration, stored: str, precision: str, limit: float, share: float
):
    source = open_tflite(saved(strangers.stranger(precision=stored)))
    out, manifest = quantized(source, tmp_path, precision, calibration)
    assert (manifest.variant, manifest.heads, manifest.file) == ("stranger", source.outputs, out.name)
    assert (manifest.weights.licence, manifest.weights.official) == ("not stated", False)
    assert manifest.parity.reference == "the source stranger.tflite"
    assert max(output.mean_relative for output in manifest.parity.outputs) < limit
    assert manifest.int8_mac_share == share
    assert manifest.size_bytes < len(strangers.stranger())
    assert read_tflite(out).signature is not None
    assert list(Model(out).outputs) == list(source.outputs)


def test_integer_input_and_outputs_of_a_strangers_network(saved, tmp_path: Path, calibration: Calibration):
    source = open_tflite(saved(strangers.stranger()))
    out, manifest = quantized(source, tmp_path, "int8", calibration, io_type="uint8")
    assert manifest.precision == "int8_iou8"
    assert Model(out).input_dtype == np.uint8


def test_mixed_of_a_strangers_network_needs_layers_that_stay_float(saved, tmp_path: Path, calibration: Calibration):
    maps = open_tflite(saved(strangers.stranger("maps"), "maps.tflite"))
    with pytest.raises(ConfigError, match=r"up to 4 px in float, and maps\.tflite has none\. Name float_maps_px"):
        maps.recipe("mixed")
    _, manifest = quantized(maps, tmp_path, "mixed", calibration, Recipe(float_maps_px=12))
    assert 0 < manifest.int8_mac_share < 0.95
    _, manifest = quantized(open_tflite(saved(strangers.stranger())), tmp_path, "mixed", calibration)
    assert 0.95 < manifest.int8_mac_share < 1


def test_fp16_of_an_fp32_file_is_half_as_large_and_as_close_as_fp16_is(saved, tmp_path: Path, calibration: Calibration):
    source = open_tflite(saved(strangers.stranger()))
    _, manifest = quantized(source, tmp_path, "fp16", calibration)
    assert (manifest.calibration, manifest.method, manifest.recipe) == (None, None, None)
    assert 0 < manifest.parity.worst.relative < 1e-2
    assert manifest.size_bytes < 0.75 * len(strangers.stranger())


@pytest.mark.parametrize("variant", [FACE, SPARSE])
def test_fp16_of_an_official_file_is_exact(variant: str, official, tmp_path: Path, calibration: Calibration):
    source = open_tflite(official(variant))
    out, manifest = quantized(source, tmp_path, "fp16", calibration)
    assert manifest.parity.exact
    assert (manifest.variant, manifest.weights.official) == (variant, True)
    assert manifest.weights.licence == OFFICIAL[variant].licence
    assert Model(out).variant == variant
    assert "DENSIFY" not in {op.kind for op in read_tflite(out).ops}


def test_int8_of_an_official_file_keeps_its_detections(official, tmp_path: Path, calibration: Calibration):
    source = open_tflite(official(FACE))
    assert source.recipe("int8") == shipped_recipe(FACE, "int8")
    out, manifest = quantized(source, tmp_path, "int8", calibration)
    assert (out.name, manifest.int8_mac_share) == (f"{FACE}.int8.tflite", 1.0)
    config = get_config(FACE)
    photos = [letterboxed(read_image(photo), config) for photo in demo_photos()]
    errors = detector_errors(Model(out).run, Model(source.path).run, photos, config)
    assert len(errors.iou) > 10
    assert (errors.missed.sum(), errors.extra.sum()) == (0, 0)
    assert errors.iou.mean() > 0.9


def test_our_own_export_with_fewer_heads_is_recognised(saved, tmp_path: Path, calibration: Calibration):
    source = open_tflite(saved(real_networks.exported(LITE, "landmarks", "fp32"), "renamed.tflite"))
    assert (source.config, source.outputs) == (get_config(LITE), ("landmarks", "presence"))
    out, manifest = quantized(source, tmp_path, "mixed", calibration)
    assert out.name == f"{LITE}.landmarks.mixed.tflite"
    assert (manifest.variant, manifest.heads) == (LITE, ("landmarks", "presence"))
    assert manifest.int8_mac_share > 0.95
    assert manifest.outputs[0].meaning.startswith("x y z in px")
    crops = network_inputs(get_config(LITE), demo_photos()[:3])
    expected, received = (
        np.concatenate([Model(path).run(crop)["landmarks"] for crop in crops]).reshape(-1, 39, 5)[:, :33, :2]
        for path in (source.path, out)
    )
    assert np.linalg.norm(expected - received, axis=-1).mean() < 4


def test_a_stripped_file_is_asked_for_its_variant(official, saved):
    content = real_networks.exported(LITE, "landmarks", "fp16")
    model = tflite_surgery.read(content)
    model.metadata = []
    stripped = tflite_surgery.write(model)
    with pytest.raises(ConfigError, match=r"Which network is in mine\.tflite\? .* those of: pose_landmark_lite, pose_"):
        open_tflite(saved(stripped, "mine.tflite"))
    assert open_tflite(saved(stripped, "mine.tflite"), LITE).config == get_config(LITE)
    assert open_tflite(saved(stripped, f"{LITE}_mine.tflite")).config == get_config(LITE)


def test_another_variant_or_range_than_the_files_is_an_error(official, saved):
    with pytest.raises(ConfigError, match=f"is not {LITE}: its input and outputs are those of {FACE}"):
        open_tflite(official(FACE), LITE)
    with pytest.raises(ConfigError, match=f"stranger.tflite is not {FACE}: .* those of none of blazeport's"):
        open_tflite(saved(strangers.stranger()), FACE)
    with pytest.raises(ConfigError, match=r"whose input range is -1,1\. Leave --input-range away"):
        open_tflite(official(FACE), input_range=(0.0, 1.0))


@pytest.mark.parametrize(
    ("kind", "error", "reason"),
    [
        ("mean", ConversionError, r"Cannot quantize the operator MEAN \(.+\) of .*stranger\.tflite\. Known: CONV_2D"),
        ("dynamic", ConversionError, r"Cannot quantize the operator SHAPE \("),
        ("grey", InputError, r"must have one image input \(1, height, width, 3\)\. Received: \(1, 48, 64, 1\)"),
    ],
)
def test_a_network_that_cannot_be_quantized_is_an_error_that_names_why(saved, kind: str, error: type, reason: str):
    with pytest.raises(error, match=reason):
        open_tflite(saved(strangers.stranger(kind)))


def test_dynamic_shapes_are_an_error(saved):
    model = tflite_surgery.read(strangers.stranger())
    for tensor in model.subgraphs[0].tensors:
        if tensor.shape is not None and len(tensor.shape) == 4 and tensor.shape[0] == 1 and tensor.shape[3] == 16:
            tensor.shape = [-1, *tensor.shape[1:]]
    with pytest.raises((ConversionError, WeightsError), match=r"static shapes|has the shape"):
        open_tflite(saved(tflite_surgery.write(model)))


def test_what_is_no_file_is_an_error(saved, tmp_path: Path):
    with pytest.raises(InputError, match=r"missing\.tflite does not exist"):
        open_tflite(tmp_path / "missing.tflite")
    with pytest.raises(WeightsError, match="TFL3"):
        open_tflite(saved(b"no model"))


@pytest.mark.parametrize(
    ("precision", "io_type", "reason"),
    [
        ("dynamic", "float", "Unknown precision for a .tflite file. Expected one of: fp16, int8, int16x8, mixed."),
        ("int8", "float", "A quantizer goes with int8, int16x8, mixed only. Received: int8."),
        ("fp16", "int8", "--io int8 goes with precision int8 only. Received: precision fp16."),
    ],
)
def test_what_does_not_go_together_is_an_error(saved, tmp_path: Path, precision: str, io_type, reason: str):
    source = open_tflite(saved(strangers.stranger()))
    with pytest.raises(ConfigError, match=reason.replace(".", r"\.")):
        quantize_tflite(source, tmp_path / "out.tflite", precision, io_type=io_type)


def test_the_source_is_not_overwritten(saved):
    source = open_tflite(saved(strangers.stranger()))
    with pytest.raises(ConfigError, match="needs another name than its source"):
        quantize_tflite(source, source.path, "fp16")
    assert source.path.read_bytes() == strangers.stranger()


def test_only_variants_are_left_to_keras(saved, official):
    ours, theirs = open_tflite(official(FACE)), open_tflite(saved(strangers.stranger()))
    assert takes(theirs, "int8", method="blazeport", heads="all")
    for changed in ({"precision": "dynamic"}, {"method": "tflite"}, {"heads": "landmarks"}):
        wanted = {"precision": "int8", "method": "blazeport", "heads": "all"} | changed
        assert not takes(ours, **wanted)
        with pytest.raises(ConfigError, match=r"none of blazeport's networks\. Expected precision fp16, int8, int16x8"):
            takes(theirs, **wanted)


def test_a_file_that_fails_the_gate_gets_no_name(saved, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    class Broken:
        calibration, method, recipe = open_calibration(None).record, "broken", None

        def prepare(self):
            pass

        def quantize(self, convert, io_type):
            return strangers.stranger(kind="plain", precision="fp16")

    source = open_tflite(saved(strangers.stranger()))
    broken = Model.run
    out = tmp_path / "out" / "x.tflite"
    try:
        Model.run = lambda self, image: {name: value * np.nan for name, value in broken(self, image).items()}
        with pytest.raises(ParityError, match=r"of x\.tflite gives values that are not finite"):
            quantize_tflite(source, out, "int8", quantizer=Broken(), keep_failed=True)
    finally:
        Model.run = broken
    assert [path.name for path in out.parent.iterdir()] == ["x.tflite.failed"]
    assert caplog.records[-1].levelno == logging.WARNING


def test_nothing_is_left_when_the_folder_cannot_be_written(saved, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        quantize_tflite(open_tflite(saved(strangers.stranger())), tmp_path / "file" / "x.tflite", "fp16")


def test_photos_are_letterboxed_to_a_strangers_input(tmp_path: Path):
    config = ImageInput(name="stranger", height=48, width=64, input_range=(-1.0, 3.0))
    samples = network_inputs(config, demo_photos(), views=2)
    assert {(sample.shape, sample.dtype.name) for sample in samples} == {((1, 48, 64, 3), "float32")}
    assert min(sample.min() for sample in samples) == -1
    assert 2 < max(sample.max() for sample in samples) <= 3
    shutil.copy(demo_photos()[0], tmp_path)
    height, width = read_image(demo_photos()[0]).shape[:2]
    sample = network_inputs(config, [tmp_path / demo_photos()[0].name])[0][0]
    seen = round(min(48 / height, 64 / width) * width)
    assert (sample[:, : (64 - seen) // 2] == -1).all()
