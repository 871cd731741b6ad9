"""Our own runner: every sample, real inputs, raw outputs. CPU only; `runner_build` builds it.

A run is two adb calls at most: one script, and one to fetch the outputs where they were asked for. The report comes
with its sha256, and the outputs with a checksum that the program took in memory, so that neither a damaged transfer nor
a file of another run passes.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...benchmarks.records import Context, ToolRecord
from ...errors import DeviceError
from ...files import sha256_of
from ..adb import quote
from ..runner_build import DEFAULT_FOLDER, LIBRARY, PROGRAM, RunnerBundle, read_bundle
from .base import DamagedRunError, RunnerError, RunRequest, RunResult, require_delegate

if TYPE_CHECKING:
    from ..adb import Device
    from ..store import Store

_ABI_OF_MACHINE = {"aarch64": "arm64-v8a", "x86_64": "x86_64"}
# kLiteRtElementType… of the tensors that blazeport's files have at their ends.
_DTYPES = {1: np.float32, 2: np.int32, 3: np.uint8, 7: np.int16, 9: np.int8, 10: np.float16}


class NativeRunner:
    """The program of android_harness/native, for one device.

    Args:
        folder: where `make android-runner` put it: one folder per ABI.
    """

    name = "native"
    context: Context = "shell"

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        self._folder = folder
        self._bundle: RunnerBundle | None = None
        self._remote = self._scratch = ""
        self._inputs: dict[str, str] = {}

    @property
    def tool(self) -> ToolRecord:
        """The program; its version is that of the LiteRT library it runs."""
        bundle = self._require_bundle()
        listing = "".join(f"{name}:{sha256}\n" for name, sha256 in sorted(bundle.files.items()))
        digest = hashlib.sha256(listing.encode()).hexdigest()
        return ToolRecord(name=self.name, version=f"LiteRT {bundle.litert}", sha256=digest, context=self.context)

    def prepare(self, device: Device, store: Store) -> None:
        """Pushes the program with its loader and libraries, once per device. Raises as `Runner.prepare`."""
        machine = device.shell(["uname", "-m"], retry=True).stdout.strip()
        if machine not in _ABI_OF_MACHINE:
            raise DeviceError(
                f"The native runner is built for {', '.join(_ABI_OF_MACHINE)}. {device.serial} is {machine!r}. "
                "Choose --runner benchmark_model with a binary for it."
            )
        self._bundle = read_bundle(self._folder / _ABI_OF_MACHINE[machine])
        self._remote = store.bundle(self._bundle.paths)
        self._scratch = store.scratch("native")

    def run(self, device: Device, store: Store, request: RunRequest) -> RunResult:
        """One process. Raises as `Runner.run`."""
        require_delegate(self.name, request.delegate, ("cpu",), "Choose another --runner for it.")
        nonce = secrets.token_hex(8)
        model = store.put(request.model)
        inputs = self._put_inputs(store, request.inputs)
        script = self._script(request, model, inputs, nonce)
        done = device.script(script, timeout_s=request.timeout_s, check=False)
        if done.returncode != 0:
            raise RunnerError(
                f"The native runner ended with {done.returncode} on {device.serial} for {request.model.name} and said: "
                f"{_last_lines(done.stdout + done.stderr)}"
            )
        report = self._report(device, done.stdout, nonce, sha256_of(request.model))
        outputs = self._outputs(store, report, request) if request.want_outputs else None
        return self._result(report, outputs)

    def stop(self, device: Device) -> None:
        """Ends a run that a lost connection left behind, so that it does not heat the phone or disturb the next."""
        if not self._scratch:
            return
        pid = quote(f"{self._scratch}/pid")
        device.script(
            f'p=$(cat {pid} 2>/dev/null) || exit 0\ncase "$(tr "\\0" " " < /proc/$p/cmdline 2>/dev/null)" in\n'
            f"*{self._remote}*) kill -9 $p ;;\nesac\nrm -f {pid}",
            check=False,
            retry=True,
        )

    def _require_bundle(self) -> RunnerBundle:
        if self._bundle is None:
            raise DeviceError("The native runner was not prepared for this device.")
        return self._bundle

    def _put_inputs(self, store: Store, inputs: tuple[np.ndarray, ...] | None) -> str | None:
        if inputs is None:
            return None
        data = b"".join(np.ascontiguousarray(each).tobytes() for each in inputs)
        digest = sha256_of(data)
        if digest not in self._inputs:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "inputs.bin"
                path.write_bytes(data)
                self._inputs[digest] = store.put(path)
        return self._inputs[digest]

    def _script(self, request: RunRequest, model: str, inputs: str | None, nonce: str) -> str:
        loader = self._require_bundle().loader
        words = ["taskset", request.mask] if request.mask else []
        if loader:
            words += [f"{self._remote}/{loader}", "--library-path", self._remote]
        words += [f"{self._remote}/{PROGRAM}", "--litert", f"{self._remote}/{LIBRARY}", "--model", model]
        words += ["--report", "report.json", "--nonce", nonce, "--threads", str(request.num_threads)]
        words += ["--min-samples", str(request.min_samples), "--min-seconds", f"{request.min_seconds:g}"]
        words += ["--warmup-runs", str(request.warmup_runs)]
        if inputs:
            words += ["--inputs", inputs]
        if request.want_outputs:
            words += ["--outputs", "outputs.bin"]
        command = " ".join(map(quote, words))
        return (
            f"cd {quote(self._scratch)} || exit 90\nrm -f report.json outputs.bin log\n"
            f"{command} > log 2>&1 &\necho $! > pid\nwait $!\nrc=$?\nrm -f pid\n"
            "if [ $rc -ne 0 ]; then tail -n 5 log; exit $rc; fi\n"
            f"echo {nonce}\ncat report.json\nsha256sum < report.json\nsha256sum < {quote(model)}"
        )

    def _report(self, device: Device, text: str, nonce: str, model_sha256: str) -> dict[str, Any]:
        found = re.search(rf"^{nonce}\n(\{{.*\}}\n)([0-9a-f]{{64}})\b.*\n([0-9a-f]{{64}})\b", text, re.MULTILINE)
        if not found:
            raise DamagedRunError(f"The native runner left no report on {device.serial}. It said: {_last_lines(text)}")
        if sha256_of(found[1].encode()) != found[2]:
            raise DamagedRunError(
                f"The report of the native runner arrived damaged from {device.serial}. Run it again."
            )
        if found[3] != model_sha256:
            raise DamagedRunError(f"{device.serial} ran other bytes than those of the file here. Run it again.")
        report: dict[str, Any] = json.loads(found[1])
        if report.get("nonce") != nonce:
            raise DamagedRunError(f"The report on {device.serial} is of another run. Run it again.")
        return report

    def _outputs(
        self, store: Store, report: Mapping[str, Any], request: RunRequest
    ) -> tuple[dict[str, np.ndarray], ...]:
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "outputs.bin"
            store.fetch(f"{self._scratch}/outputs.bin", local)
            data = local.read_bytes()
        if len(data) != report["outputs_bytes"] or zlib.crc32(data) != report["outputs_crc32"]:
            raise DamagedRunError(f"The outputs of {request.model.name} are not those of this run. Run it again.")
        return unpack(data, report["outputs"], report["num_inputs"])

    def _result(self, report: Mapping[str, Any], outputs: tuple[dict[str, np.ndarray], ...] | None) -> RunResult:
        whole = bool(report["fully_accelerated"])
        notes: tuple[str, ...] = (
            () if whole else ("XNNPACK does not run all of this file; LiteRT's own kernels run the rest.",)
        )
        if 0 < report["threads_alive"] < report["threads_asked"]:
            notes += (f"{report['threads_asked']} threads were asked for; the process had {report['threads_alive']}.",)
        return RunResult(
            init_us=report["init_ns"] / 1000,
            first_us=report["first_ns"] / 1000,
            warmup_us=tuple(time / 1000 for time in report["warmup_ns"]),
            samples_us=tuple(time / 1000 for time in report["samples_ns"]),
            delegate_applied="xnnpack" if whole else "xnnpack in part",
            context=self.context,
            tool=self.tool,
            cpu_us=report["steady_cpu_ns"] / 1000,
            peak_rss_bytes=report["peak_rss_bytes"],
            outputs=outputs,
            notes=notes,
        )


def unpack(data: bytes, tensors: list[dict[str, Any]], count: int) -> tuple[dict[str, np.ndarray], ...]:
    """Splits packed outputs.

    Args:
        data: for every input, the bytes of all outputs one after another.
        tensors: name, shape, element type and size of each, as in the report.
        count: number of inputs.
    Raises:
        RunnerError: an element type that no file of ours has.
    """
    results, offset = [], 0
    for _ in range(count):
        arrays: dict[str, np.ndarray] = {}
        for tensor in tensors:
            if tensor["element_type"] not in _DTYPES:
                raise RunnerError(f"Output {tensor['name']!r} has LiteRT's element type {tensor['element_type']}.")
            dtype = np.dtype(_DTYPES[tensor["element_type"]])
            raw = np.frombuffer(data, dtype, tensor["bytes"] // dtype.itemsize, offset)
            arrays[tensor["name"]] = raw.reshape(tensor["shape"])
            offset += tensor["bytes"]
        results.append(arrays)
    return tuple(results)


def _last_lines(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-5:])[-800:] or "nothing"
