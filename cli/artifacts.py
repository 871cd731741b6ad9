"""What `convert`, `quantize` and `export` share: options, and the table of what was written."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import print_table

if TYPE_CHECKING:
    from ..benchmarks.latency import Ratio
    from ..convert.manifest import Manifest

VARIANT_OPTION = click.option(
    "--variant", help="Network that a file SOURCE holds; the beginning of the file's name by default."
)
HEADS_OPTION = click.option(
    "--heads",
    default="all",
    show_default=True,
    help="Outputs to keep: all, no_heatmap, tracking, landmarks, or names joined with +.",
)
KEEP_FAILED_OPTION = click.option(
    "--keep-failed", is_flag=True, help="Keep a file that fails the parity gate as *.failed."
)
OUT_OPTION = click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="The file, or a folder for it.  [default: the current folder]",
)


class _Range(click.ParamType):
    """Two numbers, joined with a comma: what pixel 0 and pixel 255 become."""

    name = "LOW,HIGH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Reads the two numbers."""
        try:
            low, high = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"Expected two numbers, e.g. -1,1. Received: {value!r}.", param, ctx)
        if not (math.isfinite(high - low) and low < high):
            self.fail(f"Expected two rising numbers, e.g. -1,1. Received: {value!r}.", param, ctx)
        return low, high


INPUT_RANGE = _Range()


def media_option(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--name DIR`: a folder of photos and videos, searched with its subfolders."""
    return click.option(name, metavar="DIR", type=click.Path(path_type=Path), help=text)


def output_path(out: Path, name: str) -> Path:
    """Where to write: `out` when it has the ending of `name`, else `name` in the folder `out`."""
    return out if out.suffix == Path(name).suffix else out / name


def command_line() -> str:
    """This command line, for manifests; the program by its name only."""
    return shlex.join(["blazeport", *sys.argv[1:]])


def print_manifests(rows: Iterable[tuple[Manifest, Ratio | None]], *, with_latency: bool) -> None:
    """The table of artifacts: variant, heads, precision, bytes, ops, MACs, parity figure, latency ratio."""
    from ..models.config import VARIANTS, heads_label

    columns = ["variant", "heads", "precision", "bytes", "ops", "MACs", "int8 MACs", "parity (largest difference)"]
    right = ["bytes", "ops", "MACs", "int8 MACs", "time / official"]
    if with_latency:
        columns.append("time / official")
    cells = []
    for manifest, ratio in rows:
        row = [
            manifest.variant,
            heads_label(VARIANTS[manifest.variant], manifest.heads) if manifest.variant in VARIANTS else "all",
            manifest.precision,
            f"{manifest.size_bytes:,}",
            str(manifest.ops),
            f"{manifest.macs / 1e6:.1f} M",
            f"{manifest.int8_mac_share:.0%}",
            parity_figure(manifest),
        ]
        cells.append([*row, *([] if not with_latency else [f"{ratio.median:.2f}" if ratio else "–"])])
    print_table(columns, cells, right=right)


def parity_figure(manifest: Manifest) -> str:
    """`exact`, or the worst output with its largest difference and the share of its range."""
    if manifest.parity.exact:
        return "exact"
    worst = manifest.parity.worst
    return f"{worst.name} {worst.max_abs:.3g} ({worst.relative:.1%} of its range)"
