"""Every variant as frozen data: what its network looks like and what its inputs and outputs mean.

A new variant is a new constant here, never a new branch in a builder. This module imports neither TensorFlow nor Keras,
so the pipeline can use it on a phone-sized install.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError, unknown


@dataclass(frozen=True, kw_only=True)
class Head:
    """One named output of a network. `shape` includes the batch of 1; `meaning` gives units and order."""

    name: str
    shape: tuple[int, ...]
    meaning: str


@dataclass(frozen=True, kw_only=True)
class VariantConfig:
    """What every variant has.

    Attributes:
        name: the variant's name, which begins every artifact's file name.
        title: one phrase for tables and metadata.
        input_size: side of the square input, px.
        input_range: values that pixel 0 and pixel 255 are mapped to.
        sparse: most 1x1 weights are zero, and fp16 files store only the others.
    """

    name: str
    title: str
    input_size: int
    input_range: tuple[float, float]
    sparse: bool = False

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input: batch, height, width, RGB."""
        return (1, self.input_size, self.input_size, 3)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The outputs, in the order of the official file."""
        raise TypeError(f"{type(self).__name__} names no heads.")

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the official file."""
        return tuple(head.name for head in self.heads)

    @property
    def presets(self) -> dict[str, tuple[str, ...]]:
        """Heads preset → names of the outputs it keeps."""
        return {"all": self.head_names}


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(VariantConfig):
    """SSD-style detector. Values: MediaPipe's `face_detection_*.pbtxt` and `pose_detection_cpu.pbtxt`.

    Attributes:
        anchor_strides: px of the input, one entry per SSD layer; equal neighbours share one grid.
        anchors_per_layer: anchors each layer adds to a cell: 1, or 2 with an interpolated scale.
        keypoint_names: what the keypoints after each box are, in order.
        min_score: detections below this sigmoid score are dropped.
        nms_iou: detections that overlap more than this are blended into one.
    """

    anchor_strides: tuple[int, ...]
    anchors_per_layer: int
    keypoint_names: tuple[str, ...]
    min_score: float
    nms_iou: float = 0.3

    @property
    def anchor_grids(self) -> tuple[tuple[int, int], ...]:
        """`(cells per side, anchors per cell)` of each grid, in the order of the anchors."""
        grids: dict[int, int] = {}
        for stride in self.anchor_strides:
            grids[stride] = grids.get(stride, 0) + self.anchors_per_layer
        return tuple((math.ceil(self.input_size / stride), count) for stride, count in grids.items())

    @property
    def num_anchors(self) -> int:
        """Number of anchors, which is the second dimension of both outputs."""
        return sum(side * side * count for side, count in self.anchor_grids)

    @property
    def num_coords(self) -> int:
        """Numbers per anchor in `boxes`: the box and its keypoints."""
        return 4 + 2 * len(self.keypoint_names)

    @property
    def heads(self) -> tuple[Head, ...]:
        """`boxes`, then `scores`."""
        return (
            Head(
                name="boxes",
                shape=(1, self.num_anchors, self.num_coords),
                meaning="dx dy w h, then x y per keypoint: px of the input, relative to the anchor's centre",
            ),
            Head(name="scores", shape=(1, self.num_anchors, 1), meaning="logit"),
        )


@dataclass(frozen=True, kw_only=True)
class DoubleBlock:
    """A row of equal blocks: depthwise 3x3, 1x1 to `bottleneck` (None: no such step), depthwise, 1x1 to `channels`."""

    channels: int
    bottleneck: int | None = None
    stride: int = 1
    repeats: int = 1


@dataclass(frozen=True, kw_only=True)
class FaceDetectorConfig(DetectorConfig):
    """BlazeFace (arXiv 1907.05047) as released. Structure measured from the official files.

    Attributes:
        stem_kernel: side of the stem convolution's kernel.
        stem_channels: channels after the stem.
        stages: rows of blocks between two tapped feature maps; each stage ends one resolution.
        pads_symmetrically: stride-2 convolutions pad both sides by 1 instead of TFLite's SAME.
        pools_shortcut: shortcuts max-pool and zero-pad channels to fit; otherwise a block that changes shape has none.
        decoder: `(channels, blocks)` per upsampling step, from the smallest map; empty: heads sit on the encoder.
        laterals_in_encoder: the file holds each lateral right after its stage instead of in the decoder.
        head_depth_to_space: heads are predicted at half resolution and rearranged.
    """

    stem_kernel: int
    stem_channels: int
    stages: tuple[tuple[DoubleBlock, ...], ...]
    pads_symmetrically: bool = False
    pools_shortcut: bool = True
    decoder: tuple[tuple[int, int], ...] = ()
    laterals_in_encoder: bool = False
    head_depth_to_space: bool = False


@dataclass(frozen=True, kw_only=True)
class MobileStage:
    """Inverted-residual blocks at one resolution: one that enters it, then residual ones.

    Attributes:
        channels: output channels of every block.
        kernel: side of the depthwise kernel.
        stride: stride of the first block.
        expansions: expansion factor of each block; the first one's multiplies the previous stage's channels.
    """

    channels: int
    kernel: int
    stride: int
    expansions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PoseDetectorConfig(DetectorConfig):
    """BlazePose's person detector as released. Structure measured from the official file.

    Attributes:
        stem_channels: channels of the stem.
        first_channels: channels of the separable convolution after the stem.
        stages: the backbone's inverted-residual stages.
        neck: `(side in px, channels)` of the maps that join the neck, largest first.
        neck_blocks: residual blocks on each neck map.
        roi_scale: factor from the circle's diameter to the ROI's side.
    """

    stem_channels: int
    first_channels: int
    stages: tuple[MobileStage, ...]
    neck: tuple[tuple[int, int], ...]
    neck_blocks: int
    roi_scale: float = 1.25


@dataclass(frozen=True, kw_only=True)
class HourglassStep:
    """One step down of heavy's second encoder: a strided block to `channels`, then `blocks` residual ones."""

    channels: int
    blocks: int


@dataclass(frozen=True, kw_only=True)
class PoseLandmarkConfig(VariantConfig):
    """BlazePose's tracker network (arXiv 2006.10204) as released. Structure measured from the official files.

    Attributes:
        stem_channels: channels of the stem, at half the input's resolution.
        first_channels: channels of the separable convolution after the stem.
        stages: the backbone's inverted-residual stages, in order.
        decoder_channels: width of the decoder.
        mask_channels: width of the segmentation branch.
        hourglass: heavy's second encoder on the decoder's output; empty: the landmark trunk hangs off the backbone.
        trunk_channels: width of the landmark trunk.
        trunk_blocks: residual blocks of the trunk at 4x4 and at 2x2.
        num_landmarks: landmarks per output: 33 of the body, then auxiliary ones.
        num_body_landmarks: how many of them a user is shown.
        roi_landmarks: indices of the two auxiliary landmarks that carry the next ROI: centre, scale and rotation.
        min_presence: a crop whose presence is not above this holds no person.
        roi_scale: factor from the circle's diameter to the ROI's side.
    """

    input_size: int = 256
    input_range: tuple[float, float] = (0.0, 1.0)
    stem_channels: int = 24
    first_channels: int
    stages: tuple[MobileStage, ...]
    decoder_channels: int
    mask_channels: int = 8
    hourglass: tuple[HourglassStep, ...] = ()
    trunk_channels: int
    trunk_blocks: tuple[int, int]
    num_landmarks: int = 39
    num_body_landmarks: int = 33
    roi_landmarks: tuple[int, int] = (33, 34)
    min_presence: float = 0.5
    roi_scale: float = 1.25

    @property
    def heatmap_size(self) -> int:
        """Side of the heatmap, cells."""
        return self.input_size // 4

    @property
    def heads(self) -> tuple[Head, ...]:
        """`landmarks`, `presence`, `segmentation`, `heatmap`, `world_landmarks`."""
        points, side = self.num_landmarks, self.input_size
        return (
            Head(
                name="landmarks",
                shape=(1, points * 5),
                meaning="x y z in px of the input, visibility logit, presence logit per landmark",
            ),
            Head(name="presence", shape=(1, 1), meaning="probability that the crop holds a person"),
            Head(name="segmentation", shape=(1, side, side, 1), meaning="logit"),
            Head(name="heatmap", shape=(1, self.heatmap_size, self.heatmap_size, points), meaning="logit per landmark"),
            Head(name="world_landmarks", shape=(1, points * 3), meaning="x y z in metres from the hips per landmark"),
        )

    @property
    def presets(self) -> dict[str, tuple[str, ...]]:
        """`all`, `no_heatmap`, `tracking`, `landmarks`."""
        return {
            "all": self.head_names,
            "no_heatmap": tuple(name for name in self.head_names if name != "heatmap"),
            "tracking": ("landmarks", "presence", "world_landmarks"),
            "landmarks": ("landmarks", "presence"),
        }


_FACE_KEYPOINTS = ("right_eye", "left_eye", "nose_tip", "mouth_center", "right_ear_tragion", "left_ear_tragion")

FACE_DETECTION_SHORT_RANGE = FaceDetectorConfig(
    name="face_detection_short_range",
    title="BlazeFace short range",
    input_size=128,
    input_range=(-1.0, 1.0),
    anchor_strides=(8, 16, 16, 16),
    anchors_per_layer=2,
    keypoint_names=_FACE_KEYPOINTS,
    min_score=0.5,
    stem_kernel=5,
    stem_channels=24,
    stages=(
        (
            *(DoubleBlock(channels=channels) for channels in (24, 28)),
            *(DoubleBlock(channels=channels, stride=stride) for channels, stride in ((32, 2), (36, 1), (42, 1))),
            *(DoubleBlock(channels=channels, stride=stride) for channels, stride in ((48, 2), (56, 1), (64, 1))),
            *(DoubleBlock(channels=channels) for channels in (72, 80, 88)),
        ),
        (DoubleBlock(channels=96, stride=2), DoubleBlock(channels=96, repeats=4)),
    ),
)

FACE_DETECTION_FULL_RANGE = FaceDetectorConfig(
    name="face_detection_full_range",
    title="BlazeFace full range, dense",
    input_size=192,
    input_range=(-1.0, 1.0),
    anchor_strides=(4,),
    anchors_per_layer=1,
    keypoint_names=_FACE_KEYPOINTS,
    min_score=0.6,
    stem_kernel=3,
    stem_channels=32,
    stages=(
        (
            DoubleBlock(bottleneck=8, channels=32, repeats=2),
            DoubleBlock(bottleneck=12, channels=48, stride=2),
            DoubleBlock(bottleneck=12, channels=48),
            DoubleBlock(bottleneck=16, channels=64),
        ),
        (
            DoubleBlock(bottleneck=24, channels=96, stride=2),
            DoubleBlock(bottleneck=32, channels=128, repeats=2),
        ),
        (
            DoubleBlock(bottleneck=36, channels=144, stride=2),
            DoubleBlock(bottleneck=48, channels=192),
            DoubleBlock(bottleneck=64, channels=256),
        ),
        (
            DoubleBlock(bottleneck=96, channels=384, stride=2),
            DoubleBlock(bottleneck=96, channels=384, repeats=3),
        ),
    ),
    decoder=((96, 2), (64, 2), (48, 1)),
)

FACE_DETECTION_FULL_RANGE_SPARSE = FaceDetectorConfig(
    name="face_detection_full_range_sparse",
    title="BlazeFace full range, sparse",
    sparse=True,
    input_size=192,
    input_range=(-1.0, 1.0),
    anchor_strides=(4,),
    anchors_per_layer=1,
    keypoint_names=_FACE_KEYPOINTS,
    min_score=0.6,
    stem_kernel=3,
    stem_channels=32,
    stages=(
        (
            DoubleBlock(bottleneck=8, channels=32, repeats=2),
            DoubleBlock(bottleneck=16, channels=64, stride=2),
            DoubleBlock(bottleneck=16, channels=64, repeats=2),
        ),
        (
            DoubleBlock(bottleneck=32, channels=128, stride=2),
            DoubleBlock(bottleneck=32, channels=128, repeats=2),
        ),
        (
            DoubleBlock(bottleneck=48, channels=192, stride=2),
            DoubleBlock(bottleneck=48, channels=192, repeats=2),
        ),
        (
            DoubleBlock(bottleneck=96, channels=384, stride=2),
            DoubleBlock(bottleneck=96, channels=384, repeats=3),
        ),
    ),
    decoder=((96, 2), (64, 2), (48, 1)),
    pads_symmetrically=True,
    pools_shortcut=False,
    laterals_in_encoder=True,
    head_depth_to_space=True,
)

POSE_DETECTION = PoseDetectorConfig(
    name="pose_detection",
    title="BlazePose person detector",
    sparse=True,
    input_size=224,
    input_range=(-1.0, 1.0),
    anchor_strides=(8, 16, 32, 32, 32),
    anchors_per_layer=2,
    keypoint_names=("mid_hip", "body_circle_rim", "mid_shoulder", "upper_body_circle_rim"),
    min_score=0.5,
    stem_channels=24,
    first_channels=16,
    stages=(
        MobileStage(channels=24, kernel=3, stride=2, expansions=(4, 6)),
        MobileStage(channels=40, kernel=5, stride=2, expansions=(6, 6)),
        MobileStage(channels=80, kernel=3, stride=2, expansions=(6, 6, 6)),
        MobileStage(channels=112, kernel=5, stride=1, expansions=(6, 6, 6)),
        MobileStage(channels=192, kernel=5, stride=2, expansions=(6, 6, 6, 6)),
    ),
    neck=((28, 96), (14, 192)),
    neck_blocks=2,
)


def _pose_landmark_stages(
    channels: tuple[int, int, int, int, int], residual_blocks: tuple[int, int, int, int, int]
) -> tuple[MobileStage, ...]:
    """The backbone stages at 64, 32, 16, 16 and 8 px; entering 64 px and heavy's first block there expand by 4."""
    kernels, strides = (3, 5, 3, 5, 5), (2, 2, 2, 1, 2)
    expansions = [(6,) * (1 + count) for count in residual_blocks]
    expansions[0] = (4, 6) if residual_blocks[0] == 1 else (4, 4) + (6,) * (residual_blocks[0] - 1)
    return tuple(
        MobileStage(channels=width, kernel=kernel, stride=stride, expansions=factors)
        for width, kernel, stride, factors in zip(channels, kernels, strides, expansions, strict=True)
    )


POSE_LANDMARK_LITE = PoseLandmarkConfig(
    name="pose_landmark_lite",
    title="BlazePose landmarks, lite",
    first_channels=8,
    stages=_pose_landmark_stages((16, 24, 40, 56, 96), (1, 1, 2, 2, 3)),
    decoder_channels=32,
    trunk_channels=192,
    trunk_blocks=(2, 3),
)

POSE_LANDMARK_FULL = PoseLandmarkConfig(
    name="pose_landmark_full",
    title="BlazePose landmarks, full",
    first_channels=16,
    stages=_pose_landmark_stages((24, 32, 64, 88, 144), (1, 1, 2, 2, 3)),
    decoder_channels=48,
    trunk_channels=288,
    trunk_blocks=(4, 5),
)

POSE_LANDMARK_HEAVY = PoseLandmarkConfig(
    name="pose_landmark_heavy",
    title="BlazePose landmarks, heavy",
    first_channels=24,
    stages=_pose_landmark_stages((32, 56, 112, 160, 272), (3, 3, 5, 5, 7)),
    decoder_channels=48,
    hourglass=(
        HourglassStep(channels=96, blocks=6),
        HourglassStep(channels=192, blocks=7),
        HourglassStep(channels=288, blocks=7),
    ),
    trunk_channels=288,
    trunk_blocks=(7, 7),
)

VARIANTS: dict[str, VariantConfig] = {
    config.name: config
    for config in (
        FACE_DETECTION_SHORT_RANGE,
        FACE_DETECTION_FULL_RANGE,
        FACE_DETECTION_FULL_RANGE_SPARSE,
        POSE_DETECTION,
        POSE_LANDMARK_LITE,
        POSE_LANDMARK_FULL,
        POSE_LANDMARK_HEAVY,
    )
}


def get_config(variant: str) -> VariantConfig:
    """The config of a variant.

    Raises:
        ConfigError: no such variant; the message lists those there are.
    """
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    return VARIANTS[variant]


def resolve_heads(config: VariantConfig, spec: str) -> tuple[str, ...]:
    """Names of the outputs that a heads spec keeps, in the order of the official file.

    Args:
        config: the variant.
        spec: a preset (`all`, `no_heatmap`, `tracking`, `landmarks`) or head names joined with `+`.
    Raises:
        ConfigError: no such preset or head for this variant, or a head named twice.
    """
    if spec in config.presets:
        return config.presets[spec]
    names = spec.split("+")
    for name in names:
        if name not in config.head_names:
            raise unknown(f"heads for {config.name}", spec, [*config.presets, *(f"{n}+…" for n in config.head_names)])
    if len(set(names)) != len(names):
        raise ConfigError(f"Each head may be named once. Received: {spec!r}.")
    return tuple(name for name in config.head_names if name in names)


def heads_label(config: VariantConfig, names: tuple[str, ...]) -> str:
    """The preset's name for these heads, else the names joined with `+`; the same set has one label."""
    for preset, members in config.presets.items():
        if members == names:
            return preset
    return "+".join(names)


def artifact_name(config: VariantConfig, heads: str, precision: str) -> str:
    """File name of an artifact without its ending, e.g. `pose_landmark_lite.landmarks.fp16`; `all` is not written."""
    label = heads_label(config, resolve_heads(config, heads))
    return ".".join([config.name, *([] if label == "all" else [label]), precision])
