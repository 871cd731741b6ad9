"""What networks see of a folder of photos, as their files take it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..benchmarks.cells import model_record
from ..convert.inputs import find_media, network_inputs
from ..errors import InputError
from ..models.config import VariantConfig, get_config
from ..runtime.interpreter import Model, TensorSpec, stored_values

DEFAULT_INPUTS = 8
FindReference = Callable[[str], Path]


class Inputs:
    """What the networks see of a folder of photos, per file.

    Args:
        files: the networks.
        folder: photos and videos.
        limit: inputs per file, spread evenly.
        find_reference: variant → its official file; None leaves that comparison out.
    Raises:
        InputError: a file cannot be read or fits no variant, or nothing in the photos is for it.
    """

    def __init__(
        self,
        files: Sequence[Path],
        folder: Path,
        *,
        limit: int = DEFAULT_INPUTS,
        find_reference: FindReference | None = None,
    ) -> None:
        self._media, self._folder, self._limit = find_media(folder), folder, limit
        self._floats: dict[Path, tuple[np.ndarray, ...]] = {}
        self._specs: dict[Path, TensorSpec] = {}
        self._variants: dict[Path, str] = {}
        self._find_reference = find_reference
        self._made: dict[str, tuple[np.ndarray, ...]] = {}
        for path in files:
            self.add(path)

    def add(self, path: Path) -> None:
        """Prepares the inputs of one more file. Raises as the constructor."""
        with Model(path) as model:
            name = model.variant or (model.candidates or ("",))[0] or model_record(path).variant or ""
            spec = model.input
        if not name:
            raise InputError(
                f"{path} has outputs that fit no variant, so no photo can be prepared for it: an output is missing or "
                "has another's name."
            )
        if name not in self._made:
            self._made[name] = tuple(network_inputs(get_config(name), self._media, limit=self._limit))
        if not self._made[name]:
            raise InputError(f"Expected photos in {self._folder} with something for {name} to see. Found none.")
        self._floats[path], self._variants[path], self._specs[path] = self._made[name], name, spec

    def floats(self, path: Path) -> tuple[np.ndarray, ...]:
        """`(1, S, S, 3)` float32 in the network's range."""
        return self._floats[path]

    def stored(self, path: Path) -> tuple[np.ndarray, ...]:
        """The same as the file takes them: quantized where its input is."""
        return tuple(stored_values(image, self._specs[path]) for image in self._floats[path])

    def sha256(self, path: Path) -> str:
        """Of the inputs of a file, as it takes them."""
        return hashlib.sha256(b"".join(image.tobytes() for image in self.stored(path))).hexdigest()

    def config(self, path: Path) -> VariantConfig:
        """The variant that a file is."""
        return get_config(self._variants[path])

    def reference(self, path: Path) -> Path | None:
        """The official file of the same variant."""
        return self._find_reference(self._variants[path]) if self._find_reference else None
