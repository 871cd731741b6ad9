"""`blazeport models`: the networks and what each head costs."""

from __future__ import annotations

from typing import Any

import click

from .console import print_json, print_table


@click.group()
def models() -> None:
    """List the networks and what each head costs.

    \b
    Example:
      blazeport models list
      blazeport models show pose_landmark_lite
    """


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the variants with their inputs, parameters and multiply-accumulates.

    \b
    Example:
      blazeport models list
    """
    from ..models.config import VARIANTS

    records = [_describe(variant) for variant in VARIANTS]
    if as_json:
        print_json(records)
        return
    print_table(
        ("variant", "network", "input", "params", "MACs", "ops", "heads"),
        (
            (
                record["variant"],
                record["title"],
                _shape(record["input"]["shape"]),
                f"{record['params']:,}",
                _millions(record["macs"]),
                record["ops"],
                " ".join(output["name"] for output in record["outputs"]),
            )
            for record in records
        ),
        right=("params", "MACs", "ops"),
    )


@models.command()
@click.argument("variant")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(variant: str, as_json: bool) -> None:
    """Show the input, outputs and cost of VARIANT, and what removing each head saves.

    \b
    Example:
      blazeport models show pose_landmark_lite
    """
    record = _describe(variant)
    if as_json:
        print_json(record)
        return
    low, high = record["input"]["range"]
    click.echo(f"{record['variant']}: {record['title']}")
    click.echo(f"input    image {_shape(record['input']['shape'])} float32 RGB in [{low:g}, {high:g}]")
    click.echo(f"cost     {record['params']:,} params, {_millions(record['macs'])} MACs, {record['ops']} ops")
    click.echo("presets  " + ", ".join(f"{name} = {'+'.join(heads)}" for name, heads in record["presets"].items()))
    print_table(
        ("head", "shape", "values", "saves params", "saves MACs", "saves ops"),
        (
            (
                output["name"],
                _shape(output["shape"]),
                output["meaning"],
                f"{output['saves']['params']:,}",
                f"{_millions(output['saves']['macs'])} ({output['saves']['macs'] / record['macs']:.1%})",
                output["saves"]["ops"],
            )
            for output in record["outputs"]
        ),
        right=("saves params", "saves MACs", "saves ops"),
    )


def _describe(variant: str) -> dict[str, Any]:
    """What a variant is and costs, measured from its official file."""
    from ..models.config import get_config
    from ..models.cost import cost_of, savings_by_head
    from ..weights.fetch import official_file
    from ..weights.reader import read_tflite

    config = get_config(variant)
    graph = read_tflite(official_file(variant))
    cost, savings = cost_of(graph), savings_by_head(graph, config)
    return {
        "variant": variant,
        "title": config.title,
        "input": {"name": "image", "shape": config.input_shape, "range": config.input_range},
        "params": cost.params,
        "macs": cost.macs,
        "ops": cost.ops,
        "presets": config.presets,
        "outputs": [
            {
                "name": head.name,
                "shape": head.shape,
                "meaning": head.meaning,
                "saves": {
                    "params": savings[head.name].params,
                    "macs": savings[head.name].macs,
                    "ops": savings[head.name].ops,
                },
            }
            for head in config.heads
        ],
    }


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"
