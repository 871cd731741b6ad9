"""Fixtures every test may use, and the check that nothing is skipped unnoticed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

# Reasons a complete machine may have for a skip; `--no-unexpected-skips` fails on every other one.
EXPECTED_SKIPS = (
    r"BLAZEPORT_DATA is not set",
    r"runs as root",
    r"needs (an )?arm64",
    r"the test device's shell user needs root",
    r"the test device needs (Linux|x86-64|root or user namespaces)",
    r"carries no metadata",
    r"PyTorch is not installed",
)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The evaluation photos and MediaPipe's recorded results on them."""
    configured = os.environ.get("BLAZEPORT_DATA")
    if not configured:
        pytest.skip("BLAZEPORT_DATA is not set: no evaluation photos")
    return Path(configured).resolve(strict=True)


@pytest.fixture(scope="session")
def photos(data_dir: Path) -> list[Path]:
    """Paths of the evaluation photos, sorted by name."""
    return sorted((data_dir / "images").iterdir())


@pytest.fixture(scope="session")
def official() -> Callable[[str], Path]:
    """Variant → path of the official .tflite file, fetched when it is not in the cache yet."""
    from blazeport.weights.fetch import official_file

    return official_file


@pytest.fixture(scope="session")
def tflite_runtime_python() -> Path:
    """The Python of an environment with tflite-runtime 2.14, numpy below 2 and nothing of ours."""
    python = Path(__file__).parents[1] / "build" / "tflite-runtime" / "bin" / "python"
    if not python.exists():
        pytest.skip("build/tflite-runtime is missing; make it with: make tflite-runtime")
    return python


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-unexpected-skips", action="store_true", help="fail a skipped test whose reason conftest.py does not allow"
    )


def fail_unexpected_skip(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    """Turns a skip into a failure, unless its reason is allowed or it is an expected failure."""
    if not (config.getoption("no_unexpected_skips") and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(re.search(allowed, reason) for allowed in EXPECTED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"Unexpected skip. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_unexpected_skip(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_unexpected_skip(report, collector.config)
    return report
