"""A runtime in a process of its own: whatever happens to it is an error, never a hang, and nothing is left over."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from blazeport.errors import InputError, WorkerError
from blazeport.runtime import worker
from blazeport.runtime.interpreter import Model

Official = Callable[[str], Path]
FACE = "face_detection_short_range"
PARENT = """
import sys, time
from pathlib import Path
from blazeport.runtime.interpreter import Model
model = Model(Path(sys.argv[1]), runtime="litert", python=Path(sys.executable))
print(model._engine._process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def model(official: Official) -> Model:
    return Model(official(FACE), runtime="litert", python=Path(sys.executable))


def pid_of(model: Model) -> int:
    return model._engine._process.pid


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(pid: int) -> None:
    end = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_running(pid)


def blank(value: float = 0.0) -> np.ndarray:
    return np.full((1, 128, 128, 3), value, np.float32)


def test_outputs_are_those_of_this_process_to_the_bit(model: Model, official: Official) -> None:
    reference = Model(official(FACE))
    for value in (0.0, 0.5, -1.0):
        expected, received = reference.run(blank(value)), model.run(blank(value))
        for name, array in expected.items():
            np.testing.assert_array_equal(received[name], array)
    assert 0 < model.invoke_us < 60e6


def test_outputs_belong_to_the_caller(model: Model) -> None:
    first = model.run(blank())
    kept = {name: output.copy() for name, output in first.items()}
    model.run(blank(1.0))
    for name, output in first.items():
        np.testing.assert_array_equal(output, kept[name])


def test_the_process_ends_with_the_model(official: Official) -> None:
    with Model(official(FACE), runtime="litert", python=Path(sys.executable)) as model:
        pid = pid_of(model)
        assert is_running(pid)
    assert not is_running(pid)
    model.close()  # once more does no harm


def test_the_process_ends_with_a_model_that_is_forgotten(official: Official) -> None:
    model = Model(official(FACE), runtime="litert", python=Path(sys.executable))
    pid = pid_of(model)
    del model
    gc.collect()
    assert not is_running(pid)


def test_the_process_ends_when_blazeport_is_killed(official: Official) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, official(FACE)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_for_end(pid)


def test_a_process_that_is_killed_is_an_error(model: Model) -> None:
    model.run(blank())
    os.kill(pid_of(model), signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"litert in .* broke off \(ended by signal 9\)") as caught:
        model.run(blank())
    assert caught.value.returncode == -signal.SIGKILL
    with pytest.raises(WorkerError, match="has ended"):
        model.run(blank())


def test_a_process_that_is_stuck_is_an_error_and_is_ended(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RUN_TIMEOUT_S", 0.2)
    pid = pid_of(model)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerError, match=r"did not answer within 0\.2 s \(ended by signal 9\)"):
        model.run(blank())
    assert not is_running(pid)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 4", r"broke off \(exit code 4\)"),
        ("echo out of patience >&2; exit 1", r"broke off \(exit code 1\): out of patience"),
        ("kill -SEGV $$", r"broke off \(ended by signal 11\)"),
        ("sleep 60", r"did not answer within 0\.3 s"),
        ('printf "\\377\\377\\377\\377" >&$6; sleep 60', "gave an answer of 4294967295 bytes"),
        ('printf "\\0\\0\\0\\3abc" >&$6; exit 0', "broke off"),
        ('printf "\\0\\0\\0\\2{}" >&$6; exit 0', "gave an answer that makes no sense"),
    ],
    ids=["ends", "complains", "crashes", "is stuck", "huge answer", "no JSON", "empty answer"],
)
def test_a_process_that_does_not_begin_well_is_an_error(
    script: str, said: str, official: Official, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "START_TIMEOUT_S", 0.3 if "sleep" in script else 20.0)
    monkeypatch.setattr(worker, "_STOP_TIMEOUT_S", 0.1 if "sleep" in script else 5.0)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(WorkerError, match=said):
        Model(official(FACE), runtime="litert", python=python)


def test_a_file_the_runtime_does_not_take_is_the_same_error_as_in_this_process(official: Official) -> None:
    content = official(FACE).read_bytes()[:5000]
    messages = []
    for python in (None, Path(sys.executable)):
        with pytest.raises(InputError) as caught:
            Model(content, runtime="litert", python=python)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_no_file_descriptor_is_left_open(official: Official) -> None:
    def count() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    Model(official(FACE), runtime="litert", python=Path(sys.executable)).close()
    before = count()
    for _ in range(2):
        with Model(official(FACE), runtime="litert", python=Path(sys.executable)) as model:
            model.run(blank())
    del model
    with pytest.raises(InputError):
        Model(b"\x1c\0\0\0TFL3", runtime="litert", python=Path(sys.executable))
    assert count() == before
