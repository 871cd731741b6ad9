"""The doctor's checks of the graph: names, shapes, delegates, and where it leaves int8."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from ..weights.reader import Op
from .delegates import DELEGATES, Support
from .patient import BORDERS, FLOATS, INT8S, WEIGHTED, WHOLE_FILE, Patient, Spot, some

_NO_NAME = re.compile(r"((Stateful)?PartitionedCall|Identity|output)?[_:\d]*")
_DYNAMIC_KINDS = ("SHAPE", "WHERE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "UNIQUE", "RANGE")
_LISTED = 5  # findings of one kind; the rest is counted


def no_signature(patient: Patient) -> Iterator[Spot]:
    """The file has no SignatureDef."""
    if patient.graph.signature is None:
        yield Spot(where=WHOLE_FILE, what=f"{len(patient.graph.outputs)} outputs, no signature")


def unnamed_output(patient: Patient) -> Iterator[Spot]:
    """An output has the name a converter gives when nobody names it, or shares its name."""
    signature = patient.graph.signature
    names = list(signature["outputs"]) if signature else [patient.graph.tensors[i].name for i in patient.graph.outputs]
    for name, count in Counter(names).items():
        if _NO_NAME.fullmatch(name):
            yield Spot(where=name or "an output", what=f"an output named {name!r}")
        elif count > 1:
            yield Spot(where=name, what=f"{count} outputs are named {name!r}")


def dynamic_shape(patient: Patient) -> Iterator[Spot]:
    """Shapes that are known only at run time."""
    for index in patient.dynamic_inputs:
        yield Spot(where=patient.name(index), what="an input or output with an open dimension (-1)")
    open_ones = [t.name for t in patient.graph.tensors if -1 in t.shape and t.index not in patient.dynamic_inputs]
    if open_ones:
        yield Spot(where=some(open_ones), what=f"{len(open_ones)} tensors with an open dimension (-1)")
    for kind in _DYNAMIC_KINDS:
        ops = [patient.op_name(op) for op in patient.ops if op.kind == kind]
        if ops:
            yield Spot(where=some(ops), what=f"{len(ops)} {kind}: shapes are computed at run time")


def batch(patient: Patient) -> Iterator[Spot]:
    """A batch other than 1."""
    for index in patient.graph.inputs:
        shape = patient.graph.tensors[index].shape
        if len(shape) > 1 and shape[0] > 1:
            yield Spot(where=patient.name(index), what=f"input of shape {list(shape)}")


def custom_op(patient: Patient) -> Iterator[Spot]:
    """Operators that a plain interpreter does not know."""
    by_kind = _by_kind(op for op in patient.ops if op.kind.startswith("CUSTOM:"))
    for kind, ops in by_kind.items():
        name = kind.removeprefix("CUSTOM:")
        needs = "the Flex delegate (select TensorFlow ops)" if name.startswith("Flex") else "a kernel of its own"
        yield Spot(where=some([patient.op_name(op) for op in ops]), what=f"{len(ops)} {name!r}, which needs {needs}")


def delegate_fallback(patient: Patient) -> Iterator[Spot]:
    """Operators that a delegate refuses."""
    yield from _delegated(patient, Support.NO)


def delegate_depends(patient: Patient) -> Iterator[Spot]:
    """Operators that a delegate's list says nothing of, or that only some releases take."""
    yield from _delegated(patient, Support.UNKNOWN)


def sparse_weights(patient: Patient) -> Iterator[Spot]:
    """Constants behind DENSIFY."""
    unpacked = _unpacking(patient, "DENSIFY")
    if unpacked:
        yield Spot(where=some(unpacked), what=f"{len(unpacked)} sparse constants behind DENSIFY")


def fp16_weights(patient: Patient) -> Iterator[Spot]:
    """Float16 constants behind DEQUANTIZE."""
    unpacked = _unpacking(patient, "DEQUANTIZE")
    if unpacked:
        yield Spot(where=some(unpacked), what=f"{len(unpacked)} float16 constants behind DEQUANTIZE")


def dynamic_range(patient: Patient) -> Iterator[Spot]:
    """Integer weights under float activations."""
    hybrid = [
        patient.op_name(op)
        for op in patient.ops
        if op.kind in WEIGHTED and patient.dtype_of(op) in FLOATS and _weights_dtype(patient, op) == "int8"
    ]
    if hybrid:
        yield Spot(where=some(hybrid), what=f"{len(hybrid)} convolutions with int8 weights and float activations")


def int16_activations(patient: Patient) -> Iterator[Spot]:
    """Activations of 16 bits."""
    wide = [op for op in patient.ops if op.kind not in BORDERS and patient.dtype_of(op) == "int16"]
    if wide:
        yield Spot(where=some([patient.op_name(op) for op in wide]), what=f"{len(wide)} operators on int16")


def int8_share(patient: Patient) -> Iterator[Spot]:
    """How much of a quantized file runs in int8."""
    if patient.is_quantized:
        convolutions = [op for op in patient.ops if op.kind in WEIGHTED]
        total = sum(patient.macs(op) for op in convolutions)
        int8 = sum(patient.macs(op) for op in convolutions if patient.is_int8(op))
        share = int8 / total if total else 0.0
        yield Spot(where=WHOLE_FILE, what=f"{share:.1%} of {total / 1e6:.1f} M multiply-accumulates run in int8")


def float_island(patient: Patient) -> Iterator[Spot]:
    """Float operators inside a quantized file: groups that multiply, or that go back to integers."""
    if not patient.is_quantized:
        return
    total = sum(patient.macs(op) for op in patient.ops)
    returned = {op.inputs[0] for op in patient.ops if op.kind == "QUANTIZE"}
    islands = []
    for group in _float_groups(patient):
        macs = sum(patient.macs(op) for op in group)
        if macs or any(index in returned for op in group for index in op.outputs):
            islands.append((macs, group))
    islands.sort(key=lambda island: island[0], reverse=True)
    for macs, group in islands[:_LISTED]:
        share = f"{macs / total:.1%}" if total else "0 %"
        kinds = some(sorted({op.kind for op in group}))
        yield Spot(
            where=patient.op_name(group[0]),
            what=f"{len(group)} float operators ({kinds}), {macs / 1e6:.2f} M multiply-accumulates, {share} of all",
        )
    if len(islands) > _LISTED:
        yield Spot(where=WHOLE_FILE, what=f"{len(islands) - _LISTED} more float islands, smaller than these")


def ping_pong(patient: Patient) -> Iterator[Spot]:
    """Integers turned into floats and back with nothing between, or more than once on the way."""
    back = [
        op
        for op in patient.ops
        if op.kind == "QUANTIZE" and patient.dtype_of(op) in FLOATS and op.inputs[0] not in patient.graph.inputs
    ]
    for op in back:
        before = patient.producer.get(op.inputs[0])
        if before is not None and before.kind == "DEQUANTIZE":
            yield Spot(where=patient.op_name(op), what="a DEQUANTIZE that feeds a QUANTIZE")
    if len(back) > 1:
        names = [patient.op_name(op) for op in back]
        yield Spot(where=some(names), what=f"{len(back)} times from float back to integers")


def not_run(patient: Patient) -> Iterator[Spot]:
    """The checks on real inputs were left out."""
    if patient.not_run:
        yield Spot(where=WHOLE_FILE, what=patient.not_run)


def run_failed(patient: Patient) -> Iterator[Spot]:
    """The interpreter does not run the file."""
    if patient.run_failed:
        yield Spot(where=WHOLE_FILE, what=patient.run_failed)


def _delegated(patient: Patient, wanted: Support) -> Iterator[Spot]:
    returning = _returning(patient)
    for delegate in DELEGATES:
        if delegate.dtypes <= INT8S and not patient.is_quantized:
            continue
        refused: dict[tuple[str, str], list[Op]] = defaultdict(list)
        for op in patient.ops:
            if patient.dtype_of(op) not in delegate.dtypes or op.kind.startswith("CUSTOM:"):
                continue
            if op.kind == "DEQUANTIZE" and delegate.dtypes <= INT8S and not returning.intersection(op.outputs):
                continue  # leaving the accelerator once, at the end, is no loss
            support, reason = delegate.support(op, patient.graph)
            if support is wanted:
                refused[op.kind, reason].append(op)
        for (kind, reason), ops in refused.items():
            yield Spot(
                where=some([patient.op_name(op) for op in ops]), what=f"{delegate.name}: {len(ops)} {kind}, {reason}"
            )


def _returning(patient: Patient) -> set[int]:
    """The tensors from which some way leads back to integers."""
    found: set[int] = set()
    for op in reversed(patient.ops):
        if (op.kind == "QUANTIZE" and patient.dtype_of(op) in FLOATS) or found.intersection(op.outputs):
            found.update(op.inputs)
    return found


def _by_kind(ops: Iterator[Op]) -> dict[str, list[Op]]:
    kinds: dict[str, list[Op]] = defaultdict(list)
    for op in ops:
        kinds[op.kind].append(op)
    return kinds


def _unpacking(patient: Patient, kind: str) -> list[str]:
    return [
        patient.op_name(op)
        for op in patient.graph.ops
        if op.kind == kind and all(patient.graph.is_constant(index) for index in op.outputs)
    ]


def _weights_dtype(patient: Patient, op: Op) -> str:
    return patient.graph.tensors[op.inputs[1]].dtype


def _float_groups(patient: Patient) -> list[list[Op]]:
    """Float operators joined by the float tensors between them, in execution order."""
    leader: dict[int, int] = {}  # tensor → a tensor of the same group, the group's first one → itself

    def lead(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    floats = [op for op in patient.ops if op.kind not in BORDERS and patient.dtype_of(op) in FLOATS]
    for op in floats:
        met = [lead(index) for index in op.inputs if index in leader]
        first = min(met, default=op.outputs[0])
        leader.update(dict.fromkeys([*met, *op.outputs, first], first))
    groups: dict[int, list[Op]] = defaultdict(list)
    for op in floats:
        groups[lead(op.outputs[0])].append(op)
    return list(groups.values())
