"""The `blazeport` command: a lazy group, and the one place where errors become messages."""

from __future__ import annotations

import importlib
import logging
import sys

import click

from ..errors import BlazeportError

# Name → (module of this folder, attribute, one line for --help). The line is here so that --help imports no command.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "android": ("android", "android", "Benchmark and check files on Android phones, over adb."),
    "bench": ("bench", "bench", "Measure latency."),
    "calibrate": ("calibrate", "calibrate", "Audit photos before a network is calibrated on them."),
    "convert": ("convert", "convert", "Convert a network to a proven TFLite, ONNX or Keras file."),
    "doctor": ("doctor", "doctor", "Find what will break in a TFLite file."),
    "evaluate": ("evaluate", "evaluate", "Measure how good files are at their task."),
    "export": ("export", "export", "Write the TFLite files of many variants, with manifests."),
    "models": ("models", "models", "List the networks and what each head costs."),
    "parity": ("parity", "parity", "Compare two models of one network, output by output."),
    "quantize": ("quantize", "quantize", "Quantize a variant or a Keras model to a TFLite file."),
    "run": ("run", "run", "Find faces or poses in photos, videos and camera pictures."),
    "runtimes": ("runtimes", "runtimes", "List the runtimes, and why one cannot be used."),
    "sensitivity": ("sensitivity", "sensitivity", "Rank the layers by what they lose in int8."),
    "weights": ("weights", "weights", "Fetch and verify the official weights."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"..{module}", __name__), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> object:
        """Runs a command; a `BlazeportError` becomes a one-line message and exit code 1."""
        try:
            return super().invoke(ctx)
        except BlazeportError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="blazeport")
def main() -> None:
    """BlazeFace and BlazePose: from official weights to small, fast, proven TFLite files.

    \b
    Example:
      blazeport run pose photo.jpg -o pose.png
      blazeport convert pose_landmark_lite --heads landmarks --precision fp16 -o lite.tflite
    """
    from .. import progress
    from .console import RichReporter

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    progress.use(RichReporter())
