"""JSON → frozen dataclasses, strictly: an unknown field, a missing one or a wrong type is an error."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from ..errors import InputError

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]


def read_json(
    path: Path, schema_version: int, what: str, upgrades: Mapping[int, Upgrade] | None = None
) -> dict[str, Any]:
    """The object in a JSON file, brought to this `schema_version`.

    Args:
        path: the file.
        schema_version: the one that is wanted.
        what: what the file should be, for messages: `a benchmark record`.
        upgrades: older version → what makes of its object one of the next version.
    Raises:
        InputError: it cannot be read, is cut off or no JSON object, or has a version that no upgrade leads from.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    try:
        record = json.loads(content)
    except ValueError as error:
        raise InputError(f"{path} should be {what} and is no JSON, perhaps only half of it ({error}).") from error
    if not isinstance(record, dict) or "schema_version" not in record:
        raise InputError(f"{path} should be {what} and is some other JSON file.")
    found = record["schema_version"]
    readable = {schema_version, *(upgrades or ())}
    if type(found) is not int or found not in readable:
        known = " and ".join(map(str, sorted(readable)))
        raise InputError(f"{path} has schema version {found!r}; this blazeport reads {known}.")
    try:
        for version in range(found, schema_version):
            record = (upgrades or {})[version](record) | {"schema_version": version + 1}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} should be {what} of schema version {found} and is damaged ({error!r}).") from error
    return record


def build(kind: Any, value: Any, where: str = "") -> Any:
    """A value of the annotated type `kind` made of JSON values.

    Args:
        kind: a dataclass, `tuple[T, ...]`, `dict[str, T]`, `Literal`, a union, or a plain type.
        value: of `json.loads`.
        where: the field, for messages.
    Raises:
        TypeError: the value does not fit; the message names the field.
    """
    origin = get_origin(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin in (Union, types.UnionType):
        return _build_union(kind, value, where)
    if origin is tuple and isinstance(value, list):
        if get_args(kind)[0] is float and all(type(item) is float for item in value):
            return tuple(value)  # a record is mostly samples
        return tuple(build(get_args(kind)[0], item, where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {key: build(get_args(kind)[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is Literal and value in get_args(kind):
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise TypeError(f"{where or 'it'} cannot be {_shown(value)}")


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{where or 'it'} cannot be {_shown(value)}")
    annotations = _annotations(kind)
    prefix = f"{where}." if where else ""
    if unknown := set(value) - {field.name for field in dataclasses.fields(kind)}:
        raise TypeError(f"unknown field {prefix}{min(unknown)}")
    return kind(**{name: build(annotations[name], item, prefix + name) for name, item in value.items()})


_annotations = functools.cache(typing.get_type_hints)


def _build_union(kind: Any, value: Any, where: str) -> Any:
    members = get_args(kind)
    if value is None and type(None) in members:
        return None
    (member,) = (each for each in members if each is not type(None))
    return build(member, value, where)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:37]}..."
