"""Sparse tensors unpack to the dense array they were packed from, whatever their layout."""

from __future__ import annotations

import numpy as np
import pytest
from blazeport.errors import WeightsError
from blazeport.weights.sparse import Level, Sparsity
from hypothesis import given, settings
from hypothesis import strategies as st

NONE = np.empty(0, np.int32)


def pack(dense: np.ndarray, order: tuple[int, ...], compressed: tuple[bool, ...]) -> tuple[Sparsity, np.ndarray]:
    """Packs an array with one level per dimension; the inverse of `densify`, written as a plain tree walk."""
    nodes = [np.transpose(dense, order)]
    levels = []
    for is_compressed in compressed:
        if not is_compressed:
            levels.append(Level(size=nodes[0].shape[0] if nodes else 0, segments=NONE, indices=NONE))
            nodes = [child for node in nodes for child in node]
            continue
        segments, indices, children = [0], [], []
        for node in nodes:
            for index, child in enumerate(node):
                if np.any(child):
                    indices.append(index)
                    children.append(child)
            segments.append(len(indices))
        levels.append(Level(size=None, segments=np.array(segments), indices=np.array(indices, np.int32)))
        nodes = children
    return Sparsity(order=order, block_map=(), levels=tuple(levels)), np.array(nodes, dense.dtype).reshape(-1)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_unpacking_undoes_packing(data: st.DataObject):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    # Below an empty compressed level `pack` has no node to take a dense level's size from, so it compresses from there.
    first = data.draw(st.integers(0, len(shape)))
    compressed = tuple(level >= first for level in range(len(shape)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    dense = (rng.integers(1, 100, shape) * (rng.random(shape) < 0.3)).astype(np.float32)
    sparsity, values = pack(dense, order, compressed)
    np.testing.assert_array_equal(sparsity.densify(values, shape), dense)


def test_blocks_are_written_back_in_place():
    # A 4x4 matrix in 2x2 blocks, of which the upper left and the lower right are stored.
    levels = (
        Level(size=2, segments=NONE, indices=NONE),
        Level(size=None, segments=np.array([0, 1, 2]), indices=np.array([0, 1])),
        Level(size=2, segments=NONE, indices=NONE),
        Level(size=2, segments=NONE, indices=NONE),
    )
    sparsity = Sparsity(order=(0, 1, 2, 3), block_map=(0, 1), levels=levels)
    expected = [[1, 2, 0, 0], [3, 4, 0, 0], [0, 0, 5, 6], [0, 0, 7, 8]]
    np.testing.assert_array_equal(sparsity.densify(np.arange(1, 9), (4, 4)), expected)


def rows(segments: list[int], indices: list[int], size: int = 2, order: tuple[int, ...] = (0, 1)) -> Sparsity:
    levels = (
        Level(size=size, segments=NONE, indices=NONE),
        Level(size=None, segments=np.array(segments), indices=np.array(indices)),
    )
    return Sparsity(order=order, block_map=(), levels=levels)


@pytest.mark.parametrize(
    ("sparsity", "complaint"),
    [
        pytest.param(rows([0, 1, 2], [0, 3]), "outside its dimension", id="index too large"),
        pytest.param(rows([0, 1, 2], [0, -1]), "outside its dimension", id="index negative"),
        pytest.param(rows([0, 2], [0, 1]), "segments", id="segment missing"),
        pytest.param(rows([0, 2, 1], [0, 1]), "do not cover", id="segments fall"),
        pytest.param(rows([1, 1, 2], [0, 1]), "do not cover", id="segments begin late"),
        pytest.param(rows([0, 1, 2], [0, 1], size=3), "2 belong", id="dense level of another size"),
        pytest.param(rows([0, 1, 3], [0, 1, 2]), "2 values", id="more places than values"),
        pytest.param(rows([0, 1, 2], [0, 1], order=(0, 0)), "do not match", id="dimension named twice"),
        pytest.param(rows([0, 1, 2], [0, 1], order=(0, 2)), "do not match", id="unknown dimension"),
        pytest.param(Sparsity(order=(), block_map=(), levels=()), "do not match", id="no levels"),
    ],
)
def test_a_tree_that_does_not_fit_is_an_error(sparsity: Sparsity, complaint: str):
    with pytest.raises(WeightsError, match=complaint):
        sparsity.densify(np.array([1.0, 2.0], np.float32), (2, 3))


def test_blocks_that_do_not_divide_the_shape_are_an_error():
    levels = tuple(Level(size=size, segments=NONE, indices=NONE) for size in (1, 2))
    with pytest.raises(WeightsError, match="blocks"):
        Sparsity(order=(0, 1), block_map=(0,), levels=levels).densify(np.ones(2), (3,))
