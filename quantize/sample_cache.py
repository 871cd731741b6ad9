"""Calibration samples on disk, so that quantizing again does not read the photos again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..convert.artifact import code_sha256
from ..convert.inputs import ImageInput, Origin
from ..errors import OutputError
from ..files import atomic_path, cache_dir
from ..models.config import VariantConfig
from ..pipeline.roi import Roi

MAX_CACHE_BYTES = 2**30
_FOLDER = "samples"


@dataclass(frozen=True, eq=False)
class SampleSet:
    """What a network sees of photos and videos.

    Attributes:
        tensors: `(N, height, width, 3)` float32 in the network's range.
        origins: where each is from.
        skipped: which of the files cannot be read, by their places in the list.
    """

    tensors: np.ndarray
    origins: tuple[Origin, ...]
    skipped: tuple[int, ...]


def cache_key(config: VariantConfig | ImageInput, drawn: Sequence[object]) -> str:
    """The name of an entry: everything that decides the samples, this code included, as 64 hex digits.

    Args:
        config: the network.
        drawn: the media's sha256 and how samples are drawn from them, as JSON values.
    """
    network = dataclasses.asdict(config) if isinstance(config, ImageInput) else config.name
    return hashlib.sha256(json.dumps([network, list(drawn), code_sha256()]).encode()).hexdigest()


def load(key: str, shape: tuple[int, ...]) -> SampleSet | None:
    """An entry of the cache; None when there is none, or it is damaged or does not fit `(1, height, width, 3)`."""
    path = _path(key)
    try:
        # The archive's checksums are verified on reading.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            tensors, record = stored["tensors"], json.loads(stored["record"].tobytes())
        origins = tuple(_origin(origin) for origin in record["origins"])
        skipped = tuple(int(index) for index in record["skipped"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        return None
    if tensors.dtype != np.float32 or tensors.shape != (len(origins), *shape[1:]):
        return None
    with contextlib.suppress(OSError):
        path.touch()  # What is used stays longest.
    return SampleSet(tensors, origins, skipped)


def store(key: str, samples: SampleSet) -> None:
    """Adds an entry, atomically, and drops the oldest beyond 1 GiB. A cache that cannot be written is left alone."""
    if 2 * samples.tensors.nbytes > MAX_CACHE_BYTES:
        return
    record = {
        "origins": [dataclasses.asdict(origin) for origin in samples.origins],
        "skipped": list(samples.skipped),
    }
    with contextlib.suppress(OutputError, OSError):
        with atomic_path(_path(key)) as temporary:
            np.savez(temporary, tensors=samples.tensors, record=np.frombuffer(json.dumps(record).encode(), np.uint8))
        _drop_oldest()


def _path(key: str) -> Path:
    return cache_dir() / _FOLDER / f"{key}.npz"


def _drop_oldest() -> None:
    entries = {path: path.stat() for path in (cache_dir() / _FOLDER).glob("*.npz")}
    total = sum(entry.st_size for entry in entries.values())
    for path in sorted(entries, key=lambda path: entries[path].st_mtime_ns):
        if total <= MAX_CACHE_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= entries[path].st_size


def _origin(record: dict[str, Any]) -> Origin:
    return Origin(**{**record, "roi": record["roi"] and Roi(**record["roi"])})
