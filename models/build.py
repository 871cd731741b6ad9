"""From a variant's name to its Keras model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..weights.fetch import official_file
from ..weights.reader import TfliteGraph, read_tflite
from .blocks import Network
from .config import FaceDetectorConfig, PoseDetectorConfig, PoseLandmarkConfig, VariantConfig, get_config
from .face_detector import build_face_detector
from .importer import import_weights
from .keras_api import keras
from .pose_detector import build_pose_detector
from .pose_landmark import build_pose_landmark
from .torch_checkpoint import SUFFIX, import_state, read_checkpoint

_BUILDERS: dict[type[VariantConfig], Callable[[Any], Network]] = {
    FaceDetectorConfig: build_face_detector,
    PoseDetectorConfig: build_pose_detector,
    PoseLandmarkConfig: build_pose_landmark,
}


def build_network(config: VariantConfig) -> Network:
    """Builds the network of a config with random weights."""
    return _BUILDERS[type(config)](config)


def build_model(variant: str, weights: str | Path | None = "official") -> Any:
    """Builds the Keras model of a variant.

    Args:
        variant: its name, e.g. `pose_landmark_lite`.
        weights: `official` (fetched on first use), None for random ones, or the path of a `.tflite` with the same
            network, of a `.weights.h5`, of a `.keras` file, or of a PyTorch checkpoint (`.pth`, short range only).
    Returns:
        A Keras functional model. Input `image` `(1, S, S, 3)` float32 RGB in the variant's `input_range`; output a dict
        of head name → float32 tensor, see `blazeport models show VARIANT`. Layers that make a head carry its name.
    Raises:
        ConfigError: no such variant.
        WeightsError: the weights cannot be had or do not fit.
        InputError: the file cannot be read.
    """
    config = get_config(variant)
    if isinstance(weights, str) and weights != "official":
        weights = Path(weights)
    if isinstance(weights, Path) and weights.suffix == ".keras":
        return load_keras(weights)
    network = build_network(config)
    if isinstance(weights, Path) and weights.suffix == ".h5":
        _load_h5(network.model, weights)
    elif isinstance(weights, Path) and weights.suffix == SUFFIX:
        import_state(network.model, config, read_checkpoint(weights), str(weights))
    elif weights is not None:
        path = weights if isinstance(weights, Path) else official_file(variant)
        graph = read_tflite(path)
        network = _with_heads_of(graph, network)
        import_weights(network, graph)
    return network.model


def _with_heads_of(graph: TfliteGraph, network: Network) -> Network:
    """The network with the heads that a file has, where it is one of blazeport's exports that lacks some."""
    signed = {} if graph.signature is None else graph.signature["outputs"]
    heads = [name for name in network.config.head_names if name in signed]
    if len(heads) in (0, len(network.config.heads)):
        return network
    layers = {layer.name: layer for layer in network.model.layers}
    outputs = {name: layers[name].output for name in heads}
    model = keras.Model(network.model.inputs, outputs, name=network.model.name)
    kept = {layer.name for layer in model.layers}
    convolutions = tuple(layer for layer in network.convolutions if layer.name in kept)
    return Network(config=network.config, model=model, convolutions=convolutions)


def load_keras(path: Path) -> Any:
    """Loads a user's `.keras` file; only safe content is accepted (no pickled code).

    Raises:
        InputError: there is no such file, or Keras cannot read it.
    """
    if not path.is_file():
        raise InputError(f"Expected a .keras file. {path} does not exist.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its zip, JSON and HDF5 readers raise.
        raise InputError(f"Keras cannot read {path}: {_first_line(error)}") from error


def _load_h5(model: Any, path: Path) -> None:
    if not path.is_file():
        raise InputError(f"Expected a .weights.h5 file. {path} does not exist.")
    try:
        model.load_weights(path)
    except Exception as error:  # As above; a wrong shape is a ValueError, a broken file an OSError.
        raise InputError(f"{path} does not fit {model.name}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
