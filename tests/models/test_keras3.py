"""The same builders under Keras 3, and the choice between the two. One process has one Keras: each case is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from real_networks import KERAS_BARS

TESTS = Path(__file__).parents[1]
VARIANTS = ["face_detection_full_range_sparse", "pose_landmark_lite"]


def run_python(code: str, *arguments: str, keras: str = "keras3") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BLAZEPORT_KERAS": keras, "PYTHONPATH": str(TESTS)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )


COMPARE = """
import dataclasses, json, sys
from blazeport.models.keras_api import keras
from real_networks import exported_parity, keras_parity, network
print(json.dumps({
    variant: {
        "version": keras.__version__,
        "is_its_model": isinstance(network(variant).model, keras.Model),
        "keras": dataclasses.asdict(keras_parity(variant)),
        "exported_is_exact": exported_parity(variant, "all", "fp32").exact,
    }
    for variant in sys.argv[1:]
}))
"""


@pytest.fixture(scope="module")
def under_keras_3() -> dict[str, Any]:
    """Variant → what a process with Keras 3 found."""
    finished = run_python(COMPARE, *VARIANTS)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.parametrize("variant", VARIANTS)
def test_keras_3_builds_the_same_network(under_keras_3: dict[str, Any], variant: str):
    found = under_keras_3[variant]
    assert found["version"].startswith("3.")
    assert found["is_its_model"]
    assert found["keras"]["inputs"] == 40
    for output in found["keras"]["outputs"]:
        metric, bar = KERAS_BARS[output["name"]]
        assert output["finite"]
        assert output[metric] <= bar, output


@pytest.mark.parametrize("variant", VARIANTS)
def test_keras_3_exports_files_equal_to_the_official_one(under_keras_3: dict[str, Any], variant: str):
    assert under_keras_3[variant]["exported_is_exact"]


REPORT_ERROR = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))  # None: as if it were not installed.
from blazeport.errors import ConfigError
try:
    import blazeport.models.keras_api
except ConfigError as error:
    print(error)
"""


def test_an_unknown_keras_is_named_with_the_two_there_are():
    finished = run_python(REPORT_ERROR, keras="keras2")
    assert finished.stdout == "BLAZEPORT_KERAS must be one of: tf-keras, keras3. Received: 'keras2'.\n", finished.stderr


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    finished = run_python(REPORT_ERROR, "tensorflow", keras="tf-keras")
    assert finished.stdout == (
        "Building Keras models needs TensorFlow and tf-keras; tensorflow is not installed. "
        "Install them with: pip install 'blazeport[convert]'.\n"
    ), finished.stderr
