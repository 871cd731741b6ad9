"""The test device under qemu-user: the same phone, with arm64 programs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from testing import profiles
from testing.adb_server import AdbServer
from testing.device import TestDevice
from testing.system_image import TRIPLETS

pytestmark = [pytest.mark.arm64, pytest.mark.parametrize("adb_server", ["adb-36"], indirect=True)]
COMPILER = "aarch64-linux-gnu-g++"


@pytest.fixture
def arm64_phone(phone: Callable[..., TestDevice]) -> TestDevice:
    return phone(profiles.PIXEL, arch="arm64")


def test_the_shell_and_the_tools_are_arm64(adb_server: AdbServer, arm64_phone: TestDevice):
    told = adb_server.on(arm64_phone, "shell", "uname -m; svc power stayon true; settings get global low_power; exit 3")
    assert (told.stdout, told.returncode) == ("aarch64\n0\n", 3)
    assert arm64_phone.path("/system/bin/mksh").read_bytes()[18] == 0xB7


def test_a_program_starts_through_the_loader_it_brings(adb_server: AdbServer, arm64_phone: TestDevice, tmp_path: Path):
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is not installed (Debian: apt install g++-aarch64-linux-gnu)")
    source = tmp_path / "hello.cpp"
    source.write_text('#include <cstdio>\nint main(int n, char **words) { std::printf("%s\\n", words[n - 1]); }\n')
    subprocess.run([COMPILER, "-static-libstdc++", "-static-libgcc", source, "-o", tmp_path / "hello"], check=True)
    sysroot = Path("/usr") / TRIPLETS["arm64"] / "lib"
    files = [tmp_path / "hello", *(sysroot / name for name in ("ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6"))]
    assert adb_server.on(arm64_phone, "push", *map(str, files), "/data/local/tmp/").returncode == 0
    bare = adb_server.on(arm64_phone, "shell", "cd /data/local/tmp && ./hello bare")
    assert bare.returncode != 0
    started = (
        "cd /data/local/tmp && chmod +x ld-linux-aarch64.so.1 && ./ld-linux-aarch64.so.1 --library-path . ./hello it"
    )
    assert adb_server.on(arm64_phone, "shell", started).stdout == "it\n"
