"""`blazeport doctor`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import print_json

if TYPE_CHECKING:
    from ..quantize.doctor import Diagnosis, Finding

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}
_NAME_CHARS = 60


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    help="A folder of your photos or videos to run it on; a few demo photos by default.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["info", "warning", "error"]),
    default="error",
    show_default=True,
    help="Exit with 1 on a finding of this severity or a worse one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, file: Path, inputs: Path | None, fail_on: str, as_json: bool) -> None:
    """Examine any .tflite FILE: what will break, where, and what to do, before it breaks.

    Looks at output ranges, weights, scales, shapes, names, and at what each delegate takes. A network that blazeport
    knows is also run on photos.

    \b
    Example:
      blazeport doctor face.int8.tflite --inputs photos/
      blazeport doctor model.tflite --json --fail-on warning
    """
    from ..convert.inputs import find_media
    from ..quantize.doctor import doctor as examine

    diagnosis = examine(file, media=None if inputs is None else find_media(inputs))
    if as_json:
        print_json(diagnosis.to_dict())
    else:
        _print(diagnosis)
    if diagnosis.at_least(fail_on):
        context.exit(1)


def _print(diagnosis: Diagnosis) -> None:
    run = f"run on {diagnosis.num_inputs} inputs" if diagnosis.num_inputs else "not run"
    network = (
        f"has the shapes of {', '.join(diagnosis.variants)}" if diagnosis.variants else "none of blazeport's networks"
    )
    click.echo(f"{diagnosis.file}: {network}; {run}")
    for severity in ("error", "warning", "info"):
        findings = [finding for finding in diagnosis.findings if finding.severity.name.lower() == severity]
        if findings:
            plural = "s" if len(findings) > 1 and severity != "info" else ""
            click.secho(f"\n{len(findings)} {severity}{plural}", fg=_COLOURS[severity], bold=True)
        for position, finding in enumerate(findings):
            _print_finding(finding, follows=position > 0 and findings[position - 1].code == finding.code)
    if not diagnosis.findings:
        click.secho("Nothing found.", fg="green")


def _print_finding(finding: Finding, *, follows: bool) -> None:
    """Findings of one code that follow each other share what it means and what to do, said once before them."""
    from ..quantize.patient import WHOLE_FILE

    if not follows:
        click.secho(f"  {finding.code}", bold=True, nl=False)
        click.echo(f": {_wrapped(finding.why, 4 + len(finding.code))}")
        click.echo(f"    do: {_wrapped(finding.do, 8)}")
    click.echo(f"    - {_wrapped(finding.what, 6)}")
    if finding.where != WHOLE_FILE:
        click.echo(f"      at {_name(finding.where)}")


def _wrapped(text: str, indent: int) -> str:
    lines = textwrap.wrap(_printable(text), width=110 - min(indent, 8), break_long_words=False)
    return f"\n{' ' * 6}".join(lines)


def _name(name: str) -> str:
    """Names that converters joined from many operators, cut to the first of each."""
    parts = (part.split(";")[0] for part in _printable(name).split(", "))
    return ", ".join(part if len(part) <= _NAME_CHARS else f"…{part[1 - _NAME_CHARS :]}" for part in parts)


def _printable(text: str) -> str:
    """A stranger's file may hold control characters in its names."""
    return "".join(character if character.isprintable() else "?" for character in text)
