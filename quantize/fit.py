"""What calibration finds out about a network: kept, so that the same file can be written again without photos.

A fit holds no weights. A quantized file is made of the float network, a recipe, and a fit.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from .grid import Grid, IntType
from .ranges import Range

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Fit:
    """All that a recipe takes from calibration samples. Tensors go by name.

    Attributes:
        input_range: lowest and highest value of the image.
        output_ranges: output → lowest and highest value; for files with integer outputs.
        factors: tensor → `(C,)` float32 factor of each channel.
        head_ranges: tensor → `(C,)` float32 lowest and highest value of each channel.
        grids: (tensor, integer type) → its grid.
        biases: output of an integer convolution → `(C,)` float64 whole numbers, in steps.
        roundings: likewise → int16, of the kernel's shape: steps away from plain rounding; only where they were chosen.
        media: what the samples were made of, as in a manifest's calibration record.
    """

    input_range: Range
    output_ranges: dict[str, Range]
    factors: dict[str, np.ndarray]
    head_ranges: dict[str, tuple[np.ndarray, np.ndarray]]
    grids: dict[tuple[str, IntType], Grid]
    biases: dict[str, np.ndarray]
    roundings: dict[str, np.ndarray] = field(default_factory=dict)
    media: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The fit as an .npz file; equal fits give equal bytes."""
        head = {
            "schema_version": SCHEMA_VERSION,
            "input_range": self.input_range,
            "output_ranges": self.output_ranges,
            "grids": [[name, dtype, grid.scale, grid.zero_point] for (name, dtype), grid in self.grids.items()],
            "media": self.media,
        }
        arrays = {
            "factors": self.factors,
            "lows": {name: low for name, (low, _) in self.head_ranges.items()},
            "highs": {name: high for name, (_, high) in self.head_ranges.items()},
            "biases": {name: bias.astype(np.int64) for name, bias in self.biases.items()},
            "roundings": {name: steps.astype(np.int16) for name, steps in self.roundings.items()},
        }
        index = {kind: [[name, *array.shape] for name, array in named.items()] for kind, named in arrays.items()}
        text = json.dumps(head | {"index": index}).encode()
        stream = io.BytesIO()
        flat = {kind: _flat(named.values(), _DTYPES[kind]) for kind, named in arrays.items()}
        np.savez_compressed(stream, head=np.frombuffer(text, np.uint8), **flat)
        return stream.getvalue()


_DTYPES = {"factors": np.float32, "lows": np.float32, "highs": np.float32, "biases": np.int64, "roundings": np.int16}


def read_fit(path: Path) -> Fit:
    """Reads a stored fit.

    Raises:
        ConfigError: it is not there, is not a fit, is damaged, or is of another schema version.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            if head["schema_version"] != SCHEMA_VERSION:
                raise ConfigError(f"Stored ranges must have schema version {SCHEMA_VERSION}. Received: {path}.")
            arrays = {kind: _named(stored[kind], head["index"][kind], dtype) for kind, dtype in _DTYPES.items()}
        lows, highs = arrays["lows"], arrays["highs"]
        return Fit(
            input_range=_range(head["input_range"]),
            output_ranges={name: _range(bounds) for name, bounds in head["output_ranges"].items()},
            factors=arrays["factors"],
            head_ranges={name: (low, highs[name]) for name, low in lows.items()},
            grids={(name, dtype): Grid(dtype, float(scale), int(zero)) for name, dtype, scale, zero in head["grids"]},
            biases={name: bias.astype(np.float64) for name, bias in arrays["biases"].items()},
            roundings={name: steps.astype(np.int16) for name, steps in arrays["roundings"].items()},
            media=dict(head["media"]),
        )
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise ConfigError(f"Expected ranges that blazeport stored. {path} cannot be read: {error}.") from error


def _flat(arrays: Iterable[np.ndarray], dtype: Any) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *(array.ravel().astype(dtype) for array in arrays)])


def _named(flat: np.ndarray, index: list[list[Any]], dtype: Any) -> dict[str, np.ndarray]:
    """Name → array of its shape, cut from one flat array. Raises `ValueError` when the sizes do not add up."""
    sizes = [math.prod(shape) for _, *shape in index]
    if flat.dtype != dtype or sum(sizes) != len(flat):
        raise ValueError("the arrays do not match their index")
    parts = np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []
    return {name: part.reshape(shape) for (name, *shape), part in zip(index, parts, strict=True)}


def _range(bounds: Any) -> Range:
    low, high = bounds
    return float(low), float(high)
