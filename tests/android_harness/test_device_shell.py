"""The real adb client and the test device: commands, their streams and exit codes."""

from __future__ import annotations

import os

import pytest
from testing.adb_server import AdbServer
from testing.device import FORBIDDEN_PORTS, TestDevice


def test_streams_stay_apart_and_the_exit_code_arrives(adb_server: AdbServer, pixel: TestDevice):
    done = adb_server.on(pixel, "shell", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)


def test_a_command_ended_by_a_signal_has_its_exit_code(adb_server: AdbServer, pixel: TestDevice):
    assert adb_server.on(pixel, "shell", "kill -9 $$").returncode == 137


def test_the_old_phone_has_no_exit_code_one_stream_and_crlf(adb_server: AdbServer, old_phone: TestDevice):
    done = adb_server.run("-s", old_phone.serial, "shell", "echo out; echo err >&2; exit 3", text=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\r\nerr\r\n", b"", 0)


def test_exec_out_passes_every_byte(adb_server: AdbServer, pixel: TestDevice):
    everything = bytes(range(256)) * 1000
    pixel.path("/data/local/tmp/bytes").write_bytes(everything)
    assert adb_server.run("-s", pixel.serial, "exec-out", "cat /data/local/tmp/bytes", text=False).stdout == everything


def test_standard_input_reaches_the_command_and_ends(adb_server: AdbServer, pixel: TestDevice):
    done = adb_server.run("-s", pixel.serial, "shell", "wc -c", given=b"12345", text=False)
    assert done.stdout == b"5\n"


def test_commands_run_as_the_shell_user_of_a_phone(adb_server: AdbServer, pixel: TestDevice):
    if os.geteuid() != 0:
        pytest.skip("the test device's shell user needs root")
    assert "shell" in adb_server.on(pixel, "shell", "id").stdout
    assert adb_server.on(pixel, "shell", "uname -n").stdout == "localhost\n"
    denied = adb_server.on(pixel, "shell", "cat /sys/class/thermal/thermal_zone0/temp")
    assert "Permission denied" in denied.stderr


def test_a_glibc_program_does_not_start_without_its_loader(adb_server: AdbServer, pixel: TestDevice):
    assert adb_server.on(pixel, "push", "/bin/true", "/data/local/tmp/program").returncode == 0
    failed = adb_server.on(pixel, "shell", "/data/local/tmp/program")
    assert failed.returncode in (126, 127)


def test_two_devices_on_one_server_are_told_apart(adb_server: AdbServer, pixel: TestDevice, samsung: TestDevice):
    models = [adb_server.on(each, "shell", "getprop ro.product.model").stdout for each in (pixel, samsung)]
    assert models == ["Pixel 6\n", "SM-A526B\n"]
    assert "model:Pixel_6 device:oriole" in adb_server.run("devices", "-l").stdout


def test_nothing_of_the_users_own_adb_is_touched(adb_server: AdbServer, pixel: TestDevice):
    ports = {adb_server.port, int(pixel.serial.rpartition(":")[2])}
    assert not ports & FORBIDDEN_PORTS
    assert adb_server.states() == {pixel.serial: "device"}


@pytest.mark.parametrize("word", ["$(touch /data/local/tmp/owned)", "a'b\"c", "x\ny", "`id`", "../../etc"])
def test_a_hostile_property_is_printed_as_it_is(adb_server: AdbServer, pixel: TestDevice, word: str):
    pixel.set_property("ro.product.model", word)
    assert adb_server.on(pixel, "shell", "getprop ro.product.model").stdout == word + "\n"
    assert not pixel.path("/data/local/tmp/owned").exists()


def test_nothing_leaves_the_root_by_its_name(pixel: TestDevice):
    assert pixel.path("/data/../../../../data/a") == pixel.path("/") / "data/a"
