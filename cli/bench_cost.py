"""`blazeport bench ops|scaling|pipeline`: where the time goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import print_json, print_table
from .parameters import ModelFile, Numbers
from .run import FACE_MODELS, POSE_MODELS

if TYPE_CHECKING:
    import numpy as np

    from ..benchmarks.compare import Comparison
    from ..benchmarks.pipeline import Timed


@click.command()
@click.argument("file", metavar="FILE|VARIANT", type=ModelFile())
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Profiled inferences.")
@click.option("--repeats", type=click.IntRange(2), default=5, show_default=True, help="Processes per head.")
@click.option("--heads/--no-heads", default=True, show_default=True, help="Also measure what each head costs.")
@click.option("--all", "show_all", is_flag=True, help="List every operator, in the order they run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ops(file: Path, threads: int, runs: int, repeats: int, heads: bool, show_all: bool, as_json: bool) -> None:
    """Show where the time of FILE goes, by operator and by head.

    Operators are timed by LiteRT's profiler, which slows the file down a little. Heads are measured: the file without
    a head, and with that head alone, in turns with the whole file.

    \b
    Example:
      blazeport bench ops build/export/pose_landmark_lite.fp16.tflite
    """
    from ..benchmarks.ops import by_kind, head_costs, profile

    found = profile(file, num_threads=threads, runs=runs)
    costs = head_costs(file, num_threads=threads, repeats=repeats) if heads else []
    if as_json:
        print_json(
            {
                "file": file.name,
                "threads": threads,
                "ops": [dataclasses.asdict(op) for op in found],
                "kinds": [dataclasses.asdict(kind) for kind in by_kind(found)],
                "heads": [
                    {
                        "head": cost.head,
                        "without": cost.without.to_dict() if cost.without else None,
                        "alone": cost.alone.to_dict(),
                    }
                    for cost in costs
                ],
            }
        )
        return
    if show_all:
        print_table(
            ("number", "operator", "ms"),
            ((op.name, op.kind, f"{op.mean_us / 1e3:.3f}") for op in found),
            right=("number", "ms"),
        )
    kinds = by_kind(found)
    print_table(
        ("operator", "count", "ms", "share"),
        ((kind.kind, kind.count, f"{kind.mean_us / 1e3:.3f}", f"{kind.share:.1%}") for kind in kinds),
        right=("count", "ms", "share"),
    )
    if costs:
        print_table(
            ("head", "time without it", "interval", "time of it alone", "interval "),
            ((cost.head, *_ratio(cost.without), *_ratio(cost.alone)) for cost in costs),
            right=("time without it", "interval", "time of it alone", "interval "),
        )
        click.echo("Times of heads are multiples of the whole file's.")


@click.command()
@click.argument("file", metavar="FILE|VARIANT", type=ModelFile())
@click.option("--threads", type=Numbers(), default="1,2", show_default=True, metavar="N,…", help="CPU threads.")
@click.option("--streams", type=Numbers(), default="1,2", show_default=True, metavar="N,…", help="At the same time.")
@click.option("--inputs", type=Numbers(), default="1,2,4", show_default=True, metavar="N,…", help="Inputs per frame.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def scaling(
    file: Path, threads: tuple[int, ...], streams: tuple[int, ...], inputs: tuple[int, ...], as_json: bool
) -> None:
    """Show how the cost of FILE grows with threads, streams and inputs.

    Streams are processes of one thread that run at the same time. Inputs are run one after another, as for several
    people in a frame.

    \b
    Example:
      blazeport bench scaling lite.tflite --threads 1,2,4 --streams 1,2,4
    """
    from ..benchmarks.scaling import input_scaling, stream_scaling, thread_scaling

    found = [
        *thread_scaling(file, threads),
        *stream_scaling(file, streams),
        *input_scaling(file, inputs),
    ]
    if as_json:
        print_json([dataclasses.asdict(each) for each in found])
        return
    print_table(
        ("what", "number", "ms", "per second", "of the first"),
        (
            (each.what, each.number, f"{each.milliseconds:.2f}", f"{each.per_second:.1f}", f"{each.ratio:.2f}×")
            for each in found
        ),
        right=("number", "ms", "per second", "of the first"),
    )


@click.command()
@click.argument("video", type=click.Path(path_type=Path))
@click.option("--model", type=click.Choice([*POSE_MODELS, *FACE_MODELS]), help="Official network.  [default: lite]")
@click.option("--task", type=click.Choice(["pose", "face"]), default="pose", show_default=True, help="What to find.")
@click.option("--file", "model_file", type=click.Path(path_type=Path), help="Any landmark network or face detector.")
@click.option("--frames", type=click.IntRange(1), default=300, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pipeline(video: Path, model: str | None, task: str, model_file: Path | None, frames: int, as_json: bool) -> None:
    """Show the share of the model and of the pipeline around it, frame by frame of VIDEO.

    \b
    Example:
      blazeport bench pipeline --model lite clip.mp4
      blazeport bench pipeline --task face --model short clip.mp4
    """
    from ..benchmarks.pipeline import measure_pipeline
    from ..pipeline.face import FaceDetector
    from ..pipeline.pose import PoseTracker
    from ..pipeline.video import open_video
    from ..weights.fetch import official_file

    allowed = FACE_MODELS if task == "face" else POSE_MODELS
    if model and model not in allowed:
        raise click.UsageError(f"--task {task} takes --model {', '.join(allowed)}. Received: {model!r}.")
    if model and model_file:
        raise click.UsageError("--model and --file exclude each other.")
    stream = open_video(video)
    process: Callable[[np.ndarray, int | None], Timed]
    if task == "face":
        process = _without_time(FaceDetector(model_file or official_file(FACE_MODELS[model or "short"])).process)
    else:
        landmarker = model_file or official_file(f"pose_landmark_{model or 'lite'}")
        process = PoseTracker(official_file("pose_detection"), landmarker).process
    found = measure_pipeline(((frame.rgb, frame.time_us) for frame in stream.frames), process, limit=frames)
    if as_json:
        print_json(dataclasses.asdict(found) | {"video": video.name, "task": task, "model_share": found.model_share})
        return
    rows = {"read": found.read_ms, **found.stages_ms, "frame": found.total_ms}
    print_table(
        ("stage", "median ms", "p90 ms", "mean ms"),
        ((name, f"{each.median:.2f}", f"{each.p90:.2f}", f"{each.trimmed_mean:.2f}") for name, each in rows.items()),
        right=("median ms", "p90 ms", "mean ms"),
    )
    click.echo(
        f"{found.frames} frames: the models take {found.model_share:.0%} of a frame, the pipeline around them "
        f"{1 - found.model_share:.0%}; {found.cpu_ms:.2f} ms of CPU time per frame."
    )


def _without_time(process: Callable[[np.ndarray], Timed]) -> Callable[[np.ndarray, int | None], Timed]:
    return lambda rgb, _time_us: process(rgb)


def _ratio(comparison: Comparison | None) -> tuple[str, str]:
    if comparison is None:
        return "-", "-"
    found = comparison.interval
    return f"{found.ratio:.3f}", f"{found.low:.3f}–{found.high:.3f}"
