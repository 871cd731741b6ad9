"""What each phone says of itself, and how it answers Android's own commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from testing import profiles
from testing.adb_server import AdbServer
from testing.device import TestDevice
from testing.profiles import PROFILES, Profile

# What a device says of itself does not depend on who asks.
pytestmark = pytest.mark.parametrize("adb_server", ["adb-36"], indirect=True)
FIXED = "cmd power set-fixed-performance-mode-enabled"


@pytest.fixture
def tell(adb_server: AdbServer) -> Callable[[TestDevice, str], str]:
    """Output of a command on a device."""

    def output(device: TestDevice, command: str) -> str:
        return adb_server.on(device, "shell", command).stdout

    return output


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_phone_prints_its_own_texts(phone: Callable[..., TestDevice], adb_server: AdbServer, profile: Profile):
    device = phone(profile, time_scale=0)
    newline = "\r\n" if profile.terminal else "\n"
    for service, text in profile.dumps.items():
        printed = adb_server.run("-s", device.serial, "shell", f"dumpsys {service}", text=False).stdout.decode()
        assert printed == text.replace("\n", newline)
    listed = adb_server.on(device, "shell", "getprop").stdout.replace("\r", "").splitlines()
    expected = {**profile.properties, "ro.blazeport.synthetic": "1"}
    assert set(listed) == {f"[{name}]: [{value}]" for name, value in expected.items()}


def test_a_pixel_has_three_kinds_of_cores(pixel: TestDevice, tell: Callable[..., str]):
    root = "/sys/devices/system/cpu"
    assert tell(pixel, f"cat {root}/possible {root}/present {root}/online") == "0-7\n" * 3
    policies = tell(pixel, f"cd {root}/cpufreq && for p in policy*; do cat $p/related_cpus $p/cpuinfo_max_freq; done")
    assert policies.splitlines() == ["0 1 2 3", "1803000", "4 5", "2253000", "6 7", "2802000"]


def test_a_missing_service_cannot_be_found(sparse_phone: TestDevice, old_phone: TestDevice, tell: Callable[..., str]):
    assert tell(old_phone, "dumpsys thermalservice").strip() == "Can't find service: thermalservice"
    assert tell(sparse_phone, "dumpsys power") == "Can't find service: power\n"
    assert tell(sparse_phone, "ls /sys/devices/system/cpu") == "possible\npresent\n"
    assert tell(sparse_phone, "which taskset; cat /proc/meminfo; getprop ro.build.version.release") == "\n"


def test_settings_can_be_set_read_and_deleted(pixel: TestDevice, tell: Callable[..., str]):
    assert tell(pixel, "settings get global low_power; settings get global absent") == "0\nnull\n"
    tell(pixel, "settings put global low_power '1 $(id)'")
    assert tell(pixel, "settings get global low_power") == "1 $(id)\n"
    assert pixel.setting("global/low_power") == "1 $(id)"
    assert tell(pixel, "settings delete global low_power; settings get global low_power") == "Deleted 1 rows\nnull\n"


def test_a_name_with_slashes_reaches_no_other_file(pixel: TestDevice, tell: Callable[..., str]):
    assert tell(pixel, "settings put global ../../props/sys.boot_completed 7; getprop sys.boot_completed") == "1\n"
    assert tell(pixel, "dumpsys ../props/ro.hardware") == "Can't find service: ../props/ro.hardware\n"
    assert tell(pixel, "getprop ../num_cores") == "\n"


@pytest.mark.parametrize(("name", "bits"), [("pixel", "15"), ("samsung", "7")])
def test_stay_awake_is_the_setting_that_power_shows(
    request: pytest.FixtureRequest, tell: Callable[..., str], name: str, bits: str
):
    device = request.getfixturevalue(name)
    tell(device, "svc power stayon true")
    assert device.setting("global/stay_on_while_plugged_in") == bits
    assert "mStayOn=true" in tell(device, "dumpsys power")
    tell(device, "svc power stayon false")
    assert "mStayOn=false" in tell(device, "dumpsys power")


def test_fixed_performance_is_silent_on_success(pixel: TestDevice, adb_server: AdbServer):
    done = adb_server.on(pixel, "shell", f"{FIXED} true")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert (pixel.state / "fixed_performance").read_text() == "true"


def test_fixed_performance_fails_without_a_power_hal_that_knows_it(samsung: TestDevice, adb_server: AdbServer):
    done = adb_server.on(samsung, "shell", f"{FIXED} true")
    assert done.returncode == 255
    assert done.stderr.splitlines() == [
        "Failed to set FIXED_PERFORMANCE mode",
        "This is likely because Power HAL AIDL is not implemented on this device",
    ]


def test_a_mocked_battery_says_so_until_it_is_reset(pixel: TestDevice, tell: Callable[..., str]):
    tell(pixel, "dumpsys battery set level 100")
    assert tell(pixel, "dumpsys battery").splitlines()[1] == "  (UPDATES STOPPED -- use 'reset' to restart)"
    tell(pixel, "dumpsys battery reset")
    assert "UPDATES STOPPED" not in tell(pixel, "dumpsys battery")


def test_affinity_masks_are_checked_against_the_cores_and_noted(pixel: TestDevice, adb_server: AdbServer):
    assert adb_server.on(pixel, "shell", "taskset f0 echo ran").stdout == "ran\n"
    assert (pixel.state / "affinity").read_text() == "f0 echo ran\n"
    for mask in ("0xf0", "100", "0", "big"):
        assert adb_server.on(pixel, "shell", f"taskset {mask} echo ran").returncode == 1


def test_the_phone_heats_under_load_throttles_and_cools(phone: Callable[..., TestDevice], tell: Callable[..., str]):
    device = phone(profiles.PIXEL, time_scale=0)
    idle = tell(device, "dumpsys thermalservice")
    tell(device, "busy 3600")
    hot = tell(device, "dumpsys thermalservice")
    assert "Thermal Status: 3" in hot
    assert "mValue=50.4, mType=3, mName=VIRTUAL-SKIN, mStatus=3" in hot
    assert "mValue=4.132, mType=6" in hot
    assert "mValue=NaN, mType=4" in hot
    assert "mValue=29.9, mType=3, mName=VIRTUAL-SKIN, mStatus=0" in hot.partition("Current temperatures")[0]
    assert "temperature: 486" in tell(device, "dumpsys battery")
    device.pass_time(36000)
    assert tell(device, "dumpsys thermalservice") == idle


def test_work_on_the_devices_cpu_is_what_heats_it(phone: Callable[..., TestDevice], tell: Callable[..., str]):
    device = phone(profiles.PIXEL, time_scale=1000)
    before = device.thermal.rise_celsius
    tell(device, "sha256sum /system/bin/toybox /system/bin/toybox /system/bin/toybox")
    assert device.thermal.rise_celsius > before


def test_an_overridden_thermal_status_lasts_until_reset(pixel: TestDevice, tell: Callable[..., str]):
    tell(pixel, "cmd thermalservice override-status 4")
    dump = tell(pixel, "dumpsys thermalservice")
    assert "IsStatusOverride: true" in dump
    assert "Thermal Status: 4" in dump
    tell(pixel, "cmd thermalservice reset")
    assert "Thermal Status: 0" in tell(pixel, "dumpsys thermalservice")


def test_an_app_is_installed_started_and_logs(
    adb_server: AdbServer, pixel: TestDevice, tell: Callable[..., str], tmp_path: Path
):
    apk = tmp_path / "benchmark.apk"
    apk.write_text('#!/system/bin/sh\n# package: org.example.bench\necho "Args: $*"\necho "Inference (avg): 12167.6"\n')
    start = "am start -n org.example.bench/.BenchmarkModelActivity --es args '\"--graph=/data/local/tmp/a b.tflite\"'"
    missing = adb_server.on(pixel, "shell", start)
    assert "Error type 3" in missing.stdout + missing.stderr
    assert "Success" in adb_server.on(pixel, "install", "-r", str(apk)).stdout
    assert tell(pixel, "pm list packages org.example") == "package:org.example.bench\n"
    tell(pixel, f"logcat -c; {start}")
    logs = (tell(pixel, "logcat -d -s tflite:I -v raw") for _ in range(100))
    log = next(text for text in logs if "Inference (avg): 12167.6" in text)
    assert 'Args: args="--graph=/data/local/tmp/a b.tflite"' in log
    assert "benchmark" not in tell(pixel, "logcat -d -s other:I")
