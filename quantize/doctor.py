"""What will break in a TFLite file, where, and what to do: before it is quantized, shipped or given to a delegate.

The checks are functions over a `Patient`, listed in `RULES`. They take any .tflite file. Those that run it need a
network whose inputs can be made from photos; for any other file a finding says that they were left out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from .. import progress
from ..convert.inputs import network_inputs
from ..errors import InputError, ShapeError, WeightsError, unknown
from ..files import sha256_of
from ..models.config import VARIANTS, VariantConfig
from ..models.cost import head_tensors
from ..weights.fetch import demo_photos
from ..weights.reader import TfliteGraph, read_tflite
from . import doctor_graph, doctor_ranges
from .observe import Seen, observe
from .patient import BORDERS, WEIGHTED, Patient, Severity, Spot

SCHEMA_VERSION = 1
MAX_INPUTS = 16
SEVERITIES = tuple(severity.name.lower() for severity in Severity)
_MIN_OPERANDS = dict.fromkeys(BORDERS, 1) | dict.fromkeys(WEIGHTED, 2) | {"TRANSPOSE_CONV": 3}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing the doctor found.

    Attributes:
        code: which rule, e.g. `output-step`; stable, for scripts.
        severity: ERROR, WARNING or INFO.
        where: a tensor's or operator's name, or what else is meant.
        what: what is there, with numbers.
        why: what it leads to.
        do: what to do about it.
    """

    code: str
    severity: Severity
    where: str
    what: str
    why: str
    do: str

    def to_dict(self) -> dict[str, str]:
        """JSON-ready; the severity in lower case."""
        return {**vars(self), "severity": self.severity.name.lower()}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One check: what it finds, how bad that is, why, and what to do."""

    code: str
    severity: Severity
    check: Callable[[Patient], Iterable[Spot]]
    why: str
    do: str

    @property
    def finds(self) -> str:
        """One sentence on what it looks for."""
        return (self.check.__doc__ or "").strip().splitlines()[0]

    def findings(self, patient: Patient) -> list[Finding]:
        """What it finds in a file."""
        return [
            Finding(
                code=self.code,
                severity=self.severity if spot.severity is None else spot.severity,
                where=spot.where,
                what=spot.what,
                why=self.why,
                do=self.do,
            )
            for spot in self.check(patient)
        ]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings of one file.

    Attributes:
        file: its name.
        sha256: of its content.
        variants: the networks that have its input and outputs, by their shapes.
        num_inputs: it was run on so many inputs; 0 when it was not.
        findings: the worst first, then in the order of `RULES`.
    """

    file: str
    sha256: str
    variants: tuple[str, ...]
    num_inputs: int
    findings: tuple[Finding, ...]

    def at_least(self, severity: str) -> tuple[Finding, ...]:
        """The findings of a severity or a worse one. Raises `ConfigError` when there is no such severity."""
        if severity not in SEVERITIES:
            raise unknown("severity", severity, SEVERITIES)
        return tuple(finding for finding in self.findings if finding.severity >= SEVERITIES.index(severity))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "schema_version": SCHEMA_VERSION,
            **vars(self),
            "findings": [finding.to_dict() for finding in self.findings],
        }


INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR

RULES: tuple[Rule, ...] = (
    Rule(
        code="run-failed",
        severity=ERROR,
        check=doctor_graph.run_failed,
        why="What does not run here runs nowhere.",
        do="Export the file again; if it is your own, look at the operator the message names.",
    ),
    Rule(
        code="custom-op",
        severity=ERROR,
        check=doctor_graph.custom_op,
        why="A plain interpreter refuses to load the file.",
        do="Convert with TFLITE_BUILTINS only and replace the operator, or link its kernel into the app.",
    ),
    Rule(
        code="output-dead",
        severity=ERROR,
        check=doctor_ranges.output_dead,
        why="The output says nothing about the input.",
        do="Look for lost weights or a scale that rounds everything to one value; compare with the float file.",
    ),
    Rule(
        code="output-step",
        severity=ERROR,
        check=doctor_ranges.output_step,
        why="Rounding to the nearest step alone loses detections or moves points.",
        do="Clip the output in the graph to what carries information, or give each part a scale of its own, "
        "before quantizing; or keep this head float.",
    ),
    Rule(
        code="output-range",
        severity=WARNING,
        check=doctor_ranges.output_range,
        why="Quantized with one scale, this output is lost: rare junk values set the range.",
        do="Stay with fp16, or quantize with a clip in the graph or with ranges of its own for this output.",
    ),
    Rule(
        code="activation-scale",
        severity=WARNING,
        check=doctor_ranges.activation_scale,
        why="Nearly all values share fewer than 16 of 256 steps.",
        do="Choose the range by MSE or percentile instead of min-max, balance channels, or keep the layer float.",
    ),
    Rule(
        code="weight-channel-disparity",
        severity=WARNING,
        check=doctor_ranges.weight_channel_disparity,
        why="One scale for the whole kernel would leave the median channel fewer than 8 steps.",
        do="Quantize weights per channel, and balance channels with the next layer.",
    ),
    Rule(
        code="weight-outlier",
        severity=WARNING,
        check=doctor_ranges.weight_outlier,
        why="Even with a scale of its own a channel loses over 3.6 % of its weight to rounding, which shifts its mean.",
        do="Correct the bias after quantizing, or keep these layers float or their activations int16.",
    ),
    Rule(
        code="per-tensor-weights",
        severity=WARNING,
        check=doctor_ranges.per_tensor_weights,
        why="The widest channel sets the step of all; per-channel scales cost nothing at run time.",
        do="Quantize the weights per channel.",
    ),
    Rule(
        code="float-island",
        severity=WARNING,
        check=doctor_graph.float_island,
        why="Each island costs two conversions, and integer-only accelerators hand it to the CPU.",
        do="Calibrate and quantize these layers too; keep them only where sensitivity demands it.",
    ),
    Rule(
        code="ping-pong",
        severity=WARNING,
        check=doctor_graph.ping_pong,
        why="Conversions cost time and a rounding each, and split the graph between processors.",
        do="Join the islands into one, or replace DEQUANTIZE + QUANTIZE by one requantizing QUANTIZE.",
    ),
    Rule(
        code="int16-activations",
        severity=WARNING,
        check=doctor_graph.int16_activations,
        why="None of the delegates' lists takes int16 activations: it runs on plain CPU kernels, on x86 many times "
        "slower than float.",
        do="Use it where accuracy matters more than speed, and measure on the device.",
    ),
    Rule(
        code="delegate-fallback",
        severity=WARNING,
        check=doctor_graph.delegate_fallback,
        why="These operators run on the CPU, and the graph is split around them.",
        do="Replace the operator, or expect the CPU's speed on that delegate.",
    ),
    Rule(
        code="sparse-weights",
        severity=WARNING,
        check=doctor_graph.sparse_weights,
        why="Small on disk only. XNNPACK unpacks it; older GPU delegates and Hexagon leave each such layer to the CPU; "
        "quantizers refuse it.",
        do="For those, use the fp32 export, whose weights are dense.",
    ),
    Rule(
        code="dynamic-shape",
        severity=WARNING,
        check=doctor_graph.dynamic_shape,
        why="Delegates plan for static shapes and leave the rest to the CPU.",
        do="Convert with a static input shape of batch 1.",
    ),
    Rule(
        code="batch",
        severity=WARNING,
        check=doctor_graph.batch,
        why="A camera gives one frame; the GPU delegate and the pipeline expect a batch of 1.",
        do="Convert with a batch of 1.",
    ),
    Rule(
        code="no-signature",
        severity=WARNING,
        check=doctor_graph.no_signature,
        why="Outputs can be told only by position, which converters change; static quantizers want a signature.",
        do="Export it with blazeport convert, which names every output in a signature.",
    ),
    Rule(
        code="unnamed-output",
        severity=WARNING,
        check=doctor_graph.unnamed_output,
        why="Nobody can tell what it is, and the next converter numbers it differently.",
        do="Name the outputs in the signature.",
    ),
    Rule(
        code="delegate-depends",
        severity=INFO,
        check=doctor_graph.delegate_depends,
        why="Whether the delegate takes it depends on its release, or is not documented.",
        do="Measure on the device, and look for how much of the graph the delegate took.",
    ),
    Rule(
        code="fp16-weights",
        severity=INFO,
        check=doctor_graph.fp16_weights,
        why="XNNPACK and the GPU delegate unpack them at load time. Quantizers that expect float32 change nothing and "
        "report success.",
        do="Quantize from the fp32 export.",
    ),
    Rule(
        code="dynamic-range",
        severity=INFO,
        check=doctor_graph.dynamic_range,
        why="Activations are quantized anew on every run; integer-only accelerators do not take it, and rounded "
        "weights cost accuracy all the same.",
        do="For an accelerator, quantize activations too (--precision int8).",
    ),
    Rule(
        code="int8-share",
        severity=INFO,
        check=doctor_graph.int8_share,
        why="What is not int8 runs at the speed of float.",
        do="Nothing, if it is the share you meant.",
    ),
    Rule(
        code="not-run",
        severity=INFO,
        check=doctor_graph.not_run,
        why="Ranges of activations and outputs are not checked.",
        do="Give photos with --inputs; for a network that blazeport does not know, check its output ranges yourself.",
    ),
)


def doctor(path: Path, *, media: Sequence[Path] | None = None) -> Diagnosis:
    """Examines a file.

    Args:
        path: any .tflite file.
        media: photos and videos to run it on; None takes the demo photos. Up to 16 inputs are made of them.
    Raises:
        WeightsError: it is no .tflite file, or a broken one.
    """
    graph = read_tflite(path)
    _check_operands(graph)
    patient = Patient(graph=graph, dynamic_inputs=_open_ends(path, graph))
    networks = _networks(graph)
    if networks:
        config, heads = networks[0]  # those that share their shapes share what goes in and what the heads are
        patient = replace(patient, head_names=heads, **_run(path, patient, config, media))
    else:
        patient = replace(patient, not_run=_unknown_network(graph))
    findings = [finding for rule in RULES for finding in rule.findings(patient)]
    return Diagnosis(
        file=path.name,
        sha256=sha256_of(path),
        variants=tuple(config.name for config, _ in networks),
        num_inputs=patient.num_inputs,
        findings=tuple(sorted(findings, key=lambda finding: -finding.severity)),
    )


def code_table() -> str:
    """All finding codes as a Markdown table."""
    rows = [f"| `{rule.code}` | {rule.severity.name.lower()} | {rule.finds} {rule.why} | {rule.do} |" for rule in RULES]
    return "\n".join(
        ["| code | severity | what it finds, and why it matters | what to do |", "|---|---|---|---|", *rows]
    )


def _check_operands(graph: TfliteGraph) -> None:
    """Refuses operators without what their kind must have, which the checks rely on."""
    for op in graph.ops:
        operands = op.inputs[: _MIN_OPERANDS.get(op.kind, 0)]
        if not op.outputs or len(operands) < _MIN_OPERANDS.get(op.kind, 0) or -1 in operands:
            raise WeightsError(
                f"{graph.source}: a {op.kind} has {len(op.inputs)} inputs and {len(op.outputs)} outputs, which is too "
                "few. Export the file again."
            )


def _open_ends(path: Path, graph: TfliteGraph) -> tuple[int, ...]:
    """Inputs and outputs whose shape signature has a -1: converters store a batch of 1 in the shape itself."""
    try:
        tensors = schema.Model.GetRootAs(path.read_bytes(), 0).Subgraphs(0)
        ends = dict.fromkeys((*graph.inputs, *graph.outputs))
        return tuple(
            index
            for index in ends
            if -1 in graph.tensors[index].shape
            or any(tensors.Tensors(index).ShapeSignature(i) == -1 for i in range(_rank(tensors.Tensors(index))))
        )
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise WeightsError(f"Cannot read the shapes of {path}: it is damaged. Export the file again.") from error


def _rank(tensor: Any) -> int:
    return min(int(tensor.ShapeSignatureLength()), 8)


def _networks(graph: TfliteGraph) -> list[tuple[VariantConfig, dict[int, str]]]:
    """The variants whose input and heads a file has by shape, each with its heads by tensor index."""
    if len(graph.inputs) != 1 or graph.tensors[graph.inputs[0]].dtype not in ("float32", "int8", "uint8"):
        return []
    fitting = []
    for config in VARIANTS.values():
        if graph.tensors[graph.inputs[0]].shape != config.input_shape:
            continue
        shapes = {head.name: head.shape for head in config.heads}
        try:
            heads = head_tensors(graph, config)
        except ShapeError:
            continue
        fits = all(shapes.get(name) == graph.tensors[index].shape for name, index in heads.items())
        if fits and set(heads.values()) == set(graph.outputs):
            fitting.append((config, {index: name for name, index in heads.items()}))
    return fitting


def _unknown_network(graph: TfliteGraph) -> str:
    shapes = ", ".join(str(list(graph.tensors[index].shape)) for index in graph.inputs[:3])
    return (
        f"not run: what belongs in its {len(graph.inputs)} inputs ({shapes}) is unknown; none of blazeport's networks"
    )


def _run(path: Path, patient: Patient, config: VariantConfig, media: Sequence[Path] | None) -> dict[str, Any]:
    """What the file's tensors held, or why it was not run, as fields of `Patient`."""
    graph = patient.graph
    if any(op.kind.startswith("CUSTOM:") for op in graph.ops):
        return {"not_run": "not run: it has custom operators"}
    try:
        inputs = network_inputs(config, demo_photos() if media is None else media, limit=MAX_INPUTS)
    except WeightsError as error:
        return {"not_run": f"not run: there are no inputs ({error})"}
    if not inputs:
        return {"not_run": "not run: no input could be made of the photos"}
    wanted = list(graph.outputs)
    if patient.is_quantized:
        wanted += [
            index for op in patient.ops for index in op.outputs if graph.tensors[index].dtype in ("int8", "uint8")
        ]
    try:
        with progress.step(f"Running {path.name} on {len(inputs)} inputs"):
            seen: dict[int, Seen] = observe(path, inputs, sorted(set(wanted)))
    except InputError as error:
        return {"run_failed": str(error)}
    return {"seen": seen, "num_inputs": len(inputs)}
