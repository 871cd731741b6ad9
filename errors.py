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


def unknown(kind: str, received: object, allowed: Iterable[str]) -> ConfigError:
    """A `ConfigError` for a name that is not in a closed set.

    Args:
        kind: what the name stands for, e.g. `variant`.
        received: the name that came.
        allowed: the names that exist.
    """
    return ConfigError(f"Unknown {kind}. Expected one of: {', '.join(allowed)}. Received: {received!r}.")
