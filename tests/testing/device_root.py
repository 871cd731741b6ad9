"""A folder that looks like a phone from inside: Android's shell and tools, its folders, and namespaces of its own."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .system_image import UnavailableError, system_image, why_no_image

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
DEVICE_NODES = ("full", "null", "random", "urandom", "zero")
NAMESPACES = ("--mount", "--uts", "--pid", "--fork", "--kill-child")
# The system is read-only, as on a phone, where the machine allows; fake files of /proc lie over the real ones; the last
# shell lives as long as its stdin is open.
ENTER = """set -e
root=$1
mount --bind "$2" "$root/system"
mount -o remount,bind,ro "$root/system" 2>/dev/null || :
hostname localhost
mount -t proc proc "$root/proc"
for fake in "$root"/state/proc/*; do
    [ ! -f "$fake" ] || mount --bind "$fake" "$root/proc/${fake##*/}"
done
for node in "$root"/dev/*; do
    mount --bind "/dev/${node##*/}" "$node"
done
exec chroot "$root" /system/bin/sh -c 'echo ready; while read line; do :; done'
"""


FILL = 'for f; do mount -t tmpfs -o size=4k,mode=777 full "$f"; head -c 4096 /dev/zero >"$f/.full"; done'
EMPTY = 'for f; do umount -l "$f"; done'


@functools.cache
def why_unavailable(arch: str) -> str | None:
    """Why no device of this architecture can run here; None when one can."""
    if not Path("/proc/self/ns/mnt").exists():
        return "the test device needs Linux"
    missing = [name for name in ("unshare", "nsenter", "setpriv", "chroot", "mount") if shutil.which(name) is None]
    if missing:
        return f"the test device needs {', '.join(missing)}"
    probe = subprocess.run([*namespaces(*NAMESPACES), "true"], capture_output=True, text=True)
    if probe.returncode:
        return f"the test device needs root or user namespaces ({probe.stderr.strip()})"
    return why_no_image(arch)


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
        self._system = system_image(arch, frozenset(without_tools))
        self._build()

    def path(self, remote: str) -> Path:
        """Host path of a remote path, links resolved inside the root."""
        top = here = self.folder.resolve()
        for part in remote.split("/"):
            if part == "..":
                here = here.parent if here != top else top
            elif part not in ("", "."):
                here = here / part
                if here.is_symlink():
                    target = here.readlink()
                    here = top / str(target).lstrip("/") if target.is_absolute() else here.parent / target
        if here.is_relative_to(top / "system"):
            return self._system / here.relative_to(top / "system")
        return here

    def writable(self, path: Path) -> bool:
        """Whether the shell user may write to this host path: a phone lets it into two folders."""
        top = self.folder.resolve()
        return any(path.is_relative_to(top / each) for each in ("data/local/tmp", "sdcard"))

    def own(self, path: Path) -> None:
        """Gives a file or folder to the shell user."""
        if os.geteuid() == 0:
            os.chown(path, SHELL_USER, SHELL_USER, follow_symlinks=False)

    def start(self) -> None:
        """Makes the namespaces. They and every process in them end with `stop`, or with this process."""
        command = [*namespaces(*NAMESPACES), "/bin/sh", "-c", ENTER, "sh", str(self.folder), str(self._system)]
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

    @contextlib.contextmanager
    def full(self, pattern: str) -> Iterator[None]:
        """While it lasts, no byte more can be written in the folders that match: they are file systems without room."""
        folders = sorted(self.folder.glob(pattern.lstrip("/")))
        self._mount(FILL, folders)
        try:
            yield
        finally:
            self._mount(EMPTY, folders)

    def _mount(self, script: str, folders: Iterable[Path]) -> None:
        if self._holder is None:
            return
        user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        enter = ["nsenter", "-t", str(self._inside), "-m", *user, "--", "/bin/sh", "-c", script, "sh"]
        subprocess.run([*enter, *map(str, folders)], check=False, capture_output=True)

    def popen(self, command: str, *, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Starts `sh -c command` on the device as its shell user."""
        nsenter = shutil.which("nsenter") or "nsenter"
        user = ["-S", str(SHELL_USER), "-G", str(SHELL_USER)] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        # Under nohup, tests ignore what a phone's programs must not.
        signals = ["/usr/bin/env", "--default-signal=HUP,INT"]
        enter = [*signals, nsenter, "-t", str(self._inside), "-m", "-u", "-p", "-r", "-w", *user]
        return subprocess.Popen(
            [*enter, "--", "/system/bin/sh", "-c", command],
            env=ENVIRONMENT,
            start_new_session=True,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )

    def _build(self) -> None:
        for name in ("system", "data/local/tmp", "proc", "dev", "sys", "sdcard", "state"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for each in ("data/local/tmp", "sdcard"):
            self.own(self.folder / each)
        for node in DEVICE_NODES:
            (self.folder / "dev" / node).touch()
        for name in ("bin", "etc"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"system/{name}")


def write_tree(root: Path, files: Mapping[str, str | None]) -> None:
    """Writes text files under `root`; None makes one that only root can read."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or "")
        path.chmod(0o000 if text is None else 0o644)
