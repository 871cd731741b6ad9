"""The official networks, built and converted once per session, and how far each is from its official file.

Shared by the tests of `models` and `convert`; nobody may change what is handed out here.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
from blazeport.convert.inputs import network_inputs
from blazeport.convert.parity import Parity, Runner, measure
from blazeport.models.config import VARIANTS, PoseLandmarkConfig, get_config, resolve_heads
from blazeport.runtime.interpreter import Model
from blazeport.weights.fetch import demo_photos, official_file

POSE_LANDMARKS = tuple(name for name, config in VARIANTS.items() if isinstance(config, PoseLandmarkConfig))
NUM_INPUTS = {variant: 10 if variant == "pose_landmark_heavy" else 40 for variant in VARIANTS}

# Head → metric of `OutputParity` and the largest value with which Keras still computes the same network.
KERAS_BARS = {
    "boxes": ("relative", 5e-6),
    "scores": ("relative", 5e-6),
    "landmarks": ("max_abs", 0.02),  # px
    "presence": ("relative", 2e-3),
    "segmentation": ("relative", 2e-3),
    "heatmap": ("relative", 2e-3),
    "world_landmarks": ("relative", 2e-3),
}


def real_inputs(variant: str) -> tuple[np.ndarray, ...]:
    """What the network sees of real photos: the evaluation photos, or jittered views of the demo photos."""
    config = get_config(variant)
    twin = next(
        each for each in VARIANTS.values() if (type(each), each.input_size) == (type(config), config.input_size)
    )
    inputs = _inputs(twin.name)
    return inputs[:: len(inputs) // NUM_INPUTS[variant]]


@functools.cache
def _inputs(variant: str) -> tuple[np.ndarray, ...]:
    data = os.environ.get("BLAZEPORT_DATA")
    media, views = (sorted((Path(data) / "images").iterdir()), 1) if data else (demo_photos(), 6)
    return tuple(network_inputs(get_config(variant), media, views=views, limit=max(NUM_INPUTS.values())))


@functools.cache
def network(variant: str):
    """The Keras network with the official weights."""
    from blazeport.models.build import build_network
    from blazeport.models.importer import import_weights
    from blazeport.weights.reader import read_tflite

    built = build_network(get_config(variant))
    import_weights(built, read_tflite(official_file(variant)))
    return built


@functools.cache
def exported(variant: str, heads: str, precision: str) -> bytes:
    """The file that blazeport makes of the official weights."""
    from blazeport.convert.tflite import to_tflite

    config = get_config(variant)
    return to_tflite(network(variant).model, config, resolve_heads(config, heads), precision)


@functools.cache
def official_model(variant: str) -> Model:
    return Model(official_file(variant))


@functools.cache
def keras_runner(variant: str) -> Runner:
    from blazeport.models.keras_api import tf

    compiled = tf.function(functools.partial(network(variant).model, training=False))
    return lambda image: {name: value.numpy() for name, value in compiled(tf.constant(image)).items()}


@functools.cache
def keras_parity(variant: str) -> Parity:
    """Keras against the official file."""
    return _compare_with_official(variant, keras_runner(variant), get_config(variant).head_names)


@functools.cache
def exported_parity(variant: str, heads: str, precision: str) -> Parity:
    """An exported file against the official file."""
    model = Model(exported(variant, heads, precision))
    return _compare_with_official(variant, model.run, resolve_heads(get_config(variant), heads))


def _compare_with_official(variant: str, run: Runner, heads: tuple[str, ...]) -> Parity:
    return measure(official_model(variant).run, run, real_inputs(variant), heads, reference_name="the official file")
