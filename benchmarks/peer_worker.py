"""One side of `blazeport bench peer`: tracks a clip block by block and answers with the CPU time of each frame.

A process of its own, because MediaPipe lives in another environment: `PYTHON peer_worker.py mediapipe CLIP COMPLEXITY`
needs no blazeport; `python -m blazeport.benchmarks.peer_worker blazeport CLIP DETECTOR LANDMARKER` is our side. A line
on stdin is a number of frames. The line it is answered with on stdout has the milliseconds of CPU per frame, all
threads together, and the number of frames in which a person was seen.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

MAX_FRAMES = 120  # kept in memory; played to and fro, so that the person never jumps


def read_clip(path: str) -> list[Any]:
    """The first frames of a video, RGB."""
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(path)
    frames: list[Any] = []
    while len(frames) < MAX_FRAMES:
        done, bgr = capture.read()
        if not done:
            break
        frames.append(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
    return frames + frames[-2:0:-1]


def mediapipe_tracker(complexity: str) -> Callable[[Any], bool]:
    """MediaPipe's Python solution, as its examples use it on video; the function tells whether it sees a person."""
    import mediapipe  # type: ignore[import-not-found]

    pose = mediapipe.solutions.pose.Pose(model_complexity=int(complexity))
    return lambda rgb: pose.process(rgb).pose_landmarks is not None


def blazeport_tracker(detector: str, landmarker: str) -> Callable[[Any], bool]:
    """`PoseTracker` on these files, with one thread."""
    from pathlib import Path

    from ..pipeline.pose import PoseTracker

    tracker = PoseTracker(Path(detector), Path(landmarker))
    return lambda rgb: bool(tracker.process(rgb).people)


def serve(side: str, clip: str, *arguments: str) -> None:
    """Answers requests until stdin closes."""
    frames = read_clip(clip)
    make_tracker: Callable[..., Callable[[Any], bool]] = mediapipe_tracker if side == "mediapipe" else blazeport_tracker
    track = make_tracker(*arguments)
    position = 0
    for line in sys.stdin:
        samples, seen = [], 0
        for _ in range(int(line)):
            start = time.process_time()
            seen += track(frames[position % len(frames)])
            samples.append((time.process_time() - start) * 1e3)
            position += 1
        sys.stdout.write(json.dumps({"cpu_ms": samples, "seen": seen}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
