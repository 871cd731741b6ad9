"""Makes the ranges that blazeport brings for its recipes: `python -m blazeport.quantize.refit PHOTOS [NAME]...`.

A folder's calibration side is used, as `split_media` decides; a NAME is an artifact's, such as
`pose_landmark_lite.landmarks.int8`. Without one, all are made.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from ..convert.inputs import find_media
from ..convert.source import open_source
from ..files import write_atomic
from ..models.config import VARIANTS, PoseLandmarkConfig, get_config
from .calibration import calibration_on
from .graph import read_graph
from .quantizer import RecipeQuantizer
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


def refit(photos: Path, names: list[str]) -> None:
    """Makes the stored ranges of these artifacts anew, all when there are no names."""
    from ..convert.tflite import to_tflite

    calibration = calibration_on(split_media(find_media(photos)).calibration)
    model = functools.lru_cache(1)(lambda variant: open_source(variant).build())
    for variant, heads, precision, path in shipped_files():
        if names and path.stem not in names:
            continue
        source = open_source(variant)
        content = to_tflite(model(variant), source.config, heads, "fp32", licence=source.licence, author=source.author)
        quantizer = RecipeQuantizer(shipped_recipe(variant, precision), calibration, get_config(variant))
        fitted = quantizer.fit(read_graph(content)).to_bytes()
        write_atomic(path, fitted)
        print(f"{path.name}  {len(fitted):,} bytes", flush=True)


if __name__ == "__main__":
    refit(Path(sys.argv[1]), sys.argv[2:])
