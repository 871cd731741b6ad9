"""`blazeport export`: what `make export` runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .artifacts import command_line, media_option, print_manifests
from .console import print_json

if TYPE_CHECKING:
    from ..benchmarks.latency import LatencyCache, Ratio
    from ..quantize.export import Exported, ExportPlan


@click.command()
@click.option("--variants", help="Variants joined with commas; all seven by default.")
@click.option("--heads", help="Heads of the landmark networks joined with commas; all,landmarks by default.")
@click.option("--precisions", help="Precisions joined with commas; fp32,fp16,int8 by default.")
@media_option("--calibration", "Your photos or videos for int8; stored ranges by default.")
@media_option(
    "--evaluate", "Measure quantized files at their task on photos of DIR: figures in the manifests, one page."
)
@click.option("--latency/--no-latency", default=True, show_default=True, help="Measure time against the official file.")
@click.option(
    "--to",
    "target",
    type=click.Choice(["tflite", "onnx"]),
    default="tflite",
    show_default=True,
    help="Format; ONNX files are fp32.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifests and time ratios as JSON.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/export"),
    show_default=True,
    help="Folder for the files.",
)
def export(
    variants: str | None,
    heads: str | None,
    precisions: str | None,
    calibration: Path | None,
    evaluate: Path | None,
    latency: bool,
    target: str,
    as_json: bool,
    out: Path,
) -> None:
    """Write TFLite or ONNX files and manifests for many variants and precisions; only what changed is built again.

    With --evaluate, two thirds of DIR, by the hash of each file, are measured on and never calibrated on. The figures
    go into the manifests and into accuracy.html.

    \b
    Example:
      blazeport export -o build/export
      blazeport export --variants pose_landmark_lite --heads tracking --precisions fp16,int8 --calibration photos/
      blazeport export --to onnx --variants pose_landmark_lite
    """
    from ..benchmarks.latency import LatencyCache
    from ..errors import ConfigError
    from ..quantize.export import ExportPlan
    from ..quantize.export import export as run_export

    given = {"variants": variants, "heads": heads, "precisions": precisions}
    chosen = {name: tuple(re.split(r"[,\s]+", value.strip(", "))) for name, value in given.items() if value}
    plan = ExportPlan(**chosen, calibration=calibration, evaluation=evaluate)
    if target == "onnx":
        if precisions or calibration or evaluate:
            raise ConfigError("ONNX files are fp32: --precisions, --calibration and --evaluate go with --to tflite.")
        _export_onnx(plan, out, as_json=as_json)
        return
    artifacts = []
    for artifact in run_export(plan, out, command=command_line()):
        click.echo(f"{'wrote' if artifact.rebuilt else 'up to date'}  {artifact.path}", err=True)
        artifacts.append(artifact)
    cache = LatencyCache(out / "latency.json")
    if latency:
        _measure(artifacts, cache)
    if as_json:
        print_json([_record(artifact, cache) for artifact in artifacts])
        return
    print_manifests(
        ((artifact.manifest, _ratio(artifact, cache)) for artifact in artifacts),
        with_latency=latency,
    )


def _export_onnx(plan: ExportPlan, out: Path, *, as_json: bool) -> None:
    from ..convert.interchange import export_onnx

    manifests = []
    for variant in plan.variants:
        for path, manifest, rebuilt in export_onnx(variant, plan.heads_of(variant), out, command=command_line()):
            click.echo(f"{'wrote' if rebuilt else 'up to date'}  {path}", err=True)
            manifests.append(manifest)
    if as_json:
        print_json([dataclasses.asdict(manifest) for manifest in manifests])
        return
    print_manifests(((manifest, None) for manifest in manifests), with_latency=False)


def _record(artifact: Exported, cache: LatencyCache) -> dict[str, Any]:
    ratio = _ratio(artifact, cache)
    return dataclasses.asdict(artifact.manifest) | {"time_to_official": ratio and dataclasses.asdict(ratio)}


def _measure(artifacts: list[Exported], cache: LatencyCache) -> None:
    """Measures the artifacts that have no ratio yet, each variant's beside its official file.

    int16x8 is left out: CPUs run it by reference kernels, some twenty times slower. That tells nothing of accelerators.
    """
    from ..benchmarks.latency import measure_latencies

    groups: dict[Path, list[Exported]] = {}
    for artifact in artifacts:
        if artifact.manifest.precision != "int16x8" and _ratio(artifact, cache) is None:
            groups.setdefault(artifact.official, []).append(artifact)
    for official, group in groups.items():
        baseline, *others = measure_latencies([official, *(artifact.path for artifact in group)])
        for latencies in others:
            cache.add(latencies, baseline)


def _ratio(artifact: Exported, cache: LatencyCache) -> Ratio | None:
    return cache.get(artifact.manifest.sha256, artifact.manifest.weights.sha256)
