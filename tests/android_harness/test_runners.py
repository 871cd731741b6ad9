"""Google's benchmark programs: what they print is read, and what they only mention is refused.

No real one runs here. Scripts play them on the test device with the output that they print on phones.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from blazeport.android_harness.runners import wire
from blazeport.android_harness.runners.base import RunnerError
from blazeport.android_harness.runners.binary import runner_binary
from blazeport.android_harness.runners.choose import runner_factory
from blazeport.android_harness.runners.output import parse_classic, parse_litert, parse_op_profile
from blazeport.errors import ConfigError, DeviceError
from blazeport.files import sha256_of
from testing.adb_server import AdbServer
from testing.bench import measure, networks, reach
from testing.device import TestDevice

# tensorflow#56301 and #43541.
CLASSIC = """\
STARTING!
Log parameter values verbosely: [0]
Graph: [/data/local/tmp/x.tflite]
#threads used for CPU inference: [1]
Loaded model /data/local/tmp/x.tflite
{delegate}
The input model file size (MB): 1.2
Initialized session in 126.059ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=39 first=32942 curr=12042 min=11893 max=32942 avg=12581.9 std=3300

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=75 first=12840 curr=11853 min=11787 max=13649 avg=12167.6 std=325

Inference timings in us: Init: 126059, First inference: 32942, Warmup (avg): 12581.9, Inference (avg): 12167.6
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE.
"""
WHOLE = "Explicitly applied {} delegate, and the model graph will be completely executed by the delegate."
PART = WHOLE.replace("completely executed by the delegate", "partially executed by the delegate w/ 44 delegate kernels")
LITERT = """\
INFO: [litert/tools/benchmark_litert_model.h:99] {delegate}
INFO: [litert/tools/benchmark_litert_model.h:108]
========== BENCHMARK RESULTS ==========
INFO: [litert/tools/benchmark_litert_model.h:109] Model initialization: 126.06 ms
INFO: [litert/tools/benchmark_litert_model.h:111] Warmup (first):       32.94 ms
INFO: [litert/tools/benchmark_litert_model.h:113] Warmup (avg):         12.58 ms (39 runs)
INFO: [litert/tools/benchmark_litert_model.h:115] Inference (avg):      12.17 ms (75 runs)
INFO: [litert/tools/benchmark_litert_model.h:119] Inference (min):      11.79 ms
INFO: [litert/tools/benchmark_litert_model.h:121] Inference (max):      13.65 ms
INFO: [litert/tools/benchmark_litert_model.h:123] Inference (std):      0.33
INFO: [litert/tools/benchmark_litert_model.h:133] Init footprint:       8.25 MB
======================================
"""
PROFILE = """\
Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t             [node type]\t          [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t            4.268\t    4.269\t 35.107%\t 35.107%\t     0.000\t        1\t[a/Conv2D]:0
\t       DEPTHWISE_CONV_2D\t            2.150\t    2.150\t 17.682%\t 52.789%\t     0.000\t        2\t[b/depthwise]:1

============================== Top by Computation Time ==============================
\t                 CONV_2D\t            4.268\t    4.269\t 35.107%\t 35.107%\t     0.000\t        1\t[a/Conv2D]:0
"""
Play = Callable[..., Path]


def result_file(**latency: float) -> bytes:
    """A `BenchmarkResult` with these latencies in ms, and other messages around them."""
    numbers = {name: number for number, name in wire._LATENCY_FIELDS.items()}
    body = b"".join(bytes([numbers[name] << 3 | 5]) + struct.pack("<f", value) for name, value in latency.items())
    return b"\x0a\x03abc" + b"\x12" + bytes([len(body)]) + body + b"\x22\x04\x10\x4b\x18\x27"


LATENCY = {"avg": 12.1676, "min": 11.787, "max": 13.649, "std": 0.325, "median": 12.1, "p5": 11.9, "p95": 12.9}


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Makes a program for the test device that prints a text, and writes a result file when it is given one."""

    def make(text: str, result: bytes = b"", returncode: int = 0, package: str = "") -> Path:
        path = tmp_path / "program"
        octal = "".join(f"\\{byte:03o}" for byte in result)
        lines = [
            "#!/system/bin/sh",
            f"# package: {package}",
            "echo 'blazeport synthetic: plays a benchmark program'",
            f"printf '{octal}' > result.pb" if result else "",
            f"cat <<'END'\n{text}END",
            f"exit {returncode}",
        ]
        path.write_text("\n".join(lines) + "\n")
        return path

    return make


def runner(name: str, program: Path, **options: bool) -> Callable:
    return runner_factory(name, str(program), **options)


def test_the_classic_output_is_read_to_its_last_figure():
    found = parse_classic(CLASSIC.format(delegate=WHOLE.format("GPU")), delegate="gpu", program="it")
    assert (found.init_us, found.first_us, found.warmup_mean_us) == (126059, 32942, 12581.9)
    summary = found.summary
    assert (summary.count, summary.min_us, summary.max_us, summary.mean_us, summary.std_us) == (
        75,
        11787,
        13649,
        12167.6,
        325,
    )
    assert summary.median_us is None
    assert found.delegate_applied == "gpu"


def test_newer_programs_give_percentiles_on_the_count_line():
    text = CLASSIC.format(delegate=WHOLE.format("XNNPACK")).replace(
        "std=325", "std=325 p5=11800 median=12100 p95=12900"
    )
    summary = parse_classic(text, delegate="cpu", program="it").summary
    assert (summary.p5_us, summary.median_us, summary.p95_us) == (11800, 12100, 12900)


@pytest.mark.parametrize("prefix", ["INFO: ", "11-24 05:00:00.123  4242  4260 I tflite  : ", "I/tflite  ( 4242): "])
def test_what_logs_put_before_a_line_does_not_matter(prefix: str):
    text = "\r\n".join(prefix + line for line in CLASSIC.format(delegate=WHOLE.format("XNNPACK")).splitlines())
    assert parse_classic(text, delegate="cpu", program="it").summary.count == 75


@pytest.mark.parametrize("parse", [parse_classic, parse_litert])
@pytest.mark.parametrize(
    ("delegate", "said", "problem"),
    [
        ("gpu", PART.format("GPU"), "in part only .44 parts"),
        ("gpu", "Replacing 60 out of 66 node(s) with delegate (LITERT_CL) node", "in part only .60 of 66 nodes"),
        ("gpu", WHOLE.format("XNNPACK"), "does not say that it ran"),
        ("gpu", "", "does not say that it ran"),
        ("nnapi", WHOLE.format("GPU"), "does not say that it ran"),
        ("npu", "", "does not say that it ran"),
        ("cpu", WHOLE.format("GPU"), "The CPU was asked for, and the GPU delegate"),
        ("cpu", "Unconsumed cmdline flags: --use_gpuu=true", "does not know these flags: --use_gpuu=true"),
    ],
)
def test_a_run_that_is_not_the_one_asked_for_is_refused(parse: Callable, delegate: str, said: str, problem: str):
    text = (CLASSIC if parse is parse_classic else LITERT).format(delegate=said)
    with pytest.raises(RunnerError, match=problem):
        parse(text, delegate=delegate, program="it")


def test_xnnpack_in_part_is_still_the_cpu_and_noted():
    found = parse_classic(CLASSIC.format(delegate=PART.format("XNNPACK")), delegate="cpu", program="it")
    assert found.delegate_applied == "xnnpack in part"
    assert "44 parts" in found.notes[0]


@pytest.mark.parametrize("parse", [parse_classic, parse_litert])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8])
def test_output_that_was_cut_off_is_no_result(parse: Callable, share: float):
    text = (CLASSIC if parse is parse_classic else LITERT).format(delegate="Created XNNPACK delegate")
    with pytest.raises(RunnerError):
        parse(text[: int(len(text) * share)], delegate="cpu", program="it")


def test_the_op_profile_gives_every_node_in_run_order():
    ops = parse_op_profile(PROFILE)
    assert [(op.kind, op.name, op.mean_us, op.calls) for op in ops] == [
        ("CONV_2D", "[a/Conv2D]:0", 4269.0, 1),
        ("DEPTHWISE_CONV_2D", "[b/depthwise]:1", 2150.0, 2),
    ]
    assert parse_op_profile("nothing") == ()


def test_the_result_file_of_litert_is_decoded_without_its_schema():
    found = wire.latency_ms(result_file(**LATENCY))
    assert found == pytest.approx(LATENCY)


@pytest.mark.parametrize("data", [b"", b"\x12", b"\x12\x7f\x00", b"\x13", b"\xff" * 12, result_file(avg=1.0)[:-9]])
def test_a_result_file_that_is_cut_off_or_something_else_is_refused(data: bytes):
    with pytest.raises(RunnerError, match="result file"):
        wire.latency_ms(data)


@pytest.mark.parametrize(
    ("name", "text", "result"),
    [
        ("benchmark_model", CLASSIC.format(delegate=WHOLE.format("XNNPACK")), b""),
        ("litert_benchmark_model", LITERT.format(delegate="Created XNNPACK delegate for CPU."), result_file(**LATENCY)),
    ],
)
def test_a_program_of_the_shell_is_measured_labelled_and_marked_as_played(
    name: str, text: str, result: bytes, play: Play, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    program = play(text, result)
    (report,) = measure(
        [reach(adb_server, pixel)], networks(tmp_path / "files"), tmp_path, make_runner=runner(name, program)
    )
    assert report.complete
    (record,) = report.records.values()
    assert (record.tool.name, record.tool.context, record.tool.sha256) == (name, "shell", sha256_of(program))
    assert record.delegate_applied == "xnnpack"
    assert record.synthetic
    assert record.median_us == pytest.approx(12100 if result else 12167.6)
    assert all(run.count == 75 and not run.samples_us for run in record.runs)
    assert any("gives no samples" in sentence for sentence in record.warnings())


def test_the_app_is_installed_started_and_labelled_as_an_app(
    play: Play, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    program = play(CLASSIC.format(delegate=WHOLE.format("GPU")), package="org.tensorflow.lite.benchmark")
    (report,) = measure(
        [reach(adb_server, pixel)],
        networks(tmp_path / "files"),
        tmp_path,
        make_runner=runner("apk", program),
        delegates=("gpu",),
    )
    assert report.complete, report
    (record,) = report.records.values()
    assert (record.tool.context, record.delegate_applied, record.synthetic) == ("foreground-app", "gpu", True)


@pytest.mark.parametrize("name", ["benchmark_model", "litert_benchmark_model", "apk"])
@pytest.mark.parametrize(
    "said",
    [PART.format("GPU"), "nothing of a delegate", "Unconsumed cmdline flags: --num_threads=1"],
    ids=["in_part", "missing", "unknown_flag"],
)
def test_a_wrong_run_stops_its_cell_and_leaves_no_record(
    name: str, said: str, play: Play, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    text = (LITERT if name.startswith("litert") else CLASSIC).format(delegate=said)
    program = play(text, result_file(**LATENCY), package="org.tensorflow.lite.benchmark")
    (report,) = measure(
        [reach(adb_server, pixel)],
        networks(tmp_path / "files"),
        tmp_path,
        make_runner=runner(name, program),
        delegates=("gpu",),
        repeats=3,
    )
    assert report.error is None
    assert len(report.failures) == 1
    assert not report.records
    assert not list((tmp_path / "results").glob("*"))


def test_a_program_that_fails_says_why(play: Play, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    program = play("ERROR: Failed to load model\n", returncode=1)
    (report,) = measure(
        [reach(adb_server, pixel)],
        networks(tmp_path / "files"),
        tmp_path,
        make_runner=runner("benchmark_model", program),
    )
    assert "ended with 1" in report.failures[0]
    assert "Failed to load model" in report.failures[0]


def test_a_result_file_of_another_run_is_refused(play: Play, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path):
    program = play(LITERT.format(delegate="XNNPACK delegate"), result_file(**LATENCY | {"avg": 99.0}))
    (report,) = measure(
        [reach(adb_server, pixel)],
        networks(tmp_path / "files"),
        tmp_path,
        make_runner=runner("litert_benchmark_model", program),
    )
    assert "of different runs" in report.failures[0]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("benchmark_model", {"delegates": ("npu",)}, "supports the delegates cpu, gpu, nnapi"),
        ("litert_benchmark_model", {"delegates": ("nnapi",)}, "supports the delegates cpu, gpu, npu"),
        ("native", {"delegates": ("gpu",)}, "supports the delegates cpu"),
    ],
)
def test_a_delegate_that_a_runner_cannot_apply_is_named(
    name: str, options: dict, said: str, play: Play, adb_server: AdbServer, pixel: TestDevice, tmp_path: Path
):
    chosen = {} if name == "native" else {"make_runner": runner(name, play(""))}
    with pytest.raises(ConfigError, match=said):
        measure([reach(adb_server, pixel)], networks(tmp_path / "files"), tmp_path, **chosen, **options)


def test_a_program_must_be_named_and_an_address_pinned(tmp_path: Path):
    with pytest.raises(ConfigError, match="needs --runner-binary"):
        runner_factory("benchmark_model")
    with pytest.raises(ConfigError, match="Unknown runner"):
        runner_factory("stopwatch")
    with pytest.raises(ConfigError, match="pinned"):
        runner_binary("https://example.com/benchmark_model", "benchmark_model")
    with pytest.raises(DeviceError, match="no such file"):
        runner_binary(str(tmp_path / "gone"), "benchmark_model")


def test_a_pinned_program_is_taken_from_the_cache_and_a_changed_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BLAZEPORT_CACHE", str(tmp_path))
    kept = tmp_path / "runners" / sha256_of(b"program")
    kept.parent.mkdir()
    kept.write_bytes(b"program")
    address = f"https://127.0.0.1:1/benchmark_model#sha256={sha256_of(b'program')}"
    assert runner_binary(address, "benchmark_model") == kept
    kept.write_bytes(b"changed")
    with pytest.raises(DeviceError, match="Cannot fetch"):
        runner_binary(address, "benchmark_model")
