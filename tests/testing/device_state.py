"""What a phone is, as files: the state that its scripts read, and its /sys."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .device_root import DeviceRoot, write_tree
from .profiles import Profile
from .thermal_model import ThermalModel

# Tells the harness that no number from here is a phone's.
SYNTHETIC = "ro.blazeport.synthetic"
SETTINGS = {
    "global/airplane_mode_on": "0",
    "global/low_power": "0",
    "global/stay_on_while_plugged_in": "0",
    "system/screen_off_timeout": "30000",
}
# How much of the phone's rise a sensor sees, by type (CPU, GPU, battery, skin, NPU, TPU); the others stay as they are.
SENSOR_SHARES = {0: 1.6, 1: 1.5, 2: 0.8, 3: 1.0, 9: 1.5, 10: 1.5}
HAL_READINGS = "Current temperatures from HAL:"
READING = re.compile(r"(?<=Temperature\{mValue=)([\d.]+), mType=(\d+), mName=([^,]+), mStatus=\d")
CPU = "sys/devices/system/cpu"


def lay_out(root: DeviceRoot, profile: Profile) -> None:
    """Writes the files of a phone that has just been unpacked; a phone that is there already stays as it is."""
    if (root.folder / "state/num_cores").exists():
        return
    properties = {**profile.properties, SYNTHETIC: "1"}
    state = {f"state/props/{name}": value for name, value in properties.items()}
    state |= {f"state/settings/{name}": value for name, value in SETTINGS.items()}
    state |= {f"state/dumpsys/{name}": text for name, text in profile.dumps.items()}
    state |= {
        "state/free_kilobytes": str(profile.free_bytes // 1024),
        "state/logcat": "",
        "state/busy": "",
        "state/affinity": "",
        "state/num_cores": str(profile.num_cores),
        "state/proc/meminfo": profile.meminfo,
    }
    if profile.fixed_performance:
        state["state/fixed_performance"] = "false"
    write_tree(root.folder, {**state, **_sys(profile)})
    for name in ("state/settings/secure", "state/running", "data/app"):
        (root.folder / name).mkdir(parents=True, exist_ok=True)
    for owned in (root.folder / "state", root.folder / "data/app"):
        for path in (owned, *owned.rglob("*")):
            root.own(path)


def _sys(profile: Profile) -> dict[str, str | None]:
    cores = f"0-{profile.num_cores - 1}\n"
    files: dict[str, str | None] = {f"{CPU}/possible": cores, f"{CPU}/present": cores}
    if profile.cpu_clusters:
        files[f"{CPU}/online"] = cores
    first = 0
    for number, (count, max_khz) in enumerate(profile.cpu_clusters):
        members = range(first, first + count)
        for core in members:
            files[f"{CPU}/cpu{core}/topology/core_id"] = f"{core}\n"
            files[f"{CPU}/cpu{core}/topology/physical_package_id"] = f"{number}\n"
        if max_khz:
            policy = f"{CPU}/cpufreq/policy{first}"
            files |= {
                f"{policy}/related_cpus": " ".join(map(str, members)) + "\n",
                f"{policy}/affected_cpus": " ".join(map(str, members)) + "\n",
                f"{policy}/cpuinfo_min_freq": "300000\n",
                f"{policy}/cpuinfo_max_freq": f"{max_khz}\n",
                f"{policy}/scaling_min_freq": "300000\n",
                f"{policy}/scaling_max_freq": f"{max_khz}\n",
                f"{policy}/scaling_cur_freq": f"{max_khz // 2}\n",
                f"{policy}/scaling_governor": "schedutil\n",
                f"{policy}/stats/time_in_state": f"300000 120000\n{max_khz} 4200\n",
            }
        first += count
    if profile.has_thermal_zones:
        files |= {"sys/class/thermal/thermal_zone0/type": None, "sys/class/thermal/thermal_zone0/temp": None}
    return files


def show_temperature(state: Path, profile: Profile, model: ThermalModel) -> None:
    """Brings what `dumpsys thermalservice` and `dumpsys battery` print up to date; the cached block stays stale."""
    override = state / "thermal_override"
    status = override.read_text() if override.exists() else str(model.status)
    text = profile.dumps.get("thermalservice")
    if text is not None:
        head, separator, readings = text.partition(HAL_READINGS)
        head = re.sub(r"Thermal Status: \d+", f"Thermal Status: {status}", head)
        if override.exists():
            head = head.replace("IsStatusOverride: false", "IsStatusOverride: true")
        _replace(state / "dumpsys/thermalservice", head + separator + READING.sub(_warmer(model), readings))
    battery = profile.dumps.get("battery")
    if battery is not None:
        tenths = round(10 * SENSOR_SHARES[2] * model.rise_celsius)
        text = re.sub(r"(?<=temperature: )\d+", lambda found: str(int(found[0]) + tenths), battery)
        _replace(state / "dumpsys/battery", text)


def _warmer(model: ThermalModel) -> Callable[[re.Match[str]], str]:
    def reading(found: re.Match[str]) -> str:
        kind = int(found[2])
        share = SENSOR_SHARES.get(kind)
        if share is None:
            return found[0]
        status = model.status if kind == 3 else 0
        return f"{float(found[1]) + share * model.rise_celsius:.1f}, mType={kind}, mName={found[3]}, mStatus={status}"

    return reading


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(path)
