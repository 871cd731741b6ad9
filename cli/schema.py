"""The texts of docs/schema/. Regenerate one: `python -m blazeport.cli.schema manifest > docs/schema/manifest.json`.

Needs pydantic, which is a tool of development: reading and writing records does without it.
"""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic import TypeAdapter

from ..benchmarks.records import BenchmarkRecord
from ..convert.manifest import Manifest

RECORDS: dict[str, Any] = {"manifest": Manifest, "benchmark": BenchmarkRecord}


def manifest_schema() -> str:
    """The JSON Schema of a manifest, as JSON."""
    return record_schema("manifest")


def record_schema(name: str) -> str:
    """The JSON Schema of one of `RECORDS`, as JSON."""
    schema = TypeAdapter(RECORDS[name]).json_schema(mode="serialization")
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | schema, indent=2, ensure_ascii=False) + "\n"


@click.command()
@click.argument("name", type=click.Choice(list(RECORDS)), default="manifest")
def main(name: str) -> None:
    """Print the JSON Schema of a record."""
    click.echo(record_schema(name), nl=False)


if __name__ == "__main__":
    main()
