"""TensorFlow's `benchmark_model` and LiteRT's program of the same name: two programs with different flags and outputs.

Untested on a phone. Neither gives its samples away, and LiteRT's takes random inputs only.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...benchmarks.records import Context, ToolRecord
from ...errors import ConfigError
from ...files import sha256_of
from ..adb import quote
from .base import RunnerError, RunRequest, RunResult, require_delegate
from .output import ToolOutput, parse_classic, parse_litert
from .wire import latency_ms

if TYPE_CHECKING:
    from ..adb import Device
    from ..store import Store

_MAX_SECONDS = 3600
_END = "__blazeport_end_of_output__"


class BenchmarkModelRunner:
    """TensorFlow's program.

    Args:
        binary: its file for the phone's ABI.
        profile_ops: time every op; that slows the run down, so do it apart.
    """

    name = "benchmark_model"
    context: Context = "shell"
    delegates = ("cpu", "gpu", "nnapi")

    def __init__(self, binary: Path, *, profile_ops: bool = False) -> None:
        self._binary = binary
        self._profile_ops = profile_ops
        self._remote = self._scratch = ""

    @property
    def tool(self) -> ToolRecord:
        """The program, known by its sha256: it does not tell its version."""
        return ToolRecord(name=self.name, version="unknown", sha256=sha256_of(self._binary), context=self.context)

    def prepare(self, device: Device, store: Store) -> None:
        """Pushes the program. Raises as `Runner.prepare`."""
        self._remote = store.put(self._binary, executable=True)
        self._scratch = store.scratch(self.name)

    def run(self, device: Device, store: Store, request: RunRequest) -> RunResult:
        """One process. Raises as `Runner.run`."""
        require_delegate(self.name, request.delegate, self.delegates, "Choose another --runner for it.")
        if request.inputs is not None or request.want_outputs:
            raise ConfigError(f"The {self.name} runner takes no inputs and gives no outputs. Use --runner native.")
        model = store.put(request.model)
        words = ["taskset", request.mask] if request.mask else []
        words += [self._remote, *self._flags(request, model)]
        # Some of these print on stderr, and a phone without shell_v2 mixes the two anyway.
        done = device.script(
            f"cd {quote(self._scratch)} || exit 90\nrm -f result.pb\n{' '.join(map(quote, words))} 2>&1\nrc=$?\n"
            f"echo {_END}\n[ -f result.pb ] && od -An -v -tx1 result.pb\nexit $rc",
            timeout_s=request.timeout_s,
            check=False,
        )
        text, _, result = done.stdout.partition(f"{_END}\n")
        if done.returncode != 0:
            said = " | ".join(text.strip().splitlines()[-5:])[-800:]
            raise RunnerError(
                f"{self.name} ended with {done.returncode} on {device.serial} for {request.model.name} and said: "
                f"{said or done.stderr.strip() or 'nothing'}"
            )
        return self._read(text, result, request).result(self)

    def stop(self, device: Device) -> None:
        """Ends a run that a lost connection left behind."""
        if self._remote:
            device.script(f"pkill -9 -f {quote('^' + self._remote)}\ntrue", check=False, retry=True)

    def _flags(self, request: RunRequest, model: str) -> list[str]:
        flags = [*common_flags(request, model), "--use_xnnpack=true"]
        if request.delegate != "cpu":
            flags += [f"--use_{request.delegate}=true", "--require_full_delegation=true"]
        if self._profile_ops:
            flags.append("--enable_op_profiling=true")
        return flags

    def _read(self, text: str, result: str, request: RunRequest) -> ToolOutput:
        return parse_classic(text, delegate=request.delegate, program=self.name)


class LiteRtBenchmarkModelRunner(BenchmarkModelRunner):
    """LiteRT's program, whose percentiles are in its result file only."""

    name = "litert_benchmark_model"
    delegates = ("cpu", "gpu", "npu")

    def _flags(self, request: RunRequest, model: str) -> list[str]:
        flags = [*common_flags(request, model), "--result_file_path=result.pb"]
        if request.delegate != "cpu":
            flags += [f"--use_{request.delegate}=true", "--use_cpu=false", "--require_full_delegation=true"]
        return flags

    def _read(self, text: str, result: str, request: RunRequest) -> ToolOutput:
        output = parse_litert(text, delegate=request.delegate, program=self.name)
        digits = re.sub(r"\s", "", result)
        if not re.fullmatch(r"(?:[0-9a-f]{2})+", digits):
            raise RunnerError(f"{self.name} wrote no result file, which holds the percentiles.")
        latency = latency_ms(bytes.fromhex(digits))
        if abs(latency.get("avg", 0.0) * 1000 - output.summary.mean_us) > 10:  # It prints two decimals of a ms.
            raise RunnerError(
                f"{self.name} prints a mean of {output.summary.mean_us / 1000:.2f} ms and wrote "
                f"{latency.get('avg', 0.0):.2f} ms to its result file: they are of different runs."
            )
        exact: dict[str, Any] = {
            f"{name}_us": latency[name] * 1000
            for name in ("min", "max", "std", "median", "p5", "p95")
            if name in latency
        }
        summary = dataclasses.replace(output.summary, mean_us=latency["avg"] * 1000, **exact)
        return dataclasses.replace(output, summary=summary)


def common_flags(request: RunRequest, model: str) -> list[str]:
    """The flags both programs know. `num_runs` is a minimum that `min_secs` extends, as ours are."""
    return [
        f"--graph={model}",
        f"--num_threads={request.num_threads}",
        f"--num_runs={request.min_samples}",
        f"--min_secs={request.min_seconds:g}",
        f"--max_secs={_MAX_SECONDS}",
        f"--warmup_runs={max(request.warmup_runs, 1)}",
        "--warmup_min_secs=0",
    ]
