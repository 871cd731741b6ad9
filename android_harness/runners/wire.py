"""Reads protobuf's wire format without a schema: numbered fields, numbers and nested messages.

Source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .base import RunnerError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# LatencyMetrics of BenchmarkResult, all in milliseconds.
_LATENCY_MESSAGE = 2
_LATENCY_FIELDS = {
    1: "avg",
    2: "min",
    3: "max",
    4: "std",
    5: "median",
    6: "p5",
    7: "p95",
    8: "init",
    9: "first",
    10: "warmup",
}


def fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yields number and value of every field: int for varints, float for fixed ones, bytes for the rest.

    Raises:
        RunnerError: the data end inside a field, or are no such message.
    """
    offset = 0
    while offset < len(data):
        key, offset = _varint(data, offset)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, offset = _varint(data, offset)
            yield number, value
            continue
        if kind == _BYTES:
            size, offset = _varint(data, offset)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise RunnerError(f"The result file is no protobuf message: wire type {kind} at byte {offset}.")
        raw = data[offset : offset + size]
        offset += size
        if len(raw) != size:
            raise RunnerError("The result file is cut off.")
        yield number, raw if kind == _BYTES else struct.unpack("<d" if kind == _FIXED64 else "<f", raw)[0]


def latency_ms(data: bytes) -> dict[str, float]:
    """The latencies in a `BenchmarkResult` of LiteRT's benchmark.

    Returns:
        avg, min, max, std, median, p5, p95, init, first and warmup, as far as they are there.
    Raises:
        RunnerError: there are none in it.
    """
    messages = [value for number, value in fields(data) if number == _LATENCY_MESSAGE and isinstance(value, bytes)]
    if not messages:
        raise RunnerError("The result file holds no latencies.")
    return {
        _LATENCY_FIELDS[number]: float(value)
        for number, value in fields(messages[-1])
        if number in _LATENCY_FIELDS and not isinstance(value, bytes)
    }


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while offset < len(data) and shift < 70:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset += 1
        if not byte & 0x80:
            return value, offset
        shift += 7
    raise RunnerError("The result file is cut off.")
