"""`blazeport android devices|clean`: what a user reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from blazeport.android_harness.adb import Adb
from blazeport.android_harness.guard import Journal, default_journal_dir
from blazeport.android_harness.probe import probe
from blazeport.android_harness.store import ROOT
from blazeport.cli.main import main
from click.testing import CliRunner, Result
from testing import profiles
from testing.adb_server import AdbServer, clients
from testing.device import TestDevice
from testing.device_root import why_unavailable


@pytest.fixture
def adb_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AdbServer]:
    """A private adb server that the commands find as the user's own."""
    binary = next(filter(None, clients().values()), None)
    if binary is None:
        pytest.skip("adb is not installed (Debian: apt install adb)")
    with AdbServer(binary) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("BLAZEPORT_ADB", str(binary))
        monkeypatch.setenv("BLAZEPORT_CACHE", str(tmp_path / "cache"))
        yield server


@pytest.fixture
def pixel(adb_server: AdbServer, tmp_path: Path) -> Iterator[TestDevice]:
    if reason := why_unavailable("native"):
        pytest.skip(reason)
    with TestDevice(tmp_path / "device", profiles.PIXEL) as device:
        adb_server.connect(device)
        yield device


def blazeport(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["android", *arguments])


def test_the_table_shows_what_a_phone_is_and_can(pixel: TestDevice):
    result = blazeport("devices")
    assert result.exit_code == 0, result.output
    for shown in (pixel.serial, "Google Pixel 6", "14", "GS101", "4×1.80 GHz", "84 %", "native runner"):
        assert shown in result.stdout


def test_a_hostile_model_name_is_shown_as_text(pixel: TestDevice):
    pixel.set_property("ro.product.model", "[/red][bold]x\x1b[2J\nEvil $(reboot)")
    result = blazeport("devices")
    assert result.exit_code == 0, result.output
    assert "[/red][bold]x?[2J?Evil $(reboot)" in result.stdout


def test_the_record_says_why_a_phone_cannot_be_used(pixel: TestDevice, adb_server: AdbServer):
    [record] = json.loads(blazeport("devices", "--json").stdout)
    assert (record["serial"], record["problems"]) == (pixel.serial, [])
    assert record["snapshot"]["soc_model"] == "GS101"
    pixel.fault("unauthorized")
    adb_server.wait_for(pixel, "unauthorized")
    result = blazeport("devices", "--json")
    [record] = json.loads(result.stdout)
    assert result.exit_code == 0
    assert "accept the question" in record["problems"][0]
    assert record["snapshot"] is None


def test_a_server_elsewhere_is_asked(pixel: TestDevice, adb_server: AdbServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    [record] = json.loads(blazeport("devices", "--json", "--adb-server", adb_server.address).stdout)
    assert (record["serial"], record["adb_server"]) == (pixel.serial, adb_server.address)


@pytest.mark.parametrize("command", ["devices", "clean"])
def test_the_next_command_puts_back_what_a_killed_run_left(pixel: TestDevice, adb_server: AdbServer, command: str):
    snapshot = probe(Adb(adb_server.binary, env=adb_server.env).device(pixel.serial))
    journal = Journal(default_journal_dir(), snapshot.identity)
    journal.lock().close()
    journal.write({"low_power": "1"}, snapshot)
    result = blazeport(command)
    assert result.exit_code == 0
    assert f"Put back on {pixel.serial} after an interrupted run: low_power." in result.output
    assert pixel.setting("global/low_power") == "1"
    assert not journal.path.exists()


def test_clean_removes_ours_and_leaves_the_rest(pixel: TestDevice, adb_server: AdbServer):
    adb_server.on(pixel, "shell", f"mkdir {ROOT} && touch {ROOT}/{'a' * 64} {ROOT}/foreign")
    result = blazeport("clean", "--serial", pixel.serial)
    assert result.exit_code == 0
    assert result.stdout == f"{pixel.serial}: 1 entry removed.\n"
    assert [each.name for each in pixel.path(ROOT).iterdir()] == ["foreign"]


@pytest.mark.parametrize("command", ["devices", "clean"])
def test_without_a_phone_one_line_says_what_to_do(adb_server: AdbServer, command: str):
    result = blazeport(command)
    assert result.exit_code == 1
    assert result.output.startswith("Error: No phone is attached. Plug one in")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("command", ["devices", "clean"])
def test_without_adb_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BLAZEPORT_ADB", raising=False)
    result = blazeport(command)
    assert result.exit_code == 1
    assert "apt install adb" in result.output
    assert result.output.count("\n") == 1


def test_a_server_that_is_no_address_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BLAZEPORT_ADB", "/bin/true")
    result = blazeport("devices", "--adb-server", "nowhere")
    assert result.exit_code == 1
    assert "host:port" in result.output
