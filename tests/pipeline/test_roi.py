from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from blazeport.pipeline.roi import Roi, roi_from_points


def point(x: float, y: float) -> np.ndarray:
    return np.array([x, y], np.float32)


def test_an_upright_person_gives_an_unrotated_square() -> None:
    roi = roi_from_points(point(0.5, 0.5), point(0.5, 0.25), 200, 400, 1.25)
    assert roi is not None
    assert list(asdict(roi).values()) == pytest.approx([0.5, 0.5, 250 / 200, 250 / 400, 0.0])


@pytest.mark.parametrize(
    ("rim", "degrees"),
    [((1.0, 0.5), 90), ((0.5, 1.0), -180), ((0.0, 0.5), -90), ((0.75, 0.25), 45)],
    ids=["to the right", "upside down", "to the left", "leaning"],
)
def test_the_rotation_is_clockwise_from_upright(rim: tuple[float, float], degrees: float) -> None:
    roi = roi_from_points(point(0.5, 0.5), point(*rim), 300, 300, 1.25)
    assert roi is not None
    assert math.degrees(roi.rotation) == pytest.approx(degrees, abs=1e-4)
    assert -math.pi <= roi.rotation < math.pi


@pytest.mark.parametrize("rim", [(0.5, 0.5), (math.nan, 0.1), (math.inf, 0.1)], ids=["same point", "NaN", "infinite"])
def test_a_circle_without_size_gives_no_region(rim: tuple[float, float]) -> None:
    assert roi_from_points(point(0.5, 0.5), point(*rim), 300, 300, 1.25) is None


def test_corners_run_clockwise_from_the_crops_top_left() -> None:
    assert Roi(0.5, 0.5, 0.5, 0.25, 0.0).corners(100, 200) == pytest.approx(
        np.array([[25, 75], [75, 75], [75, 125], [25, 125]])
    )
    lying = Roi(0.5, 0.5, 0.5, 0.5, math.pi / 2).corners(100, 100)  # the head is to the right
    assert lying == pytest.approx(np.array([[75, 25], [75, 75], [25, 75], [25, 25]]))


def test_regions_are_bit_equal_to_mediapipes_on_every_photo(data_dir: Path) -> None:
    golden = json.loads((data_dir / "golden/golden_images.json").read_text())["images"]
    compared = 0
    for name, photo in golden.items():
        recorded = photo["pose"]["full"]
        if recorded["detection"]:
            center, rim = np.array(recorded["detection"]["keypoints"], np.float32)[:2]
            roi = roi_from_points(center, rim, photo["width"], photo["height"], 1.25)
            assert roi == Roi(**recorded["roi_from_detection"]), name
            compared += 1
    assert compared == 108
