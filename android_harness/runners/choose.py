"""A runner by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import ConfigError, unknown
from ..runner_build import DEFAULT_FOLDER
from .apk import ApkRunner
from .base import RUNNERS, Runner
from .benchmark_model import BenchmarkModelRunner, LiteRtBenchmarkModelRunner
from .binary import runner_binary
from .native import NativeRunner


def runner_factory(name: str, binary: str | None = None, *, profile_ops: bool = False) -> Callable[[], Runner]:
    """What makes a runner for each phone.

    Args:
        name: of `RUNNERS`.
        binary: path or pinned address of the program; for `native` the folder with one folder per ABI.
        profile_ops: time every op, where the program can.
    Raises:
        ConfigError: an unknown runner, no program for it, or one that cannot profile.
        DeviceError: the program cannot be read or fetched.
    """
    if name not in RUNNERS:
        raise unknown("runner", name, RUNNERS)
    if profile_ops and name != "benchmark_model":
        raise ConfigError("--op-profile needs --runner benchmark_model.")
    if name == "native":
        folder = Path(binary) if binary else DEFAULT_FOLDER
        return lambda: NativeRunner(folder)
    path = runner_binary(binary, name)
    if name == "benchmark_model":
        return lambda: BenchmarkModelRunner(path, profile_ops=profile_ops)
    if name == "apk":
        return lambda: ApkRunner(path)
    return lambda: LiteRtBenchmarkModelRunner(path)
