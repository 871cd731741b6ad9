from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blazeport.models.config import FACE_DETECTION_SHORT_RANGE, POSE_DETECTION, POSE_LANDMARK_LITE
from blazeport.pipeline.image import read_image
from blazeport.pipeline.image_to_tensor import detector_tensor, letterbox_padding, roi_padding, roi_tensor
from blazeport.pipeline.roi import Roi

WHOLE = Roi(0.5, 0.5, 1.0, 1.0, 0.0)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_image_of_the_networks_size_is_only_rescaled() -> None:
    rgb = noise(128, 128)
    tensor = detector_tensor(rgb, FACE_DETECTION_SHORT_RANGE)
    assert tensor.shape == (1, 128, 128, 3)
    assert tensor.dtype == np.float32
    assert np.abs(tensor[0] - (rgb / 127.5 - 1)).max() < 1e-6


def test_pixel_values_0_and_255_become_the_ends_of_the_range() -> None:
    for config in (FACE_DETECTION_SHORT_RANGE, POSE_DETECTION):
        for pixel, value in ((0, -1.0), (255, 1.0)):
            tensor = detector_tensor(np.full((50, 50, 3), pixel, np.uint8), config)
            assert np.abs(tensor - value)[0, 5:-5, 5:-5].max() < 1e-6
    for pixel, value in ((0, 0.0), (255, 1.0)):
        tensor = roi_tensor(np.full((50, 50, 3), pixel, np.uint8), WHOLE, POSE_LANDMARK_LITE)
        assert np.abs(tensor - value).max() < 1e-6


@pytest.mark.parametrize(
    ("width", "height", "padding"),
    [(200, 100, (0.0, 0.25)), (100, 200, (0.25, 0.0)), (64, 64, (0.0, 0.0)), (1000, 1, (0.0, 0.4995))],
    ids=["wide", "tall", "square", "line"],
)
def test_the_shorter_side_is_padded_evenly(width: int, height: int, padding: tuple[float, float]) -> None:
    assert letterbox_padding(width, height) == pytest.approx(padding, abs=1e-6)


def test_the_letterbox_is_black_before_normalisation() -> None:
    tensor = detector_tensor(np.full((64, 128, 3), 255, np.uint8), FACE_DETECTION_SHORT_RANGE)[0]
    assert (tensor[:31] == -1).all()
    assert (tensor[33:95] == 1).all()
    assert (tensor[97:] == -1).all()


def test_a_roi_repeats_the_images_border() -> None:
    rgb = np.full((100, 100, 3), 255, np.uint8)
    assert (roi_tensor(rgb, replace(WHOLE, x_center=2.0), POSE_LANDMARK_LITE) == 1).all()


def test_a_roi_is_turned_upright() -> None:
    rgb = noise(256, 256)
    quarter = roi_tensor(rgb, replace(WHOLE, rotation=math.pi / 2), POSE_LANDMARK_LITE)[0]
    # Corners are mapped to corners, not pixel centres to pixel centres: hence the shift by one row.
    assert np.abs(quarter[1:] - np.rot90(rgb)[:-1].astype(np.float32) / 255).max() < 2 / 255


def test_a_roi_has_no_padding_but_for_its_last_bit() -> None:
    roi = Roi(0.44299620389938354, 0.6250221729278564, 0.4980713725090027, 0.8854602575302124, -0.2765387296676636)
    assert max(roi_padding(roi, 1280, 720)) < 1e-6


@pytest.mark.parametrize(
    ("picture", "roi", "side"),
    [
        ("medium_sub_rect_keep_aspect", Roi(0.65, 0.4, 0.5, 0.5, 0.0), 256),
        ("medium_sub_rect_keep_aspect_with_rotation", Roi(0.65, 0.4, 0.5, 0.5, math.pi / 2), 256),
        ("large_sub_rect_keep_aspect", Roi(0.5, 0.5, 1.5, 1.1, 0.0), 128),
        ("large_sub_rect_keep_aspect_with_rotation", Roi(0.5, 0.5, 1.5, 1.1, math.radians(-15)), 128),
    ],
)
def test_crops_equal_mediapipes_own_test_pictures(data_dir: Path, picture: str, roi: Roi, side: int) -> None:
    folder = data_dir / "mediapipe_testdata/mediapipe/mediapipe/calculators/tensor/testdata/image_to_tensor"
    tensor = roi_tensor(read_image(folder / "input.jpg"), roi, replace(POSE_LANDMARK_LITE, input_size=side))
    assert np.array_equal(np.rint(tensor[0] * 255), read_image(folder / f"{picture}.png"))
