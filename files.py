"""Files on disk: atomic writes, content hashes and the cache folder. Importable by all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from .errors import OutputError


def sha256_of(data: bytes | Path) -> str:
    """The sha256 of bytes or of a file's content, as 64 lower-case hex digits."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with data.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_dir() -> Path:
    """The folder blazeport keeps downloads in: `BLAZEPORT_CACHE`, or `blazeport` in the user's cache folder."""
    if configured := os.environ.get("BLAZEPORT_CACHE"):
        return Path(configured).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("blazeport", appauthor=False))


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it to `path` when the block succeeds.

    The parent folder is made. When the block raises, nothing is left under either name. Safe for several processes:
    each has a temporary name of its own and the last rename wins.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    # The suffix is kept because image and video writers choose their format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}. Free the disk or choose a writable folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Writes `data` so that a crash leaves either the old file or the new one. Raises as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
