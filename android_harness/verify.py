"""Is what a phone computes right? Its raw outputs against the host's LiteRT, and against the official network.

Two questions, because each alone can be fooled. The phone against the host, on the same bytes and inputs, finds what a
phone does wrong: other kernels, damaged or stale outputs. The phone against the official float file finds a wrong file,
on which phone and host would agree: outputs under each other's names, lost weights.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..benchmarks.cells import model_record
from ..benchmarks.records import ModelRecord
from ..convert import parity
from ..errors import BlazeportError, ConfigError, DeviceError, InputError
from ..models.config import DetectorConfig, PoseLandmarkConfig, VariantConfig
from ..quantize import detector_errors as detectors
from ..quantize import landmark_errors as landmarks
from ..runtime.interpreter import Model, float_values
from .inputs import Inputs
from .runners.base import Runner, RunRequest
from .store import Store

if TYPE_CHECKING:
    from .adb import Device

FLOAT_TOLERANCE = 1e-5
QUANTIZED_TOLERANCE = 1 / 128  # one step of an int8 tensor with the output's range
# Far beyond what any quantization does: only a wrong file is worse.
MAX_WRONG_PERCENT = 50.0
_MIN_SCALE = 0.1
_LOGIT_MAPS = ("segmentation",)
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OutputCheck:
    """One output of the phone against the host's.

    Attributes:
        name: the output.
        max_abs: largest absolute difference.
        mean_abs: mean absolute difference.
        metric: which of the two is judged: the mean for maps of mask logits, in which single values of hundreds move
            by rounding alone; the largest elsewhere.
        relative: of it to the scale of the host's values: their range or largest magnitude, 0.1 at least.
        tolerance: the largest `relative` that is right.
    """

    name: str
    max_abs: float
    mean_abs: float
    metric: Literal["max_abs", "mean_abs"]
    relative: float
    tolerance: float

    @property
    def identical(self) -> bool:
        """Not one bit differs (−0 and 0 count as equal)."""
        return self.max_abs == 0.0


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of a comparison.

    Attributes:
        inputs: number of real inputs.
        reference: what the host ran.
        outputs: one entry per output.
        task_reference: the official file; None when there was none to compare with.
        task: figure → the phone against that.
        problems: sentences; empty when the phone is right.
    """

    inputs: int
    reference: str
    outputs: tuple[OutputCheck, ...]
    task_reference: str | None
    task: dict[str, float]
    problems: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Every output is the host's, bit by bit."""
        return bool(self.outputs) and all(output.identical for output in self.outputs)

    def to_record(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class FileVerification:
    """A file on a phone: its verification, or why there is none."""

    serial: str
    file: str
    verification: Verification | None
    error: BlazeportError | None = None

    @property
    def passed(self) -> bool:
        """The phone computes what it should."""
        return self.verification is not None and not self.verification.problems


def verify_files(
    devices: Sequence[Device],
    files: Sequence[Path],
    make_runner: Callable[[], Runner],
    inputs: Inputs,
    *,
    num_threads: int = 1,
    tolerance: float | None = None,
) -> Iterator[FileVerification]:
    """Verifies every file on every phone, one after another; what fails does not stop the rest.

    Args:
        devices: the phones.
        files: .tflite files.
        make_runner: called once per phone.
        inputs: the files are added to them.
        num_threads: CPU threads on the phone.
        tolerance: as in `verify_run`.
    Raises:
        ConfigError: the runner gives no outputs.
    """
    for device in devices:
        store, runner = Store(device), make_runner()
        try:
            runner.prepare(device, store)
            for path in files:
                yield _verify_file(runner, device, store, path, inputs, num_threads, tolerance)
        except ConfigError:
            raise
        except BlazeportError as error:
            yield FileVerification(serial=device.serial, file="", verification=None, error=error)
        finally:
            try:
                store.remove_scratch()
            except DeviceError as error:
                _LOGGER.warning("Temporary files stayed on %s: %s", device.serial, error)


def _verify_file(
    runner: Runner,
    device: Device,
    store: Store,
    path: Path,
    inputs: Inputs,
    num_threads: int,
    tolerance: float | None,
) -> FileVerification:
    try:
        inputs.add(path)
        request = RunRequest(model=path, num_threads=num_threads, inputs=inputs.stored(path))
        found = verify_run(runner, device, store, request, inputs, model_record(path), tolerance=tolerance)
    except ConfigError:
        raise
    except (DeviceError, InputError) as error:
        return FileVerification(serial=device.serial, file=path.name, verification=None, error=error)
    return FileVerification(serial=device.serial, file=path.name, verification=found)


def verify_run(
    runner: Runner,
    device: Device,
    store: Store,
    request: RunRequest,
    inputs: Inputs,
    model: ModelRecord,
    *,
    tolerance: float | None = None,
) -> Verification:
    """Runs a file once per input on the phone and compares what comes.

    Args:
        runner: must give outputs, which only the native one does.
        device: the phone.
        store: of that phone.
        request: threads, mask and delegate to verify with.
        inputs: of the file, among others.
        model: what its manifest says.
        tolerance: largest difference relative to an output's scale; None goes by the precision.
    Raises:
        ConfigError: the runner gives no outputs.
        DeviceError: the run failed.
    """
    path = request.model
    short = dataclasses.replace(
        request, min_samples=1, min_seconds=0.0, warmup_runs=0, inputs=inputs.stored(path), want_outputs=True
    )
    result = runner.run(device, store, short)
    if result.outputs is None:
        raise ConfigError(f"The {runner.name} runner gives no outputs. Use --runner native.")
    if tolerance is None:
        exact = (model.precision or "fp32").split("_")[0] in ("fp32", "fp16")
        tolerance = FLOAT_TOLERANCE if exact else QUANTIZED_TOLERANCE
    return compare(result.outputs, path, inputs, tolerance=tolerance)


def compare(
    outputs: Sequence[Mapping[str, np.ndarray]], path: Path, inputs: Inputs, *, tolerance: float
) -> Verification:
    """Judges the outputs that a phone gave for `inputs.floats(path)`.

    Args:
        outputs: per input, the file's own output name → array in the file's dtype.
        path: the file, here.
        inputs: what the phone was given.
        tolerance: largest difference from the host relative to an output's scale.
    """
    images = inputs.floats(path)
    with Model(path) as host:
        expected = [host.run(image) for image in images]
        received = [_named(each, host) for each in outputs]
        checks, problems = _against_host(expected, received, tolerance)
        if not host.candidates:
            problems.append("The outputs fit no variant: a name stands on an output of another shape.")
        heads = host.outputs
    reference = inputs.reference(path)
    task: dict[str, float] = {}
    if reference is not None and not problems:
        task, more = _against_official(received, images, reference, inputs.config(path), set(heads))
        problems += more
    return Verification(
        inputs=len(images),
        reference=f"LiteRT {metadata.version('ai-edge-litert')} on the host, the same file",
        outputs=tuple(checks),
        task_reference=reference.name if reference else None,
        task=task,
        problems=tuple(problems),
    )


def _against_host(
    expected: Sequence[Mapping[str, np.ndarray]], received: Sequence[Mapping[str, np.ndarray]], tolerance: float
) -> tuple[list[OutputCheck], list[str]]:
    if len(received) != len(expected):
        return [], [f"The phone gave outputs for {len(received)} of {len(expected)} inputs."]
    names = list(expected[0])
    if missing := [name for name in names if any(name not in each for each in received)]:
        return [], [f"The phone gave no output {missing[0]!r} of the right shape."]
    theirs = iter(expected)
    ours = iter(received)
    found = parity.measure(
        lambda _: next(theirs),
        lambda _: next(ours),
        [np.zeros(0)] * len(expected),
        names,
        reference_name="host",
    )
    checks, problems = [], []
    for output in found.outputs:
        # A presence of 1e-13 may be 2e-13 on another CPU: both mean none.
        largest = max(float(np.abs(each[output.name]).max()) for each in expected)
        metric: Literal["max_abs", "mean_abs"] = "mean_abs" if output.name in _LOGIT_MAPS else "max_abs"
        relative = float(getattr(output, metric)) / max(output.reference_range, largest, _MIN_SCALE)
        checks.append(
            OutputCheck(
                name=output.name,
                max_abs=output.max_abs,
                mean_abs=output.mean_abs,
                metric=metric,
                relative=relative,
                tolerance=tolerance,
            )
        )
        if not output.finite:
            problems.append(f"Output {output.name!r} has values that are not finite.")
        elif output.constant:
            problems.append(f"Output {output.name!r} is the same for every input: the phone gave stale bytes.")
        elif not relative <= tolerance:
            problems.append(_explained(checks[-1], expected, received))
    return checks, problems


def _explained(
    check: OutputCheck, expected: Sequence[Mapping[str, np.ndarray]], received: Sequence[Mapping[str, np.ndarray]]
) -> str:
    """Why an output is wrong, where that can be told."""
    name, tolerance = check.name, check.tolerance
    values = np.stack([each[name] for each in received])
    if not values.any():
        return f"Output {name!r} is all zero on the phone."
    for other in expected[0]:
        if other != name and expected[0][other].size == expected[0][name].size:
            theirs = np.stack([each[other].reshape(each[name].shape) for each in expected])
            if np.allclose(values, theirs, rtol=tolerance):
                return f"Output {name!r} of the phone is {other!r} of the host: they are swapped."
    for shift in range(1, len(expected)):
        rolled = np.stack([expected[(index + shift) % len(expected)][name] for index in range(len(expected))])
        if np.allclose(values, rolled, rtol=tolerance):
            return f"Output {name!r} of the phone belongs to other inputs: it is stale."
    return f"Output {name!r} is off by {check.relative:.2g} of its scale on the phone; {tolerance:.2g} is right."


def _against_official(
    received: Sequence[Mapping[str, np.ndarray]],
    images: Sequence[np.ndarray],
    reference: Path,
    config: VariantConfig,
    heads: set[str],
) -> tuple[dict[str, float], list[str]]:
    """The task's figures of the phone against the official float file, and what is wrong by them."""
    with Model(reference) as official:
        trusted = [official.run(image) for image in images]
    problems = []
    for name in trusted[0]:
        if name in heads and _varies(trusted, name) and not _varies(received, name):
            problems.append(
                f"Output {name!r} does not depend on the input, as that of {reference.name} does: the weights are lost."
            )
    ours, theirs = iter(received), iter(trusted)
    figures: dict[str, float] = {}
    if isinstance(config, PoseLandmarkConfig):
        if {"landmarks", "presence"} <= heads:
            errors = landmarks.landmark_errors(lambda _: next(ours), lambda _: next(theirs), images, config)
            visible = errors.visible[errors.present]
            near = errors.distance_px[errors.present] < landmarks.TORSO_SHARE * errors.torso_px[errors.present, None]
            figures["visible_px"] = _mean(errors.distance_px[errors.present][visible])
            figures["far_percent"] = 100 - 100 * _mean(near[visible]) if visible.any() else 0.0
            figures["presence_flips_percent"] = 100 * _mean(errors.presence_flips)
    elif isinstance(config, DetectorConfig) and {"boxes", "scores"} <= heads:
        size = config.input_shape[1]
        photos = [detectors.Letterboxed(image, size, size) for image in images]
        matched = detectors.detector_errors(lambda _: next(ours), lambda _: next(theirs), photos, config)
        count = int(matched.references.sum())
        figures["missed_percent"] = 100 * float(matched.missed.sum()) / max(count, 1)
        figures["extra_percent"] = 100 * float(matched.extra.sum()) / max(count, 1)
        if len(matched.iou):
            figures["iou"] = _mean(matched.iou)
    for name, value in figures.items():
        if name.endswith("_percent") and value > MAX_WRONG_PERCENT:
            problems.append(f"{name} is {value:.0f} against {reference.name}: this is another network or a broken one.")
    return {name: round(value, 4) for name, value in figures.items()}, problems


def _named(outputs: Mapping[str, np.ndarray], host: Model) -> dict[str, np.ndarray]:
    """The phone's outputs, float, under the names that the host uses.

    A file with a signature names its outputs itself. In one without, the phone has the tensors' names, in the order of
    the file, as the host's are.
    """
    same = set(outputs) == set(host.outputs)
    pairs = (
        [(name, outputs[name]) for name in host.outputs]
        if same
        else list(zip(host.outputs, outputs.values(), strict=False))
    )
    return {
        name: float_values(array, host.outputs[name])
        for name, array in pairs
        if array.shape == host.outputs[name].shape
    }


def _varies(outputs: Sequence[Mapping[str, np.ndarray]], name: str) -> bool:
    return any(not np.array_equal(each[name], outputs[0][name]) for each in outputs[1:])


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else 0.0
