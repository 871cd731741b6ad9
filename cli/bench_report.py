"""`blazeport bench report`: many records as one page."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .artifacts import command_line

if TYPE_CHECKING:
    from ..benchmarks.report.model_files import AccuracyFigure, ModelFile
    from ..convert.manifest import Manifest


@click.command()
@click.argument("results", metavar="RESULTS...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--models",
    "folders",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the measured files' manifests, and of `evaluate quantized --html` pages; may be repeated.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The page.",
)
def report(results: tuple[Path, ...], folders: tuple[Path, ...], output: Path) -> None:
    """Show records as one HTML page that needs no network.

    RESULTS are record files, or folders of them with subfolders. Manifests in --models add networks, heads, sizes and
    accuracy to the records of the same files; worst cases come from the pages of `evaluate quantized --html`.

    \b
    Example:
      blazeport bench report results/phones --models build/export -o report.html
    """
    from ..benchmarks.report.page import write_report
    from ..benchmarks.report.pictures import find_cases
    from ..benchmarks.report.results import read_results
    from ..errors import InputError
    from .android_options import printable

    try:
        found = read_results(results)
    except InputError as error:
        raise InputError(printable(str(error))) from error
    files, problems = _files(folders)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    written = write_report(
        found,
        output,
        files=files,
        heads_label=_heads_label,
        cases=find_cases(folders),
        problems=problems,
        made={"made": now, "command": command_line(), "python": platform.python_version()},
    )
    for sentence in written.problems:
        click.echo(printable(f"! Not in the report: {sentence}"), err=True)
    manifests = f", {written.matched} with the manifest of their file" if folders else ""
    click.echo(f"{output}: {written.records} records{manifests}, {written.size_bytes / 1e6:.1f} MB")


def _files(folders: Sequence[Path]) -> tuple[dict[str, ModelFile], list[str]]:
    """The manifests of some folders by the sha256 of their files, and a sentence about each that cannot be read."""
    from ..convert.manifest import read_manifest
    from ..errors import InputError

    files: dict[str, ModelFile] = {}
    problems = []
    for path in sorted({path for folder in folders for path in folder.glob("*.json") if path.name[0] != "."}):
        try:
            manifest = read_manifest(path)
            files[manifest.sha256] = _model_file(manifest)
        except InputError as error:
            # Other JSON lies there too, such as latency.json; a manifest has the name of its file.
            if path.with_suffix(".tflite").exists():
                problems.append(str(error))
        except (AttributeError, TypeError, ValueError, KeyError, ArithmeticError) as error:
            problems.append(f"{path} is a manifest with values that cannot be shown ({type(error).__name__}: {error}).")
    return files, problems


def _model_file(manifest: Manifest) -> ModelFile:
    from ..benchmarks.report.model_files import ModelFile

    calibration = manifest.calibration
    provenance = {
        "weights": f"{manifest.weights.file}, sha256 {manifest.weights.sha256}, by {manifest.weights.author}",
        "licence": manifest.weights.licence,
        "quantized": f"by {manifest.method}" if manifest.method else "",
        "calibrated on": f"{len(calibration.media)} photos and clips, sha256 {calibration.sha256}"
        if calibration
        else "",
        "command": manifest.command,
        "tools": ", ".join(f"{name} {version}" for name, version in manifest.tools.items()),
    }
    return ModelFile(
        file=str(manifest.file),
        sha256=str(manifest.sha256),
        size_bytes=int(manifest.size_bytes),
        variant=str(manifest.variant),
        heads=_heads_label(manifest.variant, manifest.heads),
        precision=str(manifest.precision),
        macs=int(manifest.macs),
        ops=int(manifest.ops),
        int8_mac_share=float(manifest.int8_mac_share),
        exact=manifest.parity.exact,
        parity={output.name: float(output.relative) for output in manifest.parity.outputs},
        accuracy=_accuracy(manifest.accuracy) if manifest.accuracy else (),
        provenance={name: text for name, text in provenance.items() if text},
    )


def _accuracy(record: dict[str, Any]) -> list[AccuracyFigure]:
    """The figures over photos; over clips where there were no photos."""
    from ..benchmarks.report.model_files import AccuracyFigure
    from ..quantize.detector_errors import FACE_FIGURES, PERSON_FIGURES
    from ..quantize.landmark_errors import LANDMARK_FIGURES

    noun = "photos" if record["photos"] else "clips"
    group = record[noun]
    samples, media = group["samples"], group["media"]
    over = f"{media} {noun}" if samples == media else f"{samples} samples from {media} {noun}"
    figures = []
    for name, meaning in {**LANDMARK_FIGURES, **PERSON_FIGURES, **FACE_FIGURES}.items():
        if name not in group["candidate"]:
            continue
        figure = group["candidate"][name]
        share = name.endswith("_percent") and "%" not in meaning.title
        figures.append(
            AccuracyFigure(
                title=f"{meaning.title}, %" if share else meaning.title,
                sentence=meaning.sentence,
                decimals=meaning.decimals,
                **{key: _number(figure.get(key)) for key in ("value", "low", "high")},
                noise=_number(group["noise"].get(name, {}).get("value")),
                shift=_number(group["shift"].get(name, {}).get("value")),
                over=over,
                smaller_is_better=name not in _LARGER_IS_BETTER,
            )
        )
    return figures


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


_LARGER_IS_BETTER = {"iou", "within_torso_percent", "presence_kept_percent", "visibility_agreement_percent"}


def _heads_label(variant: str | None, heads: tuple[str, ...]) -> str:
    from ..models.config import VARIANTS, heads_label

    if variant in VARIANTS:
        return heads_label(VARIANTS[variant], tuple(heads))
    return "+".join(map(str, heads))
