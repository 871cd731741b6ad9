"""The real adb client and the test device: files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from testing.adb_server import AdbServer
from testing.device import TestDevice

FOLDER = "/data/local/tmp"


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "it's a $(file).bin"
    path.write_bytes(os.urandom(3_000_000))
    path.chmod(0o750)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def test_a_file_comes_back_as_it_went(adb_server: AdbServer, pixel: TestDevice, payload: Path, tmp_path: Path):
    remote = f"{FOLDER}/new folder/{payload.name}"
    assert adb_server.on(pixel, "push", str(payload), remote).returncode == 0
    assert pixel.path(remote).stat().st_mtime == 1_700_000_000
    assert adb_server.on(pixel, "pull", remote, str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == payload.read_bytes()


def test_the_device_computes_the_same_sha256(adb_server: AdbServer, pixel: TestDevice, payload: Path):
    assert adb_server.on(pixel, "push", str(payload), f"{FOLDER}/a").returncode == 0
    told = adb_server.on(pixel, "shell", f"sha256sum {FOLDER}/a").stdout
    assert told.split()[0] == hashlib.sha256(payload.read_bytes()).hexdigest()


def test_a_pushed_file_is_the_shell_users_own_and_keeps_its_mode(
    adb_server: AdbServer, pixel: TestDevice, payload: Path
):
    adb_server.on(pixel, "push", str(payload), f"{FOLDER}/a")
    assert adb_server.on(pixel, "shell", f"stat -c %a {FOLDER}/a && mv {FOLDER}/a {FOLDER}/b").stdout == "750\n"


def test_the_old_phone_takes_and_gives_files(adb_server: AdbServer, old_phone: TestDevice, payload: Path):
    assert adb_server.on(old_phone, "push", str(payload), f"{FOLDER}/a").returncode == 0
    assert adb_server.on(old_phone, "pull", f"{FOLDER}/a", str(payload.with_name("back"))).returncode == 0
    assert payload.with_name("back").read_bytes() == payload.read_bytes()


def test_a_whole_folder_is_pushed_and_listed(adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    for name in ("model.tflite", "deeper/input.raw"):
        (tmp_path / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / name).write_text(name)
    assert adb_server.on(pixel, "push", str(tmp_path / "bundle"), FOLDER).returncode == 0
    listed = adb_server.on(pixel, "ls", f"{FOLDER}/bundle").stdout
    assert {line.split(maxsplit=3)[3] for line in listed.splitlines()} >= {"model.tflite", "deeper"}
    assert pixel.path(f"{FOLDER}/bundle/deeper/input.raw").read_text() == "deeper/input.raw"


def test_what_is_not_there_cannot_be_pulled(adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    failed = adb_server.on(pixel, "pull", f"{FOLDER}/absent", str(tmp_path / "absent"))
    assert failed.returncode == 1
    assert "No such file or directory" in failed.stdout + failed.stderr


@pytest.mark.parametrize("remote", ["/system/bin/sh", "/data/model", "/data/local/tmp/../../outside"])
def test_a_push_outside_the_shell_users_folders_is_denied(
    adb_server: AdbServer, pixel: TestDevice, payload: Path, remote: str
):
    failed = adb_server.on(pixel, "push", str(payload), remote)
    assert failed.returncode == 1
    assert "Permission denied" in failed.stdout + failed.stderr


def test_the_disk_has_the_room_that_df_tells(adb_server: AdbServer, pixel: TestDevice, payload: Path):
    pixel.set_free_bytes(1_024_000)
    assert adb_server.on(pixel, "shell", "df /data").stdout.splitlines()[1].split()[3] == "1000"
    failed = adb_server.on(pixel, "push", str(payload), f"{FOLDER}/a")
    assert failed.returncode == 1
    assert "No space left on device" in failed.stdout + failed.stderr
