"""Where finished files go: under a temporary name first, then with their manifest under their own, both or none."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError, ParityError
from ..files import atomic_path
from ..models.config import VARIANTS
from .manifest import Manifest
from .on_device import anchors_beside

_log = logging.getLogger(__name__)


def manifest_beside(out: Path) -> Path:
    """Where the manifest of a file that is no .tflite stands: `NAME.onnx.json` beside `NAME.onnx`."""
    return out.with_suffix(".json") if out.suffix == ".tflite" else out.with_name(f"{out.name}.json")


@contextlib.contextmanager
def temporary_path(out: Path) -> Iterator[Path]:
    """A path of `out`'s name in a hidden folder beside it, which is removed with what is left in it."""
    parent = out.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.stem}.", dir=parent))
    except OSError as error:
        raise OutputError(
            f"Cannot write {out}: {error.strerror or error}. Free the disk or choose a writable folder."
        ) from error
    try:
        yield folder / out.name
    except OSError as error:
        raise OutputError(
            f"Cannot write {out}: {error.strerror or error}. Free the disk or choose a writable folder."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def place(path: Path, out: Path, manifest: Manifest) -> None:
    """Gives a finished file or folder its name, with its manifest and a detector's anchors: all or none."""
    beside = manifest_beside(out)
    config = VARIANTS[manifest.variant] if manifest.decoding else None
    with anchors_beside(out.parent, config), atomic_path(beside) as temporary:
        manifest.write(temporary)
        if path.is_dir() and out.exists():
            out.rename(path.with_name("replaced"))
        path.rename(out)


@contextlib.contextmanager
def kept_when_failed(content: bytes | None, out: Path) -> Iterator[None]:
    """Keeps a file that fails the comparison as `*.failed`; None keeps nothing."""
    try:
        yield
    except ParityError:
        if content is not None:
            kept = out.with_name(f"{out.name}.failed")
            with atomic_path(kept) as temporary:
                temporary.write_bytes(content)
            _log.warning("Kept for a look: %s", kept)
        raise
