"""`blazeport runtimes`: what files can be run with here."""

from __future__ import annotations

import dataclasses

import click

from .console import print_json, print_table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runtimes(as_json: bool) -> None:
    """List the runtimes, and why one cannot be used.

    Each loads and runs a small file in a process of its own. A runtime may be in another Python than blazeport: name
    it with BLAZEPORT_LITERT_PYTHON, BLAZEPORT_TFLITE_RUNTIME_PYTHON, BLAZEPORT_TF_LITE_PYTHON or
    BLAZEPORT_ONNXRUNTIME_PYTHON. That environment needs nothing but the runtime.

    \b
    Example:
      blazeport runtimes
      blazeport runtimes --json
    """
    from .. import progress
    from ..runtime.runtimes import probe_all

    with progress.step("Trying the runtimes"):
        found = probe_all()
    if as_json:
        print_json([dataclasses.asdict(status) for status in found])
        return
    print_table(
        ("runtime", "files", "usable", "version", "process", "python"),
        (
            (
                status.runtime,
                status.files,
                "yes" if status.usable else "no",
                status.version or "–",
                "its own" if status.own_process else "the same",
                status.python,
            )
            for status in found
        ),
    )
    for status in found:
        if status.problem:
            click.echo(f"{status.runtime}: {status.problem}")
