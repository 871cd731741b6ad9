"""`blazeport evaluate`: how good files are at their task, and how steady results are."""

from __future__ import annotations

import click

from .evaluate_quantized import quantized
from .evaluate_tracking import jitter, tracking


@click.group()
def evaluate() -> None:
    """Measure how good files are at their task, and how steady results are.

    \b
    Example:
      blazeport evaluate quantized lite.int8.tflite --against lite.fp32.tflite --images photos/
      blazeport evaluate tracking pose.jsonl
    """


evaluate.add_command(quantized)
evaluate.add_command(jitter)
evaluate.add_command(tracking)
