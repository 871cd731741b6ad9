"""The commands and snippets of README.md and docs/ are run, not only shown."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from blazeport.cli.main import main
from blazeport.pipeline.image import read_image
from blazeport.pipeline.video import write_video
from blazeport.weights.fetch import demo_photos
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    lines = "".join(blocks(page, "sh")).splitlines()
    return [line.removeprefix(".venv/bin/") for line in lines if re.match(r"(\.venv/bin/)?blazeport ", line)]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the docs speak of: photo.jpg, photos/ and clip.mp4."""
    (tmp_path / "photos").mkdir()
    for photo in demo_photos():
        shutil.copy(photo, tmp_path / "photos")
    shutil.copy(next(photo for photo in demo_photos() if photo.suffix == ".jpg"), tmp_path / "photo.jpg")
    with write_video(tmp_path / "clip.mp4", 30) as append:
        for _ in range(8):
            append(read_image(tmp_path / "photo.jpg"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_work(page: Path, workplace: Path):
    for command in commands(page):
        result = CliRunner().invoke(main, shlex.split(command, comments=True)[1:], catch_exceptions=False)
        assert result.exit_code == 0, f"{command}\n{result.output}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_the_python_of_a_page_works(page: Path, workplace: Path):
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})


def test_every_link_of_a_page_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_in_the_docs_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for line in "".join(blocks(page, "sh")).splitlines():
            if words := re.match(r"make ((?:[a-z-]+ ?)+)", line):
                assert set(words[1].split()) <= targets, f"{page.name}: {line}"
