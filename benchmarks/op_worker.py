"""LiteRT's own profiler on one file, for `ops.py`: `python -m blazeport.benchmarks.op_worker FILE THREADS RUNS`.

A process of its own, because the profiler is reached through the C library, where a struct of another version ends a
process. Prints one JSON object: `events`, one list of `[tag, microseconds]` per inference, in the order they ran.

Source: litert/c/litert_profiler.h and litert_profiler_event.h, as in ai-edge-litert 2.3.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

_CPU, _HOST_MEMORY, _LOCK_WRITE = 1, 1, 1
_OPERATOR, _DELEGATED_OPERATOR = 2, 8  # kinds of events
_WARMUP_RUNS = 3

_Handle = ctypes.c_void_p


class _TensorType(ctypes.Structure):
    """LiteRtRankedTensorType."""

    _fields_ = (
        ("element_type", ctypes.c_int32),
        ("rank_and_flags", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    )


class _Event(ctypes.Structure):
    """ProfiledEventData."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_int64 * 6),
        ("node", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class _LiteRt:
    """The C library that comes with ai-edge-litert; every function returns 0 when it did not fail."""

    def __init__(self) -> None:
        import ai_edge_litert

        self._library = ctypes.CDLL(str(Path(ai_edge_litert.__file__).parent / "libLiteRt.so"))

    def __call__(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, f"LiteRt{name}")
        function.restype = ctypes.c_int
        if status := function(*arguments):
            raise RuntimeError(f"LiteRt{name} failed with status {status}")


class _Profiled:
    """A compiled model with its profiler."""

    def __init__(self, file: str, num_threads: int) -> None:
        self._call = call = _LiteRt()
        self._environment, model, self._options, self._compiled = (_Handle() for _ in range(4))
        self._signature, self._profiler = _Handle(), _Handle()
        call("CreateEnvironment", 0, None, ctypes.byref(self._environment))
        call("CreateModelFromFile", self._environment, file.encode(), ctypes.byref(model))
        call("CreateOptions", ctypes.byref(self._options))
        call("SetOptionsHardwareAccelerators", self._options, _CPU)
        self._set("xnnpack", f"num_threads = {num_threads}\n")
        self._set("runtime_options_string", "enable_profiling = true\n")
        call("CreateCompiledModel", self._environment, model, self._options, ctypes.byref(self._compiled))
        call("CompiledModelGetProfiler", self._compiled, ctypes.byref(self._profiler))
        call("GetModelSignature", model, ctypes.c_size_t(0), ctypes.byref(self._signature))
        self._inputs, self._outputs = self._buffers("Input"), self._buffers("Output")

    def run(self) -> list[tuple[str, int]]:
        """One inference: `(tag, microseconds)` of each operator, in the order they ran."""
        self._call("ResetProfiler", self._profiler)
        self._call("StartProfiler", self._profiler)
        inputs, outputs = self._inputs, self._outputs
        sizes = ctypes.c_size_t(len(inputs)), ctypes.c_size_t(len(outputs))
        self._call("RunCompiledModel", self._compiled, ctypes.c_size_t(0), sizes[0], inputs, sizes[1], outputs)
        self._call("StopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("GetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (_Event * count.value)()
        self._call("GetProfilerEvents", self._profiler, count, events)
        wanted = (_OPERATOR, _DELEGATED_OPERATOR)
        return [(event.tag.decode(), event.elapsed_us) for event in events if event.kind in wanted]

    def _set(self, kind: str, toml: str) -> None:
        """Adds options; LiteRT frees the text."""
        libc = ctypes.CDLL(None)
        libc.strdup.restype, libc.strdup.argtypes = _Handle, [ctypes.c_char_p]
        text, options = _Handle(libc.strdup(toml.encode())), _Handle()
        free = ctypes.cast(libc.free, _Handle)
        self._call("CreateOpaqueOptions", kind.encode(), text, free, ctypes.byref(options))
        self._call("AddOpaqueOptions", self._options, options)

    def _buffers(self, side: str) -> Any:
        count = ctypes.c_size_t()
        self._call(f"GetNumSignature{side}s", self._signature, ctypes.byref(count))
        buffers = (_Handle * count.value)()
        for number in range(count.value):
            index, size = ctypes.c_size_t(number), ctypes.c_size_t()
            tensor, requirements, buffer, kind = _Handle(), _Handle(), _Handle(), _TensorType()
            self._call(f"GetSignature{side}TensorByIndex", self._signature, index, ctypes.byref(tensor))
            self._call("GetRankedTensorType", tensor, ctypes.byref(kind))
            asked = self._compiled, ctypes.c_size_t(0), index, ctypes.byref(requirements)
            self._call(f"GetCompiledModel{side}BufferRequirements", *asked)
            self._call("GetTensorBufferRequirementsBufferSize", requirements, ctypes.byref(size))
            made = self._environment, _HOST_MEMORY, ctypes.byref(kind), size, ctypes.byref(buffer)
            self._call("CreateManagedTensorBuffer", *made)
            if side == "Input":
                self._fill(buffer, size.value)
            buffers[number] = buffer.value
        return buffers

    def _fill(self, buffer: _Handle, size: int) -> None:
        """Writes seeded noise: float32 in [0, 1), or its bytes where the input is of another type."""
        address = _Handle()
        self._call("LockTensorBuffer", buffer, ctypes.byref(address), _LOCK_WRITE)
        noise = np.random.default_rng(0).random(size // 4, np.float32).tobytes()
        assert address.value is not None
        ctypes.memmove(address.value, noise, len(noise))
        self._call("UnlockTensorBuffer", buffer)


def main(file: str, num_threads: str, runs: str) -> None:
    """Prints the events of `runs` inferences."""
    profiled = _Profiled(file, int(num_threads))
    for _ in range(_WARMUP_RUNS):
        profiled.run()
    sys.stdout.write(json.dumps({"events": [profiled.run() for _ in range(int(runs))]}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
