"""`blazeport android`: files on real phones, over adb."""

from __future__ import annotations

import click

from .android_devices import clean, devices


@click.group()
def android() -> None:
    """Benchmark and check files on Android phones, over adb.

    \b
    Example:
      blazeport android devices
    """


android.add_command(clean)
android.add_command(devices)
