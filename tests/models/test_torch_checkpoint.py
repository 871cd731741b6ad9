"""PyTorch checkpoints of BlazeFace: complete or an error, and the same network when PyTorch computes it."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blazeport.convert.source import open_source
from blazeport.errors import ConfigError, InputError, RuntimeUnavailable, WeightsError
from blazeport.models import torch_checkpoint
from blazeport.models.build import build_network
from blazeport.models.config import VARIANTS
from blazeport.models.torch_checkpoint import (
    checkpoint_names,
    export_state,
    import_state,
    read_checkpoint,
    write_checkpoint,
)
from real_networks import network, official_model, real_inputs

FACE = "face_detection_short_range"
CONFIG = VARIANTS[FACE]
OTHERS = [name for name in VARIANTS if name != FACE]
# The network by their names, written from TFLite's padding rules; no code of theirs. argv: state.npz inputs.npy out.npz
IN_TORCH = """
import sys
import numpy as np, torch
import torch.nn.functional as F
torch.backends.mkldnn.enabled = False  # its faster convolutions are off by 1e-5
state = {name: torch.from_numpy(value) for name, value in np.load(sys.argv[1]).items()}
def conv(x, name, **options):
    return F.conv2d(x, state[name + ".weight"], state[name + ".bias"], **options)
def block(x, name, stride):
    y = conv(F.pad(x, (0, 2, 0, 2)) if stride == 2 else F.pad(x, (1, 1, 1, 1)), name + ".convs.0",
             stride=stride, groups=x.shape[1])
    y = conv(y, name + ".convs.1")
    x = F.max_pool2d(x, 2) if stride == 2 else x
    return F.relu(F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1])) + y)
def rows(x, count):
    return x.permute(0, 2, 3, 1).reshape(1, -1, count)
found = {"boxes": [], "scores": []}
for image in np.load(sys.argv[2]):
    x = F.relu(conv(F.pad(torch.from_numpy(image).permute(0, 3, 1, 2), (1, 2, 1, 2)), "backbone1.0", stride=2))
    for number in range(2, 13):
        x = block(x, f"backbone1.{number}", 2 if number in (4, 7) else 1)
    y = x
    for number in range(5):
        y = block(y, f"backbone2.{number}", 2 if number == 0 else 1)
    for head, theirs, count in (("boxes", "regressor", 16), ("scores", "classifier", 1)):
        parts = [rows(conv(x, theirs + "_8"), count), rows(conv(y, theirs + "_16"), count)]
        found[head].append(torch.cat(parts, 1).numpy())
np.savez(sys.argv[3], **found)
"""


@functools.cache
def python_with_torch() -> str:
    """This Python or the system's; PyTorch is too large for the pinned environment."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip("PyTorch is not installed")


@functools.cache
def state() -> dict[str, np.ndarray]:
    return export_state(network(FACE).model, CONFIG)


def fresh() -> Any:
    return build_network(CONFIG).model


def test_every_weight_has_a_name_of_theirs_and_no_two_share_one():
    names = checkpoint_names(CONFIG)
    assert set(names) == {layer.name for layer in network(FACE).convolutions}
    assert len(set(names.values())) == len(names) == 37
    assert (names["stem"], names["stage1_block0_depthwise"]) == ("backbone1.0", "backbone2.0.convs.0")
    assert (names["scores_16px"], names["boxes_8px"]) == ("classifier_8", "regressor_16")
    assert state()["backbone1.0.weight"].shape == (24, 3, 5, 5)
    assert state()["backbone1.3.convs.0.weight"].shape == (24, 1, 3, 3)
    assert state()["regressor_16.weight"].shape == (96, 96, 1, 1)


def test_what_is_exported_is_imported_to_the_bit():
    model = fresh()
    import_state(model, CONFIG, state(), "x.pth")
    for ours, theirs in zip(model.get_weights(), network(FACE).model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("variant", OTHERS)
def test_their_other_networks_are_none_of_ours(variant: str):
    with pytest.raises(ConfigError, match=f"known of these networks: {FACE}. Received: {variant}"):
        checkpoint_names(VARIANTS[variant])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backbone1.0.bias": None}, r"Missing: \['backbone1\.0\.bias'\]\. Left over: \[\]"),
        ({"face.weight": np.zeros(1, np.float32)}, r"Missing: \[\]\. Left over: \['face\.weight'\]"),
        (
            {"backbone1.0.weight": np.zeros((24, 3, 3, 3), np.float32)},
            r"backbone1\.0 has .*\(3, 3, 3, 24\).*, expected",
        ),
        ({"backbone1.0.weight": np.zeros(24, np.float32)}, r"backbone1\.0 has "),
        ({"classifier_8.bias": np.full(2, np.nan, np.float32)}, r"not finite in classifier_8"),
    ],
    ids=["missing", "left over", "other kernel", "flat", "NaN"],
)
def test_a_checkpoint_fits_completely_or_changes_nothing(change: dict[str, Any], said: str):
    model = fresh()
    before = model.get_weights()
    changed = {name: value for name, value in (state() | change).items() if value is not None}
    with pytest.raises(WeightsError, match=said):
        import_state(model, CONFIG, changed, "x.pth")
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_pytorch_computes_the_same_with_an_exported_checkpoint(tmp_path: Path):
    python, inputs = python_with_torch(), real_inputs(FACE)[:5]
    np.savez(tmp_path / "state.npz", **state())
    np.save(tmp_path / "inputs.npy", np.stack(inputs))
    words = [tmp_path / name for name in ("state.npz", "inputs.npy", "out.npz")]
    subprocess.run([python, "-c", IN_TORCH, *map(str, words)], check=True)
    received = np.load(tmp_path / "out.npz")
    for number, image in enumerate(inputs):
        for head, expected in official_model(FACE).run(image).items():
            assert np.abs(received[head][number] - expected).max() <= 1e-5 * np.ptp(expected), head


def test_without_pytorch_it_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RuntimeUnavailable, match=r"pip install 'blazeport\[torch\]'"):
        read_checkpoint(tmp_path / "x.pth")
    with pytest.raises(RuntimeUnavailable):
        write_checkpoint(network(FACE).model, CONFIG, tmp_path / "x.pth")
    assert list(tmp_path.iterdir()) == []


IN_BLAZEPORT = """
import sys
import types
import numpy as np
from pathlib import Path
# The Python that has torch lacks what blazeport needs to run networks; reading a checkpoint needs neither.
root = Path(sys.argv[1])
package = types.ModuleType("blazeport"); package.__path__ = [str(root)]; package.__version__ = "0"
sys.modules["blazeport"] = package
from blazeport.errors import BlazeportError
from blazeport.models import torch_checkpoint as t
class Layer:
    def __init__(self, weights): self.weights = weights
    def get_weights(self): return self.weights
class Model:
    def __init__(self, layers): self.layers = layers
    def get_layer(self, name): return self.layers[name]
state = dict(np.load(sys.argv[2]))
names = t.checkpoint_names(t.FACE_DETECTION_SHORT_RANGE)
layers = {ours: Layer([state[theirs + ".weight"].transpose(t._axes_from_torch(ours)), state[theirs + ".bias"]])
          for ours, theirs in names.items()}
path = Path(sys.argv[3])
t.write_checkpoint(Model(layers), t.FACE_DETECTION_SHORT_RANGE, path)
read = t.read_checkpoint(path)
assert set(read) == set(state)
assert all(np.array_equal(read[name], state[name]) for name in state)
for bad in sys.argv[4:]:
    try:
        t.read_checkpoint(Path(bad))
        print("read")
    except BlazeportError as error:
        print(type(error).__name__, error)
"""


class Harmful:
    """What a pickled file may hold: a call of any function."""

    def __reduce__(self):
        return (Path.touch, (Path("harmed"),))


def test_a_checkpoint_is_written_and_read_by_pytorch_and_code_in_one_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    python = python_with_torch()
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "state.npz", **state())
    (tmp_path / "harmful.pth").write_bytes(pickle.dumps(Harmful()))
    (tmp_path / "text.pth").write_text("no checkpoint")
    (tmp_path / "number.pth").write_bytes(b"")
    bad = [tmp_path / name for name in ("harmful.pth", "text.pth", "number.pth", "missing.pth")]
    root = Path(torch_checkpoint.__file__).parents[1]
    words = [root, tmp_path / "state.npz", tmp_path / "face.pth", *bad]
    done = subprocess.run(
        [python, "-c", IN_BLAZEPORT, *map(str, words)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert [line.split()[0] for line in said] == ["InputError"] * 4
    assert all("is not a checkpoint of tensors alone" in line for line in said[:3])
    assert "Cannot read" in said[3]
    assert not (tmp_path / "harmed").exists()


def test_a_checkpoint_is_a_source_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / f"{FACE}.pth"
    path.write_bytes(b"its content is read by a stand-in")
    monkeypatch.setattr("blazeport.models.build.read_checkpoint", lambda _: state())
    source = open_source(str(path))
    assert (source.config, source.official, source.licence) == (CONFIG, False, "not stated")
    for ours, theirs in zip(source.build().get_weights(), network(FACE).model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match="does not exist"):
        open_source(str(tmp_path / f"{FACE}.2.pth"))
