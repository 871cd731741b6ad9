"""`blazeport evaluate quantized`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import print_json, print_table

if TYPE_CHECKING:
    from ..quantize.evaluate import Evaluation, Group, Side

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", metavar="OUT", type=FILE)
@click.option("--against", metavar="FLOAT", type=FILE, required=True, help="The float file of the same network.")
@click.option("--images", metavar="DIR", type=FILE, required=True, help="Your photos and clips.")
@click.option(
    "--side",
    type=click.Choice(["evaluation", "calibration", "all"]),
    default="evaluation",
    show_default=True,
    help="Which photos of DIR.",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many photos, and clips; int16x8 is slow on x86.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", metavar="FILE", type=FILE, help="Write a page with the worst cases as pictures.")
def quantized(
    file: Path, against: Path, images: Path, side: Side, limit: int | None, as_json: bool, page: Path | None
) -> None:
    """Measure a file at its task, against the float file of the same network.

    For detectors: missed and extra detections, overlap, keypoints, regions. For landmark networks: px of the input,
    depth, world, presence, visibility, jitter. Beside each figure stands how much the float file moves by itself, under
    pixel noise and on an input shifted by one px.

    A third of DIR, chosen by the hash of each file, is left aside for calibration; near-duplicates stay together.

    \b
    Example:
      blazeport evaluate quantized lite.int8.tflite --against lite.fp32.tflite --images photos/
      blazeport evaluate quantized face.int8.tflite --against face.fp32.tflite --images photos/ --html face.html
    """
    from ..convert.inputs import find_media
    from ..quantize.evaluate import evaluate

    evaluation = evaluate(file, against, find_media(images), side=side, limit=limit)
    if page:
        from ..quantize.evaluation_page import write_page

        write_page(evaluation, file, against, page)
    if as_json:
        print_json(evaluation.to_dict())
    else:
        for noun, group in (("photos", evaluation.photos), ("clips", evaluation.clips)):
            if group is not None:
                _print_group(evaluation, noun, group)
    if page:
        click.echo(f"Wrote {page}", err=as_json)


def _print_group(evaluation: Evaluation, noun: str, group: Group) -> None:
    from ..models.config import get_config
    from ..quantize.evaluate import figure_meanings, samples_text
    from ..quantize.figures import figure_text

    config = get_config(evaluation.variant)
    click.echo(f"{evaluation.candidate.name} against {evaluation.reference.name}: {samples_text(noun, group, config)}")
    print_table(
        ("", "file", "±1/255 noise", "1 px shift", "n"),
        (
            (
                meaning.title,
                figure_text(group.candidate[name], meaning),
                *(figure_text(each.get(name), meaning, with_interval=False) for each in (group.noise, group.shift)),
                group.candidate[name].n,
            )
            for name, meaning in figure_meanings(config).items()
            if name in group.candidate
        ),
        right=("file", "±1/255 noise", "1 px shift", "n"),
    )
    if group.worst:
        click.echo(f"Worst: {', '.join(case.name for case in group.worst)}")
