"""Checkpoints of BlazeFace-PyTorch and MediaPipePyTorch (`.pth`): read into our network, and written from it.

Their `BlazeFace` is short range, layer by layer. Their other networks are older than the released ones (a BlazeFace of
256 px for the back camera, a pose detector of 128 px, a landmark network with 31 landmarks) and fit no variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, InputError, RuntimeUnavailable, WeightsError
from ..files import atomic_path
from .config import FACE_DETECTION_SHORT_RANGE, FaceDetectorConfig, VariantConfig

SUFFIX = ".pth"
_FITTING = (FACE_DETECTION_SHORT_RANGE,)
_BEFORE_BLOCKS = (2, 0)  # the first of their two lists of blocks begins with the stem and its activation


def checkpoint_names(config: VariantConfig) -> dict[str, str]:
    """Our convolution's name → what their checkpoints call it, without `.weight` and `.bias`.

    Raises:
        ConfigError: they do not have this network.
    """
    if config not in _FITTING or not isinstance(config, FaceDetectorConfig):
        fitting = ", ".join(each.name for each in _FITTING)
        raise ConfigError(f"PyTorch checkpoints are known of these networks: {fitting}. Received: {config.name}.")
    names = {"stem": "backbone1.0"}
    for stage, (blocks, before) in enumerate(zip(config.stages, _BEFORE_BLOCKS, strict=True)):
        for number in range(sum(block.repeats for block in blocks)):
            for step, ours in enumerate(("depthwise", "pointwise")):
                theirs = f"backbone{stage + 1}.{before + number}.convs.{step}"
                names[f"stage{stage}_block{number}_{ours}"] = theirs
    for side, _ in config.anchor_grids:
        stride = config.input_size // side
        names |= {f"scores_{side}px": f"classifier_{stride}", f"boxes_{side}px": f"regressor_{stride}"}
    return names


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint, by PyTorch's loader for tensors alone: no code in the file is run.

    Raises:
        RuntimeUnavailable: PyTorch is not installed.
        InputError: the file cannot be read, or holds anything but named tensors.
    """
    torch = _torch()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # Its unpickler raises anything.
        raise InputError(f"{path} is not a checkpoint of tensors alone ({_first_line(error)}).") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path} must hold named tensors (a state_dict). Received: {type(state).__name__}.")
    return {str(name): value.detach().float().numpy() for name, value in state.items()}


def import_state(model: Any, config: VariantConfig, state: Mapping[str, np.ndarray], source: str) -> None:
    """Assigns the tensors of a checkpoint to our network, all of them or none.

    Args:
        model: the Keras network of the variant.
        config: the variant.
        state: their name → float32 array; kernels `(O, I, H, W)`, depthwise ones `(C, 1, H, W)`.
        source: the file's name, for messages.
    Raises:
        ConfigError: they do not have this network.
        WeightsError: a tensor is missing, left over, of another shape or not finite; all are named.
    """
    names = checkpoint_names(config)
    expected = {f"{name}.{part}" for name in names.values() for part in ("weight", "bias")}
    if missing_or_left := expected ^ set(state):
        missing, left = sorted(missing_or_left & expected), sorted(missing_or_left - expected)
        raise WeightsError(f"{source} is not the network {config.name}. Missing: {missing}. Left over: {left}.")
    weights = {}
    for ours, theirs in names.items():
        layer = model.get_layer(ours)
        kernel, bias = state[f"{theirs}.weight"], state[f"{theirs}.bias"]
        shapes = [tuple(variable.shape) for variable in layer.weights]
        if kernel.ndim == 4:
            kernel = kernel.transpose(_axes_from_torch(ours))
        received = [kernel.shape, bias.shape]
        if received != shapes:
            raise WeightsError(
                f"{source} is not the network {config.name}: {theirs} has {received}, expected {shapes}."
            )
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise WeightsError(f"{source} has values that are not finite in {theirs}.")
        weights[ours] = [kernel, bias]
    for ours, values in weights.items():
        model.get_layer(ours).set_weights(values)


def export_state(model: Any, config: VariantConfig) -> dict[str, np.ndarray]:
    """Our network's weights under their names and in their layout; the inverse of `import_state`.

    Raises:
        ConfigError: they do not have this network.
    """
    state = {}
    for ours, theirs in checkpoint_names(config).items():
        kernel, bias = model.get_layer(ours).get_weights()
        state[f"{theirs}.weight"] = np.ascontiguousarray(kernel.transpose(np.argsort(_axes_from_torch(ours))))
        state[f"{theirs}.bias"] = bias
    return state


def write_checkpoint(model: Any, config: VariantConfig, path: Path) -> None:
    """Writes a checkpoint that their `load_weights` takes, atomically.

    Raises:
        ConfigError: they do not have this network.
        RuntimeUnavailable: PyTorch is not installed.
        OutputError: the folder cannot be written.
    """
    state = export_state(model, config)
    torch = _torch()
    with atomic_path(path) as temporary:
        torch.save({name: torch.from_numpy(value.copy()) for name, value in state.items()}, temporary)


def _axes_from_torch(name: str) -> tuple[int, int, int, int]:
    """From `(O, I, H, W)` to `(H, W, I, O)`; depthwise from `(C, 1, H, W)` to `(H, W, C, 1)`."""
    return (2, 3, 0, 1) if name.endswith("_depthwise") else (2, 3, 1, 0)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise RuntimeUnavailable("A .pth file needs PyTorch. Install it: pip install 'blazeport[torch]'.") from error
    return torch


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
