"""Fetches the files in `sources` into the user's cache, checks their sha256 and hands out their paths.

A cached file lies in a folder named by its sha256 and is hashed again whenever it is asked for, so a damaged one is
never used. Files are written atomically: two processes may fetch the same file at once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import progress
from ..errors import ConfigError, OutputError, WeightsError, unknown
from ..files import cache_dir, sha256_of, write_atomic
from .places import PlaceError, read_members
from .reader import read_tflite
from .sources import DEMO_PHOTOS, OFFICIAL, Installed, Npm, Place, RemoteFile, Source, Wheel

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CachedCopy:
    """A file in the cache.

    Attributes:
        name: the variant, or the photo's file name.
        path: where it lies.
        sha256: what its content should hash to.
        is_intact: whether it does.
        is_own: the user's own file, accepted with `allow_unknown`.
    """

    name: str
    path: Path
    sha256: str
    is_intact: bool
    is_own: bool


def official_file(variant: str, *, from_dir: Path | None = None, allow_unknown: bool = False) -> Path:
    """The official .tflite file of a variant, fetched when it is not in the cache. See `official_files`."""
    return official_files([variant], from_dir=from_dir, allow_unknown=allow_unknown)[variant]


def official_files(
    variants: Iterable[str], *, from_dir: Path | None = None, allow_unknown: bool = False
) -> dict[str, Path]:
    """The official .tflite files of some variants; what is not in the cache is fetched, each package once.

    Args:
        variants: names, e.g. `pose_detection`.
        from_dir: take the files from this folder, else from the cache, and download nothing. It may hold
            `<variant>.tflite` or an unpacked npm package.
        allow_unknown: accept a file in `from_dir` that is a .tflite file but not an official one. It is used for this
            variant from then on, with a warning each time, until it is removed from the cache.
    Returns:
        Variant → path in the cache, in the order asked for.
    Raises:
        ConfigError: no such variant, no such folder, or `allow_unknown` without a folder.
        WeightsError: a file cannot be had; the message lists what failed at each place.
        OutputError: the cache cannot be written.
    """
    wanted = {variant: _official(variant) for variant in variants}
    if from_dir is None:
        if allow_unknown:
            raise ConfigError("allow_unknown accepts files of your own: name their folder with from_dir.")
        return _fetch(wanted, hint="To use files you have: --from DIR.")
    if not from_dir.is_dir():
        raise ConfigError(f"A folder with .tflite files was expected. Received: {from_dir}.")
    return {name: _from_folder(name, file, from_dir, allow_unknown) for name, file in wanted.items()}


def demo_photos() -> list[Path]:
    """A few photos of people that registry packages ship, fetched when they are not in the cache.

    Raises:
        WeightsError: a photo cannot be had; the message lists what failed at each place.
        OutputError: the cache cannot be written.
    """
    wanted = {photo.filename: photo for photo in DEMO_PHOTOS}
    return list(_fetch(wanted, hint="To use photos of your own: --calibration DIR.").values())


def cached(variant: str) -> Path | None:
    """The file of a variant if the cache has an intact one; never uses the network.

    Raises:
        ConfigError: no such variant.
    """
    return _cached(variant, _official(variant))


def cached_copies() -> list[CachedCopy]:
    """Every official, own and demo file in the cache, hashed again."""
    named = [*OFFICIAL.items(), *((photo.filename, photo) for photo in DEMO_PHOTOS)]
    return [copy for name, file in named for copy in _copies(name, file)]


def _official(variant: str) -> RemoteFile:
    if variant not in OFFICIAL:
        raise unknown("variant", variant, OFFICIAL)
    return OFFICIAL[variant]


def _cache_path(file: RemoteFile, sha256: str, *, own: bool = False) -> Path:
    return cache_dir() / ("own" if own else "downloads") / sha256 / file.filename


def _copies(name: str, file: RemoteFile) -> list[CachedCopy]:
    own = sorted(cache_dir().glob(f"own/*/{file.filename}"))
    paths = [*own, *(path for sha in file.sha256s if (path := _cache_path(file, sha)).is_file())]
    return [
        CachedCopy(name=name, path=path, sha256=path.parent.name, is_intact=_is_intact(path), is_own=path in own)
        for path in paths
    ]


def _is_intact(path: Path) -> bool:
    """Whether a file's content has the sha256 that names its folder."""
    try:
        return sha256_of(path) == path.parent.name
    except OSError:
        return False


def _cached(name: str, file: RemoteFile) -> Path | None:
    for copy in _copies(name, file):
        if not copy.is_intact:
            logger.warning("%s in the cache is damaged and is not used: %s", name, copy.path)
        elif copy.is_own:
            logger.warning("%s: your own file is used, not the official one. To undo, remove %s", name, copy.path)
            return copy.path
        else:
            return copy.path
    return None


def _store(file: RemoteFile, data: bytes, *, own: bool = False) -> Path:
    path = _cache_path(file, sha256_of(data), own=own)
    if not _is_intact(path):  # an intact one in a read-only cache is fine
        write_atomic(path, data)
    return path


def _fetch(wanted: Mapping[str, RemoteFile], *, hint: str) -> dict[str, Path]:
    """Name → path of each file, from the cache or the first place that has it."""
    paths: dict[str, Path] = {}
    failures: dict[str, list[str]] = {}
    downloads = _Downloads()
    for name, file in wanted.items():
        if (path := _cached(name, file)) is not None:
            paths[name] = path
            continue
        data, reasons = downloads.first_good(file)
        if data is None:
            failures[name] = reasons
        else:
            paths[name] = _store(file, data)
    downloads.keep_the_rest()
    if failures:
        lines = dict.fromkeys(line for reasons in failures.values() for line in reasons)
        raise WeightsError(f"Cannot fetch {', '.join(failures)}. {hint} Tried:\n  " + "\n  ".join(lines))
    return paths


class _Downloads:
    """What was read from each place; a package is opened once, for all files it is known to hold."""

    def __init__(self) -> None:
        self._read: dict[Source, bytes | PlaceError] = {}
        self._unreachable: dict[Place, PlaceError] = {}

    def first_good(self, file: RemoteFile) -> tuple[bytes | None, list[str]]:
        """The content from the first source with an accepted one, and a line on each source that failed before."""
        failures = []
        for source in file.sources:
            data = self._get(source, file)
            if isinstance(data, PlaceError):
                failures.append(f"{source.place}: {data}")
            elif (digest := sha256_of(data)) in file.sha256s:
                return data, failures
            else:
                failures.append(f"{source.place}: {source.member} has another sha256 ({digest[:12]}…)")
        return None, failures

    def keep_the_rest(self) -> None:
        """Stores the files that came along in a package, as far as the disk allows."""
        for file in _known_files():
            if any(_cache_path(file, sha256).exists() for sha256 in file.sha256s):
                continue
            contents = (self._read.get(source) for source in file.sources)
            good = (data for data in contents if isinstance(data, bytes) and sha256_of(data) in file.sha256s)
            if (data := next(good, None)) is not None:
                with contextlib.suppress(OutputError):
                    _store(file, data)

    def _get(self, source: Source, file: RemoteFile) -> bytes | PlaceError:
        place = source.place
        if source not in self._read and place not in self._unreachable:
            sizes = {source.member: file.size_bytes}
            if isinstance(place, Wheel | Npm):
                sizes |= {
                    other.member: sibling.size_bytes
                    for sibling in _known_files()
                    for other in sibling.sources
                    if other.place == place
                }
            try:
                is_local = isinstance(place, Installed)
                with contextlib.nullcontext() if is_local else progress.step(f"Fetching from {place}"):
                    members = read_members(place, sizes)
                self._read |= {Source(place=place, member=member): data for member, data in members.items()}
            except PlaceError as error:
                self._unreachable[place] = error
        return self._unreachable[place] if place in self._unreachable else self._read[source]


def _known_files() -> list[RemoteFile]:
    return [*OFFICIAL.values(), *DEMO_PHOTOS]


def _from_folder(name: str, file: RemoteFile, folder: Path, allow_unknown: bool) -> Path:
    """A variant's file from a folder of the user's, stored in the cache; the cached one when the folder has none."""
    # Below an npm package the file may have another name.
    names = dict.fromkeys([file.filename, *(Path(source.member.partition("?")[0]).name for source in file.sources)])
    candidates = [folder / filename for filename in names if (folder / filename).is_file()]
    if not candidates:
        if (path := _cached(name, file)) is not None:
            return path
        raise WeightsError(f"{folder} was expected to hold {file.filename}, and the cache has no copy of it either.")
    chosen = candidates[0]
    try:
        digest = sha256_of(chosen)
        if digest in file.sha256s:
            return _store(file, chosen.read_bytes())
        if not allow_unknown:
            raise WeightsError(
                f"{chosen} is not an official copy: its sha256 is {digest}, expected one of {', '.join(file.sha256s)}."
                " If it is your own file, pass --allow-unknown."
            )
        read_tflite(chosen)
        data = chosen.read_bytes()
    except OSError as error:
        raise WeightsError(f"Cannot read {chosen}: {error.strerror or error}.") from error
    stored = _store(file, data, own=True)
    for older in cache_dir().glob(f"own/*/{file.filename}"):
        if older != stored:
            older.unlink(missing_ok=True)
    return stored
