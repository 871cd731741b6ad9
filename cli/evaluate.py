"""`blazeport evaluate`: how good files are at their task."""

from __future__ import annotations

import click

from .evaluate_quantized import quantized


@click.group()
def evaluate() -> None:
    """Measure how good files are at their task.

    \b
    Example:
      blazeport evaluate quantized lite.int8.tflite --against lite.fp32.tflite --images photos/
    """


evaluate.add_command(quantized)
