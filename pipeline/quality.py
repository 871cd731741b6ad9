"""How steady tracking is, from the records of `blazeport run … --jsonl`: jitter, losses, detector duty cycle.

Nothing here needs the images: a record carries the size of its image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

RIGHT_EYE, LEFT_EYE = 0, 1  # face keypoints
_KEYS = {"source", "frame", "width", "height"}

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """How much points tremble on a subject that holds still.

    Attributes:
        kind: `people` or `faces`.
        frames: frames with exactly one of them, which are those that count.
        rms_px: root mean square over frames and points of the distance from the point's own mean position, px.
        points_rms_px: the same for each point, in the order of the landmarks or keypoints.
        inter_ocular_px: mean distance of the eyes, faces only.
    """

    kind: str
    frames: int
    rms_px: float
    points_rms_px: tuple[float, ...]
    inter_ocular_px: float | None

    @property
    def percent_of_inter_ocular(self) -> float | None:
        """`rms_px` in percent of the distance of the eyes; None for people."""
        return None if self.inter_ocular_px is None else 100 * self.rms_px / self.inter_ocular_px


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """How well people were followed.

    Attributes:
        frames: all frames.
        frames_with_people: frames with at least one person.
        tracks: people told apart; one who was lost and found again counts twice.
        losses: tracks that end before their stream does.
        detector_runs: frames the detector looked at.
    """

    frames: int
    frames_with_people: int
    tracks: int
    losses: int
    detector_runs: int

    @property
    def duty_cycle(self) -> float:
        """Share of the frames the detector looked at."""
        return self.detector_runs / self.frames


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file written by `blazeport run … --jsonl`.

    Raises:
        InputError: the file cannot be read, is empty, or a line is no such record.
    """
    number = 0
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                number += 1
                record = json.loads(line)
                if not isinstance(record, dict) or not record.keys() >= _KEYS or not {"faces", "people"} & set(record):
                    raise ValueError("no record")
                yield record
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(f"Line {number} of {path} was not written by `blazeport run … --jsonl`.") from error
    if number == 0:
        raise InputError(f"{path} is empty. Expected lines written by `blazeport run … --jsonl`.")


def measure_jitter(records: Iterable[Record]) -> Jitter:
    """Jitter of the landmarks of one person, or of the keypoints of one face, who holds still.

    Args:
        records: one stream's. Frames with nobody, or with several, are left out.
    Raises:
        InputError: fewer than two frames have exactly one person or face.

    Source: the jitter of BlazeFace (arXiv 1907.05047) is likewise relative to the distance of the eyes.
    """
    kind, frames = "people", []
    for record in records:
        kind = "people" if "people" in record else "faces"
        if len(record[kind]) == 1:
            points = record[kind][0]["landmarks" if kind == "people" else "keypoints"]
            frames.append(np.array([point[:2] for point in points]) * [record["width"], record["height"]])
    if len(frames) < 2:
        raise InputError(f"Jitter needs two frames with exactly one of: person, face. Received: {len(frames)}.")
    positions = np.stack(frames)  # (frames, points, 2) px
    squares = ((positions - positions.mean(axis=0)) ** 2).sum(axis=2)
    eyes = np.linalg.norm(positions[:, RIGHT_EYE] - positions[:, LEFT_EYE], axis=1).mean()
    return Jitter(
        kind=kind,
        frames=len(frames),
        rms_px=float(np.sqrt(squares.mean())),
        points_rms_px=tuple(np.sqrt(squares.mean(axis=0)).tolist()),
        inter_ocular_px=float(eyes) if kind == "faces" else None,
    )


def measure_tracking(records: Iterable[Record]) -> Tracking:
    """Tracks, losses and detector runs of one stream.

    Args:
        records: one stream's, of people.
    Raises:
        InputError: a record holds faces, or two streams are mixed.
    """
    frames = with_people = detector_runs = 0
    numbers: set[int] = set()
    last: set[int] = set()
    for record in records:
        if "people" not in record:
            raise InputError("Tracking needs records of `blazeport run pose`. Received: faces.")
        if record["frame"] != frames:
            raise InputError(
                f"Tracking needs one stream, whose frames are counted from 0. Expected frame {frames}. "
                f"Received: {record['frame']} of {record['source']}."
            )
        last = {person["number"] for person in record["people"]}
        numbers |= last
        frames += 1
        with_people += bool(last)
        detector_runs += record["detector_ran"]
    if not frames:
        raise InputError("Tracking needs at least one frame. Received: none.")
    return Tracking(
        frames=frames,
        frames_with_people=with_people,
        tracks=len(numbers),
        losses=len(numbers - last),
        detector_runs=detector_runs,
    )
