"""Small networks that are none of blazeport's, as other people's converters write them."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Callable

import numpy as np
from blazeport.models.keras_api import NATIVE_CHATTER, tf
from blazeport.quiet import native_stderr

SHAPE = (1, 48, 64, 3)


@functools.cache
def stranger(kind: str = "plain", precision: str = "fp32") -> bytes:
    """A network with the outputs `flag` and `heat`.

    Args:
        kind: `plain`; `maps`: without `flag`; `mean`: with an operator that cannot be quantized; `dynamic`: with a
            batch of any size that is computed with; `grey`: with one channel.
        precision: `fp32` or `fp16`.
    """
    network = tf.function(_network(kind), input_signature=[tf.TensorSpec(_shape(kind), tf.float32, name="picture")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()], tf.Module())
    if precision == "fp16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    with native_stderr(NATIVE_CHATTER), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


def _shape(kind: str) -> tuple[int | None, ...]:
    return {"dynamic": (None, *SHAPE[1:]), "grey": (*SHAPE[:3], 1)}.get(kind, SHAPE)


def _network(kind: str) -> Callable[..., object]:
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))).astype(np.float32)

    stem, depthwise, pointwise = weights(3, 3, _shape(kind)[-1], 16), weights(3, 3, 16, 1) * 4, weights(1, 1, 16, 16)
    heat, flag, biases = weights(3, 3, 16, 5), weights(12, 16, 16, 1), weights(4, 16)

    def network(picture):
        x = tf.nn.relu6(tf.nn.conv2d(picture, stem, 2, "SAME") + biases[0])
        y = tf.nn.depthwise_conv2d(x, depthwise, (1, 1, 1, 1), "SAME") + biases[1]
        y = tf.nn.conv2d(y, pointwise, 1, "SAME") + biases[2]
        x = tf.nn.max_pool2d(tf.nn.relu6(x + y), 2, 2, "SAME")
        if kind == "mean":
            x = x - tf.reduce_mean(x, axis=(1, 2), keepdims=True)
        result = {"heat": tf.nn.conv2d(x, heat, 1, "SAME") + biases[3, :5]}
        if kind == "maps":
            return result
        result["flag"] = tf.sigmoid(tf.reshape(tf.nn.conv2d(x, flag, 1, "VALID"), (-1, 1)))
        if kind == "dynamic":
            result["heat"] = tf.reshape(result["heat"], (tf.shape(picture)[0], -1))
        return result

    return network
