"""Which runtimes there are, and that each gives the same outputs."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blazeport.convert.parity import measure
from blazeport.errors import ConfigError, InputError, RuntimeUnavailable, WorkerError
from blazeport.models.config import VARIANTS
from blazeport.runtime import engine
from blazeport.runtime.interpreter import Model
from blazeport.runtime.runtimes import RUNTIMES, probe, probe_all
from real_networks import exported, network, real_inputs

Official = Callable[[str], Path]
FACE, LITE = "face_detection_short_range", "pose_landmark_lite"
LIMIT = 1e-4  # of the output's range
WITHOUT_LITERT = """
import sys
sys.modules["ai_edge_litert"] = None
from pathlib import Path
from blazeport.pipeline.face import FaceDetector
from blazeport.pipeline.image import read_image
from blazeport.runtime.interpreter import Model
model = Model(Path(sys.argv[1]), runtime="tflite-runtime", python=Path(sys.argv[2]))
print(len(FaceDetector(model).process(read_image(Path(sys.argv[3]))).faces))
"""


def assert_same_outputs(reference: Model, model: Model, variant: str) -> None:
    """Single mask logits are off by up to 7e-4 of their range between right kernels; presence is a share."""
    inputs = real_inputs(variant)[:3]
    parity = measure(reference.run, model.run, inputs, list(reference.outputs), reference_name="LiteRT")
    metrics = {"segmentation": "mean_relative", "presence": "max_abs"}
    errors = {each.name: getattr(each, metrics.get(each.name, "relative")) for each in parity.outputs}
    assert {name: error for name, error in errors.items() if not error <= LIMIT} == {}
    assert (model.input, model.candidates) == (reference.input, reference.candidates)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_tflite_runtime_gives_the_outputs_of_litert(variant: str, precision: str, tflite_runtime_python: Path) -> None:
    content = exported(variant, "all", precision)
    with Model(content, runtime="tflite-runtime", python=tflite_runtime_python) as model:
        assert_same_outputs(Model(content), model, variant)


@pytest.mark.parametrize(("variant", "precision"), [("face_detection_full_range_sparse", "fp16"), (LITE, "fp32")])
def test_tf_lite_gives_the_outputs_of_litert(variant: str, precision: str) -> None:
    content = exported(variant, "all", precision)
    with Model(content, runtime="tf-lite") as model:
        assert_same_outputs(Model(content), model, variant)


@functools.cache
def onnx_of(variant: str, *, channels_first: bool = False) -> bytes:
    import tensorflow as tf
    import tf2onnx

    model = network(variant).model
    signature = [tf.TensorSpec(model.inputs[0].shape, tf.float32, name="image")]

    @tf.function(input_signature=signature)
    def call(image: Any) -> Any:
        return {name: tf.identity(value, name) for name, value in model(image, training=False).items()}

    first = ["image"] if channels_first else None
    return tf2onnx.convert.from_function(call, signature, opset=17, inputs_as_nchw=first)[0].SerializeToString()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("variant", "channels_first"), [(FACE, False), (LITE, False), (FACE, True)], ids=["face", "pose", "channels first"]
)
def test_onnxruntime_gives_the_outputs_of_litert(variant: str, channels_first: bool, tmp_path: Path) -> None:
    path = tmp_path / f"{variant}.onnx"
    path.write_bytes(onnx_of(variant, channels_first=channels_first))
    model = Model(path)
    assert model.runtime == "onnxruntime"
    assert_same_outputs(Model(exported(variant, "all", "fp32")), model, variant)


def image_to_mean(
    tmp_path: Path, *, dtype: str = "FLOAT", shape: tuple[Any, ...] = (1, 4, 4, 3), **change: Any
) -> Path:
    """A hand-made .onnx file: the mean of an image."""
    import onnx
    from onnx import helper

    kind = getattr(onnx.TensorProto, dtype)
    images = [helper.make_tensor_value_info(name, kind, shape) for name in change.get("inputs", ["image"])]
    mean = helper.make_tensor_value_info("mean", kind, (1, 1, 1, 1))
    node = helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3])
    graph = helper.make_graph([node], "mean", images, [mean])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, change.get("metadata", {}))
    path = tmp_path / "mean.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("python", [None, Path(sys.executable)], ids=["in process", "own process"])
@pytest.mark.parametrize("dtype", ["FLOAT", "FLOAT16"])
def test_a_strangers_onnx_file_runs_under_the_names_of_its_outputs(
    dtype: str, python: Path | None, tmp_path: Path
) -> None:
    with Model(image_to_mean(tmp_path, dtype=dtype), python=python) as model:
        (mean,) = model.run(np.full((1, 4, 4, 3), 0.5, np.float32)).items()
        assert mean[0] == "mean"
        assert mean[1].dtype == np.float32
        assert mean[1].item() == 0.5
        assert (model.candidates, model.variant) == ((), None)


@pytest.mark.parametrize("python", [None, Path(sys.executable)], ids=["in process", "own process"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": ("batch", 4, 4, 3)}, "image must be numbers of a fixed shape"),
        ({"inputs": ["image", "other"]}, "must have one image input"),
        ({"shape": (1, 4, 4, 1)}, "must have one image input"),
    ],
    ids=["dynamic", "two inputs", "grey"],
)
def test_an_onnx_file_that_cannot_be_run_is_refused(
    change: dict[str, Any], said: str, python: Path | None, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        Model(image_to_mean(tmp_path, **change), python=python)


def test_a_file_of_another_kind_is_refused(official: Official, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"onnxruntime runs \.onnx files"):
        Model(official(FACE), runtime="onnxruntime")
    with pytest.raises(InputError, match=r"The runtime for \.onnx files is onnxruntime"):
        Model(image_to_mean(tmp_path), runtime="litert")
    (tmp_path / "rubbish.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="not a model onnxruntime can run"):
        Model(tmp_path / "rubbish.onnx")
    with pytest.raises(
        ConfigError, match=r"Unknown runtime\. Expected one of: litert, tflite-runtime, tf-lite, onnxruntime"
    ):
        Model(official(FACE), runtime="tensorrt")


def test_blazeport_works_where_litert_cannot_be_installed(
    official: Official, tflite_runtime_python: Path, data_dir: Path
) -> None:
    photo = data_dir / "images" / "tfjs_portrait.jpg"
    command = [sys.executable, "-c", WITHOUT_LITERT, official(FACE), tflite_runtime_python, photo]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_every_runtime_is_usable_here() -> None:
    found = {status.runtime: status for status in probe_all()}
    assert list(found) == list(RUNTIMES)
    assert {name: status.problem for name, status in found.items() if not status.usable} == {}
    assert all(status.version and status.python_version for status in found.values())
    assert [name for name, status in found.items() if not status.own_process] == ["litert", "onnxruntime"]


def stand_in(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tflite-runtime of our own that processes take up."""
    (folder / "tflite_runtime").mkdir()
    (folder / "tflite_runtime" / "__init__.py").touch()
    (folder / "tflite_runtime" / "interpreter.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "raise ImportError('libfoo.so: cannot open')",
            r"tflite-runtime cannot be imported \(libfoo\.so: cannot open\)",
        ),
        # What 2.14 does where numpy is 2, whose arrays it does not know.
        ("def Interpreter(**_): raise SystemError('returned a result')", r"2\.14\.0 does not work with numpy 1\."),
        ("import os; os._exit(3)", "ended with 3"),
    ],
    ids=["broken library", "other numpy", "dies"],
)
def test_a_runtime_that_does_not_work_is_told_with_what_to_do(
    code: str, said: str, official: Official, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, code, monkeypatch)
    status = probe(RUNTIMES["tflite-runtime"])
    assert not status.usable
    assert re.search(said, str(status.problem))
    assert "DIR/bin/pip install tflite-runtime==2.14.0 'numpy<2'" in str(status.problem)
    with pytest.raises((RuntimeUnavailable, WorkerError), match=said.replace("ended with", "exit code")):
        Model(official(FACE), runtime="tflite-runtime")


def test_a_runtime_that_computes_nonsense_is_not_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
from ai_edge_litert.interpreter import *
class Interpreter(Interpreter):
    def get_tensor(self, index):
        return super().get_tensor(index) + 1
"""
    stand_in(tmp_path, code, monkeypatch)
    assert "it computes [[0.]]" in str(probe(RUNTIMES["tflite-runtime"]).problem)


def test_a_python_can_be_named_by_a_variable(
    official: Official, tflite_runtime_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLAZEPORT_TFLITE_RUNTIME_PYTHON", str(tflite_runtime_python))
    status = probe(RUNTIMES["tflite-runtime"])
    assert (status.usable, status.python) == (True, str(tflite_runtime_python))
    monkeypatch.setenv("BLAZEPORT_LITERT_PYTHON", str(tflite_runtime_python))
    with pytest.raises(RuntimeUnavailable, match=f"{tflite_runtime_python}: ai-edge-litert cannot be imported"):
        Model(official(FACE))
    monkeypatch.setenv("BLAZEPORT_LITERT_PYTHON", "/no/such/python")
    with pytest.raises(RuntimeUnavailable, match="this Python cannot be run"):
        Model(official(FACE))
    assert "this Python cannot be run" in str(probe(RUNTIMES["litert"]).problem)


def test_the_engines_are_a_program_for_python_3_9() -> None:
    ast.parse(Path(engine.__file__).read_text(), feature_version=(3, 9))
