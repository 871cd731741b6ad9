"""The documentation of the command line: docs/cli.md is what the commands say, and their examples work."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from blazeport.cli import reference
from blazeport.cli.main import main

ROOT = Path(__file__).parents[2]


def examples(help_text: str) -> list[str]:
    return re.findall(r"^ +(blazeport .+)$", help_text, re.MULTILINE)


def make_the_files_of(words: list[str]) -> None:
    for word in words:
        path = Path(word)
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        elif "/" in word:
            path.mkdir(parents=True, exist_ok=True)


def test_cli_reference_is_up_to_date():
    """In a process of its own: click remembers the help option of a command that a test has called by itself."""
    made = subprocess.run([sys.executable, "-m", reference.__name__], capture_output=True, text=True, check=True)
    assert (ROOT / "docs" / "cli.md").read_text() == made.stdout


def test_every_command_has_examples_that_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for shown in reference.contexts():
        commands = examples(shown.command.get_help(shown))
        assert commands, f"`{shown.command_path} --help` shows no example"
        for example in commands:
            words = shlex.split(example)[1:]
            make_the_files_of(words)
            context = click.Context(main, info_name="blazeport")
            while isinstance(context.command, click.Group):
                name, command, words = context.command.resolve_command(context, words)
                assert command is not None
                context = click.Context(command, parent=context, info_name=name)
            context.command.make_context(context.info_name, words, parent=context.parent)
            assert context.command_path.startswith(shown.command_path), (
                f"{example!r} is no example of {shown.command_path}"
            )
