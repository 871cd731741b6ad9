"""Which phones are attached, on several servers, and cleaning them."""

from __future__ import annotations

from pathlib import Path

import pytest
from blazeport import errors
from blazeport.android_harness import attached as attaching
from blazeport.android_harness.adb import Adb
from blazeport.android_harness.guard import Guard
from blazeport.android_harness.store import ROOT, Store
from testing import profiles
from testing.adb_server import AdbServer
from testing.device import TestDevice


@pytest.fixture
def adb(adb_server: AdbServer) -> Adb:
    return Adb(adb_server.binary, env=adb_server.env)


def test_each_phone_is_listed_with_what_it_can_do_and_why_not(adb: Adb, phone, adb_server: AdbServer):
    pixel, emulator, locked = (phone(each) for each in (profiles.PIXEL, profiles.EMULATOR, profiles.SAMSUNG))
    locked.fault("unauthorized")
    adb_server.wait_for(locked, "unauthorized")
    found = {each.entry.serial: each for each in attaching.attached([adb])}
    assert found[pixel.serial].problems == ()
    assert found[pixel.serial].abilities == ("native runner", "core masks", "temperature", "throttling status")
    assert "emulator" in found[emulator.serial].problems[0]
    assert "accept the question on its screen" in found[locked.serial].problems[0]
    assert found[locked.serial].snapshot is None
    assert found[locked.serial].to_record()["state"] == "unauthorized"


def test_a_phone_that_breaks_off_while_it_is_read_does_not_hide_the_others(adb: Adb, phone):
    pixel, samsung = phone(profiles.PIXEL), phone(profiles.SAMSUNG)
    samsung.fault("drop", at="shell", times=9)
    found = {each.entry.serial: each for each in attaching.attached([adb])}
    assert found[pixel.serial].problems == ()
    assert found[samsung.serial].problems


def test_phones_are_selected_by_serial(adb: Adb, phone):
    pixel, samsung = phone(profiles.PIXEL), phone(profiles.SAMSUNG)
    assert {each.serial for each in attaching.select([adb])} == {pixel.serial, samsung.serial}
    assert [each.serial for each in attaching.select([adb], [samsung.serial])] == [samsung.serial]
    with pytest.raises(errors.DeviceError, match=rf"'nobody' is not attached\. Usable now: .*{pixel.serial}"):
        attaching.select([adb], ["nobody"])


def test_a_serial_that_cannot_be_used_says_why(adb: Adb, pixel: TestDevice, adb_server: AdbServer):
    pixel.fault("unauthorized")
    adb_server.wait_for(pixel, "unauthorized")
    with pytest.raises(errors.DeviceError, match="accept the question on its screen"):
        attaching.select([adb], [pixel.serial])
    with pytest.raises(errors.DeviceError, match="No phone can be used"):
        attaching.select([adb])


def test_two_servers_are_listed_together(adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    with AdbServer(adb_server.binary) as other, TestDevice(tmp_path / "second", profiles.SAMSUNG) as samsung:
        other.connect(samsung)
        adbs = [Adb(each.binary, server=each.address, env=each.env) for each in (adb_server, other)]
        found = attaching.attached(adbs)
        assert {(each.server, each.entry.serial) for each in found} == {
            (adb_server.address, pixel.serial),
            (other.address, samsung.serial),
        }
        assert {each.script("getprop ro.product.model").stdout.strip() for each in attaching.select(adbs)} == {
            "Pixel 6",
            "SM-A526B",
        }


def test_without_a_phone_the_error_says_what_to_do(adb_server: AdbServer):
    with AdbServer(adb_server.binary) as empty:
        adb = Adb(empty.binary, env=empty.env)
        for ask in (attaching.attached, attaching.select):
            with pytest.raises(errors.DeviceError, match=r"No phone is attached\. Plug one in"):
                ask([adb])


def test_cleaning_leaves_a_phone_that_a_run_uses(adb: Adb, pixel: TestDevice, tmp_path: Path):
    device = adb.device(pixel.serial)
    scratch = Store(device).scratch("out")
    with (
        Guard(device, journal_dir=tmp_path / "journals"),
        pytest.raises(errors.DeviceError, match="Another run"),
    ):
        attaching.clean_up([device], journal_dir=tmp_path / "journals")
    assert pixel.path(scratch).exists()
    assert attaching.clean_up([device], journal_dir=tmp_path / "journals") == [f"{pixel.serial}: 1 entry removed."]
    assert not pixel.path(ROOT).exists()
