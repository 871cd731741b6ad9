"""The text of docs/cli.md: the help of every command. Regenerate: `python -m blazeport.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from .main import main

INTRODUCTION = """\
# Command line

Generated from `blazeport … --help`; regenerate with `python -m blazeport.cli.reference > docs/cli.md`.
`--json` prints records on stdout; progress and notes go to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""


def contexts() -> Iterator[click.Context]:
    """A context for each command, groups before their members; its `command_path` is what a user types."""
    yield from _below(click.Context(main, info_name="blazeport", terminal_width=100, **main.context_settings))


def _below(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None, f"{context.command_path} lists {name} but does not have it"
            yield from _below(click.Context(command, parent=context, info_name=name, **command.context_settings))


def reference() -> str:
    """The whole of docs/cli.md."""
    sections = (f"## {context.command_path}\n\n```\n{context.get_help()}\n```\n" for context in contexts())
    return "\n".join([INTRODUCTION, *sections])


if __name__ == "__main__":
    click.echo(reference(), nl=False)
