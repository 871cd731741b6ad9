"""BlazeFace (arXiv 1907.05047) as released: short range, full range dense, full range sparse."""

from __future__ import annotations

from .blocks import DepthToSpace, KerasTensor, LayerFactory, Network, Padding
from .config import DoubleBlock, FaceDetectorConfig
from .keras_api import keras


def build_face_detector(config: FaceDetectorConfig) -> Network:
    """Builds a BlazeFace network with random weights.

    Returns:
        Outputs `boxes` `(1, num_anchors, 16)` in px relative to the anchor and `scores` `(1, num_anchors, 1)` logits.

    Source: the official files. Differs from the paper: 3x3 depthwise kernels, no double blocks in short range.
    """
    layers = LayerFactory()
    image = keras.Input(batch_shape=config.input_shape, name="image")
    x = layers.conv(
        image,
        config.stem_channels,
        config.stem_kernel,
        name="stem",
        stride=2,
        padding="symmetric" if config.pads_symmetrically else "same",
        activation="relu",
    )

    feature_maps: list[KerasTensor] = []
    laterals: dict[int, KerasTensor] = {}
    decoder_channels = dict(zip(range(len(config.stages) - 2, -1, -1), config.decoder, strict=False))
    for index, stage in enumerate(config.stages):
        blocks = [block for block in stage for _ in range(block.repeats)]
        for number, block in enumerate(blocks):
            x = _block(layers, x, block, config, f"stage{index}_block{number}")
        feature_maps.append(x)
        if config.laterals_in_encoder and index in decoder_channels:
            laterals[index] = _lateral(layers, x, decoder_channels[index][0], index)

    for index, (channels, blocks_here) in decoder_channels.items():
        x = layers.conv(x, channels, name=f"decoder{index}_reduce", activation="relu")
        x = layers.upsample(x, f"decoder{index}_upsample")
        lateral = laterals.get(index)
        if lateral is None:
            lateral = _lateral(layers, feature_maps[index], channels, index)
        x = keras.layers.Add(name=f"decoder{index}_add")([lateral, x])
        for number in range(blocks_here):
            block = DoubleBlock(bottleneck=channels // 2, channels=channels)
            x = _block(layers, x, block, config, f"decoder{index}_block{number}")

    levels = [x] if config.decoder else feature_maps
    heads = {
        name: _head(layers, levels, coords, config, name)
        for name, coords in (("scores", 1), ("boxes", config.num_coords))
    }
    outputs = {name: heads[name] for name in config.head_names}
    return Network(config, keras.Model(image, outputs, name=config.name), tuple(layers.convolutions))


def _block(
    layers: LayerFactory, x: KerasTensor, block: DoubleBlock, config: FaceDetectorConfig, name: str
) -> KerasTensor:
    """One BlazeBlock, single or double, and its shortcut."""
    padding: Padding = "symmetric" if config.pads_symmetrically and block.stride > 1 else "same"
    y = layers.depthwise(x, name=f"{name}_depthwise", stride=block.stride, padding=padding)
    if block.bottleneck is not None:
        y = layers.conv(y, block.bottleneck, name=f"{name}_squeeze", activation="relu")
        y = layers.depthwise(y, name=f"{name}_depthwise2")
    y = layers.conv(y, block.channels, name=f"{name}_pointwise")
    if config.pools_shortcut:
        shortcut = layers.pooled_shortcut(x, block.channels, stride=block.stride, name=name)
        y = keras.layers.Add(name=f"{name}_add")([shortcut, y])
    elif block.stride == 1 and x.shape[-1] == block.channels:
        y = keras.layers.Add(name=f"{name}_add")([x, y])
    return layers.activation(y, "relu", name)


def _lateral(layers: LayerFactory, x: KerasTensor, channels: int, index: int) -> KerasTensor:
    return layers.conv(x, channels, name=f"lateral{index}", activation="relu")


def _head(
    layers: LayerFactory, levels: list[KerasTensor], coords: int, config: FaceDetectorConfig, name: str
) -> KerasTensor:
    """Predicts `coords` numbers per anchor: `(num_anchors, coords)`, the anchors of a cell side by side."""
    flat = []
    for (side, anchors), x in zip(config.anchor_grids, levels, strict=True):
        if config.head_depth_to_space:
            x = layers.conv(x, 4 * anchors * coords, name=f"{name}_{side}px")
            x = layers.depthwise(x, name=f"{name}_{side}px_depthwise", stride=2, padding="symmetric")
            x = DepthToSpace(name=f"{name}_{side}px_to_space")(x)
        else:
            x = layers.conv(x, anchors * coords, name=f"{name}_{side}px")
        label = name if len(levels) == 1 else f"{name}_{side}px_flat"
        flat.append(keras.layers.Reshape((side * side * anchors, coords), name=label)(x))
    return flat[0] if len(flat) == 1 else keras.layers.Concatenate(axis=1, name=name)(flat)
