"""What a TFLite file costs: operators, parameters and multiply-accumulates, in all and by head."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from ..errors import ShapeError
from ..weights.reader import Op, TfliteGraph
from .config import VariantConfig

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one inference.

    Attributes:
        ops: operators that run; unpacking of fp16 and sparse constants at load time is not counted.
        params: weights and biases.
        macs: multiply-accumulates of convolutions.
        int8_macs: those of them with int8 weights and int8 activations.
    """

    ops: int
    params: int
    macs: int
    int8_macs: int

    @property
    def int8_share(self) -> float:
        """Share of the multiply-accumulates that run in int8, in [0, 1]."""
        return self.int8_macs / self.macs if self.macs else 0.0

    def minus(self, other: Cost) -> Cost:
        """The difference, field by field."""
        mine, others = asdict(self), asdict(other)
        return Cost(**{name: mine[name] - others[name] for name in mine})


def cost_of(graph: TfliteGraph, outputs: Iterable[int] | None = None) -> Cost:
    """The cost of computing some outputs of a graph.

    Args:
        graph: the network.
        outputs: tensor indices; all outputs of the graph by default.
    """
    ops = [
        op
        for op in _needed_ops(graph, graph.outputs if outputs is None else outputs)
        if not all(graph.is_constant(index) for index in op.outputs)
    ]
    weighted = [op for op in ops if op.kind in _WEIGHTED]
    return Cost(
        ops=len(ops),
        params=sum(_elements(graph, index) for op in weighted for index in op.inputs[1:] if graph.is_constant(index)),
        macs=sum(_macs(op, graph) for op in weighted),
        int8_macs=sum(_macs(op, graph) for op in weighted if _is_int8(op, graph)),
    )


def head_tensors(graph: TfliteGraph, config: VariantConfig) -> dict[str, int]:
    """Head name → tensor index, by the file's signature or else by shape (official files have no signature).

    Raises:
        ShapeError: an output is no head of the variant.
    """
    if graph.signature is not None:
        return dict(graph.signature["outputs"])
    by_shape = {head.shape: head.name for head in config.heads}
    found = {}
    for index in graph.outputs:
        shape = graph.tensors[index].shape
        if shape not in by_shape:
            raise ShapeError(f"{config.name} has outputs of shape {list(by_shape)}. Received: {shape}.")
        found[by_shape[shape]] = index
    return {name: found[name] for name in config.head_names if name in found}


def savings_by_head(graph: TfliteGraph, config: VariantConfig) -> dict[str, Cost]:
    """Head name → what removing that head alone saves."""
    heads = head_tensors(graph, config)
    total = cost_of(graph, heads.values())
    return {
        name: total.minus(cost_of(graph, [index for other, index in heads.items() if other != name])) for name in heads
    }


def _needed_ops(graph: TfliteGraph, outputs: Iterable[int]) -> list[Op]:
    """The operators that `outputs` depend on, in execution order."""
    needed = set(outputs)
    ops = []
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            ops.append(op)
    return ops[::-1]


def _elements(graph: TfliteGraph, index: int) -> int:
    return math.prod(graph.tensors[index].shape)


def _macs(op: Op, graph: TfliteGraph) -> int:
    """Kernel `(O, H, W, I)`: every output element takes H·W·I products; depthwise `(1, H, W, C)`: H·W."""
    kernel = graph.tensors[op.inputs[1]].shape
    per_output = math.prod(kernel[1:3]) if op.kind == "DEPTHWISE_CONV_2D" else math.prod(kernel[1:])
    return _elements(graph, op.outputs[0]) * per_output


def _is_int8(op: Op, graph: TfliteGraph) -> bool:
    return all(graph.tensors[index].dtype == "int8" for index in (*op.inputs[:2], op.outputs[0]))
