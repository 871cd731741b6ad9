"""The transport: hostile words stay words, a cut answer is never taken for a whole one, and a run never runs twice."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from blazeport import errors
from blazeport.android_harness.adb import Adb, Device, parse_devices, quote
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testing.adb_server import AdbServer
from testing.device import TestDevice

ON_A_DEVICE = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
HOSTILE = [
    "",
    " ",
    "a b",
    "'",
    '"',
    "$(touch /data/local/tmp/pwned)",
    "`touch /data/local/tmp/pwned`",
    "; touch /data/local/tmp/pwned #",
    "\ntouch /data/local/tmp/pwned\n",
    "'; touch /data/local/tmp/pwned; '",
    "../../../etc/passwd",
    "-rf",
    "--",
    "a=b",
    "*",
    "~",
    "\\",
    "\\n",
    "!x",
    "%s",
    "é 日本 \x7f\x01",
    ");touch /data/local/tmp/pwned;(",
]
ANY_WORD = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
    st.text(alphabet="'\"$`\\();&|<>* \n\r\t#~!{}[]?=-/.ab", max_size=40),
)
LONG = 'i=0; while [ $i -lt 400 ]; do echo "line $i of a long answer"; i=$((i+1)); done'


def assert_words_arrive(device: Device, phone: TestDevice, words: list[str]) -> None:
    """One call: the phone says the sha256 of each word it got."""
    script = 'for w; do printf %s "$w" | sha256sum; done'
    printed = device.shell(["sh", "-c", script, "sh", *words]).stdout
    assert [line.split()[0] for line in printed.splitlines()] == [
        hashlib.sha256(word.encode()).hexdigest() for word in words
    ]
    assert not phone.path("/data/local/tmp/pwned").exists()


def test_hostile_words_arrive_as_they_are(over, pixel: TestDevice):
    assert_words_arrive(over(pixel), pixel, HOSTILE)


def test_hostile_words_arrive_as_they_are_on_an_old_phone(over, old_phone: TestDevice):
    assert_words_arrive(over(old_phone), old_phone, HOSTILE)


def test_any_word_arrives_as_it_is(over, pixel: TestDevice):
    device = over(pixel)

    @ON_A_DEVICE
    @given(st.lists(ANY_WORD, min_size=1, max_size=12))
    def arrives(words: list[str]) -> None:
        assert_words_arrive(device, pixel, words)

    arrives()


def test_a_hostile_program_name_is_not_found_and_nothing_else_runs(over, pixel: TestDevice):
    device = over(pixel)
    for word in filter(None, HOSTILE):
        result = device.shell([word, "x"], check=False)
        assert result.returncode in (126, 127)
    assert not pixel.path("/data/local/tmp/pwned").exists()


def test_a_word_with_nul_is_refused():
    with pytest.raises(errors.DeviceError, match="NUL"):
        quote("a\0b")


@pytest.mark.parametrize(
    "serial",
    [
        "",
        "-s",
        "-H",
        "a\nb",
        "a\tb",
        "a;b",
        "$(x)",
        "a'b",
        'a"b',
        "a`b",
        "../x",
        "model:Pixel_6",
        "usb:1-1",
        "é",
        "a" * 300,
    ],
)
def test_a_serial_that_adb_would_not_list_is_refused(adb_server: AdbServer, serial: str):
    with pytest.raises(errors.DeviceError, match="A serial must be one that `adb devices` lists"):
        Adb(adb_server.binary, env=adb_server.env).device(serial)


def test_the_list_of_phones_is_read_with_its_traps():
    listed = parse_devices(
        "* daemon started successfully\n"
        "List of devices attached\n"
        "R58N123ABC             device usb:1-4 product:a52xqnaxx model:SM_A526B device:a52xq transport_id:3\n"
        "emulator-5554          offline transport_id:1\n"
        "adb-1234-xy (2)._adb-tls-connect._tcp device product:oriole model:Pixel_6 device:oriole\n"
        "????????????           no permissions (are your udev rules wrong?); see [http://x] usb:1-1\n"
        "$(reboot)              device product:x\n"
        "192.168.0.7:5555       unauthorized transport_id:9\r\n"
        "a line of another kind\n"
        "\n"
    )
    assert [(each.serial, each.state) for each in listed] == [
        ("R58N123ABC", "device"),
        ("emulator-5554", "offline"),
        ("adb-1234-xy (2)._adb-tls-connect._tcp", "device"),
        ("????????????", "no permissions"),
        ("$(reboot)", "device"),
        ("192.168.0.7:5555", "unauthorized"),
    ]
    assert listed[0].details["model"] == "SM_A526B"
    assert [each.problem is None for each in listed] == [True, False, True, False, False, False]


def test_a_command_says_what_it_printed_and_returned(over, pixel: TestDevice):
    result = over(pixel).script("echo out; echo err >&2; exit 7", check=False)
    assert (result.stdout, result.stderr, result.returncode) == ("out\n", "err\n", 7)


def test_an_old_phone_gives_exit_codes_and_plain_line_ends_too(over, old_phone: TestDevice):
    result = over(old_phone).script("echo out; printf 'no end'; exit 7", check=False)
    assert (result.stdout, result.returncode) == ("out\nno end", 7)


def test_a_failed_command_carries_its_facts(over, pixel: TestDevice):
    with pytest.raises(errors.CommandFailed) as caught:
        over(pixel).shell(["ls", "/no such folder"])
    error = caught.value
    assert error.serial == pixel.serial
    assert error.returncode == 1
    assert "No such file" in error.stderr
    assert "shell" in error.command


@pytest.mark.parametrize("profile", ["pixel", "old_phone"])
@pytest.mark.parametrize("kind", ["drop", "offline", "unauthorized", "reboot"])
@pytest.mark.parametrize("after_bytes", [0, 2000])
def test_an_answer_that_was_cut_is_an_error(over, request, profile: str, kind: str, after_bytes: int):
    phone: TestDevice = request.getfixturevalue(profile)
    phone.fault(kind, at="shell", after_bytes=after_bytes)
    with pytest.raises((errors.ConnectionLost, errors.DeviceOffline, errors.DeviceUnauthorized)):
        over(phone).script(LONG)
    phone.heal()


def test_a_damaged_last_line_is_an_error(over, pixel: TestDevice):
    pixel.fault("corrupt_byte", at="shell", after_bytes=6)
    with pytest.raises(errors.ConnectionLost):
        over(pixel).script("echo hi")


def test_a_phone_that_hangs_is_given_up(over, pixel: TestDevice):
    pixel.fault("hang", at="shell", after_bytes=100)
    with pytest.raises(errors.AdbTimeout):
        over(pixel).script(LONG, timeout_s=1)
    pixel.heal()


@pytest.mark.parametrize("kind", ["drop", "reboot", "hang"])
def test_a_call_that_may_run_twice_recovers(over, pixel: TestDevice, kind: str):
    pixel.fault(kind, at="shell", after_bytes=2000)
    device = over(pixel)
    result = device.script(LONG, retry=True, timeout_s=3)
    assert result.stdout.count("\n") == 400


def test_a_run_that_is_lost_is_not_run_again(over, pixel: TestDevice):
    pixel.fault("drop", at="shell", after_bytes=2000)
    device = over(pixel)
    with pytest.raises((errors.ConnectionLost, errors.DeviceOffline)):
        device.script(f"echo once >> /data/local/tmp/runs; {LONG}")
    device.reconnect()
    assert pixel.path("/data/local/tmp/runs").read_text() == "once\n"


def test_a_phone_that_stays_away_is_offline(over, pixel: TestDevice):
    device = over(pixel)
    device.reconnect_timeout_s = 1.0
    pixel.fault("offline")
    with pytest.raises(errors.DeviceOffline):
        device.script("true", retry=True)


def test_a_phone_that_trusts_nobody_says_what_to_do(over, pixel: TestDevice):
    pixel.fault("unauthorized")
    device = over(pixel)
    with pytest.raises(errors.DeviceUnauthorized, match="accept the question on its screen"):
        device.reconnect()


def test_a_full_disk_is_its_own_error(over, pixel: TestDevice):
    with pytest.raises(errors.NoSpace):
        over(pixel).script("echo 'cat: write: No space left on device' >&2; exit 1")


@pytest.mark.parametrize("kind", ["drop", "reboot", "unauthorized", "offline"])
def test_a_pull_that_fails_leaves_nothing(over, pixel: TestDevice, tmp_path: Path, kind: str):
    pixel.path("/data/local/tmp/big").write_bytes(bytes(300_000))
    pixel.fault(kind, at="pull", after_bytes=70_000)
    with pytest.raises(errors.AdbError):
        over(pixel).pull("/data/local/tmp/big", tmp_path / "out" / "big")
    assert not list((tmp_path / "out").iterdir())
    pixel.heal()


def test_a_hostile_name_on_the_phone_is_pulled_as_it_is(over, pixel: TestDevice, tmp_path: Path):
    name = "/data/local/tmp/-a $(touch pwned)'\""
    pixel.path(name).write_bytes(b"bytes")
    over(pixel).pull(name, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"bytes"


def test_pulling_a_folder_is_an_error(over, pixel: TestDevice, tmp_path: Path):
    pixel.path("/data/local/tmp/folder").mkdir()
    pixel.path("/data/local/tmp/folder/file").write_bytes(b"x")
    with pytest.raises(errors.BlazeportError):
        over(pixel).pull("/data/local/tmp/folder", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_server_is_reached_by_its_address(adb_server: AdbServer, pixel: TestDevice):
    env = {**adb_server.env, "ANDROID_ADB_SERVER_PORT": "1"}
    adb = Adb(adb_server.binary, server=adb_server.address, env=env)
    assert pixel.serial in {entry.serial for entry in adb.devices() if entry.problem is None}
    assert adb.device(pixel.serial).script("echo hi").stdout == "hi\n"


def test_a_server_that_does_not_answer_is_named(adb_server: AdbServer):
    with pytest.raises(errors.AdbError, match=r"No adb server answers at 127\.0\.0\.1:1 "):
        Adb(adb_server.binary, server="127.0.0.1:1", env=adb_server.env).devices()


@pytest.mark.parametrize("server", ["", "host", "host:", "host:0", "host:99999", "-H:5037", "a b:5037", "$(x):5037"])
def test_a_server_that_is_no_address_is_refused(adb_server: AdbServer, server: str):
    with pytest.raises(errors.ConfigError, match="host:port"):
        Adb(adb_server.binary, server=server)


def test_without_adb_the_error_says_how_to_get_it(tmp_path: Path):
    with pytest.raises(errors.DeviceError, match="apt install adb"):
        Adb(env={"PATH": str(tmp_path), "BLAZEPORT_ADB": ""})


def test_a_call_that_takes_too_long_is_killed_with_its_children(tmp_path: Path):
    adb = tmp_path / "adb"
    adb.write_text(f"#!/bin/sh\nsleep 300 & echo $! > {tmp_path}/child\nwait\n")
    adb.chmod(0o755)
    with pytest.raises(errors.AdbTimeout, match="did not end within 1 s"):
        Adb(adb).device("X").script("true", timeout_s=1)
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    for _ in range(100):
        if not child.exists() or child.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    os.kill(int(child.parent.name), 9)
    raise AssertionError("A child of adb outlived the call.")
