"""The standard TFLite metadata (`TFLITE_METADATA`): what the input means, the licence and the variant, inside the file.

Android Studio, MediaPipe Tasks and Netron read it. Only the fields blazeport fills are written.

Source: TFLite Support `metadata_schema.fbs`, file identifier M001; slot numbers below are that schema's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import flatbuffers

from ..models.config import VariantConfig

METADATA_NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.0.0"
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES, _NORMALIZATION, _RGB = 2, 1, 1, 1


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What the metadata says of a file, besides its variant.

    Attributes:
        version: blazeport's version.
        licence: licence of the weights.
        author: who made the weights.
        heads: names of the outputs, in the order of the file.
    """

    version: str
    licence: str
    author: str
    heads: tuple[str, ...]


def build_metadata(config: VariantConfig, facts: FileFacts) -> bytes:
    """The metadata flatbuffer of a file of this variant.

    The input's normalization is `(pixel - mean) / std` with pixel in [0, 255], which lands in `config.input_range`.
    """
    builder = flatbuffers.Builder(1024)
    meanings = {head.name: head.meaning for head in config.heads}
    outputs = [_tensor(builder, name, meanings[name], _feature_content(builder)) for name in facts.heads]
    low, high = config.input_range
    image = _tensor(
        builder,
        "image",
        f"RGB, {config.input_size}x{config.input_size}, values in [{low:g}, {high:g}].",
        _image_content(builder),
        _normalization(builder, mean=-low * 255 / (high - low), std=255 / (high - low)),
    )
    subgraph = _table(builder, 8, {2: _vector(builder, [image]), 3: _vector(builder, outputs)})
    model = {
        0: builder.CreateString(config.name),
        1: builder.CreateString(f"{config.title}. Written by blazeport from weights by {facts.author}."),
        2: builder.CreateString(facts.version),
        3: _vector(builder, [subgraph]),
        4: builder.CreateString(facts.author),
        5: builder.CreateString(facts.licence),
        7: builder.CreateString(_MIN_PARSER_VERSION),
    }
    builder.Finish(_table(builder, 8, model), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _tensor(
    builder: flatbuffers.Builder, name: str, meaning: str, content: int, process_unit: int | None = None
) -> int:
    fields = {0: builder.CreateString(name), 1: builder.CreateString(meaning), 3: content}
    if process_unit is not None:
        fields[4] = _vector(builder, [process_unit])
    return _table(builder, 7, fields)


def _image_content(builder: flatbuffers.Builder) -> int:
    builder.StartObject(2)
    builder.PrependInt8Slot(0, _RGB, 0)
    return _union(builder, _IMAGE_PROPERTIES, builder.EndObject())


def _feature_content(builder: flatbuffers.Builder) -> int:
    builder.StartObject(0)
    return _union(builder, _FEATURE_PROPERTIES, builder.EndObject())


def _normalization(builder: flatbuffers.Builder, *, mean: float, std: float) -> int:
    options = _table(builder, 2, {0: _floats(builder, [mean]), 1: _floats(builder, [std])})
    return _union(builder, _NORMALIZATION, options)


def _union(builder: flatbuffers.Builder, kind: int, value: int) -> int:
    """A table whose slots 0 and 1 are a union's type and value."""
    builder.StartObject(2)
    builder.PrependUint8Slot(0, kind, 0)
    builder.PrependUOffsetTRelativeSlot(1, value, 0)
    return int(builder.EndObject())


def _table(builder: flatbuffers.Builder, slots: int, offsets: dict[int, int]) -> int:
    builder.StartObject(slots)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
