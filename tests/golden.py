"""MediaPipe's own results on the evaluation photos and clips, and these as it saw them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from blazeport.pipeline.image import read_image
from blazeport.pipeline.video import open_video
from blazeport.runtime import engine
from blazeport.runtime.interpreter import Model

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


@functools.cache
def video(data_dir: Path, clip: str, kernel: int = 9) -> dict[str, Any]:
    """What MediaPipe 0.10.21 found in each frame of a clip, with its landmarks `_raw` and `_smooth`."""
    prefix = "golden_video" if kernel == 9 else f"golden_k{kernel}_video"
    return json.loads((data_dir / "golden" / f"{prefix}_{clip}.json").read_text())


def read_clip(data_dir: Path, clip: str, count: int) -> list[np.ndarray]:
    """The first frames of a clip; fails when this machine decodes another first frame than MediaPipe saw."""
    stream = open_video(data_dir / "clips" / f"{clip}.mp4")
    with contextlib.closing(stream.frames):
        frames = [frame.rgb for frame in itertools.islice(stream.frames, count)]
    assert hashlib.sha256(frames[0].tobytes()).hexdigest() == video(data_dir, clip)["rgb_sha256_first"], clip
    return frames


def with_other_kernels(path: Path) -> Model:
    """A network on LiteRT's own kernels instead of XNNPACK's.

    XNNPACK chooses kernels by the CPU, so MediaPipe's results can be reached to the last digits on some CPUs only. What
    is further off than that must at least be no further off than two right sets of kernels are from each other.
    """
    with pytest.MonkeyPatch.context() as patch:
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        patch.setattr(
            engine,
            "_load",
            lambda _: SimpleNamespace(
                Interpreter=lambda **options: Interpreter(**options, experimental_op_resolver_type=resolver)
            ),
        )
        return Model(path)


def assert_as_near_as_kernels_are(
    errors: dict[str, float], limits: dict[str, float], noise: Callable[[], dict[str, float]]
) -> None:
    """Fails for an error over its limit, unless it is below twice what other kernels make of the same inputs.

    `noise` is asked only where a limit is exceeded, so where the CPU allows it the limits hold as they are.
    """
    over = [name for name, limit in limits.items() if not errors[name] <= limit]
    if over:
        measured = noise()
        print(f"over: {over}; errors {errors}; kernels {measured}")
        assert {name: errors[name] for name in over if not errors[name] <= 2 * measured[name]} == {}, measured
