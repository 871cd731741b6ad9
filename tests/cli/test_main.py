"""The command's frame: instant help, one-line errors, exit codes."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from blazeport import __version__
from blazeport.cli.main import COMMANDS, LazyGroup, main
from blazeport.errors import WeightsError
from click.testing import CliRunner, Result


@click.group(cls=LazyGroup)
def group() -> None:
    """A lazy group of the commands below instead of blazeport's own."""


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch):
    def run(callback) -> Result:
        monkeypatch.setattr(LazyGroup, "get_command", lambda self, ctx, name: click.Command(name, callback=callback))
        return CliRunner().invoke(group, ["some-command"])

    return run


def test_help_imports_no_heavy_library():
    heavy = {"tensorflow", "keras", "tf_keras", "onnx", "onnxruntime", "ai_edge_litert", "cv2", "numpy", "rich"}
    code = (
        "import sys\n"
        "from blazeport.cli.main import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print('loaded:', *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    help_text, loaded = done.stdout.split("loaded:")
    assert "Usage:" in help_text
    assert not heavy & set(loaded.split())


def test_help_lists_every_command_on_one_line():
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()
    for name, (_, _, summary) in COMMANDS.items():
        assert any(line.split() == [name, *summary.split()] for line in lines)


def test_version_is_the_package_version():
    assert CliRunner().invoke(main, ["--version"]).output.split()[-1] == __version__


def test_a_blazeport_error_is_one_line_and_exit_code_1(invoke):
    def fail() -> None:
        raise WeightsError("No such file. Fetch it.")

    result = invoke(fail)
    assert result.output == "Error: No such file. Fetch it.\n"
    assert result.exit_code == 1


def test_an_error_that_is_our_fault_keeps_its_traceback(invoke):
    def fail() -> None:
        raise ZeroDivisionError

    assert isinstance(invoke(fail).exception, ZeroDivisionError)


def test_an_interrupted_command_exits_with_1(invoke):
    def interrupt() -> None:
        raise KeyboardInterrupt

    result = invoke(interrupt)
    assert "Aborted" in result.output
    assert result.exit_code == 1


@pytest.mark.parametrize("arguments", [["no-such-command"], ["--no-such-option"]], ids=["command", "option"])
def test_wrong_usage_exits_with_2(arguments):
    result = CliRunner().invoke(main, arguments)
    assert arguments[0] in result.output
    assert result.exit_code == 2
