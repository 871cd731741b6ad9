"""A phone for tests: an adbd that the real adb talks to, Android's shell behind it, and faults on request."""

from __future__ import annotations

import contextlib
import functools
import resource
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from .device_root import DeviceRoot
from .device_state import lay_out, show_temperature
from .faults import Fault, Faults
from .profiles import Profile
from .protocol import Connection, DroppedError, Stream
from .shell_service import ShellService
from .sync_service import SyncService
from .thermal_model import ThermalModel

# Ports that adb looks for emulators on, and its own.
FORBIDDEN_PORTS = frozenset(range(5553, 5586)) | {5037}


class TestDevice:
    """One phone at `serial`, from `with` to its end.

    Args:
        root: Folder of its storage; what a phone keeps over a restart is kept there.
        profile: Which phone it is.
        arch: "native" or "arm64" (under qemu-user).
        time_scale: Seconds of the phone's time per second, for cooling. 0: time passes only by `pass_time`.
    """

    __test__ = False

    def __init__(self, root: Path, profile: Profile, *, arch: str = "native", time_scale: float = 1.0) -> None:
        self.profile = profile
        self.state = root / "state"
        self.faults = Faults(self._strike)
        self.thermal = ThermalModel(profile.thermal)
        self.services: list[str] = []
        self._root = DeviceRoot(root, arch, profile.missing_tools)
        self._time_scale = time_scale
        self._looked_at = time.monotonic()
        self._lock = threading.Lock()
        self._power = threading.RLock()
        self._in_use = False
        self._mode = "device"
        self._listener: socket.socket | None = None
        self._connections: list[Connection] = []
        self._port = 0
        self._restart: threading.Timer | None = None

    @property
    def serial(self) -> str:
        """What to `adb connect` to."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> TestDevice:
        lay_out(self._root, self.profile)
        self._in_use = True
        self.power_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._restart is not None:
            self._restart.cancel()
        self._in_use = False
        self._shut_down()

    def path(self, remote: str) -> Path:
        """The device's file or folder, on the host."""
        return self._root.path(remote)

    def fault(self, kind: str, *, at: str | None = None, **details: object) -> Fault:
        """Arms a fault (see `faults.Fault`), at its usual place unless `at` says another."""
        return self.faults.arm(kind, at, **details)

    def heal(self) -> None:
        """Disarms every fault and makes the device answer again; a connection that was stuck is cut."""
        self.faults.clear()
        self.power_on()
        if self._mode != "device":
            self._mode = "device"
            self._drop()
        for connection in list(self._connections):
            if connection.frozen:
                connection.close()

    def reboot(self, seconds: float | None = None) -> None:
        """Restarts: gone at once, back after `seconds`, or at `power_on` when that is None."""
        with self._power:
            self._shut_down()
            for name in ("thermal_override", "mocked_battery"):
                (self.state / name).unlink(missing_ok=True)
            if self.profile.fixed_performance:
                (self.state / "fixed_performance").write_text("false")
        if seconds is not None:
            self._restart = threading.Timer(seconds, self.power_on)
            self._restart.daemon = True
            self._restart.start()

    def power_on(self) -> None:
        """Ends a restart that waits for this."""
        with self._power:
            if self._in_use and self._listener is None:
                self._boot()

    def set_property(self, name: str, value: str) -> None:
        """Sets what `getprop` says, hostile bytes included."""
        path = self.state / "props" / name
        path.write_text(value)
        self._root.own(path)

    def set_free_bytes(self, count: int) -> None:
        """Sets what `df` says and a push can use."""
        (self.state / "free_kilobytes").write_text(str(count // 1024))

    def work(self, seconds: float) -> None:
        """Heats the phone by so much full load, at once."""
        with self._lock:
            self.thermal.work(seconds)

    def pass_time(self, seconds: float) -> None:
        """Lets so much of the phone's time pass at once."""
        with self._lock:
            self.thermal.rest(seconds)

    def setting(self, name: str) -> str | None:
        """A setting such as "global/low_power"; None where it is not set."""
        path = self.state / "settings" / name
        return path.read_text() if path.exists() else None

    def _boot(self) -> None:
        self._root.start()
        (self.state / "props/sys.boot_completed").write_text("1")
        self._listener = _listen(self._port)
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _shut_down(self) -> None:
        with self._power:
            listener, self._listener = self._listener, None
            if listener is not None:
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                listener.close()
            self._drop()
            self._root.stop()

    def _drop(self) -> None:
        for connection in list(self._connections):
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                greeting = self._mode if self.profile.asks_for_key or self._mode != "device" else "open"
                connection = Connection(sock, self.profile.banner, greeting, self._open)
                self._connections = [each for each in self._connections if not each.closed] + [connection]
                threading.Thread(target=connection.serve, daemon=True).start()

    def _strike(self, fault: Fault) -> None:
        if fault.kind == "hang":
            for connection in self._connections:
                connection.freeze()
        elif fault.kind == "reboot":
            self.reboot(fault.seconds)
        else:
            if fault.kind in ("offline", "unauthorized"):
                self._mode = fault.kind
            self._drop()

    def _open(self, stream: Stream, service: str) -> None:
        self.services.append(service)
        with contextlib.suppress(DroppedError, OSError):
            self._serve(stream, service)
        stream.close()

    def _serve(self, stream: Stream, service: str) -> None:
        name, _, argument = service.partition(":")
        name, *options = name.split(",")
        if name in ("shell", "exec"):
            stream.accept()
            self._let_time_pass()
            v2 = "v2" in options and "shell_v2" in self.profile.features
            newline = b"\r\n" if self.profile.terminal and name == "shell" else b"\n"
            call = self.faults.begin("shell", argument)

            start = functools.partial(self._root.popen, argument)
            with self._root.full(call.full_folder) if call.full_folder else contextlib.nullcontext():
                usage = ShellService(stream, start, call, v2=v2, newline=newline).serve()
            self._heat(usage)
        elif name == "sync":
            stream.accept()
            root = self._root
            SyncService(stream, root.path, root.own, root.writable, self.faults, self._free_bytes).serve()
        elif name == "reboot":
            stream.accept()
            self.reboot(0.2)

    def _free_bytes(self) -> int:
        return int((self.state / "free_kilobytes").read_text()) * 1024

    def _let_time_pass(self) -> None:
        with self._lock:
            now = time.monotonic()
            self.thermal.rest((now - self._looked_at) * self._time_scale)
            self._looked_at = now
            show_temperature(self.state, self.profile, self.thermal)

    def _heat(self, usage: resource.struct_rusage) -> None:
        played = self.state / "busy"
        with self._lock:
            seconds = (usage.ru_utime + usage.ru_stime) * self._time_scale
            seconds += sum(map(float, played.read_text().split()))
            played.write_text("")
            self.thermal.work(seconds)
            self._looked_at = time.monotonic()


def free_port() -> int:
    """A TCP port of this machine that nothing uses and adb does not search by itself."""
    with _listen(0) as listener:
        return int(listener.getsockname()[1])


def _listen(port: int) -> socket.socket:
    """A socket on a port that adb does not search by itself; on `port` again when it is not 0."""
    refused = []
    try:
        while True:
            listener = socket.create_server(("127.0.0.1", port))
            if listener.getsockname()[1] not in FORBIDDEN_PORTS:
                return listener
            refused.append(listener)
    finally:
        for each in refused:
            each.close()
