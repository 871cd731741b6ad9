"""Reads what Google's benchmark programs print, and refuses what they print as a footnote to a wrong result.

Source: tensorflow/lite/tools/benchmark and litert/tools/benchmark. Both only mention flags that they do not know, and
graphs that a delegate runs in part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...benchmarks.records import OpRecord, SummaryRecord
from .base import SYNTHETIC_MARK, Runner, RunnerError, RunResult

_NUMBER = r"[-+0-9.eE]+"
_DELEGATE_NAMES = {
    "gpu": re.compile(r"gpu|opencl|litert_cl|webgpu|vulkan|metal", re.IGNORECASE),
    "nnapi": re.compile(r"nnapi", re.IGNORECASE),
    "npu": re.compile(r"npu|dispatch|qnn|htp|neuron|edgetpu", re.IGNORECASE),
}


@dataclass(frozen=True, kw_only=True)
class ToolOutput:
    """What a program said of one run. Times in microseconds."""

    init_us: float
    first_us: float
    warmup_mean_us: float | None
    summary: SummaryRecord
    delegate_applied: str
    synthetic: bool
    ops: tuple[OpRecord, ...] = ()
    notes: tuple[str, ...] = ()

    def result(self, runner: Runner) -> RunResult:
        """The result of the run that a runner made."""
        return RunResult(
            init_us=self.init_us,
            first_us=self.first_us,
            warmup_us=() if self.warmup_mean_us is None else (self.warmup_mean_us,),
            summary=self.summary,
            delegate_applied=self.delegate_applied,
            context=runner.context,
            tool=runner.tool,
            synthetic=self.synthetic,
            ops=self.ops,
            notes=self.notes,
        )


def parse_classic(text: str, *, delegate: str, program: str) -> ToolOutput:
    """The output of TensorFlow's `benchmark_model`, or of its app in the log.

    Raises:
        RunnerError: there is no result, or it is not about what was asked.
    """
    text = without_log_prefix(text)
    refuse_unknown_flags(text, program)
    applied, notes = applied_delegate(text, delegate, program)
    timings = re.search(
        rf"Inference timings in us: Init: ({_NUMBER}), First inference: ({_NUMBER}), "
        rf"Warmup \(avg\): ({_NUMBER}), Inference \(avg\): ({_NUMBER})",
        text,
    )
    counts = [
        dict(re.findall(rf"(\w+)=({_NUMBER})", line)) for line in re.findall(r"^.*\bcount=.*$", text, re.MULTILINE)
    ]
    if not timings or not counts:
        raise RunnerError(f"{program} printed no timings. It said: {_tail(text)}")
    init, first, warmup, mean = map(float, timings.groups())
    steady = counts[-1]
    summary = SummaryRecord(
        count=int(steady["count"]),
        mean_us=mean,
        min_us=_optional(steady, "min"),
        max_us=_optional(steady, "max"),
        std_us=_optional(steady, "std"),
        median_us=_optional(steady, "median"),
        p5_us=_optional(steady, "p5"),
        p95_us=_optional(steady, "p95"),
    )
    return ToolOutput(
        init_us=init,
        first_us=first,
        warmup_mean_us=warmup,
        summary=summary,
        delegate_applied=applied,
        synthetic=SYNTHETIC_MARK in text,
        ops=parse_op_profile(text),
        notes=notes,
    )


def parse_litert(text: str, *, delegate: str, program: str) -> ToolOutput:
    """The output of LiteRT's `benchmark_model`; it prints no percentiles. Raises as `parse_classic`."""
    text = without_log_prefix(text)
    refuse_unknown_flags(text, program)
    applied, notes = applied_delegate(text, delegate, program)
    if not re.search(r"= BENCHMARK RESULTS =.*?^={20,}$", text, re.MULTILINE | re.DOTALL):
        raise RunnerError(f"{program} printed no results, or not all. It said: {_tail(text)}")

    def milliseconds(label: str) -> float | None:
        found = re.search(rf"{re.escape(label)}:\s+({_NUMBER})", text)
        return float(found[1]) * 1000 if found else None

    average = re.search(rf"Inference \(avg\):\s+({_NUMBER}) ms \((\d+) runs\)", text)
    init, first = milliseconds("Model initialization"), milliseconds("Warmup (first)")
    if not average or init is None or first is None or int(average[2]) == 0:
        raise RunnerError(f"{program} printed incomplete results. It said: {_tail(text)}")
    summary = SummaryRecord(
        count=int(average[2]),
        mean_us=float(average[1]) * 1000,
        min_us=milliseconds("Inference (min)"),
        max_us=milliseconds("Inference (max)"),
        std_us=milliseconds("Inference (std)"),
    )
    return ToolOutput(
        init_us=init,
        first_us=first,
        warmup_mean_us=milliseconds("Warmup (avg)"),
        summary=summary,
        delegate_applied=applied,
        synthetic=SYNTHETIC_MARK in text,
        notes=notes,
    )


def refuse_unknown_flags(text: str, program: str) -> None:
    """Raises `RunnerError` when the program did not take all flags: the run was not the one that was asked for."""
    if found := re.search(r"Unconsumed cmdline flags:\s*(.*)", text):
        raise RunnerError(
            f"{program} does not know these flags: {found[1].strip()}. It ran without them, so the run does not count. "
            "Is it the program that --runner names?"
        )


def applied_delegate(text: str, delegate: str, program: str) -> tuple[str, tuple[str, ...]]:
    """What ran the graph, and notes about it.

    Args:
        text: what the program printed.
        delegate: what was asked for.
        program: for messages.
    Raises:
        RunnerError: another delegate than the CPU's ran a part only, or none says that it ran.
    """
    claims = [
        (name, None if how == "completely" else f"{count} parts")
        for name, how, count in re.findall(
            r"Explicitly applied (\S+) delegate, and the model graph will be (completely|partially) executed by the "
            r"delegate(?: w/ (\d+) delegate kernels)?",
            text,
        )
    ]
    claims += [
        (name, None if replaced == total else f"{replaced} of {total} nodes")
        for replaced, total, name in re.findall(
            r"Replacing (\d+) out of (\d+) node\(s\) with delegate \(([^)]+)\)", text
        )
    ]
    if delegate == "cpu":
        return _on_cpu(claims, text)
    wanted = _DELEGATE_NAMES[delegate]
    matching = [(name, part) for name, part in claims if wanted.search(name)]
    if not matching:
        raise RunnerError(
            f"{program} was asked for the {delegate} delegate and does not say that it ran: the CPU would have been "
            f"measured. It said: {_tail(text)}"
        )
    for name, part in matching:
        if part is not None:
            raise RunnerError(
                f"The {name} delegate runs this file in part only ({part}); the CPU runs the rest. The run does not "
                "count as one of that delegate."
            )
    return matching[0][0].lower(), ()


def _on_cpu(claims: Iterable[tuple[str, str | None]], text: str) -> tuple[str, tuple[str, ...]]:
    for name, part in claims:
        if "xnnpack" not in name.lower():
            raise RunnerError(f"The CPU was asked for, and the {name} delegate was applied.")
        if part is not None:
            return "xnnpack in part", (f"XNNPACK runs this file in part only ({part}).",)
        return "xnnpack", ()
    return ("xnnpack", ()) if re.search(r"XNNPACK delegate", text) else ("built-in kernels", ())


def parse_op_profile(text: str) -> tuple[OpRecord, ...]:
    """The `Run Order` section of a profile; of several (initialisation, warm-up) the last. Times in microseconds.

    Lines are tab-separated: `[node type] [start] [first] [avg ms] [%] [cdf%] [mem KB] [times called] [Name]`; older
    programs leave `[start]` away.
    """
    sections = re.split(r"=+ Run Order =+", text)
    if len(sections) < 2:
        return ()
    ops, columns = [], None
    for line in sections[-1].splitlines():
        cells = [cell.strip() for cell in line.strip().split("\t")]
        if cells[0] == "[node type]":
            columns = {name.strip("[]"): index for index, name in enumerate(cells)}
        elif re.match(r"=+ ", line.strip()):
            break
        elif columns and len(cells) == len(columns):
            mean = next(index for name, index in columns.items() if name.startswith("avg"))
            ops.append(
                OpRecord(
                    kind=cells[columns["node type"]],
                    name=cells[columns["Name"]],
                    mean_us=float(cells[mean]) * 1000,
                    calls=int(cells[columns["times called"]]),
                )
            )
    return tuple(ops)


def without_log_prefix(text: str) -> str:
    """The text without what logcat, TensorFlow and LiteRT put before a line."""
    patterns = (
        r"^\d\d-\d\d [\d:.]+\s+\d+\s+\d+ [VDIWEF] [^:]*: ",
        r"^[VDIWEF]/[^(]*\(\s*\d+\): ",
        r"^(INFO|WARNING|ERROR|VERBOSE): ",
        r"^\[[^\]]*:\d+\] ",
    )
    lines = text.replace("\r", "").split("\n")
    for pattern in patterns:
        lines = [re.sub(pattern, "", line) for line in lines]
    return "\n".join(lines)


def _optional(values: dict[str, str], name: str) -> float | None:
    return float(values[name]) if name in values else None


def _tail(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-4:])[-600:] or "nothing"
