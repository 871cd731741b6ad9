"""A detector network with everything around it: image in, blended detections out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from ..errors import ConfigError
from ..models.config import DetectorConfig, VariantConfig, get_config
from ..runtime.interpreter import Model
from .anchors import make_anchors
from .decode import decode_detections, remove_letterbox
from .image import check_rgb
from .image_to_tensor import detector_tensor, letterbox_padding
from .nms import blend_overlapping, drop_overlapping
from .timing import Stopwatch

ConfigT = TypeVar("ConfigT", bound=VariantConfig)
DetectorConfigT = TypeVar("DetectorConfigT", bound=DetectorConfig)


@dataclass(frozen=True, eq=False)
class Detection:
    """One detection, normalised to the image; may leave [0, 1].

    Attributes:
        score: in [0, 1].
        box: `(4,)` float32 xmin ymin width height.
        keypoints: `(num_keypoints, 2)` float32 x y, in the order of the variant's `keypoint_names`.
    """

    score: float
    box: np.ndarray
    keypoints: np.ndarray

    def to_dict(self) -> dict[str, object]:
        """The detection as JSON values."""
        return {"score": self.score, "box": self.box.tolist(), "keypoints": self.keypoints.tolist()}


class Detector(Generic[DetectorConfigT]):
    """Any of the detector networks, from any of its exports.

    Attributes:
        model: the network.
        config: its variant; variants that share all that matters here are not told apart.
        blend: whether overlapping detections are blended; otherwise all but the best are dropped.
    """

    def __init__(self, model: Model | Path, kind: type[DetectorConfigT], *, blend: bool = True) -> None:
        """Takes a model of the given kind.

        Args:
            model: the network, or the path of its .tflite file.
            kind: the class of the variants it may be.
            blend: whether overlapping detections are blended, as BlazeFace and MediaPipe do; False: plain NMS.
        Raises:
            InputError: the file cannot be read.
            ConfigError: it holds another network, or lacks a head.
        """
        self.model = model if isinstance(model, Model) else Model(model)
        self.config = config_of(self.model, kind, ("boxes", "scores"))
        self.blend = blend
        self._anchors = make_anchors(self.config)

    def detect(self, rgb: np.ndarray, watch: Stopwatch | None = None) -> tuple[Detection, ...]:
        """Finds what the network detects.

        Args:
            rgb: `(height, width, 3)` uint8 RGB.
            watch: gets the laps `crop`, `infer` and `post`.
        Returns:
            The detections, best first.
        Raises:
            ShapeError: `rgb` is no such image.
        """
        check_rgb(rgb)
        watch = watch or Stopwatch()
        height, width = rgb.shape[:2]
        tensor = detector_tensor(rgb, self.config)
        watch.lap("crop")
        outputs = self.model.run(tensor)
        watch.lap("infer")
        raw = decode_detections(outputs["boxes"], outputs["scores"], self._anchors, self.config)
        resolve = blend_overlapping if self.blend else drop_overlapping
        found = remove_letterbox(resolve(raw, self.config.nms_iou), letterbox_padding(width, height))
        detections = tuple(
            Detection(float(score), box, keypoints)
            for score, box, keypoints in zip(found.scores, found.boxes, found.keypoints, strict=True)
        )
        watch.lap("post")
        return detections


def config_of(model: Model, kind: type[ConfigT], heads: tuple[str, ...]) -> ConfigT:
    """The variant of a model, which must be of one kind and have these heads.

    Raises:
        ConfigError: it is another network, or lacks a head.
    """
    configs = [config for config in map(get_config, model.candidates) if isinstance(config, kind)]
    missing = [head for head in heads if head not in model.outputs]
    if not configs or missing:
        received = ", ".join(f"{name} {spec.shape}" for name, spec in model.outputs.items())
        raise ConfigError(
            f"{model.name} must be a {_noun(kind)} with the heads {', '.join(heads)}. "
            f"Received: input {model.input_shape}, outputs {received}."
        )
    return configs[0]


def _noun(kind: type[VariantConfig]) -> str:
    """`FaceDetectorConfig` → `face detector`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)
    return words.removesuffix(" config").strip()
