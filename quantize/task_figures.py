"""What a file loses at its task, as a few plain numbers: for budgets, and for ranking layers.

`quantize.evaluate` measures the same on photos, with intervals and controls; this runs on calibration samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import progress
from ..convert.parity import Runner
from ..errors import ConfigError
from ..models.config import DetectorConfig, FaceDetectorConfig, PoseLandmarkConfig, VariantConfig
from ..models.cost import cost_of
from ..runtime.interpreter import Model
from ..weights.reader import read_tflite
from . import detector_errors as detectors
from . import landmark_errors as landmarks
from .controls import noisy, remembered
from .importance import CARRIES_DETECTION_LOGIT


@dataclass(frozen=True, kw_only=True)
class TaskFigure:
    """One number of a file.

    Attributes:
        sentence: what it is, with its unit.
        smaller_is_better: a budget is the most that is allowed; else the least.
        limits: the values that make sense as a budget.
        weight: how much one of it adds to the loss of a file.
    """

    sentence: str
    smaller_is_better: bool = True
    limits: tuple[float, float] = (0.0, float("inf"))
    weight: float = 0.0


_INT8_MACS = TaskFigure(
    sentence="share of the multiply-accumulates that run in int8", smaller_is_better=False, limits=(0.0, 1.0)
)
_IOU = TaskFigure(sentence="mean overlap of the matched boxes", smaller_is_better=False, limits=(0.0, 1.0))
_LANDMARKS = {
    "px": TaskFigure(sentence="mean distance of visible points, px of the crop", weight=1.0),
    # A lost person weighs as much as one hundredth of all points being off by 100 px.
    "presence": TaskFigure(
        sentence="share of crops whose presence stays", smaller_is_better=False, limits=(0.0, 1.0), weight=100.0
    ),
    "int8_macs": _INT8_MACS,
}
# Few detections are near the threshold, so their number says little of a layer; the change of scores says more.
_SCORES = TaskFigure(sentence="mean change of the scores of anchors near detections, percent points", weight=1.0)
_FACES = {
    "missed": TaskFigure(sentence="faces that are lost, %", weight=0.1),
    "extra": TaskFigure(sentence="faces that only the file finds, %", weight=0.1),
    "scores": _SCORES,
    "keypoints": TaskFigure(sentence="mean distance of keypoints, % of the distance between the eyes", weight=1.0),
    "iou": _IOU,
    "int8_macs": _INT8_MACS,
}
_PEOPLE = {
    "missed": TaskFigure(sentence="photos whose best person is lost, %", weight=0.1),
    "extra": TaskFigure(sentence="photos whose best person only the file finds, %", weight=0.1),
    "scores": _SCORES,
    "center": TaskFigure(sentence="median distance of the regions' centres, % of the side", weight=1.0),
    "size": TaskFigure(sentence="median difference of the regions' sides, %", weight=1.0),
    "rotation": TaskFigure(sentence="median difference of the regions' angles, °", weight=1.0),
    "iou": _IOU,
    "int8_macs": _INT8_MACS,
}


def task_figures(config: VariantConfig) -> dict[str, TaskFigure]:
    """Figure → what it is, for the networks of a kind, in the order of the tables."""
    if isinstance(config, PoseLandmarkConfig):
        return _LANDMARKS
    return _FACES if isinstance(config, FaceDetectorConfig) else _PEOPLE


def needed_heads(config: VariantConfig) -> tuple[str, ...]:
    """The outputs without which nothing can be measured."""
    return ("landmarks", "presence") if isinstance(config, PoseLandmarkConfig) else detectors.USED_HEADS


class TaskMeter:
    """Measures files against a float one on the same samples; the float one runs once."""

    def __init__(self, reference: Runner, samples: Sequence[np.ndarray], config: VariantConfig) -> None:
        """Runs nothing yet.

        Args:
            reference: the float network: input → output name → float32 array.
            samples: float32 `(1, S, S, 3)` in the network's range.
            config: the network.
        """
        self.config = config
        self._float = reference
        self._reference = remembered(reference, needed_heads(config))
        self._samples = list(samples)

    @property
    def samples(self) -> int:
        """On how many samples figures are taken."""
        return len(self._samples)

    def measure(self, candidate: Runner, what: str = "") -> dict[str, float]:
        """The figures of a network, but for `int8_macs`; NaN where there was nothing to measure.

        Args:
            candidate: input → output name → float32 array.
            what: of whom, for the progress; silent when empty.
        """
        samples = progress.track(self._samples, f"Measuring {what}", len(self._samples)) if what else self._samples
        if isinstance(self.config, PoseLandmarkConfig):
            errors = landmarks.landmark_errors(candidate, self._reference, samples, self.config)
            seen = errors.visible[errors.present]
            return {
                "px": _share((errors.distance_px[errors.present] * seen).sum(), seen.sum()),
                "presence": 1.0 - _share(errors.presence_flips.sum(), len(errors.presence_flips)),
            }
        assert isinstance(self.config, DetectorConfig)
        side = self.config.input_size
        views = (detectors.Letterboxed(sample, side, side) for sample in samples)
        candidate = remembered(candidate, needed_heads(self.config))
        found = detectors.detector_errors(candidate, self._reference, views, self.config)
        shared = {"scores": self._score_change(candidate), "iou": _share(found.iou.sum(), len(found.iou))}
        if isinstance(self.config, FaceDetectorConfig):
            total = found.references.sum()
            return {
                "missed": 100 * _share(found.missed.sum(), total),
                "extra": 100 * _share(found.extra.sum(), total),
                "keypoints": _share(found.keypoint_percent.sum(), len(found.keypoint_percent)),
                **shared,
            }
        with_person = (found.references > 0).sum()
        best = found.is_best
        return {
            "missed": 100 * _share(found.best_missed.sum(), with_person),
            "extra": 100 * _share(found.best_extra.sum(), with_person),
            "center": _median(found.roi_center_percent[best]),
            "size": _median(found.roi_size_percent[best]),
            "rotation": _median(found.roi_rotation_degrees[best]),
            **shared,
        }

    def _score_change(self, candidate: Runner) -> float:
        changes = []
        for sample in self._samples:
            expected, received = (run(sample)["scores"].astype(np.float64) for run in (self._reference, candidate))
            near = expected > CARRIES_DETECTION_LOGIT
            changes.append(np.abs(_sigmoid(received[near]) - _sigmoid(expected[near])))
        every = np.concatenate(changes)
        return 100 * _share(every.sum(), len(every))

    def noise(self) -> dict[str, float]:
        """The figures of the float network itself under ±1/255 pixel noise."""
        return self.measure(noisy(self._float, self.config), "float under pixel noise")

    def loss(self, figures: Mapping[str, float]) -> float:
        """One number for all figures, added with their weights: px, or percent and degrees."""
        total = 0.0
        for name, figure in task_figures(self.config).items():
            if figure.weight and name in figures:
                value = figures[name] if figure.smaller_is_better else 1.0 - figures[name]
                # Where nothing was found there is nothing to measure: as bad as all of it being lost.
                total += figure.weight * (100.0 if np.isnan(value) else value)
        return total


def measured(content: bytes, meter: TaskMeter, what: str = "") -> dict[str, float]:
    """The figures of a file, run in LiteRT, with the share of its MACs that are int8."""
    with Model(content) as model:
        return {**meter.measure(model.run, what), "int8_macs": cost_of(read_tflite(content)).int8_share}


def require_heads(config: VariantConfig, heads: Sequence[str]) -> None:
    """Raises `ConfigError` unless the heads that are measured are among `heads`."""
    if missing := [name for name in needed_heads(config) if name not in heads]:
        raise ConfigError(
            f"Measuring {config.name} at its task needs the heads {', '.join(needed_heads(config))}. "
            f"Add {', '.join(missing)} to --heads."
        )


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -50, 50))))


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else float("nan")
