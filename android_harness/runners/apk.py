"""TensorFlow's benchmark app, started through the activity manager; its results come from the log.

Untested on a phone. An app in the foreground gets other cores and clocks than a program of the shell: its records say
`foreground-app` and do not merge with those of the shell.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...benchmarks.records import Context, ToolRecord
from ...errors import ConfigError, DeviceError
from ...files import sha256_of
from ..adb import quote
from .base import RunnerError, RunRequest, RunResult, require_delegate
from .benchmark_model import common_flags
from .output import parse_classic

if TYPE_CHECKING:
    from ..adb import Device
    from ..store import Store

PACKAGE = "org.tensorflow.lite.benchmark"
ACTIVITY = f"{PACKAGE}/.BenchmarkModelActivity"
_TAG = "tflite"
_ENDED = "Inference timings|FATAL EXCEPTION|Failed|Aborting"
_INSTALL_TIMEOUT_S = 180.0


class ApkRunner:
    """The app.

    Args:
        binary: its .apk.
    """

    name = "apk"
    context: Context = "foreground-app"

    def __init__(self, binary: Path) -> None:
        self._binary = binary

    @property
    def tool(self) -> ToolRecord:
        """The app, known by the sha256 of its .apk."""
        return ToolRecord(name=self.name, version="unknown", sha256=sha256_of(self._binary), context=self.context)

    def prepare(self, device: Device, store: Store) -> None:
        """Pushes and installs the app, and proves that the installed one is this one. Raises as `Runner.prepare`."""
        remote = store.put(self._binary)
        # `pm` reads the file only under a name that ends with .apk.
        done = device.script(
            f"f={quote(remote)}.apk\ncp {quote(remote)} $f && pm install -r -d -g $f\nrm -f $f\n"
            f"p=$(pm path {PACKAGE}) && sha256sum ${{p#package:}}",
            timeout_s=_INSTALL_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0 or sha256_of(self._binary) not in done.stdout:
            said = (done.stderr.strip() or done.stdout.strip())[-400:]
            raise DeviceError(f"{device.serial} did not install {self._binary.name}: {said or 'it said nothing'}.")

    def run(self, device: Device, store: Store, request: RunRequest) -> RunResult:
        """One start of the app. Raises as `Runner.run`."""
        require_delegate(self.name, request.delegate, ("cpu", "gpu", "nnapi"), "Choose another --runner for it.")
        if request.inputs is not None or request.want_outputs or request.mask:
            raise ConfigError("The apk runner takes no inputs and no --affinity, and gives no outputs.")
        flags = [*common_flags(request, store.put(request.model)), "--use_xnnpack=true"]
        if request.delegate != "cpu":
            flags += [f"--use_{request.delegate}=true", "--require_full_delegation=true"]
        arguments = '"' + " ".join(flags) + '"'  # The app splits them itself and wants the quotes.
        polls = max(int(request.timeout_s) - 30, 5)
        done = device.script(
            f"am force-stop {PACKAGE}\nlogcat -c\n"
            f"am start -S -W -n {ACTIVITY} --es args {quote(arguments)} || exit 91\n"
            f"i=0\nuntil logcat -d -s {_TAG}:V AndroidRuntime:E | grep -qE {quote(_ENDED)}\n"
            f"do\n  i=$((i+1))\n  [ $i -gt {polls} ] && exit 92\n  sleep 1\ndone\n"
            f"logcat -d -s {_TAG}:V AndroidRuntime:E\nam force-stop {PACKAGE}",
            timeout_s=request.timeout_s + 30,
            check=False,
        )
        if done.returncode == 92:
            raise RunnerError(f"The benchmark app did not finish within {polls} s on {device.serial}.")
        if done.returncode != 0 or "FATAL EXCEPTION" in done.stdout:
            said = " | ".join(done.stdout.strip().splitlines()[-5:])[-800:]
            raise RunnerError(f"The benchmark app did not run on {device.serial} (is the screen unlocked?): {said}")
        return parse_classic(done.stdout, delegate=request.delegate, program="the benchmark app").result(self)

    def stop(self, device: Device) -> None:
        """Ends the app."""
        device.script(f"am force-stop {PACKAGE}", check=False, retry=True)
