"""Writing artifacts: the parity gate before the name, the manifest beside the file, and whole files or none."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import blazeport
import fine_tuned
import numpy as np
import pytest
from blazeport.convert import artifact
from blazeport.convert.artifact import ArtifactWriter, default_name, manifest_path
from blazeport.convert.manifest import CalibrationRecord, Manifest, read_manifest
from blazeport.convert.on_device import anchors_json
from blazeport.convert.source import Source, open_source
from blazeport.errors import ConfigError, ConversionError, InputError, OutputError, ParityError
from blazeport.files import sha256_of
from blazeport.models.config import get_config, resolve_heads
from blazeport.runtime.interpreter import Model
from blazeport.weights.sources import OFFICIAL

VARIANT = "face_detection_short_range"
HEADS = ("boxes", "scores")
NAME = f"{VARIANT}.fp16.tflite"
CALIBRATION = CalibrationRecord(media=("a.jpg",), sha256="0" * 64, views=4, limit=128, seed=0, demo=False)


@dataclasses.dataclass
class Calibrated:
    """A quantizer that only says what it would calibrate on."""

    calibration: CalibrationRecord = CALIBRATION
    recipe: dict | None = None
    method: str = "blazeport"

    def quantize(self, convert, io_type: str) -> bytes:
        raise AssertionError("nothing is quantized here")


class Retouched(Source):
    """The official weights, but the network that is built from them has others."""

    def build(self):
        model = super().build()
        model.set_weights([weights * np.float32(1.01) for weights in model.get_weights()])
        return model


def retouched() -> Retouched:
    return Retouched(**vars(open_source(VARIANT)))


@pytest.fixture(scope="module")
def writer() -> ArtifactWriter:
    return ArtifactWriter(open_source(VARIANT), command="blazeport convert")


@pytest.fixture(scope="module")
def failing_writer() -> ArtifactWriter:
    return ArtifactWriter(retouched())


@pytest.fixture(scope="module")
def written(writer: ArtifactWriter, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """An artifact and its manifest; nobody may change them."""
    out = tmp_path_factory.mktemp("written") / NAME
    return out, writer.write(out, HEADS, "fp16")


@pytest.fixture
def copy(written, tmp_path: Path) -> Path:
    """A copy of the artifact with its manifest and its anchors."""
    path, _ = written
    for each in (path, manifest_path(path), path.with_name(f"{VARIANT}.anchors.json")):
        (tmp_path / each.name).write_bytes(each.read_bytes())
    return tmp_path / path.name


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what is written --------------------------------------------------------------------------------------------------


def test_an_artifact_stands_with_its_manifest_and_nothing_else(written):
    path, manifest = written
    assert files_in(path.parent) == [f"{VARIANT}.anchors.json", f"{VARIANT}.fp16.json", NAME]
    assert read_manifest(manifest_path(path)) == manifest


def test_the_manifest_describes_the_file(written):
    path, manifest = written
    model = Model(path)
    assert manifest.file == path.name
    assert manifest.sha256 == sha256_of(path)
    assert manifest.size_bytes == path.stat().st_size
    assert (manifest.variant, manifest.heads, manifest.precision) == (VARIANT, HEADS, "fp16")
    assert manifest.input.shape == model.input_shape
    assert "pixel 0 is -1 and pixel 255 is 1" in manifest.input.meaning
    assert {each.name: each.shape for each in manifest.outputs} == {n: s.shape for n, s in model.outputs.items()}
    assert {each.dtype for each in (manifest.input, *manifest.outputs)} == {"float32"}
    assert (manifest.params, manifest.macs, manifest.int8_mac_share) == (101_390, 30_760_960, 0.0)
    assert manifest.calibration is None
    assert manifest.schema_version == 1


def test_the_manifest_tells_where_the_weights_are_from_and_what_made_the_file(written, official):
    _, manifest = written
    assert dataclasses.asdict(manifest.weights) == {
        "file": f"{VARIANT}.tflite",
        "sha256": sha256_of(official(VARIANT)),
        "official": True,
        "licence": "Apache-2.0",
        "author": OFFICIAL[VARIANT].origin,
        "paper": "arXiv 1907.05047",
    }
    assert manifest.command == "blazeport convert"
    assert manifest.tools["blazeport"] == blazeport.__version__
    assert {"python", "tensorflow", "tf-keras", "ai-edge-litert", "numpy"} <= set(manifest.tools)


def test_the_manifest_holds_the_figures_of_the_gate(written):
    _, manifest = written
    assert manifest.parity.exact
    assert manifest.parity.inputs > 40
    assert [output.name for output in manifest.parity.outputs] == list(HEADS)
    assert all(output.reference_range > 100 and output.finite and not output.constant
               for output in manifest.parity.outputs)  # fmt: skip
    assert manifest.parity.reference == f"the official {VARIANT}.tflite"


def test_no_path_of_this_machine_is_in_the_file_or_its_manifest(written):
    path, _ = written
    for each in (path, manifest_path(path)):
        content = each.read_bytes()
        assert str(path.parent).encode() not in content
        assert str(Path(artifact.__file__).parents[1]).encode() not in content


@pytest.mark.parametrize(
    ("variant", "heads", "precision", "io_type", "name"),
    [
        (VARIANT, "all", "fp16", "float", f"{VARIANT}.fp16.tflite"),
        ("pose_landmark_lite", "landmarks", "int8", "int8", "pose_landmark_lite.landmarks.int8_io8.tflite"),
        ("pose_landmark_lite", "presence+landmarks", "int8", "uint8", "pose_landmark_lite.landmarks.int8_iou8.tflite"),
        (
            "pose_landmark_full",
            "heatmap+landmarks",
            "fp32",
            "float",
            "pose_landmark_full.landmarks+heatmap.fp32.tflite",
        ),
    ],
)
def test_a_name_says_variant_heads_and_precision(tmp_path, variant, heads, precision, io_type, name):
    config = get_config(variant)
    source = Source(config=config, path=tmp_path, official=True, licence="", author="")
    assert default_name(source, resolve_heads(config, heads), precision, io_type) == name


# --- the gate ---------------------------------------------------------------------------------------------------------


def test_a_file_that_is_off_gets_no_name(failing_writer: ArtifactWriter, tmp_path: Path):
    with pytest.raises(
        ParityError, match=r"Output 'boxes' of .*fp16\.tflite is off by .* where 0 is allowed"
    ) as caught:
        failing_writer.write(tmp_path / NAME, HEADS, "fp16")
    error = caught.value
    assert (error.output, error.metric, error.budget) == ("boxes", "max_abs", 0.0)
    assert error.figure > 0.01
    assert files_in(tmp_path) == []


def test_a_file_that_is_off_leaves_the_old_one_in_place(failing_writer: ArtifactWriter, copy: Path):
    before = {path.name: path.read_bytes() for path in copy.parent.iterdir()}
    with pytest.raises(ParityError):
        failing_writer.write(copy, HEADS, "fp16")
    assert {path.name: path.read_bytes() for path in copy.parent.iterdir()} == before


def test_a_file_that_is_off_can_be_kept_under_another_name(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with pytest.raises(ParityError):
        ArtifactWriter(retouched(), keep_failed=True).write(tmp_path / NAME, HEADS, "fp32")
    assert files_in(tmp_path) == [f"{NAME}.failed"]
    assert set(Model((tmp_path / f"{NAME}.failed").read_bytes()).outputs) == set(HEADS)
    assert f"Kept for a look: {tmp_path / NAME}.failed" in caplog.text


def test_a_dynamic_file_has_no_budget_and_says_how_far_it_is(failing_writer: ArtifactWriter, tmp_path: Path):
    manifest = failing_writer.write(tmp_path / NAME, HEADS, "dynamic")
    assert manifest.parity.worst.relative > 0.01
    assert not manifest.parity.exact


def test_the_gate_needs_an_input_that_is_real(tmp_path: Path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    gated = ArtifactWriter(open_source(VARIANT), media=[tmp_path / "broken.jpg"])
    with pytest.raises(InputError, match=r"needs photos or videos with a photo that can be read\. .* none in 1 files"):
        gated.write(tmp_path / "out" / NAME, HEADS, "fp16")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "dynamic"])
def test_integer_input_and_outputs_go_with_int8_only(writer: ArtifactWriter, tmp_path: Path, precision: str):
    with pytest.raises(ConfigError, match=f"goes with precision int8 only. Received: precision {precision}"):
        writer.write(tmp_path / NAME, HEADS, precision, io_type="int8")
    assert files_in(tmp_path) == []


# --- one's own weights ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["my_face.keras", f"{VARIANT}.weights.h5"], ids=["keras", "weights.h5"])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ArtifactWriter:
    path = fine_tuned.save(tmp_path_factory.mktemp("own") / request.param)
    return ArtifactWriter(open_source(str(path), VARIANT if path.suffix == ".keras" else None))


def test_own_weights_convert_to_fp32_within_float_noise(own: ArtifactWriter, tmp_path: Path):
    manifest = own.write(tmp_path / NAME, HEADS, "fp32")
    assert 0 < manifest.parity.worst.relative < 1e-4
    assert manifest.parity.reference == f"Keras with {own.source.path.name}"
    assert (manifest.weights.official, manifest.weights.licence, manifest.weights.author) == (
        *(False, "not stated", "not stated"),
    )
    assert manifest.weights.file == own.source.path.name
    assert manifest.weights.sha256 == sha256_of(own.source.path)


def test_own_weights_convert_to_fp16_exactly_as_their_rounded_values(own: ArtifactWriter, tmp_path: Path, writer):
    manifest = own.write(tmp_path / NAME, HEADS, "fp16")
    assert manifest.parity.exact
    assert manifest.parity.reference == "the fp32 file of the weights rounded to fp16"
    # They are neither the official weights nor the unrounded ones.
    image = np.random.default_rng(0).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    boxes = Model(tmp_path / NAME).run(image)["boxes"]
    assert np.abs(boxes - Model(writer.source.path).run(image)["boxes"]).max() > 1
    assert 1e-4 < np.abs(boxes - fine_tuned.model()(image)["boxes"].numpy()).max() < 1


@pytest.mark.parametrize("own", [f"{VARIANT}.weights.h5"], indirect=True)
def test_own_weights_that_are_off_get_no_name(own: ArtifactWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The gate holds for one's own weights too: here the converted network has other weights than the Keras one."""
    convert, other = own._convert, open_source(VARIANT).build()
    monkeypatch.setattr(own, "_convert", lambda model, *args, **options: convert(other, *args, **options))
    with pytest.raises(ParityError, match=f"against Keras with {own.source.path.name}"):
        own.write(tmp_path / NAME, HEADS, "fp32")
    assert files_in(tmp_path) == []


def test_a_network_of_ones_own_may_lack_heads(tmp_path: Path):
    from blazeport.models.keras_api import keras

    trained = fine_tuned.model()
    scores = keras.Model(trained.inputs, [trained.get_layer("scores").output])
    scores.save(tmp_path / "scores.keras")
    own = ArtifactWriter(open_source(str(tmp_path / "scores.keras"), VARIANT))
    manifest = own.write(tmp_path / "scores.tflite", ("scores",), "fp32")
    assert [output.name for output in manifest.outputs] == ["scores"]
    with pytest.raises(ConversionError, match=r"Missing in model\w*: boxes"):
        own.write(tmp_path / NAME, HEADS, "fp16")


@pytest.mark.parametrize("variant", ["face_detection_full_range", "pose_landmark_lite"])
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_the_file_of_another_network_is_refused(tmp_path: Path, suffix: str, variant: str):
    path = fine_tuned.save(tmp_path / f"mine{suffix}")
    with pytest.raises(InputError, match=f"mine{suffix} (is not|does not fit) {variant}"):
        ArtifactWriter(open_source(str(path), variant)).write(tmp_path / NAME, get_config(variant).head_names, "fp32")
    assert files_in(tmp_path) == [path.name]


def test_ones_own_file_in_the_cache_is_not_called_official(tmp_path: Path, monkeypatch, official, writer, written):
    path, _ = written
    own = tmp_path / f"{VARIANT}.tflite"
    own.write_bytes(path.read_bytes())
    monkeypatch.setattr("blazeport.convert.source.official_file", lambda variant: own)
    source = open_source(VARIANT)
    assert (source.official, source.licence) == (False, "not stated")


# --- up to date -------------------------------------------------------------------------------------------------------


def test_an_artifact_is_up_to_date_until_something_changes(writer: ArtifactWriter, written, copy: Path):
    _, manifest = written
    assert writer.up_to_date(copy, HEADS, "fp16") == manifest
    assert writer.up_to_date(copy, ("scores",), "fp16") is None
    assert writer.up_to_date(copy, HEADS, "fp32") is None
    assert writer.up_to_date(copy, HEADS, "fp16", io_type="int8") is None
    assert writer.up_to_date(copy, HEADS, "fp16", quantizer=Calibrated()) is None


@pytest.mark.parametrize("change", ["sha256", "seed", "views", "limit"])
def test_another_calibration_is_another_file(writer: ArtifactWriter, change: str):
    other = dataclasses.replace(CALIBRATION, **{change: "1" * 64 if change == "sha256" else 7})
    calibrations = (CALIBRATION, other)
    recipes = {writer._fingerprint(HEADS, "int8", "float", Calibrated(calibration)) for calibration in calibrations}
    assert len(recipes) == 2


def test_the_names_of_photos_do_not_matter(writer: ArtifactWriter):
    renamed = dataclasses.replace(CALIBRATION, media=("b.jpg",))
    prints = {writer._fingerprint(HEADS, "int8", "float", Calibrated(each)) for each in (CALIBRATION, renamed)}
    assert len(prints) == 1


def test_another_recipe_is_another_file(writer: ArtifactWriter):
    quantizers = (Calibrated(), Calibrated(recipe={"base": "int16"}))
    assert len({writer._fingerprint(HEADS, "int8", "float", quantizer) for quantizer in quantizers}) == 2


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.unlink(), id="no_file"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), id="truncated"),
        pytest.param(lambda path: manifest_path(path).unlink(), id="no_manifest"),
        pytest.param(lambda path: manifest_path(path).write_text("{}"), id="foreign_manifest"),
        pytest.param(lambda path: manifest_path(path).write_bytes(b"\xff\xfe"), id="binary_manifest"),
        pytest.param(lambda path: path.with_name(f"{VARIANT}.anchors.json").unlink(), id="no_anchors"),
    ],
)
def test_a_damaged_artifact_is_not_up_to_date(writer: ArtifactWriter, copy: Path, damage):
    damage(copy)
    assert writer.up_to_date(copy, HEADS, "fp16") is None


def test_other_tools_code_or_weights_are_not_up_to_date(writer: ArtifactWriter, copy: Path, monkeypatch, official):
    other = dataclasses.replace(writer.source, path=official("pose_detection"))
    assert ArtifactWriter(other).up_to_date(copy, HEADS, "fp16") is None
    with monkeypatch.context() as patch:
        patch.setattr(artifact, "tool_versions", lambda: {"tensorflow": "0"})
        assert writer.up_to_date(copy, HEADS, "fp16") is None
    with monkeypatch.context() as patch:
        patch.setattr(artifact, "code_sha256", lambda: "0" * 64)
        assert writer.up_to_date(copy, HEADS, "fp16") is None
    assert writer.up_to_date(copy, HEADS, "fp16") is not None


# --- whole files or none ----------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where the artifact fits and its manifest does not; a real full disk where this may mount one."""
    anchors = len(anchors_json(get_config(VARIANT)).encode())
    # Of 4096 bytes; the anchors and the fp16 artifact take all of them.
    folder, blocks = tmp_path / "small", 57 - (-anchors // 4096)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={blocks * 4096}", "tmpfs", folder]
    if shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield folder
        subprocess.run(["umount", folder], check=True)
        return
    write_bytes = Path.write_bytes

    def write_what_fits(path: Path, data: bytes) -> int:
        free = blocks - sum(-(-each.stat().st_size // 4096) for each in folder.iterdir())
        if len(data) > free * 4096:
            write_bytes(path, data[: free * 4096])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_what_fits)
    yield folder


def test_a_full_disk_leaves_neither_file_nor_manifest(writer: ArtifactWriter, small_disk: Path):
    with pytest.raises(OutputError, match=r"Cannot write .*fp32\.tflite: No space left on device\. Free the disk"):
        writer.write(small_disk / f"{VARIANT}.fp32.tflite", HEADS, "fp32")
    assert files_in(small_disk) == []
    with pytest.raises(OutputError, match=r"Cannot write .*fp16\.json: No space left on device\. Free the disk"):
        writer.write(small_disk / NAME, HEADS, "fp16")
    assert files_in(small_disk) == []


def test_an_interrupted_write_leaves_the_old_file_and_manifest(
    writer: ArtifactWriter, copy: Path, monkeypatch: pytest.MonkeyPatch
):
    before = {path.name: path.read_bytes() for path in copy.parent.iterdir()}
    write_bytes = Path.write_bytes

    def interrupt(path: Path, data: bytes) -> int:
        write_bytes(path, data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.write(copy, HEADS, "fp32")
    assert {path.name: path.read_bytes() for path in copy.parent.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_one_line(writer: ArtifactWriter, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write .*: Not a directory\. .* choose a writable folder\.$"):
        writer.write(tmp_path / "file" / "folder" / NAME, HEADS, "fp16")
