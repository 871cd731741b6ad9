"""The parsers read every format of Android's tools that is known to exist, and never raise."""

from __future__ import annotations

from pathlib import Path

import pytest
from blazeport.android_harness import parsers
from blazeport.android_harness.parsers import Absent
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).parent / "fixtures"
PARSERS = {
    "thermal": parsers.parse_thermal,
    "battery": parsers.parse_battery,
    "getprop": parsers.parse_getprop,
    "meminfo": parsers.parse_meminfo,
    "df": parsers.parse_df,
    "cpufreq": parsers.parse_clusters,
    "power": parsers.parse_wakefulness,
    "setting": parsers.parse_setting,
    "cpus": parsers.parse_cpu_list,
}


def sample(name: str) -> str:
    return (FIXTURES / f"{name}.txt").read_text()


def test_only_what_the_thermal_hal_says_now_counts():
    read = parsers.parse_thermal(sample("thermal_pixel"))
    assert not isinstance(read, Absent)
    # Not the cached 88.8 °C, not NaN, not the absent sensor at 0.0, not battery currents, not an unknown type.
    assert [(each.name, each.kind, each.celsius, each.status) for each in read.readings] == [
        ("cpu0-gold-usr", "cpu", 31.7, 0),
        ("VIRTUAL-SKIN", "skin", 39.5, 1),
    ]
    assert (read.status, read.is_mocked) == (1, False)


def test_a_samsung_of_android_12_is_read():
    read = parsers.parse_thermal(sample("thermal_samsung_a52"))
    assert not isinstance(read, Absent)
    assert [(each.kind, each.celsius) for each in read.readings] == [("cpu", 25.6), ("skin", 24.7)]


def test_a_newer_samsung_tells_where_its_skin_throttles_and_that_its_status_is_mocked():
    read = parsers.parse_thermal(sample("thermal_newer_samsung"))
    assert not isinstance(read, Absent)
    assert read.skin_limits_celsius == (36.0, 38.0, 40.0, 42.0, 45.0)
    assert read.is_mocked
    assert [each.kind for each in read.readings] == ["battery"]


def test_a_phone_without_a_thermal_service_says_so_in_its_own_words():
    read = parsers.parse_thermal(sample("thermal_android_9"))
    assert isinstance(read, Absent)
    assert "Can't find service: thermalservice" in read.reason


@pytest.mark.parametrize(
    ("name", "percent", "celsius", "plugged", "is_mocked"),
    [
        ("battery_older", 84, 32.6, ("usb",), False),
        ("battery_newer", 84, -1.5, ("ac", "dock"), False),
        ("battery_mocked", 100, 25.0, (), True),
    ],
)
def test_batteries_of_all_ages_are_read(name, percent, celsius, plugged, is_mocked):
    read = parsers.parse_battery(sample(name))
    assert not isinstance(read, Absent)
    assert (read.percent, read.celsius, read.plugged, read.is_mocked) == (percent, celsius, plugged, is_mocked)


def test_properties_keep_commas_quotes_and_line_ends_and_leave_out_empty_ones():
    assert parsers.parse_getprop(sample("getprop")) == {
        "ro.board.platform": "gs101",
        "ro.product.manufacturer": 'Google, Inc. "quoted"',
        "ro.product.model": "Pixel $(reboot)",
        "persist.two.lines": "first\nsecond",
        "ro.hardware": "oriole",
    }


def test_free_space_is_read_from_toybox_and_from_toolbox():
    assert parsers.parse_df(sample("df_toybox")) == 61234567 * 1024
    assert parsers.parse_df(sample("df_toolbox")) == int(7.5 * 2**30)
    assert parsers.parse_df("df: /data: Permission denied\n") == Absent(
        "df says no free space: df: /data: Permission denied"
    )


def test_memory_is_in_bytes():
    memory = parsers.parse_meminfo(sample("meminfo"))
    assert memory["MemAvailable"] == 3921044 * 1024
    assert "HugePages_Total" not in memory


def test_clusters_are_sorted_by_clock_and_keep_what_may_not_be_read_as_none():
    clusters = parsers.parse_clusters(sample("cpufreq_prime"))
    assert not isinstance(clusters, Absent)
    assert [each.cpus for each in clusters] == [(0, 1, 2, 3), (4, 5, 6), (7,)]
    assert [each.limit_khz for each in clusters] == [1803000, None, 2401000]
    assert isinstance(parsers.parse_clusters(sample("cpufreq_denied")), Absent)


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,6\n", (0, 1, 2, 3, 6)), ("7", (7,)), ("0 1 2", (0, 1, 2)), ("0-3\n", (0, 1, 2, 3))]
)
def test_lists_of_cores_are_read(text, cpus):
    assert parsers.parse_cpu_list(text) == cpus


@pytest.mark.parametrize("text", ["", "\n", "0-", "a", "0-99999999999", "3-1", "9999"])
def test_what_is_no_list_of_cores_is_absent(text):
    assert isinstance(parsers.parse_cpu_list(text), Absent)


def test_a_sleeping_screen_is_seen():
    assert parsers.parse_wakefulness(sample("power")) is False
    assert parsers.parse_wakefulness("  mWakefulness=Awake\n") is True


@pytest.mark.parametrize("text", ["$(reboot)", "1; reboot", "99999999", "on"])
def test_a_setting_that_is_no_short_number_is_absent(text):
    assert isinstance(parsers.parse_setting(text), Absent)


def test_a_setting_that_is_not_set_is_told_from_one_that_cannot_be_read():
    assert parsers.parse_setting("null\n") == Absent("not set")
    assert parsers.parse_setting("-1\n") == "-1"


@pytest.mark.parametrize("name", PARSERS)
def test_nothing_at_all_is_absent(name):
    assert isinstance(PARSERS[name](""), Absent) or PARSERS[name]("") == {}


@pytest.mark.parametrize("path", sorted(FIXTURES.iterdir()), ids=lambda path: path.stem)
def test_every_sample_cut_anywhere_is_read_without_an_error(path: Path):
    text = path.read_text()
    for end in range(len(text)):
        for parse in PARSERS.values():
            parse(text[:end])


@given(st.text(), st.sampled_from(sorted(FIXTURES.iterdir())), st.integers(0, 400), st.integers(0, 40))
def test_garbage_in_the_middle_of_a_sample_raises_nothing(garbage: str, path: Path, at: int, length: int):
    text = path.read_text()
    for parse in PARSERS.values():
        parse(text[:at] + garbage + text[at + length :])


@given(st.text(alphabet="0123456789.-eNnaifTKMG{}[]:=, \n%", max_size=80))
def test_odd_numbers_raise_nothing(text: str):
    for parse in PARSERS.values():
        parse(text)
        parse(f"Temperature{{mValue={text}, mType={text}, mName=x, mStatus={text}}}")
        parse(f"level: {text}\nscale: {text}\ntemperature: {text}\nvoltage: {text}")
