"""What Android's own tools print, as values. A parser never raises: what it cannot read is `Absent` with the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_MAX_CPUS = 1024
# android.os.Temperature: 6 to 8 are battery current limits (BCL), which are no temperatures.
_KINDS = {
    0: "cpu",
    1: "gpu",
    2: "battery",
    3: "skin",
    4: "usb_port",
    5: "power_amplifier",
    9: "npu",
    10: "tpu",
}
_PLUGS = {"AC": "ac", "USB": "usb", "Wireless": "wireless", "Dock": "dock"}
THROTTLING = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


@dataclass(frozen=True)
class Absent:
    """A value that the phone does not give, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Battery:
    """`dumpsys battery`. What it does not say is None.

    Attributes:
        percent: charge, 0 to 100.
        plugged: power sources: `ac`, `usb`, `wireless`, `dock`.
        is_mocked: the values were set by hand (`UPDATES STOPPED`) and mean nothing.
    """

    percent: int | None
    celsius: float | None
    voltage_mv: int | None
    plugged: tuple[str, ...]
    is_mocked: bool


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One sensor of the thermal service; `status` is the throttling it asks for, an index of `THROTTLING`."""

    name: str
    kind: str
    celsius: float
    status: int


@dataclass(frozen=True, kw_only=True)
class Thermal:
    """`dumpsys thermalservice`.

    Attributes:
        status: throttling of the whole phone, an index of `THROTTLING`; None when it is not said.
        is_mocked: the status was set by hand (`IsStatusOverride`).
        readings: what the HAL measures now. Left out: sensors of other things than temperature, NaN, and 0.0 °C, which
            is how absent sensors report.
        skin_limits_celsius: where the skin sensor starts to throttle lightly, moderately …; empty when it is not said.
    """

    status: int | None
    is_mocked: bool
    readings: tuple[Reading, ...]
    skin_limits_celsius: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Cores that share one clock. Frequencies in kHz; what may not be read is None.

    `max_khz` is what the hardware can do, `limit_khz` what it may do now.
    """

    cpus: tuple[int, ...]
    max_khz: int
    limit_khz: int | None
    current_khz: int | None
    governor: str | None


def parse_getprop(text: str) -> dict[str, str]:
    """Properties by name, of `getprop`. Values may hold anything, line ends too; empty ones are left out."""
    found = re.findall(r"^\[([^\]\n]+)\]: \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    return {name: value for name, value in found if value.strip()}


def parse_battery(text: str) -> Battery | Absent:
    """`dumpsys battery`; its temperature comes in tenths of °C."""
    fields = dict(re.findall(r"^\s*([A-Za-z ]+?):[ \t]*(\S+)[ \t]*$", text, re.MULTILINE))
    percent, scale = _integer(fields.get("level")), _integer(fields.get("scale")) or 100
    tenths = _integer(fields.get("temperature"))
    celsius = None if tenths is None else _celsius(str(tenths / 10))
    if percent is None and celsius is None:
        return Absent(_complaint(text, "dumpsys battery says neither level nor temperature"))
    percent = None if percent is None else round(100 * percent / scale)
    return Battery(
        percent=percent if percent is not None and 0 <= percent <= 100 else None,
        celsius=celsius,
        voltage_mv=_integer(fields.get("voltage")),
        plugged=tuple(name for word, name in _PLUGS.items() if fields.get(f"{word} powered") == "true"),
        is_mocked="UPDATES STOPPED" in text,
    )


def parse_thermal(text: str) -> Thermal | Absent:
    """`dumpsys thermalservice`. The cached block is stale and never read."""
    status = re.search(r"^\s*Thermal Status:[ \t]*(\d{1,3})[ \t]*$", text, re.MULTILINE)
    readings, has_block = [], False
    for block, line in _blocks(text):
        if block != "Current temperatures from HAL":
            continue
        has_block = True
        found = re.fullmatch(r"Temperature\{mValue=(.*?), mType=(-?\d{1,3}), mName=(.*), mStatus=(\d{1,3})\}", line)
        if found and int(found[2]) in _KINDS and (celsius := _celsius(found[1])) is not None:
            readings.append(Reading(name=found[3], kind=_KINDS[int(found[2])], celsius=celsius, status=int(found[4])))
    if status is None and not has_block:
        return Absent(_complaint(text, "dumpsys thermalservice says neither a status nor current temperatures"))
    limits = re.search(r"TemperatureThreshold\{mType=3, .*?mHotThrottlingThresholds=\[([^\]\n]*)\]", text)
    return Thermal(
        status=int(status[1]) if status else None,
        is_mocked=bool(re.search(r"^\s*IsStatusOverride:[ \t]*true", text, re.MULTILINE)),
        readings=tuple(readings),
        skin_limits_celsius=tuple(
            value for each in (limits[1].split(",") if limits else ()) if (value := _celsius(each)) is not None
        ),
    )


def parse_cpu_list(text: str) -> tuple[int, ...] | Absent:
    """The kernel's lists: `0-3,6` or `0 1 2 3`."""
    cpus: set[int] = set()
    for part in re.split(r"[,\s]+", text.strip()):
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if not found or int(found[2] or found[1]) >= _MAX_CPUS:
            return Absent(_complaint(text, "no list of cores"))
        cpus.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return tuple(sorted(cpus)) if cpus else Absent("no list of cores")


def parse_clusters(text: str) -> tuple[Cluster, ...] | Absent:
    """Clock domains, slowest first, from blocks of a line `policy` and lines `file=content` of that cpufreq folder."""
    clusters: list[Cluster] = []
    for block in re.split(r"^policy.*$", text, flags=re.MULTILINE)[1:]:
        fields = dict(re.findall(r"^([a-z_]+)=(.*)$", block, re.MULTILINE))
        cpus, max_khz = parse_cpu_list(fields.get("related_cpus", "")), _integer(fields.get("cpuinfo_max_freq"))
        if isinstance(cpus, Absent) or not max_khz or max_khz <= 0:
            continue
        governor = fields.get("scaling_governor", "")
        cluster = Cluster(
            cpus=cpus,
            max_khz=max_khz,
            limit_khz=_integer(fields.get("scaling_max_freq")),
            current_khz=_integer(fields.get("scaling_cur_freq")),
            governor=governor if re.fullmatch(r"[A-Za-z0-9_-]{1,32}", governor) else None,
        )
        if not any(set(cpus) & set(other.cpus) for other in clusters):
            clusters.append(cluster)
    if not clusters:
        return Absent(_complaint(text, "no readable cpufreq folder"))
    return tuple(sorted(clusters, key=lambda cluster: (cluster.max_khz, cluster.cpus)))


def parse_meminfo(text: str) -> dict[str, int]:
    """Bytes by name, of `/proc/meminfo`."""
    return {name: int(kb) * 1024 for name, kb in re.findall(r"^(\w+):\s+(\d{1,15}) kB$", text, re.MULTILINE)}


def parse_df(text: str) -> int | Absent:
    """Free bytes, of `df -k FOLDER` (toybox) or of toolbox's `df` before Android 6: `/data 12.3G 4.5G 7.8G 4096`."""
    rows = [line.split() for line in text.splitlines()]
    for words in reversed(rows):
        at = next((i for i, word in enumerate(words) if re.fullmatch(r"\d{1,3}%", word)), None)
        if at and re.fullmatch(r"\d{1,15}", words[at - 1]):
            return int(words[at - 1]) * 1024
        if (
            len(words) == 5
            and words[4].isdecimal()
            and (size := re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([KMGT])", words[3]))
        ):
            return int(float(size[1]) * 1024 ** (1 + "KMGT".index(size[2])))
    return Absent(_complaint(text, "df says no free space"))


def parse_wakefulness(text: str) -> bool | Absent:
    """True when the screen is on, of `dumpsys power`."""
    found = re.search(r"^\s*mWakefulness=(\w+)", text, re.MULTILINE)
    return found[1] == "Awake" if found else Absent(_complaint(text, "dumpsys power says no mWakefulness"))


def parse_setting(text: str) -> str | Absent:
    """A value of `settings get`: a short number. Anything else is not ours to understand."""
    value = text.strip()
    if value == "null" or not value:
        return Absent("not set")
    return value if re.fullmatch(r"-?\d{1,6}", value) else Absent(_complaint(text, "no number"))


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """`(name of the block, line in it)`; a block starts at a line that ends with a colon."""
    block = ""
    for line in text.splitlines():
        if line.rstrip().endswith(":") and "{" not in line:
            block = line.strip()[:-1]
            yield block, ""
        elif line[:1].isspace():
            yield block, line.strip()
        elif line:
            block = ""


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,15}", text.strip()) else None


def _celsius(text: str) -> float | None:
    """A temperature that a phone can have; None for NaN, for 0.0 (an absent sensor) and for other units."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value != 0.0 and -40.0 <= value <= 150.0 else None


def _complaint(text: str, otherwise: str) -> str:
    """The reason in the phone's words when it printed one short line, else ours."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return f"{otherwise}: {lines[0][:160]}" if len(lines) == 1 else otherwise
