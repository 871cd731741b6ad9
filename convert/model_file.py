"""Any model file as one thing that can be run and compared: .tflite, .onnx, .keras, or a SavedModel folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from ..errors import ConfigError, InputError
from ..models.config import VARIANTS, VariantConfig
from ..quiet import native_stderr
from ..runtime.interpreter import NATIVE_CHATTER, Model, TensorSpec, float_values, stored_values

if TYPE_CHECKING:
    from .onnx_file import OnnxFile

KINDS = (".tflite", ".onnx", ".keras", "a SavedModel folder")
Values = Mapping[str, np.ndarray]
_SAVED_MODEL = "saved_model.pb"


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelFile:
    """A model that can be run.

    Attributes:
        path: of the file or folder.
        inputs: name → spec.
        outputs: name → shape.
        run: input name → array, to output name → array; quantized ones are given and returned in float.
    """

    path: Path
    inputs: dict[str, TensorSpec]
    outputs: dict[str, tuple[int, ...]]
    run: Callable[[Values], dict[str, np.ndarray]]

    @property
    def image_layout(self) -> str | None:
        """`nhwc` or `nchw` when the only input is one float RGB image, else None."""
        if len(self.inputs) != 1:
            return None
        (spec,) = self.inputs.values()
        if len(spec.shape) != 4 or spec.shape[0] != 1 or (spec.dtype != np.float32 and not spec.scale):
            return None
        return {3: "nhwc"}.get(spec.shape[3]) or {3: "nchw"}.get(spec.shape[1])

    @property
    def config(self) -> VariantConfig | None:
        """A variant whose input and outputs these are (some share them), or None."""
        if self.image_layout is None:
            return None
        (spec,) = self.inputs.values()
        for config in VARIANTS.values():
            shapes = {head.name: head.shape for head in config.heads}
            same_input = nhwc_shape(spec.shape, self.image_layout) == config.input_shape
            if same_input and all(shapes.get(name) == shape for name, shape in self.outputs.items()):
                return config
        return None


def nhwc_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """The shape of an image input, turned to batch, height, width, channels."""
    return shape if layout == "nhwc" else (shape[0], *shape[2:], shape[1])


def open_model(path: Path) -> ModelFile:
    """Opens a model of any kind.

    Raises:
        ConfigError: it is of another kind, or what it needs is not installed.
        InputError: it is missing, cannot be read, or has dynamic shapes beyond the batch.
        ConversionError: an ONNX model that uses unknown operators or a newer opset.
    """
    if not path.exists():
        raise InputError(f"Expected a model ({', '.join(KINDS)}). {path} does not exist.")
    if path.is_dir():
        if not (path / _SAVED_MODEL).is_file():
            raise InputError(f"Expected a SavedModel. {path} is a folder without {_SAVED_MODEL}.")
        return _saved_model(path)
    openers = {".tflite": _tflite, ".onnx": _onnx, ".keras": _keras}
    if path.suffix not in openers:
        raise ConfigError(f"Unknown kind of model. Expected one of: {', '.join(KINDS)}. Received: {path}.")
    return openers[path.suffix](path)


def _tflite(path: Path) -> ModelFile:
    return tflite_model(path, path.read_bytes())


def tflite_model(path: Path, content: bytes) -> ModelFile:
    """A TFLite model in memory, `path` for messages; also one whose inputs are no image. Raises `InputError`."""
    if content[4:8] != b"TFL3":
        raise InputError(f"{path} is not a TFLite model: 'TFL3' must stand at byte 4.")
    try:
        with native_stderr(NATIVE_CHATTER):
            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"LiteRT cannot run {path}: {' '.join(str(error).split())}") from error
    input_names, output_names = _tflite_names(interpreter, content)
    details = {int(each["index"]): each for each in interpreter.get_output_details()}
    inputs = {name: _tflite_spec(interpreter, index) for name, index in input_names.items()}
    outputs = {name: _tflite_spec(interpreter, index) for name, index in output_names.items() if index in details}

    def run(values: Values) -> dict[str, np.ndarray]:
        for name, spec in inputs.items():
            given = values[name]
            interpreter.set_tensor(input_names[name], stored_values(given, spec) if spec.scale else given)
        interpreter.invoke()
        raw = {name: interpreter.get_tensor(output_names[name]) for name in outputs}
        return {
            name: float_values(value, outputs[name]) if outputs[name].scale else value for name, value in raw.items()
        }

    shapes = {name: spec.shape for name, spec in outputs.items()}
    return ModelFile(path=path, inputs=inputs, outputs=shapes, run=run)


def _tflite_names(interpreter: Any, content: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """Input and output names → tensor indices: the signature's, the heads' of a variant, or the tensors' own."""
    given, returned = interpreter.get_input_details(), interpreter.get_output_details()
    signatures = list(interpreter.get_signature_list())
    if signatures:
        runner = interpreter.get_signature_runner(signatures[0])
        sides = (runner.get_input_details(), runner.get_output_details())
        inputs, outputs = ({str(name): int(each["index"]) for name, each in side.items()} for side in sides)
        return inputs, outputs
    inputs, outputs = ({str(each["name"]): int(each["index"]) for each in side} for side in (given, returned))
    if len(given) == 1 and len(given[0]["shape"]) == 4 and given[0]["shape"][3] == 3:
        with Model(content) as model:
            if model.candidates:  # An official file: the shapes of its heads name its outputs.
                by_shape = {tuple(int(size) for size in each["shape"]): int(each["index"]) for each in returned}
                outputs = {name: by_shape[spec.shape] for name, spec in model.outputs.items()}
    return inputs, outputs


def _tflite_spec(interpreter: Any, index: int) -> TensorSpec:
    details = interpreter._get_tensor_details(index, 0)
    scale, zero_point = details["quantization"]
    return TensorSpec(
        shape=tuple(int(size) for size in details["shape"]),
        dtype=np.dtype(details["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _onnx(path: Path) -> ModelFile:
    from .onnx_file import read_onnx

    return onnx_model(read_onnx(path))


def onnx_model(file: OnnxFile) -> ModelFile:
    """An ONNX model that was read. Raises `InputError` when onnxruntime cannot run it."""
    run = file.runner()
    shapes = {name: spec.shape for name, spec in file.outputs.items()}
    return ModelFile(path=file.path, inputs=file.inputs, outputs=shapes, run=lambda values: run(dict(values)))


def _keras(path: Path) -> ModelFile:
    from ..models import blocks  # noqa: F401  Registers the layers that blazeport's networks use.
    from ..models.build import load_keras

    return keras_model(path, load_keras(path))


def keras_model(path: Path, model: Any) -> ModelFile:
    """A Keras model in memory, `path` for messages. Raises `InputError` for dynamic shapes beyond the batch."""
    from ..models.keras_api import tf

    inputs = {_layer_name(tensor): _tf_spec(tensor, path) for tensor in model.inputs}
    names = list(model.output) if isinstance(model.output, dict) else list(model.output_names)
    signature = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs.items()}

    @tf.function(input_signature=[signature])  # type: ignore[untyped-decorator]
    def call(values: dict[str, Any]) -> dict[str, Any]:
        given = [values[name] for name in inputs]
        results = model(given[0] if len(given) == 1 else given, training=False)
        if isinstance(results, dict):
            return results
        return dict(zip(names, results if isinstance(results, list | tuple) else [results], strict=True))

    concrete = call.get_concrete_function()
    shapes = {name: _static(spec.shape, path, name) for name, spec in concrete.structured_outputs.items()}
    return ModelFile(
        path=path,
        inputs=inputs,
        outputs={name: shapes[name] for name in names},
        run=lambda values: {name: np.asarray(value) for name, value in call(dict(values)).items()},
    )


def _saved_model(path: Path) -> ModelFile:
    from ..models.keras_api import NATIVE_CHATTER as CHATTER
    from ..models.keras_api import tf

    try:
        with native_stderr(CHATTER):
            loaded = tf.saved_model.load(str(path))
        signatures = dict(loaded.signatures)
    except Exception as error:  # TensorFlow raises whatever its readers raise.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"TensorFlow cannot read the SavedModel {path}: {reason}") from error
    function = signatures.get("serving_default") or next(iter(signatures.values()), None)
    if function is None:
        raise InputError(f"The SavedModel {path} has no signature, so its inputs and outputs have no names.")
    inputs = {name: _tf_spec(spec, path) for name, spec in function.structured_input_signature[1].items()}
    outputs = {name: _static(spec.shape, path, name) for name, spec in function.structured_outputs.items()}

    def run(values: Values) -> dict[str, np.ndarray]:
        _ = loaded  # Owns the variables.
        results = function(**{name: tf.constant(value) for name, value in values.items()})
        return {name: np.asarray(value) for name, value in results.items()}

    return ModelFile(path=path, inputs=inputs, outputs=outputs, run=run)


def _layer_name(tensor: Any) -> str:
    return str(tensor.name).partition(":")[0]


def _tf_spec(tensor: Any, path: Path) -> TensorSpec:
    shape = _static(tensor.shape, path, str(tensor.name))
    dtype = getattr(tensor.dtype, "as_numpy_dtype", tensor.dtype)
    return TensorSpec(shape=shape, dtype=np.dtype(dtype))


def _static(shape: Any, path: Path, name: str) -> tuple[int, ...]:
    """A shape with a batch of 1 where the batch is open."""
    sizes = list(shape)
    if sizes and sizes[0] is None:
        sizes[0] = 1
    if None in sizes:
        raise InputError(f"{name!r} of {path} has the shape {shape}: static shapes are required.")
    return tuple(int(size) for size in sizes)
