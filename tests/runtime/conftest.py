"""Environments that hold one runtime and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tflite_runtime_python() -> Path:
    """The Python of an environment with tflite-runtime 2.14, numpy below 2 and nothing of ours."""
    python = ROOT / "build" / "tflite-runtime" / "bin" / "python"
    if not python.exists():
        pytest.skip("build/tflite-runtime is missing; make it with: make tflite-runtime")
    return python
