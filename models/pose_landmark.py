"""BlazePose's tracker network (arXiv 2006.10204) as released: lite, full and heavy from one constructor."""

from __future__ import annotations

from .blocks import KerasTensor, LayerFactory, Network, mobile_backbone
from .config import PoseLandmarkConfig
from .keras_api import keras


def build_pose_landmark(config: PoseLandmarkConfig) -> Network:
    """Builds the tracker network with random weights and all its heads.

    Returns:
        Outputs as `config.heads`: `landmarks` `(1, 195)`, `presence` `(1, 1)`, `segmentation` `(1, 256, 256, 1)`,
        `heatmap` `(1, 64, 64, 39)`, `world_landmarks` `(1, 117)`.

    Source: the official files. Differs from the paper: in lite and full the landmark trunk hangs off the backbone, not
    off the decoder; the paper's offset maps are gone; segmentation, world landmarks and auxiliary landmarks are new.
    """
    layers = LayerFactory()
    image = keras.Input(batch_shape=config.input_shape, name="image")
    half, quarter = config.input_size // 2, config.input_size // 4
    width = config.decoder_channels
    laterals: dict[int, KerasTensor] = {}
    hourglass_laterals: dict[int, KerasTensor] = {}
    # All steps but the last have a lateral, at the resolution the step brings: 32 px, 16 px.
    hourglass_channels = {
        quarter >> number: step.channels for number, step in enumerate(config.hourglass[:-1], start=1)
    }

    def tap(side: int, x: KerasTensor) -> None:
        channels = config.mask_channels if side == half else width
        laterals[side] = layers.separable(x, channels, name=f"lateral_{side}px")
        if side in hourglass_channels:
            hourglass_laterals[side] = layers.separable(x, hourglass_channels[side], name=f"hourglass_lateral_{side}px")

    encoded = mobile_backbone(layers, image, config.stem_channels, config.first_channels, config.stages, tap)

    decoded = layers.separable(encoded, width, name="decoder")
    side = decoded.shape[1]
    while side < quarter:
        side *= 2
        decoded = layers.upsample(decoded, f"decoder_{side}px_upsample")
        decoded = keras.layers.Add(name=f"decoder_{side}px_add")([decoded, laterals[side]])

    trunk: KerasTensor = None
    if config.hourglass:
        trunk = layers.strided(decoded, config.hourglass[0].channels, name="hourglass0_down")
    outputs = {"segmentation": _segmentation(layers, decoded, laterals[half], config.mask_channels)}
    for number, step in enumerate(config.hourglass):
        if number > 0:
            trunk = layers.strided(trunk, step.channels, name=f"hourglass{number}_down")
        for block in range(step.blocks):
            trunk = layers.separable(trunk, step.channels, name=f"hourglass{number}_block{block}")
        if trunk.shape[1] in hourglass_laterals:
            lateral = hourglass_laterals[trunk.shape[1]]
            trunk = keras.layers.Add(name=f"hourglass{number}_add")([trunk, lateral])
    outputs["heatmap"] = layers.conv(decoded, config.num_landmarks, name="heatmap")

    bridge = layers.separable(encoded, config.trunk_channels, name="trunk_bridge")
    trunk = bridge if trunk is None else keras.layers.Add(name="trunk_add")([trunk, bridge])
    for number, blocks in enumerate(config.trunk_blocks):
        trunk = layers.strided(trunk, config.trunk_channels, name=f"trunk{number}_down")
        for block in range(blocks):
            trunk = layers.separable(trunk, config.trunk_channels, name=f"trunk{number}_block{block}")

    for head, values, activation in (
        ("landmarks", config.num_landmarks * 5, None),
        ("world_landmarks", config.num_landmarks * 3, None),
        ("presence", 1, "sigmoid"),
    ):
        y = layers.conv(trunk, values, trunk.shape[1], name=f"{head}_conv", padding="valid")
        if activation is not None:
            y = keras.layers.Activation(activation, name=f"{head}_{activation}")(y)
        outputs[head] = keras.layers.Reshape((values,), name=head)(y)

    model = keras.Model(image, {name: outputs[name] for name in config.head_names}, name=config.name)
    return Network(config, model, tuple(layers.convolutions))


def _segmentation(layers: LayerFactory, decoded: KerasTensor, lateral: KerasTensor, channels: int) -> KerasTensor:
    """The mask branch: from the decoder at a quarter of the resolution, `(S/4, S/4, D)`, to logits `(S, S, 1)`."""
    x = layers.separable(decoded, channels, name="segmentation_quarter")
    x = layers.upsample(x, "segmentation_half_upsample")
    x = keras.layers.Add(name="segmentation_half_add")([x, lateral])
    for block in range(2):
        x = layers.separable(x, channels, name=f"segmentation_half_block{block}")
    x = layers.upsample(x, "segmentation_whole_upsample")
    for block in range(2):
        x = layers.separable(x, channels, name=f"segmentation_whole_block{block}")
    return layers.conv(x, 1, 3, name="segmentation")
