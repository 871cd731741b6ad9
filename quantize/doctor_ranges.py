"""The doctor's checks of ranges: weights, activations and outputs that eight bits cannot hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import WeightsError
from ..weights.reader import Op
from .patient import INT8S, Patient, Severity, Spot, some

_KERNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0, "FULLY_CONNECTED": 0}
CHANNEL_DISPARITY = 32.0  # widest channel / median: the median channel keeps 3 of 8 bits under one scale
COARSE_WEIGHTS = 8.0  # steps: a channel whose RMS is below this loses over 3.6 % of it to rounding
TYPICAL_SHARE = 16.0  # range of a scale / range of 99 % of the values: those share 4 of 8 bits
FAR_TOO_COARSE = 4.0  # times the step a head bears
_LISTED = 5


@dataclass(frozen=True)
class _Head:
    """What a head can bear: `step` in its unit, and what of its range carries information."""

    unit: str
    step: float
    carries: str


_HEADS = {
    "scores": _Head("logits", 0.5, "±10 logits carry the information"),
    "boxes": _Head("px", 2.0, "a few hundred px carry the information"),
    "landmarks": _Head("px", 2.0, "x and y lie in the input, z within its width, visibility within ±10 logits"),
    "presence": _Head("of the probability", 0.02, "[0, 1]"),
    "segmentation": _Head("logits", 0.5, "±10 logits carry the information"),
    "heatmap": _Head("logits", 0.5, "±10 logits carry the information"),
    "world_landmarks": _Head("m", 0.02, "±1 m carry the information"),
}


def weight_channel_disparity(patient: Patient) -> Iterator[Spot]:
    """Float kernels whose output channels differ much in range."""
    wide = []
    for op, channels in _kernels(patient, floats=True):
        ratio = _disparity(channels)
        if ratio > CHANNEL_DISPARITY:
            wide.append((ratio, patient.op_name(op)))
    yield from _worst(wide, "widest channel {:.0f} × the median one")


def weight_outlier(patient: Patient) -> Iterator[Spot]:
    """Kernels with a channel whose largest weight makes the steps too coarse for the rest of it."""
    coarse = []
    for op, channels in (*_kernels(patient, floats=True), *_kernels(patient, floats=False)):
        top = np.abs(channels).max(axis=1)
        alive = top > 0
        if not alive.any():
            continue
        with np.errstate(invalid="ignore"):  # a stranger's weights may be infinite
            rms = np.sqrt(np.square(channels[alive], dtype=np.float64).mean(axis=1))
            steps = float((127 * rms / top[alive]).min())
        if steps < COARSE_WEIGHTS:
            coarse.append((1 / steps, patient.op_name(op)))
    worst = sorted(coarse, reverse=True)
    if worst:
        names = [name for _, name in worst]
        what = (
            f"{len(worst)} kernels; the RMS of the worst channel is {1 / worst[0][0]:.1f} of its int8 steps, 8 would do"
        )
        yield Spot(where=some(names), what=what)


def per_tensor_weights(patient: Patient) -> Iterator[Spot]:
    """8-bit kernels of several channels under one scale."""
    single = []
    for op, channels in _kernels(patient, floats=False):
        if len(channels) > 1 and len(patient.graph.tensors[op.inputs[1]].scale) == 1:
            single.append((_disparity(channels), patient.op_name(op)))
    if single:
        worst, _ = max(single)
        names = [name for _, name in sorted(single, reverse=True)]
        what = f"{len(single)} kernels with one scale; the widest channel is up to {worst:.0f} × the median one"
        yield Spot(where=some(names), what=what)


def activation_scale(patient: Patient) -> Iterator[Spot]:
    """8-bit activations whose scale covers far more than they hold."""
    wasteful = []
    for op in patient.ops:
        if op.kind in ("RESHAPE", "CONCATENATION"):
            continue  # they pass on what was said of their inputs
        for index in op.outputs:
            tensor, seen = patient.graph.tensors[index], patient.seen.get(index)
            if tensor.dtype not in INT8S or len(tensor.scale) != 1 or seen is None or seen.high <= seen.low:
                continue
            ratio = 255 * tensor.scale[0] / (seen.high - seen.low)
            if ratio > TYPICAL_SHARE:
                wasteful.append((ratio, patient.name(index)))
    yield from _worst(wasteful, "its scale covers {:.0f} × what 99 % of its values span")


def output_range(patient: Patient) -> Iterator[Spot]:
    """Float outputs that one 8-bit scale per tensor cannot hold."""
    for index, head, limit in _heads(patient):
        seen = patient.seen.get(index)
        if patient.graph.tensors[index].dtype != "float32" or _stored_scale(patient, index) or seen is None:
            continue
        step = (max(seen.highest, 0.0) - min(seen.lowest, 0.0)) / 255
        if step > limit.step:
            reached = f"{seen.lowest:.3g} … {seen.highest:.3g} on {patient.num_inputs} inputs"
            what = f"{head}: {reached}; one int8 step would cover {step:.2g} {limit.unit}; {limit.carries}"
            yield Spot(where=patient.name(index), what=what)


def output_step(patient: Patient) -> Iterator[Spot]:
    """8-bit outputs whose step is coarser than the head bears: above 4 times an error, else a warning."""
    for index, head, limit in _heads(patient):
        step = _stored_scale(patient, index)
        if step > limit.step:
            yield Spot(
                where=patient.name(index),
                what=f"{head}: one int8 step covers {step:.3g} {limit.unit}; {limit.carries}",
                severity=Severity.ERROR if step > FAR_TOO_COARSE * limit.step else Severity.WARNING,
            )


def output_dead(patient: Patient) -> Iterator[Spot]:
    """Outputs that say nothing, whatever comes in."""
    for index in patient.graph.outputs:
        seen = patient.seen.get(index)
        if seen is None:
            continue
        if not seen.finite:
            yield Spot(where=patient.name(index), what=f"NaN or infinity on {patient.num_inputs} inputs")
        # A single value may well be the same on a few photos: a presence of 1.
        elif seen.lowest == seen.highest and patient.graph.tensors[index].shape != (1, 1):
            yield Spot(where=patient.name(index), what=f"{seen.lowest:g} everywhere on {patient.num_inputs} inputs")


def _heads(patient: Patient) -> Iterator[tuple[int, str, _Head]]:
    for index, head in patient.head_names.items():
        if head in _HEADS:
            yield index, head, _HEADS[head]


def _stored_scale(patient: Patient, index: int) -> float:
    """The scale of an 8-bit output, or of the 8-bit tensor that a DEQUANTIZE makes it from; 0 when there is none."""
    before = patient.producer.get(index)
    if before is not None and before.kind == "DEQUANTIZE":
        index = before.inputs[0]
    tensor = patient.graph.tensors[index]
    return tensor.scale[0] if tensor.dtype in INT8S and tensor.scale else 0.0


def _kernels(patient: Patient, *, floats: bool) -> Iterator[tuple[Op, np.ndarray]]:
    """Convolutions whose stored weights are float, or 8 bits, and their kernels as `(channels, weights)` float."""
    for op in patient.ops:
        if op.kind not in _KERNEL_AXIS or not patient.graph.is_constant(op.inputs[1]):
            continue
        tensor = patient.graph.tensors[op.inputs[1]]
        if tensor.dtype.startswith("float") if floats else tensor.dtype in INT8S:
            weights = patient.graph.constant(op.inputs[1]).astype(np.float32)
            if not weights.size or weights.ndim <= _KERNEL_AXIS[op.kind]:
                raise WeightsError(f"The weights of a {op.kind} have the shape {list(weights.shape)}.")
            if tensor.dtype == "uint8" and tensor.zero_point:
                weights -= tensor.zero_point[0]
            channels = np.moveaxis(weights, _KERNEL_AXIS[op.kind], 0)
            yield op, channels.reshape(len(channels), -1)


def _disparity(channels: np.ndarray) -> float:
    """Range of the widest channel over that of the median one; channels of zeros do not count."""
    ranges = np.abs(channels).max(axis=1)
    ranges = ranges[ranges > 0]
    with np.errstate(all="ignore"):
        return float(ranges.max() / np.median(ranges)) if ranges.size else 1.0


def _worst(found: list[tuple[float, str]], what: str) -> Iterator[Spot]:
    """One spot for each of the worst, the last with a count of the rest."""
    ordered = sorted(found, reverse=True)
    for position, (figure, name) in enumerate(ordered[:_LISTED]):
        more = f"; {len(ordered) - _LISTED} more" if position == _LISTED - 1 and len(ordered) > _LISTED else ""
        yield Spot(where=name, what=what.format(figure) + more)
