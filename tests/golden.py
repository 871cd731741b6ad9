"""MediaPipe's own results on the evaluation photos, and the photos as it saw them."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from blazeport.pipeline.image import read_image

FILES = {7: "golden_images_k7.json", 9: "golden_images.json"}


@functools.cache
def photos(data_dir: Path, kernel: int = 9) -> dict[str, Any]:
    """Photo's name → what MediaPipe 0.10.21 found, with this side of the heatmap refinement's window."""
    return json.loads((data_dir / "golden" / FILES[kernel]).read_text())["images"]


def read_photo(data_dir: Path, name: str) -> np.ndarray:
    """The photo; fails when this machine decodes other pixels than MediaPipe saw."""
    rgb = read_image(data_dir / "images" / name)
    assert hashlib.sha256(rgb.tobytes()).hexdigest() == photos(data_dir)[name]["rgb_sha256"], name
    return rgb
