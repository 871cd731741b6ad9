"""The device's half of adb's packet protocol: packets, one connection to a server, and the streams it carries."""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable

VERSION = 0x01000001
MAX_PAYLOAD = 1024 * 1024
HEADER = struct.Struct("<4sIIIII")
AUTH_TOKEN, AUTH_SIGNATURE, AUTH_PUBLIC_KEY = 1, 2, 3
TOKEN_BYTES = 20


class DroppedError(Exception):
    """The connection, or the stream on it, is gone."""


class Connection:
    """One TCP connection from an adb server.

    Args:
        sock: The accepted socket; the connection owns it.
        banner: What the device says of itself, `device::…`.
        greeting: "open" (ask for no key), "device" (accept the first key), "unauthorized" (refuse every key) or
            "offline" (stay silent).
        on_open: Called in a thread of its own with every stream and the service it asks for.
    """

    def __init__(
        self, sock: socket.socket, banner: bytes, greeting: str, on_open: Callable[[Stream, str], None]
    ) -> None:
        self._sock = sock
        self._banner = banner
        self._greeting = greeting
        self._on_open = on_open
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._last_id = 0
        self._awake = threading.Event()
        self._awake.set()
        self.closed = False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Answers packets until either side closes."""
        try:
            while True:
                command, arg0, arg1, length, _, _ = HEADER.unpack(self._receive(HEADER.size))
                payload = self._receive(length)
                self._awake.wait()
                self._dispatch(command, arg0, arg1, payload)
        except (DroppedError, OSError):
            pass
        finally:
            self.close()

    def send(self, command: bytes, arg0: int, arg1: int, payload: bytes = b"") -> None:
        """Sends one packet.

        Raises:
            DroppedError: The connection is closed.
        """
        self._awake.wait()
        magic = int.from_bytes(command, "little") ^ 0xFFFFFFFF
        packet = HEADER.pack(command, arg0, arg1, len(payload), 0, magic) + payload
        try:
            with self._sending:
                self._sock.sendall(packet)
        except OSError as error:
            raise DroppedError from error

    @property
    def frozen(self) -> bool:
        """Whether it has stopped answering."""
        return not self._awake.is_set()

    def freeze(self) -> None:
        """Stops answering without closing; only `close` ends it."""
        self._awake.clear()

    def close(self) -> None:
        """Cuts the connection and every stream on it."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._awake.set()
        for stream in list(self._streams.values()):
            stream.cut()

    def forget(self, stream: Stream) -> None:
        """Drops a stream that has ended."""
        self._streams.pop(stream.local_id, None)

    def _receive(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = self._sock.recv(count - len(data))
            if not piece:
                raise DroppedError
            data += piece
        return bytes(data)

    def _dispatch(self, command: bytes, arg0: int, arg1: int, payload: bytes) -> None:
        if command in (b"CNXN", b"AUTH"):
            self._greet(arg0 if command == b"AUTH" else None)
        elif command == b"OPEN":
            self._last_id += 1
            stream = Stream(self, self._last_id, arg0)
            self._streams[stream.local_id] = stream
            service = payload.rstrip(b"\0").decode(errors="surrogateescape")
            threading.Thread(target=self._on_open, args=(stream, service), daemon=True).start()
        elif (known := self._streams.get(arg1)) is not None:
            known.receive(command, payload)
        elif command == b"WRTE":
            self.send(b"CLSE", 0, arg0)

    def _greet(self, key: int | None) -> None:
        """Answers CNXN (`key` None) and AUTH. Once it has a public key, an unauthorized phone waits for its user."""
        if self._greeting == "open" or (self._greeting == "device" and key == AUTH_SIGNATURE):
            self.send(b"CNXN", VERSION, MAX_PAYLOAD, self._banner)
        elif self._greeting != "offline" and key != AUTH_PUBLIC_KEY:
            self.send(b"AUTH", AUTH_TOKEN, 0, os.urandom(TOKEN_BYTES))


class Stream:
    """One service's two-way stream. A write waits until the other side has taken the one before."""

    def __init__(self, connection: Connection, local_id: int, remote_id: int) -> None:
        self.connection = connection
        self.local_id = local_id
        self._remote_id = remote_id
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._incoming: collections.deque[bytes] = collections.deque()
        self._buffer = b""
        self._may_write = True
        self._ended = False
        self._close_sent = False

    def accept(self) -> None:
        """Tells the other side that the service has been opened."""
        self.connection.send(b"OKAY", self.local_id, self._remote_id)

    def receive(self, command: bytes, payload: bytes) -> None:
        """Takes a packet for this stream from the connection's thread."""
        with self._changed:
            if command == b"WRTE":
                self._incoming.append(payload)
            elif command == b"OKAY":
                self._may_write = True
            elif command == b"CLSE":
                self._ended = True
            self._changed.notify_all()
        if command == b"CLSE":
            self.close()

    def read(self) -> bytes:
        """Next piece that came in; b"" when the other side has closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._incoming or self._ended)
            if not self._incoming:
                return b""
            data = self._incoming.popleft()
        self.connection.send(b"OKAY", self.local_id, self._remote_id)
        return data

    def read_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes.

        Raises:
            DroppedError: The stream ended before.
        """
        pieces = [self._buffer]
        have = len(self._buffer)
        while have < count:
            data = self.read()
            if not data:
                raise DroppedError
            pieces.append(data)
            have += len(data)
        whole = b"".join(pieces)
        self._buffer = whole[count:]
        return whole[:count]

    def write(self, data: bytes) -> None:
        """Sends all of `data`, in packets.

        Raises:
            DroppedError: The stream or its connection is closed.
        """
        with self._writing:
            for start in range(0, len(data), MAX_PAYLOAD):
                with self._changed:
                    self._changed.wait_for(lambda: self._may_write or self._ended)
                    if self._ended:
                        raise DroppedError
                    self._may_write = False
                self.connection.send(b"WRTE", self.local_id, self._remote_id, data[start : start + MAX_PAYLOAD])

    def close(self) -> None:
        """Ends the stream in an orderly way: a CLSE is answered with a CLSE, once."""
        with self._changed:
            first = not self._close_sent
            self._close_sent = self._ended = True
            self._changed.notify_all()
        self.connection.forget(self)
        if first:
            with contextlib.suppress(DroppedError):
                self.connection.send(b"CLSE", self.local_id, self._remote_id)

    def cut(self) -> None:
        """Ends the stream because its connection has gone."""
        with self._changed:
            self._close_sent = self._ended = True
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come or can be written."""
        return self._ended
