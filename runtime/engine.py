"""The engines: what loads a file in one of the runtimes and runs it. Needs NumPy and that runtime, nothing of ours.

So it is a program, too, for a runtime that lives in an environment without blazeport or in a process of its own:

    PYTHON engine.py probe RUNTIME                             prints whether the runtime works there, as JSON
    PYTHON engine.py serve RUNTIME FILE THREADS SOCKET MEMORY  runs a file for another process, see `serve`

It runs on Python 3.9 and later, the oldest that tflite-runtime 2.14 is made for.
"""

from __future__ import annotations

import base64
import importlib
import json
import math
import mmap
import platform
import socket
import struct
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

# Runtime → the module with its `Interpreter` or `InferenceSession`, and the packages that may bring it.
MODULES = {
    "litert": ("ai_edge_litert.interpreter", ("ai-edge-litert",)),
    "tflite-runtime": ("tflite_runtime.interpreter", ("tflite-runtime",)),
    "tf-lite": ("tensorflow.lite.python.interpreter", ("tensorflow", "tensorflow-cpu")),
    "onnxruntime": ("onnxruntime", ("onnxruntime", "onnxruntime-gpu")),
}
_ONNX_DTYPES = {
    **{"tensor(float16)": "float16", "tensor(float)": "float32", "tensor(double)": "float64", "tensor(bool)": "bool"},
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
ALIGNMENT = 64  # bytes, of tensors in shared memory
# Files that negate one float: some runtimes fail only when they load one.
_NEGATE_TFLITE = base64.b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAcAAAA2AAAAAMAAAABAAAACAAAAAQABAAEAAAAAQAAABAAAAAMABQAEAAMAAgABAAMAAAA"
    "EAAAADwAAABAAAAARAAAAAEAAAAQAAAAAAAKAAwAAAAIAAQACgAAAAgAAAAMAAAAAQAAAAEAAAABAAAAAAAAAAEAAAABAAAAAQAAAAAAAAACAAAA"
    "NAAAAAQAAADg////CAAAAAwAAAABAAAAeQAAAAIAAAABAAAAAQAAAAwADAAIAAAAAAAEAAwAAAAIAAAADAAAAAEAAAB4AAAAAgAAAAEAAAABAAAA"
    "AQAAABAAAAAMAAwACwAAAAAABAAMAAAAOwAAAAAAADs="
)
_NEGATE_ONNX = base64.b64decode(
    "CAc6OgoLCgF4EgF5IgNOZWcSAXBaEwoBeBIOCgwIARIICgIIAQoCCAFiEwoBeRIOCgwIARIICgIIAQoCCAFCBAoAEA0="
)
PROBES = {runtime: _NEGATE_ONNX if runtime == "onnxruntime" else _NEGATE_TFLITE for runtime in MODULES}


class EngineError(Exception):
    """A file that a runtime cannot load or run. The message is one line."""


class UnusableRuntimeError(EngineError):
    """A runtime that is not installed, or that does not work where it is. The message is one line."""


class RawTensor(NamedTuple):
    """An input or output as the file has it; `dtype` is NumPy's name, `scale` is 0 where it is not quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


class Engine(Protocol):
    """One loaded file.

    Attributes:
        inputs: in the order of the file.
        outputs: in the order of the file.
        names: position of an output → the name that the file gives it; empty where it names none.
        metadata: what an ONNX file says about itself.
        invoke_us: what the runtime took for the last run, without handing tensors over.
    """

    inputs: list[RawTensor]
    outputs: list[RawTensor]
    names: dict[int, str]
    metadata: dict[str, str]
    invoke_us: float

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """Runs the file on its one input, in its own dtype; the outputs in the order of the file, the caller's own."""

    def close(self) -> None:
        """Frees the memory."""


class TfliteEngine:
    """An `Interpreter` of LiteRT, tflite-runtime or tf.lite, which are the same but for their age."""

    def __init__(self, runtime: str, source: Path | bytes, num_threads: int) -> None:
        interpreter_class = _load(runtime).Interpreter
        content = {"model_content": source} if isinstance(source, bytes) else {"model_path": str(source)}
        try:
            self._interpreter = interpreter_class(**content, num_threads=num_threads)
            self._interpreter.allocate_tensors()
        except SystemError as error:  # A library made for another NumPy gets as far as here.
            raise UnusableRuntimeError(
                f"{runtime} {version_of(runtime)} does not work with numpy {np.__version__}"
            ) from error
        except (ValueError, RuntimeError) as error:
            raise EngineError(_one_line(error)) from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._inputs, self._outputs = ([int(tensor["index"]) for tensor in tensors] for tensors in (inputs, outputs))
        self.inputs, self.outputs = ([_described(tensor) for tensor in tensors] for tensors in (inputs, outputs))
        self.names = self._signature()
        self.metadata: dict[str, str] = {}
        self.invoke_us = 0.0

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """See `Engine`."""
        try:
            self._interpreter.set_tensor(self._inputs[0], image)
            start = time.perf_counter_ns()
            self._interpreter.invoke()
            self.invoke_us = (time.perf_counter_ns() - start) / 1e3
        except (ValueError, RuntimeError) as error:
            raise EngineError(_one_line(error)) from error
        return [self._interpreter.get_tensor(index) for index in self._outputs]

    def close(self) -> None:
        """See `Engine`."""
        self._interpreter = None

    def _signature(self) -> dict[int, str]:
        signatures = list(self._interpreter.get_signature_list())
        if not signatures:
            return {}
        details = self._interpreter.get_signature_runner(signatures[0]).get_output_details()
        names = {int(tensor["index"]): str(name) for name, tensor in details.items()}
        return {position: names[index] for position, index in enumerate(self._outputs) if index in names}


class OnnxEngine:
    """An `InferenceSession` of onnxruntime on the CPU. A file that takes channels first looks like any other."""

    def __init__(self, runtime: str, source: Path | bytes, num_threads: int) -> None:
        onnxruntime = _load(runtime)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
        options.log_severity_level = 3  # errors
        content = source if isinstance(source, bytes) else str(source)
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            self.inputs = [_described_onnx(tensor) for tensor in self._session.get_inputs()]
            self.outputs = [_described_onnx(tensor) for tensor in self._session.get_outputs()]
        except EngineError:
            raise
        except Exception as error:  # Its errors have no other base.
            raise EngineError(_one_line(error)) from error
        self.names = {position: tensor.name for position, tensor in enumerate(self.outputs)}
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self.invoke_us = 0.0
        shape = self.inputs[0].shape if self.inputs else ()
        self._channels_first = len(shape) == 4 and shape[1] == 3 and shape[3] != 3
        if self._channels_first:
            self.inputs[0] = self.inputs[0]._replace(shape=(shape[0], shape[2], shape[3], shape[1]))

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """See `Engine`."""
        if self._channels_first:
            image = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
        start = time.perf_counter_ns()
        try:
            outputs = self._session.run(None, {self.inputs[0].name: image})
        except Exception as error:  # Its errors have no other base.
            raise EngineError(_one_line(error)) from error
        self.invoke_us = (time.perf_counter_ns() - start) / 1e3
        return [np.asarray(output) for output in outputs]

    def close(self) -> None:
        """See `Engine`."""
        self._session = None


def open_engine(runtime: str, source: Path | bytes, num_threads: int) -> Engine:
    """Loads a file.

    Args:
        runtime: a key of `MODULES`.
        source: path or content of a file that the runtime takes.
        num_threads: CPU threads.
    Raises:
        UnusableRuntimeError: the runtime is not here or does not work.
        EngineError: it does not take the file.
    """
    return (OnnxEngine if runtime == "onnxruntime" else TfliteEngine)(runtime, source, num_threads)


def version_of(runtime: str) -> str:
    """Version of the installed runtime; empty when no package has it."""
    for package in MODULES[runtime][1]:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return ""


def probe(runtime: str) -> dict[str, str]:
    """Whether a runtime works in this Python: its `version`, and in `problem` what is wrong, or nothing."""
    found = {"version": version_of(runtime), "python": platform.python_version(), "numpy": np.__version__}
    try:
        (output,) = open_engine(runtime, PROBES[runtime], 1).run(np.ones((1, 1), np.float32))
        problem = "" if output == -1 else f"it computes {output}, which is wrong"
    except Exception as error:  # Whatever goes wrong is the answer.
        problem = _one_line(error) or type(error).__name__
    return {**found, "problem": problem}


def serve(runtime: str, path: str, num_threads: str, socket_fd: str, memory_fd: str) -> None:
    """Runs a file for the process at the other end of a socket, until that is closed.

    Tensors lie in the memory behind `memory_fd`, one after another as `lay_out` says; the socket only says when. It
    carries a byte for every run, and answers of four bytes of length and JSON: first what `describe` tells of the
    file, then `{"invoke_us": …}` for every run, or `{"error": …, "missing": …}`.
    """
    connection = socket.socket(fileno=int(socket_fd))
    try:
        engine = open_engine(runtime, Path(path), int(num_threads))
        places, size = lay_out([*engine.inputs, *engine.outputs])
        with open(int(memory_fd), "wb", closefd=False) as stream:
            stream.write(bytes(size))  # Reserved now: a full disk would kill the process later.
        memory = mmap.mmap(int(memory_fd), size)
        views: list[np.ndarray] = [np.ndarray(tensor.shape, tensor.dtype, memory, place) for tensor, place in places]
        _answer(connection, describe(engine))
        while connection.recv(1):
            for position, output in enumerate(engine.run(views[0]), len(engine.inputs)):
                views[position][...] = output
            _answer(connection, {"invoke_us": engine.invoke_us})
    except Exception as error:  # Whatever goes wrong is the answer.
        of_file = isinstance(error, EngineError) and not isinstance(error, UnusableRuntimeError)
        _answer(connection, {"error": _one_line(error) or type(error).__name__, "missing": not of_file})


def describe(engine: Engine) -> dict[str, Any]:
    """What another process must know of an engine, as JSON values."""
    return {
        "inputs": engine.inputs,
        "outputs": engine.outputs,
        "names": list(engine.names.items()),
        "metadata": engine.metadata,
    }


def lay_out(tensors: list[RawTensor]) -> tuple[list[tuple[RawTensor, int]], int]:
    """Where tensors lie in shared memory, each with its first byte, and how many bytes they take."""
    places, end = [], 0
    for tensor in tensors:
        places.append((tensor, end))
        size = math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return places, max(end, ALIGNMENT)


def _load(runtime: str) -> Any:
    module, packages = MODULES[runtime]
    try:
        return importlib.import_module(module)
    except Exception as error:  # Broken libraries raise anything.
        raise UnusableRuntimeError(f"{packages[0]} cannot be imported ({_one_line(error)})") from error


def _described(details: dict[str, Any]) -> RawTensor:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return RawTensor(str(details["name"]), shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))


def _described_onnx(tensor: Any) -> RawTensor:
    dtype = _ONNX_DTYPES.get(tensor.type)
    if dtype is None or not all(isinstance(size, int) for size in tensor.shape):
        raise EngineError(f"{tensor.name} must be numbers of a fixed shape; it is {tensor.type} {tensor.shape}")
    return RawTensor(str(tensor.name), tuple(tensor.shape), dtype)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _answer(connection: socket.socket, record: dict[str, Any]) -> None:
    data = json.dumps(record).encode()
    connection.sendall(struct.pack(">I", len(data)) + data)


if __name__ == "__main__":
    sys.path.pop(0)  # This folder has names of its own.
    if sys.argv[1] == "probe":
        print(json.dumps(probe(sys.argv[2])))
    else:
        serve(*sys.argv[2:])
