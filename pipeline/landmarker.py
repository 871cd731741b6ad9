"""A landmark network with everything around it: image and region in, one person's landmarks out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ConfigError, unknown
from ..models.config import PoseLandmarkConfig
from ..runtime.interpreter import Model
from .detector import config_of
from .image import check_rgb
from .image_to_tensor import roi_padding, roi_tensor
from .landmarks import HEATMAP_KERNELS, decode_landmarks, project_landmarks, refine_landmarks, world_landmarks
from .roi import Roi, alignment_of_body
from .timing import Stopwatch


@dataclass(frozen=True, eq=False)
class RoiLandmarks:
    """What the landmark network says of one region.

    Attributes:
        roi: the region.
        presence: probability that the region holds a person, in [0, 1].
        landmarks: `(33, 5)` float32 x y z visibility presence: x in fractions of the image's width, y of its height,
            z of its width (0 at the hips, smaller is nearer); may leave [0, 1].
        world_landmarks: `(33, 3)` float32 x y z in metres from the middle of the hips; None if the file lacks the head.
        alignment: `(2, 2)` float32 x y in fractions of the image: centre and upper rim of the circle around the body,
            from which the next region follows.
        segmentation: `(256, 256)` float32 logits in the region; None unless asked for.
    """

    roi: Roi
    presence: float
    landmarks: np.ndarray
    world_landmarks: np.ndarray | None
    alignment: np.ndarray
    segmentation: np.ndarray | None = None


class Landmarker:
    """Any of the landmark networks, from any of its exports.

    A file without the heatmap works unrefined, one without world landmarks leaves them out. One without auxiliary
    landmarks, as in the paper, takes the body's circle from hips and shoulders.

    Attributes:
        model: the network.
        config: its variant; variants that share all that matters here are not told apart.
        refine: whether the heatmap refines the landmarks.
        segment: whether the segmentation is kept.
    """

    def __init__(
        self,
        model: Model | Path,
        *,
        refine: bool | None = None,
        heatmap_kernel: int = HEATMAP_KERNELS[0],
        segment: bool = False,
    ) -> None:
        """Takes a landmark network.

        Args:
            model: the network, or the path of its .tflite file.
            refine: whether landmarks are refined by the heatmap; None: where the file has one.
            heatmap_kernel: side of the refinement's window, cells: 7, or 9 as MediaPipe's Python package has it.
            segment: whether the segmentation is kept.
        Raises:
            InputError: the file cannot be read.
            ConfigError: it holds another network or lacks a head, or there is no such kernel.
        """
        if heatmap_kernel not in HEATMAP_KERNELS:
            raise unknown("heatmap kernel", heatmap_kernel, map(str, HEATMAP_KERNELS))
        self.model = model if isinstance(model, Model) else Model(model)
        self.config = config_of(self.model, PoseLandmarkConfig, ("landmarks", "presence"))
        has_heatmap = "heatmap" in self.model.outputs
        for wanted, purpose, head in ((refine, "Refinement", "heatmap"), (segment, "A mask", "segmentation")):
            if wanted and head not in self.model.outputs:
                raise ConfigError(
                    f"{purpose} needs the head {head}, which {self.model.name} lacks. Export it or turn it off."
                )
        self.refine = has_heatmap if refine is None else refine
        self.heatmap_kernel = heatmap_kernel
        self.segment = segment

    def find(self, rgb: np.ndarray, roi: Roi, watch: Stopwatch | None = None) -> RoiLandmarks:
        """Runs the network on one region, whether or not it turns out to hold a person.

        Args:
            rgb: `(height, width, 3)` uint8 RGB.
            roi: the region.
            watch: gets the laps `crop`, `infer` and `post`.
        Raises:
            ShapeError: `rgb` is no such image.
        """
        check_rgb(rgb)
        watch = watch or Stopwatch()
        height, width = rgb.shape[:2]
        tensor = roi_tensor(rgb, roi, self.config)
        watch.lap("crop")
        outputs = self.model.run(tensor)
        watch.lap("infer")
        landmarks = decode_landmarks(outputs["landmarks"], self.config)
        if self.refine:
            landmarks = refine_landmarks(landmarks, outputs["heatmap"], self.heatmap_kernel)
        landmarks = project_landmarks(landmarks, roi, roi_padding(roi, width, height))
        body = landmarks[: self.config.num_body_landmarks]
        raw_world = outputs.get("world_landmarks")
        has_auxiliary = max(self.config.roi_landmarks) < self.config.num_landmarks
        result = RoiLandmarks(
            roi=roi,
            presence=float(outputs["presence"][0, 0]),
            landmarks=body,
            world_landmarks=None if raw_world is None else world_landmarks(raw_world, roi, self.config),
            alignment=landmarks[list(self.config.roi_landmarks), :2]
            if has_auxiliary
            else alignment_of_body(body, width, height),
            segmentation=outputs["segmentation"][0, :, :, 0] if self.segment else None,
        )
        watch.lap("post")
        return result
