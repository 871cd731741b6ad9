"""`blazeport run`: faces or poses in photos."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import click

from .. import progress
from ..errors import BlazeportError, InputError
from ..files import atomic_path

if TYPE_CHECKING:
    import numpy as np

    from ..pipeline.face import FaceResult
    from ..pipeline.pose import PoseResult

FACE_MODELS = {
    "short": "face_detection_short_range",
    "full": "face_detection_full_range_sparse",
    "full-dense": "face_detection_full_range",
}
POSE_MODELS = ("lite", "full", "heavy")


class _Result(Protocol):
    @property
    def timing_ms(self) -> dict[str, float]: ...

    def to_dict(self) -> dict[str, Any]: ...


def photo_options(command: Callable[..., None]) -> Callable[..., None]:
    """INPUT..., -o and --jsonl."""
    inputs = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
    output = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        help="Annotated picture: a file for one photo, a folder for several.",
    )
    jsonl = click.option("--jsonl", metavar="FILE|-", help="Write one JSON line per photo; - is stdout.")
    return inputs(output(jsonl(command)))


@click.group()
def run() -> None:
    """Find faces or poses in photos.

    \b
    Example:
      blazeport run face photo.jpg -o faces.png
    """


@run.command()
@photo_options
@click.option("--model", type=click.Choice(list(FACE_MODELS)), help="Official network.  [default: short]")
@click.option("--file", "model_file", type=click.Path(path_type=Path), help="Any face detector .tflite instead.")
def face(
    inputs: tuple[Path, ...], output: Path | None, jsonl: str | None, model: str | None, model_file: Path | None
) -> None:
    """Find faces: box, six keypoints and score.

    INPUT is any mix of photos and folders of photos.

    \b
    Example:
      blazeport run face photo.jpg -o faces.png
      blazeport run face photos/ --model full --jsonl faces.jsonl
    """
    if model and model_file:
        raise click.UsageError("--model and --file exclude each other.")
    from ..pipeline.draw import draw_faces
    from ..pipeline.face import FaceDetector

    detector = FaceDetector(model_file or _official(FACE_MODELS[model or "short"]))
    _process_photos(inputs, output, jsonl, detector.process, draw_faces, _describe_faces)


@run.command()
@photo_options
@click.option("--model", type=click.Choice(POSE_MODELS), help="Official landmark network.  [default: full]")
@click.option("--landmark-file", type=click.Path(path_type=Path), help="Any landmark network .tflite instead.")
@click.option(
    "--detector-file", type=click.Path(path_type=Path), help="Any pose detector .tflite instead of the official."
)
@click.option("--refine/--no-refine", default=None, help="Refine by the heatmap.  [default: where the file has one]")
@click.option("--heatmap-kernel", type=click.Choice(["7", "9"]), help="Cells per side of the refinement.  [default: 7]")
def pose(
    inputs: tuple[Path, ...],
    output: Path | None,
    jsonl: str | None,
    model: str | None,
    landmark_file: Path | None,
    detector_file: Path | None,
    refine: bool | None,
    heatmap_kernel: str | None,
) -> None:
    """Find a person's 33 landmarks.

    INPUT is any mix of photos and folders of photos.

    \b
    Example:
      blazeport run pose photo.jpg -o pose.png
      blazeport run pose photos/ --landmark-file pose_landmark_lite.landmarks.int8.tflite --jsonl -
    """
    if model and landmark_file:
        raise click.UsageError("--model and --landmark-file exclude each other.")
    if heatmap_kernel and refine is False:
        raise click.UsageError("--heatmap-kernel and --no-refine exclude each other.")
    from ..pipeline.draw import draw_people
    from ..pipeline.pose import PoseLandmarker

    landmarker = PoseLandmarker(
        detector_file or _official("pose_detection"),
        landmark_file or _official(f"pose_landmark_{model or 'full'}"),
        refine=True if heatmap_kernel else refine,
        **({"heatmap_kernel": int(heatmap_kernel)} if heatmap_kernel else {}),
    )
    _process_photos(inputs, output, jsonl, landmarker.process, draw_people, _describe_people)


def _official(variant: str) -> Path:
    from ..weights.fetch import official_file

    return official_file(variant)


def _process_photos(
    inputs: tuple[Path, ...],
    output: Path | None,
    jsonl: str | None,
    process: Callable[[np.ndarray], Any],
    draw: Callable[[np.ndarray, Any], np.ndarray],
    describe: Callable[[Any], str],
) -> None:
    """Processes each photo by itself; one that cannot be read is reported and does not stop the others."""
    from ..pipeline.image import list_photos, read_image, write_image

    photos = list_photos(inputs)
    destinations = _destinations(inputs, photos, output)
    failed = 0
    with _json_lines(jsonl) as stream:
        # Where a line per photo appears on the terminal, that is progress enough.
        shown = photos if len(photos) == 1 or sys.stdout.isatty() else progress.track(photos, "Looking at photos")
        for photo, destination in zip(shown, destinations, strict=True):
            try:
                start = time.perf_counter()
                rgb = read_image(photo)
                decode_ms = (time.perf_counter() - start) * 1e3
                result: _Result = process(rgb)
            except BlazeportError as error:
                if len(photos) == 1:
                    raise
                failed += 1
                click.echo(f"Error: {error}", err=True)
                continue
            if destination:
                write_image(destination, draw(rgb, result))
            if stream:
                record = {"source": str(photo), "frame": 0, "time_us": 0} | result.to_dict()
                record["timing_ms"] = {"decode": decode_ms} | result.timing_ms
                stream.write(json.dumps(record) + "\n")
            if jsonl != "-":
                total_ms = decode_ms + sum(result.timing_ms.values())
                arrow = f" → {destination}" if destination else ""
                click.echo(f"{photo}: {describe(result)}, {total_ms:.1f} ms{arrow}")
    if failed:
        raise InputError(f"{failed} of {len(photos)} photos could not be processed; each is named above.")


def _destinations(inputs: tuple[Path, ...], photos: list[Path], output: Path | None) -> list[Path | None]:
    """Where each photo's annotated picture goes. Nothing is written over a photo or twice."""
    if output is None:
        return [None] * len(photos)
    from ..pipeline.image import READABLE

    is_picture = output.suffix.lower() in READABLE and not output.is_dir()
    if is_picture and (len(photos) > 1 or inputs[0].is_dir()):
        raise click.UsageError(f"-o must be a folder for several photos. Received: {output}.")
    destinations = [output if is_picture else output / photo.name for photo in photos]
    for photo, destination in zip(photos, destinations, strict=True):
        if destination.resolve() == photo.resolve():
            raise click.UsageError(f"-o would write over the photo {photo}. Choose another name or folder.")
    twice = {path.name for path in destinations if destinations.count(path) > 1}
    if twice:
        raise click.UsageError(
            f"Several photos have the same name: {', '.join(sorted(twice))}. Run them one folder at a time."
        )
    return list(destinations)


@contextlib.contextmanager
def _json_lines(target: str | None) -> Iterator[IO[str] | None]:
    if target is None:
        yield None
    elif target == "-":
        yield sys.stdout
    else:
        with atomic_path(Path(target)) as temporary, temporary.open("w", encoding="utf-8") as stream:
            yield stream


def _describe_faces(result: FaceResult) -> str:
    scores = ", ".join(f"{found.score:.2f}" for found in result.faces)
    count = len(result.faces)
    return f"{count} {'face' if count == 1 else 'faces'} ({scores})" if count else "no face"


def _describe_people(result: PoseResult) -> str:
    from ..pipeline.draw import MIN_VISIBILITY

    if not result.people:
        return "no person"
    person = result.people[0]
    visible = int((person.landmarks[:, 3] >= MIN_VISIBILITY).sum())
    return f"1 person (presence {person.presence:.2f}), {visible} of {len(person.landmarks)} landmarks visible"
