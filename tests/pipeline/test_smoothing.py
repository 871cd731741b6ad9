from __future__ import annotations

import math

import numpy as np
import pytest
from blazeport.pipeline.landmarker import RoiLandmarks
from blazeport.pipeline.roi import Roi
from blazeport.pipeline.smoothing import BodySmoother, LowPass, OneEuroFilter

FRAME_US = 33_333


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def found(x: float, visibility: float = 0.5, world: float = 0.0, size: float = 0.25) -> RoiLandmarks:
    landmarks = np.tile(values(x, x, x, visibility, 0.7), (33, 1))
    return RoiLandmarks(
        roi=Roi(0.5, 0.5, 1, 1, 0),
        presence=0.9,
        landmarks=landmarks,
        world_landmarks=np.full((33, 3), world, np.float32),
        alignment=np.array([[x, 0.5], [x, 0.5 - size]], np.float32),
    )


def test_a_low_pass_starts_at_the_first_values_and_then_mixes() -> None:
    low_pass = LowPass()
    assert low_pass.filter(values(1, 5), np.float32(0.1)).tolist() == [1, 5]
    assert low_pass.filter(values(2, 5), np.float32(0.1)) == pytest.approx([1.1, 5])
    assert low_pass.filter(values(2, 5), np.float32(0.1)) == pytest.approx([1.19, 5])


def test_one_euro_follows_its_formula() -> None:
    smoother = OneEuroFilter(min_cutoff=0.05, beta=80)
    assert smoother.filter(values(10), 1_000_000).tolist() == [10]

    period, scale = 0.04, 1 / 200
    alpha = 1 / (1 + 1 / (2 * math.pi * period * 1.0))
    speed = alpha * (14 - 10) * scale / period
    weight = 1 / (1 + 1 / (2 * math.pi * period * (0.05 + 80 * speed)))
    assert smoother.filter(values(14), 1_040_000, scale) == pytest.approx([10 + weight * 4], rel=1e-6)


def test_one_euro_smooths_rest_much_and_motion_little() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 300).astype(np.float32)
    rest, motion = (OneEuroFilter(min_cutoff=0.05, beta=80) for _ in range(2))
    still = [float(rest.filter(values(x), i * FRAME_US, 1 / 500)[0]) for i, x in enumerate(noise)]
    line = [float(motion.filter(values(20 * i), i * FRAME_US, 1 / 500)[0]) for i in range(300)]
    assert np.std(still[100:]) < 0.7 * np.std(noise[100:])
    assert abs(line[-1] - 20 * 299) < 1


def test_a_reset_filter_passes_the_next_values_unchanged() -> None:
    smoother = OneEuroFilter(min_cutoff=0.05, beta=80)
    smoother.filter(values(1), 1)
    smoother.reset()
    assert smoother.filter(values(9), 2).tolist() == [9]


def test_the_input_is_left_as_it_was() -> None:
    smoother, given = BodySmoother(), found(0.4)
    smoother.smooth(given, 100, 100, 0)
    later = found(0.5)
    smoother.smooth(later, 100, 100, FRAME_US)
    assert (given.landmarks[:, :3] == np.float32(0.4)).all()
    assert (later.landmarks[:, :3] == np.float32(0.5)).all()


def test_visibility_is_averaged_and_presence_is_not() -> None:
    smoother = BodySmoother()
    smoother.smooth(found(0.5, visibility=1), 100, 100, 0)
    smoothed = smoother.smooth(found(0.5, visibility=0), 100, 100, FRAME_US)
    assert smoothed.landmarks[:, 3] == pytest.approx(0.9)
    assert smoothed.landmarks[:, 4] == pytest.approx(0.7)


def test_a_loss_resets_the_image_but_neither_visibility_nor_metres() -> None:
    smoother = BodySmoother()
    smoother.smooth(found(0.2, visibility=1, world=1), 100, 100, 0)
    smoother.lose()
    smoothed = smoother.smooth(found(0.8, visibility=0, world=0), 100, 100, FRAME_US)
    assert smoothed.landmarks[:, :3] == pytest.approx(0.8)
    assert smoothed.alignment[:, 0] == pytest.approx(0.8)
    assert smoothed.landmarks[:, 3] == pytest.approx(0.9)
    assert smoothed.world_landmarks is not None
    assert (smoothed.world_landmarks > 0.01).all()


def test_without_smoothing_only_the_next_region_is_smoothed() -> None:
    smoother = BodySmoother(smooth_landmarks=False)
    smoother.smooth(found(0.2), 100, 100, 0)
    smoothed = smoother.smooth(found(0.8, visibility=0.1, world=2), 100, 100, FRAME_US)
    assert smoothed.landmarks[:, :4] == pytest.approx(found(0.8, visibility=0.1).landmarks[:, :4])
    assert (smoothed.world_landmarks == 2).all()
    assert 0.2 < smoothed.alignment[0, 0] < 0.8


def test_a_body_without_size_passes_unsmoothed() -> None:
    smoother = BodySmoother()
    smoother.smooth(found(0.2), 100, 100, 0)
    smoothed = smoother.smooth(found(0.8, size=0), 100, 100, FRAME_US)
    assert smoothed.landmarks[:, :3] == pytest.approx(0.8)


def test_files_without_world_landmarks_are_smoothed_too() -> None:
    bare = found(0.5)
    smoothed = BodySmoother().smooth(
        RoiLandmarks(bare.roi, bare.presence, bare.landmarks, None, bare.alignment), 100, 100, 0
    )
    assert smoothed.world_landmarks is None
