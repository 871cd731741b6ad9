"""Runs one test device by hand, until Ctrl-C: `make test-device`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from .device import TestDevice
from .faults import KINDS, PLACES
from .profiles import PROFILES
from .system_image import UnavailableError

HELP = f"""Lines you type here:
  KIND [PLACE]    a fault: {" ".join(KINDS)}; at: {" ".join(PLACES)}
  heal            ends every fault
  work SECONDS    heats the phone by so much full load
Ctrl-C ends it."""


def main() -> int:
    """Runs the device that the command line describes; exit code 1 when this machine cannot."""
    parser = argparse.ArgumentParser(description="A phone for tests, which the real adb talks to.")
    parser.add_argument("--profile", choices=PROFILES, default="pixel")
    parser.add_argument("--arch", choices=("native", "arm64"), default="native")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # A background job of a shell inherits SIGINT ignored.
        signal.signal(number, signal.default_int_handler)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="blazeport-device-") as folder,
            contextlib.suppress(KeyboardInterrupt),
            TestDevice(Path(folder) / "root", PROFILES[options.profile], arch=options.arch) as device,
        ):
            print(f"The test device {options.profile} ({options.arch}) is running. Its storage: {device.path('/')}")
            print(f"\n  adb connect {device.serial}\n  adb -s {device.serial} shell\n\n{HELP}", flush=True)
            for line in sys.stdin:
                obey(device, line.split())
            signal.pause()
    except UnavailableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def obey(device: TestDevice, words: list[str]) -> None:
    """Does what one typed line says."""
    try:
        if words[:1] == ["heal"]:
            device.heal()
        elif words[:1] == ["work"]:
            device.work(float(words[1]))
        elif words:
            device.fault(words[0], at=words[1] if len(words) > 1 else None)
    except (ValueError, IndexError) as error:
        print(f"error: {error}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
