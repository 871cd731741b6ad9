"""Reads files out of the places in `sources`: an installed package, a wheel, an npm package, a web folder."""

from __future__ import annotations

import http.client
import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .sources import Bucket, Installed, Npm, Place, Wheel

PACKAGE_TIMEOUT_S = 900
CONNECTION_TIMEOUT_S = 30


class PlaceError(Exception):
    """A place that cannot be reached or opened; the message is a short reason."""


def read_members(place: Place, sizes: Mapping[str, int]) -> dict[str, bytes | PlaceError]:
    """Reads files out of a place.

    Args:
        place: where.
        sizes: path there → the most bytes it may have.
    Returns:
        Path → content, or why this one file cannot be had. One byte more than allowed is read of a larger file, so
        that its hash cannot match.
    Raises:
        PlaceError: none of them can be had from there.
    """
    match place:
        case Installed():
            return _from_installed(place, sizes)
        case Wheel():
            return _from_wheel(place, sizes)
        case Npm():
            return _from_npm(place, sizes)
        case Bucket():
            return {member: _from_bucket(place, member, size) for member, size in sizes.items()}


def _from_installed(place: Installed, sizes: Mapping[str, int]) -> dict[str, bytes | PlaceError]:
    spec = importlib.util.find_spec(place.package)
    if spec is None or not spec.submodule_search_locations:
        raise PlaceError("not installed")
    site_packages = Path(next(iter(spec.submodule_search_locations))).parent
    found: dict[str, bytes | PlaceError] = {}
    for member, size in sizes.items():
        try:
            with (site_packages / member).open("rb") as stream:
                found[member] = stream.read(size + 1)
        except OSError:
            found[member] = PlaceError(f"it holds no {member}")
    return found


def _from_wheel(place: Wheel, sizes: Mapping[str, int]) -> dict[str, bytes | PlaceError]:
    with _temporary_folder() as folder:
        _run(
            [
                *_pip_command(),
                *("download", "--quiet", "--no-input", "--no-deps", "--only-binary=:all:", "--retries=2"),
                *("--platform", place.platform, "--python-version", place.python_version, "--dest", folder),
                place.requirement,
            ],
            folder,
        )
        try:
            with zipfile.ZipFile(_only_file(Path(folder), "*.whl")) as archive:
                return {member: _from_zip(archive, member, size) for member, size in sizes.items()}
        except (OSError, zipfile.BadZipFile) as error:
            raise PlaceError(f"the downloaded wheel cannot be read ({error})") from error


def _from_zip(archive: zipfile.ZipFile, member: str, size: int) -> bytes | PlaceError:
    try:
        with archive.open(member) as stream:
            return stream.read(size + 1)
    except KeyError:
        return PlaceError(f"it holds no {member}")
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return PlaceError(f"its {member} cannot be unpacked ({error})")


def _from_npm(place: Npm, sizes: Mapping[str, int]) -> dict[str, bytes | PlaceError]:
    npm = shutil.which("npm")
    if npm is None:
        raise PlaceError("npm is not installed")
    with _temporary_folder() as folder:
        _run([npm, "pack", place.spec, "--json", "--pack-destination", folder, "--fetch-retries=1"], folder)
        try:
            with tarfile.open(_only_file(Path(folder), "*.tgz"), "r:gz") as archive:
                return {member: _from_tar(archive, member, size) for member, size in sizes.items()}
        except (OSError, tarfile.TarError, zlib.error, EOFError) as error:
            raise PlaceError(f"the downloaded package cannot be read ({error})") from error


def _from_tar(archive: tarfile.TarFile, member: str, size: int) -> bytes | PlaceError:
    try:
        info = archive.getmember(member)
    except KeyError:
        return PlaceError(f"it holds no {member}")
    stream: IO[bytes] | None = archive.extractfile(info) if info.isreg() else None
    return PlaceError(f"its {member} is not a regular file") if stream is None else stream.read(size + 1)


def _from_bucket(place: Bucket, member: str, size: int) -> bytes | PlaceError:
    try:
        with urllib.request.urlopen(place.url + member, timeout=CONNECTION_TIMEOUT_S) as response:
            data: bytes = response.read(size + 1)
            return data
    except urllib.error.HTTPError as error:
        return PlaceError(f"{member}: HTTP {error.code} {error.reason}")
    except (OSError, http.client.HTTPException) as error:
        raise PlaceError(str(getattr(error, "reason", error))) from error


def _pip_command() -> list[str]:
    """A pip of any Python will do: it only downloads, for a platform that is named."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for pip in ("pip", "pip3"):
        if found := shutil.which(pip):
            return [found]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    raise PlaceError("neither pip nor uv is installed")


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="blazeport-", ignore_cleanup_errors=True)
    except OSError as error:
        raise PlaceError(f"no temporary folder can be made ({error.strerror})") from error


def _run(command: Sequence[str], folder: str) -> None:
    """Runs a downloader inside `folder`, so that no project's own settings apply."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PACKAGE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise PlaceError(f"no answer within {PACKAGE_TIMEOUT_S} s") from error
    except OSError as error:
        raise PlaceError(f"{command[0]} cannot be run ({error.strerror})") from error
    if result.returncode:
        raise PlaceError(_complaint(result.stdout, result.stderr) or f"exit code {result.returncode}")


def _complaint(stdout: str, stderr: str) -> str:
    """What went wrong: the summary of npm's JSON, else the last line on stderr."""
    try:
        return str(json.loads(stdout)["error"]["summary"])
    except (ValueError, LookupError, TypeError):
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def _only_file(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise PlaceError(f"one {pattern} was expected, {len(found)} came")
    return found[0]
