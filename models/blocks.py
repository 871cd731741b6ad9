"""The layers and blocks that the networks share.

Tensors are NHWC float32. Shapes in comments and docstrings leave the batch of 1 away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .config import MobileStage, VariantConfig
from .keras_api import keras, tf

KerasTensor = Any
Activation = Literal["linear", "relu", "relu6"]
Padding = Literal["same", "symmetric", "valid"]


@keras.saving.register_keras_serializable(package="blazeport")
class PadChannels(keras.layers.Layer):
    """Appends `extra` zero channels: `(H, W, C)` → `(H, W, C + extra)`."""

    def __init__(self, extra: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extra = extra

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """Pads the last axis at its end."""
        return tf.pad(inputs, [[0, 0], [0, 0], [0, 0], [0, self.extra]])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "extra": self.extra}


@keras.saving.register_keras_serializable(package="blazeport")
class DepthToSpace(keras.layers.Layer):
    """Rearranges channels into 2x2 cells: `(H, W, C)` → `(2 H, 2 W, C / 4)`."""

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """Applies `tf.nn.depth_to_space`."""
        return tf.nn.depth_to_space(inputs, 2)


@dataclass(frozen=True)
class Network:
    """A Keras model with what the importer needs.

    Attributes:
        config: the variant it was built from.
        model: input `(1, S, S, 3)` in the variant's range; output a dict of head name → tensor.
        convolutions: convolution layers in the order of the official file.
    """

    config: VariantConfig
    model: Any
    convolutions: tuple[Any, ...]


class LayerFactory:
    """Creates the layers of one network under stable names and records its convolutions in creation order.

    Creation order must equal the order of the official file: it is how the importer pairs layers with weights.
    Keras 3's `model.layers` is in another order.
    """

    def __init__(self) -> None:
        self.convolutions: list[Any] = []

    def conv(
        self,
        x: KerasTensor,
        channels: int,
        kernel: int = 1,
        *,
        name: str,
        stride: int = 1,
        padding: Padding = "same",
        activation: Activation = "linear",
    ) -> KerasTensor:
        """Convolution with bias. `symmetric` pads both sides by `kernel // 2`, unlike SAME at stride 2."""
        x, padding = self._pad(x, kernel, padding, name)
        layer = keras.layers.Conv2D(channels, kernel, strides=stride, padding=padding, name=name)
        return self._record(layer, x, activation)

    def depthwise(
        self,
        x: KerasTensor,
        kernel: int = 3,
        *,
        name: str,
        stride: int = 1,
        padding: Padding = "same",
        activation: Activation = "linear",
    ) -> KerasTensor:
        """Depthwise convolution with bias; arguments as `conv`."""
        x, padding = self._pad(x, kernel, padding, name)
        layer = keras.layers.DepthwiseConv2D(kernel, strides=stride, padding=padding, name=name)
        return self._record(layer, x, activation)

    def activation(self, x: KerasTensor, activation: Activation, name: str) -> KerasTensor:
        """ReLU or ReLU6; `linear` adds no layer."""
        if activation == "linear":
            return x
        limit = 6.0 if activation == "relu6" else None
        return keras.layers.ReLU(max_value=limit, name=f"{name}_{activation}")(x)

    def separable(
        self,
        x: KerasTensor,
        channels: int,
        *,
        name: str,
        depthwise_activation: Activation = "relu6",
        residual: bool = True,
    ) -> KerasTensor:
        """Depthwise 3x3 and 1x1, then ReLU6; with a shortcut where the channels agree and `residual` is set."""
        y = self.depthwise(x, name=f"{name}_depthwise", activation=depthwise_activation)
        y = self.conv(y, channels, name=f"{name}_pointwise")
        if residual and x.shape[-1] == channels:
            y = keras.layers.Add(name=f"{name}_add")([x, y])
        return self.activation(y, "relu6", name)

    def strided(self, x: KerasTensor, channels: int, *, name: str) -> KerasTensor:
        """Halves the resolution: depthwise 3x3 stride 2 and 1x1 beside a max-pooled shortcut, then ReLU6."""
        y = self.depthwise(x, name=f"{name}_depthwise", stride=2, activation="relu6")
        y = self.conv(y, channels, name=f"{name}_pointwise")
        y = keras.layers.Add(name=f"{name}_add")([self.pooled_shortcut(x, channels, stride=2, name=name), y])
        return self.activation(y, "relu6", name)

    def pooled_shortcut(self, x: KerasTensor, channels: int, *, stride: int, name: str) -> KerasTensor:
        """`x` max-pooled by `stride` and zero-padded to `channels`, so that it can be added to a block's output."""
        if stride > 1:
            x = keras.layers.MaxPooling2D(stride, name=f"{name}_pool")(x)
        if x.shape[-1] < channels:
            x = PadChannels(channels - x.shape[-1], name=f"{name}_pad_channels")(x)
        return x

    def upsample(self, x: KerasTensor, name: str) -> KerasTensor:
        """Doubles the resolution: bilinear, half-pixel centres."""
        return keras.layers.UpSampling2D(2, interpolation="bilinear", name=name)(x)

    def _pad(self, x: KerasTensor, kernel: int, padding: Padding, name: str) -> tuple[KerasTensor, Padding]:
        if padding != "symmetric":
            return x, padding
        return keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"

    def _record(self, layer: Any, x: KerasTensor, activation: Activation) -> KerasTensor:
        self.convolutions.append(layer)
        return self.activation(layer(x), activation, layer.name)


def mobile_backbone(
    layers: LayerFactory,
    x: KerasTensor,
    stem_channels: int,
    first_channels: int,
    stages: tuple[MobileStage, ...],
    tap: Callable[[int, KerasTensor], None],
) -> KerasTensor:
    """The EfficientNet-Lite-like encoder of the pose networks, ReLU6.

    Args:
        layers: creates the layers.
        x: the input, `(S, S, 3)`.
        stem_channels: channels of the strided stem.
        first_channels: channels of the separable convolution after it.
        stages: the inverted-residual stages.
        tap: called with `(side in px, feature map)` for the last map of each resolution. The official files hold the
            convolutions that hang off such a map between the next stage's expansion and its depthwise convolution,
            so it is called there.
    Returns:
        The last stage expanded by 6 and filtered, without a projection.
    """
    x = layers.conv(x, stem_channels, 3, name="stem", stride=2, padding="symmetric", activation="relu6")
    x = layers.depthwise(x, name="first_depthwise", activation="relu6")
    x = layers.conv(x, first_channels, name="first_project")
    for index, stage in enumerate(stages):
        for block, expansion in enumerate(stage.expansions):
            name = f"stage{index}_block{block}"
            stride = stage.stride if block == 0 else 1
            y = layers.conv(x, x.shape[-1] * expansion, name=f"{name}_expand", activation="relu6")
            if stride > 1:
                tap(x.shape[1], x)
            y = layers.depthwise(
                y,
                stage.kernel,
                name=f"{name}_depthwise",
                stride=stride,
                padding="symmetric" if stride > 1 else "same",
                activation="relu6",
            )
            y = layers.conv(y, stage.channels, name=f"{name}_project")
            x = y if block == 0 else keras.layers.Add(name=f"{name}_add")([x, y])
    x = layers.conv(x, x.shape[-1] * 6, name="last_expand", activation="relu6")
    return layers.depthwise(x, name="last_depthwise", activation="relu6")
