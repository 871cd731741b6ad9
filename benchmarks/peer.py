"""Our pose and face loops against the mediapipe Python package in an environment of its own, interleaved in one run.

Compared is CPU time per frame, all threads together, on a machine that may be busy: blocks of both sides alternate, and
the ratio of neighbouring blocks holds where absolute times do not.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import progress
from ..errors import BlazeportError, ConfigError, InputError
from ..files import sha256_of
from ..runtime.interpreter import Model
from . import peer_worker

# Variant → task and MediaPipe's number of it.
PEERS = {
    "pose_landmark_lite": ("pose", 0),
    "pose_landmark_full": ("pose", 1),
    "pose_landmark_heavy": ("pose", 2),
    "face_detection_short_range": ("face", 0),
    "face_detection_full_range_sparse": ("face", 1),
}
DEFAULT_ROUNDS, BLOCK_FRAMES, WARM_UP_FRAMES = 12, 20, 10


@dataclass(frozen=True, kw_only=True)
class PeerComparison:
    """The loop of one file against MediaPipe's with the same network.

    Attributes:
        file: its name.
        sha256: its content.
        variant: the network.
        heads: its outputs.
        cpu_ms: one row per round, one time per frame.
        peer_cpu_ms: MediaPipe's, in the same rounds.
        seen: share of our frames with a person or a face.
        peer_seen: of MediaPipe's.
        peak_rss_bytes: of our process, the clip in memory included; None where the system does not tell.
        peer_peak_rss_bytes: of MediaPipe's.
    """

    file: str
    sha256: str
    variant: str
    heads: tuple[str, ...]
    cpu_ms: tuple[tuple[float, ...], ...]
    peer_cpu_ms: tuple[tuple[float, ...], ...]
    seen: float
    peer_seen: float
    peak_rss_bytes: int | None = None
    peer_peak_rss_bytes: int | None = None

    @property
    def median_ms(self) -> float:
        """Median of our frames."""
        return statistics.median(sample for row in self.cpu_ms for sample in row)

    @property
    def peer_median_ms(self) -> float:
        """Median of MediaPipe's frames."""
        return statistics.median(sample for row in self.peer_cpu_ms for sample in row)

    @property
    def round_ratios(self) -> tuple[float, ...]:
        """Ours divided by MediaPipe's: medians of each round, sorted."""
        rows = zip(self.cpu_ms, self.peer_cpu_ms, strict=True)
        return tuple(sorted(statistics.median(ours) / statistics.median(theirs) for ours, theirs in rows))

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios."""
        return statistics.median(self.round_ratios)

    @property
    def middle_half(self) -> tuple[float, float]:
        """Smallest and largest ratio of the middle half of the rounds."""
        quarter = len(self.round_ratios) // 4
        return self.round_ratios[quarter], self.round_ratios[-1 - quarter]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values, with all samples."""
        figures = {"median_ms": self.median_ms, "peer_median_ms": self.peer_median_ms, "ratio": self.ratio}
        return figures | asdict(self)


def compare_with_mediapipe(
    files: Sequence[Path],
    *,
    detector: Path,
    officials: dict[str, Path],
    clip: Path,
    peer_python: Path,
    rounds: int = DEFAULT_ROUNDS,
) -> list[PeerComparison]:
    """Runs a clip through the loop of each file and through MediaPipe's, in alternating blocks.

    Args:
        files: landmark networks and face detectors.
        detector: the pose detector.
        officials: variant → official file, which names no variant itself; MediaPipe's package lacks some of them.
        clip: a video with one person.
        peer_python: the interpreter of an environment with mediapipe 0.10.21.
        rounds: blocks of each side.
    Raises:
        InputError: a file or the environment cannot be used.
        ConfigError: a file is none that MediaPipe's package has, or `rounds` is below 1.
    """
    if rounds < 1:
        raise ConfigError(f"rounds must be at least 1. Received: {rounds}.")
    if not clip.is_file():
        raise InputError(f"{clip} does not exist. Expected a video with one person.")
    _complete_peer(peer_python, officials)
    names = {path: variant for variant, path in officials.items()}
    return [_compare(file, names.get(file), detector, clip, peer_python, rounds) for file in files]


def _compare(
    file: Path, variant: str | None, detector: Path, clip: Path, peer_python: Path, rounds: int
) -> PeerComparison:
    with Model(file) as model:
        heads = tuple(model.outputs)
        variant = variant or model.variant
    if variant not in PEERS:
        raise ConfigError(f"{file} must be one of: {', '.join(PEERS)}. Received: {variant or 'unknown'}.")
    task, number = PEERS[variant]
    models = [str(detector), str(file)] if task == "pose" else [str(file)]
    ours = [sys.executable, "-m", peer_worker.__name__, "blazeport", str(clip), *models]
    theirs = [str(peer_python), peer_worker.__file__, "mediapipe", str(clip), task, str(number)]
    with _worker(ours) as us, _worker(theirs) as peer:
        for worker in (us, peer):
            _ask(worker, WARM_UP_FRAMES)
        blocks = [
            (_ask(us, BLOCK_FRAMES), _ask(peer, BLOCK_FRAMES))
            for _ in progress.track(range(rounds), f"Tracking with {file.name} and MediaPipe", rounds)
        ]
    frames = rounds * BLOCK_FRAMES
    return PeerComparison(
        file=file.name,
        sha256=sha256_of(file),
        variant=variant,
        heads=heads,
        cpu_ms=tuple(tuple(block["cpu_ms"]) for block, _ in blocks),
        peer_cpu_ms=tuple(tuple(block["cpu_ms"]) for _, block in blocks),
        seen=sum(block["seen"] for block, _ in blocks) / frames,
        peer_seen=sum(block["seen"] for _, block in blocks) / frames,
        peak_rss_bytes=blocks[-1][0]["peak_rss_bytes"],
        peer_peak_rss_bytes=blocks[-1][1]["peak_rss_bytes"],
    )


def _complete_peer(python: Path, officials: dict[str, Path]) -> None:
    """Puts the official landmark files into the peer's package."""
    code = "import importlib.util as u; print(u.find_spec('mediapipe').submodule_search_locations[0])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(f"{python} has no mediapipe. Make its environment with: make bench-peer.") from error
    folder = Path(done.stdout.strip()) / "modules" / "pose_landmark"
    for variant, official in officials.items():
        if PEERS[variant][0] == "pose" and not (folder / f"{variant}.tflite").exists():
            shutil.copy(official, folder / f"{variant}.tflite")


@contextlib.contextmanager
def _worker(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        # What a process that broke off did not read cannot be flushed any more.
        with contextlib.suppress(OSError):
            process.communicate()


def _ask(worker: subprocess.Popen[str], frames: int) -> dict[str, Any]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(f"{frames}\n")
        worker.stdin.flush()
        answer: dict[str, Any] = json.loads(worker.stdout.readline())
    except (OSError, ValueError) as error:
        arguments = worker.args if isinstance(worker.args, list) else [worker.args]
        raise BlazeportError(f"A tracking process broke off: {' '.join(map(str, arguments))}") from error
    return answer
