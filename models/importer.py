"""Weights of a `.tflite` file into a Keras network, complete or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import WeightsError
from ..weights.reader import Op, TfliteGraph
from .blocks import Network
from .keras_api import keras

_KINDS = {"CONV_2D": keras.layers.Conv2D, "DEPTHWISE_CONV_2D": keras.layers.DepthwiseConv2D}
_FOLDED = ("DEQUANTIZE", "DENSIFY")


def import_weights(network: Network, graph: TfliteGraph) -> None:
    """Assigns every weight of `graph` to `network`.

    The graph's convolutions, in file order, are paired with the network's, in creation order; those of blazeport's own
    exports, which have another order, by the names of their tensors. Kind, stride and kernel shape must agree; two
    neighbours of equal shape that were swapped show only in the parity test.

    Args:
        network: receives the weights; untouched when anything does not fit.
        graph: a float32, fp16 or sparse file. Kernels `(O, H, W, I)`, depthwise `(1, H, W, C)`.
    Raises:
        WeightsError: a convolution that does not fit, a weight of the file that was not used, or a variable of the
            network that got no weight; all leftovers are named.
    """
    layers = network.convolutions
    operations = _in_creation_order([op for op in graph.ops if op.kind in _KINDS], graph, layers)
    for number, (layer, op) in enumerate(zip(layers, operations, strict=False)):
        if problem := _mismatch(layer, op, graph):
            raise WeightsError(
                f"{graph.source} is not the network {network.config.name}: "
                f"convolution {number}, {layer.name!r}, {problem}."
            )
    if len(layers) != len(operations):
        missing = [layer.name for layer in layers[len(operations) :]]
        extra = [graph.tensors[op.outputs[0]].name for op in operations[len(layers) :]]
        raise WeightsError(
            f"{graph.source} is not the network {network.config.name}: expected {len(layers)} convolutions, "
            f"received {len(operations)}. Without weights: {missing}. Left over in the file: {extra}."
        )
    _check_all_consumed(graph, operations, network)

    assigned = {id(variable) for layer in layers for variable in layer.weights}
    unassigned = [variable.name for variable in network.model.weights if id(variable) not in assigned]
    if unassigned:
        raise WeightsError(f"{graph.source} has no weights for these variables of {network.config.name}: {unassigned}.")

    for layer, op in zip(layers, operations, strict=True):
        kernel = np.transpose(graph.constant(op.inputs[1]), (1, 2, 3, 0))
        layer.set_weights([kernel, graph.constant(op.inputs[2])])


def _in_creation_order(operations: list[Op], graph: TfliteGraph, layers: Sequence[Any]) -> list[Op]:
    """The operators in the order of `layers` where their tensors' names say which layer each is, else as given."""
    names = {layer.name: place for place, layer in enumerate(layers)}
    places = [_place(op, graph, names) for op in operations]
    if None in places or len(set(places)) != len(layers):
        return operations
    return [op for _, op in sorted(zip(places, operations, strict=True), key=lambda pair: pair[0] or 0)]


def _place(op: Op, graph: TfliteGraph, names: Mapping[str, int]) -> int | None:
    """The place of the layer that gave an operator's kernel or output its name in blazeport's exports, or None."""
    for index in (*op.inputs[1:2], *op.outputs[:1]):
        name = re.sub(r"_\d+$", "", graph.tensors[index].name)
        block = re.sub(r"_relu6?$", "", name)  # An activation that was fused into the operator.
        for candidate in (name, block, f"{block}_pointwise"):
            if candidate in names:
                return names[candidate]
    return None


def _mismatch(layer: Any, op: Op, graph: TfliteGraph) -> str | None:
    """What keeps `op` from being `layer`, or None."""
    if type(layer) is not _KINDS[op.kind]:
        return f"expected {type(layer).__name__}, received {op.kind}"
    if op.stride != tuple(layer.strides):
        return f"expected stride {tuple(layer.strides)}, received {op.stride}"
    if len(op.inputs) < 3 or not all(graph.is_constant(index) for index in op.inputs[1:3]):
        return "expected a constant kernel and bias"
    dtypes = [graph.tensors[graph.storage(index)].dtype for index in op.inputs[1:3]]
    if not all(dtype.startswith("float") for dtype in dtypes):
        return f"expected float weights, received {' and '.join(dtypes)}"
    expected = [tuple(variable.shape) for variable in layer.weights]
    out, height, width, channels = graph.tensors[op.inputs[1]].shape
    received = [(height, width, channels, out), tuple(graph.tensors[op.inputs[2]].shape)]
    if expected != received:
        return f"expected kernel and bias {expected}, received {received}"
    return None


def _check_all_consumed(graph: TfliteGraph, operations: list[Op], network: Network) -> None:
    """Raises when a float constant of the file feeds something other than a kernel or bias."""
    origin = {op.outputs[0]: op.inputs[0] for op in graph.ops if op.kind in _FOLDED}

    def root(index: int) -> int:
        while index in origin:
            index = origin[index]
        return index

    consumed = {root(index) for op in operations for index in op.inputs[1:3]}
    leftovers = [
        tensor.name
        for tensor in graph.tensors
        if tensor.is_constant and tensor.dtype in ("float32", "float16") and tensor.index not in consumed
    ]
    if leftovers:
        raise WeightsError(f"{graph.source} holds weights that {network.config.name} has no place for: {leftovers}.")
