"""What is converted: the official weights of a variant, or a user's own Keras file of one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, InputError
from ..files import sha256_of
from ..models.config import VARIANTS, VariantConfig, get_config
from ..weights.fetch import official_file
from ..weights.sources import OFFICIAL

NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True)
class Source:
    """The weights that a file is made from.

    Attributes:
        config: the variant.
        path: the file that holds the weights.
        official: they are MediaPipe's.
        licence: licence of the weights.
        author: who made them.
    """

    config: VariantConfig
    path: Path
    official: bool
    licence: str
    author: str

    @property
    def sha256(self) -> str:
        """Of the file that holds the weights."""
        return sha256_of(self.path)

    def build(self) -> Any:
        """The Keras model. Raises `WeightsError` or `InputError` when the weights do not fit. Imports TensorFlow."""
        from ..models.build import build_model

        model = build_model(self.config.name, self.path)
        self._require_fit(model)
        return model

    def _require_fit(self, model: Any) -> None:
        heads = {head.name: head.shape for head in self.config.heads}
        shapes: list[tuple[str, tuple[int, ...], Any]] = [("the input", self.config.input_shape, model.inputs[0].shape)]
        shapes += [(layer.name, heads[layer.name], layer.output.shape) for layer in model.layers if layer.name in heads]
        for name, expected, received in shapes:
            if tuple(received[1:]) != expected[1:]:
                raise InputError(
                    f"{self.path} is not {self.config.name}: expected {name} {expected[1:]}, received "
                    f"{tuple(received[1:])}. Name its network with --variant."
                )


def open_source(name: str, variant: str | None = None) -> Source:
    """The source a user names.

    Args:
        name: a variant (its official weights are fetched), or the path of a `.keras`, `.weights.h5`, `.tflite` or
            `.pth` file.
        variant: what network a file is. Where it is None, the file's name must begin with the variant's.
    Raises:
        ConfigError: neither a variant nor a file of a known kind, or a file whose variant is not known.
        InputError: there is no such file.
        WeightsError: the official weights cannot be had.
    """
    path = Path(name)
    if path.suffix in (".keras", ".h5", ".tflite", ".pth"):
        if not path.is_file():
            raise InputError(f"Expected the name of a variant or an existing file. {path} does not exist.")
        config = get_config(variant or _variant_in(path.name))
    elif variant is not None:
        raise ConfigError(
            f"--variant goes with a .keras, .weights.h5, .tflite or .pth file. Received: SOURCE {name!r}."
        )
    else:
        config = get_config(name)
        path = official_file(config.name)
    known = OFFICIAL[config.name]
    if sha256_of(path) in known.sha256s:
        return Source(config=config, path=path, official=True, licence=known.licence, author=known.origin)
    return Source(config=config, path=path, official=False, licence=NOT_STATED, author=NOT_STATED)


def _variant_in(file_name: str) -> str:
    fitting = [known for known in VARIANTS if file_name.startswith(known)]
    if not fitting:
        raise ConfigError(
            f"Which network is in {file_name}? Name it with --variant. Expected one of: {', '.join(VARIANTS)}."
        )
    return max(fitting, key=len)


class KerasRunner:
    """Runs a Keras model as the parity gate runs a file: input → output name → float32 array."""

    def __init__(self, model: Any) -> None:
        from ..models.keras_api import tf

        self._run = tf.function(functools.partial(model, training=False))

    def __call__(self, image: np.ndarray) -> Mapping[str, np.ndarray]:
        """Runs the network once on `(1, S, S, 3)` float32."""
        return {name: np.asarray(value) for name, value in self._run(image).items()}
