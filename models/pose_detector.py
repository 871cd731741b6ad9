"""BlazePose's person detector as released."""

from __future__ import annotations

from .blocks import DepthToSpace, KerasTensor, LayerFactory, Network, mobile_backbone
from .config import PoseDetectorConfig
from .keras_api import keras


def build_pose_detector(config: PoseDetectorConfig) -> Network:
    """Builds the person detector with random weights.

    Returns:
        Outputs `boxes` `(1, num_anchors, 12)` in px relative to the anchor and `scores` `(1, num_anchors, 1)` logits.

    Source: the official file. Differs from arXiv 2006.10204: radius and incline are one keypoint on the body's circle.
    """
    layers = LayerFactory()
    image = keras.Input(batch_shape=config.input_shape, name="image")
    neck_channels = dict(config.neck)
    laterals: dict[int, KerasTensor] = {}

    def tap(side: int, x: KerasTensor) -> None:
        if side in neck_channels:
            laterals[side] = layers.separable(
                x, neck_channels[side], name=f"lateral_{side}px", depthwise_activation="linear", residual=False
            )

    x = mobile_backbone(layers, image, config.stem_channels, config.first_channels, config.stages, tap)
    levels = [x]
    for side, channels in reversed(config.neck):
        # The 1x1 comes after the upsampling, on the wide map, as in the official file.
        x = layers.upsample(x, f"neck_{side}px_upsample")
        x = layers.conv(x, channels, name=f"neck_{side}px_reduce", activation="relu6")
        x = keras.layers.Add(name=f"neck_{side}px_add")([laterals[side], x])
        for number in range(config.neck_blocks):
            x = layers.separable(x, channels, name=f"neck_{side}px_block{number}", depthwise_activation="linear")
        levels.insert(0, x)

    flat: dict[str, list[KerasTensor]] = {"scores": [], "boxes": []}
    for (side, anchors), feature_map in zip(config.anchor_grids, levels, strict=True):
        spread = DepthToSpace(name=f"head_{side}px_to_space")(feature_map)
        spread = keras.layers.ZeroPadding2D(1, name=f"head_{side}px_pad")(spread)
        for head, coords in (("scores", 1), ("boxes", config.num_coords)):
            name = f"{head}_{side}px"
            y = layers.depthwise(spread, name=f"{name}_depthwise", stride=2, padding="valid")
            y = layers.conv(y, anchors * coords, name=name)
            flat[head].append(keras.layers.Reshape((side * side * anchors, coords), name=f"{name}_flat")(y))

    outputs = {name: keras.layers.Concatenate(axis=1, name=name)(flat[name]) for name in config.head_names}
    return Network(config, keras.Model(image, outputs, name=config.name), tuple(layers.convolutions))
