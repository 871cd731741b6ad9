"""Cells of a benchmark (a file with one setting on one machine): what is known of the file, and the record's name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..convert.manifest import read_manifest
from ..errors import InputError
from ..files import sha256_of
from ..models.config import get_config
from ..weights.sources import OFFICIAL
from .records import MachineRecord, ModelRecord, SettingsRecord, ToolRecord

_OFFICIAL = {sha256: variant for variant, remote in OFFICIAL.items() for sha256 in remote.sha256s}


@dataclass(frozen=True)
class Cell:
    """One file with one setting on one machine."""

    path: Path
    model: ModelRecord
    settings: SettingsRecord

    def name(self, machine: MachineRecord, tool: ToolRecord) -> str:
        """A file name that says what it is, and by a hash that nothing else is in it."""
        key: dict[str, Any] = {
            "model": self.model.sha256,
            "machine": machine.id,
            "settings": dataclasses.asdict(self.settings),
            "tool": dataclasses.asdict(tool),
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        words = (machine.name, Path(self.model.file).stem, f"{self.settings.num_threads}t", self.settings.delegate)
        return "-".join([*(plain(word) for word in words), digest])

    def __str__(self) -> str:
        threads = f"{self.settings.num_threads} thread{'s' if self.settings.num_threads > 1 else ''}"
        return f"{self.model.file}, {threads}, {self.settings.delegate}"


def plain(text: str) -> str:
    """`text` as a part of a file name, whatever it holds."""
    return re.sub(r"[^A-Za-z0-9._]+", "_", text).strip("._")[:60] or "unnamed"


def model_record(path: Path) -> ModelRecord:
    """What is known of a file: of an official one by its content, else by the manifest about these bytes, if any."""
    try:
        record = ModelRecord(file=path.name, sha256=sha256_of(path), size_bytes=path.stat().st_size)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    if variant := _OFFICIAL.get(record.sha256):
        heads = tuple(head.name for head in get_config(variant).heads)
        return dataclasses.replace(record, variant=variant, heads=heads, precision="fp16")
    try:
        manifest = read_manifest(path.with_suffix(".json"))
    except InputError:
        return record
    if manifest.sha256 != record.sha256:
        return record
    return dataclasses.replace(
        record,
        variant=manifest.variant,
        heads=manifest.heads,
        precision=manifest.precision,
        macs=manifest.macs,
        int8_mac_share=manifest.int8_mac_share,
    )
