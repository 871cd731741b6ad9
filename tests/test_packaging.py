"""What is built, installed and pinned."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NOT_CODE = {"build", "docs", "examples", "tests"}
NOT_PINNED = {"torch"}  # too large to test with; see tests/models/test_torch_checkpoint.py
EXTRAS = {"bench", "convert", "quantize", "report", "onnx", "tflite-runtime", "torch", "train", "dev"}


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def packages(setup_cfg: configparser.ConfigParser) -> list[str]:
    return setup_cfg["options"]["packages"].split()


def requirements(text: str) -> list[Requirement]:
    lines = (line.strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_every_folder_of_code_is_a_package(packages: list[str]):
    folders = [folder for folder in ROOT.glob("[!.]*/") if folder.is_dir() and folder.name not in NOT_CODE]
    with_code = {path.parent for folder in folders for path in folder.rglob("*.py")}
    assert packages == ["blazeport", *sorted(f"blazeport.{'.'.join(p.relative_to(ROOT).parts)}" for p in with_code)]
    assert all((folder / "__init__.py").exists() for folder in with_code)


def test_every_extra_is_declared(setup_cfg: configparser.ConfigParser):
    assert set(setup_cfg["options.extras_require"]) >= EXTRAS


def test_the_lock_pins_every_requirement(setup_cfg: configparser.ConfigParser):
    pins = {canonicalize_name(pin.name): pin for pin in requirements((ROOT / "requirements.lock").read_text())}
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins.values())
    declared = [setup_cfg["options"]["install_requires"], *setup_cfg["options.extras_require"].values()]
    for requirement in requirements("\n".join(declared)):
        if requirement.name != "blazeport":
            if requirement.name in NOT_PINNED:
                continue
            version = str(pins[canonicalize_name(requirement.name)].specifier).removeprefix("==")
            assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"


def test_the_wheel_holds_the_packages_and_nothing_else(tmp_path: Path, packages: list[str]):
    tree = shutil.copytree(
        ROOT, tmp_path / "tree", ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
    )
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, tree],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    metadata = [name for name in names if ".dist-info/" in name]
    assert any(name.endswith("/LICENSE") for name in metadata)
    assert "blazeport/py.typed" in names
    data = {
        f"blazeport/{path.relative_to(ROOT).as_posix()}"
        for pattern in (
            *("quantize/recipes/*.json", "quantize/recipes/*.npz", "android_harness/native/*"),
            *("benchmarks/report/*.css", "benchmarks/report/*.html", "benchmarks/report/*.js"),
        )
        for path in ROOT.glob(pattern)
    }
    assert {Path(name).suffix for name in data} >= {".json", ".npz", ".cc", ".txt", ".css", ".html", ".js"}
    assert data <= set(names)
    folders = {str(Path(name).parent).replace("/", ".") for name in names if name not in {*metadata, *data}}
    assert folders == set(packages)


def test_the_readme_names_only_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text())) <= targets
