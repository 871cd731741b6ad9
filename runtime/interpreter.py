"""One file in one of the runtimes: its image input, and its outputs by name."""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, InputError, ShapeError
from ..models.config import VARIANTS, VariantConfig
from ..quiet import native_stderr
from .engine import Engine, EngineError, RawTensor, UnusableRuntimeError, open_engine
from .runtimes import Runtime, get_runtime, runtime_for, unavailable
from .worker import WorkerEngine

FILE_IDENTIFIER = b"TFL3"
METADATA_NAME = b"TFLITE_METADATA"
NATIVE_CHATTER = "INFO: "  # which delegate was made


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of a file. Quantized: value = scale * (stored - zero_point); `scale` is 0 where it is not."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0


class Model:
    """One file, ready to run. Not for two threads at once; several instances are independent.

    Attributes:
        name: the file's name, for messages.
        runtime: name of the runtime it runs in.
        input: spec of the image input.
        outputs: output name → spec, in the order of the file.
        candidates: names of the variants whose input and heads this file fits; variants may share them.
    """

    def __init__(
        self,
        source: Path | bytes,
        *,
        num_threads: int = 1,
        runtime: str | None = None,
        python: Path | None = None,
    ) -> None:
        """Loads a file and allocates its tensors.

        Args:
            source: path or content of a .tflite or .onnx file with one image input and a static batch of 1.
            num_threads: CPU threads of the runtime.
            runtime: `litert`, `tflite-runtime`, `tf-lite` or `onnxruntime`; None: onnxruntime for the path of an .onnx
                file, else LiteRT.
            python: the Python that has the runtime; None: the one that `BLAZEPORT_<RUNTIME>_PYTHON` names, else this.
        Raises:
            InputError: the file is missing, truncated, no model for this runtime, or has other inputs than one image.
            ConfigError: `num_threads` is below 1, or there is no such runtime.
            RuntimeUnavailable: the runtime is not installed or does not work; the message says what to do.
            WorkerError: the runtime's own process broke off.
        """
        if num_threads < 1:
            raise ConfigError(f"num_threads must be at least 1. Received: {num_threads}.")
        path = source if isinstance(source, Path) else None
        self.name = "model" if path is None else str(path)
        chosen = get_runtime(runtime) if runtime else runtime_for(path)
        self.runtime = chosen.name
        _check_header(source, self.name, chosen)
        self._engine = _open(source, num_threads, chosen, python, self.name)
        inputs = self._engine.inputs
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[3] != 3:
            self.close()
            shapes = ", ".join(str(tensor.shape) for tensor in inputs)
            raise InputError(f"{self.name} must have one image input (1, height, width, 3). Received: {shapes}.")
        self.input = _spec(inputs[0])
        self._source = source
        self._positions, self.outputs, self.candidates = self._name_outputs()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the runtime's memory and ends its process; the model cannot run any more."""
        self._engine.close()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """`(1, height, width, 3)`."""
        return self.input.shape

    @property
    def input_dtype(self) -> np.dtype[Any]:
        """The dtype the file stores its input in; `run` takes float32 in any case."""
        return self.input.dtype

    @functools.cached_property
    def variant(self) -> str | None:
        """The variant this file is: the only one it fits, or the one its metadata names; None when that is unknown."""
        if len(self.candidates) == 1:
            return self.candidates[0]
        if get_runtime(self.runtime).suffix == ".onnx":
            named = self._engine.metadata.get("variant")
            return named if named in self.candidates else None
        metadata = _metadata(self._source)
        return next((name for name in self.candidates if _flatbuffer_string(name) in metadata), None)

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the network once.

        Args:
            image: `input_shape` float32 in the network's range (quantized here when the file's input is).
        Returns:
            Output name → float32 array of its own, in the order of the file (dequantized here when the file's is).
        Raises:
            ShapeError: `image` has another shape or dtype.
        """
        if image.shape != self.input.shape or image.dtype != np.float32:
            raise ShapeError(
                f"{self.name} needs a float32 image {self.input.shape}. Received: {image.dtype} {image.shape}."
            )
        try:
            stored = self._engine.run(stored_values(image, self.input))
        except EngineError as error:
            raise InputError(f"{self.name} fails when it runs in {self.runtime} ({error}).") from error
        return {name: float_values(stored[position], self.outputs[name]) for name, position in self._positions.items()}

    @property
    def invoke_us(self) -> float:
        """What the runtime took for the last run, µs, without handing tensors over to it."""
        return self._engine.invoke_us

    def _name_outputs(self) -> tuple[dict[str, int], dict[str, TensorSpec], tuple[str, ...]]:
        """Output name → position in the file and → spec, and the variants that fit.

        A file with a signature names its outputs itself; in one without (every official file) the shapes of a variant's
        heads are distinct and name them. A network that fits no variant keeps its tensors' names.
        """
        specs = {position: _spec(tensor) for position, tensor in enumerate(self._engine.outputs)}
        signed = self._engine.names
        fitting = {
            config.name: names
            for config in VARIANTS.values()
            if config.input_shape == self.input.shape and (names := _fit(config, specs, signed)) is not None
        }
        tensor_names = {position: tensor.name for position, tensor in enumerate(self._engine.outputs)}
        names = next(iter(fitting.values()), signed) or tensor_names
        by_name = {names[position]: position for position in specs if position in names}
        return by_name, {name: specs[position] for name, position in by_name.items()}, tuple(fitting)


def _fit(config: VariantConfig, specs: Mapping[int, TensorSpec], signed: Mapping[int, str]) -> dict[int, str] | None:
    """Position → head of `config`, or None when some output is no head of it."""
    shapes = {head.name: head.shape for head in config.heads}
    if signed:
        fits = all(shapes.get(name) == specs[index].shape for index, name in signed.items() if index in specs)
        return dict(signed) if fits else None
    heads = {shape: name for name, shape in shapes.items()}
    names = {index: heads[spec.shape] for index, spec in specs.items() if spec.shape in heads}
    return names if len(set(names.values())) == len(specs) else None


def _check_header(source: Path | bytes, name: str, runtime: Runtime) -> None:
    """Refuses what is plainly no file for the runtime before that sees it; the runtime checks the rest."""
    if isinstance(source, bytes):
        head = source[:8]
    else:
        try:
            with source.open("rb") as stream:
                head = stream.read(8)
        except OSError as error:
            raise InputError(f"Cannot read the model {name}: {error.strerror or error}.") from error
    is_tflite = head[4:8] == FILE_IDENTIFIER
    if runtime.suffix == ".tflite" and not is_tflite:
        what = "it is empty" if not head else f"it begins with {head!r}"
        raise InputError(
            f"{name} is not a TFLite model: 'TFL3' must stand at byte 4, but {what}."
            + (" The runtime for .onnx files is onnxruntime." if name.endswith(".onnx") else "")
        )
    if runtime.suffix == ".onnx" and is_tflite:
        raise InputError(f"{runtime.name} runs .onnx files. {name} is a TFLite model.")


def _open(source: Path | bytes, num_threads: int, runtime: Runtime, python: Path | None, name: str) -> Engine:
    python = runtime.python(python)
    try:
        if python is not None or not runtime.in_process:
            return WorkerEngine(runtime, source, num_threads, python)
        with native_stderr(NATIVE_CHATTER):
            return open_engine(runtime.name, source, num_threads)
    except UnusableRuntimeError as error:
        raise unavailable(runtime, python, str(error)) from error
    except EngineError as error:
        raise InputError(f"{name} is truncated or not a model {runtime.title} can run ({error}).") from error


def _spec(tensor: RawTensor) -> TensorSpec:
    return TensorSpec(
        shape=tensor.shape, dtype=np.dtype(tensor.dtype), scale=tensor.scale, zero_point=tensor.zero_point
    )


def stored_values(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """float32 values of any shape as a file stores them, saturating; the same array where it stores float32."""
    if spec.dtype.kind == "f":
        return values.astype(spec.dtype, copy=False)
    limits = np.iinfo(spec.dtype)
    stored = np.rint(values / np.float32(spec.scale)) + np.float32(spec.zero_point)
    return np.asarray(np.clip(stored, limits.min, limits.max).astype(spec.dtype))


def float_values(stored: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The float32 values that stored ones of any shape stand for."""
    if spec.dtype.kind == "f":
        return stored.astype(np.float32, copy=False)
    return np.asarray((stored.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale))


def _metadata(source: Path | bytes) -> bytes:
    """The standard metadata inside the file, a flatbuffer of its own; empty when there is none."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(source if isinstance(source, bytes) else source.read_bytes())
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == METADATA_NAME:
            return bytes(model.Buffers(entry.Buffer()).DataAsNumpy())
    return b""


def _flatbuffer_string(text: str) -> bytes:
    """How a flatbuffer holds a string: its length, itself, and a NUL."""
    return struct.pack("<I", len(text)) + text.encode() + b"\0"
