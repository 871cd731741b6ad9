"""The text of docs/schema/manifest.json. Regenerate: `python -m blazeport.cli.schema > docs/schema/manifest.json`.

Needs pydantic, which is a tool of development: reading and writing manifests does without it.
"""

from __future__ import annotations

import json

import click
from pydantic import TypeAdapter

from ..convert.manifest import Manifest


def manifest_schema() -> str:
    """The JSON Schema of a manifest, as JSON."""
    schema = TypeAdapter(Manifest).json_schema(mode="serialization")
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    click.echo(manifest_schema(), nl=False)
