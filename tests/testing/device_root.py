"""A folder that looks like a phone from inside: Android's shell and tools, its folders, and namespaces of its own."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"
SHELL_USER = 2000
ENVIRONMENT = {
    "PATH": "/product/bin:/system/bin:/system/xbin:/vendor/bin",
    "ANDROID_DATA": "/data",
    "ANDROID_ROOT": "/system",
    "HOME": "/",
    "HOSTNAME": "localhost",
    "LOGNAME": "shell",
    "SHELL": "/system/bin/sh",
    "TMPDIR": "/data/local/tmp",
    "USER": "shell",
}
# Where Debian's programs expect their loader; the root has none there, as a phone has no glibc.
LOADERS = {"native": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}
TRIPLETS = {"native": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
# Debian's toybox has these; a phone's has not, or a script plays it.
LEFT_OUT = ("chroot", "halt", "insmod", "mount", "nsenter", "pivot_root", "poweroff", "reboot", "su", "switch_root")
ARM64_ROOT = Path(__file__).parents[2] / "build" / "test-device" / "arm64"
PEOPLE = "root:x:0:0::/:/system/bin/sh\nshell:x:2000:2000::/:/system/bin/sh\n"
PEOPLE_GROUPS = "root:x:0:\nshell:x:2000:\n"
NAMESPACES = ("--mount", "--uts", "--pid", "--fork", "--kill-child")
# Fake files of /proc are mounted over the real ones. The shell at the end lives as long as its stdin is open.
ENTER = """set -e
root=$1
hostname localhost
mount -t proc proc "$root/proc"
for fake in "$root"/state/proc/*; do
    [ ! -f "$fake" ] || mount --bind "$fake" "$root/proc/${fake##*/}"
done
for node in full null random urandom zero; do
    mount --bind "/dev/$node" "$root/dev/$node"
done
exec chroot "$root" /system/bin/sh -c 'echo ready; while read line; do :; done'
"""


class UnavailableError(Exception):
    """This machine cannot make such a root; the message is the reason."""


@functools.cache
def why_unavailable(arch: str) -> str | None:
    """Why no root of this architecture can be made here; None when it can."""
    if os.name != "posix" or not Path("/proc/self/ns/mnt").exists():
        return "the test device needs Linux"
    missing = [name for name in ("unshare", "nsenter", "chroot", "mount") if shutil.which(name) is None]
    if arch == "native":
        missing += [name for name in ("mksh", "toybox") if shutil.which(name) is None]
    if missing:
        return f"the test device needs {', '.join(missing)} (Debian: apt install mksh toybox)"
    probe = subprocess.run([*namespaces(*NAMESPACES), "true"], capture_output=True, text=True)
    if probe.returncode:
        return f"the test device needs root or user namespaces ({probe.stderr.strip()})"
    if arch == "arm64":
        return "the arm64 test device is not built yet"
    return None


def namespaces(*options: str) -> list[str]:
    """The start of a command that runs the rest in new namespaces, as root of them."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *user, *options, "--"]


class DeviceRoot:
    """The folder of one device and the namespaces its commands run in.

    Args:
        folder: Made, or reused as a phone's storage is after a restart.
        arch: "native" (this machine's) or "arm64" (under qemu-user).
        without_tools: Programs this phone has not.
    """

    def __init__(self, folder: Path, arch: str, without_tools: Iterable[str] = ()) -> None:
        reason = why_unavailable(arch)
        if reason:
            raise UnavailableError(reason)
        self.folder = folder
        self._arch = arch
        self._holder: subprocess.Popen[str] | None = None
        self._inside = 0
        self._build(frozenset(without_tools))

    def path(self, remote: str) -> Path:
        """Host path of a remote path, links resolved inside the root."""
        top = self.folder.resolve()
        here = top
        for part in remote.split("/"):
            if part == "..":
                here = here.parent if here != top else top
            elif part not in ("", "."):
                here = here / part
                if here.is_symlink():
                    target = here.readlink()
                    here = top / str(target).lstrip("/") if target.is_absolute() else here.parent / target
        return here

    def own(self, path: Path) -> None:
        """Gives a file or folder to the shell user."""
        if os.geteuid() == 0:
            os.chown(path, SHELL_USER, SHELL_USER, follow_symlinks=False)

    def start(self) -> None:
        """Makes the namespaces. They and every process in them end with `stop`, or with this process."""
        command = [*namespaces(*NAMESPACES), "/bin/sh", "-c", ENTER, "sh", str(self.folder)]
        self._holder = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**ENVIRONMENT, "PATH": os.defpath + ":/usr/sbin:/sbin"},
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            message = self._holder.stderr.read().strip()
            self.stop()
            raise UnavailableError(f"the test device's root cannot be entered: {message}")
        pid = self._holder.pid
        self._inside = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def stop(self) -> None:
        """Ends every process on the device."""
        holder, self._holder = self._holder, None
        if holder is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._inside:
                os.kill(self._inside, signal.SIGKILL)
            holder.kill()
        holder.wait()
        for pipe in (holder.stdin, holder.stdout, holder.stderr):
            if pipe is not None:
                pipe.close()
        self._inside = 0

    def popen(self, command: str, **pipes: int) -> subprocess.Popen[bytes]:
        """Starts `sh -c command` on the device as its shell user."""
        nsenter = shutil.which("nsenter") or "nsenter"
        user = ["-S", str(SHELL_USER), "-G", str(SHELL_USER)] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        enter = [nsenter, "-t", str(self._inside), "-m", "-u", "-p", "-r", "-w", *user]
        words = os.fsencode(command)
        return subprocess.Popen(
            [*enter, "--", "/system/bin/sh", "-c", words], env=ENVIRONMENT, start_new_session=True, **pipes
        )

    def _build(self, without_tools: frozenset[str]) -> None:
        for name in ("system/bin", "system/lib64", "data/local/tmp", "proc", "dev", "sys", "sdcard", "state"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.own(self.folder / "data/local/tmp")
        for node in ("full", "null", "random", "urandom", "zero"):
            (self.folder / "dev" / node).touch()
        bin_folder = self.folder / "system/bin"
        for name in ("bin", "etc"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"system/{name}")
        write_tree(self.folder / "system/etc", {"passwd": PEOPLE, "group": PEOPLE_GROUPS})
        self._install_programs(bin_folder)
        applets = subprocess.run([_program("toybox", "native")], capture_output=True, text=True, check=True).stdout
        scripts = {path.name for path in SCRIPTS.iterdir()}
        for name in set(applets.split()) - set(LEFT_OUT) - scripts - without_tools:
            (bin_folder / name).unlink(missing_ok=True)
            (bin_folder / name).symlink_to("toybox")
        for name in scripts - without_tools:
            shutil.copyfile(SCRIPTS / name, bin_folder / name)
            (bin_folder / name).chmod(0o755)

    def _install_programs(self, bin_folder: Path) -> None:
        loader = LOADERS[self._arch]
        own_loader = b"/system/lib64/ld.so".ljust(len(loader), b"\0")
        for name in ("mksh", "toybox"):
            data = _program(name, self._arch).read_bytes().replace(loader.encode() + b"\0", own_loader + b"\0")
            (bin_folder / name).write_bytes(data)
            (bin_folder / name).chmod(0o755)
        (bin_folder / "sh").unlink(missing_ok=True)
        (bin_folder / "sh").symlink_to("mksh")
        # The loader's only folder of libraries, renamed to one that no other program searches.
        searched = f"/lib/{TRIPLETS[self._arch]}/"
        private = "/system/lib64/own".ljust(len(searched) - 1, "_") + "/"
        text = _library(Path(loader).name, self._arch).read_bytes().replace(searched.encode(), private.encode())
        (self.folder / "system/lib64/ld.so").write_bytes(text)
        (self.folder / "system/lib64/ld.so").chmod(0o755)
        libraries = self.folder / private.strip("/")
        libraries.mkdir(exist_ok=True)
        for name in ("libc.so.6", "libm.so.6", "libcrypt.so.1"):
            shutil.copyfile(_library(name, self._arch), libraries / name)


def _program(name: str, arch: str) -> Path:
    if arch == "arm64":
        return ARM64_ROOT / "bin" / name
    return Path(shutil.which(name) or f"/bin/{name}").resolve()


def _library(name: str, arch: str) -> Path:
    triplet = TRIPLETS[arch]
    base = ARM64_ROOT if arch == "arm64" else Path("/")
    for folder in (f"lib/{triplet}", f"usr/lib/{triplet}", "lib64", "lib"):
        if (path := base / folder / name).exists():
            return path.resolve()
    raise UnavailableError(f"the test device needs {name} for {triplet}")


def write_tree(root: Path, files: Mapping[str, str | None]) -> None:
    """Writes text files under `root`; None makes one that only root can read."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or "")
        path.chmod(0o000 if text is None else 0o644)
