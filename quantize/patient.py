"""A .tflite file as the doctor sees it: its graph, which network it is, and what its tensors held on real inputs."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..weights.reader import Op, TfliteGraph
from .observe import Seen

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
BORDERS = ("QUANTIZE", "DEQUANTIZE")
FLOATS = frozenset({"float32", "float16"})
INT8S = frozenset({"int8", "uint8"})
QUANTIZED = INT8S | {"int16"}
WHOLE_FILE = "the file"


class Severity(enum.IntEnum):
    """How bad a finding is. ERROR: wrong results, or it does not load. WARNING: accuracy or speed is at risk."""

    INFO = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One place where a rule fires.

    Attributes:
        where: a tensor's or operator's name, or what else is meant; never empty.
        what: what is there, with numbers.
        severity: where it is not the rule's own.
    """

    where: str
    what: str
    severity: Severity | None = None


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What the checks look at.

    Attributes:
        graph: the file.
        dynamic_inputs: inputs and outputs whose shape the file declares open.
        head_names: output → head, where the network is known.
        seen: tensor index → what it held on real inputs; empty when it was not run.
        num_inputs: on so many.
        not_run: why it was not run; empty when it was.
        run_failed: the interpreter refused it or crashed.
    """

    graph: TfliteGraph
    dynamic_inputs: tuple[int, ...] = ()
    head_names: Mapping[int, str] = field(default_factory=dict)
    seen: Mapping[int, Seen] = field(default_factory=dict)
    num_inputs: int = 0
    not_run: str = ""
    run_failed: str = ""

    @functools.cached_property
    def ops(self) -> tuple[Op, ...]:
        """The operators that run; unpacking of stored constants is not among them."""
        return tuple(op for op in self.graph.ops if not all(self.graph.is_constant(index) for index in op.outputs))

    @functools.cached_property
    def producer(self) -> dict[int, Op]:
        """Tensor index → the operator that computes it."""
        return {index: op for op in self.ops for index in op.outputs}

    @functools.cached_property
    def is_quantized(self) -> bool:
        """Some operator other than a border computes integers that stand for reals."""
        return any(op.kind not in BORDERS and self.dtype_of(op) in QUANTIZED for op in self.ops)

    def computed_inputs(self, op: Op) -> list[int]:
        """Inputs of an operator that are not constants."""
        return [index for index in op.inputs if index != -1 and not self.graph.is_constant(index)]

    def dtype_of(self, op: Op) -> str:
        """The dtype an operator works on: its first computed input's, or its output's when it has none."""
        indices = [*self.computed_inputs(op), *op.outputs]
        return self.graph.tensors[indices[0]].dtype

    def name(self, index: int) -> str:
        """A tensor's name, or its number when it has none."""
        return self.graph.tensors[index].name or f"tensor {index}"

    def op_name(self, op: Op) -> str:
        """An operator's name: that of its first output."""
        return self.name(op.outputs[0])

    def macs(self, op: Op) -> int:
        """Multiply-accumulates of a convolution; 0 for other operators, and where a shape is open or not a kernel's."""
        if op.kind not in WEIGHTED:
            return 0
        kernel = self.graph.tensors[op.inputs[1]].shape
        elements, per_element = self.graph.tensors[op.outputs[0]].shape, kernel[1:]
        if op.kind == "DEPTHWISE_CONV_2D":
            per_element = kernel[1:3]
        elif op.kind == "TRANSPOSE_CONV":  # every input element is spread over O * H * W outputs
            elements, per_element = self.graph.tensors[op.inputs[2]].shape, kernel[:3]
        return max(0, math.prod(elements) * math.prod(per_element))

    def is_int8(self, op: Op) -> bool:
        """Weights and activations in 8 bits."""
        tensors = [self.graph.tensors[index] for index in (*self.computed_inputs(op)[:1], op.inputs[1], op.outputs[0])]
        return all(tensor.dtype in INT8S for tensor in tensors)


def some(names: list[str], limit: int = 3) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
