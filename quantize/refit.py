"""Makes the ranges that blazeport brings for its recipes.

`python -m blazeport.quantize.refit PHOTOS [--map-mib N] [NAME]...`: a folder's calibration side is used, as
`split_media` decides. A NAME is an artifact's, such as `pose_landmark_lite.landmarks.int8`; without one, all are made.
`--map-mib` gives more memory to the largest feature map over all samples, and so more samples to large networks.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator
from pathlib import Path

from ..convert.inputs import find_media
from ..convert.source import open_source
from ..errors import unknown
from ..files import write_atomic
from ..models.config import VARIANTS, PoseLandmarkConfig, get_config
from .calibration import calibration_on
from .graph import read_graph
from .quantizer import LARGEST_MAP_BYTES, RecipeQuantizer
from .recipes import SHIPPED, shipped_recipe, stored_path
from .split import split_media


def shipped_files() -> Iterator[tuple[str, tuple[str, ...], str, Path]]:
    """Variant, heads, precision and path of everything that is shipped."""
    for variant, config in VARIANTS.items():
        presets = ("all", "landmarks") if isinstance(config, PoseLandmarkConfig) else ("all",)
        for recipe in sorted(SHIPPED.glob(f"{variant}.*.json")):
            precision = recipe.name.split(".")[1]
            for preset in presets:
                heads = config.presets[preset] if preset != "all" else config.head_names
                yield variant, heads, precision, stored_path(variant, heads, precision)


def refit(photos: Path, names: list[str], largest_map_bytes: int = LARGEST_MAP_BYTES) -> None:
    """Makes the stored ranges of these artifacts anew, all when there are no names; `RecipeQuantizer.fit` has the rest.

    Raises:
        ConfigError: there is no such artifact.
    """
    known = [path.stem for *_, path in shipped_files()]
    for name in names:
        if name not in known:
            raise unknown("artifact with stored ranges", name, known)
    from ..convert.tflite import to_tflite

    calibration = calibration_on(split_media(find_media(photos)).calibration)
    model = functools.lru_cache(1)(lambda variant: open_source(variant).build())
    for variant, heads, precision, path in shipped_files():
        if names and path.stem not in names:
            continue
        source = open_source(variant)
        content = to_tflite(model(variant), source.config, heads, "fp32", licence=source.licence, author=source.author)
        quantizer = RecipeQuantizer(shipped_recipe(variant, precision), calibration, get_config(variant))
        fitted = quantizer.fit(read_graph(content), largest_map_bytes=largest_map_bytes).to_bytes()
        write_atomic(path, fitted)
        print(f"{path.name}  {len(fitted):,} bytes", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m blazeport.quantize.refit", description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--map-mib", type=int, default=LARGEST_MAP_BYTES // 2**20)
    given = parser.parse_intermixed_args()
    refit(given.photos, given.names, given.map_mib * 2**20)
