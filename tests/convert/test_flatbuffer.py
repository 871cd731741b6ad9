"""Names, order, signature and metadata of a finished file, and that nothing else in it changed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from blazeport.convert.flatbuffer import SIGNATURE_KEY, finish, pack
from blazeport.runtime.interpreter import Model
from blazeport.weights.fetch import official_file
from blazeport.weights.reader import TfliteGraph, named_arrays, read_tflite
from real_networks import exported, official_model, real_inputs
from tflite_surgery import read, sign, write

VARIANT = "face_detection_short_range"


@pytest.fixture(scope="module")
def converted() -> bytes:
    """The official file as the converter would hand it over: outputs numbered, in another order than in the file."""
    model = read(official_file(VARIANT).read_bytes())
    sign(model, ["output_1", "output_0"])
    return write(model)


@pytest.fixture(scope="module")
def finished(converted: bytes) -> bytes:
    return finish(converted, ("scores", "boxes"), {"first": b"one", "second": b"twotwo"})


def constant_positions(content: bytes) -> Iterator[int]:
    model = schema.Model.GetRootAs(content, 0)
    for number in range(model.BuffersLength()):
        table = model.Buffers(number)._tab
        if field := table.Offset(4):  # `data`, the first field.
            yield table.Vector(field)


def structure(graph: TfliteGraph) -> list[tuple]:
    return [(op.kind, op.inputs, op.outputs, op.stride, op.padding) for op in graph.ops]


def test_outputs_are_ordered_by_number_and_named(finished: bytes):
    graph = read_tflite(finished)
    assert [(graph.tensors[index].name, graph.tensors[index].shape) for index in graph.outputs] == [
        ("scores", (1, 896, 1)),
        ("boxes", (1, 896, 16)),
    ]
    assert graph.signature == {
        "inputs": {"image": graph.inputs[0]},
        "outputs": {"scores": graph.outputs[0], "boxes": graph.outputs[1]},
    }
    assert graph.tensors[graph.inputs[0]].name == "image"


def test_the_signature_has_the_key_that_runtimes_look_for(finished: bytes):
    (signature,) = read(finished).signatureDefs
    assert signature.signatureKey == SIGNATURE_KEY.encode() == b"serving_default"


def test_metadata_is_added_to_what_there_was(converted: bytes, finished: bytes):
    assert read_tflite(finished).metadata == {
        **read_tflite(converted).metadata,
        "first": b"one",
        "second": b"twotwo",
    }


def test_graph_and_constants_stay(converted: bytes, finished: bytes):
    before, after = read_tflite(converted), read_tflite(finished)
    assert structure(before) == structure(after)
    for old, new in zip(named_arrays(before).values(), named_arrays(after).values(), strict=True):
        np.testing.assert_array_equal(old, new)
    image = real_inputs(VARIANT)[0]
    expected, received = official_model(VARIANT).run(image), Model(finished).run(image)
    for name in ("boxes", "scores"):
        np.testing.assert_array_equal(received[name], expected[name])


def test_tensors_are_named_after_the_layer_that_made_them():
    model = read(official_file(VARIANT).read_bytes())
    tensors = model.subgraphs[0].tensors
    long_names = ["net/stem/Conv2D;net/stem/BiasAdd", "net/stem/Relu", "net/boxes/Reshape/shape", "plain"]
    computed = [op.outputs[0] for op in model.subgraphs[0].operators[-4:]]
    for index, name in zip(computed, long_names, strict=True):
        tensors[index].name = name
    model.subgraphs[0].outputs = [int(model.subgraphs[0].inputs[0]), int(computed[-1])]
    sign(model, ["output_0", "output_1"])
    graph = read_tflite(finish(write(model), ("echo", "scores"), {}))
    # `boxes` is free here; `scores` is the head's, and the constant of that layer has to give way.
    assert [graph.tensors[index].name for index in computed] == ["stem", "stem_2", "boxes", "scores"]


def test_a_head_keeps_its_name_when_a_constant_of_its_layer_has_it_too(converted: bytes):
    model = read(converted)
    graph = model.subgraphs[0]
    kernel = int(graph.operators[0].inputs[0])
    graph.tensors[kernel].name = "net/scores/Conv2D"
    names = [tensor.name for tensor in read_tflite(finish(write(model), ("scores", "boxes"), {})).tensors]
    assert names[kernel] == "scores_2"
    assert names.count("scores") == 1


@pytest.mark.parametrize(
    ("variant", "precision"),
    [
        (VARIANT, "fp32"),
        (VARIANT, "fp16"),
        ("face_detection_full_range_sparse", "fp16"),
        ("pose_landmark_lite", "fp16"),
    ],
)
def test_constants_begin_at_multiples_of_16(variant: str, precision: str):
    positions = list(constant_positions(exported(variant, "all", precision)))
    assert len(positions) > 50
    assert not [position for position in positions if position % 16]


def test_packing_aligns_whatever_the_sizes_are():
    model = read(official_file(VARIANT).read_bytes())
    model.buffers = []
    for size in (0, 1, 2, 3, 15, 16, 17, 100):
        buffer = schema.BufferT()
        buffer.data = np.arange(size, dtype=np.uint8) if size else None
        model.buffers.append(buffer)
    for tensor in model.subgraphs[0].tensors:
        tensor.buffer = 0
    content = pack(model)
    assert [position % 16 for position in constant_positions(content)] == [0] * 7
    sizes = [0 if buffer.data is None else len(buffer.data) for buffer in read(content).buffers]
    assert sizes == [0, 1, 2, 3, 15, 16, 17, 100]
    assert content[4:8] == b"TFL3"
