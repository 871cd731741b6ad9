"""Benchmark records and manifests made up from a seed: as many as a report should hold, and as odd as they come.

Run by hand it measures a report of 200: `PYTHONPATH=tests python -m testing.played_records FOLDER`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from blazeport.benchmarks.records import (
    BenchmarkRecord,
    MachineRecord,
    Mode,
    ModelRecord,
    RunRecord,
    SettingsRecord,
    SummaryRecord,
    ToolRecord,
)
from blazeport.convert.manifest import CalibrationRecord, Manifest, TensorRecord, WeightsRecord
from blazeport.convert.parity import OutputParity, Parity

POSE = ("landmarks", "presence", "segmentation", "heatmap", "world_landmarks")
# Variant → ms of the official file on one thread, MB in fp32, million MACs.
NETWORKS = {
    "face_detection_short_range": (1.1, 0.42, 31),
    "pose_detection": (5.6, 5.9, 430),
    "pose_landmark_lite": (9.5, 5.5, 198),
    "pose_landmark_full": (16.0, 12.8, 420),
    "pose_landmark_heavy": (61.0, 54.9, 2400),
}
PRECISIONS = {"fp32": (1.0, 1.0), "fp16": (1.0, 0.5), "int8": (0.62, 0.36), "mixed": (0.74, 0.4)}
HEADS = {"all": (1.0, 1.0), "tracking": (0.55, 0.93), "landmarks": (0.52, 0.9)}
MACHINES = (
    ("host", "Test bench CPU (8 threads)", 1.0),
    ("android", "Acme Phone 9", 1.9),
    ("android", "Acme Old 3", 4.1),
)


@dataclasses.dataclass(frozen=True)
class PlayedFile:
    """A file that nobody made."""

    variant: str
    heads: str
    precision: str

    @property
    def name(self) -> str:
        """As `blazeport export` would name it."""
        middle = () if self.heads == "all" else (self.heads,)
        return ".".join([self.variant, *middle, self.precision, "tflite"])

    @property
    def sha256(self) -> str:
        """Of the name."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Plausible."""
        return round(NETWORKS[self.variant][1] * 1e6 * PRECISIONS[self.precision][1] * HEADS[self.heads][1])

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        if not self.variant.startswith("pose_landmark"):
            return ("boxes", "scores")
        return {"all": POSE, "tracking": (*POSE[:2], POSE[4]), "landmarks": POSE[:2]}[self.heads]


def played_files() -> list[PlayedFile]:
    """Every network in every precision, landmark networks with every set of heads."""
    return [
        PlayedFile(variant, heads, precision)
        for variant in NETWORKS
        for heads in (HEADS if variant.startswith("pose_landmark") else ("all",))
        for precision in PRECISIONS
    ]


def manifest_of(file: PlayedFile) -> Manifest:
    """A manifest as `blazeport export --evaluate` writes it."""
    exact = file.precision.startswith("fp")
    noise = np.random.default_rng(int(file.sha256[:8], 16))

    def figure(value: float) -> dict[str, Any]:
        return {"value": value, "n": 90, "count": None, "low": value * 0.9, "high": value * 1.12}

    error = {"int8": 1.9, "mixed": 1.1}.get(file.precision, 0.0) * float(noise.uniform(0.9, 1.3))
    names = {"visible_px": 1.0, "all_px": 1.3, "z_px": 2.2, "presence_flips_percent": 0.4}
    if not file.variant.startswith("pose_landmark"):
        names = {
            "missed_percent": 0.6,
            "extra_percent": 0.9,
            "iou": 0.5,
            "keypoint_percent": 1.2,
            "roi_size_percent": 0.8,
        }
    group = {
        "media": 76,
        "samples": 90,
        "candidate": {name: figure(error * factor) for name, factor in names.items()},
        "noise": {name: figure(0.2 * factor) for name, factor in names.items()},
        "shift": {name: figure(0.5 * factor) for name, factor in names.items()},
    }
    return Manifest(
        file=file.name,
        variant=file.variant,
        heads=file.outputs,
        precision=file.precision,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        input=TensorRecord(name="image", shape=(1, 256, 256, 3), dtype="float32", meaning="RGB in [0, 1]"),
        outputs=tuple(TensorRecord(name=name, shape=(1, 1), dtype="float32", meaning="-") for name in file.outputs),
        ops=93,
        params=1_000_000,
        macs=round(NETWORKS[file.variant][2] * 1e6 * HEADS[file.heads][0]),
        int8_mac_share=0.0 if exact else 1.0,
        weights=WeightsRecord(
            file=f"{file.variant}.tflite",
            sha256="w" * 64,
            official=True,
            licence="Apache-2.0",
            author="MediaPipe",
            paper="-",
        ),
        calibration=None
        if exact
        else CalibrationRecord(media=("a.jpg",), sha256="c" * 64, views=1, limit=1, seed=0, demo=False),
        method=None if exact else "blazeport",
        recipe=None,
        parity=Parity(
            reference="Keras",
            inputs=4,
            outputs=tuple(
                OutputParity(
                    name=name,
                    max_abs=error,
                    mean_abs=error / 4,
                    reference_range=100.0,
                    relative=error / 100,
                    mean_relative=error / 400,
                    finite=True,
                    constant=False,
                )
                for name in file.outputs
            ),
        ),
        fingerprint="f" * 64,
        tools={"python": "3.11.0"},
        command="blazeport export",
        accuracy=None if exact else {"photos": group, "clips": None},
    )


def played_record(
    file: PlayedFile,
    machine: tuple[str, str, float] = MACHINES[0],
    *,
    threads: int = 1,
    delegate: str = "cpu",
    mode: Mode = "repeats",
    synthetic: bool = False,
    samples: int = 200,
    with_samples: bool = True,
) -> BenchmarkRecord:
    """A record whose latency is about what the file's would be."""
    kind, name, slowness = machine
    chance = np.random.default_rng(
        int(hashlib.sha256(f"{file}{machine}{threads}{delegate}{mode}".encode()).hexdigest()[:8], 16)
    )
    level = NETWORKS[file.variant][0] * 1000 * slowness * PRECISIONS[file.precision][0] * HEADS[file.heads][0]
    level *= {"cpu": 1.0, "gpu": 0.6}[delegate] / threads**0.7
    runs = 60 if mode == "sustained" else 5
    made = [
        _run(chance, number, runs, level, mode, kind, samples if mode == "repeats" else 25) for number in range(runs)
    ]
    if not with_samples:
        made = [dataclasses.replace(run, samples_us=(), summary=_summary(run)) for run in made]
    return BenchmarkRecord(
        model=ModelRecord(
            file=file.name,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            variant=file.variant,
            heads=file.outputs,
            precision=file.precision,
        ),
        machine=MachineRecord(
            kind="host" if kind == "host" else "android",
            id=hashlib.sha256(name.encode()).hexdigest()[:16],
            name=name,
            facts={"cores": 8, "governor": "schedutil", "flags": ["avx2", "fma"], "android": {"sdk": 35}},
            settings={} if kind == "host" else {"fixed_performance_mode": "on"},
        ),
        settings=SettingsRecord(
            num_threads=threads,
            delegate=delegate,
            min_samples=100,
            min_seconds=1.0,
            warmup_runs=5,
            repeats=runs,
            inputs_sha256="a" * 64 if chance.random() < 0.7 else None,
            mode=mode,
        ),
        tool=ToolRecord(
            name="native", version="2.3.0", sha256="b" * 64, context="process" if kind == "host" else "shell"
        ),
        delegate_applied={"cpu": "xnnpack", "gpu": "gpu"}[delegate],
        synthetic=synthetic,
        runs=tuple(made),
    )


def played_records(count: int = 200) -> Iterator[BenchmarkRecord]:
    """Different records: all files on all machines, some sustained, some without samples, the last tenth synthetic."""
    made = 0
    for threads, delegate in ((1, "cpu"), (4, "cpu"), (1, "gpu")):
        for file in played_files():
            for machine in MACHINES:
                if made == count:
                    return
                sustained = machine[0] == "android" and file.precision == "fp16" and made % 7 == 0
                yield played_record(
                    file,
                    machine,
                    threads=threads,
                    delegate=delegate,
                    mode="sustained" if sustained else "repeats",
                    synthetic=made >= count * 0.9,
                    with_samples=made % 23 != 5,
                )
                made += 1


def write_played(folder: Path, count: int = 200) -> None:
    """Writes records into `folder/results` and manifests into `folder/models`."""
    for number, record in enumerate(played_records(count)):
        record.write(folder / "results" / f"{number:03d}.json")
    for file in played_files():
        manifest_of(file).write(folder / "models" / f"{Path(file.name).stem}.json")


def _run(
    chance: np.random.Generator, number: int, runs: int, level: float, mode: str, kind: str, samples: int
) -> RunRecord:
    warm = number / runs if mode == "sustained" else 0.0
    hot = mode == "sustained" and warm > 0.45
    level = level * chance.normal(1, 0.006) * (1.35 if hot else 1.0)
    times = level * (
        1 + chance.gamma(1.2, 0.02, samples) + (chance.random(samples) < 0.02) * chance.uniform(0.2, 0.6, samples)
    )
    celsius = None if kind == "host" else 29 + 14 * (1 - float(np.exp(-4 * warm)))
    return RunRecord(
        number=number,
        session="a",
        started=f"2026-01-01T00:{number:02d}:00+00:00",
        seconds=number * 20.0,
        init_us=level * 3,
        first_us=level * 1.8,
        warmup_us=(level * 1.2,),
        samples_us=tuple(np.round(times, 2).tolist()),
        peak_rss_bytes=int(4e7 + level * 900),
        celsius_before=celsius,
        celsius_after=celsius,
        throttled=hot and warm > 0.5,
    )


def _summary(run: RunRecord) -> SummaryRecord:
    samples = np.array(run.samples_us)
    low, middle, high = np.percentile(samples, (5, 50, 95))
    return SummaryRecord(
        count=len(samples), mean_us=float(samples.mean()), median_us=float(middle), p5_us=float(low), p95_us=float(high)
    )


if __name__ == "__main__":
    write_played(Path(sys.argv[1]))
