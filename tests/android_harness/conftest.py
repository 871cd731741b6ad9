"""Test devices, and the adb servers of the tests' own that reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from blazeport.android_harness.adb import Adb, Device
from testing import profiles
from testing.adb_server import AdbServer, clients
from testing.device import TestDevice
from testing.device_root import why_unavailable
from testing.profiles import Profile


@pytest.fixture(scope="session", params=["adb-29", "adb-36"])
def adb_server(request: pytest.FixtureRequest) -> Iterator[AdbServer]:
    """A private adb server and client; every test runs with both versions."""
    version = request.param.removeprefix("adb-")
    binary = clients()[version]
    if binary is None:
        pytest.skip(f"adb {version} is not installed (Debian: apt install adb; 36 comes with the adbutils wheel)")
    with AdbServer(binary) as server:
        yield server


@pytest.fixture
def phone(adb_server: AdbServer, tmp_path: Path) -> Iterator[Callable[..., TestDevice]]:
    """Profile → a device that `adb_server` is connected to, as many as the test asks for."""
    with ExitStack() as devices:

        def start(profile: Profile, *, arch: str = "native", **options: object) -> TestDevice:
            reason = why_unavailable(arch)
            if reason:
                pytest.skip(reason)
            folder = tmp_path / f"device-{len(list(tmp_path.glob('device-*')))}"
            device = devices.enter_context(TestDevice(folder, profile, arch=arch, **options))
            adb_server.connect(device)
            devices.callback(adb_server.disconnect, device)
            return device

        yield start


@pytest.fixture
def pixel(phone: Callable[..., TestDevice]) -> TestDevice:
    """A Pixel 6 with Android 14."""
    return phone(profiles.PIXEL)


@pytest.fixture
def samsung(phone: Callable[..., TestDevice]) -> TestDevice:
    """A Galaxy A52 5G with Android 12."""
    return phone(profiles.SAMSUNG)


@pytest.fixture
def old_phone(phone: Callable[..., TestDevice]) -> TestDevice:
    """A Nexus 5X with Android 6: no exit codes, one stream, CRLF."""
    return phone(profiles.OLD_PHONE)


@pytest.fixture
def sparse_phone(phone: Callable[..., TestDevice]) -> TestDevice:
    """A phone that tells half of what others tell."""
    return phone(profiles.SPARSE_PHONE)


@pytest.fixture
def emulator(phone: Callable[..., TestDevice]) -> TestDevice:
    """An Android emulator, by what it says of itself."""
    return phone(profiles.EMULATOR)


@pytest.fixture
def over(adb_server: AdbServer) -> Callable[[TestDevice], Device]:
    """Test device → what the code under test has of it."""

    def device(phone: TestDevice) -> Device:
        found = Adb(adb_server.binary, env=adb_server.env).device(phone.serial)
        found.reconnect_timeout_s, found.connect_timeout_s, found.unauthorized_for_s = 8.0, 0.5, 1.0
        return found

    return device
