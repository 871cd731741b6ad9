"""GPTQ rounding: weights are rounded one input at a time, and those still to come make up for the error so far.

Source: Frantar et al., arXiv 2210.17323, without its block structure. Differs: convolutions are taken as matrices of
their patches; depthwise ones have one small matrix per channel.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..models.keras_api import tf
from .graph import Node

_DAMPING = 0.01
_MAX_PATCHES = 40_000
_PADDINGS = {0: "SAME", 1: "VALID"}
_WEIGHT_LIMIT = 127


def round_with_feedback(
    node: Node,
    kernel: np.ndarray,
    scales: np.ndarray,
    inputs: np.ndarray,
    importance: Callable[[int, int], np.ndarray] | None,
) -> np.ndarray:
    """int8 weights of a convolution that keep its output on these inputs.

    Args:
        node: the convolution.
        kernel: `(O, H, W, I)`, or `(1, H, W, C)` for depthwise.
        scales: `(O,)` or `(C,)` weight scales.
        inputs: `(N, H, W, I)` float32, as the quantized network sees them.
        importance: which output positions count, or None.
    """
    patches = _patches(node, kernel, inputs, importance)
    if node.kind == "DEPTHWISE_CONV_2D":
        taps, channels = kernel.shape[1] * kernel.shape[2], kernel.shape[3]
        columns = patches.reshape(-1, taps, channels)
        moments = np.einsum("nic,njc->cij", columns, columns, optimize=True)
        rows = kernel.reshape(taps, channels).T[:, None, :] / scales[:, None, None]
        rounded = np.stack([_round_rows(row, moment) for row, moment in zip(rows, moments, strict=True)])
        return rounded[:, 0].T.reshape(kernel.shape).astype(np.int8)
    rows = kernel.reshape(len(kernel), -1) / scales[:, None]
    return _round_rows(rows, patches.T @ patches).reshape(kernel.shape).astype(np.int8)


def _patches(
    node: Node, kernel: np.ndarray, inputs: np.ndarray, importance: Callable[[int, int], np.ndarray] | None
) -> np.ndarray:
    """`(P, H * W * I)` float32 input patches of the convolution's output positions, thinned out."""
    _, height, width, _ = kernel.shape
    options = node.options
    parts = []
    rng = np.random.default_rng(0)
    for start in range(0, len(inputs), 16):
        part = tf.image.extract_patches(
            inputs[start : start + 16],
            (1, height, width, 1),
            (1, options.strideH, options.strideW, 1),
            (1, 1, 1, 1),
            _PADDINGS[options.padding],
        ).numpy()
        if importance is not None:
            part = part[importance(*part.shape[1:3])[start : start + 16]]
        part = part.reshape(-1, part.shape[-1])
        number = _MAX_PATCHES * 16 // max(16, len(inputs))
        parts.append(part if len(part) <= number else part[rng.integers(len(part), size=number)])
    return np.concatenate(parts)


def _round_rows(rows: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Rounds `(R, K)` rows in units of their steps, given the `(K, K)` second moment of the inputs."""
    size = moment.shape[0]
    moment = moment.astype(np.float64)
    damped = moment + np.eye(size) * (_DAMPING * np.trace(moment) / size + 1e-9)
    # Cholesky factor of the inverse: row k tells how an error in weight k is made up for by the weights after it.
    inverse = np.linalg.cholesky(np.linalg.inv(damped)).T
    rows = rows.astype(np.float64).copy()
    rounded = np.empty_like(rows)
    for k in range(size):
        rounded[:, k] = np.clip(np.rint(rows[:, k]), -_WEIGHT_LIMIT, _WEIGHT_LIMIT)
        error = (rows[:, k] - rounded[:, k]) / inverse[k, k]
        rows[:, k:] -= error[:, None] * inverse[k, k:]
    return rounded
