"""Keras model → ONNX bytes: static batch of 1, named input and outputs, simplified, checked, with metadata."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from .. import __version__
from ..errors import ConfigError, ConversionError, unknown
from ..models.config import VariantConfig
from ..models.cost import Cost
from ..quiet import native_stderr

Layout = Literal["nhwc", "nchw"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
DEFAULT_OPSET = 17
OPSETS = range(13, 19)  # what tf2onnx 1.17 writes; before 13 no operator of these networks is the same
TOOLS = ("onnx", "onnxruntime", "onnxsim", "tf2onnx")
_CHATTER = r"[IWEF]\d{4} |WARNING: All log messages before absl|INFO:|\d{4}-\d{2}-\d{2} |\s*$"


def to_onnx(
    model: Any,
    config: VariantConfig,
    heads: tuple[str, ...],
    *,
    opset: int = DEFAULT_OPSET,
    layout: Layout = "nhwc",
    facts: Mapping[str, str] | None = None,
) -> bytes:
    """Converts a model; the result is not yet compared with anything, see `convert.interchange`.

    Args:
        model: a Keras model of the variant, input `(1, S, S, 3)` float32 in `config.input_range`.
        config: the variant.
        heads: names of the outputs to keep, in the order they have in the file. They keep their shapes in any layout.
        opset: version of the ONNX operators.
        layout: of the input `image`: `nhwc` `(1, S, S, 3)` or `nchw` `(1, 3, S, S)`.
        facts: further metadata, name → text.
    Raises:
        ConfigError: another opset or layout, or the ONNX packages are not installed.
        ConversionError: the model lacks a head, or tf2onnx or onnxsim refuses it.
    """
    if opset not in OPSETS:
        raise unknown("opset", opset, map(str, OPSETS))
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    onnx, onnxsim, tf2onnx = (require(name) for name in ("onnx", "onnxsim", "tf2onnx"))
    from ..models.keras_api import tf
    from .tflite import prune_heads

    pruned = prune_heads(model, heads)
    signature = (tf.TensorSpec(config.input_shape, tf.float32, name="image"),)

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def serve(image: Any) -> dict[str, Any]:
        outputs = pruned(image, training=False)
        return {name: outputs[name] for name in heads}

    try:
        with _quiet():
            proto, _ = tf2onnx.convert.from_function(
                serve, signature, opset=opset, inputs_as_nchw=["image:0"] if layout == "nchw" else None
            )
            proto, simplified = onnxsim.simplify(proto)
    except Exception as error:  # tf2onnx and onnxsim raise whatever their layers raise.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConversionError(f"tf2onnx cannot convert {config.name}: {reason}") from error
    if not simplified:
        raise ConversionError(f"onnxsim changed what {config.name} computes. Install another version of onnxsim.")
    _describe(proto, config, heads, layout, facts or {})
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def require(name: str) -> Any:
    """Imports one of the ONNX packages. Raises `ConfigError` when it is not installed."""
    import importlib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"ONNX files need {error.name or name}, which is not installed. "
            "Install it with: pip install 'blazeport[convert,onnx]'."
        ) from error


def cost_of_onnx(proto: Any) -> Cost:
    """Nodes, parameters and multiply-accumulates of a model with static shapes, per inference."""
    onnx = require("onnx")
    graph = onnx.shape_inference.infer_shapes(proto).graph
    weights = {each.name: tuple(each.dims) for each in graph.initializer}
    shapes = dict(weights)
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
    macs = params = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        params += sum(math.prod(weights[name]) for name in node.input[1:] if name in weights)
        data, kernel, result = (shapes.get(name, (0,)) for name in (node.input[0], node.input[1], node.output[0]))
        if node.op_type == "Conv":  # kernel (O, I, H, W)
            macs += math.prod(result) * math.prod(kernel[1:])
        elif node.op_type == "ConvTranspose":  # kernel (I, O, H, W)
            macs += math.prod(data) * math.prod(kernel[1:])
        else:
            macs += math.prod(result) * (data[-2] if _transposes(node) else data[-1])
    return Cost(ops=len(graph.node), params=params, macs=macs, int8_macs=0)


def _transposes(node: Any) -> bool:
    return any(attribute.name == "transA" and attribute.i for attribute in node.attribute)


def _describe(
    proto: Any, config: VariantConfig, heads: tuple[str, ...], layout: Layout, facts: Mapping[str, str]
) -> None:
    """Orders the outputs, says what they mean, and adds metadata."""
    low, high = config.input_range
    meanings = {head.name: head.meaning for head in config.heads}
    outputs = {value.name: value for value in proto.graph.output}
    ordered = [outputs[name] for name in heads]
    for value in ordered:
        value.doc_string = meanings[value.name]
    del proto.graph.output[:]
    proto.graph.output.extend(ordered)
    proto.graph.input[0].doc_string = f"RGB, pixel 0 is {low:g} and pixel 255 is {high:g}"
    proto.graph.name, proto.doc_string = config.name, config.title
    proto.producer_name, proto.producer_version = "blazeport", __version__
    metadata = {"variant": config.name, "input_range": f"{low:g},{high:g}", "input_layout": layout, **facts}
    del proto.metadata_props[:]
    require("onnx").helper.set_model_props(proto, metadata)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps tf2onnx's and TensorFlow's chatter off the terminal."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with native_stderr(_CHATTER), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
