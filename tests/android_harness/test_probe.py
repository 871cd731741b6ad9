"""The probe: one call, every field a value or a reason, no serial number in a record."""

from __future__ import annotations

import dataclasses
import json

import pytest
from blazeport import errors
from blazeport.android_harness import probe as probing
from blazeport.android_harness.adb import Adb, Device
from blazeport.android_harness.parsers import Absent
from blazeport.android_harness.probe import Snapshot, parse_snapshot, probe, thermal
from hypothesis import given, settings
from hypothesis import strategies as st
from testing import profiles
from testing.adb_server import AdbServer
from testing.device import TestDevice


@pytest.fixture
def over(adb_server: AdbServer):
    """Test device → what the code under test has of it."""
    return lambda phone: Adb(adb_server.binary, env=adb_server.env).device(phone.serial)


def cpufreq(*clusters: tuple[str, int]) -> str:
    return "".join(f"policy p\nrelated_cpus={cpus}\ncpuinfo_max_freq={khz}\n" for cpus, khz in clusters)


def snapshot(**sections: str) -> Snapshot:
    return parse_snapshot(sections, "SERIAL123")


def test_a_phone_is_read_in_one_call(over, pixel: TestDevice):
    device = over(pixel)
    read = probe(device)
    assert device.calls == 1
    assert (read.model, read.soc_model, read.abi, read.android_version) == ("Pixel 6", "GS101", "arm64-v8a", "14")
    assert not isinstance(read.clusters, Absent)
    assert [(each.cpus, each.max_khz) for each in read.clusters] == [
        ((0, 1, 2, 3), 1803000),
        ((4, 5), 2253000),
        ((6, 7), 2802000),
    ]
    assert read.cpus_online == tuple(range(8))
    assert read.memory_bytes == 7766184 * 1024
    assert read.is_screen_on is True
    assert not read.is_emulator
    assert (read.low_power, read.stay_awake) == ("0", "0")
    assert {field.name for field in dataclasses.fields(read) if isinstance(getattr(read, field.name), Absent)} == set()


def test_an_old_phone_is_read_too_and_says_what_it_lacks(over, old_phone: TestDevice):
    read = probe(over(old_phone))
    assert (read.model, read.sdk) == ("Nexus 5X", "23")
    assert isinstance(read.soc_model, Absent)
    assert isinstance(read.thermal, Absent)
    assert "thermalservice" in read.thermal.reason
    assert read.warmth.hottest_celsius == 32.6
    assert read.mask("big") == "30"


def test_a_phone_that_tells_half_of_it_gives_a_reason_for_the_rest(over, sparse_phone: TestDevice):
    read = probe(over(sparse_phone))
    assert read.model == "Nameless, the 2nd"
    for name in ("manufacturer", "memory_bytes", "clusters", "cpus_online", "is_screen_on"):
        value = getattr(read, name)
        assert isinstance(value, Absent), name
        assert value.reason, name
    assert read.mask("big") is None
    assert read.warmth.hottest_celsius is None


def test_an_emulator_is_told_apart(over, emulator: TestDevice):
    assert probe(over(emulator)).is_emulator


def test_a_test_device_is_never_taken_for_a_phone(over, pixel: TestDevice):
    assert probe(over(pixel)).is_synthetic
    assert not snapshot().is_synthetic


def test_temperatures_are_read_in_one_call(over, samsung: TestDevice):
    device = over(samsung)
    sample = thermal(device)
    assert device.calls == 1
    assert sample.hottest_celsius == pytest.approx(24.7, abs=1)
    assert sample.status == 0
    assert sample.battery_celsius == pytest.approx(32.6, abs=1)
    assert not sample.is_mocked


def test_a_phone_that_works_gets_warmer(over, pixel: TestDevice):
    device = over(pixel)
    before = thermal(device)
    pixel.work(600)
    after = thermal(device)
    assert after.hottest_celsius > before.hottest_celsius


def test_hostile_properties_are_only_text(over, pixel: TestDevice):
    hostile = "x'\"$(touch /data/local/tmp/pwned)`touch /data/local/tmp/pwned`\n[ro.evil]: [1"
    pixel.set_property("ro.product.model", hostile)
    read = probe(over(pixel))
    assert "$(touch /data/local/tmp/pwned)" in str(read.model)
    assert not pixel.path("/data/local/tmp/pwned").exists()
    json.dumps(read.to_record())


def test_a_record_names_no_serial_number(over, phone):
    named = phone(
        dataclasses.replace(
            profiles.PIXEL,
            properties={**profiles.PIXEL.properties, "ro.serialno": "1A2B3C4D", "ro.boot.serialno": "1A2B3C4D"},
        )
    )
    read = probe(over(named))
    text = json.dumps(read.to_record())
    assert named.serial not in text
    assert "1A2B3C4D" not in text
    assert read.to_record()["serial_hash"] == read.serial_hash


def test_an_absent_field_stands_in_the_record_with_its_reason():
    assert snapshot().to_record()["model"] == {"absent": "ro.product.model is empty or missing"}


def test_a_phone_keeps_its_identity_however_it_is_reached():
    named = {"getprop": "[ro.serialno]: [1A2B]", "android_id": "0123456789abcdef"}
    usb, network = parse_snapshot(named, "1A2B"), parse_snapshot(named, "192.168.0.7:5555")
    assert usb.identity == network.identity
    # Cheap phones share one serial number.
    assert parse_snapshot({**named, "android_id": "fedcba9876543210"}, "1A2B").identity != usb.identity
    assert parse_snapshot({}, "A").identity != parse_snapshot({}, "B").identity


@pytest.mark.parametrize(
    ("clusters", "online", "big", "little", "every"),
    [
        ([("0 1 2 3", 1803000), ("4 5 6", 2253000), ("7", 2850000)], "0-7", "80", "f", "ff"),
        # The fast cores come first.
        ([("0 1", 3000000), ("2 3 4 5", 1800000)], "0-5", "3", "3c", "3f"),
        # Equal cores, in one domain each.
        ([("0", 1800000), ("1", 1800000), ("2", 1800000)], "0-2", "7", "7", "7"),
        # A core that is switched off is not asked for.
        ([("0 1 2 3", 1803000), ("4 5", 2253000)], "0-4", "10", "f", "1f"),
    ],
    ids=["prime core", "fast cores first", "equal cores", "one offline"],
)
def test_masks_come_from_the_phones_own_topology(clusters, online, big, little, every):
    read = snapshot(cpufreq=cpufreq(*clusters), online=online)
    assert (read.mask("big"), read.mask("little"), read.mask("all")) == (big, little, every)


@pytest.mark.parametrize(("given_mask", "mask"), [("F0", "f0"), ("0x3", "3"), ("ff", "ff")])
def test_a_mask_of_ones_own_is_hex_without_0x(given_mask, mask):
    assert snapshot(online="0-7").mask(given_mask) == mask


@pytest.mark.parametrize("affinity", ["", "0", "prime", "100", "-1", "1;reboot", "0x", "f f"])
def test_what_is_no_mask_of_cores_that_the_phone_has_is_refused(affinity):
    with pytest.raises(errors.ConfigError):
        snapshot(online="0-7").mask(affinity)


def test_the_skin_decides_then_the_battery_then_the_cores():
    lines = {
        "skin": "\tTemperature{mValue=33.0, mType=3, mName=SKIN, mStatus=0}\n",
        "cpu": "\tTemperature{mValue=60.0, mType=0, mName=AP, mStatus=0}\n",
    }
    head, battery = "Current temperatures from HAL:\n", "level: 50\ntemperature: 350\n"
    assert snapshot(thermal=head + lines["skin"] + lines["cpu"], battery=battery).warmth.hottest_celsius == 33.0
    assert snapshot(thermal=head + lines["cpu"], battery=battery).warmth.hottest_celsius == 35.0
    assert snapshot(thermal=head + lines["cpu"]).warmth.hottest_celsius == 60.0
    assert snapshot().warmth.hottest_celsius is None
    assert set(snapshot().warmth.absent) == {"thermal", "battery"}


def test_the_script_fits_into_one_message_of_an_old_phone():
    sent = []

    class Recorder(Device):
        def script(self, text: str, **options: object):
            sent.append(text)
            raise errors.DeviceError("stop")

    with pytest.raises(errors.DeviceError):
        probe(Recorder.__new__(Recorder))
    assert len(sent[0]) < 3500


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(sorted(probing._SECTIONS)), st.text(max_size=200)))
def test_garbage_from_every_command_is_a_snapshot_all_the_same(sections: dict[str, str]):
    json.dumps(parse_snapshot(sections, "S").to_record())
