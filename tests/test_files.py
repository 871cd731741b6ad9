"""Files on disk: whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from blazeport.errors import OutputError
from blazeport.files import atomic_path, cache_dir, sha256_of, write_atomic

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_sha256_of_bytes_and_of_a_file_agree(tmp_path: Path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(b"abc") == sha256_of(path) == SHA256_OF_ABC


def test_the_cache_folder_can_be_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BLAZEPORT_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path


def test_the_cache_folder_is_the_users_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BLAZEPORT_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir().name == "blazeport"
    assert tmp_path in cache_dir().parents


def test_writing_makes_the_folder_and_leaves_only_the_file(tmp_path: Path):
    path = tmp_path / "new" / "file.json"
    write_atomic(path, "{}")
    assert path.read_text() == "{}"
    assert list(path.parent.iterdir()) == [path]


def test_the_temporary_file_keeps_the_suffix_and_is_beside_the_target(tmp_path: Path):
    with atomic_path(tmp_path / "face.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.touch()


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        pytest.param(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OutputError, id="disk_full"),
        pytest.param(OSError(errno.EROFS, os.strerror(errno.EROFS)), OutputError, id="read_only"),
        pytest.param(KeyboardInterrupt(), KeyboardInterrupt, id="interrupted"),
        pytest.param(ValueError("bad"), ValueError, id="other_error"),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, raised: BaseException, expected: type[BaseException]
):
    path = tmp_path / "model.tflite"
    path.write_text("old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise raised

    with pytest.raises(expected):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write .*model\.tflite: .* choose a writable folder"):
        write_atomic(tmp_path / "file" / "model.tflite", b"")


def test_two_processes_never_show_a_half_written_file(tmp_path: Path):
    path = tmp_path / "shared"
    size = 1 << 20
    write = (
        "import sys; from pathlib import Path; from blazeport.files import write_atomic\n"
        f"for _ in range(50): write_atomic(Path(sys.argv[1]), sys.argv[2].encode() * {size})\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", write, str(path), letter]) for letter in "ab"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            content = path.read_bytes()
            assert content in (b"a" * size, b"b" * size)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]
