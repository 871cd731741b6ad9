"""`blazeport run`: faces or poses in photos, videos and camera pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .media import Source, Tally, Task, find_sources, process_sources

if TYPE_CHECKING:
    import numpy as np

    from ..pipeline.face import FaceResult
    from ..pipeline.pose import PoseResult
    from ..runtime.interpreter import Model

FACE_MODELS = {
    "short": "face_detection_short_range",
    "full": "face_detection_full_range_sparse",
    "full-dense": "face_detection_full_range",
}
POSE_MODELS = ("lite", "full", "heavy")


def media_options(command: Callable[..., None]) -> Callable[..., None]:
    """INPUT..., -o and --jsonl."""
    inputs = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
    output = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        help="Annotated output: a picture for one photo, an .mp4 file for one video, a folder for any.",
    )
    jsonl = click.option("--jsonl", metavar="FILE|-", help="Write one JSON line per frame; - is stdout.")
    return inputs(output(jsonl(command)))


def runtime_options(command: Callable[..., None]) -> Callable[..., None]:
    """--runtime and --runtime-python."""
    name = click.option(
        "--runtime",
        metavar="RUNTIME",
        help="litert, tflite-runtime, tf-lite or onnxruntime.  [default: litert; for .onnx files onnxruntime]",
    )
    python = click.option(
        "--runtime-python",
        metavar="PYTHON",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The Python that has the runtime.  [default: see `blazeport runtimes`]",
    )
    return name(python(command))


@click.group()
def run() -> None:
    """Find faces or poses in photos, videos and camera pictures.

    \b
    Example:
      blazeport run face photo.jpg -o faces.png
      blazeport run pose clip.mp4 -o pose.mp4
    """


@run.command()
@media_options
@click.option("--model", type=click.Choice(list(FACE_MODELS)), help="Official network.  [default: short]")
@click.option("--file", "model_file", type=click.Path(path_type=Path), help="Any face detector file instead.")
@runtime_options
def face(
    inputs: tuple[str, ...],
    output: Path | None,
    jsonl: str | None,
    model: str | None,
    model_file: Path | None,
    runtime: str | None,
    runtime_python: Path | None,
) -> None:
    """Find faces: box, six keypoints and score.

    INPUT is any mix of photos, folders of photos, videos and cameras (camera:0).

    \b
    Example:
      blazeport run face photo.jpg -o faces.png
      blazeport run face photos/ --model full --jsonl faces.jsonl
      blazeport run face photo.jpg --runtime tflite-runtime
      blazeport run face camera:0 --jsonl -
    """
    if model and model_file:
        raise click.UsageError("--model and --file exclude each other.")
    sources = find_sources(inputs, output=output)
    from ..pipeline.draw import draw_faces
    from ..pipeline.face import FaceDetector

    detector = FaceDetector(_model(model_file, FACE_MODELS[model or "short"], runtime, runtime_python))
    task = Task(
        begin=lambda _: lambda rgb, _time_us: detector.process(rgb),
        draw=draw_faces,
        describe=_describe_faces,
        summarize=lambda tally: f"faces in {tally.frames_with_results}",
    )
    process_sources(sources, task, jsonl)


@run.command()
@media_options
@click.option("--model", type=click.Choice(POSE_MODELS), help="Official landmark network.  [default: full]")
@click.option("--landmark-file", type=click.Path(path_type=Path), help="Any landmark network file instead.")
@click.option("--detector-file", type=click.Path(path_type=Path), help="Any pose detector file instead.")
@click.option("--static", is_flag=True, help="Take the frames of videos as stills: no tracking, no smoothing.")
@click.option("--sequence", is_flag=True, help="Track through a folder's photos, in natural order of their names.")
@click.option("--no-smoothing", is_flag=True, help="Leave tracked landmarks unsmoothed.")
@click.option("--refine/--no-refine", default=None, help="Refine by the heatmap.  [default: where the file has one]")
@click.option("--heatmap-kernel", type=click.Choice(["7", "9"]), help="Cells per side of the refinement.  [default: 7]")
@click.option(
    "--timestamps",
    type=click.Choice(["video", "mediapipe"]),
    default="video",
    show_default=True,
    help="Smooth by a video's true times, or by 33,333 µs per frame as MediaPipe's Python package does.",
)
@click.option("--max-people", type=click.IntRange(1), default=1, show_default=True, help="How many people to track.")
@click.option(
    "--masks",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write segmentation masks as PNG files into this folder, and draw them.",
)
@click.option("--smooth-masks", is_flag=True, help="Smooth the masks of a stream over time.")
@runtime_options
def pose(
    inputs: tuple[str, ...],
    output: Path | None,
    jsonl: str | None,
    model: str | None,
    landmark_file: Path | None,
    detector_file: Path | None,
    static: bool,
    sequence: bool,
    no_smoothing: bool,
    refine: bool | None,
    heatmap_kernel: str | None,
    timestamps: str,
    max_people: int,
    masks: Path | None,
    smooth_masks: bool,
    runtime: str | None,
    runtime_python: Path | None,
) -> None:
    """Find people's 33 landmarks, and track them through videos.

    INPUT is any mix of photos, folders of photos, videos and cameras (camera:0). Photos are stills of their own; the
    detector looks at a video only while fewer people are tracked than --max-people.

    \b
    Example:
      blazeport run pose photo.jpg -o pose.png
      blazeport run pose clip.mp4 --max-people 2 -o pose.mp4 --jsonl pose.jsonl
      blazeport run pose frames/ --sequence -o annotated/
      blazeport run pose photos/ --landmark-file pose_landmark_lite.landmarks.int8.tflite --jsonl -
    """
    for is_wrong, names in (
        (model and landmark_file, "--model and --landmark-file"),
        (heatmap_kernel and refine is False, "--heatmap-kernel and --no-refine"),
        (static and sequence, "--static and --sequence"),
        (static and no_smoothing, "--static (which never smooths) and --no-smoothing"),
    ):
        if is_wrong:
            raise click.UsageError(f"{names} exclude each other.")
    if smooth_masks and not masks:
        raise click.UsageError("--smooth-masks needs --masks DIR.")
    sources = find_sources(inputs, sequence=sequence, output=output, masks=masks)
    from ..pipeline.draw import draw_people
    from ..pipeline.pose import PoseTracker

    detector = _model(detector_file, "pose_detection", runtime, runtime_python)
    landmarker = _model(landmark_file, f"pose_landmark_{model or 'full'}", runtime, runtime_python)
    options: dict[str, Any] = {
        "smooth": not no_smoothing,
        "refine": True if heatmap_kernel else refine,
        "max_people": max_people,
        "segment": masks is not None,
        "smooth_masks": smooth_masks,
    }
    if heatmap_kernel:
        options["heatmap_kernel"] = int(heatmap_kernel)

    def begin(source: Source) -> Callable[[np.ndarray, int], PoseResult]:
        return PoseTracker(detector, landmarker, static=static or source.kind == "photo", **options).process

    task = Task(
        begin=begin,
        draw=draw_people,
        describe=_describe_people,
        summarize=_summarize_people,
        mask=_combined_mask,
        has_video_time=timestamps == "video",
    )
    process_sources(sources, task, jsonl)


def _model(file: Path | None, variant: str, runtime: str | None, python: Path | None) -> Model:
    """The file, or the variant's official one, in the runtime."""
    from ..errors import ConfigError
    from ..runtime.interpreter import Model
    from ..runtime.runtimes import get_runtime
    from ..weights.fetch import official_file

    if python is not None and runtime is None:
        raise click.UsageError("--runtime-python needs --runtime.")
    if runtime is not None and file is None and get_runtime(runtime).suffix == ".onnx":
        raise ConfigError(f"{runtime} runs .onnx files. Received: no file for {variant}, whose official is .tflite.")
    return Model(file or official_file(variant), runtime=runtime, python=python)


def _describe_faces(result: FaceResult) -> str:
    scores = ", ".join(f"{found.score:.2f}" for found in result.faces)
    count = len(result.faces)
    return f"{count} {'face' if count == 1 else 'faces'} ({scores})" if count else "no face"


def _describe_people(result: PoseResult) -> str:
    from ..pipeline.draw import MIN_VISIBILITY

    if not result.people:
        return "no person"
    presences = ", ".join(f"{person.presence:.2f}" for person in result.people)
    visible = [str(int((person.landmarks[:, 3] >= MIN_VISIBILITY).sum())) for person in result.people]
    noun = "person" if len(result.people) == 1 else "people"
    total = len(result.people[0].landmarks)
    return f"{len(result.people)} {noun} (presence {presences}), {' and '.join(visible)} of {total} landmarks visible"


def _summarize_people(tally: Tally) -> str:
    return f"people in {tally.frames_with_results}, {len(tally.numbers)} tracked, detector ran in {tally.detector_runs}"


def _combined_mask(rgb: np.ndarray, result: PoseResult) -> np.ndarray:
    """All people's masks as one grey picture: 255 is a person."""
    import numpy as np

    combined = np.zeros(rgb.shape[:2], np.float32)
    for person in result.people:
        if person.mask is not None:
            np.maximum(combined, person.mask, out=combined)
    return (combined * 255).round().astype(np.uint8)
