"""Runs one node of a graph on a batch of samples, in float32 with TensorFlow's kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..models.keras_api import tf
from .graph import Graph, Node

_BATCH = 16
_ARITHMETIC: dict[str, Callable[..., np.ndarray]] = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply}
_PADDINGS = {0: "SAME", 1: "VALID"}


def run_node(graph: Graph, node: Node, inputs: list[np.ndarray], *, activate: bool = True) -> np.ndarray:
    """Computes a node.

    Args:
        graph: the node's graph, for its constants and shapes.
        node: any kind that `quantize.graph` knows.
        inputs: one array per computed input: `(N, …)` float32, N samples along the batch axis.
        activate: apply the node's own activation.
    Returns:
        `(N, …)` float32.
    """
    parts = [
        _run(graph, node, [array[start : start + _BATCH] for array in inputs])
        for start in range(0, len(inputs[0]), _BATCH)
    ]
    result = np.concatenate(parts)
    return activated(result, node.activation) if activate else result


def activated(values: np.ndarray, activation: str) -> np.ndarray:
    """`NONE`, `RELU` or `RELU6` of an array."""
    if activation == "NONE":
        return values
    return np.clip(values, 0.0, 6.0 if activation == "RELU6" else None)


def _run(graph: Graph, node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    constants = [graph.constants[tensor] for tensor in node.inputs if tensor in graph.constants]
    options = node.options
    result: Any
    if node.kind == "CONV_2D":
        kernel, bias = np.transpose(constants[0], (1, 2, 3, 0)), constants[1]
        strides = (options.strideH, options.strideW)
        result = tf.nn.conv2d(inputs[0], kernel, strides, _PADDINGS[options.padding]) + bias
    elif node.kind == "DEPTHWISE_CONV_2D":
        kernel, bias = np.transpose(constants[0], (1, 2, 3, 0)), constants[1]
        strides_nhwc = (1, options.strideH, options.strideW, 1)
        result = tf.nn.depthwise_conv2d(inputs[0], kernel, strides_nhwc, _PADDINGS[options.padding]) + bias
    elif node.kind in _ARITHMETIC:
        computed = iter(inputs)
        left, right = (graph.constants[t] if t in graph.constants else next(computed) for t in node.inputs)
        result = _ARITHMETIC[node.kind](left, right)
    elif node.kind == "PAD":
        result = np.pad(inputs[0], constants[0])
    elif node.kind == "MAX_POOL_2D":
        size, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
        result = tf.nn.max_pool2d(inputs[0], size, strides, _PADDINGS[options.padding])
    elif node.kind == "RESIZE_BILINEAR":
        result = tf.raw_ops.ResizeBilinear(
            images=inputs[0],
            size=constants[0],
            align_corners=options.alignCorners,
            half_pixel_centers=options.halfPixelCenters,
        )
    elif node.kind == "DEPTH_TO_SPACE":
        result = tf.nn.depth_to_space(inputs[0], options.blockSize)
    elif node.kind == "RESHAPE":
        result = inputs[0].reshape(-1, *graph.shapes[node.output][1:])
    elif node.kind == "CONCATENATION":
        result = np.concatenate(inputs, axis=options.axis)
    elif node.kind == "LOGISTIC":
        result = tf.sigmoid(inputs[0])
    else:
        result = inputs[0]  # RELU and RELU6 are applied below, as activations.
    result = np.asarray(result, dtype=np.float32)
    return activated(result, node.kind) if node.kind in ("RELU", "RELU6") else result


def run_graph(graph: Graph, samples: np.ndarray) -> dict[str, np.ndarray]:
    """Computes all outputs: output name → `(N, …)` float32, for samples `(N, S, S, 3)` float32."""
    remaining = {tensor: len(graph.consumers(tensor)) for tensor in graph.names}
    values = {graph.input: samples}
    kept = set(graph.outputs.values())
    for node in graph.nodes:
        inputs = graph.activations(node)
        values[node.output] = run_node(graph, node, [values[tensor] for tensor in inputs])
        for tensor in set(inputs):
            remaining[tensor] -= 1
            if remaining[tensor] == 0 and tensor not in kept:
                del values[tensor]
    return {name: values[tensor] for name, tensor in graph.outputs.items()}
