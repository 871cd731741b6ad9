"""What can go wrong with a phone, as data that a test arms and the device's services run into."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .protocol import DroppedError

KINDS = ("offline", "unauthorized", "drop", "hang", "corrupt_byte", "disk_full", "reboot", "slow_link")
PLACES = ("now", "push", "pull", "shell")
# A name that says its place, and the place of those that mostly happen at one.
ALIASES = {"drop_mid_push": ("drop", "push"), "drop_mid_pull": ("drop", "pull"), "drop_mid_command": ("drop", "shell")}
USUAL_PLACE = {"corrupt_byte": "push", "disk_full": "push", "slow_link": "push"}
NEEDS_BYTES = ("corrupt_byte", "slow_link", "disk_full")


@dataclass(kw_only=True)
class Fault:
    """One armed fault.

    Attributes:
        kind: One of `KINDS`.
        at: One of `PLACES`: what has to happen for it to strike.
        after_bytes: Strikes once so many bytes of the call have passed; 0: as the call begins.
        after_calls: Lets so many calls pass unharmed first.
        times: In how many calls it strikes.
        matching: Strikes only where the remote path or the command holds this.
        bytes_per_s: Speed of a slow link.
        folder: Where a command finds the disk full: a pattern of remote folders.
        seconds: How long a restart takes; None: until `power_on`.
        struck: How often it has struck.
    """

    kind: str
    at: str
    after_bytes: int = 0
    after_calls: int = 0
    times: int = 1
    matching: str = ""
    bytes_per_s: float = 1e6
    folder: str = "/data/local/tmp/blazeport/scratch-*"
    seconds: float | None = 0.2
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.at not in PLACES:
            raise ValueError(f"Expected a kind of {KINDS} at one of {PLACES}. Received: {self.kind!r} at {self.at!r}.")
        if self.kind in NEEDS_BYTES and self.at == "now":
            raise ValueError(f"{self.kind} needs bytes to pass. Expected at='push', 'pull' or 'shell'.")
        if self.kind == "disk_full" and self.at == "pull":
            raise ValueError("A pull needs no room on the device. Expected at='push' or 'shell'.")


@dataclass
class Faults:
    """The armed faults of one device. `strike` does what a kind does to the device as a whole."""

    strike: Callable[[Fault], None]
    armed: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, kind: str, at: str | None, **details: object) -> Fault:
        """Arms a fault, or lets it happen now."""
        kind, usual = ALIASES.get(kind, (kind, USUAL_PLACE.get(kind, "now")))
        fault = Fault(kind=kind, at=at or usual, **details)  # type: ignore[arg-type]
        if fault.at == "now":
            fault.struck += 1
            self.strike(fault)
        else:
            with self._lock:
                self.armed.append(fault)
        return fault

    def clear(self) -> None:
        """Disarms all."""
        with self._lock:
            self.armed.clear()

    def begin(self, place: str, what: str) -> Call:
        """Counts a call and says which fault, if any, it will run into."""
        with self._lock:
            for fault in self.armed:
                if fault.at == place and fault.matching in what:
                    if fault.after_calls > 0:
                        fault.after_calls -= 1
                        continue
                    fault.struck += 1
                    if fault.struck >= fault.times:
                        self.armed.remove(fault)
                    return Call(self, fault)
        return Call(self, None)


class Call:
    """The bytes of one push, pull or command on their way past the fault that waits for them."""

    def __init__(self, faults: Faults, fault: Fault | None) -> None:
        self._faults = faults
        self._fault = fault
        self._passed = 0

    @property
    def full_folder(self) -> str | None:
        """Pattern of the folders in which this command finds no room."""
        fault = self._fault
        return fault.folder if fault is not None and (fault.kind, fault.at) == ("disk_full", "shell") else None

    def started(self) -> None:
        """The call has begun: a fault that waits for no byte strikes.

        Raises:
            DroppedError: It took the connection.
        """
        fault = self._fault
        if fault is not None and fault.after_bytes == 0 and fault.kind not in NEEDS_BYTES:
            self._strike(fault)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Gives `data` on, perhaps in two pieces with the fault between them.

        Raises:
            DroppedError: The fault took the connection.
            OSError: No space left on device.
        """
        fault, before = self._fault, self._passed
        self._passed += len(data)
        if fault is None or not data or self.full_folder or self._passed <= fault.after_bytes:
            yield data
            return
        if fault.kind == "slow_link":
            time.sleep(len(data) / fault.bytes_per_s)
            yield data
            return
        cut = fault.after_bytes - before
        if fault.kind == "corrupt_byte":
            self._fault = None
            yield data[:cut] + bytes([data[cut] ^ 0x01]) + data[cut + 1 :]
            return
        if cut:
            yield data[:cut]
        self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        if fault.kind == "disk_full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fault = None
        self._faults.strike(fault)
        raise DroppedError
