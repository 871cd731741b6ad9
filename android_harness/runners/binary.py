"""The file of a benchmark program that the user names: a path, or an address with the sha256 it must have."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path

from ... import progress
from ...errors import ConfigError, DeviceError
from ...files import cache_dir, sha256_of, write_atomic

_TIMEOUT_S = 60.0


def runner_binary(source: str | None, runner: str) -> Path:
    """The program's file here, fetched when it is an address.

    Args:
        source: a path, or `https://…#sha256=<64 hex digits>`.
        runner: for messages.
    Raises:
        ConfigError: it is missing, or an address without its sha256.
        DeviceError: it cannot be read or fetched, or has another sha256.
    """
    if source is None:
        raise ConfigError(
            f"--runner {runner} needs --runner-binary: a path, or https://…#sha256=<its sha256>. docs/android.md says "
            "where Google keeps these programs."
        )
    if re.match(r"https?://", source):
        return _fetched(source)
    path = Path(source)
    if not path.is_file():
        raise DeviceError(f"Expected the program of --runner {runner} at {path}. There is no such file.")
    return path


def _fetched(address: str) -> Path:
    found = re.fullmatch(r"(https://\S+)#sha256=([0-9a-fA-F]{64})", address)
    if not found:
        raise ConfigError(
            "A program is fetched only when its content is pinned: https://…#sha256=<64 hex digits>. "
            f"Received: {address!r}."
        )
    url, digest = found[1], found[2].lower()
    kept = cache_dir() / "runners" / digest
    if kept.is_file() and sha256_of(kept) == digest:
        return kept
    with progress.step(f"Fetching {url}"):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as stream:
                content: bytes = stream.read()
        except (OSError, urllib.error.URLError) as error:
            raise DeviceError(f"Cannot fetch {url}: {error}. Fetch it by hand and name its path.") from error
    received = sha256_of(content)
    if received != digest:
        raise DeviceError(f"{url} has the sha256 {received}, not {digest}. It is another program than the pinned one.")
    write_atomic(kept, content)
    return kept
