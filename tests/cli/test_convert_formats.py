"""`blazeport convert --to` and `--via onnx2tf`: every format, the whole round, strangers' models, what is refused."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import strangers_onnx as strangers
from blazeport.cli.main import main
from blazeport.convert.compare import compare, comparison_inputs
from blazeport.convert.manifest import read_manifest
from blazeport.convert.model_file import open_model
from blazeport.convert.onnx2tf import onnx2tf_files
from blazeport.convert.onnx_file import read_onnx
from blazeport.runtime.interpreter import Model
from blazeport.weights.reader import read_tflite
from click.testing import CliRunner, Result

FACE, LITE = "face_detection_short_range", "pose_landmark_lite"
ANCHORS = "face_detection_short_range.anchors.json"


def blazeport(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def done(*arguments: object) -> Result:
    result = blazeport(*arguments)
    assert result.exit_code == 0, result.output
    return result


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def kinds(path: Path) -> list[str]:
    return [op.kind for op in read_tflite(path).ops]


@pytest.fixture(scope="module")
def face_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of the short-range face detector; nobody may change it."""
    path = tmp_path_factory.mktemp("onnx") / "face.onnx"
    done("convert", FACE, "--to", "onnx", "-o", path)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one, and no way to the network."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


# --- ONNX -------------------------------------------------------------------------------------------------------------


def test_the_onnx_file_says_what_it_is_and_agrees_with_the_official_file(face_onnx: Path):
    assert files_below(face_onnx.parent) == ["face.onnx", "face.onnx.json", ANCHORS]
    proto = strangers.load(face_onnx)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata["variant"] == FACE
    assert (metadata["licence"], metadata["input_range"], metadata["input_layout"]) == ("Apache-2.0", "-1,1", "nhwc")
    assert [value.name for value in (*proto.graph.input, *proto.graph.output)] == ["image", "boxes", "scores"]
    manifest = read_manifest(face_onnx.with_name("face.onnx.json"))
    assert (manifest.weights.official, manifest.precision, manifest.macs) == (True, "fp32", 30760960)
    assert {"onnx", "tf2onnx", "onnxruntime", "onnxsim"} <= set(manifest.tools)
    for output in manifest.parity.outputs:
        assert output.relative <= 1e-5


def test_heads_layout_and_opset_can_be_chosen(tmp_path: Path, official):
    done("convert", LITE, "--heads", "landmarks", "--layout", "nchw", "--opset", "18", "-o", tmp_path / "lite.onnx")
    model = open_model(tmp_path / "lite.onnx")
    assert {name: spec.shape for name, spec in model.inputs.items()} == {"image": (1, 3, 256, 256)}
    assert model.outputs == {"landmarks": (1, 195), "presence": (1, 1)}
    assert strangers.load(tmp_path / "lite.onnx").opset_import[0].version == 18
    by_name = {output.name: output for output in read_manifest(tmp_path / "lite.onnx.json").parity.outputs}
    assert by_name["landmarks"].max_abs <= 0.02  # px
    assert by_name["presence"].max_abs <= 5e-5


def test_export_writes_onnx_files_that_are_not_up_to_date(tmp_path: Path):
    for word in ("wrote", "up to date"):
        result = done("export", "--to", "onnx", "--variants", FACE, "-o", tmp_path)
        assert f"{word}  {tmp_path / FACE}.onnx" in result.stderr
    assert files_below(tmp_path) == [ANCHORS, f"{FACE}.onnx", f"{FACE}.onnx.json"]
    refused = blazeport("export", "--to", "onnx", "--precisions", "fp16", "-o", tmp_path)
    assert "ONNX files are fp32" in refused.stderr


# --- onnx2tf ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def face_by_onnx2tf(face_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx2tf") / "face.tflite"
    done("convert", face_onnx, "--to", "tflite", "--via", "onnx2tf", "-o", path)
    return path


def test_by_onnx2tf_the_file_is_named_small_and_without_transposes(face_by_onnx2tf: Path, official):
    assert files_below(face_by_onnx2tf.parent) == ["face.json", "face.tflite", ANCHORS]
    manifest = read_manifest(face_by_onnx2tf.with_suffix(".json"))
    assert (manifest.variant, manifest.precision, manifest.tools["onnx2tf"]) == (FACE, "fp16", "1.28.8")
    assert "TRANSPOSE" not in kinds(face_by_onnx2tf)
    assert face_by_onnx2tf.stat().st_size <= 1.05 * 230_304  # the direct export
    with Model(face_by_onnx2tf) as model:
        assert (model.variant, model.input_shape) == (FACE, (1, 128, 128, 3))
        assert list(model.outputs) == ["boxes", "scores"]
    reference = open_model(official(FACE))
    comparison = compare(reference, open_model(face_by_onnx2tf), comparison_inputs(reference, None, 12))
    assert comparison.parity.exact


def test_the_whole_round_is_one_command_offline_and_leaves_nothing_behind(
    elsewhere: Path, tmp_path: Path, official, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    source = shutil.copy(official(FACE), tmp_path / f"{FACE}.tflite")
    done("convert", source, "--via", "onnx2tf", "--precision", "fp32", "-o", tmp_path / "out")
    assert files_below(elsewhere) == []
    assert files_below(tmp_path / "out") == [ANCHORS, f"{FACE}.fp32.json", f"{FACE}.fp32.tflite"]
    manifest = read_manifest(tmp_path / "out" / f"{FACE}.fp32.json")
    assert manifest.parity.reference == f"the official {FACE}.tflite"
    assert max(output.relative for output in manifest.parity.outputs) <= 1e-5
    assert files_below(tmp_path / "temporary") == []


@pytest.mark.parametrize("method", ["blazeport", "onnx2tf"])
def test_int8_is_made_by_either_quantizer(face_onnx: Path, tmp_path: Path, caplog, method: str):
    done("convert", face_onnx, "--precision", "int8", "--method", method, "-o", tmp_path / "face.tflite")
    manifest = read_manifest(tmp_path / "face.json")
    assert (manifest.method, manifest.precision) == (method, "int8")
    assert manifest.weights.file == "face.onnx"
    assert manifest.int8_mac_share > 0.99
    assert files_below(tmp_path) == ["face.json", "face.tflite", ANCHORS]
    with Model(tmp_path / "face.tflite") as model:
        assert list(model.outputs) == ["boxes", "scores"]


@functools.cache
def converted_wrongly() -> dict[str, bytes]:
    """What onnx2tf makes of a model whose last kernel is permuted on one axis: a conversion that went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = strangers.save(strangers.permuted(strangers.convolutional()), Path(folder) / "source.onnx")
        return onnx2tf_files(read_onnx(path), keep_layout=True, licence="", author="")


@pytest.fixture
def wrong_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnx2tf writes a wrong file and says nothing, as it has been seen to do."""
    monkeypatch.setattr("blazeport.convert.onnx_route.onnx2tf_files", lambda *_, **__: converted_wrongly())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_wrong_conversion_is_stopped_by_the_gate(tmp_path: Path, wrong_conversion, precision: str):
    source = strangers.save(strangers.convolutional(), tmp_path / "source.onnx")
    options = ["--precision", precision, "--keep-failed"]
    result = blazeport("convert", source, *options, "-o", tmp_path / "out" / "x.tflite")
    assert result.exit_code == 1
    assert "Output 'heat map' of x.tflite is off by " in result.stderr
    assert "against the source source.onnx" in result.stderr
    assert files_below(tmp_path / "out") == ["x.tflite.failed"]


# --- strangers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [None, "nhwc"], ids=["kept", "nhwc"])
def test_a_strangers_model_is_converted_and_keeps_the_names_of_its_outputs(
    elsewhere: Path, tmp_path: Path, layout: str | None
):
    source = strangers.save(strangers.convolutional(), tmp_path / "stranger.onnx")
    options = ["--layout", layout] if layout else []
    done("convert", source, "--to", "tflite", "--precision", "fp32", *options, "-o", tmp_path / "out.tflite")
    assert files_below(elsewhere) == []
    model = open_model(tmp_path / "out.tflite")
    assert {name: spec.shape for name, spec in model.inputs.items()} == {
        "in/put.1": (1, 48, 48, 3) if layout else (1, 3, 48, 48)
    }
    assert model.outputs == {"heat map": (1, 24, 24, 5), "flag": (1, 2)}
    image = np.random.default_rng(5).random((1, 3, 48, 48), np.float32)
    expected = strangers.run(strangers.load(source), {"in/put.1": image})
    received = model.run({"in/put.1": image.transpose(0, 2, 3, 1) if layout else image})
    np.testing.assert_allclose(received["flag"], expected["flag"], atol=1e-5)
    np.testing.assert_allclose(received["heat map"], expected["heat map"].transpose(0, 2, 3, 1), atol=1e-4)
    if layout:
        assert "TRANSPOSE" not in kinds(tmp_path / "out.tflite")


def test_a_strangers_model_without_an_image_is_compared_on_noise(tmp_path: Path):
    source = strangers.save(strangers.vectors(), tmp_path / "vectors.onnx")
    done("convert", source, "--precision", "fp16", "-o", tmp_path / "vectors.tflite")
    rng = np.random.default_rng(2)
    values = {name: rng.standard_normal((1, 8)).astype(np.float32) for name in "ab"}
    expected = strangers.run(strangers.load(source), values)["y"]
    np.testing.assert_allclose(open_model(tmp_path / "vectors.tflite").run(values)["y"], expected, atol=2e-2)
    assert read_manifest(tmp_path / "vectors.json").variant == "vectors"


# --- Keras and SavedModel ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["keras", "saved-model"])
def test_an_official_tflite_file_becomes_a_keras_or_saved_model(tmp_path: Path, official, target: str):
    done("convert", FACE, "--to", target, "-o", tmp_path)
    ending = {"keras": ".keras", "saved-model": ".saved_model"}[target]
    path = tmp_path / f"{FACE}{ending}"
    assert read_manifest(tmp_path / f"{FACE}{ending}.json").parity.worst.relative <= 1e-5
    result = done("parity", official(FACE), path, "--limit", "4")
    assert "is the same network" in result.stdout
    done("convert", FACE, "--to", target, "-o", tmp_path)  # Again, over the first.


def test_an_export_with_fewer_heads_becomes_keras_and_gives_the_same_file_again(tmp_path: Path):
    done("convert", LITE, "--heads", "landmarks", "-o", tmp_path / f"{LITE}.tflite")
    done("convert", tmp_path / f"{LITE}.tflite", "--to", "keras", "-o", tmp_path / f"{LITE}.keras")
    model = open_model(tmp_path / f"{LITE}.keras")
    assert set(model.outputs) == {"landmarks", "presence"}
    reference = open_model(tmp_path / f"{LITE}.tflite")
    assert compare(reference, model, comparison_inputs(reference, None, 4)).passed


# --- what cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([FACE, "--to", "onnx", "--opset", "99"], "Unknown opset. Expected one of: 13, "),
        ([FACE, "--to", "onnx", "--opset", "1"], "Unknown opset. Expected one of: 13, "),
        ([FACE, "--to", "onnx", "--precision", "fp16"], "--to onnx writes fp32. Received: --precision fp16."),
        ([FACE, "--to", "onnx", "--via", "onnx2tf"], "onnx2tf makes .tflite files only."),
        ([FACE, "--to", "keras", "-o", "x.onnx"], "--to keras writes a .keras file. Received: --out x.onnx."),
        ([FACE, "--layout", "nchw"], "--layout goes with --to onnx, or with an .onnx file."),
        ([FACE, "--opset", "17"], "--opset goes with --to onnx."),
        ([FACE, "--method", "onnx2tf"], "--calibration and --method go with --via onnx2tf --precision int8."),
        ([FACE, "--tolerance", "0.1"], "--tolerance goes with --via onnx2tf"),
        ([FACE, "--via", "onnx2tf", "--precision", "mixed"], "Unknown precision by onnx2tf."),
        (["missing.onnx"], "missing.onnx does not exist."),
        (["missing.onnx", "--via", "direct"], "becomes a .tflite file by --via onnx2tf."),
        (["missing.onnx", "--heads", "boxes"], "--variant and --heads do not go with an .onnx file"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(elsewhere: Path, arguments: list[str], reason: str):
    result = blazeport("convert", *arguments)
    assert result.exit_code == 1
    assert reason in result.stderr.splitlines()[-1]
    assert files_below(elsewhere) == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: strangers.one_node("Relu", shape=("n", 4)), "static shapes are required"),
        (lambda: strangers.one_node("DFT", shape=(1, 4, 2)), "onnx2tf does not know: DFT"),
        (lambda: strangers.one_node("Relu", opset=999), "has opset 999"),
        (strangers.huge_map, "which is too large"),
        (lambda: strangers.external("../../etc/passwd"), "must lie in its folder"),
    ],
    ids=["dynamic", "unsupported", "opset", "huge", "escaping"],
)
def test_a_model_that_cannot_be_converted_writes_nothing(elsewhere: Path, make, reason: str):
    strangers.save(make(), elsewhere / "x.onnx")
    result = blazeport("convert", "x.onnx", "--to", "tflite", "-o", "out/x.tflite")
    assert result.exit_code == 1
    assert reason in result.stderr.splitlines()[-1]
    assert files_below(elsewhere) == ["x.onnx"]
    assert not (elsewhere / "out").exists()


@pytest.mark.parametrize(
    ("make", "options", "reason"),
    [
        (strangers.vectors, ["--precision", "int8"], "int8 needs one image input of 3 channels"),
        (strangers.vectors, ["--layout", "nhwc"], "--layout goes with one image input of 3 channels"),
        (strangers.convolutional, ["--precision", "int8"], "blazeport quantizes NHWC: add --layout nhwc."),
    ],
    ids=["int8", "layout", "int8 nchw"],
)
def test_options_that_a_strangers_model_cannot_have_are_one_line(
    elsewhere: Path, make, options: list[str], reason: str
):
    strangers.save(make(), elsewhere / "x.onnx")
    result = blazeport("convert", "x.onnx", *options)
    assert result.exit_code == 1
    assert reason in result.stderr.splitlines()[-1]
    assert files_below(elsewhere) == ["x.onnx"]


def test_a_strangers_image_network_becomes_int8(tmp_path: Path, caplog):
    source = strangers.save(strangers.convolutional(plain=True), tmp_path / "x.onnx")
    done("convert", source, "--layout", "nhwc", "--precision", "int8", "-o", tmp_path / "out" / "x.tflite")
    manifest = read_manifest(tmp_path / "out" / "x.json")
    assert (manifest.variant, manifest.method, manifest.weights.file) == ("x", "blazeport", "x.onnx")
    assert manifest.int8_mac_share == 1.0


def test_a_folder_that_is_no_saved_model_is_not_replaced(tmp_path: Path):
    (tmp_path / "x.saved_model").mkdir()
    (tmp_path / "x.saved_model" / "mine.txt").write_text("mine")
    result = blazeport("convert", FACE, "--to", "saved-model", "-o", tmp_path / "x.saved_model")
    assert "exists and is no SavedModel" in result.stderr
    assert files_below(tmp_path) == ["x.saved_model/mine.txt"]
