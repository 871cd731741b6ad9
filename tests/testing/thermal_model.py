"""How warm a phone gets: one mass that work heats and time cools. It has no clock of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ThermalDesign:
    """What a phone is like as a radiator.

    Attributes:
        full_load_rise_celsius: How far endless full load would heat it.
        tau_s: Time in which it comes 63 % closer to where it is heading.
        throttling_rises_celsius: Rises at which the status becomes 1 (light), 2 (moderate), 3 (severe), …
    """

    full_load_rise_celsius: float = 20.0
    tau_s: float = 300.0
    throttling_rises_celsius: tuple[float, ...] = (10.0, 13.0, 16.0)


class ThermalModel:
    """The rise of one phone's temperature above what it is when idle, over the phone's own time."""

    def __init__(self, design: ThermalDesign) -> None:
        self.design = design
        self.rise_celsius = 0.0

    def work(self, seconds: float) -> None:
        """The phone computes on all of what it has for so long."""
        self._approach(self.design.full_load_rise_celsius, seconds)

    def rest(self, seconds: float) -> None:
        """Nothing happens for so long."""
        self._approach(0.0, seconds)

    @property
    def status(self) -> int:
        """Android's throttling status: 0 none, 1 light, 2 moderate, 3 severe, …"""
        return sum(self.rise_celsius >= rise for rise in self.design.throttling_rises_celsius)

    def _approach(self, target_celsius: float, seconds: float) -> None:
        kept = math.exp(-max(seconds, 0.0) / self.design.tau_s)
        self.rise_celsius = target_celsius + (self.rise_celsius - target_celsius) * kept
