"""Builds the native runner: the program, the LiteRT library of the same release as here, and what both need to start.

A phone has no glibc. The bundle brings the loader and the libraries of the cross compiler along, and the runner is
started through that loader; with an NDK and an Android build of LiteRT neither is needed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .. import progress
from ..errors import ConfigError, DeviceError, unknown
from ..files import cache_dir, sha256_of, write_atomic

ABIS = ("arm64-v8a", "x86_64")
DEFAULT_FOLDER = Path("build/android-runner")
PROGRAM, LIBRARY, MANIFEST = "runner", "libLiteRt.so", "bundle.json"
SCHEMA_VERSION = 1
_SOURCES = Path(__file__).parent / "native"
_COMPILERS = {"arm64-v8a": "aarch64-linux-gnu-g++", "x86_64": "g++"}
_PROCESSORS = {"arm64-v8a": "aarch64", "x86_64": "x86_64"}
_PACKAGES = {"arm64-v8a": "g++-aarch64-linux-gnu", "x86_64": "g++"}
_MIN_ANDROID_API = 26


@dataclass(frozen=True, kw_only=True)
class RunnerBundle:
    """A built runner with all it needs, for one ABI.

    Attributes:
        folder: where the files are.
        abi: `arm64-v8a` or `x86_64`.
        litert: version of the LiteRT library.
        loader: file name of the loader the program is started through; None for a build by the NDK.
        files: name → sha256.
    """

    folder: Path
    abi: str
    litert: str
    loader: str | None
    files: Mapping[str, str]

    @property
    def paths(self) -> dict[str, Path]:
        """Name → path, of everything a device needs."""
        return {name: self.folder / name for name in self.files}


def build_runner(folder: Path, abis: Sequence[str] = ABIS, *, android_litert: Path | None = None) -> list[RunnerBundle]:
    """Builds the runner into `folder`/<abi>.

    With `ANDROID_NDK_HOME` set the NDK builds it, which is untested: neither with an NDK nor on a phone.

    Args:
        folder: gets one folder per ABI; an older one is replaced when the new one is complete.
        abis: of `ABIS`.
        android_litert: libLiteRt.so for Android, of the ABI that is built; needed with the NDK only.
    Raises:
        ConfigError: an unknown ABI, or the NDK without a library for Android.
        DeviceError: a compiler, CMake or the LiteRT library of the ABI is missing, or the compiler failed.
    """
    for abi in abis:
        if abi not in ABIS:
            raise unknown("ABI", abi, ABIS)
    ndk = os.environ.get("ANDROID_NDK_HOME")
    if ndk and android_litert is None:
        raise ConfigError(
            "ANDROID_NDK_HOME is set, and a program built by the NDK needs a libLiteRt.so for Android: name it with "
            "--android-litert, or unset ANDROID_NDK_HOME to build the runner with its own loader."
        )
    built = []
    for abi in abis:
        with progress.step(f"Building the runner for {abi}"):
            built.append(_build(folder / abi, abi, Path(ndk) if ndk else None, android_litert))
    return built


def read_bundle(folder: Path) -> RunnerBundle:
    """Reads a built runner.

    Raises:
        DeviceError: it is not there, or its files are not those that were built.
    """
    try:
        record = json.loads((folder / MANIFEST).read_bytes())
        if record["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {record['schema_version']}")
        bundle = RunnerBundle(
            folder=folder,
            abi=record["abi"],
            litert=record["litert"],
            loader=record["loader"],
            files=dict(record["files"]),
        )
        changed = [name for name, sha256 in bundle.files.items() if sha256_of(folder / name) != sha256]
    except FileNotFoundError as error:
        raise DeviceError(f"Expected the native runner in {folder}. Build it with: make android-runner.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DeviceError(
            f"{folder} holds no usable native runner ({error}). Build it: make android-runner."
        ) from error
    if changed:
        raise DeviceError(f"{folder / changed[0]} is not the file that was built. Build it again: make android-runner.")
    return bundle


def write_manifest(folder: Path, abi: str, litert: str, loader: str | None) -> None:
    """Makes the files of a folder a bundle, as it is now."""
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    record = {"schema_version": SCHEMA_VERSION, "abi": abi, "litert": litert, "loader": loader, "files": files}
    write_atomic(folder / MANIFEST, json.dumps(record, indent=2) + "\n")


def _build(folder: Path, abi: str, ndk: Path | None, android_litert: Path | None) -> RunnerBundle:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{abi}-") as temporary:
        made = Path(temporary) / abi
        made.mkdir()
        flags = _ndk_flags(ndk, abi) if ndk else _gcc_flags(abi)
        _compile(Path(temporary) / "cmake", flags)
        shutil.copy2(Path(temporary) / "cmake" / PROGRAM, made / PROGRAM)
        shutil.copyfile(android_litert if ndk and android_litert else litert_library(abi), made / LIBRARY)
        loader = None if ndk else _copy_loader(made, _COMPILERS[abi])
        write_manifest(made, abi, "given by the user" if ndk else metadata.version("ai-edge-litert"), loader)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return read_bundle(folder)


def litert_library(abi: str) -> Path:
    """The LiteRT library for an ABI, of the release that is installed here; fetched by pip for another machine's.

    Raises:
        DeviceError: pip could not fetch it.
    """
    version = metadata.version("ai-edge-litert")
    if _PROCESSORS[abi] == os.uname().machine:
        import ai_edge_litert

        return Path(ai_edge_litert.__path__[0]) / LIBRARY
    kept = cache_dir() / "litert" / version / abi / LIBRARY
    if kept.exists():
        return kept
    with tempfile.TemporaryDirectory() as temporary:
        platform = f"manylinux_2_27_{_PROCESSORS[abi]}"
        arguments = ["--only-binary=:all:", "--platform", platform, "--no-deps", "--dest", temporary]
        _run([sys.executable, "-m", "pip", "download", "--quiet", *arguments, f"ai-edge-litert=={version}"])
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            write_atomic(kept, archive.read(f"ai_edge_litert/{LIBRARY}"))
    return kept


def _gcc_flags(abi: str) -> list[str]:
    compiler = _COMPILERS[abi]
    if shutil.which(compiler) is None:
        raise DeviceError(f"Building for {abi} needs {compiler}. On Debian and Ubuntu: apt install {_PACKAGES[abi]}.")
    flags = [f"-DCMAKE_CXX_COMPILER={compiler}"]
    if _PROCESSORS[abi] != os.uname().machine:
        flags += ["-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_SYSTEM_PROCESSOR={_PROCESSORS[abi]}"]
    return flags


def _ndk_flags(ndk: Path, abi: str) -> list[str]:
    toolchain = ndk / "build" / "cmake" / "android.toolchain.cmake"
    if not toolchain.exists():
        raise DeviceError(f"ANDROID_NDK_HOME must be the folder of an NDK. {toolchain} does not exist.")
    return [
        f"-DCMAKE_TOOLCHAIN_FILE={toolchain}",
        f"-DANDROID_ABI={abi}",
        f"-DANDROID_PLATFORM=android-{_MIN_ANDROID_API}",
        "-DANDROID_STL=c++_static",
    ]


def _compile(build: Path, flags: Iterable[str]) -> None:
    if shutil.which("cmake") is None:
        raise DeviceError("Building the runner needs CMake. On Debian and Ubuntu: apt install cmake.")
    _run(["cmake", "-S", str(_SOURCES), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release", *flags])
    _run(["cmake", "--build", str(build)])


def _copy_loader(folder: Path, compiler: str) -> str:
    """Copies every library that the program and LiteRT need, and theirs; returns the loader's name."""
    waiting, done = [folder / PROGRAM, folder / LIBRARY], {PROGRAM, LIBRARY}
    while waiting:
        for name in _needed(waiting.pop()):
            if name in done:
                continue
            found = Path(_run([compiler, f"-print-file-name={name}"]).strip())
            if not found.is_absolute():
                raise DeviceError(f"{compiler} does not have {name}, which the runner needs. Install it completely.")
            shutil.copyfile(found, folder / name)
            waiting.append(folder / name)
            done.add(name)
    (loader,) = (name for name in done if name.startswith("ld-linux"))
    (folder / loader).chmod(0o755)
    return loader


def _needed(library: Path) -> list[str]:
    return re.findall(r"\(NEEDED\).*\[(.+)\]", _run(["readelf", "--dynamic", "--wide", str(library)]))


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}, timeout=600
        )
    except OSError as error:
        raise DeviceError(f"Cannot run {command[0]}: {error.strerror or error}.") from error
    if done.returncode != 0:
        said = " | ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise DeviceError(f"Building the runner failed: {' '.join(command[:4])} …: {said}")
    return done.stdout
