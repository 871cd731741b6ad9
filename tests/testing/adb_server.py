"""An adb server of the tests' own, which no other adb on the machine shares and which sees no phone of the user's."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from .device import TestDevice, free_port
from .device_root import namespaces

STARTED_WITHIN_S = 20.0
CONNECTED_WITHIN_S = 10.0
# Hides USB, where it can: a user's phone must not be asked to trust these tests.
HIDE_USB = 'if [ -d /dev/bus/usb ]; then mount -t tmpfs none /dev/bus/usb; fi; exec "$@"'


def clients() -> dict[str, Path | None]:
    """Version → binary of the adb clients that the tests use; None where one is not installed."""
    debian = shutil.which("adb")
    found: dict[str, Path | None] = {"29": Path(debian) if debian else None, "36": None}
    try:
        import adbutils
    except ImportError:
        return found
    bundled = Path(adbutils.__file__).parent / "binaries" / "adb"
    return {**found, "36": bundled if bundled.exists() else None}


class AdbServer:
    """A server on a free port with a HOME of its own, from `with` to its end.

    Args:
        binary: The adb to start; the same one talks to it.

    Attributes:
        env: The whole environment for every adb client and for code under test that starts one.
        address: `host:port`.
    """

    def __init__(self, binary: Path) -> None:
        self.binary = binary
        self.port = 0
        self.env: dict[str, str] = {}
        self._home: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where the server listens."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> AdbServer:
        self._home = tempfile.TemporaryDirectory(prefix="blazeport-adb-")
        self.port = free_port()
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        self.env = {
            **kept,
            "HOME": self._home.name,
            "TMPDIR": self._home.name,
            "ANDROID_USER_HOME": f"{self._home.name}/.android",
            "ANDROID_ADB_SERVER_PORT": str(self.port),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
            "ADB_EMU": "0",
            "ADB_MDNS": "0",
            "ADB_MDNS_AUTO_CONNECT": "0",
            "ADB_USB": "0",
        }
        command = [str(self.binary), "-P", str(self.port), "nodaemon", "server"]
        self._process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                *namespaces("--mount", "--kill-child", "--fork"),
                "/bin/sh",
                "-c",
                HIDE_USB,
                "sh",
                *command,
            ],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._wait_for_server()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._home is not None:
            self._home.cleanup()

    def run(
        self, *arguments: str, timeout_s: float = 20, text: bool = True, given: bytes | None = None
    ) -> subprocess.CompletedProcess:
        """One adb client command: its output (as bytes unless `text`) and exit code; `given` is its input."""
        stdin = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
        command = [str(self.binary), *arguments]
        return subprocess.run(command, env=self.env, capture_output=True, text=text, timeout=timeout_s, **stdin)

    def on(self, device: TestDevice, *arguments: str, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        """One adb client command for one device."""
        return self.run("-s", device.serial, *arguments, timeout_s=timeout_s)

    def states(self) -> dict[str, str]:
        """Serial → state of everything the server knows."""
        lines = self.run("devices").stdout.splitlines()[1:]
        return dict(line.split("\t")[:2] for line in lines if "\t" in line)

    def connect(self, device: TestDevice, *, state: str = "device") -> None:
        """Connects, and waits until the server says the device is in `state`.

        The server may still be taking leave of a connection that was lost, and then forgets the new one with it.
        """
        deadline = time.monotonic() + CONNECTED_WITHIN_S
        while device.serial not in self.states() and time.monotonic() < deadline:
            self.run("connect", device.serial)
        self.wait_for(device, state)

    def disconnect(self, device: TestDevice) -> None:
        """Forgets the device."""
        self.run("disconnect", device.serial)

    def wait_for(self, device: TestDevice, state: str) -> None:
        """Waits until the server says the device is in `state`."""
        deadline = time.monotonic() + CONNECTED_WITHIN_S
        while (found := self.states().get(device.serial)) != state:
            if time.monotonic() > deadline:
                raise AssertionError(f"Expected {device.serial} to become {state!r}. It is {found!r}.")
            time.sleep(0.05)

    def _wait_for_server(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"{self.binary} started no server on port {self.port}.") from error
                time.sleep(0.02)
