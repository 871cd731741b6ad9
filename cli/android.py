"""`blazeport android`: files on real phones, over adb."""

from __future__ import annotations

import click

from .android_bench import bench, build_runner
from .android_checks import sustained, verify
from .android_devices import clean, devices


@click.group()
def android() -> None:
    """Benchmark and check files on Android phones, over adb.

    \b
    Example:
      blazeport android devices
    """


for command in (bench, build_runner, clean, devices, sustained, verify):
    android.add_command(command)
