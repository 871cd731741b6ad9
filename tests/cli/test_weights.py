"""`blazeport weights`: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from blazeport.cli.weights import weights
from blazeport.files import sha256_of
from blazeport.weights.sources import OFFICIAL
from click.testing import CliRunner, Result

VARIANT = "face_detection_short_range"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(weights, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, official) -> Path:
    """A folder with one official file."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / f"{VARIANT}.tflite").write_bytes(official(VARIANT).read_bytes())
    return folder


@pytest.fixture
def cache(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, made after the official file was found in the real one."""
    monkeypatch.setenv("BLAZEPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_fetch_puts_files_into_the_cache_and_prints_their_paths(cache: Path, folder: Path):
    result = run("fetch", VARIANT, "--from", folder)
    assert result.exit_code == 0
    variant, path = result.stdout.split()
    assert variant == VARIANT
    assert sha256_of(Path(path)) in OFFICIAL[VARIANT].sha256s


def test_fetch_without_a_variant_means_all_of_them(cache: Path, folder: Path):
    result = run("fetch", "--from", folder)
    assert "face_detection_full_range.tflite" in str(result.exception)


def test_allow_unknown_without_a_folder_is_a_usage_error():
    result = run("fetch", VARIANT, "--allow-unknown")
    assert result.exit_code == 2
    assert "--from DIR" in result.stderr


def test_a_missing_folder_is_a_usage_error(tmp_path: Path):
    assert run("fetch", VARIANT, "--from", tmp_path / "missing").exit_code == 2


def test_list_shows_every_variant_and_what_is_cached(cache: Path, folder: Path):
    run("fetch", VARIANT, "--from", folder)
    records = json.loads(run("list", "--json").stdout)
    assert [record["variant"] for record in records] == list(OFFICIAL)
    assert {record["variant"] for record in records if record["cached"]} == {VARIANT}
    assert {record["licence"] for record in records} == {"Apache-2.0"}
    assert {record["paper"] for record in records} == {"arXiv:1907.05047", "arXiv:2006.10204"}
    table = run("list").stdout
    assert all(variant in table for variant in OFFICIAL)
    assert re.search(rf"{VARIANT} +229714 +yes +Apache-2\.0 +installed, wheel, npm, bucket", table)


def test_verify_passes_an_intact_cache_and_fails_a_damaged_one(cache: Path, folder: Path):
    path = Path(run("fetch", VARIANT, "--from", folder).stdout.split()[1])
    assert run("verify").exit_code == 0
    assert re.search(f"{VARIANT} +intact +official", run("verify").stdout)

    path.write_bytes(path.read_bytes()[:-1])
    result = run("verify")
    assert result.exit_code == 1
    assert re.search(f"{VARIANT} +damaged", result.stdout)
    assert str(path) in result.stderr
    records = run("verify", "--json")
    assert records.exit_code == 1
    assert [(record["name"], record["intact"]) for record in json.loads(records.stdout)] == [(VARIANT, False)]


def test_verify_of_an_empty_cache_is_no_failure(cache: Path):
    result = run("verify")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "empty" in result.stderr


@pytest.mark.parametrize("name", sorted(weights.commands))
def test_every_help_text_has_an_example(name: str):
    assert f"blazeport weights {name}" in run(name, "--help").output
