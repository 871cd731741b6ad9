"""`blazeport bench table`."""

from __future__ import annotations

from pathlib import Path

import click

from .bench_compare import read_results


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--update", type=click.Path(path_type=Path), help="Markdown file to put the table into, between its marks."
)
@click.option("--brief", is_flag=True, help="One row per network, its heads and threads.")
def table(results: tuple[Path, ...], update: Path | None, brief: bool) -> None:
    """Make a Markdown table of RESULTS, with the machine and the versions.

    Official files among the records are what the others are compared with.

    \b
    Example:
      blazeport bench table results --brief --update README.md
    """
    from ..benchmarks import table as tables
    from ..weights.sources import OFFICIAL

    officials = {sha256: variant for variant, remote in OFFICIAL.items() for sha256 in remote.sha256s}
    records = [record for path in results for record in read_results(path)]
    text = tables.results_table(records, officials, is_brief=brief)
    if update is None:
        click.echo(text)
    else:
        click.echo(f"{update}: {'changed' if tables.update(update, text) else 'as it was'}", err=True)
