"""What a phone is and how it is right now, read in one adb call. What a phone does not give is `Absent`, with why."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from .adb import Device
from .parsers import (
    Absent,
    Battery,
    Cluster,
    Reading,
    Thermal,
    parse_battery,
    parse_clusters,
    parse_cpu_list,
    parse_df,
    parse_getprop,
    parse_meminfo,
    parse_setting,
    parse_thermal,
    parse_wakefulness,
)

_CPU = "/sys/devices/system/cpu"
# Section → command. Its stderr is kept with it: that is the reason when a field is absent.
_SECTIONS = {
    "getprop": "getprop",
    "uname": "uname -a",
    "meminfo": "cat /proc/meminfo",
    "df": "df -k /data || df /data",
    "possible": f"cat {_CPU}/possible",
    "present": f"cat {_CPU}/present",
    "online": f"cat {_CPU}/online",
    # Kernels without policy folders keep the same files under each core.
    "cpufreq": f"cd {_CPU}; set -- cpufreq/policy*; [ -d $1 ] || set -- cpu[0-9]*/cpufreq; for p; do echo policy $p; "
    "for f in related_cpus cpuinfo_max_freq scaling_max_freq scaling_cur_freq scaling_governor; "
    'do echo "$f=$(cat $p/$f)"; done; done',
    "thermal": "dumpsys thermalservice",
    "battery": "dumpsys battery",
    "power": "dumpsys power | grep mWakefulness=",
    "low_power": "settings get global low_power",
    "stay_awake": "settings get global stay_on_while_plugged_in",
    "airplane_mode": "settings get global airplane_mode_on",
    "page_size": "getconf PAGESIZE",
    "android_id": "settings get secure android_id",
}
_THERMAL_SECTIONS = ("thermal", "battery")
_EMULATED_HARDWARE = {"goldfish", "ranchu", "cutf", "cutf_cvm", "vsoc_x86", "vsoc_x86_64", "vsoc_arm64"}


@dataclass(frozen=True, kw_only=True)
class ThermalSample:
    """How warm a phone is at one moment.

    Attributes:
        status: throttling, an index of `parsers.THROTTLING`; None when the phone does not say.
        is_mocked: the status or the battery's values were set by hand.
        readings: what the thermal HAL measures.
        battery_celsius: by `dumpsys battery`.
        absent: section → why it could not be read.
    """

    status: int | None
    is_mocked: bool
    readings: tuple[Reading, ...]
    battery_celsius: float | None
    absent: Mapping[str, str]

    @property
    def hottest_celsius(self) -> float | None:
        """The temperature that decides: the warmest skin sensor, else the battery, else the warmest core."""
        skin, cell, cpu = (
            max((each.celsius for each in self.readings if each.kind == kind), default=None)
            for kind in ("skin", "battery", "cpu")
        )
        return next((each for each in (skin, self.battery_celsius, cell, cpu) if each is not None), None)

    def to_record(self) -> dict[str, Any]:
        """The sample as JSON values."""
        return {"hottest_celsius": self.hottest_celsius, **_jsonable(self)}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A phone at one moment; each field is a value or `Absent`.

    Attributes:
        serial_hash: of the serial and the hardware's own numbers, so that records name no phone but tell two apart.
        is_synthetic: a test device that plays a phone; no number from it is a phone's.
        identity: hash that is the same however the phone is reached (USB, network, another adb server).
        cpus_possible, cpus_present, cpus_online: numbers of cores.
        clusters: cores by clock domain, slowest first.
        memory_bytes, available_bytes: RAM in all, and what programs can still have.
        free_bytes: of /data.
        page_bytes: of memory; 16 KB pages need libraries aligned for them.
        low_power, stay_awake, airplane_mode: Android's settings, as it writes them.
    """

    serial_hash: str
    identity: str
    is_emulator: bool
    is_synthetic: bool
    manufacturer: str | Absent
    model: str | Absent
    device: str | Absent
    abi: str | Absent
    abilist: str | Absent
    soc_manufacturer: str | Absent
    soc_model: str | Absent
    board_platform: str | Absent
    hardware: str | Absent
    fingerprint: str | Absent
    android_version: str | Absent
    sdk: str | Absent
    security_patch: str | Absent
    boot_completed: str | Absent
    kernel: str | Absent
    cpus_possible: tuple[int, ...] | Absent
    cpus_present: tuple[int, ...] | Absent
    cpus_online: tuple[int, ...] | Absent
    clusters: tuple[Cluster, ...] | Absent
    memory_bytes: int | Absent
    available_bytes: int | Absent
    free_bytes: int | Absent
    page_bytes: int | Absent
    thermal: Thermal | Absent
    battery: Battery | Absent
    is_screen_on: bool | Absent
    low_power: str | Absent
    stay_awake: str | Absent
    airplane_mode: str | Absent

    @property
    def warmth(self) -> ThermalSample:
        """The temperatures of this snapshot."""
        return _sample(self.thermal, self.battery)

    def mask(self, affinity: str) -> str | None:
        """The cores to run on, as toybox `taskset` wants them: hex without 0x.

        Args:
            affinity: `big` (the cores with the highest clock), `little` (the lowest; the same on a phone with equal
                cores), `all`, or a hex mask.
        Returns:
            None when the phone does not say which cores it has.
        Raises:
            ConfigError: none of these words and no mask of cores that this phone has.
        """
        online = next((each for each in (self.cpus_online, self.cpus_possible) if not isinstance(each, Absent)), None)
        if affinity in ("big", "little"):
            if isinstance(self.clusters, Absent):
                return None
            limit = self.clusters[-1 if affinity == "big" else 0].max_khz
            chosen = {cpu for cluster in self.clusters if cluster.max_khz == limit for cpu in cluster.cpus}
            chosen &= set(online) if online else chosen
        elif affinity == "all":
            chosen = set(online or ())
        else:
            if not re.fullmatch(r"(0x)?[0-9A-Fa-f]{1,64}", affinity) or not int(affinity, 16):
                raise ConfigError(
                    f"An affinity must be big, little, all or a hex mask of cores, e.g. f0. Received: {affinity!r}."
                )
            mask = int(affinity, 16)
            chosen = {cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1}
            if online and not chosen <= set(online):
                raise ConfigError(
                    f"An affinity mask must name cores that are online: {_ranges(online)}. Received: {affinity!r}."
                )
        return f"{sum(1 << cpu for cpu in chosen):x}" if chosen else None

    def to_record(self) -> dict[str, Any]:
        """The snapshot as JSON values; an absent field is `{"absent": reason}`. It holds no serial number."""
        return {field.name: _jsonable(getattr(self, field.name)) for field in dataclasses.fields(self)}


def probe(device: Device) -> Snapshot:
    """Reads a phone in one adb call. Raises adb's errors when the phone cannot be reached."""
    return parse_snapshot(_read(device, tuple(_SECTIONS)), device.serial)


def thermal(device: Device) -> ThermalSample:
    """Reads how warm a phone is in one adb call. Raises adb's errors when the phone cannot be reached."""
    sections = _read(device, _THERMAL_SECTIONS)
    return _sample(parse_thermal(sections["thermal"]), parse_battery(sections["battery"]))


def parse_snapshot(sections: Mapping[str, str], serial: str) -> Snapshot:
    """A snapshot from what each command of `probe` printed; any may be empty, cut or garbage."""
    text = {name: sections.get(name, "") for name in _SECTIONS}
    properties = parse_getprop(text["getprop"])
    memory = parse_meminfo(text["meminfo"])

    def prop(name: str) -> str | Absent:
        return properties.get(name) or Absent(f"{name} is empty or missing")

    def ram(name: str) -> int | Absent:
        return memory.get(name, Absent(f"/proc/meminfo has no {name}"))

    kernel, page = text["uname"].strip(), text["page_size"].strip()
    identity = _identity(properties, text["android_id"].strip(), serial)
    return Snapshot(
        serial_hash=_hash(serial, identity),
        identity=identity,
        is_emulator=serial.startswith("emulator-")
        or "1" in (properties.get("ro.kernel.qemu"), properties.get("ro.boot.qemu"))
        or properties.get("ro.hardware") in _EMULATED_HARDWARE,
        is_synthetic=properties.get("ro.blazeport.synthetic") == "1",
        manufacturer=prop("ro.product.manufacturer"),
        model=prop("ro.product.model"),
        device=prop("ro.product.device"),
        abi=prop("ro.product.cpu.abi"),
        abilist=prop("ro.product.cpu.abilist"),
        soc_manufacturer=prop("ro.soc.manufacturer"),
        soc_model=prop("ro.soc.model"),
        board_platform=prop("ro.board.platform"),
        hardware=prop("ro.hardware"),
        fingerprint=prop("ro.build.fingerprint"),
        android_version=prop("ro.build.version.release"),
        sdk=prop("ro.build.version.sdk"),
        security_patch=prop("ro.build.version.security_patch"),
        boot_completed=prop("sys.boot_completed"),
        kernel=kernel if kernel.startswith("Linux") else Absent(f"uname says: {kernel[:160] or 'nothing'}"),
        cpus_possible=parse_cpu_list(text["possible"]),
        cpus_present=parse_cpu_list(text["present"]),
        cpus_online=parse_cpu_list(text["online"]),
        clusters=parse_clusters(text["cpufreq"]),
        memory_bytes=ram("MemTotal"),
        available_bytes=ram("MemAvailable"),
        free_bytes=parse_df(text["df"]),
        page_bytes=int(page) if re.fullmatch(r"\d{4,6}", page) else Absent(f"getconf says: {page[:160] or 'nothing'}"),
        thermal=parse_thermal(text["thermal"]),
        battery=parse_battery(text["battery"]),
        is_screen_on=parse_wakefulness(text["power"]),
        low_power=parse_setting(text["low_power"]),
        stay_awake=parse_setting(text["stay_awake"]),
        airplane_mode=parse_setting(text["airplane_mode"]),
    )


def _read(device: Device, names: tuple[str, ...]) -> dict[str, str]:
    """Runs the commands of some sections in one script and cuts the output apart at lines that none can know."""
    mark = f"__SECTION:{secrets.token_hex(8)}"
    script = "\n".join(f"echo; echo {mark}:{name}; ( {_SECTIONS[name]} ) 2>&1" for name in names)
    text = device.script(f"{script}\ntrue", retry=True).stdout
    parts = re.split(rf"\n?{mark}:(\w+)\n", text)
    return {name: body.strip("\n") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _sample(service: Thermal | Absent, battery: Battery | Absent) -> ThermalSample:
    absent = {
        name: part.reason for name, part in (("thermal", service), ("battery", battery)) if isinstance(part, Absent)
    }
    known = None if isinstance(service, Absent) else service
    cell = None if isinstance(battery, Absent) else battery
    return ThermalSample(
        status=known.status if known else None,
        is_mocked=bool((known and known.is_mocked) or (cell and cell.is_mocked)),
        readings=known.readings if known else (),
        battery_celsius=cell.celsius if cell else None,
        absent=absent,
    )


def _identity(properties: Mapping[str, str], android_id: str, serial: str) -> str:
    own = [properties.get("ro.serialno", ""), properties.get("ro.boot.serialno", "")]
    own.append(android_id if re.fullmatch(r"[0-9a-f]{8,16}", android_id) else "")
    return _hash(*own) if any(own) else _hash("serial", serial)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(("blazeport", *parts)).encode(errors="replace")).hexdigest()[:16]


def _jsonable(value: Any) -> Any:
    if isinstance(value, Absent):
        return {"absent": value.reason}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: _jsonable(each) for name, each in value.items()}
    return [_jsonable(each) for each in value] if isinstance(value, tuple) else value


def _ranges(cpus: tuple[int, ...]) -> str:
    return ", ".join(map(str, cpus))
