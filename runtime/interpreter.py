"""LiteRT in process: one TFLite file, its image input, and its outputs by name."""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from ..errors import ConfigError, InputError, ShapeError
from ..models.config import VARIANTS, VariantConfig
from ..quiet import native_stderr

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
    """One TFLite file, ready to run. Not for two threads at once; several instances are independent.

    Attributes:
        name: the file's name, for messages.
        input: spec of the image input.
        outputs: output name → spec, in the order of the file.
        candidates: names of the variants whose input and heads this file fits; variants may share them.
    """

    def __init__(self, source: Path | bytes, *, num_threads: int = 1) -> None:
        """Loads a file and allocates its tensors.

        Args:
            source: path or content of a .tflite file with one image input and a static batch of 1.
            num_threads: CPU threads of the interpreter.
        Raises:
            InputError: the file is missing, truncated, no TFLite model, or not a network with one image input.
            ConfigError: `num_threads` is below 1.
        """
        if num_threads < 1:
            raise ConfigError(f"num_threads must be at least 1. Received: {num_threads}.")
        self.name = "model" if isinstance(source, bytes) else str(source)
        _check_header(source, self.name)
        try:
            with native_stderr(NATIVE_CHATTER):
                self._interpreter = _open(source, num_threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.name} is truncated or not a model LiteRT can run ({reason}).") from error
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1 or len(inputs[0]["shape"]) != 4 or inputs[0]["shape"][3] != 3:
            shapes = ", ".join(str(tuple(int(size) for size in tensor["shape"])) for tensor in inputs)
            raise InputError(f"{self.name} must have one image input (1, height, width, 3). Received: {shapes}.")
        self.input = _spec(inputs[0])
        self._source = source
        self._input_index = int(inputs[0]["index"])
        self._output_index, self.outputs, self.candidates = self._name_outputs()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the interpreter's memory; the model cannot run any more."""
        self._interpreter = None

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
        self._interpreter.set_tensor(self._input_index, stored_values(image, self.input))
        self._interpreter.invoke()
        return {
            name: float_values(self._interpreter.get_tensor(index), self.outputs[name])
            for name, index in self._output_index.items()
        }

    def _name_outputs(self) -> tuple[dict[str, int], dict[str, TensorSpec], tuple[str, ...]]:
        """Output name → tensor index and → spec, and the variants that fit.

        A file with a signature names its outputs itself; in one without (every official file) the shapes of a variant's
        heads are distinct and name them. A network that fits no variant keeps its tensors' names.
        """
        details = {int(tensor["index"]): tensor for tensor in self._interpreter.get_output_details()}
        specs = {index: _spec(tensor) for index, tensor in details.items()}
        signed = self._signature_outputs()
        fitting = {
            config.name: names
            for config in VARIANTS.values()
            if config.input_shape == self.input.shape and (names := _fit(config, specs, signed)) is not None
        }
        names = next(iter(fitting.values()), signed) or {index: str(details[index]["name"]) for index in details}
        by_name = {names[index]: index for index in details if index in names}
        return by_name, {name: specs[index] for name, index in by_name.items()}, tuple(fitting)

    def _signature_outputs(self) -> dict[int, str]:
        """Tensor index → name in the file's signature; empty when it has none."""
        signatures = list(self._interpreter.get_signature_list())
        if not signatures:
            return {}
        details = self._interpreter.get_signature_runner(signatures[0]).get_output_details()
        return {int(tensor["index"]): str(name) for name, tensor in details.items()}


def _fit(config: VariantConfig, specs: Mapping[int, TensorSpec], signed: Mapping[int, str]) -> dict[int, str] | None:
    """Tensor index → head of `config`, or None when some output is no head of it."""
    shapes = {head.name: head.shape for head in config.heads}
    if signed:
        fits = all(shapes.get(name) == specs[index].shape for index, name in signed.items() if index in specs)
        return dict(signed) if fits else None
    heads = {shape: name for name, shape in shapes.items()}
    names = {index: heads[spec.shape] for index, spec in specs.items() if spec.shape in heads}
    return names if len(set(names.values())) == len(specs) else None


def _check_header(source: Path | bytes, name: str) -> None:
    """Refuses what is plainly no TFLite file before LiteRT sees it; LiteRT verifies the rest of its structure."""
    if isinstance(source, bytes):
        head = source[:8]
    else:
        try:
            with source.open("rb") as stream:
                head = stream.read(8)
        except OSError as error:
            raise InputError(f"Cannot read the model {name}: {error.strerror or error}.") from error
    if head[4:8] != FILE_IDENTIFIER:
        what = "it is empty" if not head else f"it begins with {head!r}"
        raise InputError(f"{name} is not a TFLite model: 'TFL3' must stand at byte 4, but {what}.")


def _open(source: Path | bytes, num_threads: int) -> Interpreter:
    if isinstance(source, bytes):
        return Interpreter(model_content=source, num_threads=num_threads)
    return Interpreter(model_path=str(source), num_threads=num_threads)


def _spec(details: Mapping[str, Any]) -> TensorSpec:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return TensorSpec(shape=shape, dtype=np.dtype(details["dtype"]), scale=float(scale), zero_point=int(zero_point))


def stored_values(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """float32 values of any shape as a file stores them, saturating; the same array where it stores float32."""
    if spec.dtype == np.float32:
        return values
    limits = np.iinfo(spec.dtype)
    stored = np.rint(values / np.float32(spec.scale)) + np.float32(spec.zero_point)
    return np.asarray(np.clip(stored, limits.min, limits.max).astype(spec.dtype))


def float_values(stored: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The float32 values that stored ones of any shape stand for."""
    if spec.dtype == np.float32:
        return stored
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
