"""How far a landmark network's results are from another's on the same crops, in px of the crop.

Needs NumPy only and takes any function from an input to named outputs: a file in LiteRT, a phone, a simulated network.
Landmarks are taken as the network gives them, without heatmap refinement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..convert.parity import Runner
from ..models.config import PoseLandmarkConfig
from ..pipeline.skeleton import HIPS, SHOULDERS
from .controls import add_noise
from .figures import Figure, Meaning, mean_of, rms_ratio_of, share_of

USED_HEADS = ("landmarks", "presence", "world_landmarks")
TORSO_SHARE = 0.2
CM_PER_M = 100.0
JITTER_CROPS, JITTER_REPEATS = 8, 16

LANDMARK_FIGURES: dict[str, Meaning] = {
    "visible_px": Meaning(
        "visible points, px", "Mean distance over points that the reference sees (visibility > 0.5).", 2
    ),
    "all_px": Meaning("all 33 points, px", "Mean distance over all points of the body.", 2),
    "within_torso_percent": Meaning(
        "within 0.2 torso", "Visible points nearer than 0.2 of the way from mid-hip to mid-shoulder (PCK@0.2).", 1
    ),
    "z_px": Meaning("z, px", "Mean difference in depth over visible points.", 2),
    "world_cm": Meaning("world, cm", "Mean distance of the world landmarks over visible points.", 2),
    "presence_flips_percent": Meaning(
        "presence flips",
        "Crops, those without a person too, in which only one of the two says that a person is there.",
        1,
    ),
    "presence_kept_percent": Meaning("presence kept", "The other crops.", 1),
    "visibility_agreement_percent": Meaning(
        "visibility agreement", "Points of all 33 on whose visibility above or below 0.5 both agree.", 1
    ),
    "jitter_ratio": Meaning(
        "jitter / float", "How much visible points move on a still under ±1/255 pixel noise, as a multiple of float.", 2
    ),
}
"""Figure → how it is shown, in the order of the tables."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LandmarkErrors:
    """What two landmark networks say of the same `n` crops. Points are the body's 33.

    Attributes:
        presence: `(n,)` the candidate's, in [0, 1].
        reference_presence: `(n,)` the reference's.
        distance_px: `(n, 33)` between the two, in the plane of the crop.
        z_px: `(n, 33)` absolute difference in depth.
        world_cm: `(n, 33)` distance of the world landmarks; NaN where not both networks have them.
        torso_px: `(n,)` the reference's distance from mid-hip to mid-shoulder.
        visible: `(n, 33)` the reference's visibility is above 0.5.
        visibility_agrees: `(n, 33)` both are on the same side of 0.5.
        min_presence: a crop whose presence is not above this holds no person.
    """

    presence: np.ndarray
    reference_presence: np.ndarray
    distance_px: np.ndarray
    z_px: np.ndarray
    world_cm: np.ndarray
    torso_px: np.ndarray
    visible: np.ndarray
    visibility_agrees: np.ndarray
    min_presence: float

    @property
    def present(self) -> np.ndarray:
        """`(n,)` the reference finds a person; only these crops count for landmarks."""
        return np.asarray(self.reference_presence > self.min_presence)

    @property
    def presence_flips(self) -> np.ndarray:
        """`(n,)` only one of the two finds a person."""
        return np.asarray((self.presence > self.min_presence) != self.present)

    @property
    def visible_px(self) -> np.ndarray:
        """`(n,)` mean distance over the visible points of each crop; NaN where none is visible."""
        counts = self.visible.sum(axis=1)
        sums = (self.distance_px * self.visible).sum(axis=1)
        return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)

    def figures(self) -> dict[str, Figure]:
        """The figures of `LANDMARK_FIGURES`, but for `jitter_ratio`."""
        present, flips = self.present, self.presence_flips
        visible = self.visible[present]
        seen, points, crops = visible.sum(axis=1), np.full(len(visible), visible.shape[1]), np.ones(len(flips), int)

        def over_visible(values: np.ndarray) -> np.ndarray:
            return np.asarray(np.where(visible, values, 0).sum(axis=1))

        distance = self.distance_px[present]
        near = distance < TORSO_SHARE * self.torso_px[present, np.newaxis]
        figures = {
            "visible_px": mean_of(over_visible(distance), seen),
            "all_px": mean_of(distance.sum(axis=1), points),
            "within_torso_percent": share_of(over_visible(near), seen),
            "z_px": mean_of(over_visible(self.z_px[present]), seen),
            "presence_flips_percent": share_of(flips.astype(int), crops),
            "presence_kept_percent": share_of((~flips).astype(int), crops),
            "visibility_agreement_percent": share_of(self.visibility_agrees[present].sum(axis=1), points),
        }
        if np.isfinite(self.world_cm).all():
            figures["world_cm"] = mean_of(over_visible(self.world_cm[present]), seen)
        return {name: figures[name] for name in LANDMARK_FIGURES if name in figures}


def landmark_errors(
    candidate: Runner, reference: Runner, crops: Iterable[np.ndarray], config: PoseLandmarkConfig
) -> LandmarkErrors:
    """Runs both networks on every crop.

    Args:
        candidate: input → output name → float32 array; needs `landmarks` and `presence`.
        reference: likewise.
        crops: float32 `(1, 256, 256, 3)` in [0, 1].
        config: the landmark network.
    """
    rows = [_compare(candidate(crop), reference(crop), config) for crop in crops]
    columns = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    return LandmarkErrors(**(columns or _no_crops(config)), min_presence=config.min_presence)


def jitter_ratio(
    candidate: Runner, reference: Runner, crops: Sequence[np.ndarray], config: PoseLandmarkConfig, *, seed: int = 0
) -> Figure:
    """How much a network's visible points move on a still, against another's.

    Up to 8 of the crops, spread evenly, are shown 16 times under ±1/255 pixel noise, the same to both.

    Args:
        candidate: input → output name → float32 array; needs `landmarks`.
        reference: likewise; says which points are visible.
        crops: float32 `(1, 256, 256, 3)` in [0, 1], each with a person.
        config: the landmark network.
        seed: of the noise.
    Returns:
        Ratio of the root mean squares of the movement around the mean position; `n` is the number of crops.
    """
    picked = np.unique(np.linspace(0, len(crops) - 1, min(JITTER_CROPS, len(crops))).round().astype(int))
    squares: list[float] = []
    reference_squares: list[float] = []
    for index in picked:
        rng = np.random.default_rng((seed, int(index)))
        stills = [add_noise(crops[index], config, rng) for _ in range(JITTER_REPEATS)]
        expected = np.array([_body(reference(still), config) for still in stills])  # (16, 33, 5)
        received = np.array([_body(candidate(still), config) for still in stills])
        visible = expected[:, :, 3].mean(axis=0) > 0
        for points, into in ((received, squares), (expected, reference_squares)):
            into.append(float(points[:, visible, :2].var(axis=0).sum()))
    return rms_ratio_of(np.array(squares), np.array(reference_squares))


def _body(outputs: Mapping[str, np.ndarray], config: PoseLandmarkConfig) -> np.ndarray:
    """`(33, 5)` float64: x y z in px of the crop, visibility and presence logits."""
    raw = outputs["landmarks"].reshape(config.num_landmarks, -1)
    return raw[: config.num_body_landmarks].astype(np.float64)


def _compare(
    candidate: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], config: PoseLandmarkConfig
) -> dict[str, np.ndarray | float]:
    received, expected = _body(candidate, config), _body(reference, config)
    torso = expected[list(SHOULDERS), :2].mean(axis=0) - expected[list(HIPS), :2].mean(axis=0)
    world = np.full(len(expected), np.nan)
    if "world_landmarks" in candidate and "world_landmarks" in reference:
        metres = candidate["world_landmarks"].astype(np.float64) - reference["world_landmarks"]
        world = np.linalg.norm(metres.reshape(config.num_landmarks, 3)[: len(expected)], axis=1) * CM_PER_M
    return {
        "presence": float(candidate["presence"].item()),
        "reference_presence": float(reference["presence"].item()),
        "distance_px": np.linalg.norm(received[:, :2] - expected[:, :2], axis=1),
        "z_px": np.abs(received[:, 2] - expected[:, 2]),
        "world_cm": world,
        "torso_px": float(np.linalg.norm(torso)),
        "visible": expected[:, 3] > 0,
        "visibility_agrees": (received[:, 3] > 0) == (expected[:, 3] > 0),
    }


def _no_crops(config: PoseLandmarkConfig) -> dict[str, np.ndarray]:
    shape = (0, config.num_body_landmarks)
    return {
        **dict.fromkeys(("presence", "reference_presence", "torso_px"), np.zeros(0)),
        **dict.fromkeys(("distance_px", "z_px", "world_cm"), np.zeros(shape)),
        **dict.fromkeys(("visible", "visibility_agrees"), np.zeros(shape, bool)),
    }
