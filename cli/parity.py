"""`blazeport parity`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .artifacts import INPUT_RANGE, media_option
from .console import print_json, print_table

if TYPE_CHECKING:
    from ..convert.compare import Comparison

MODEL = click.Path(path_type=Path)


@click.command()
@click.argument("a", type=MODEL)
@click.argument("b", type=MODEL)
@media_option("--inputs", "Photos or videos; the demo photos by default.")
@click.option("--limit", type=click.IntRange(2), default=40, show_default=True, help="At most so many inputs.")
@click.option(
    "--input-range", type=INPUT_RANGE, help="Values that pixel 0 and 255 become, for other networks than ours."
)
@click.option("--tolerance", type=click.FloatRange(0), help="Difference allowed, as a share of each output's range.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def parity(
    a: Path,
    b: Path,
    inputs: Path | None,
    limit: int,
    input_range: tuple[float, float] | None,
    tolerance: float | None,
    as_json: bool,
) -> None:
    """Compare two models of the same network, output by output, on the same inputs.

    A and B are .tflite, .onnx or .keras files or SavedModel folders; B is judged against A. Images are made of photos
    as the network would see them; a network that takes no image gets seeded noise. Without --tolerance, an output of
    blazeport's networks may differ by what two float runtimes do, of another network by 0.001 of its range. Exit code 1
    means that an output differs by more.

    \b
    Example:
      blazeport parity lite.fp32.tflite lite.onnx
      blazeport parity lite.fp32.tflite lite.int8.tflite --tolerance 0.2 --inputs photos/
    """
    from ..convert.compare import compare, comparison_inputs
    from ..convert.inputs import find_media
    from ..convert.model_file import open_model

    reference, candidate = open_model(a), open_model(b)
    media = find_media(inputs) if inputs else None
    values = comparison_inputs(reference, media, limit, input_range=input_range or (0.0, 1.0))
    comparison = compare(reference, candidate, values, tolerance=tolerance)
    if as_json:
        print_json(_record(comparison, b))
    else:
        _print(comparison)
        verdict = "is the same network" if comparison.passed else "differs"
        click.echo(f"{b.name} {verdict}, against {a.name} on {comparison.parity.inputs} inputs.")
    if not comparison.passed:
        raise click.exceptions.Exit(1)


def _record(comparison: Comparison, candidate: Path) -> dict[str, object]:
    return {
        "reference": comparison.parity.reference,
        "candidate": candidate.name,
        "inputs": comparison.parity.inputs,
        "outputs": [
            dataclasses.asdict(output)
            | {"budget": dataclasses.asdict(comparison.budgets[output.name]), "passed": comparison.passes(output.name)}
            for output in comparison.parity.outputs
        ],
        "left_out": comparison.left_out,
        "passed": comparison.passed,
    }


def _print(comparison: Comparison) -> None:
    print_table(
        ("output", "largest", "mean", "largest / range", "allowed", "verdict"),
        (
            (
                output.name,
                f"{output.max_abs:.3g}",
                f"{output.mean_abs:.3g}",
                f"{output.relative:.3g}",
                _allowed(comparison, output.name),
                "same" if comparison.passes(output.name) else "differs",
            )
            for output in comparison.parity.outputs
        ),
        right=("largest", "mean", "largest / range", "allowed"),
    )
    if comparison.left_out:
        click.echo(f"Not compared, since only one has them: {', '.join(comparison.left_out)}.", err=True)


def _allowed(comparison: Comparison, name: str) -> str:
    budget = comparison.budgets[name]
    words = {"max_abs": "", "relative": " of range", "mean_relative": " of range, mean"}
    return f"{budget.limit:g}{words[budget.metric]}"
