"""Who may import whom: the arrows of docs/architecture.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORTABLE_BY_ALL = {"__version__", "errors", "files", "progress", "quiet"}
# Folder or root module → what of ours it may import besides itself and the above.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "progress": set(),
    "quiet": set(),
    "weights": set(),
    "models": {"weights"},
    "runtime": {"models.config"},
    "pipeline": {"models.config", "runtime"},
    "convert": {"weights", "models", "runtime", "pipeline"},
    "quantize": {"weights", "models", "runtime", "pipeline", "convert"},
    "benchmarks": {
        *("runtime", "pipeline", "models.config", "weights.sources"),
        *("convert.manifest", "convert.flatbuffer"),
    },
    "android_harness": {
        *("benchmarks", "runtime", "pipeline", "models.config"),
        *("convert.manifest", "convert.parity", "convert.inputs"),
        *("quantize.detector_errors", "quantize.landmark_errors"),
    },
    "cli": {"weights", "models", "runtime", "pipeline", "convert", "quantize", "benchmarks", "android_harness"},
}
WITHOUT_TENSORFLOW = ("weights", "runtime", "pipeline", "benchmarks", "android_harness", "models/config")
FOLDERS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def python_files(name: str) -> list[Path]:
    """The files of a folder, or the root module of that name."""
    path = ROOT / name
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def own_imports(path: Path) -> Iterator[str]:
    """Dotted names below `blazeport` that a file imports anywhere in it, inside functions too."""
    package = ["blazeport", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = package[: len(package) - node.level + 1] if node.level else []
            names = [".".join(filter(None, [*origin, node.module, alias.name])) for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("blazeport.") for name in names if name.startswith("blazeport"))


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_imports_follow_the_arrows(name: str):
    allowed = MAY_IMPORT[name] | IMPORTABLE_BY_ALL | {name}
    for path in python_files(name):
        for imported in own_imports(path):
            assert any(f"{imported}.".startswith(f"{each}.") for each in allowed), f"{path} imports {imported}"


def test_every_folder_and_root_module_has_its_arrows():
    root_modules = {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
    assert set(MAY_IMPORT) == root_modules | set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_init_of_a_folder_is_a_docstring_only(folder: str):
    tree = ast.parse((ROOT / folder / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_what_runs_on_a_small_install_imports_no_tensorflow(name: str):
    modules = [".".join(["blazeport", *path.relative_to(ROOT).with_suffix("").parts]) for path in python_files(name)]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "assert not {'tensorflow', 'keras', 'tf_keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_file_names_a_machine_or_a_registry():
    """Paths of one machine and hosts of package registries work for nobody else."""
    private = re.compile(r"(?<![\w.$}/-])/(work|root|home|Users)/|(pypi|pythonhosted)\.org|registry\.npmjs")
    for pattern in ("*", ".ci/*", "docs/**/*", "tests/**/*", *(f"{folder}/**/*" for folder in FOLDERS)):
        for path in ROOT.glob(pattern):
            if path.is_file() and path.suffix in {"", ".cfg", ".lock", ".md", ".py", ".toml"}:
                found = private.search(path.read_text(errors="replace"))
                assert not found, f"{path} contains {found}"
