"""adb as a small transport: a timeout on every call, a return code that cannot be faked by a cut line, typed errors.

What adb itself reports is not enough. Its exit code is 0 for a refused `connect`, for any command on a phone without
`shell_v2`, and (client 29) for output that a lost connection cut short. So every command ends with a line that only a
command which ran to its end can print.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import (
    AdbError,
    AdbTimeout,
    ConfigError,
    ConnectionLost,
    DeviceError,
    DeviceOffline,
    InputError,
    OutputError,
)
from ..files import atomic_path
from .adb_errors import STATE_PROBLEMS, Finished, adb_error, command_failed, to_phone

_STATES = (
    "device|offline|unauthorized|authorizing|connecting|no permissions|"
    "bootloader|recovery|rescue|sideload|host|detached"
)
# What adb calls phones; `usb:`, `product:`, `model:`, `device:` and `transport_id` would select by something else.
_SERIAL = re.compile(r"(?!(?:usb|product|model|device):)[A-Za-z0-9\[][A-Za-z0-9._:%+@()\[\] -]{0,254}")
_TCP_SERIAL = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9_][A-Za-z0-9._-]*):(\d{1,5})")
_LOGGER = logging.getLogger(__name__)
T = TypeVar("T")


def quote(word: str) -> str:
    """One word for a POSIX shell, in single quotes whatever it holds.

    Raises:
        DeviceError: the word holds NUL, which no shell can carry.

    Differs: `shlex.quote` leaves `a=b` bare, which is an assignment when it is the first word.
    """
    if "\0" in word:
        raise DeviceError(f"A word for the phone's shell must not hold NUL. Received: {word!r}.")
    return "'" + word.replace("'", "'\\''") + "'"


@dataclass(frozen=True)
class ShellResult:
    """What a command on the phone printed and returned; line ends are `\\n`.

    A phone without `shell_v2` sends both streams as `stdout`.
    """

    stdout: str
    returncode: int
    stderr: str = ""


@dataclass(frozen=True)
class DeviceEntry:
    """One line of `adb devices -l`.

    `state` is adb's word (`device` means usable); `details` holds `product`, `model`, `device`, `transport_id`, as far
    as adb knows them. Everything comes from the phone and may hold anything.
    """

    serial: str
    state: str
    details: Mapping[str, str]

    @property
    def problem(self) -> str | None:
        """Why this phone cannot be used and what to do about it; None when it can."""
        if not _SERIAL.fullmatch(self.serial):
            return "has a serial that adb cannot select safely"
        return STATE_PROBLEMS.get(self.state, f"is in the state {self.state!r}: start it normally")


class Adb:
    """The adb program, talking to one adb server.

    Args:
        binary: the program; None takes `BLAZEPORT_ADB`, then `adb` on PATH.
        server: `host:port` of an adb server; None is the user's default (`ANDROID_ADB_SERVER_PORT` is honoured).
        env: variables to set on top of this process's environment.

    Raises:
        DeviceError: there is no adb.
        ConfigError: `server` is no `host:port`.
    """

    def __init__(
        self, binary: Path | str | None = None, *, server: str | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self._env = {**os.environ, **(env or {})}
        # ADB_TRACE mixes a log into stderr; every call names its phone itself.
        for name in ("ADB_TRACE", "ANDROID_SERIAL"):
            self._env.pop(name, None)
        self.server = server
        self._prefix = (_find(binary, self._env), *_server_words(server))

    def devices(self) -> tuple[DeviceEntry, ...]:
        """The phones that the server knows, usable or not, in its order."""
        done = self._checked(("devices", "-l"), timeout_s=20)
        return parse_devices(done.stdout)

    def device(self, serial: str) -> Device:
        """A phone by its serial, which is not asked for yet."""
        return Device(self, serial)

    def connect(self, serial: str, *, timeout_s: float = 20) -> Device:
        """Connects to a phone over TCP and waits until it can be used. Raises as `Device.reconnect`."""
        device = self.device(serial)
        device.wait_until_ready(timeout_s=timeout_s)
        return device

    def run(self, words: Sequence[str], *, timeout_s: float, serial: str | None = None) -> Finished:
        """Runs adb once and returns whatever it did.

        Raises:
            AdbTimeout: it did not end in time; it and its children were killed.
        """
        command = (*self._prefix, *(("-s", serial) if serial else ()), *words)
        _LOGGER.debug("%s", command)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._env,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise DeviceError(f"Cannot start adb ({self._prefix[0]}): {error}. Check BLAZEPORT_ADB.") from error
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise AdbTimeout(
                f"adb {words[0]} did not end within {timeout_s:g} s{to_phone(serial)}. Check that the phone answers.",
                command=command,
                stdout=_text(error.stdout),
                stderr=_text(error.stderr),
                serial=serial,
            ) from None
        except BaseException:
            _kill(process)
            raise
        return Finished(command, process.returncode, _text(out), _text(err))

    def _checked(self, words: Sequence[str], *, timeout_s: float) -> Finished:
        done = self.run(words, timeout_s=timeout_s)
        if done.returncode != 0:
            raise adb_error(done, None, self.server)
        return done


class Device:
    """One phone behind adb.

    Attributes:
        serial: what adb calls it.
        calls: adb processes started for it so far.
        reconnect_timeout_s: how long a lost phone is waited for.
        connect_timeout_s: for one `adb connect`, which itself waits 10 s for a phone that accepts and then says
            nothing; the adb server goes on anyway.
        unauthorized_for_s: how long "unauthorized" is not believed: adb can say so while a key is being accepted.

    Raises:
        DeviceError: the serial is none that adb would list.
    """

    reconnect_timeout_s = 20.0
    connect_timeout_s = 3.0
    unauthorized_for_s = 5.0

    def __init__(self, adb: Adb, serial: str) -> None:
        if not _SERIAL.fullmatch(serial):
            raise DeviceError(f"A serial must be one that `adb devices` lists. Received: {serial!r}.")
        self.adb = adb
        self.serial = serial
        self.calls = 0

    @property
    def is_network(self) -> bool:
        """True when the phone is reached over the network, so that its radios must stay on."""
        return bool(_TCP_SERIAL.fullmatch(self.serial)) or self.serial.endswith("._tcp")

    def shell(
        self, argv: Sequence[str], *, timeout_s: float = 30, check: bool = True, retry: bool = False
    ) -> ShellResult:
        """Runs one command with its arguments, each of which reaches it as it is. Raises as `script`."""
        if not argv:
            raise DeviceError("A command for the phone needs at least one word.")
        return self.script(" ".join(map(quote, argv)), timeout_s=timeout_s, check=check, retry=retry)

    def script(self, text: str, *, timeout_s: float = 30, check: bool = True, retry: bool = False) -> ShellResult:
        """Runs a script of ours in the phone's shell; what is not ours in it went through `quote`.

        Args:
            text: for mksh, at most about 3.5 KB: old phones take 4 KB in one message.
            timeout_s: for one attempt.
            check: raise when it returns another code than 0.
            retry: it may run twice (it is idempotent), so that a lost connection is repaired and it is tried again.

        Raises:
            CommandFailed: it returned another code than 0 and `check` is set.
            NoSpace: it failed because the storage is full and `check` is set.
            ConnectionLost, DeviceOffline, DeviceUnauthorized, AdbTimeout: it did not come back.
        """

        def once() -> ShellResult:
            nonce = secrets.token_hex(8)
            done = self._run(("shell", f'(\n{text}\n); echo "__RC:{nonce}:$?"'), timeout_s)
            ended = re.search(rf"__RC:{nonce}:(\d+)\n\s*\Z", done.stdout)
            if not ended:
                raise adb_error(done, self.serial, self.adb.server)
            result = ShellResult(done.stdout[: ended.start()], int(ended[1]), done.stderr)
            if check and result.returncode != 0:
                raise command_failed(
                    Finished(done.command, result.returncode, result.stdout, result.stderr), self.serial
                )
            return result

        return self._retried(once) if retry else once()

    def push(self, local: Path, remote: str, *, timeout_s: float = 300) -> None:
        """Copies a file to the phone. What is under `remote` then is unproven, also after an error."""
        self.push_many((local,), remote, timeout_s=timeout_s)

    def push_many(self, locals_: Sequence[Path], remote: str, *, timeout_s: float = 300) -> None:
        """Copies files into the folder `remote` in one call, or one file to the name `remote`. As `push`."""
        for local in locals_:
            if not local.is_file():
                raise InputError(f"A file to push must exist. Received: {str(local)!r}.")
        done = self._run(("push", "--", *(str(each.absolute()) for each in locals_), remote), timeout_s)
        if done.returncode != 0:
            raise adb_error(done, self.serial, self.adb.server)

    def pull(self, remote: str, local: Path, *, timeout_s: float = 300) -> None:
        """Copies one file from the phone; nothing is left under `local` when that fails. `Store.fetch` proves bytes."""
        with atomic_path(local.absolute()) as temporary:
            done = self._run(("pull", "--", remote, str(temporary)), timeout_s)
            if done.returncode != 0:
                raise adb_error(done, self.serial, self.adb.server)
            if not temporary.is_file():
                shutil.rmtree(temporary, ignore_errors=True)
                raise OutputError(f"One file was expected at {remote!r} on {self.serial}. It is a folder or missing.")

    def state(self) -> str:
        """adb's word for the phone's state, or adb's complaint. Raises `AdbTimeout` only."""
        done = self._run(("get-state",), 5)
        return done.stdout.strip() if done.returncode == 0 else (done.stderr or done.stdout).strip()

    def reconnect(self) -> None:
        """Ends the connection and waits until the phone can be used again.

        Raises:
            DeviceOffline: it did not come back within `reconnect_timeout_s`.
            DeviceUnauthorized: it came back and does not trust this computer.
        """
        with contextlib.suppress(AdbError):
            if _TCP_SERIAL.fullmatch(self.serial):
                self._run(("disconnect", self.serial), 10, select=False)
            else:
                self._run(("reconnect",), 10)
        self.wait_until_ready(timeout_s=self.reconnect_timeout_s)

    def wait_until_ready(self, *, timeout_s: float) -> None:
        """Connects a TCP phone, and polls until any phone is in the state `device`. Raises as `reconnect`."""
        start = time.monotonic()
        state = "unknown"
        while time.monotonic() - start < timeout_s:
            with contextlib.suppress(AdbTimeout):
                # `connect` returns 0 when it is refused and can complain when it works: only the state counts.
                if _TCP_SERIAL.fullmatch(self.serial):
                    with contextlib.suppress(AdbTimeout):
                        self._run(("connect", self.serial), self.connect_timeout_s, select=False)
                for _ in range(5):
                    state = self.state()
                    if state == "device":
                        return
                    time.sleep(0.2)
            if "authoriz" in state and time.monotonic() - start > self.unauthorized_for_s:
                break
        done = Finished(("get-state",), 1, "", state)
        if "authoriz" in state:
            raise adb_error(done, self.serial, self.adb.server)
        raise DeviceOffline(
            f"Phone {self.serial} did not come back within {timeout_s:g} s (adb: {state}). Check its cable or network.",
            command=done.command,
            returncode=1,
            stderr=state,
            serial=self.serial,
        )

    def _run(self, words: Sequence[str], timeout_s: float, *, select: bool = True) -> Finished:
        self.calls += 1
        done = self.adb.run(words, timeout_s=timeout_s, serial=self.serial if select else None)
        return Finished(done.command, done.returncode, done.stdout, done.stderr)

    def _retried(self, once: Callable[[], T]) -> T:
        try:
            return once()
        except (ConnectionLost, DeviceOffline, AdbTimeout) as error:
            _LOGGER.debug("Trying again after: %s", error)
            self.reconnect()
            return once()


def parse_devices(text: str) -> tuple[DeviceEntry, ...]:
    """The entries of `adb devices -l`; lines that are none are left out."""
    entries = []
    for line in text.splitlines():
        found = re.fullmatch(rf"(\S.*?)\s+({_STATES})\b(.*)", line.rstrip())
        if found and not line.startswith("* "):
            details = dict(re.findall(r"(?:^|\s)([a-z_]+):(\S+)", found[3]))
            entries.append(DeviceEntry(found[1], found[2], details))
    return tuple(entries)


def _find(binary: Path | str | None, env: Mapping[str, str]) -> str:
    wanted = str(binary or env.get("BLAZEPORT_ADB") or "adb")
    found = shutil.which(wanted, path=env.get("PATH"))
    if found is None:
        raise DeviceError(
            f"adb is needed to reach a phone. Not found: {wanted!r}. Install it (`apt install adb`, "
            "`brew install android-platform-tools`) or set BLAZEPORT_ADB to its path."
        )
    return found


def _server_words(server: str | None) -> tuple[str, ...]:
    if server is None:
        return ()
    found = _SERVER.fullmatch(server)
    if not found or not 0 < int(found[2]) < 65536:
        raise ConfigError(f"An adb server must be given as host:port, e.g. lab1:5037. Received: {server!r}.")
    return ("-H", found[1], "-P", found[2])


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=5)


def _text(data: bytes | None) -> str:
    """Bytes from a phone; old phones send `\\r\\n` and adb on Windows makes that `\\r\\r\\n`."""
    return re.sub(r"\r+\n", "\n", (data or b"").decode(errors="replace"))
