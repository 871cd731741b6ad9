"""`blazeport bench routes`: the two ways to a .tflite file, side by side."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .artifacts import media_option
from .console import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..convert.manifest import Manifest

_FLOATS = ("fp32", "fp16")
_SHOWN = {"missed_percent": "missed", "extra_percent": "extra", "visible_px": "px"}
_COLUMNS = ("network", "ops", "TRANSPOSE", "fp16 bytes", "size", "time, fp32", "time, fp16", "parity")
_INT8_COLUMNS = ("direct int8", "onnx2tf, blazeport's int8", "onnx2tf's int8")


@dataclass(frozen=True, kw_only=True)
class RouteRecord:
    """One network by both ways; the direct files are dense.

    Attributes:
        variant: the network, all heads.
        ops: operators that run, direct and by onnx2tf.
        transposes: TRANSPOSE operators in the file by onnx2tf.
        fp16_bytes: direct and by onnx2tf.
        time_ratios: precision → time of the file by onnx2tf over the direct one: median, and the middle half of rounds.
        differences: precision → output → largest difference from the official file, and its share of the range.
        int8: way → figure → value on photos that were not calibrated on; None where it was not measured.
    """

    variant: str
    ops: tuple[int, int]
    transposes: int
    fp16_bytes: tuple[int, int]
    time_ratios: dict[str, tuple[float, float, float]]
    differences: dict[str, dict[str, tuple[float, float]]]
    int8: dict[str, dict[str, float]] | None


@click.command()
@click.argument("variants", metavar="[VARIANT]...", nargs=-1)
@media_option("--int8", "Also int8: calibrated on one part of the photos of DIR, measured on the other.")
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="Interleaved rounds.")
@click.option(
    "--records", type=click.Path(path_type=Path), help="Keep the records in this JSON file, and go on from it."
)
@click.option("--docs", type=click.Path(path_type=Path), help="Write the table into this page, between its marks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def routes(
    variants: tuple[str, ...], int8: Path | None, rounds: int, records: Path | None, docs: Path | None, as_json: bool
) -> None:
    """Compare Keras → TFLite with Keras → ONNX → onnx2tf → TFLite: operators, bytes, time, parity, int8.

    All seven networks with all heads, or those that are named. Times are measured interleaved, one thread.

    \b
    Example:
      blazeport bench routes face_detection_short_range
      blazeport bench routes --int8 photos/ --docs docs/interop.md
    """
    from ..errors import InputError
    from ..files import write_atomic
    from ..models.config import VARIANTS, get_config

    names = [get_config(variant).name for variant in variants or VARIANTS]
    if docs is not None and not re.search(_mark(), docs.read_text() if docs.is_file() else "", re.DOTALL):
        raise InputError(
            f"{docs} has no place for the table: <!-- routes --> and <!-- /routes --> on lines of their own."
        )
    known = json.loads(records.read_text()) if records and records.is_file() else {}
    for name in names:
        missing = name not in known
        if missing:
            known[name] = dataclasses.asdict(_compare(name, rounds))
        if int8 is not None and known[name]["int8"] is None:
            known[name]["int8"], missing = _int8(name, int8), True
        if records and missing:
            write_atomic(records, json.dumps(known, indent=2) + "\n")
    chosen = [RouteRecord(**known[name]) for name in names]
    columns, rows = _table(chosen)
    if docs is not None:
        lines = ["| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows)]
        table = "<!-- routes -->\n" + "\n".join(lines) + "\n<!-- /routes -->"
        write_atomic(docs, re.sub(_mark(), lambda _: table, docs.read_text(), flags=re.DOTALL))
    if as_json:
        print_json([dataclasses.asdict(record) for record in chosen])
    else:
        print_table(columns, rows, right=columns[1:7])


def _mark() -> str:
    return r"<!-- routes -->\n.*?<!-- /routes -->"


def _compare(variant: str, rounds: int) -> RouteRecord:
    from ..benchmarks.latency import measure_latencies, ratio_of
    from ..convert.artifact import ArtifactWriter
    from ..convert.interchange import Interchange
    from ..convert.source import open_source
    from ..weights.reader import read_tflite

    source = open_source(variant)
    dense = dataclasses.replace(source, config=dataclasses.replace(source.config, sparse=False))
    heads = source.config.head_names
    direct, by_onnx2tf = ArtifactWriter(dense), Interchange(source)
    with tempfile.TemporaryDirectory(prefix="blazeport-") as name:
        folder = Path(name)
        manifests: dict[tuple[str, str], Manifest] = {}
        ratios: dict[str, tuple[float, float, float]] = {}
        for precision in _FLOATS:
            paths = {way: folder / f"{variant}.{way}.{precision}.tflite" for way in ("direct", "onnx2tf")}
            manifests["direct", precision] = direct.write(paths["direct"], heads, precision)
            manifests["onnx2tf", precision] = by_onnx2tf.write_tflite(paths["onnx2tf"], heads, precision)
            baseline, candidate = measure_latencies(list(paths.values()), rounds=rounds)
            ratio = ratio_of(candidate, baseline)
            ratios[precision] = (ratio.median, ratio.low, ratio.high)
        kinds = [op.kind for op in read_tflite(folder / f"{variant}.onnx2tf.fp16.tflite").ops]
        return RouteRecord(
            variant=variant,
            ops=(manifests["direct", "fp16"].ops, manifests["onnx2tf", "fp16"].ops),
            transposes=kinds.count("TRANSPOSE"),
            fp16_bytes=(manifests["direct", "fp16"].size_bytes, manifests["onnx2tf", "fp16"].size_bytes),
            time_ratios=ratios,
            differences={
                precision: {
                    output.name: (output.max_abs, output.relative)
                    for output in manifests["onnx2tf", precision].parity.outputs
                }
                for precision in _FLOATS
            },
            int8=None,
        )


def _int8(variant: str, photos: Path) -> dict[str, dict[str, float]]:
    """Figures of three int8 files that were calibrated on the same photos: direct, and two by onnx2tf."""
    from ..convert.artifact import ArtifactWriter
    from ..convert.inputs import find_media
    from ..convert.interchange import Interchange
    from ..convert.source import open_source
    from ..quantize.calibration import calibration_on
    from ..quantize.evaluate import evaluate
    from ..quantize.onnx2tf import quantize_float_file, samples_for
    from ..quantize.split import split_media

    source = open_source(variant)
    heads, by_onnx2tf = source.config.head_names, Interchange(source)
    split = split_media(find_media(photos))
    calibration = calibration_on(split.calibration)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="blazeport-") as name:
        direct, ours, theirs = (Path(name) / f"{variant}.{number}.int8.tflite" for number in range(3))
        ArtifactWriter(source).write(direct.with_suffix(".float.tflite"), heads, "fp32")
        by_onnx2tf.write_tflite(ours.with_suffix(".float.tflite"), heads, "fp32")
        for path in (direct, ours):
            quantize_float_file(path.with_suffix(".float.tflite"), path, variant, calibration)
        by_onnx2tf.write_tflite(theirs, heads, "int8", **samples_for(None, variant, calibration))
        for way, path in zip(_INT8_COLUMNS, (direct, ours, theirs), strict=True):
            group = evaluate(path, source.path, split.evaluation, side="all").photos
            measured = {} if group is None else group.candidate
            figures[way] = {
                figure: value
                for figure in _SHOWN
                if figure in measured and (value := measured[figure].value) is not None
            }
    return figures


def _table(records: Sequence[RouteRecord]) -> tuple[list[str], list[list[str]]]:
    with_int8 = any(record.int8 for record in records)
    rows = [
        [
            record.variant,
            f"{record.ops[0]} → {record.ops[1]}",
            str(record.transposes),
            f"{record.fp16_bytes[0]:,} → {record.fp16_bytes[1]:,}",
            f"{record.fp16_bytes[1] / record.fp16_bytes[0]:.3f}",
            *("{:.2f} ({:.2f}–{:.2f})".format(*record.time_ratios[precision]) for precision in _FLOATS),
            _difference(record),
            *([_int8_text(record, way) for way in _INT8_COLUMNS] if with_int8 else []),
        ]
        for record in records
    ]
    return [*_COLUMNS, *(_INT8_COLUMNS if with_int8 else ())], rows


def _difference(record: RouteRecord) -> str:
    """`exact`, or the output with the largest share of its range."""
    outputs = [(name, *figures) for by_name in record.differences.values() for name, figures in by_name.items()]
    name, largest, share = max(outputs, key=lambda each: each[2])
    return "exact" if largest == 0 else f"{name} {largest:.2g} ({share:.1g} of its range)"


def _int8_text(record: RouteRecord, way: str) -> str:
    figures = (record.int8 or {}).get(way, {})
    return ", ".join(
        f"{value:.2f} px" if name == "visible_px" else f"{_SHOWN[name]} {value:.1f} %"
        for name, value in figures.items()
    )
