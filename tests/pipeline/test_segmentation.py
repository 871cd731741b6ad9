from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import golden
import numpy as np
import pytest
from blazeport.pipeline.pose import PoseTracker
from blazeport.pipeline.roi import Roi
from blazeport.pipeline.segmentation import project_mask, smooth_mask

Official = Callable[[str], Path]


def overlap(mask: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of what is above one half."""
    return float(((mask > 0.5) & (other > 0.5)).sum() / ((mask > 0.5) | (other > 0.5)).sum())


def test_the_mask_of_the_pose_photo_equals_mediapipes(official: Official, data_dir: Path) -> None:
    rgb = golden.read_photo(data_dir, "tfjs_pose.jpg")
    tracker = PoseTracker(official("pose_detection"), official("pose_landmark_full"), static=True, segment=True)
    mask = tracker.process(rgb).people[0].mask
    assert mask is not None
    assert (mask.shape, mask.dtype) == (rgb.shape[:2], np.float32)
    assert 0 <= mask.min() <= mask.max() <= 1
    recorded = np.load(data_dir / "golden/golden_seg_tfjs_pose_full.npy").astype(np.float32)
    assert overlap(mask, recorded) >= 0.98
    assert np.abs(mask - recorded).mean() < 1e-3
    published = cv2.imread(str(data_dir / "mediapipe_testdata/tfjs/pose-detection/test_data/pose_segmentation.png"))
    assert published is not None
    assert overlap(mask, published[:, :, 0] / 255) >= 0.95  # blue is the person, red the rest


def test_a_region_is_filled_and_nothing_beside_it() -> None:
    mask = project_mask(np.full((256, 256), 20, np.float32), Roi(0.5, 0.5, 0.25, 0.5, 0), 400, 200)
    assert mask[52:148, 152:248].min() > 0.99
    assert mask[:, :148].max() == mask[:48].max() == 0


def test_a_turned_region_gives_a_turned_mask() -> None:
    logits = np.full((256, 256), -20, np.float32)
    logits[:128] = 20  # towards the head, which is on the right
    mask = project_mask(logits, Roi(0.5, 0.5, 0.5, 0.5, math.pi / 2), 200, 200)
    assert mask[60:140, 110:140].min() > 0.99
    assert mask[60:140, 60:90].max() < 0.01


def test_certain_pixels_are_new_and_uncertain_ones_mostly_old() -> None:
    previous = np.array([[0.0, 1.0, 1.0]], np.float32)
    smoothed = smooth_mask(np.array([[1.0, 0.0, 0.5]], np.float32), previous)
    assert smoothed[0, :2] == pytest.approx([1, 0], abs=0.02)
    assert smoothed[0, 2] == pytest.approx(0.5 + 0.5 * 0.7)


def test_masks_of_a_stream_may_be_smoothed(official: Official, data_dir: Path) -> None:
    frames = golden.read_clip(data_dir, "tfjs_pose_squats", 3)

    def masks(smooth_masks: bool) -> list[np.ndarray]:
        tracker = PoseTracker(
            official("pose_detection"), official("pose_landmark_lite"), segment=True, smooth_masks=smooth_masks
        )
        found = [tracker.process(frame).people[0].mask for frame in frames]
        assert all(mask is not None for mask in found)
        return [mask for mask in found if mask is not None]

    plain, smoothed = masks(False), masks(True)
    assert np.array_equal(plain[0], smoothed[0])
    assert overlap(plain[2], smoothed[2]) > 0.9
    assert not np.array_equal(plain[2], smoothed[2])
