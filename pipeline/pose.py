"""BlazePose: people found in an image by the detector and followed through a stream by the landmark network alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import ConfigError, InputError, ShapeError
from ..models.config import PoseDetectorConfig
from ..runtime.interpreter import Model
from .detector import Detection, Detector
from .image import check_rgb
from .landmarker import Landmarker, RoiLandmarks
from .landmarks import HEATMAP_KERNELS
from .roi import Roi, roi_from_points
from .segmentation import project_mask, smooth_mask
from .smoothing import BodySmoother
from .timing import Stopwatch
from .tracking import Track, cover_people, is_detection_of, is_twin

MEDIAPIPE_FRAME_US = 33_333  # MediaPipe's Python package counts time like this, whatever the video's rate


@dataclass(frozen=True, eq=False, kw_only=True)
class Person:
    """One person.

    Attributes:
        number: identity in the stream, counted from 0, in a still anew; one who was lost gets a new one.
        presence: probability that the region holds a person, in [0, 1].
        detection: what the detector found; None for a person tracked from the frame before.
        roi: the region in which the landmarks were found.
        next_roi: the person's region in the next frame; None when it has no size.
        landmarks: `(33, 5)` float32 x y z visibility presence; see `RoiLandmarks`. Smoothed, unless switched off.
        world_landmarks: `(33, 3)` float32 in metres from the middle of the hips; None if the file lacks the head.
        mask: `(height, width)` float32 in [0, 1], 1 where the person is; None unless asked for.
    """

    number: int = 0
    presence: float
    detection: Detection | None
    roi: Roi
    next_roi: Roi | None
    landmarks: np.ndarray
    world_landmarks: np.ndarray | None
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.landmarks)
        if self.landmarks.shape != (count, 5) or (
            self.world_landmarks is not None and self.world_landmarks.shape != (count, 3)
        ):
            world = None if self.world_landmarks is None else self.world_landmarks.shape
            raise ShapeError(f"Landmarks must be (n, 5) and (n, 3). Received: {self.landmarks.shape} and {world}.")

    def to_dict(self) -> dict[str, object]:
        """The person as JSON values, without the mask."""
        return {
            "number": self.number,
            "presence": self.presence,
            "detection": None if self.detection is None else self.detection.to_dict(),
            "roi": asdict(self.roi),
            "next_roi": None if self.next_roi is None else asdict(self.next_roi),
            "landmarks": self.landmarks.tolist(),
            "world_landmarks": None if self.world_landmarks is None else self.world_landmarks.tolist(),
        }


@dataclass(frozen=True, eq=False)
class PoseResult:
    """The people of one image.

    Attributes:
        people: those tracked longest first, then the best detections.
        timing_ms: time spent in `crop`, `infer` and `post`.
        detector_ran: whether the detector looked at the image.
    """

    people: tuple[Person, ...]
    timing_ms: dict[str, float]
    detector_ran: bool = True

    def to_dict(self) -> dict[str, object]:
        """The result as JSON values."""
        return {
            "timing_ms": self.timing_ms,
            "detector_ran": self.detector_ran,
            "people": [person.to_dict() for person in self.people],
        }


class PoseTracker:
    """Finds people's 33 landmarks in the frames of one stream, or in unrelated stills.

    The detector runs only while fewer people are tracked than allowed. A person whose presence fails is gone from that
    frame on; the detector looks again in the next one.

    One object per stream. Not for two threads at once; separate objects are independent.
    """

    def __init__(
        self,
        detector: Model | Path,
        landmarker: Model | Path,
        *,
        static: bool = False,
        smooth: bool = True,
        refine: bool | None = None,
        heatmap_kernel: int = HEATMAP_KERNELS[0],
        max_people: int = 1,
        segment: bool = False,
        smooth_masks: bool = False,
        blend: bool = True,
    ) -> None:
        """Takes the two networks and how to use them.

        Args:
            detector: the pose detector, or the path of its .tflite file.
            landmarker: a landmark network, likewise.
            static: every frame is a still of its own: the detector looks at each, and nothing is smoothed.
            smooth: whether landmarks are smoothed over time. Regions are in any case, unless `static`.
            refine: whether landmarks are refined by the heatmap; None: where the file has one.
            heatmap_kernel: side of the refinement's window, cells: 7, or 9 as MediaPipe's Python package has it.
            max_people: how many people may be tracked.
            segment: whether each person gets a mask.
            smooth_masks: whether masks are smoothed over time; MediaPipe's Python package does not.
            blend: whether overlapping detections are blended, as in MediaPipe; False: plain NMS, for comparison.
        Raises:
            InputError: a file cannot be read.
            ConfigError: a file holds another network or lacks a head, or an option has an impossible value.
        """
        if max_people < 1:
            raise ConfigError(f"max_people must be at least 1. Received: {max_people}.")
        self.detector = Detector(detector, PoseDetectorConfig, blend=blend)
        self.landmarker = Landmarker(landmarker, refine=refine, heatmap_kernel=heatmap_kernel, segment=segment)
        self.static = static
        self.smooth = smooth
        self.max_people = max_people
        self.smooth_masks = smooth_masks
        self._tracks: list[Track] = []
        self._num_tracks = 0
        self._time_us: int | None = None
        self._only_smoother = BodySmoother(smooth_landmarks=smooth)

    def __enter__(self) -> PoseTracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the networks' memory; the tracker cannot be used any more."""
        self.detector.model.close()
        self.landmarker.model.close()

    def process(self, rgb: np.ndarray, time_us: int | None = None) -> PoseResult:
        """Finds the people in the next frame.

        Args:
            rgb: `(height, width, 3)` uint8 RGB.
            time_us: time of the frame, later than that of the frame before; None: 33,333 µs later, as in MediaPipe's
                Python package.
        Raises:
            ShapeError: `rgb` is no such image.
            InputError: `time_us` does not grow.
        """
        check_rgb(rgb)
        time_us = self._advance(time_us)
        watch = Stopwatch()
        tracks, self._tracks = self._tracks, []
        if self.static:
            self._num_tracks = 0
        seeks = len(tracks) < self.max_people
        found: list[RoiLandmarks] = []
        people = [self._look(rgb, time_us, track, None, found, watch) for track in tracks]
        while seeks:
            view = cover_people(rgb, found) if found else rgb
            known = len(found)
            fresh = [each for each in find_people(view, self.detector, watch) if not is_detection_of(each[0], found)]
            for detection, roi in fresh[: self.max_people - known]:
                people.append(self._look(rgb, time_us, self._new_track(roi), detection, found, watch))
            # In a stream the next frame is the next chance; a still has to be searched at once.
            if not self.static or not known < len(found) < self.max_people:
                break
        if not found:
            self._only_smoother.lose()
        return PoseResult(tuple(person for person in people if person), watch.timing_ms, detector_ran=seeks)

    def _look(
        self,
        rgb: np.ndarray,
        time_us: int,
        track: Track,
        detection: Detection | None,
        others: list[RoiLandmarks],
        watch: Stopwatch,
    ) -> Person | None:
        """The person in a track's region, who is then added to `others` and followed; None: nobody, or one of them."""
        height, width = rgb.shape[:2]
        roi = track.roi
        found = self.landmarker.find(rgb, roi, watch)
        if not found.presence > self.landmarker.config.min_presence or is_twin(found, others):
            return None
        others.append(found)
        smoothed = found if self.static else track.smoother.smooth(found, width, height, time_us)
        center, rim = smoothed.alignment
        next_roi = roi_from_points(center, rim, width, height, self.landmarker.config.roi_scale)
        mask = None if found.segmentation is None else project_mask(found.segmentation, roi, width, height)
        if mask is not None and self.smooth_masks and not self.static:
            mask = track.mask = mask if track.mask is None else smooth_mask(mask, track.mask)
        if next_roi is not None and not self.static:
            track.roi = next_roi
            self._tracks.append(track)
        if detection is not None:
            track.number, self._num_tracks = self._num_tracks, self._num_tracks + 1
        watch.lap("post")
        return Person(
            number=track.number,
            presence=found.presence,
            detection=detection,
            roi=roi,
            next_roi=next_roi,
            landmarks=smoothed.landmarks,
            world_landmarks=smoothed.world_landmarks,
            mask=mask,
        )

    def _advance(self, time_us: int | None) -> int:
        last = self._time_us
        if time_us is None:
            time_us = (last or 0) + MEDIAPIPE_FRAME_US
        elif last is not None and time_us <= last and not self.static:
            raise InputError(
                f"The time of a frame must be later than that of the frame before, {last} µs. Received: {time_us} µs. "
                "Begin another stream with another PoseTracker."
            )
        self._time_us = time_us
        return time_us

    def _new_track(self, roi: Roi) -> Track:
        # MediaPipe, which tracks one person, lets some of the filters' memory outlive a loss.
        only_one = self.max_people == 1
        smoother = self._only_smoother if only_one else BodySmoother(smooth_landmarks=self.smooth)
        return Track(number=-1, roi=roi, smoother=smoother)


def find_people(
    rgb: np.ndarray, detector: Detector[PoseDetectorConfig], watch: Stopwatch | None = None
) -> tuple[tuple[Detection, Roi], ...]:
    """Finds people and the regions in which their landmarks lie.

    Args:
        rgb: `(height, width, 3)` uint8 RGB.
        detector: the pose detector.
        watch: gets the laps `crop`, `infer` and `post`.
    Returns:
        Detection and region per person, best first. The box is the face's; the keypoints are mid-hip and circle rim of
        the whole body, then mid-shoulder and circle rim of the upper body. One whose circle has no size is left out.
    Raises:
        ShapeError: `rgb` is no such image.
    """
    height, width = rgb.shape[:2]
    detections = detector.detect(rgb, watch)
    regions = (
        roi_from_points(found.keypoints[0], found.keypoints[1], width, height, detector.config.roi_scale)
        for found in detections
    )
    return tuple((found, roi) for found, roi in zip(detections, regions, strict=True) if roi is not None)
