"""The phones that a test device can be, as frozen data. The texts are real phones' own, from public reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from .thermal_model import ThermalDesign

FEATURES = ("shell_v2", "stat_v2", "ls_v2", "fixed_push_mkdir", "cmd", "apex", "sendrecv_v2")

PIXEL_THERMAL = """IsStatusOverride: false
ThermalEventListeners:
	callbacks: 2
	killed: false
	broadcasts count: -1
Thermal Status: 0
Cached temperatures:
	Temperature{mValue=29.9, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
	Temperature{mValue=0.0, mType=6, mName=vbat, mStatus=0}
HAL Ready: true
HAL connection:
	ThermalHAL 2.0 connected: yes
Current temperatures from HAL:
	Temperature{mValue=31.7, mType=0, mName=cpu0-gold-usr, mStatus=0}
	Temperature{mValue=31.4, mType=0, mName=cpu0-silver-usr, mStatus=0}
	Temperature{mValue=30.8, mType=1, mName=gpu0-usr, mStatus=0}
	Temperature{mValue=29.6, mType=2, mName=battery, mStatus=0}
	Temperature{mValue=30.4, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
	Temperature{mValue=4.132, mType=6, mName=vbat, mStatus=0}
	Temperature{mValue=95.0, mType=8, mName=soc, mStatus=0}
	Temperature{mValue=NaN, mType=4, mName=usbc-therm, mStatus=0}
Current cooling devices from HAL:
	CoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
	CoolingDevice{mValue=0, mType=3, mName=thermal-devfreq-0}
"""
SAMSUNG_THERMAL = """IsStatusOverride: false
Thermal Status: 0
Cached temperatures:
	Temperature{mValue=0.0, mType=2, mName=SUBBAT, mStatus=0}
	Temperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
HAL Ready: true
HAL connection:
	ThermalHAL 2.0 connected: yes
Current temperatures from HAL:
	Temperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
	Temperature{mValue=24.7, mType=3, mName=LRB, mStatus=0}
"""
NEWER_SAMSUNG_THERMAL = """IsStatusOverride: false
Thermal Status: 0
Cached temperatures:
	Temperature{mValue=27.1, mType=0, mName=AP, mStatus=0}
HAL Ready: true
HAL connection:
	ThermalHAL AIDL 1  connected: yes
Current temperatures from HAL:
	Temperature{mValue=27.3, mType=0, mName=AP, mStatus=0}
	Temperature{mValue=26.0, mType=2, mName=BAT, mStatus=0}
	Temperature{mValue=26.2, mType=3, mName=SKIN, mStatus=0}
Current cooling devices from HAL:
	CoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
Temperature static thresholds from HAL:
	TemperatureThreshold{mType=3, mName=SKIN, mHotThrottlingThresholds=[36.0, 38.0, 40.0, 42.0, 45.0, NaN, NaN], \
mColdThrottlingThresholds=[NaN, NaN, NaN, NaN, NaN, NaN, NaN]}
"""
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 3512000
  status: 2
  health: 2
  present: true
  level: 84
  scale: 100
  voltage: 4063
  temperature: 326
  technology: Li-ion
"""
NEWER_BATTERY = (
    BATTERY.replace("  Wireless powered: false\n", "  Wireless powered: false\n  Dock powered: false\n")
    + "  Charging state: 0\n  Charging policy: 0\n"
)
POWER = """POWER MANAGER (dumpsys power)

Power Manager State:
  mWakefulness=Awake
  mIsPowered=true
  mPlugType=2
  mStayOn=false
Display Power: state=ON
"""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One phone.

    Attributes:
        name: Its name in test ids.
        properties: What `getprop` lists.
        features: What its adbd says it can do.
        cpu_clusters: `(cores, maximum kHz)` from the slowest on; empty: nothing of cpufreq can be read.
        dumps: Service → what `dumpsys` prints; a service that is left out cannot be found.
        has_thermal_zones: Whether /sys/class/thermal exists (the shell may not read it).
        fixed_performance: Whether its Power HAL knows the fixed-performance mode.
        missing_tools: Programs it has not.
        asks_for_key: Whether adbd wants to know who connects.
        terminal: Whether `shell:` always runs in a terminal, which ends lines with CRLF (before Android 7).
        meminfo: Its /proc/meminfo.
        free_bytes: What `df /data` says is free.
        thermal: How it heats; the dumps above are its idle state.
    """

    name: str
    properties: Mapping[str, str]
    features: tuple[str, ...] = FEATURES
    cpu_clusters: tuple[tuple[int, int], ...] = ()
    dumps: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    has_thermal_zones: bool = True
    fixed_performance: bool = True
    missing_tools: tuple[str, ...] = ()
    asks_for_key: bool = True
    terminal: bool = False
    meminfo: str = "MemTotal:        7766184 kB\nMemFree:          412312 kB\nMemAvailable:    3921044 kB\n"
    free_bytes: int = 64_000_000_000
    thermal: ThermalDesign = field(default_factory=ThermalDesign)

    @property
    def num_cores(self) -> int:
        """Cores of all clusters; 4 where the clusters are not known."""
        return sum(cores for cores, _ in self.cpu_clusters) or 4

    @property
    def banner(self) -> bytes:
        """What adbd says of itself when a server connects."""
        named = "".join(
            f"ro.product.{key}={self.properties.get(f'ro.product.{key}', '')};" for key in ("name", "model", "device")
        )
        return f"device::{named}features={','.join(self.features)}".encode()


def _properties(**short: str) -> Mapping[str, str]:
    return MappingProxyType({name.replace("__", "."): value for name, value in short.items()})


PIXEL = Profile(
    name="pixel",
    properties=_properties(
        ro__product__manufacturer="Google",
        ro__product__name="oriole",
        ro__product__model="Pixel 6",
        ro__product__device="oriole",
        ro__product__cpu__abi="arm64-v8a",
        ro__product__cpu__abilist="arm64-v8a,armeabi-v7a,armeabi",
        ro__soc__manufacturer="Google",
        ro__soc__model="GS101",
        ro__board__platform="gs101",
        ro__hardware="oriole",
        ro__build__fingerprint="google/oriole/oriole:14/UQ1A.240205.002/11224170:user/release-keys",
        ro__build__version__release="14",
        ro__build__version__sdk="34",
        ro__build__version__security_patch="2024-02-05",
        sys__boot_completed="1",
    ),
    cpu_clusters=((4, 1803000), (2, 2253000), (2, 2802000)),
    dumps=MappingProxyType({"thermalservice": PIXEL_THERMAL, "battery": NEWER_BATTERY, "power": POWER}),
)
SAMSUNG = Profile(
    name="samsung",
    properties=_properties(
        ro__product__manufacturer="samsung",
        ro__product__name="a52xqnaxx",
        ro__product__model="SM-A526B",
        ro__product__device="a52xq",
        ro__product__cpu__abi="arm64-v8a",
        ro__product__cpu__abilist="arm64-v8a,armeabi-v7a,armeabi",
        ro__soc__manufacturer="QTI",
        ro__soc__model="SM7225",
        ro__board__platform="lito",
        ro__hardware="qcom",
        ro__build__fingerprint="samsung/a52xqnaxx/qssi:12/SP1A.210812.016/A526BXXU1CVD1:user/release-keys",
        ro__build__version__release="12",
        ro__build__version__sdk="31",
        ro__build__version__security_patch="2022-04-01",
        sys__boot_completed="1",
    ),
    cpu_clusters=((6, 1804800), (2, 2208000)),
    dumps=MappingProxyType({"thermalservice": SAMSUNG_THERMAL, "battery": BATTERY, "power": POWER}),
    fixed_performance=False,
)
NEWER_SAMSUNG = replace(
    SAMSUNG,
    name="newer_samsung",
    properties=MappingProxyType(
        {
            **SAMSUNG.properties,
            "ro.product.model": "SM-S911B",
            "ro.product.name": "dm1qxxx",
            "ro.product.device": "dm1q",
            "ro.soc.model": "SM8550",
            "ro.board.platform": "kalama",
            "ro.build.version.release": "14",
            "ro.build.version.sdk": "34",
            "ro.build.fingerprint": "samsung/dm1qxxx/dm1q:14/UP1A.231005.007/S911BXXU3BWK5:user/release-keys",
        }
    ),
    cpu_clusters=((3, 2016000), (4, 2803200), (1, 3360000)),
    dumps=MappingProxyType({"thermalservice": NEWER_SAMSUNG_THERMAL, "battery": NEWER_BATTERY, "power": POWER}),
)
OLD_PHONE = Profile(
    name="old_phone",
    properties=_properties(
        ro__product__manufacturer="LGE",
        ro__product__name="bullhead",
        ro__product__model="Nexus 5X",
        ro__product__device="bullhead",
        ro__product__cpu__abi="arm64-v8a",
        ro__product__cpu__abilist="arm64-v8a,armeabi-v7a,armeabi",
        ro__board__platform="msm8992",
        ro__hardware="bullhead",
        ro__build__fingerprint="google/bullhead/bullhead:6.0.1/MMB29V/2554798:user/release-keys",
        ro__build__version__release="6.0.1",
        ro__build__version__sdk="23",
        ro__build__version__security_patch="2016-03-01",
        sys__boot_completed="1",
    ),
    features=(),
    cpu_clusters=((4, 1440000), (2, 1824000)),
    dumps=MappingProxyType({"battery": BATTERY, "power": POWER}),
    fixed_performance=False,
    terminal=True,
)
SPARSE_PHONE = Profile(
    name="sparse_phone",
    properties=_properties(
        ro__product__manufacturer="",
        ro__product__model="Nameless, the 2nd",
        ro__product__cpu__abi="arm64-v8a",
        ro__build__version__release="",
        ro__build__version__sdk="29",
        sys__boot_completed="1",
    ),
    dumps=MappingProxyType(
        {
            "thermalservice": "IsStatusOverride: false\nThermal Status: 0\nCached temperatures:\nHAL Ready: false\n",
            "battery": "Current Battery Service state:\n  level: 84\n  scale: 100\n",
        }
    ),
    has_thermal_zones=False,
    fixed_performance=False,
    missing_tools=("taskset",),
    meminfo="",
)
EMULATOR = Profile(
    name="emulator",
    properties=_properties(
        ro__product__manufacturer="Google",
        ro__product__name="sdk_gphone64_x86_64",
        ro__product__model="sdk_gphone64_x86_64",
        ro__product__device="emu64x",
        ro__product__cpu__abi="x86_64",
        ro__product__cpu__abilist="x86_64,arm64-v8a",
        ro__board__platform="",
        ro__hardware="ranchu",
        ro__kernel__qemu="1",
        ro__boot__qemu="1",
        ro__build__characteristics="emulator",
        ro__build__fingerprint="google/sdk_gphone64_x86_64/emu64x:14/UE1A.230829.036/11228894:userdebug/dev-keys",
        ro__build__version__release="14",
        ro__build__version__sdk="34",
        sys__boot_completed="1",
    ),
    cpu_clusters=((4, 0),),
    dumps=MappingProxyType(
        {
            "thermalservice": "IsStatusOverride: false\nThermal Status: 0\nCached temperatures:\nHAL Ready: true\n",
            "battery": BATTERY.replace("temperature: 326", "temperature: 250").replace("level: 84", "level: 100"),
            "power": POWER,
        }
    ),
    has_thermal_zones=False,
    fixed_performance=False,
    asks_for_key=False,
)
PROFILES = MappingProxyType(
    {each.name: each for each in (PIXEL, SAMSUNG, NEWER_SAMSUNG, OLD_PHONE, SPARSE_PHONE, EMULATOR)}
)
