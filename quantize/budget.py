"""Budgets: how much a quantized file may lose at its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ConfigError, ParityError, unknown
from ..models.config import VariantConfig
from .task_figures import task_figures


@dataclass(frozen=True, kw_only=True)
class TaskBudget:
    """Limits on the figures of `task_figures`.

    Attributes:
        limits: figure → the most that is allowed, or the least where more is better.
        config: the network.
    """

    limits: dict[str, float]
    config: VariantConfig

    def over(self, figures: Mapping[str, float]) -> tuple[str, ...]:
        """Names of the figures that break their limit, in the order of the budget; one that is NaN does."""
        known = task_figures(self.config)
        broken = []
        for name, limit in self.limits.items():
            keeps = figures[name] <= limit if known[name].smaller_is_better else figures[name] >= limit
            if not keeps:
                broken.append(name)
        return tuple(broken)

    def check(self, figures: Mapping[str, float], what: str, samples: int) -> None:
        """Raises `ParityError` for the first figure that breaks its limit.

        Args:
            figures: what was measured.
            what: of which file, to begin the message.
            samples: on how many calibration samples.
        """
        for name in self.over(figures):
            raise ParityError(
                f"{what} is over its budget on {samples} calibration samples: {self.text(figures)}. "
                f"Over: {', '.join(self.over(figures))}. It was not written.",
                output=name,
                figure=figures[name],
                budget=self.limits[name],
                metric=name,
            )

    def text(self, figures: Mapping[str, float]) -> str:
        """Each figure beside its limit: `px 1.71 (at most 1.5), presence 1 (at least 0.99)`."""
        known = task_figures(self.config)
        return ", ".join(
            f"{name} {figures[name]:.3g} (at {'most' if known[name].smaller_is_better else 'least'} {limit:g})"
            for name, limit in self.limits.items()
        )


def parse_budget(text: str, config: VariantConfig) -> TaskBudget:
    """Reads a budget.

    Args:
        text: `px=1.5,presence=0.99` for landmark networks, `missed=0,extra=2,keypoints=2.5` for face detectors.
        config: the network.
    Raises:
        ConfigError: a name this network has no figure for, or a value that is no number or makes no sense.
    """
    known = task_figures(config)
    limits: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        name = name.strip()
        if name not in known:
            raise unknown(f"figure of a budget for {config.name}", name, known)
        if name in limits:
            raise ConfigError(f"Each figure of a budget is given once. Received twice: {name}.")
        low, high = known[name].limits
        try:
            limits[name] = float(value)
        except ValueError:
            limits[name] = float("nan")
        if not low <= limits[name] <= high:
            wanted = f"a number of at least {low:g}" if high == float("inf") else f"a number in [{low:g}, {high:g}]"
            raise ConfigError(f"{name} ({known[name].sentence}) needs {wanted}. Received: {part!r}.")
    if not limits:
        raise ConfigError(f"A budget names at least one of {', '.join(known)}, e.g. {next(iter(known))}=1.5.")
    return TaskBudget(limits=limits, config=config)
