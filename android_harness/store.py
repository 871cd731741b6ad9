"""Files on the phone under names that say what is in them, so that the wrong bytes can never run.

A file is pushed to a `.part` name, its sha256 is taken on the phone, and only then it gets its final name. Neither its
size nor what adb says about the push is believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import secrets
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import (
    AdbError,
    AdbTimeout,
    ConfigError,
    ConnectionLost,
    CorruptTransfer,
    DeviceError,
    DeviceOffline,
    InputError,
    NoSpace,
)
from ..files import atomic_path, sha256_of
from .adb import Device, quote
from .parsers import Absent, parse_df

ROOT = "/data/local/tmp/blazeport"
DEFAULT_TIMEOUT_S = 60.0
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}"
# Every name that is made here. What has another name is someone else's and stays.
_OURS = re.compile(rf"(?:bundle-)?[0-9a-f]{{64}}(?:\.[0-9a-f]{{8}}\.part)?|scratch-[0-9a-f]{{16}}-{_NAME}")
_SPARE_BYTES = 8 * 2**20
_REMOVED_PER_CALL = 20  # old phones take 4 KB in one message
_SLOWEST_BYTES_PER_S = 1e6  # wireless debugging in a poor network; a push or a sha256sum slower than that has hung
_CORRUPT = 95
_OPEN_ROOT = f"""\
if [ -L {ROOT} ]; then echo "{ROOT} is a link, which blazeport does not make: remove it" >&2; exit 94; fi
mkdir -p {ROOT} || exit 94
sha256sum /dev/null >/dev/null || {{ echo "this phone has no sha256sum, which proves pushed files" >&2; exit 94; }}
"""
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    """Something below `ROOT`: a file (one digest, under its own name) or a folder of files."""

    final: str
    digests: Mapping[str, str]  # path below `final` ("" for a file itself) → sha256
    sources: Mapping[str, Path]
    mode: str

    @property
    def is_folder(self) -> bool:
        return "" not in self.digests

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.sources.values())

    def paths(self, base: str) -> dict[str, str]:
        """Path on the phone → sha256, as if the entry lay at `base`."""
        return {f"{base}/{name}" if name else base: digest for name, digest in self.digests.items()}


class Store:
    """What one session keeps on one phone, all of it below `ROOT`.

    Errors of adb pass through; everything here is idempotent, so a lost connection is repaired and tried once more.

    Args:
        device: the phone.
        timeout_s: what every call has, besides the time that its bytes need on a slow link (1 MB/s).
    """

    def __init__(self, device: Device, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self.device, self.timeout_s = device, timeout_s
        self._session = secrets.token_hex(8)
        self._proven: set[tuple[str, str]] = set()

    def put(self, path: Path, *, executable: bool = False) -> str:
        """Brings a file to the phone unless its bytes are there already.

        Returns:
            `ROOT/<sha256>`.
        Raises:
            InputError: there is no such file.
            NoSpace: the storage would not take it.
            CorruptTransfer: it arrived damaged twice.
        """
        digest = _digest(path)
        entry = _Entry(f"{ROOT}/{digest}", {"": digest}, {"": path}, "755" if executable else "644")
        return self._bring(entry)

    def bundle(self, files: Mapping[str, Path]) -> str:
        """Brings several files into one folder under their names, all of them executable.

        Args:
            files: name in the folder → file here.
        Returns:
            `ROOT/bundle-<sha256 of all names and contents>`.
        Raises:
            ConfigError: a name is no plain file name, or there is none.
            InputError, NoSpace, CorruptTransfer: as `put`.
        """
        if not files:
            raise ConfigError("A bundle needs at least one file.")
        digests = {_checked_name(name): _digest(path) for name, path in sorted(files.items())}
        listing = "".join(f"{name}\0{digest}\n" for name, digest in digests.items())
        final = f"{ROOT}/bundle-{hashlib.sha256(listing.encode()).hexdigest()}"
        return self._bring(_Entry(final, digests, files, "755"))

    def scratch(self, name: str) -> str:
        """Makes an empty folder of this session's, `ROOT/scratch-<session>-<name>`, and returns its path.

        Raises:
            ConfigError: the name is no plain file name.
        """
        folder = f"{ROOT}/scratch-{self._session}-{_checked_name(name)}"
        self._script(f"{_OPEN_ROOT}\nrm -rf {quote(folder)} && mkdir {quote(folder)}")
        return folder

    def remove_scratch(self) -> None:
        """Removes this session's scratch folders."""
        self._script(f"rm -rf {quote(ROOT)}/scratch-{self._session}-*")

    def fetch(self, remote: str, local: Path) -> None:
        """Copies a file from the phone to `local` and proves it by its sha256 on the phone: two adb calls.

        Raises:
            DeviceError: there is no such file.
            CorruptTransfer: it arrived damaged twice.
        """
        told = self._script(f"wc -c < {quote(remote)} && sha256sum < {quote(remote)}", check=False)
        size, digest = re.match(r"\s*(\d+)\n", told), _digests_in(told).get("-")
        if size is None or digest is None:
            raise DeviceError(f"A file was expected at {remote!r} on {self.device.serial}. It is missing.")
        with atomic_path(local.absolute()) as temporary:
            for is_last in (False, True):
                try:
                    self.device.pull(remote, temporary, timeout_s=self._timeout_s(int(size[1])))
                except (ConnectionLost, DeviceOffline, AdbTimeout):
                    if is_last:
                        raise
                    self.device.reconnect()
                    continue
                if _digest(temporary) == digest:
                    return
                _LOGGER.warning("%s arrived damaged from %s", remote, self.device.serial)
            raise CorruptTransfer(f"{remote} arrived damaged from {self.device.serial} twice. Check the cable.")

    def names(self) -> tuple[str, ...]:
        """The names below `ROOT` that we make, whichever session made them."""
        listed = self._script(f'cd {ROOT} 2>/dev/null || exit 0\nfor f in *; do echo "$f"; done')
        return tuple(dict.fromkeys(name for name in listed.splitlines() if _OURS.fullmatch(name)))

    def collect_garbage(self, keep: Collection[str]) -> int:
        """Removes what we put on the phone except `keep` (names or full paths) and this session's scratch folders.

        Returns:
            How many entries were removed.
        """
        kept = {each.removeprefix(f"{ROOT}/") for each in keep}
        mine = f"scratch-{self._session}-"
        return self._remove([name for name in self.names() if name not in kept and not name.startswith(mine)])

    def clean(self) -> int:
        """Removes all that we put on the phone, and the folder when nothing else is in it. Returns how many entries."""
        count = self._remove(self.names())
        self._script(f"rmdir {ROOT} 2>/dev/null; true")
        return count

    def _bring(self, entry: _Entry) -> str:
        if (entry.final, entry.mode) in self._proven:
            return entry.final
        for is_last in (False, True):
            part = f"{entry.final}.{secrets.token_hex(4)}.part"
            try:
                if self._is_there(entry) or self._push(entry, part):
                    self._proven.add((entry.final, entry.mode))
                    return entry.final
                _LOGGER.warning("%s arrived damaged on %s", entry.final, self.device.serial)
            except (ConnectionLost, DeviceOffline, AdbTimeout):
                self.device.reconnect()
                if is_last:
                    self._discard(part)
                    raise
            except BaseException:
                self._discard(part)
                raise
        raise CorruptTransfer(
            f"{', '.join(str(path) for path in entry.sources.values())} arrived damaged on {self.device.serial} twice. "
            "Check its cable, its network and its storage."
        )

    def _is_there(self, entry: _Entry) -> bool:
        """True when the phone has the entry's bytes. If not, there is room for them. Old `.part`s go in any case."""
        paths = entry.paths(entry.final)
        words = " ".join(map(quote, paths))
        text = self._script(
            f"{_OPEN_ROOT}rm -rf {quote(entry.final)}.*.part\n"
            f"sha256sum {words} 2>/dev/null && chmod {entry.mode} {words} 2>/dev/null\ndf -k {ROOT}; true",
            timeout_s=self._timeout_s(entry.size_bytes),
        )
        if _digests_in(text) == paths:
            return True
        free = parse_df(text)
        needed = entry.size_bytes + _SPARE_BYTES
        if not isinstance(free, Absent) and free < needed:
            raise NoSpace(
                f"{self.device.serial} needs {needed / 2**20:.0f} MiB for {', '.join(map(str, entry.sources.values()))}"
                f" and has {free / 2**20:.0f} MiB. Run `blazeport android clean` or free its storage.",
                command=("df", "-k", ROOT),
                stdout=text,
                serial=self.device.serial,
            )
        return False

    def _push(self, entry: _Entry, part: str) -> bool:
        """Pushes, proves and renames. False when other bytes arrived, which are removed."""
        if entry.is_folder:
            # One call for all of them: adb names them as they are named here.
            self._script(f"mkdir -p {quote(part)}")
            with tempfile.TemporaryDirectory() as folder:
                links = [Path(folder, name) for name in entry.sources]
                for link in links:
                    link.symlink_to(entry.sources[link.name].resolve())
                self.device.push_many(links, f"{part}/", timeout_s=self._timeout_s(entry.size_bytes))
        else:
            self.device.push(entry.sources[""], part, timeout_s=self._timeout_s(entry.size_bytes))
        proofs = "\n".join(f"proven {quote(path)} {digest}" for path, digest in entry.paths(part).items())
        words = " ".join(map(quote, entry.paths(part)))
        result = self.device.script(
            f'proven() {{ case "$(sha256sum "$1")" in "$2"*) ;; *) rm -rf {quote(part)}; exit {_CORRUPT} ;; esac; }}\n'
            f"{proofs}\nchmod {entry.mode} {words} && rm -rf {quote(entry.final)} && "
            f"mv {quote(part)} {quote(entry.final)}",
            timeout_s=self._timeout_s(entry.size_bytes),
            check=False,
        )
        if result.returncode not in (0, _CORRUPT):
            raise DeviceError(
                f"{self.device.serial} did not store {entry.final}: {(result.stderr or result.stdout).strip()[:400]}"
            )
        return result.returncode == 0

    def _discard(self, part: str) -> None:
        with contextlib.suppress(AdbError):
            self.device.script(f"rm -rf {quote(part)}", timeout_s=10)

    def _remove(self, names: Sequence[str]) -> int:
        for start in range(0, len(names), _REMOVED_PER_CALL):
            words = " ".join(quote(f"{ROOT}/{name}") for name in names[start : start + _REMOVED_PER_CALL])
            self._script(f"rm -rf {words}")
        return len(names)

    def _timeout_s(self, size_bytes: int) -> float:
        return self.timeout_s + size_bytes / _SLOWEST_BYTES_PER_S

    def _script(self, text: str, *, check: bool = True, timeout_s: float | None = None) -> str:
        return self.device.script(text, timeout_s=timeout_s or self.timeout_s, check=check, retry=True).stdout


def _digest(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"A file to push must exist. Received: {str(path)!r}.")
    return sha256_of(path)


def _digests_in(text: str) -> dict[str, str]:
    """Path → sha256, from the output of `sha256sum`."""
    return {path: digest for digest, path in re.findall(r"^([0-9a-f]{64}) [ *](.+)$", text, re.MULTILINE)}


def _checked_name(name: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise ConfigError(f"A name on the phone must be a plain file name of A-Z a-z 0-9 . _ + -. Received: {name!r}.")
    return name
