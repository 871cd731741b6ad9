"""Keeps the chatter of native libraries off the terminal; what they say beyond the known chatter still gets through."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

_lock = threading.RLock()


@contextlib.contextmanager
def native_stderr(chatter: str) -> Iterator[None]:
    """Holds back what is written to file descriptor 2 in the block, and then writes the lines that are no chatter.

    C++ libraries write there past `sys.stderr` and have no switch for it.

    Args:
        chatter: a regular expression; lines that it matches at their beginning are dropped.
    """
    pattern = re.compile(chatter.encode())
    with _lock, tempfile.TemporaryFile() as held:
        try:
            original = os.dup(2)
        except OSError:  # A process without a stderr has nothing to keep quiet.
            yield
            return
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            held.seek(0)
            for line in held:
                if not pattern.match(line):
                    os.write(2, line)
