"""Sets a phone up for a measurement, and puts it back whatever happens.

What has to be undone is written to the host's disk before anything on the phone changes. Ctrl-C undoes it at once;
after a crash, a lost phone or `kill -9`, the next command does. A file lock, which ends with its process, tells the
journal of a run that is still going on from one that was left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ..errors import DeviceError, NotFit, OutputError
from ..files import cache_dir
from .adb import Device, quote
from .parsers import THROTTLING, Absent
from .probe import Snapshot, probe

_LOGGER = logging.getLogger(__name__)
_SCHEMA_VERSION = 1
_NOT_SET = "null"  # as `settings get` says it


@dataclass(frozen=True)
class _Change:
    """Something to set: how, and how to undo it for the value that was there. `value` is a number or `null`."""

    apply: str
    undo: Callable[[str], str]
    must_undo: bool = True


def _put_back(setting: str) -> Callable[[str], str]:
    def script(value: str) -> str:
        how = f"delete global {setting}" if value == _NOT_SET else f"put global {setting} {quote(value)}"
        return f'settings {how} >/dev/null && [ "$(settings get global {setting})" = {quote(value)} ]'

    return script


# A journal holds only names of this table and numbers, so that a damaged one can run nothing else.
_CHANGES = {
    "stay_awake": _Change("svc power stayon true", _put_back("stay_on_while_plugged_in")),
    "low_power": _Change("settings put global low_power 0", _put_back("low_power")),
    # No command reads this mode, and many phones lack it. Off is what Android starts with.
    "fixed_performance": _Change(
        "cmd power set-fixed-performance-mode-enabled true",
        lambda _: "cmd power set-fixed-performance-mode-enabled false",
        must_undo=False,
    ),
    "airplane_mode": _Change(
        "cmd connectivity airplane-mode enable", lambda _: "cmd connectivity airplane-mode disable"
    ),
}


def default_journal_dir() -> Path:
    """Where the commands keep their journals."""
    return cache_dir() / "android-journals"


def unfit(
    snapshot: Snapshot, *, allow_emulator: bool = False, max_start_celsius: float = 37.0, min_battery_percent: int = 20
) -> tuple[str, ...]:
    """Why a phone in this state would give numbers that mean nothing; empty when it would not."""
    battery = None if isinstance(snapshot.battery, Absent) else snapshot.battery
    service = None if isinstance(snapshot.thermal, Absent) else snapshot.thermal
    warmth = snapshot.warmth
    reasons = []
    if snapshot.is_emulator and not allow_emulator:
        reasons.append("it is an emulator, whose times are no phone's (allow it with --allow-emulator)")
    if snapshot.boot_completed != "1" and not isinstance(snapshot.boot_completed, Absent):
        reasons.append("it is still starting")
    if battery and battery.is_mocked:
        reasons.append("its battery values were set by hand (undo it with `adb shell dumpsys battery reset`)")
    if service and service.is_mocked:
        reasons.append("its thermal status was set by hand (undo it with `adb shell cmd thermalservice reset`)")
    if warmth.status:
        reasons.append(f"it throttles ({THROTTLING[min(warmth.status, len(THROTTLING) - 1)]}): let it cool down")
    if warmth.hottest_celsius is not None and warmth.hottest_celsius > max_start_celsius:
        reasons.append(f"it has {warmth.hottest_celsius:.1f} °C, more than {max_start_celsius:g} °C: let it cool down")
    if battery and battery.percent is not None and battery.percent < min_battery_percent:
        reasons.append(f"its battery is at {battery.percent} %, less than {min_battery_percent} %: charge it")
    return tuple(reasons)


class Guard:
    """Holds one phone for one run: `with Guard(device, journal_dir=…) as guard:`.

    Args:
        device: the phone.
        journal_dir: where the undo journal is kept; the same for all runs of a user, see `default_journal_dir`.
        allow_emulator: measure an emulator, too.
        max_start_celsius: above this the phone is too hot to start.
        min_battery_percent: below this it is refused.
        airplane_mode: switch the radios off, too; never for a phone that is reached through them.

    Attributes:
        settings_applied: setting → `on`, `off`, `unchanged (value)` or `unavailable (reason)`, for the record.
        snapshot: the phone as it was before anything was set.

    Raises on entry:
        NotFit: the phone's state would spoil a measurement, or another run uses it. Nothing was changed.
    """

    def __init__(
        self,
        device: Device,
        *,
        journal_dir: Path,
        allow_emulator: bool = False,
        max_start_celsius: float = 37.0,
        min_battery_percent: int = 20,
        airplane_mode: bool = False,
    ) -> None:
        if airplane_mode and device.is_network:
            raise NotFit(f"Airplane mode would cut off {device.serial}, which is reached over the network. Use USB.")
        self.device = device
        self.settings_applied: dict[str, str] = {}
        self.snapshot: Snapshot | None = None
        self._journal_dir = journal_dir
        self._airplane_mode = airplane_mode
        self._limits: dict[str, Any] = {
            "allow_emulator": allow_emulator,
            "max_start_celsius": max_start_celsius,
            "min_battery_percent": min_battery_percent,
        }
        self._journal: Journal | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> Guard:
        snapshot = probe(self.device)
        journal = Journal(self._journal_dir, snapshot.identity)
        lock = journal.lock(patience_s=2.0)
        try:
            if journal.read():
                _undo(self.device, journal)
                snapshot = probe(self.device)
            self._refuse_unfit(snapshot)
        except BaseException:
            lock.close()
            raise
        self.snapshot, self._journal, self._lock = snapshot, journal, lock
        try:
            self._set(snapshot, journal)
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def check(self) -> None:
        """Looks at the phone again, in one adb call.

        Raises:
            NotFit: its state would spoil a measurement now.
        """
        self._refuse_unfit(probe(self.device))

    def _refuse_unfit(self, snapshot: Snapshot) -> None:
        if reasons := unfit(snapshot, **self._limits):
            raise NotFit(f"{self.device.serial} is not fit for a measurement: {'; '.join(reasons)}.")

    def _set(self, snapshot: Snapshot, journal: Journal) -> None:
        wanted = dict(self._plan(snapshot))
        journal.write(wanted, snapshot)
        # Word splitting makes one line of what a command says.
        script = "\n".join(f"out=$({_CHANGES[name].apply} 2>&1); echo __SET:{name}:$?: $out" for name in wanted)
        text = self.device.script(f"set -f\n{script}", retry=True).stdout
        done = {name: (code, said.strip()) for name, code, said in re.findall(r"^__SET:(\w+):(\d+):(.*)$", text, re.M)}
        for name in wanted:
            code, said = done.get(name, ("", "no answer"))
            if code == "0" and not said:
                self.settings_applied[name] = "off" if name == "low_power" else "on"
            else:
                self.settings_applied[name] = f"unavailable ({said[:200] or f'exit code {code}'})"

    def _plan(self, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
        """`(change, value to go back to)`; what is as wanted, or cannot be read and so not be undone, stays."""
        wanted = ["stay_awake", "low_power", *(["airplane_mode"] if self._airplane_mode else [])]
        for name in wanted:
            value = getattr(snapshot, name)
            if isinstance(value, Absent) and value.reason != "not set":
                self.settings_applied[name] = f"unavailable (cannot be read: {value.reason})"
                continue
            value = _NOT_SET if isinstance(value, Absent) else value
            is_on = value not in (_NOT_SET, "0")
            if is_on == (name != "low_power"):
                self.settings_applied[name] = f"unchanged ({value})"
            else:
                yield name, value
        yield "fixed_performance", "0"

    def _restore(self) -> None:
        lock, self._lock = self._lock, None
        if lock is None or self._journal is None:
            return
        with contextlib.closing(lock):
            try:
                _undo(self.device, self._journal)
            except DeviceError as error:
                _LOGGER.warning(
                    "The settings of %s could not be put back: %s The next `blazeport android` command will do it.",
                    self.device.serial,
                    error,
                )


class Journal:
    """The undo journal of one phone: `<identity>.json` beside `<identity>.lock`, which is held while it is in use."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.path = folder / f"{identity}.json"
        self._lock_path = folder / f"{identity}.lock"

    def lock(self, *, patience_s: float = 0.0) -> IO[str]:
        """Takes the phone for this process until the returned file is closed.

        Args:
            patience_s: how long to wait for another holder: commands that only look hold it for a moment.
        Raises:
            NotFit: another run has it.
            OutputError: the folder cannot be written.
        """
        try:
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            stream = self._lock_path.open("a+")
        except OSError as error:
            raise OutputError(f"Cannot keep a journal in {self.path.parent}: {error}. Set BLAZEPORT_CACHE.") from error
        deadline = time.monotonic() + patience_s
        while not (is_ours := _try_to_lock(stream)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not is_ours:
            stream.seek(0)
            owner = stream.read(20).strip()
            stream.close()
            raise NotFit(
                f"Another run (process {owner or 'unknown'}) uses this phone. Wait for it or use another phone."
            )
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        return stream

    def read(self) -> dict[str, str]:
        """Change → value to go back to; empty when nothing has to be undone.

        Raises:
            DeviceError: the file is damaged.
        """
        try:
            undo = json.loads(self.path.read_text())["undo"]
            if not all(name in _CHANGES and re.fullmatch(rf"-?\d{{1,6}}|{_NOT_SET}", undo[name]) for name in undo):
                raise ValueError("it names something that blazeport does not set")
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DeviceError(
                f"The undo journal {self.path} cannot be read ({error}). Check the phone's settings by hand, then "
                "delete that file."
            ) from error
        return dict(undo)

    def write(self, undo: Mapping[str, str], snapshot: Snapshot) -> None:
        """Puts the journal on the disk, whole, before this returns.

        Raises:
            OutputError: the disk did not take it.
        """
        model = "phone" if isinstance(snapshot.model, Absent) else snapshot.model
        record = {"schema_version": _SCHEMA_VERSION, "pid": os.getpid(), "model": model, "undo": dict(undo)}
        temporary = self.path.with_suffix(".tmp")
        try:
            with temporary.open("w") as stream:
                json.dump(record, stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise OutputError(f"Cannot write the undo journal {self.path}: {error}. Nothing was changed.") from error

    def remove(self) -> None:
        """Forgets it: everything is undone."""
        self.path.unlink(missing_ok=True)


def replay_journals(journal_dir: Path, devices: Iterable[Device]) -> list[str]:
    """Puts back what interrupted runs left changed on these phones. Journals of runs that still go on stay.

    Returns:
        Sentences that say what was done or could not be.
    """
    if not any(journal_dir.glob("*.json")):
        return []
    said = []
    for device in devices:
        try:
            journal = Journal(journal_dir, probe(device).identity)
            if not journal.path.exists():
                continue
            with contextlib.closing(journal.lock()):
                if names := _undo(device, journal):
                    said.append(f"Put back on {device.serial} after an interrupted run: {', '.join(names)}.")
        except NotFit:
            continue
        except DeviceError as error:
            said.append(f"Could not put back the settings of {device.serial}: {error}")
    return said


def _undo(device: Device, journal: Journal) -> list[str]:
    """Undoes a journal and removes it. Returns what was undone.

    Raises:
        DeviceError: the phone is not reachable or refused; the journal stays.
    """
    undo = journal.read()
    steps = [
        f"( {change.undo(value)} ) 2>/dev/null || {'failed=1' if change.must_undo else 'true'}"
        for change, value in ((_CHANGES[name], value) for name, value in undo.items())
    ]
    steps.append('[ -z "$failed" ]')
    if undo:
        device.script("\n".join(steps), retry=True)
    journal.remove()
    return list(undo)


def _try_to_lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
