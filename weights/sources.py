"""The files blazeport downloads: their sha256s, licences and the places each can be had, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A package of this Python environment. It is looked up, never imported."""

    package: str

    def __str__(self) -> str:
        return f"installed {self.package}"


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel that pip downloads for a fixed platform. It is only unzipped, never installed."""

    requirement: str
    platform: str
    python_version: str = "3.11"

    def __str__(self) -> str:
        return f"wheel {self.requirement}"


@dataclass(frozen=True, kw_only=True)
class Npm:
    """An npm package that `npm pack` downloads. It is only unpacked, never installed."""

    spec: str

    def __str__(self) -> str:
        return f"npm {self.spec}"


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A public folder on the web."""

    url: str

    def __str__(self) -> str:
        return self.url


Place = Installed | Wheel | Npm | Bucket


@dataclass(frozen=True, kw_only=True)
class Source:
    """One place a file can be had, and its path there."""

    place: Place
    member: str


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to download.

    Attributes:
        filename: its name in the cache and in a folder of the user's.
        sha256s: accepted contents. Official copies of one network differ only in their TFLite metadata.
        size_bytes: size of the largest accepted copy; downloads stop there.
        licence: as the package that ships it states it.
        origin: who made it.
        sources: tried in order.
        paper: arXiv number of the network's paper.
    """

    filename: str
    sha256s: tuple[str, ...]
    size_bytes: int
    licence: str
    origin: str
    sources: tuple[Source, ...]
    paper: str | None = None


_MEDIAPIPE_WHEEL = Wheel(requirement="mediapipe==0.10.21", platform="manylinux_2_28_x86_64")
_NPM_FACE = Npm(spec="@mediapipe/face_detection@0.4.1657300184")
_NPM_POSE = Npm(spec="@mediapipe/pose@0.5.1675469404")
_BUCKET = Bucket(url="https://storage.googleapis.com/mediapipe-assets/")
_BLAZEFACE, _BLAZEPOSE = "1907.05047", "2006.10204"


def _official(
    path: str,
    *,
    sha256s: tuple[str, ...],
    size_bytes: int,
    paper: str,
    in_wheel: bool,
    npm: Npm,
    npm_member: str | None = None,
    generations: tuple[int, int],
) -> RemoteFile:
    """A network of MediaPipe's.

    Args:
        path: below MediaPipe's `modules/`, without its ending.
        sha256s: as in `RemoteFile`.
        size_bytes: as in `RemoteFile`.
        paper: as in `RemoteFile`.
        in_wheel: whether the wheel ships it. An installed package may hold any: MediaPipe keeps its downloads there.
        npm: the npm package that ships it.
        npm_member: its name there, when it is another.
        generations: the bucket's version numbers of `modules/<path>` and of the bare name with these sha256s.
            Source: MediaPipe's `third_party/external_files.bzl`. A newer object may hold other weights.
    """
    filename = f"{path.rpartition('/')[2]}.tflite"
    module = f"modules/{path}.tflite"
    sources = [
        Source(place=Installed(package="mediapipe"), member=f"mediapipe/{module}"),
        *([Source(place=_MEDIAPIPE_WHEEL, member=f"mediapipe/{module}")] if in_wheel else []),
        Source(place=npm, member=f"package/{npm_member or filename}"),
        Source(place=_BUCKET, member=f"{module}?generation={generations[0]}"),
        Source(place=_BUCKET, member=f"{filename}?generation={generations[1]}"),
    ]
    return RemoteFile(
        filename=filename,
        sha256s=sha256s,
        size_bytes=size_bytes,
        licence="Apache-2.0",
        origin="MediaPipe, Google",
        sources=tuple(sources),
        paper=paper,
    )


# Variant → its official file. In each `sha256s`: the wheel's copy, then npm's where it is another.
OFFICIAL: dict[str, RemoteFile] = {
    "face_detection_short_range": _official(
        "face_detection/face_detection_short_range",
        sha256s=(
            "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
        ),
        size_bytes=229_714,
        paper=_BLAZEFACE,
        in_wheel=True,
        npm=_NPM_FACE,
        generations=(1782183508198291, 1677044301978921),
    ),
    "face_detection_full_range": _official(
        "face_detection/face_detection_full_range",
        sha256s=("99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",),
        size_bytes=1_083_984,
        paper=_BLAZEFACE,
        in_wheel=False,
        npm=_NPM_FACE,
        generations=(1782183493595806, 1661875742733283),
    ),
    "face_detection_full_range_sparse": _official(
        "face_detection/face_detection_full_range_sparse",
        sha256s=(
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
            "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
        ),
        size_bytes=680_736,
        paper=_BLAZEFACE,
        in_wheel=True,
        npm=_NPM_FACE,
        generations=(1782183500697062, 1674261618323821),
    ),
    "pose_detection": _official(
        "pose_detection/pose_detection",
        sha256s=(
            "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
            "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
        ),
        size_bytes=2_962_288,
        paper=_BLAZEPOSE,
        in_wheel=True,
        npm=_NPM_POSE,
        npm_member="pose_solution_packed_assets.data",
        generations=(1782183650790966, 1678737489600422),
    ),
    "pose_landmark_lite": _official(
        "pose_landmark/pose_landmark_lite",
        sha256s=("f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",),
        size_bytes=2_819_824,
        paper=_BLAZEPOSE,
        in_wheel=False,
        npm=_NPM_POSE,
        generations=(1782183674047673, 1661875901231143),
    ),
    "pose_landmark_full": _official(
        "pose_landmark/pose_landmark_full",
        sha256s=("e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",),
        size_bytes=6_440_512,
        paper=_BLAZEPOSE,
        in_wheel=True,
        npm=_NPM_POSE,
        generations=(1782183658450386, 1661875894245786),
    ),
    "pose_landmark_heavy": _official(
        "pose_landmark/pose_landmark_heavy",
        sha256s=("59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",),
        size_bytes=27_709_200,
        paper=_BLAZEPOSE,
        in_wheel=False,
        npm=_NPM_POSE,
        generations=(1782183666398574, 1661875897944151),
    ),
}

_FACE_API = Npm(spec="@vladmandic/face-api@1.7.15")
_SKIMAGE_WHEEL = Wheel(requirement="scikit-image==0.25.2", platform="manylinux2014_x86_64")


def _face_api_sample(number: int, size_bytes: int, sha256: str) -> RemoteFile:
    return RemoteFile(
        filename=f"sample{number}.jpg",
        sha256s=(sha256,),
        size_bytes=size_bytes,
        licence="MIT",
        origin="Vladimir Mandic, face-api demo",
        sources=(Source(place=_FACE_API, member=f"package/demo/sample{number}.jpg"),),
    )


# Photos that registry packages ship: enough for a demonstration, too few to calibrate for production.
DEMO_PHOTOS: tuple[RemoteFile, ...] = (
    RemoteFile(
        filename="astronaut.png",
        sha256s=("88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",),
        size_bytes=791_555,
        licence="public domain",
        origin="NASA, shipped by scikit-image",
        sources=(
            Source(place=Installed(package="skimage"), member="skimage/data/astronaut.png"),
            Source(place=_SKIMAGE_WHEEL, member="skimage/data/astronaut.png"),
        ),
    ),
    _face_api_sample(1, 144_516, "8ecae4b267b2d3169e06e00c7dee97097aa2a94635d45216f7732a5f4943cb51"),
    _face_api_sample(2, 181_758, "7d2b60ae6f13bf30f422e04df87451081a02c83de469056f25afb44b7000c691"),
    _face_api_sample(3, 221_049, "8eb081c9efb14370fa94d9feab9e5fbeafd19a627491853a80c2bf67f7ffa936"),
    _face_api_sample(4, 210_824, "729efa5923061d40eb4ed5f267a18cc7b8ba6f852bb2757b16d8b7e4937476fc"),
    _face_api_sample(5, 166_400, "6d45095ebb182d8f975c0790e0e4eefd86fbb40609cf4b271776d92e12662938"),
    _face_api_sample(6, 302_445, "9baad80f9d5e306fb9b8c0913d44445f1e95848df317530efb03d0934c57ba87"),
)
