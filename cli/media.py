"""Photos, folders, videos and cameras on the command line: what comes in, and where results go."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from .. import progress
from ..errors import BlazeportError, InputError
from ..files import atomic_path

if TYPE_CHECKING:
    import numpy as np

    from ..pipeline.video import Frame, Stream

_RATE_MEMORY = 0.9  # share of the old value in the frame rate that is shown
_NOUNS = {"photo": "photo", "sequence": "folder", "video": "video", "camera": "camera"}


class Result(Protocol):
    """What the pipeline makes of a frame."""

    @property
    def timing_ms(self) -> dict[str, float]:
        """Time spent per step."""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""


@dataclass(frozen=True)
class Source:
    """One input: a photo, or a stream of frames that follow one another.

    Attributes:
        name: as the user wrote it.
        kind: `photo`, `sequence`, `video` or `camera`.
        start: opens it.
        destination: where its annotated picture or video goes, or the folder of its annotated pictures.
        masks: where the mask goes, or the folder of those of a stream.
    """

    name: str
    kind: str
    start: Callable[[], Stream]
    destination: Path | None = None
    masks: Path | None = None


@dataclass
class Tally:
    """What is remembered of a stream: a few numbers, however long it is."""

    frames: int = 0
    frames_with_results: int = 0
    detector_runs: int = 0
    numbers: set[int] = field(default_factory=set)
    total_ms: float = 0.0
    fps: float = 0.0

    def add(self, record: dict[str, Any]) -> None:
        """Counts one frame's record."""
        people = record.get("people", [])
        milliseconds = sum(record["timing_ms"].values())
        rate = 1e3 / max(milliseconds, 1e-3)
        self.fps = _RATE_MEMORY * self.fps + (1 - _RATE_MEMORY) * rate if self.frames else rate
        self.frames += 1
        self.frames_with_results += bool(people or record.get("faces"))
        self.detector_runs += record.get("detector_ran", True)
        self.numbers.update(person["number"] for person in people)
        self.total_ms += milliseconds


@dataclass(frozen=True)
class Task:
    """What to do with frames.

    Attributes:
        begin: gives a source the function that processes its frames in order: RGB and time in µs to a result.
        draw: the annotated picture; with a frame rate, if given.
        describe: a phrase about one result.
        summarize: a phrase about a stream.
        mask: the mask to write, `(height, width)` uint8, of a result on a picture; None: no masks.
        has_video_time: frames of a video have its own times; otherwise MediaPipe's fixed ones.
    """

    begin: Callable[[Source], Callable[[np.ndarray, int], Any]]
    draw: Callable[[np.ndarray, Any, float | None], np.ndarray]
    describe: Callable[[Any], str]
    summarize: Callable[[Tally], str]
    mask: Callable[[np.ndarray, Any], np.ndarray] | None = None
    has_video_time: bool = True


def find_sources(
    inputs: Sequence[str], *, sequence: bool = False, output: Path | None = None, masks: Path | None = None
) -> list[Source]:
    """The inputs in the order given, each with the place of its outputs.

    Args:
        inputs: photos, folders of photos, videos, `camera:N`.
        sequence: a folder's photos are the frames of one stream.
        output: a picture for one photo, an .mp4 file for one stream, a folder for any.
        masks: a folder.
    Raises:
        InputError: an input does not exist, or a folder holds no photo.
        UsageError: an output fits no input, or would be written over an input or twice.
    """
    from ..pipeline.image import list_photos
    from ..pipeline.video import CAMERA, READABLE_VIDEOS, open_camera, open_photos, open_video

    sources: list[Source] = []
    for name in inputs:
        path = Path(name)
        if match := CAMERA.fullmatch(name):
            index = int(match[1])
            sources.append(Source(name, "camera", lambda index=index: open_camera(index)))  # type: ignore[misc]
        elif path.is_dir() and sequence:
            sources.append(Source(name, "sequence", lambda path=path: open_photos(path)))  # type: ignore[misc]
        elif path.suffix.lower() in READABLE_VIDEOS and not path.is_dir():
            sources.append(Source(name, "video", lambda path=path: open_video(path)))  # type: ignore[misc]
        else:
            sources.extend(
                Source(str(photo), "photo", lambda photo=photo: open_photos(photo))  # type: ignore[misc]
                for photo in list_photos([path])
            )
    if sequence and not any(source.kind == "sequence" for source in sources):
        raise click.UsageError("--sequence tracks the photos of a folder, but no INPUT is a folder.")
    is_one = len(sources) == 1 and not (sources[0].kind == "photo" and Path(inputs[0]).is_dir())
    sources = [replace(source, destination=_destination(source, output, is_one)) for source in sources]
    if masks:
        sources = [replace(source, masks=masks / _mask_name(source)) for source in sources]
    _refuse_overwriting(sources)
    return sources


def process_sources(sources: Sequence[Source], task: Task, jsonl: str | None) -> None:
    """Processes source by source; one that cannot be read is reported and does not stop the others.

    Frames processed before a stream broke off, or before Ctrl-C, are kept in all outputs.
    """
    only_photos = all(source.kind == "photo" for source in sources)
    # Where a line per photo appears on the terminal, that is progress enough; a stream shows its own.
    is_tracked = only_photos and len(sources) > 1 and not sys.stdout.isatty()
    failed = 0
    with _json_lines(jsonl) as write_record:
        for source in progress.track(sources, "Looking at photos") if is_tracked else sources:
            try:
                process = _process_photo if source.kind == "photo" else _process_stream
                line = process(source, task, write_record)
            except BlazeportError as error:
                if len(sources) == 1:
                    raise
                failed += 1
                click.echo(f"Error: {error}", err=True)
                continue
            if jsonl != "-":
                arrow = f" → {source.destination}" if source.destination else ""
                click.echo(f"{source.name}: {line}{arrow}")
    if failed:
        what = "photos" if only_photos else "inputs"
        raise InputError(f"{failed} of {len(sources)} {what} could not be processed; each is named above.")


def _process_photo(source: Source, task: Task, write_record: Callable[[dict[str, Any]], None] | None) -> str:
    from ..pipeline.image import write_image

    (frame,) = source.start().frames
    result = task.begin(source)(frame.rgb, 0)
    if source.destination:
        write_image(source.destination, task.draw(frame.rgb, result, None))
    if source.masks and task.mask:
        write_image(source.masks, task.mask(frame.rgb, result))
    record = _record(frame, 0, result)
    if write_record:
        write_record(record)
    return f"{task.describe(result)}, {sum(record['timing_ms'].values()):.1f} ms"


def _process_stream(source: Source, task: Task, write_record: Callable[[dict[str, Any]], None] | None) -> str:
    from ..pipeline.image import write_image
    from ..pipeline.pose import MEDIAPIPE_FRAME_US

    process, tally = task.begin(source), Tally()
    broken: BlazeportError | KeyboardInterrupt | None = None
    stream = source.start()
    with contextlib.closing(stream.frames), _pictures(source, stream.fps) as show:
        try:
            for frame in progress.track(stream.frames, source.name, stream.num_frames):
                keeps_time = task.has_video_time and frame.time_us is not None
                time_us = frame.time_us if keeps_time else (frame.number + 1) * MEDIAPIPE_FRAME_US
                assert time_us is not None
                result = process(frame.rgb, time_us)
                record = _record(frame, time_us, result)
                tally.add(record)
                if write_record:
                    write_record(record)
                if show:
                    show(frame, task.draw(frame.rgb, result, tally.fps))
                if source.masks and task.mask:
                    write_image(source.masks / f"{frame.number:06}.png", task.mask(frame.rgb, result))
        except (BlazeportError, KeyboardInterrupt) as error:
            if not tally.frames:
                raise
            broken = error
    summary = f"{tally.frames} frames, {task.summarize(tally)}, {tally.total_ms / tally.frames:.1f} ms per frame"
    is_stopped_camera = source.kind == "camera" and isinstance(broken, KeyboardInterrupt)
    if broken and not is_stopped_camera:
        click.echo(f"{source.name}: kept {summary}", err=True)
        raise broken
    return summary


def _record(frame: Frame, time_us: int, result: Result) -> dict[str, Any]:
    height, width = frame.rgb.shape[:2]
    origin = {"source": frame.source, "frame": frame.number, "time_us": time_us, "width": width, "height": height}
    return origin | result.to_dict() | {"timing_ms": {"decode": frame.decode_ms} | result.timing_ms}


@contextlib.contextmanager
def _pictures(source: Source, fps: float) -> Iterator[Callable[[Frame, np.ndarray], None] | None]:
    """Yields what writes a stream's annotated frames: to an .mp4 file, or to a folder under the names of the photos."""
    from ..pipeline.image import write_image
    from ..pipeline.video import WRITABLE_VIDEOS, write_video

    destination = source.destination
    if destination is None:
        yield None
    elif destination.suffix.lower() in WRITABLE_VIDEOS:
        with write_video(destination, fps) as append:
            yield lambda _, rgb: append(rgb)
    else:
        yield lambda frame, rgb: write_image(destination / Path(frame.source).name, rgb)


@contextlib.contextmanager
def _json_lines(target: str | None) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Yields what writes a record as a line; a file keeps the lines written before an error, if there are any."""
    if target is None or target == "-":
        yield None if target is None else lambda record: click.echo(json.dumps(record))
        return
    broken: BlazeportError | KeyboardInterrupt | None = None
    lines = 0
    with atomic_path(Path(target)) as temporary, temporary.open("w", encoding="utf-8") as stream:

        def write(record: dict[str, Any]) -> None:
            nonlocal lines
            stream.write(json.dumps(record) + "\n")
            lines += 1

        try:
            yield write
        except (BlazeportError, KeyboardInterrupt) as error:
            if not lines:
                raise
            broken = error
    if broken:
        raise broken


def _destination(source: Source, output: Path | None, is_one: bool) -> Path | None:
    if output is None:
        return None
    from ..pipeline.image import READABLE
    from ..pipeline.video import WRITABLE_VIDEOS

    is_file, name = not output.is_dir(), Path(source.name)
    if is_file and output.suffix.lower() in READABLE | WRITABLE_VIDEOS:
        is_video = output.suffix.lower() in WRITABLE_VIDEOS
        if not is_one:
            raise click.UsageError(f"-o must be a folder for several photos or videos. Received: {output}.")
        if is_video == (source.kind == "photo"):
            wanted = "a picture" if source.kind == "photo" else "an .mp4 file"
            raise click.UsageError(f"-o must be {wanted} or a folder for a {_NOUNS[source.kind]}. Received: {output}.")
        return output
    if source.kind == "photo":
        return output / name.name
    return output if source.kind == "sequence" else output / f"{name.stem.replace(':', '-')}.mp4"


def _mask_name(source: Source) -> str:
    stem = Path(source.name).resolve().stem if source.kind == "sequence" else Path(source.name).stem.replace(":", "-")
    return f"{stem}.png" if source.kind == "photo" else stem


def _refuse_overwriting(sources: Sequence[Source]) -> None:
    for source in sources:
        if source.destination and source.destination.resolve() == Path(source.name).resolve():
            raise click.UsageError(
                f"-o would write over the {_NOUNS[source.kind]} {source.name}. Choose another name or folder."
            )
    for option in ("destination", "masks"):
        places = [place for source in sources if (place := getattr(source, option)) is not None]
        twice = sorted({place.name for place in places if places.count(place) > 1})
        if twice:
            nouns = " or ".join(sorted({f"{_NOUNS[source.kind]}s" for source in sources}))
            raise click.UsageError(
                f"Several {nouns} have the same name: {', '.join(twice)}. Run them one folder at a time."
            )
