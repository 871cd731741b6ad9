"""The TFLite metadata, read back by its schema; the same reader reads what MediaPipe wrote into its own files."""

from __future__ import annotations

import struct

import flatbuffers
import pytest
from blazeport import __version__
from blazeport.convert.metadata import METADATA_NAME, FileFacts, build_metadata
from blazeport.models.config import FACE_DETECTION_SHORT_RANGE, POSE_LANDMARK_LITE, VARIANTS, get_config
from blazeport.weights.fetch import official_file
from blazeport.weights.reader import read_tflite
from real_networks import exported

IMAGE_PROPERTIES, FEATURE_PROPERTIES, NORMALIZATION_OPTIONS, RGB = 2, 1, 1, 1
FACTS = FileFacts(version="1.2.3", licence="Apache-2.0", author="MediaPipe, Google", heads=("landmarks", "presence"))


class Table:
    """A flatbuffer table whose fields are read by slot, as `metadata_schema.fbs` numbers them."""

    def __init__(self, data: bytes, position: int) -> None:
        self._table = flatbuffers.table.Table(data, position)

    @classmethod
    def root(cls, data: bytes) -> Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def _field(self, slot: int) -> int:
        offset = self._table.Offset(4 + 2 * slot)
        assert offset, f"slot {slot} is empty"
        return offset + self._table.Pos

    def text(self, slot: int) -> str:
        return self._table.String(self._field(slot)).decode()

    def number(self, slot: int) -> int:
        return self._table.Bytes[self._field(slot)]

    def table(self, slot: int) -> Table:
        return Table(self._table.Bytes, self._table.Indirect(self._field(slot)))

    def tables(self, slot: int) -> list[Table]:
        start, length = self._vector(slot)
        return [Table(self._table.Bytes, self._table.Indirect(start + 4 * number)) for number in range(length)]

    def floats(self, slot: int) -> list[float]:
        start, length = self._vector(slot)
        return list(struct.unpack_from(f"<{length}f", self._table.Bytes, start))

    def _vector(self, slot: int) -> tuple[int, int]:
        offset = self._field(slot) - self._table.Pos
        return self._table.Vector(offset), self._table.VectorLen(offset)


def the_subgraph(model: Table) -> Table:
    (subgraph,) = model.tables(3)
    return subgraph


def normalization(model: Table) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the image input."""
    (image,) = the_subgraph(model).tables(2)
    (unit,) = image.tables(4)
    assert unit.number(0) == NORMALIZATION_OPTIONS
    return unit.table(1).floats(0), unit.table(1).floats(1)


def test_the_model_is_described():
    content = build_metadata(POSE_LANDMARK_LITE, FACTS)
    assert content[4:8] == b"M001"
    model = Table.root(content)
    assert [model.text(slot) for slot in (0, 1, 2, 4, 5, 7)] == [
        "pose_landmark_lite",
        "BlazePose landmarks, lite. Written by blazeport from weights by MediaPipe, Google.",
        "1.2.3",
        "MediaPipe, Google",
        "Apache-2.0",
        "1.0.0",
    ]


def test_the_input_is_an_rgb_image_of_a_stated_range():
    (image,) = the_subgraph(Table.root(build_metadata(POSE_LANDMARK_LITE, FACTS))).tables(2)
    assert (image.text(0), image.text(1)) == ("image", "RGB, 256x256, values in [0, 1].")
    content = image.table(3)
    assert content.number(0) == IMAGE_PROPERTIES
    assert content.table(1).number(0) == RGB


def test_the_outputs_are_those_of_the_file_in_its_order():
    outputs = the_subgraph(Table.root(build_metadata(POSE_LANDMARK_LITE, FACTS))).tables(3)
    assert [(output.text(0), output.text(1)) for output in outputs] == [
        ("landmarks", "x y z in px of the input, visibility logit, presence logit per landmark"),
        ("presence", "probability that the crop holds a person"),
    ]
    assert {output.table(3).number(0) for output in outputs} == {FEATURE_PROPERTIES}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_normalization_maps_pixels_to_the_range_of_the_variant(variant: str):
    config = get_config(variant)
    (mean,), (std,) = normalization(
        Table.root(build_metadata(config, FileFacts(version="1", licence="x", author="y", heads=config.head_names)))
    )
    assert ((0 - mean) / std, (255 - mean) / std) == config.input_range


@pytest.mark.parametrize(
    ("variant", "heads"), [("face_detection_short_range", "all"), ("pose_landmark_lite", "tracking")]
)
def test_an_exported_file_carries_the_metadata_of_its_variant_and_heads(variant: str, heads: str):
    config = get_config(variant)
    facts = FileFacts(version=__version__, licence="Apache-2.0", author="MediaPipe", heads=config.presets[heads])
    assert read_tflite(exported(variant, heads, "fp16")).metadata[METADATA_NAME] == build_metadata(config, facts)


def test_the_official_face_detector_says_the_same_of_its_input():
    official = read_tflite(official_file("face_detection_short_range")).metadata
    if METADATA_NAME not in official:
        pytest.skip("the copy of face_detection_short_range that npm ships carries no metadata")
    theirs = Table.root(official[METADATA_NAME])
    heads = FACE_DETECTION_SHORT_RANGE.head_names
    facts = FileFacts(version="1", licence="Apache-2.0", author="MediaPipe", heads=heads)
    ours = Table.root(build_metadata(FACE_DETECTION_SHORT_RANGE, facts))
    assert normalization(theirs) == normalization(ours) == ([127.5], [127.5])
    their_image, our_image = (the_subgraph(model).tables(2)[0].table(3) for model in (theirs, ours))
    assert their_image.number(0) == our_image.number(0) == IMAGE_PROPERTIES
    assert their_image.table(1).number(0) == our_image.table(1).number(0) == RGB
    assert len(the_subgraph(theirs).tables(3)) == len(heads)
