"""Which operators each TFLite delegate takes: data from upstream lists, each with the file it was read from.

A list describes the release it was read from. Nothing here is guessed: what a list does not say is `UNKNOWN`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..weights.reader import Op, TfliteGraph


class Support(enum.Enum):
    """Whether a delegate takes an operator."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Delegate:
    """One delegate and one kind of arithmetic.

    Attributes:
        name: for tables and findings.
        source: the upstream file that lists the operators.
        complete: the list is the delegate's own switch, so what is not in it is refused; otherwise it is documentation,
            which may lag behind.
        dtypes: of the activations it takes here.
        ops: operator → what the source demands of it, `""` where it demands nothing that matters to a vision network.
        depends: operators of `ops` that not every release or form takes → what is known of that.
        limits: operator → a demand that the graph alone can break; it returns the reason, or None.
    """

    name: str
    source: str
    complete: bool
    dtypes: frozenset[str]
    ops: Mapping[str, str]
    depends: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Callable[[Op, TfliteGraph], str | None]] = field(default_factory=dict)

    def support(self, op: Op, graph: TfliteGraph) -> tuple[Support, str]:
        """Whether it takes an operator of a graph, and why not or on what that depends; the reason may be empty."""
        if op.kind not in self.ops:
            return (Support.NO, "it is not in its list") if self.complete else (Support.UNKNOWN, "it is not documented")
        if op.kind in self.limits and (broken := self.limits[op.kind](op, graph)):
            return Support.NO, broken
        if op.kind in self.depends:
            return Support.UNKNOWN, self.depends[op.kind]
        return Support.YES, ""


def _plain(*kinds: str) -> dict[str, str]:
    return dict.fromkeys(kinds, "")


def _at_most_four(op: Op, _: TfliteGraph) -> str | None:
    count = len(op.outputs) if op.kind == "SPLIT" else len(op.inputs)
    return f"{count} tensors, at most 4 are taken" if count > 4 else None


def _stride_up_to_three(op: Op, _: TfliteGraph) -> str | None:
    return f"stride {max(op.stride)}, at most 3 is taken" if op.stride and max(op.stride) > 3 else None


def _depthwise_on_hexagon(op: Op, graph: TfliteGraph) -> str | None:
    channels_in, channels_out = (graph.tensors[index].shape[-1:] for index in (op.inputs[0], op.outputs[0]))
    if channels_in != channels_out and channels_in != (1,):
        return "a depth multiplier above 1"
    return _stride_up_to_three(op, graph)


def _resized_up_to_65(op: Op, graph: TfliteGraph) -> str | None:
    size = max(graph.tensors[op.outputs[0]].shape[1:3], default=0)
    return f"resizes to {size}, at most 65 is taken" if size > 65 else None


_STATIC_WEIGHTS = "weights and bias static, a bias present, fused activation none, RELU, RELU6 or RELU_N1_TO_1"
_SPATIAL_MEAN = "4-D, static axes: both spatial ones or the width"
_STATIC = "static shape, size, permutation or padding input"

XNNPACK_FLOAT = Delegate(
    name="XNNPACK float",
    source="LiteRT: tflite/delegates/xnnpack/README.md, Floating-Point (IEEE FP32) Operators",
    complete=False,
    dtypes=frozenset({"float32"}),
    ops=_plain("ABS", "ADD", "CEIL", "DIV", "ELU", "FLOOR", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM")
    | _plain("MINIMUM", "MUL", "NEG", "RELU", "RELU6", "RELU_N1_TO_1", "ROUND", "SQRT", "SQUARE", "SUB", "TANH")
    | _plain("SQUARED_DIFFERENCE", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH")
    | dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), "no 1x1 pooling with a stride")
    | dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"), _STATIC_WEIGHTS)
    | dict.fromkeys(("PAD", "RESHAPE", "RESIZE_BILINEAR", "SLICE", "TRANSPOSE"), _STATIC)
    | dict.fromkeys(("CONCATENATION", "SPLIT"), "two to four tensors")
    | {
        "MEAN": _SPATIAL_MEAN,
        "PRELU": "static slope, one per channel",
        "SOFTMAX": "beta 1",
        "STRIDED_SLICE": "static, strides of one, no ellipsis, new-axis or shrink mask",
    }
    # Not in that section, but named in the same file under Quantized Operators.
    | {"QUANTIZE": "to 8 bits, per tensor"},
    limits={"CONCATENATION": _at_most_four, "SPLIT": _at_most_four},
)

XNNPACK_INT8 = Delegate(
    name="XNNPACK int8",
    source="LiteRT: tflite/delegates/xnnpack/README.md, Quantized Operators",
    complete=False,
    dtypes=frozenset({"int8", "uint8"}),
    ops=_plain("ADD", "ELU", "LOGISTIC", "MUL", "SUB", "TANH", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH")
    | dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"), _STATIC_WEIGHTS)
    | dict.fromkeys(("PAD", "RESHAPE", "RESIZE_BILINEAR", "SLICE", "TRANSPOSE"), _STATIC)
    | dict.fromkeys(("CONCATENATION", "SPLIT"), "two to four tensors")
    | {
        "DEQUANTIZE": "per tensor, to float32",
        "LEAKY_RELU": "ratio of input to output scale in [1/256, 128]",
        "MAX_POOL_2D": "no 1x1 pooling with a stride",
        "MEAN": _SPATIAL_MEAN,
        "QUANTIZE": "per tensor, same signedness, ratio of input to output scale in [1/256, 128]",
    },
    limits={"CONCATENATION": _at_most_four, "SPLIT": _at_most_four},
)

GPU = Delegate(
    name="GPU delegate",
    source="TensorFlow: tensorflow/lite/tools/versioning/gpu_compatibility.cc (asked by the GPU delegate), and "
    "tensorflow/lite/delegates/gpu/common/model_builder.cc for older releases",
    complete=True,
    dtypes=frozenset({"float32", "float16", "int8", "uint8"}),
    ops=_plain("ABS", "COS", "ELU", "EXP", "FLOOR", "LOG", "LOGISTIC", "NEG", "RSQRT", "SIN", "SQRT", "SQUARE", "TANH")
    | _plain("DIV", "EQUAL", "FLOOR_DIV", "FLOOR_MOD", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "MAXIMUM")
    | _plain("MINIMUM", "NOT_EQUAL", "POW", "SQUARED_DIFFERENCE", "SUB", "CONCATENATION", "HARD_SWISH", "PACK")
    | _plain("QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "RESHAPE", "SPLIT", "SPLIT_V")
    | _plain("TILE", "TRANSPOSE", "RESIZE_NEAREST_NEIGHBOR", "AVERAGE_POOL_2D", "MAX_POOL_2D", "CONV_2D")
    | _plain("DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "BATCH_MATMUL", "FULLY_CONNECTED", "LSTM", "DEPTH_TO_SPACE")
    | dict.fromkeys(("MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM"), "static axes")
    | {
        "ADD": "two inputs",
        "CAST": "from bool to float only",
        "DENSIFY": "of a constant",
        "DEQUANTIZE": "not from int16",
        "MIRROR_PAD": "reflecting",
        "MUL": "two inputs, one of them not smaller in any dimension",
        "PAD": "static paddings of 3 or 4 dimensions",
        "RESIZE_BILINEAR": "not align_corners and half_pixel_centers together",
        "SLICE": "3-D or 4-D",
        "SOFTMAX": "beta 1",
        "SPACE_TO_DEPTH": "block size above 1",
        "STRIDED_SLICE": "3-D or 4-D, no ellipsis, new-axis or shrink mask",
    },
    depends={
        "DEPTH_TO_SPACE": "older releases' model_builder.cc does not know it",
        "DENSIFY": "older releases' model_builder.cc does not know it",
    },
)

NNAPI_INT8 = Delegate(
    name="NNAPI int8",
    source="TensorFlow: tensorflow/lite/delegates/nnapi/nnapi_delegate.cc, NNAPIDelegateKernel::Validate",
    complete=True,
    dtypes=frozenset({"int8", "uint8"}),
    ops=_plain("ADD", "ARG_MAX", "ARG_MIN", "AVERAGE_POOL_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "HARD_SWISH")
    | _plain("LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "MUL", "PRELU", "RELU", "RELU6", "SLICE")
    | _plain("RELU_N1_TO_1", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "STRIDED_SLICE", "SUB", "TANH", "TILE", "TOPK_V2")
    | _plain("CAST", "GATHER", "EXPAND_DIMS", "SQUEEZE", "REDUCE_MAX", "REDUCE_MIN", "SELECT", "DEPTH_TO_SPACE")
    | _plain("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")
    | _plain("LOCAL_RESPONSE_NORMALIZATION", "LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM")
    | {
        "BATCH_TO_SPACE_ND": "no crops",
        "CONCATENATION": "up to 4-D, no fused activation",
        "CONV_2D": "a bias present; per-channel weights since Android 10",
        "DENSIFY": "of a constant, since Android 11",
        "DEQUANTIZE": "int8 since Android 10, with a zero point other than 0 since Android 11",
        "L2_NORMALIZATION": "no fused activation",
        "MEAN": "no scalar output; older releases: equal input and output scales",
        "PACK": "not along the last axis",
        "PAD": "since Android 10",
        "PADV2": "since Android 10",
        "QUANTIZE": "to int8 since Android 11",
        "RESHAPE": "static shape",
        "RESIZE_BILINEAR": "static size; half_pixel_centers or align_corners since Android 11",
        "RESIZE_NEAREST_NEIGHBOR": "static size; half_pixel_centers or align_corners since Android 11",
        "SOFTMAX": "up to 4-D",
        "SPLIT": "static axis, since Android 11",
        "SPLIT_V": "static sizes and axis, since Android 11",
        "SQUARED_DIFFERENCE": "int8 since Android 11",
        "TRANSPOSE": "static permutation",
        "TRANSPOSE_CONV": "static shape and weights",
    },
    depends={
        "DEPTH_TO_SPACE": "older releases' nnapi_delegate.cc does not know it",
        "LOCAL_RESPONSE_NORMALIZATION": "the source asks for no type",
        "LSTM": "the source asks for one of several forms",
        "UNIDIRECTIONAL_SEQUENCE_LSTM": "the source asks for one of several forms",
    },
)

HEXAGON_INT8 = Delegate(
    name="Hexagon int8",
    source="TensorFlow: tensorflow/lite/delegates/hexagon/README.md and utils.cc, IsNodeSupportedByHexagon",
    complete=True,
    dtypes=frozenset({"int8", "uint8"}),
    ops=_plain("ARG_MAX", "ARG_MIN", "CONCATENATION", "DEPTH_TO_SPACE", "FULLY_CONNECTED", "HARD_SWISH", "LOGISTIC")
    | _plain("MAXIMUM", "MINIMUM", "NEG", "PACK", "RELU", "RELU6", "RESHAPE", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH")
    | _plain("STRIDED_SLICE", "TANH", "TRANSPOSE")
    | dict.fromkeys(("ADD", "MUL", "SUB"), "fused activation none or RELU-like")
    | dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_NORMALIZATION"), "no fused activation")
    | dict.fromkeys(("MEAN", "RESIZE_NEAREST_NEIGHBOR", "SPLIT"), "static axis or size")
    | {
        "CONV_2D": "stride up to 3, no dilation, a bias present",
        "DEPTHWISE_CONV_2D": "stride up to 3, depth multiplier 1, dilation only at stride 1; README: kernel width 3",
        "MIRROR_PAD": "static paddings",
        "PAD": "with 0, static paddings",
        "QUANTIZE": "from 8 bits to 8 bits",
        "RESIZE_BILINEAR": "static size, up to 65",
        "TRANSPOSE_CONV": "stride up to 3, no dilation",
    },
    limits={
        "CONV_2D": _stride_up_to_three,
        "TRANSPOSE_CONV": _stride_up_to_three,
        "DEPTHWISE_CONV_2D": _depthwise_on_hexagon,
        "RESIZE_BILINEAR": _resized_up_to_65,
    },
)

DELEGATES = (XNNPACK_FLOAT, XNNPACK_INT8, GPU, NNAPI_INT8, HEXAGON_INT8)


def support_table() -> str:
    """The delegates' lists as a Markdown table, operators in alphabetical order, and their sources below it."""
    kinds = sorted({kind for delegate in DELEGATES for kind in delegate.ops})
    lines = ["| operator | " + " | ".join(delegate.name for delegate in DELEGATES) + " |", "|---" * 6 + "|"]
    lines += [f"| `{kind}` | " + " | ".join(_cell(delegate, kind) for delegate in DELEGATES) + " |" for kind in kinds]
    sources = [f"- {delegate.name}: {delegate.source}" for delegate in DELEGATES]
    return "\n".join([*lines, "", *sources])


def _cell(delegate: Delegate, kind: str) -> str:
    if kind not in delegate.ops:
        return "no" if delegate.complete else "unknown"
    notes = [note for note in (delegate.ops[kind], delegate.depends.get(kind)) if note]
    return "yes" + (f": {'; '.join(notes)}" if notes else "")
