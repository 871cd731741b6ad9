"""The errors blazeport raises for things a user can cause; `cli` prints them as one line and exits with 1."""

from __future__ import annotations

from collections.abc import Iterable


class BlazeportError(Exception):
    """Base of every error a user can cause. The message says what was required, what came and what to do."""


class ConfigError(BlazeportError):
    """An unknown variant, head, precision or option."""


class ShapeError(BlazeportError):
    """An array whose shape or dtype does not fit."""


class WeightsError(BlazeportError):
    """A weights file that cannot be had, is not the expected one, or cannot be read."""


class InputError(BlazeportError):
    """A photo, video or model file of the user's that cannot be read."""


class OutputError(BlazeportError):
    """A file that cannot be written: read-only folder, full disk."""


class ConversionError(BlazeportError):
    """A model that cannot be converted."""


class CalibrationError(BlazeportError):
    """Too few or unusable calibration samples."""


class ParityError(BlazeportError):
    """An exported file that is further from its reference than its budget allows.

    Attributes:
        output: name of the output that failed.
        figure: the measured error, in the unit of `metric`.
        budget: the error that was allowed.
        metric: what was measured, e.g. `max_abs`.
    """

    def __init__(self, message: str, *, output: str, figure: float, budget: float, metric: str) -> None:
        super().__init__(message)
        self.output = output
        self.figure = figure
        self.budget = budget
        self.metric = metric


class DeviceError(BlazeportError):
    """A phone that is missing or cannot do what was asked."""


class NotFit(DeviceError):
    """A phone whose state would spoil a measurement: hot, throttling, low battery, mocked, in use."""


class CorruptTransfer(DeviceError):
    """Bytes that arrived on the phone, or from it, other than they were sent, twice."""


class AdbError(DeviceError):
    """An adb call that failed.

    Attributes:
        command: the adb process's words.
        returncode: its exit code or that of the command on the phone; None when it had to be killed.
        stdout, stderr: what it printed.
        serial: the phone's serial; None for calls to the adb server.
    """

    def __init__(
        self,
        message: str,
        *,
        command: tuple[str, ...],
        returncode: int | None = None,
        stdout: str = "",
        stderr: str = "",
        serial: str | None = None,
    ) -> None:
        super().__init__(message)
        self.command = command
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        self.serial = serial


class DeviceOffline(AdbError):
    """The phone is not attached or does not answer."""


class DeviceUnauthorized(AdbError):
    """The phone does not let this computer in."""


class NoSpace(AdbError):
    """The phone's storage is full."""


class ConnectionLost(AdbError):
    """The connection ended before the phone reported a result."""


class AdbTimeout(AdbError):
    """adb did not come back in time and was killed."""


class CommandFailed(AdbError):
    """A command that ran on the phone and returned another exit code than 0."""


def unknown(kind: str, received: object, allowed: Iterable[str]) -> ConfigError:
    """A `ConfigError` for a name that is not in a closed set.

    Args:
        kind: what the name stands for, e.g. `variant`.
        received: the name that came.
        allowed: the names that exist.
    """
    return ConfigError(f"Unknown {kind}. Expected one of: {', '.join(allowed)}. Received: {received!r}.")


def missing_package(what: str, package: str, extra: str) -> ConfigError:
    """A `ConfigError` for work that needs a package of an extra.

    Args:
        what: the work, in the plural: `Intervals`.
        package: its name.
        extra: of setup.cfg.
    """
    return ConfigError(f"{what} need {package}. Install it with: pip install 'blazeport[{extra}]'.")
