"""The machine blazeport runs on: what it is, and how busy it is. No name of a person or a network is read."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import missing_package
from .records import MachineRecord

_FLAGS = (  # what decides between kernels
    *("sse4_2", "avx", "avx2", "f16c", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("avx_vnni", "amx_int8", "amx_tile", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_CPUINFO = Path("/proc/cpuinfo")
_IDENTITY = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@dataclass(frozen=True, kw_only=True)
class Load:
    """How busy the machine is, at one moment.

    Attributes:
        total_s: CPU time of all cores since it was started, idle time included.
        steal_s: the part of it that a virtual machine's host gave to others.
        load_average: processes that wanted a CPU, over the last minute.
    """

    total_s: float
    steal_s: float
    load_average: float | None

    def steal_share_since(self, earlier: Load) -> float | None:
        """Part of the CPU time since then that went to others, in [0, 1]; None when no time went by."""
        elapsed = self.total_s - earlier.total_s
        return max(self.steal_s - earlier.steal_s, 0.0) / elapsed if elapsed > 0 else None


def read_load() -> Load:
    """How busy this machine is now."""
    psutil = _psutil()
    times = psutil.cpu_times()
    # Linux counts a guest's time in `user` already.
    total = sum(time for name, time in times._asdict().items() if not name.startswith("guest"))
    average = psutil.getloadavg()[0] if hasattr(psutil, "getloadavg") else None
    return Load(total_s=total, steal_s=getattr(times, "steal", 0.0), load_average=average)


def host_machine() -> MachineRecord:
    """This machine, for records."""
    psutil = _psutil()
    cpu = _cpuinfo()
    model = cpu.get("model name") or cpu.get("Hardware") or platform.processor() or platform.machine()
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    facts: dict[str, Any] = {
        "cpu": model,
        "architecture": platform.machine(),
        "cpu_flags": [flag for flag in _FLAGS if flag in flags],
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "usable_threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count(),
        "max_mhz": round(frequency.max or frequency.current) if frequency else None,
        "governor": _read(_GOVERNOR) or "not readable",
        "virtual": "hypervisor" in flags,
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "blazeport": __version__,
    }
    return MachineRecord(kind="host", id=_identity(model), name=f"{model} ({facts['threads']} CPUs)", facts=facts)


def _psutil() -> Any:
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError as error:
        raise missing_package("Benchmarks", "psutil", "bench") from error
    return psutil


def _cpuinfo() -> dict[str, str]:
    """The first processor in /proc/cpuinfo; empty where there is none."""
    first = _read(_CPUINFO).split("\n\n")[0]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


def _identity(cpu: str) -> str:
    """A hash that tells one machine from another and nothing else."""
    own = next(filter(None, map(_read, _IDENTITY)), platform.node())
    return hashlib.sha256("\0".join(("blazeport host", own, cpu)).encode()).hexdigest()[:16]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
