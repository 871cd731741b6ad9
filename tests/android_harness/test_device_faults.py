"""Each fault of the test device, and what the real adb makes of it: its exit codes cannot be trusted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from testing.adb_server import AdbServer
from testing.device import TestDevice

REMOTE = "/data/local/tmp/payload"
SIZE = 1_000_000
HALF = SIZE // 2


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "payload"
    path.write_bytes(bytes(SIZE))
    return path


@pytest.fixture
def lost(adb_server: AdbServer) -> int:
    """Exit code of a command whose connection is lost: version 29 says that all went well."""
    return 0 if "Version 29" in adb_server.run("version").stdout else 255


def recover(adb_server: AdbServer, device: TestDevice) -> None:
    adb_server.disconnect(device)
    adb_server.connect(device)
    assert adb_server.on(device, "shell", "echo alive").stdout == "alive\n"


def said(done: subprocess.CompletedProcess) -> str:
    return done.stdout + done.stderr


def test_a_drop_mid_push_leaves_a_partial_file_at_its_final_path(
    adb_server: AdbServer, pixel: TestDevice, payload: Path
):
    pixel.fault("drop_mid_push", after_bytes=HALF)
    failed = adb_server.on(pixel, "push", str(payload), REMOTE)
    assert failed.returncode == 1
    assert pixel.path(REMOTE).stat().st_size == HALF
    assert ("1 file pushed" in said(failed)) == ("Version 29" not in adb_server.run("version").stdout)
    recover(adb_server, pixel)


def test_a_drop_mid_pull_fails_and_leaves_nothing(adb_server: AdbServer, pixel: TestDevice, payload: Path):
    adb_server.on(pixel, "push", str(payload), REMOTE)
    pixel.fault("drop_mid_pull", after_bytes=HALF)
    assert adb_server.on(pixel, "pull", REMOTE, str(payload.with_name("back"))).returncode == 1
    assert not payload.with_name("back").exists()
    recover(adb_server, pixel)


def test_a_drop_mid_command_truncates_its_output(adb_server: AdbServer, pixel: TestDevice, lost: int):
    pixel.fault("drop_mid_command", after_bytes=6)
    done = adb_server.on(pixel, "shell", "echo one; echo two; exit 5")
    assert (done.stdout, done.returncode) == ("one\ntw", lost)
    recover(adb_server, pixel)


def test_a_dropped_command_is_hung_up(adb_server: AdbServer, pixel: TestDevice):
    pixel.fault("drop_mid_command")
    adb_server.on(pixel, "shell", "sleep 1000")
    recover(adb_server, pixel)
    listings = (adb_server.on(pixel, "shell", "ps -A").stdout for _ in range(100))
    assert any("sleep" not in listing for listing in listings)


@pytest.mark.parametrize("place", ["push", "pull", "shell"])
def test_a_hanging_device_answers_nothing_until_it_is_connected_again(
    adb_server: AdbServer, pixel: TestDevice, payload: Path, place: str
):
    pixel.path(REMOTE).write_bytes(bytes(SIZE))
    commands = {"push": ("push", str(payload), REMOTE + "2"), "pull": ("pull", REMOTE, f"{payload}.back")}
    fault = pixel.fault("hang", at=place, after_bytes=0 if place == "shell" else HALF)
    with pytest.raises(subprocess.TimeoutExpired):
        adb_server.on(pixel, *commands.get(place, ("shell", "echo never")), timeout_s=1)
    assert fault.struck == 1
    assert adb_server.states()[pixel.serial] == "device"
    recover(adb_server, pixel)


def test_a_corrupt_byte_is_found_by_nothing_but_a_hash(adb_server: AdbServer, pixel: TestDevice, payload: Path):
    pixel.fault("corrupt_byte", after_bytes=HALF)
    assert adb_server.on(pixel, "push", str(payload), REMOTE).returncode == 0
    arrived = pixel.path(REMOTE).read_bytes()
    assert [i for i, byte in enumerate(arrived) if byte] == [HALF]
    assert len(arrived) == SIZE


def test_a_corrupt_byte_can_also_come_back(adb_server: AdbServer, pixel: TestDevice, payload: Path):
    adb_server.on(pixel, "push", str(payload), REMOTE)
    pixel.fault("corrupt_byte", at="pull", after_bytes=HALF)
    assert adb_server.on(pixel, "pull", REMOTE, f"{payload}.back").returncode == 0
    assert Path(f"{payload}.back").read_bytes()[HALF] == 1


def test_a_full_disk_is_told(adb_server: AdbServer, pixel: TestDevice, payload: Path):
    pixel.fault("disk_full", after_bytes=HALF)
    failed = adb_server.on(pixel, "push", str(payload), REMOTE)
    assert failed.returncode == 1
    assert "remote write failed: No space left on device" in said(failed)
    assert not pixel.path(REMOTE).exists()
    assert adb_server.on(pixel, "push", str(payload), REMOTE).returncode == 0


def test_a_command_can_find_the_disk_full(adb_server: AdbServer, pixel: TestDevice):
    scratch = "/data/local/tmp/blazeport/scratch-1"
    adb_server.on(pixel, "shell", f"mkdir -p {scratch}")
    pixel.fault("disk_full", at="shell")
    failed = adb_server.on(pixel, "shell", f"cd {scratch} && head -c 100000 /dev/urandom > outputs")
    assert "No space left on device" in failed.stderr
    assert failed.returncode == 1
    again = adb_server.on(pixel, "shell", f"cd {scratch} && ls && head -c 100000 /dev/urandom > outputs")
    assert (again.stdout, again.returncode) == ("", 0)


@pytest.mark.parametrize("place", ["now", "push", "shell"])
def test_an_offline_device_is_refused_by_the_server(
    adb_server: AdbServer, pixel: TestDevice, payload: Path, place: str
):
    fault = pixel.fault("offline", at=place)
    if place == "push":
        adb_server.on(pixel, "push", str(payload), REMOTE)
    elif place == "shell":
        adb_server.on(pixel, "shell", "echo hi")
    assert fault.struck == 1
    adb_server.wait_for(pixel, "offline")
    refused = adb_server.on(pixel, "shell", "echo hi")
    assert refused.returncode == 1
    assert "device offline" in refused.stderr
    pixel.heal()
    recover(adb_server, pixel)


def test_an_unauthorized_device_is_refused_until_its_user_agrees(adb_server: AdbServer, pixel: TestDevice):
    pixel.fault("unauthorized")
    adb_server.disconnect(pixel)
    adb_server.connect(pixel, state="unauthorized")
    refused = adb_server.on(pixel, "shell", "echo hi")
    assert refused.returncode == 1
    assert "unauthorized" in refused.stderr
    pixel.heal()
    recover(adb_server, pixel)


def test_a_refused_connect_exits_with_zero(adb_server: AdbServer, pixel: TestDevice):
    adb_server.disconnect(pixel)
    pixel.reboot(None)
    refused = adb_server.run("connect", pixel.serial)
    assert refused.returncode == 0
    assert "refused" in refused.stdout
    pixel.power_on()
    recover(adb_server, pixel)


def test_a_restart_ends_what_runs_and_keeps_the_files(
    adb_server: AdbServer, pixel: TestDevice, payload: Path, lost: int
):
    adb_server.on(pixel, "push", str(payload), REMOTE)
    adb_server.on(pixel, "shell", "cmd power set-fixed-performance-mode-enabled true; svc power stayon true")
    pixel.fault("reboot", at="shell", after_bytes=3, seconds=None)
    done = adb_server.on(pixel, "shell", "echo one; sleep 1000")
    assert (done.stdout, done.returncode) == ("one", lost)
    pixel.power_on()
    recover(adb_server, pixel)
    assert pixel.path(REMOTE).stat().st_size == SIZE
    assert pixel.setting("global/stay_on_while_plugged_in") == "15"
    assert (pixel.state / "fixed_performance").read_text() == "false"
    assert "sleep" not in adb_server.on(pixel, "shell", "ps -A").stdout


def test_a_slow_link_only_takes_longer(adb_server: AdbServer, pixel: TestDevice, payload: Path):
    fault = pixel.fault("slow_link", bytes_per_s=2e7)
    assert adb_server.on(pixel, "push", str(payload), REMOTE).returncode == 0
    assert fault.struck == 1
    assert pixel.path(REMOTE).read_bytes() == payload.read_bytes()


def test_a_fault_lets_calls_pass_that_it_does_not_mean(adb_server: AdbServer, pixel: TestDevice):
    fault = pixel.fault("drop_mid_command", matching="runner", after_calls=1)
    for command in ("echo other", "echo runner", "echo other"):
        assert adb_server.on(pixel, "shell", command).stdout
    assert fault.struck == 0
    assert adb_server.on(pixel, "shell", "echo runner").stdout == ""
    assert fault.struck == 1


@pytest.mark.parametrize(
    ("kind", "at"), [("melt", "push"), ("drop", "nowhere"), ("corrupt_byte", "now"), ("disk_full", "pull")]
)
def test_a_fault_that_cannot_happen_is_not_armed(pixel: TestDevice, kind: str, at: str):
    with pytest.raises(ValueError, match=r"Received|Expected"):
        pixel.fault(kind, at=at)
