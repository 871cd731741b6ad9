"""A phone's /system: Android's shell and tools, made of Debian's mksh and toybox, and the scripts beside this file."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"
# `arm64_packages.sh` puts the arm64 programs here.
ARM64_PROGRAMS = Path(__file__).parents[2] / "build" / "test-device" / "arm64"
LOADERS = {"native": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}
TRIPLETS = {"native": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
LIBRARIES = ("libc.so.6", "libm.so.6", "libcrypt.so.1")
# Debian's toybox has these; a phone's shell user has not.
LEFT_OUT = ("chroot", "halt", "insmod", "mount", "nsenter", "pivot_root", "poweroff", "reboot", "su", "switch_root")
OWN_LOADER = "/system/lib64/ld.so"
OWN_LIBRARIES = "/system/lib64/own"


class UnavailableError(Exception):
    """This machine cannot make such a device; the message is the reason."""


def why_no_image(arch: str) -> str | None:
    """Why the /system of this architecture cannot be made, or not run; None when it can."""
    if Path(LOADERS["native"]).exists() is False:
        return "the test device needs x86-64 and glibc"
    missing = [name for name in ("mksh", "toybox") if shutil.which(name) is None]
    if missing:
        return f"the test device needs {' and '.join(missing)} (Debian: apt install mksh toybox)"
    if arch == "native":
        return None
    loader = ARM64_PROGRAMS / LOADERS["arm64"].lstrip("/")
    if not loader.exists() or not (ARM64_PROGRAMS / "bin/toybox").exists():
        return "the arm64 test device needs Debian's arm64 mksh and toybox (tests/testing/arm64_packages.sh)"
    try:
        subprocess.run([loader, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "the arm64 test device needs qemu-user, registered in binfmt_misc with the flag F"
    return None


@functools.cache
def system_image(arch: str, without_tools: frozenset[str]) -> Path:
    """The folder to mount at /system, made once per process.

    Its programs have a loader and libraries of their own under names that no other program looks for: as on a phone,
    a program linked with glibc finds neither a loader nor a library there.
    """
    image = Path(tempfile.mkdtemp(prefix="blazeport-system-"))
    atexit.register(shutil.rmtree, image, ignore_errors=True)
    image.chmod(0o755)
    bin_folder = image / "bin"
    for folder in (bin_folder, image / "etc", image / "lib64"):
        folder.mkdir()
    (image / "etc/passwd").write_text("root:x:0:0::/:/system/bin/sh\nshell:x:2000:2000::/:/system/bin/sh\n")
    (image / "etc/group").write_text("root:x:0:\nshell:x:2000:\n")
    _install_programs(image, arch)
    applets = subprocess.run([_program("toybox", "native")], capture_output=True, text=True, check=True).stdout
    scripts = {path.name for path in SCRIPTS.iterdir()}
    for name in set(applets.split()) - set(LEFT_OUT) - scripts - without_tools:
        (bin_folder / name).symlink_to("toybox")
    for name in scripts - without_tools:
        shutil.copyfile(SCRIPTS / name, bin_folder / name)
        (bin_folder / name).chmod(0o755)
    return image


def _install_programs(image: Path, arch: str) -> None:
    loader = LOADERS[arch]
    for name in ("mksh", "toybox"):
        _copy(_program(name, arch), image / "bin" / name, loader + "\0", OWN_LOADER.ljust(len(loader), "\0") + "\0")
    (image / "bin/sh").symlink_to("mksh")
    searched = f"/lib/{TRIPLETS[arch]}/"
    libraries = OWN_LIBRARIES.ljust(len(searched) - 1, "_") + "/"
    _copy(_library(Path(loader).name, arch), image / "lib64/ld.so", searched, libraries)
    for name in LIBRARIES:
        _copy(_library(name, arch), image / libraries.removeprefix("/system/") / name, "", "")


def _copy(source: Path, target: Path, old: str, new: str) -> None:
    """Copies a program with one text in it exchanged for another of the same length."""
    data = source.read_bytes()
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data.replace(old.encode(), new.encode()) if old else data)
    target.chmod(0o755)


def _program(name: str, arch: str) -> Path:
    return ARM64_PROGRAMS / "bin" / name if arch == "arm64" else Path(shutil.which(name) or f"/bin/{name}").resolve()


def _library(name: str, arch: str) -> Path:
    base = ARM64_PROGRAMS if arch == "arm64" else Path("/")
    for folder in (f"lib/{TRIPLETS[arch]}", f"usr/lib/{TRIPLETS[arch]}", "lib64", "lib"):
        if (path := base / folder / name).exists():
            return path.resolve()
    raise UnavailableError(f"the test device needs {name} for {TRIPLETS[arch]}")
