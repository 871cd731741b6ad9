"""What a report shows of the measured files beyond their records: plain data that the caller takes from manifests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class AccuracyFigure:
    """One figure at the task, of a file against the float file of its network.

    Attributes:
        title: short, with the unit.
        sentence: what it is.
        decimals: of the value when it is shown.
        value: None when there was nothing to measure.
        low, high: 95 % interval, where there is one.
        noise: the float file against itself with ±1/255 pixel noise.
        shift: the float file against itself on an input moved by one px.
        over: what it was taken over, e.g. `90 crops from 76 photos`.
        smaller_is_better: else larger is.
    """

    title: str
    sentence: str
    decimals: int
    value: float | None
    low: float | None = None
    high: float | None = None
    noise: float | None = None
    shift: float | None = None
    over: str = ""
    smaller_is_better: bool = True


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file and what its manifest says of it.

    Attributes:
        file: its name.
        sha256: its content; records are matched by it.
        size_bytes: its size.
        variant: the network.
        heads: label of its outputs: `all`, `landmarks`, `boxes+scores` …
        precision: `fp16`, `int8` …
        macs: multiply-accumulates per inference.
        ops: operators that run.
        int8_mac_share: share of the MACs that run in int8, in [0, 1].
        exact: it gives the same bits as its reference.
        parity: output → largest difference from the reference, as a share of the output's range.
        accuracy: the main figure first; empty where none was measured.
        provenance: name → text: weights, licence, command, tools …
    """

    file: str
    sha256: str
    size_bytes: int
    variant: str
    heads: str
    precision: str
    macs: int
    ops: int
    int8_mac_share: float
    exact: bool
    parity: dict[str, float] = field(default_factory=dict)
    accuracy: Sequence[AccuracyFigure] = ()
    provenance: dict[str, str] = field(default_factory=dict)
