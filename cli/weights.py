"""`blazeport weights`: fetch, list and verify the official files."""

from __future__ import annotations

from pathlib import Path

import click

from .console import print_json, print_table


@click.group()
def weights() -> None:
    """Fetch and verify the official weights.

    \b
    Example:
      blazeport weights fetch
      blazeport weights list
    """


@weights.command()
@click.argument("variants", nargs=-1, metavar="[VARIANT]...")
@click.option(
    "--from",
    "from_dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Take the files from this folder instead of downloading them.",
)
@click.option("--allow-unknown", is_flag=True, help="Accept a file of your own in that folder, whatever its sha256.")
def fetch(variants: tuple[str, ...], from_dir: Path | None, allow_unknown: bool) -> None:
    """Fetch official files into the cache.

    Prints where they lie. Without VARIANT: all of them. Only files whose sha256 is known are accepted. Tried in order:
    an installed mediapipe package, the mediapipe wheel, npm packages, Google's public bucket.

    \b
    Example:
      blazeport weights fetch
      blazeport weights fetch pose_detection pose_landmark_lite
      blazeport weights fetch pose_landmark_heavy --from ~/Downloads
    """
    from ..weights.fetch import official_files
    from ..weights.sources import OFFICIAL

    if allow_unknown and from_dir is None:
        raise click.UsageError("--allow-unknown accepts files of your own: name their folder with --from DIR.")
    for variant, path in official_files(variants or OFFICIAL, from_dir=from_dir, allow_unknown=allow_unknown).items():
        click.echo(f"{variant}  {path}")


@weights.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the official files.

    Size, whether they are in the cache, licence, and where they can be had.

    \b
    Example:
      blazeport weights list
      blazeport weights list --json
    """
    from ..weights.fetch import cached
    from ..weights.sources import OFFICIAL

    paths = {variant: cached(variant) for variant in OFFICIAL}
    if as_json:
        print_json(
            [
                {
                    "variant": variant,
                    "bytes": file.size_bytes,
                    "cached": str(paths[variant]) if paths[variant] else None,
                    "sha256s": file.sha256s,
                    "licence": file.licence,
                    "origin": file.origin,
                    "paper": f"arXiv:{file.paper}",
                    "sources": list(dict.fromkeys(str(source.place) for source in file.sources)),
                }
                for variant, file in OFFICIAL.items()
            ]
        )
        return
    rows = []
    for variant, file in OFFICIAL.items():
        places = dict.fromkeys(type(source.place).__name__.lower() for source in file.sources)
        rows.append((variant, file.size_bytes, "yes" if paths[variant] else "no", file.licence, ", ".join(places)))
    print_table(("variant", "bytes", "cached", "licence", "sources"), rows, right=("bytes",))


@weights.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(as_json: bool) -> None:
    """Hash every file in the cache again.

    Exits with 1 when one is damaged.

    \b
    Example:
      blazeport weights verify
    """
    from ..weights.fetch import cached_copies

    copies = cached_copies()
    if as_json:
        print_json(
            [
                {"name": c.name, "path": str(c.path), "sha256": c.sha256, "intact": c.is_intact, "own": c.is_own}
                for c in copies
            ]
        )
    elif copies:
        states = {True: "intact", False: "damaged"}
        rows = [(c.name, states[c.is_intact], "own" if c.is_own else "official", c.sha256[:12]) for c in copies]
        print_table(("file", "state", "kind", "sha256"), rows)
    else:
        click.echo("The cache is empty.", err=True)
    damaged = [copy for copy in copies if not copy.is_intact]
    if damaged:
        click.echo(f"{len(damaged)} damaged: remove and fetch again. {damaged[0].path}", err=True)
        raise SystemExit(1)
