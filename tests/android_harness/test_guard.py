"""The guard: a phone is as it was afterwards, also after kill -9, and is not measured in a state that spoils it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from blazeport import errors
from blazeport.android_harness.guard import Guard, Journal, replay_journals
from blazeport.android_harness.probe import probe
from testing.adb_server import AdbServer
from testing.device import TestDevice

STAY = "global/stay_on_while_plugged_in"
LOW_POWER = "global/low_power"
# A shell that starts tests in the background would have them ignore SIGINT.
RUN = """
import signal, sys, time
from pathlib import Path
from blazeport.android_harness.adb import Adb
from blazeport.android_harness.guard import Guard
signal.signal(signal.SIGINT, signal.default_int_handler)
binary, serial, journals = sys.argv[1:]
with Guard(Adb(binary).device(serial), journal_dir=Path(journals)):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    return tmp_path / "journals"


@pytest.fixture
def user_settings(pixel: TestDevice) -> dict[str, str | None]:
    """A user's own settings, which differ from Android's."""
    set_setting(pixel, LOW_POWER, "1")
    return state(pixel)


def set_setting(phone: TestDevice, name: str, value: str) -> None:
    phone.state.joinpath("settings", name).write_text(value)


def state(phone: TestDevice) -> dict[str, str | None]:
    fixed = phone.state / "fixed_performance"
    return {
        **{name: (phone.setting(name) or "").strip() for name in (STAY, LOW_POWER, "global/airplane_mode_on")},
        "fixed_performance": fixed.read_text().strip() if fixed.exists() else None,
    }


def start_run(adb_server: AdbServer, phone: TestDevice, journals: Path) -> subprocess.Popen[str]:
    """Another process that holds the phone."""
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(adb_server.binary), phone.serial, str(journals)],
        env={**os.environ, **adb_server.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    return run


def test_a_phone_is_set_up_for_a_run_and_put_back_after_it(over, pixel, journals, user_settings):
    with Guard(over(pixel), journal_dir=journals) as guard:
        during = state(pixel)
        assert during[STAY] not in ("", "0")
        assert during[LOW_POWER] == "0"
        assert during["fixed_performance"] == "true"
        assert guard.settings_applied == {"stay_awake": "on", "low_power": "off", "fixed_performance": "on"}
        assert guard.snapshot is not None
        assert guard.snapshot.low_power == "1"
    assert state(pixel) == user_settings
    assert not list(journals.glob("*.json"))


def test_a_phone_is_put_back_after_ctrl_c(over, pixel: TestDevice, journals: Path, user_settings):
    with pytest.raises(KeyboardInterrupt), Guard(over(pixel), journal_dir=journals):
        raise KeyboardInterrupt
    assert state(pixel) == user_settings


@pytest.mark.parametrize("profile", ["samsung", "old_phone", "sparse_phone"])
def test_what_a_phone_cannot_do_is_recorded_and_the_rest_is_put_back(over, request, journals: Path, profile: str):
    phone: TestDevice = request.getfixturevalue(profile)
    before = state(phone)
    with Guard(over(phone), journal_dir=journals) as guard:
        assert guard.settings_applied["fixed_performance"].startswith("unavailable (Failed to set FIXED_PERFORMANCE")
        assert guard.settings_applied["stay_awake"] == "on"
    assert state(phone) == before
    assert not list(journals.glob("*.json"))


def test_a_setting_that_was_never_set_is_deleted_again(over, pixel: TestDevice, journals: Path):
    pixel.state.joinpath("settings", STAY).unlink(missing_ok=True)
    with Guard(over(pixel), journal_dir=journals):
        assert pixel.setting(STAY) is not None
    assert pixel.setting(STAY) is None


def test_a_setting_with_a_hostile_value_is_left_alone(over, pixel: TestDevice, journals: Path):
    set_setting(pixel, LOW_POWER, "1; $(touch /data/local/tmp/pwned)")
    before = state(pixel)
    with Guard(over(pixel), journal_dir=journals) as guard:
        assert guard.settings_applied["low_power"].startswith("unavailable")
    assert state(pixel) == before
    assert not pixel.path("/data/local/tmp/pwned").exists()


def test_the_journal_is_on_the_disk_before_anything_changes(over, pixel: TestDevice, journals: Path, monkeypatch):
    device = over(pixel)
    before = state(pixel)
    script, seen = device.script, []

    def watched(text: str, **options: object):
        if "stayon" in text:
            seen.append((state(pixel) == before, [json.loads(each.read_text()) for each in journals.glob("*.json")]))
        return script(text, **options)

    monkeypatch.setattr(device, "script", watched)
    with Guard(device, journal_dir=journals):
        pass
    [(was_untouched, [journal])] = seen
    assert was_untouched
    assert journal["undo"] == {"stay_awake": before[STAY] or "null", "fixed_performance": "0"}


@pytest.mark.parametrize("kind", ["drop", "reboot"])
def test_a_connection_that_breaks_while_settings_change_is_repaired(over, pixel, journals, user_settings, kind: str):
    for word in ("stayon", "settings put"):
        pixel.fault(kind, at="shell", matching=word, times=1)
        with Guard(over(pixel), journal_dir=journals):
            pass
        pixel.faults.clear()
        assert state(pixel) == user_settings


def test_a_phone_that_is_lost_in_a_run_is_put_back_by_the_next_one(over, pixel, journals, user_settings, caplog):
    device = over(pixel)
    with Guard(device, journal_dir=journals):
        device.reconnect_timeout_s = 0.5
        pixel.fault("offline")
    assert "could not be put back" in caplog.text
    assert list(journals.glob("*.json"))
    pixel.heal()
    device.reconnect_timeout_s = 8.0
    device.reconnect()
    with Guard(device, journal_dir=journals) as guard:
        assert guard.snapshot is not None
        assert guard.snapshot.low_power == "1"
    assert state(pixel) == user_settings
    assert not list(journals.glob("*.json"))


def test_after_kill_9_the_next_command_puts_the_phone_back(over, adb_server, pixel, journals, user_settings):
    run = start_run(adb_server, pixel, journals)
    try:
        assert state(pixel) != user_settings
        # The run is alive: its journal is not ours to replay, and its phone not ours to use.
        assert replay_journals(journals, [over(pixel)]) == []
        with pytest.raises(errors.NotFit, match=rf"process {run.pid}"), Guard(over(pixel), journal_dir=journals):
            pass
        assert state(pixel) != user_settings
    finally:
        run.send_signal(signal.SIGKILL)
        run.communicate()
    [sentence] = replay_journals(journals, [over(pixel)])
    assert pixel.serial in sentence
    assert state(pixel) == user_settings
    assert replay_journals(journals, [over(pixel)]) == []


def test_a_run_that_is_interrupted_puts_the_phone_back_itself(adb_server, pixel, journals, user_settings):
    run = start_run(adb_server, pixel, journals)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert state(pixel) == user_settings
    assert not list(journals.glob("*.json"))


def test_two_runs_in_one_process_do_not_share_a_phone(over, pixel: TestDevice, journals: Path):
    with (
        Guard(over(pixel), journal_dir=journals),
        pytest.raises(errors.NotFit, match="Another run"),
        Guard(over(pixel), journal_dir=journals),
    ):
        pass


def test_a_journal_of_one_phone_is_not_replayed_on_another(
    over, pixel: TestDevice, samsung: TestDevice, journals: Path
):
    journal = Journal(journals, probe(over(pixel)).identity)
    journal.lock().close()
    journal.write({"low_power": "1"}, probe(over(pixel)))
    assert replay_journals(journals, [over(samsung)]) == []
    assert state(samsung)[LOW_POWER] != "1"
    assert len(replay_journals(journals, [over(pixel)])) == 1
    assert state(pixel)[LOW_POWER] == "1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"undo": 3}',
        '{"undo": {"low_power": "1; reboot"}}',
        '{"undo": {"reboot": "1"}}',
        '{"undo": {"low_power": 1}}',
        "\x00\xff",
    ],
)
def test_a_damaged_journal_runs_nothing_and_is_named(over, pixel: TestDevice, journals: Path, text: str):
    device = over(pixel)
    journal = Journal(journals, probe(device).identity)
    journal.lock().close()
    journal.path.write_text(text)
    before = state(pixel)
    with pytest.raises(errors.DeviceError, match="cannot be read"), Guard(device, journal_dir=journals):
        pass
    [sentence] = replay_journals(journals, [device])
    assert str(journal.path) in sentence
    assert state(pixel) == before


def test_airplane_mode_is_refused_for_a_phone_on_the_network(over, pixel: TestDevice, journals: Path):
    with pytest.raises(errors.NotFit, match="Airplane mode would cut off"):
        Guard(over(pixel), journal_dir=journals, airplane_mode=True)


def test_a_folder_that_cannot_hold_a_journal_stops_before_anything_changes(over, pixel: TestDevice, tmp_path: Path):
    (tmp_path / "file").write_text("")
    before = state(pixel)
    with pytest.raises(errors.OutputError), Guard(over(pixel), journal_dir=tmp_path / "file" / "journals"):
        pass
    assert state(pixel) == before


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("adb shell dumpsys battery set level 50", "battery values were set by hand"),
        ("adb shell cmd thermalservice override-status 2", "thermal status was set by hand"),
    ],
)
def test_a_phone_with_values_set_by_hand_is_refused(over, pixel: TestDevice, journals: Path, spoil: str, reason: str):
    device = over(pixel)
    device.shell(spoil.split()[2:])
    before = state(pixel)
    with pytest.raises(errors.NotFit, match=reason), Guard(device, journal_dir=journals):
        pass
    assert state(pixel) == before


def test_a_hot_phone_is_refused_and_told_again_by_check(over, pixel: TestDevice, journals: Path):
    with Guard(over(pixel), journal_dir=journals) as guard:
        guard.check()
        pixel.work(3000)
        with pytest.raises(errors.NotFit, match=r"throttles|let it cool down"):
            guard.check()
    with pytest.raises(errors.NotFit), Guard(over(pixel), journal_dir=journals):
        pass


def test_a_phone_above_the_limit_or_with_a_low_battery_is_refused(over, pixel: TestDevice, journals: Path):
    with (
        pytest.raises(errors.NotFit, match=r"more than 25 °C"),
        Guard(over(pixel), journal_dir=journals, max_start_celsius=25),
    ):
        pass
    with (
        pytest.raises(errors.NotFit, match="battery is at 84 %"),
        Guard(over(pixel), journal_dir=journals, min_battery_percent=90),
    ):
        pass


def test_an_emulator_is_refused_unless_it_is_allowed(over, emulator: TestDevice, journals: Path):
    with pytest.raises(errors.NotFit, match="emulator"), Guard(over(emulator), journal_dir=journals):
        pass
    with Guard(over(emulator), journal_dir=journals, allow_emulator=True):
        pass


def test_a_run_costs_few_adb_calls(over, pixel: TestDevice, journals: Path):
    device = over(pixel)
    with Guard(device, journal_dir=journals):
        pass
    assert device.calls == 3
