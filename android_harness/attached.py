"""Which phones are attached, on one adb server or several, and what each can do."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DeviceError
from .adb import Adb, Device, DeviceEntry
from .guard import Journal, default_journal_dir, replay_journals, unfit
from .parsers import Absent
from .probe import Snapshot, probe
from .store import Store

HOW_TO_ATTACH = (
    "Plug one in, switch on USB debugging in its developer options and accept the question on its screen; "
    "for phones on another machine give --adb-server host:port."
)


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A phone that an adb server lists.

    Attributes:
        server: `host:port` of the server; None for the user's own.
        device: to talk to it; None when adb cannot.
        snapshot: what it is; None when it could not be read.
        problems: why it cannot be used, or would not be measured now.
    """

    server: str | None
    entry: DeviceEntry
    device: Device | None
    snapshot: Snapshot | None
    problems: tuple[str, ...]

    @property
    def abilities(self) -> tuple[str, ...]:
        """What can be done with it: `native runner`, `core masks`, `temperature`, `throttling status`."""
        if self.snapshot is None:
            return ()
        found = {
            "native runner": self.snapshot.abi in ("arm64-v8a", "x86_64"),
            "core masks": not isinstance(self.snapshot.clusters, Absent),
            "temperature": self.snapshot.warmth.hottest_celsius is not None,
            "throttling status": self.snapshot.warmth.status is not None,
        }
        return tuple(name for name, can in found.items() if can)

    def to_record(self) -> dict[str, Any]:
        """As JSON values, with the serial in clear: it is what the other commands select by."""
        return {
            "serial": self.entry.serial,
            "adb_server": self.server,
            "state": self.entry.state,
            "problems": list(self.problems),
            "abilities": list(self.abilities),
            "snapshot": self.snapshot.to_record() if self.snapshot else None,
        }


def adb_servers(servers: Collection[str] = ()) -> tuple[Adb, ...]:
    """One adb per server `host:port`; the user's own when none is given. Raises as `Adb`."""
    return tuple(Adb(server=server) for server in dict.fromkeys(servers)) or (Adb(),)


def attached(adbs: Sequence[Adb]) -> tuple[Attached, ...]:
    """Every phone that the servers list, each probed in one call, all at once.

    Raises:
        DeviceError: there is none.
        AdbError: a server does not answer.
    """
    listed = [(adb, entry) for adb in adbs for entry in adb.devices()]
    if not listed:
        raise DeviceError(f"No phone is attached. {HOW_TO_ATTACH}")
    with ThreadPoolExecutor(max_workers=min(8, len(listed))) as pool:
        return tuple(pool.map(lambda pair: _look(*pair), listed))


def select(adbs: Sequence[Adb], serials: Collection[str] = ()) -> tuple[Device, ...]:
    """The phones with these serials, or all that adb can use when none is given.

    Raises:
        DeviceError: a serial is not attached or not usable, or no phone is.
        AdbError: a server does not answer.
    """
    listed = [(adb, entry) for adb in adbs for entry in adb.devices()]
    usable = [(adb, entry) for adb, entry in listed if entry.problem is None]
    for serial in serials:
        if serial not in {entry.serial for _, entry in usable}:
            why = next((entry.problem for _, entry in listed if entry.serial == serial), "is not attached")
            known = ", ".join(entry.serial for _, entry in usable) or "no phone"
            raise DeviceError(f"Phone {serial!r} {why}. Usable now: {known}.")
    chosen = tuple(adb.device(entry.serial) for adb, entry in usable if not serials or entry.serial in serials)
    if not chosen:
        whys = "; ".join(f"{entry.serial} {entry.problem}" for _, entry in listed)
        raise DeviceError(f"No phone can be used: {whys}." if whys else f"No phone is attached. {HOW_TO_ATTACH}")
    return chosen


def clean_up(devices: Sequence[Device], *, journal_dir: Path | None = None) -> list[str]:
    """Removes what blazeport put on phones and puts back their settings, unless a run uses them.

    Returns:
        Sentences that say what was done.
    Raises:
        DeviceError: a phone is in use or failed; the others are done by then.
    """
    journals = journal_dir or default_journal_dir()
    said, failed = replay_journals(journals, devices), []
    for device in devices:
        try:
            with contextlib.closing(Journal(journals, probe(device).identity).lock()):
                count = Store(device).clean()
            said.append(f"{device.serial}: {count} {'entry' if count == 1 else 'entries'} removed.")
        except DeviceError as error:
            failed.append(f"{device.serial}: {error}")
    if failed:
        raise DeviceError(" ".join([*said, *failed]))
    return said


def _look(adb: Adb, entry: DeviceEntry) -> Attached:
    device, snapshot = None, None
    problems: tuple[str, ...] = () if entry.problem is None else (entry.problem,)
    if not problems:
        device = adb.device(entry.serial)
        try:
            snapshot = probe(device)
            problems = unfit(snapshot)
        except DeviceError as error:
            problems = (str(error),)
    return Attached(server=adb.server, entry=entry, device=device, snapshot=snapshot, problems=problems)
