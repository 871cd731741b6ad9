"""Where the time of a network goes: by operator, and by head.

Operators are timed by LiteRT's own profiler, as the delegate runs them. What a head costs is not their sum, because
heads share operators: the file is measured without each head, and with each head alone, in turns with the whole.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..convert.flatbuffer import pack, set_signature
from ..errors import BlazeportError, ConfigError
from ..runtime.interpreter import Model
from . import op_worker
from .compare import Comparison, compare
from .host import HostOptions, measure_host
from .records import OpRecord

DEFAULT_RUNS = 50


@dataclass(frozen=True, kw_only=True)
class KindShare:
    """All operators of one kind.

    Attributes:
        kind: as the delegate names it, with layout, type and algorithm.
        count: operators.
        mean_us: of all of them together, per inference.
        share: of the sum over all kinds, in [0, 1].
    """

    kind: str
    count: int
    mean_us: float
    share: float


@dataclass(frozen=True, kw_only=True)
class HeadCost:
    """What one head costs.

    Attributes:
        head: its name.
        without: the file without it, compared with the whole; None when it is the only one.
        alone: the file with nothing else, compared with the whole.
    """

    head: str
    without: Comparison | None
    alone: Comparison


def profile(path: Path, *, num_threads: int = 1, runs: int = DEFAULT_RUNS) -> list[OpRecord]:
    """Times each operator.

    Args:
        path: a .tflite file.
        num_threads: CPU threads.
        runs: inferences, after a few that do not count.
    Returns:
        One record per operator in the order they run; its name is its number. Times have a resolution of 1 us.
    Raises:
        InputError: the file cannot be run.
        BlazeportError: this LiteRT gives no profile.
    """
    if runs < 1:
        raise ConfigError(f"runs must be at least 1. Received: {runs}.")
    Model(path, num_threads=num_threads).close()  # What cannot be run is told apart from what cannot be profiled.
    command = [sys.executable, "-m", op_worker.__name__, str(path), str(num_threads), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        events = json.loads(done.stdout)["events"]
        tags = [tag for tag, _ in events[0]]
        if not tags or any([tag for tag, _ in run] != tags for run in events):
            raise ValueError("no operator was timed, or not the same ones in each run")
    except (ValueError, KeyError, IndexError) as error:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise BlazeportError(
            f"LiteRT gave no profile of {path} ({said}). Profiles were tested with ai-edge-litert 2.3 on Linux."
        ) from error
    times = np.array([[time for _, time in run] for run in events], np.float64)
    return [
        OpRecord(kind=kind, name=str(number), mean_us=float(mean), calls=1)
        for number, (kind, mean) in enumerate(zip(tags, times.mean(axis=0), strict=True))
    ]


def by_kind(ops: Sequence[OpRecord]) -> list[KindShare]:
    """The operators of a profile, added up by kind; the costliest first."""
    times: dict[str, list[float]] = defaultdict(list)
    for op in ops:
        times[op.kind].append(op.mean_us * op.calls)
    total = sum(map(sum, times.values())) or 1.0
    shares = [
        KindShare(kind=kind, count=len(found), mean_us=sum(found), share=sum(found) / total)
        for kind, found in times.items()
    ]
    return sorted(shares, key=lambda each: -each.mean_us)


def head_costs(path: Path, *, num_threads: int = 1, repeats: int = 5, min_seconds: float = 0.3) -> list[HeadCost]:
    """Measures what each head costs: the file without it, and it alone, against the whole file.

    Args:
        path: a .tflite file with one image input.
        num_threads: CPU threads.
        repeats: processes per file.
        min_seconds: seconds per process.
    Returns:
        One entry per head, in the order of the file.
    Raises:
        InputError: the file cannot be run.
    """
    with Model(path) as model:
        heads = tuple(model.outputs)
    kept: dict[str, tuple[str, ...]] = {f"{head} alone": (head,) for head in heads}
    if len(heads) > 1:
        kept |= {f"all but {head}": tuple(other for other in heads if other != head) for head in heads}
    with tempfile.TemporaryDirectory(prefix="blazeport-ops-") as folder:
        # Numbered: what a stranger's network calls an output need not do for a file.
        parts = enumerate(dict.fromkeys(kept.values()))
        files = {wanted: Path(folder) / f"{number}.tflite" for number, wanted in parts}
        for wanted, file in files.items():
            file.write_bytes(keep_heads(path.read_bytes(), heads, wanted))
        options = HostOptions(
            files=(path, *files.values()),
            threads=(num_threads,),
            repeats=repeats,
            min_samples=3,
            min_seconds=min_seconds,
            together=len(files) + 1,
        )
        whole, *records = measure_host(options)
    measured = dict(zip(files, records, strict=True))
    found = {name: compare(whole, measured[wanted], names=("the whole file", name)) for name, wanted in kept.items()}
    return [HeadCost(head=head, without=found.get(f"all but {head}"), alone=found[f"{head} alone"]) for head in heads]


def keep_heads(content: bytes, heads: Sequence[str], kept: Sequence[str]) -> bytes:
    """A .tflite with only some of its outputs, and without the operators that only the others needed.

    Args:
        content: the file.
        heads: names of its outputs, in their order.
        kept: names of those to keep.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]
    outputs = {head: int(tensor) for head, tensor in zip(heads, graph.outputs, strict=True) if head in kept}
    needed = set(outputs.values())
    operators: list[Any] = []
    for operator in reversed(graph.operators):
        if needed.intersection(map(int, operator.outputs)):
            needed.update(map(int, operator.inputs))
            operators.append(operator)
    graph.operators = operators[::-1]
    graph.outputs = np.array(list(outputs.values()), np.int32)
    set_signature(model, {"image": int(graph.inputs[0])}, outputs)
    return pack(model)
