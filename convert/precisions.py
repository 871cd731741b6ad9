"""The precisions by name, apart from the code that makes them, which imports TensorFlow."""

from __future__ import annotations

from typing import Literal

Io = Literal["float", "int8", "uint8"]
FLOAT_PRECISIONS = ("fp32", "fp16")
CALIBRATED_PRECISIONS = ("int8", "int16x8", "mixed")
QUANTIZED_PRECISIONS = ("dynamic", *CALIBRATED_PRECISIONS)
PRECISIONS = FLOAT_PRECISIONS + QUANTIZED_PRECISIONS
# What TensorFlow's converter makes by itself; recipes make the others from fp32.
CONVERTER_PRECISIONS = (*FLOAT_PRECISIONS, "dynamic", "int8")
IO_SUFFIX: dict[Io, str] = {"float": "", "int8": "_io8", "uint8": "_iou8"}
