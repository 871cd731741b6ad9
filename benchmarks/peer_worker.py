"""One side of `blazeport bench peer`: tracks a clip block by block and answers with the CPU time of each frame.

A process of its own, because MediaPipe lives in another environment: `PYTHON peer_worker.py mediapipe CLIP pose|face
NUMBER` needs no blazeport (the number is MediaPipe's of the model); `python -m blazeport.benchmarks.peer_worker
blazeport CLIP DETECTOR [LANDMARKER]` is our side. A line on stdin is a number of frames. The line it is answered with
on stdout has the milliseconds of CPU per frame, all threads together, the number of frames in which somebody was seen,
and the most memory that the process has used.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
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


def mediapipe_tracker(task: str, number: str) -> Callable[[Any], bool]:
    """MediaPipe's Python solution, as its examples use it on video; the function tells whether it sees somebody."""
    import mediapipe  # type: ignore[import-not-found]

    if task == "face":
        faces = mediapipe.solutions.face_detection.FaceDetection(model_selection=int(number))
        return lambda rgb: bool(faces.process(rgb).detections)
    pose = mediapipe.solutions.pose.Pose(model_complexity=int(number))
    return lambda rgb: pose.process(rgb).pose_landmarks is not None


def blazeport_tracker(detector: str, landmarker: str | None = None) -> Callable[[Any], bool]:
    """`PoseTracker` on these files, or `FaceDetector` on the first, with one thread."""
    from ..pipeline.face import FaceDetector
    from ..pipeline.pose import PoseTracker

    if landmarker is None:
        faces = FaceDetector(Path(detector))
        return lambda rgb: bool(faces.process(rgb).faces)
    tracker = PoseTracker(Path(detector), Path(landmarker))
    return lambda rgb: bool(tracker.process(rgb).people)


def process_memory(field: str) -> int | None:
    """Bytes of a line of /proc/self/status: `VmRSS`, or `VmHWM` for the peak. None on systems without it.

    Not getrusage: its peak is that of the parent when the parent's was higher.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


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
        sys.stdout.write(
            json.dumps({"cpu_ms": samples, "seen": seen, "peak_rss_bytes": process_memory("VmHWM")}) + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
