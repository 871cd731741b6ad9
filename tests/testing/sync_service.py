"""The `sync:` service: push, pull, stat and list, in both versions of the protocol."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .faults import Call, Faults
from .protocol import DroppedError, Stream

CHUNK = 64 * 1024
REQUEST = struct.Struct("<4sI")
STAT_V1 = struct.Struct("<4sIII")
STAT_V2 = struct.Struct("<4sIQQIIIIQqqq")
DENT_V1 = struct.Struct("<4sIIII")
DENT_V2 = struct.Struct("<4sIQQIIIIQqqqI")


class SyncService:
    """One `sync:` stream.

    Args:
        stream: Where the requests come from.
        path: Remote path → host path.
        own: Gives a file or folder to the device's shell user.
        writable: Whether the shell user may write there.
        faults: The device's armed faults.
        room: Bytes free on the device.
    """

    def __init__(
        self,
        stream: Stream,
        path: Callable[[str], Path],
        own: Callable[[Path], None],
        writable: Callable[[Path], bool],
        faults: Faults,
        room: Callable[[], int | None],
    ) -> None:
        self._stream = stream
        self._path = path
        self._own = own
        self._writable = writable
        self._faults = faults
        self._room = room

    def serve(self) -> None:
        """Answers requests until QUIT."""
        while True:
            name, length = REQUEST.unpack(self._stream.read_exactly(REQUEST.size))
            argument = self._stream.read_exactly(length).decode(errors="surrogateescape")
            if name == b"QUIT":
                return
            if name in (b"STAT", b"STA2", b"LST2"):
                self._stat(name, argument)
            elif name in (b"LIST", b"LIS2"):
                self._list(name, argument)
            elif name == b"SEND":
                path, _, mode = argument.rpartition(",")
                self._send(path, int(mode))
            elif name == b"SND2":
                _, mode_bits, _ = struct.unpack("<4sII", self._stream.read_exactly(12))
                self._send(argument, mode_bits)
            elif name in (b"RECV", b"RCV2"):
                if name == b"RCV2":
                    self._stream.read_exactly(8)
                self._receive(argument)
            else:
                self._fail(f"unknown command {name!r}")
                return

    def _fail(self, message: str) -> None:
        text = message.encode()
        self._stream.write(REQUEST.pack(b"FAIL", len(text)) + text)

    def _stat(self, name: bytes, remote: str) -> None:
        try:
            found = self._path(remote).stat(follow_symlinks=name == b"STA2")
        except OSError as error:
            if name == b"STAT":
                self._stream.write(STAT_V1.pack(b"STAT", 0, 0, 0))
            else:
                self._stream.write(STAT_V2.pack(name, error.errno or 5, *[0] * 10))
            return
        if name == b"STAT":
            self._stream.write(STAT_V1.pack(b"STAT", found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime)))
        else:
            self._stream.write(STAT_V2.pack(name, 0, *_fields(found)))

    def _list(self, name: bytes, remote: str) -> None:
        entries = b""
        with contextlib.suppress(OSError):
            for entry in sorted(self._path(remote).iterdir()):
                found = entry.lstat()
                text = os.fsencode(entry.name)
                if name == b"LIST":
                    size, modified = found.st_size & 0xFFFFFFFF, int(found.st_mtime)
                    entries += DENT_V1.pack(b"DENT", found.st_mode, size, modified, len(text)) + text
                else:
                    entries += DENT_V2.pack(b"DNT2", 0, *_fields(found), len(text)) + text
        done = DENT_V1.pack(b"DONE", *[0] * 4) if name == b"LIST" else DENT_V2.pack(b"DONE", *[0] * 12)
        self._stream.write(entries + done)

    def _send(self, remote: str, mode: int) -> None:
        call = self._faults.begin("push", remote)
        path = self._path(remote)
        made = False
        try:
            call.started()
            if not self._writable(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            self._make_parents(path.parent)
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            with path.open("wb") as file:
                made = True
                self._own(path)
                modified = self._take_data(file, call)
            path.chmod(stat.S_IMODE(mode) & 0o777)
            os.utime(path, (modified, modified))
        except OSError as error:
            if made:
                path.unlink(missing_ok=True)
            self._fail(f"couldn't create file: {error.strerror}" if not made else f"write failed: {error.strerror}")
            self._drain()
            return
        self._stream.write(REQUEST.pack(b"OKAY", 0))

    def _take_data(self, file: BinaryIO, call: Call) -> int:
        room = self._room()
        while True:
            name, length = REQUEST.unpack(self._stream.read_exactly(REQUEST.size))
            if name == b"DONE":
                return length
            if name != b"DATA":
                raise DroppedError
            for piece in call.pieces(self._stream.read_exactly(length)):
                if room is not None:
                    room -= len(piece)
                    if room < 0:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                file.write(piece)
                file.flush()

    def _drain(self) -> None:
        while True:
            name, length = REQUEST.unpack(self._stream.read_exactly(REQUEST.size))
            if name == b"DONE":
                return
            self._stream.read_exactly(length)

    def _make_parents(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            each.mkdir(mode=0o771)
            self._own(each)

    def _receive(self, remote: str) -> None:
        call = self._faults.begin("pull", remote)
        call.started()
        try:
            with self._path(remote).open("rb") as file:
                while chunk := file.read(CHUNK):
                    for piece in call.pieces(chunk):
                        self._stream.write(REQUEST.pack(b"DATA", len(piece)) + piece)
        except OSError as error:
            self._fail(f"{'read' if error.errno == errno.ENOSPC else 'open'} failed: {error.strerror}")
            return
        self._stream.write(REQUEST.pack(b"DONE", 0))


def _fields(found: os.stat_result) -> tuple[int, ...]:
    times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
    owner = (found.st_nlink, found.st_uid, found.st_gid, found.st_size)
    return (found.st_dev, found.st_ino, found.st_mode, *owner, *times)
