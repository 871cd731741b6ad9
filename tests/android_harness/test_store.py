"""The store: only proven bytes get a final name, whatever the connection does, and only our names are ever removed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
from pathlib import Path
from typing import cast

import pytest
from blazeport import errors
from blazeport.android_harness.adb import Device, ShellResult
from blazeport.android_harness.store import ROOT, Store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testing import profiles
from testing.device import TestDevice

SIZE = 300_000
TYPED = (errors.AdbError, errors.CorruptTransfer)
FINAL = re.compile(r"(bundle-)?[0-9a-f]{64}")
ON_A_DEVICE = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(range(256)) * (SIZE // 256))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def below_root(phone: TestDevice) -> list[str]:
    root = phone.path(ROOT)
    return sorted(each.name for each in root.iterdir()) if root.exists() else []


def assert_only_whole_files(phone: TestDevice) -> None:
    """No file has a final name that its bytes do not have."""
    for name in below_root(phone):
        path = phone.path(f"{ROOT}/{name}")
        if FINAL.fullmatch(name) and path.is_file():
            assert digest(path) == name


@pytest.mark.parametrize("profile", ["pixel", "old_phone", "sparse_phone"])
def test_a_file_is_brought_once_under_its_sha256(over, request, model: Path, profile: str):
    phone: TestDevice = request.getfixturevalue(profile)
    store = Store(over(phone))
    remote = store.put(model)
    assert remote == f"{ROOT}/{digest(model)}"
    assert phone.path(remote).read_bytes() == model.read_bytes()
    calls = store.device.calls
    assert store.put(model) == remote
    assert store.device.calls == calls
    later = Store(over(phone))
    assert later.put(model) == remote
    assert later.device.calls == 1
    assert sum(service.startswith("sync:") for service in phone.services) == 1


def test_other_bytes_of_the_same_name_and_size_are_another_file(over, pixel: TestDevice, model: Path):
    store = Store(over(pixel))
    first = store.put(model)
    model.write_bytes(bytes(reversed(model.read_bytes())))
    second = store.put(model)
    assert first != second
    assert pixel.path(second).read_bytes() == model.read_bytes()


def test_a_file_that_was_changed_on_the_phone_is_brought_again(over, pixel: TestDevice, model: Path):
    remote = Store(over(pixel)).put(model)
    pixel.path(remote).write_bytes(bytes(SIZE))
    Store(over(pixel)).put(model)
    assert pixel.path(remote).read_bytes() == model.read_bytes()


def test_a_program_may_be_run(over, pixel: TestDevice, tmp_path: Path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho it runs\n")
    device = over(pixel)
    Store(device).put(program)
    remote = Store(device).put(program, executable=True)
    assert device.shell([remote]).stdout == "it runs\n"


@pytest.mark.parametrize("at", ["push", "shell"])
@pytest.mark.parametrize("kind", ["drop", "reboot", "corrupt_byte", "hang"])
def test_a_passing_fault_ends_in_the_right_bytes_or_a_typed_error(over, pixel: TestDevice, model, kind: str, at: str):
    pixel.fault(kind, at=at, after_bytes=100_000 if at == "push" else 20)
    device = over(pixel)
    device.reconnect_timeout_s = 15.0
    store = Store(device, timeout_s=2.0 if kind == "hang" else 20.0)
    try:
        remote = store.put(model)
    except TYPED:
        pixel.heal()
        assert_only_whole_files(pixel)
        device.reconnect()
        remote = Store(device).put(model)
    assert pixel.path(remote).read_bytes() == model.read_bytes()
    assert below_root(pixel) == [digest(model)]


@pytest.mark.parametrize("kind", ["offline", "unauthorized"])
@pytest.mark.parametrize("at", ["push", "shell"])
def test_a_phone_that_goes_away_is_a_typed_error_and_leaves_no_final_name(over, pixel, model, kind: str, at: str):
    pixel.fault(kind, at=at, after_bytes=100_000 if at == "push" else 0)
    device = over(pixel)
    device.reconnect_timeout_s = 1.0
    with pytest.raises((errors.DeviceOffline, errors.DeviceUnauthorized, errors.ConnectionLost)):
        Store(device).put(model)
    assert not [name for name in below_root(pixel) if FINAL.fullmatch(name)]
    pixel.heal()
    device.reconnect_timeout_s = 8.0
    device.reconnect()
    remote = Store(device).put(model)
    assert pixel.path(remote).read_bytes() == model.read_bytes()
    assert below_root(pixel) == [digest(model)]


def test_a_push_over_a_slow_link_arrives(over, pixel: TestDevice, model: Path):
    pixel.fault("slow_link", at="push", bytes_per_s=3e6)
    assert pixel.path(Store(over(pixel)).put(model)).read_bytes() == model.read_bytes()


def test_a_link_that_damages_every_push_is_an_error_and_leaves_nothing(over, pixel: TestDevice, model: Path):
    pixel.fault("corrupt_byte", at="push", after_bytes=1000, times=2)
    with pytest.raises(errors.CorruptTransfer, match="twice"):
        Store(over(pixel)).put(model)
    assert below_root(pixel) == []


def test_a_file_that_cannot_fit_is_not_pushed(over, pixel: TestDevice, model: Path):
    pixel.set_free_bytes(1_000_000)
    with pytest.raises(errors.NoSpace, match="has 1 MiB"):
        Store(over(pixel)).put(model)
    assert not [service for service in pixel.services if service.startswith("sync:")]


@pytest.mark.parametrize("profile", ["pixel", "old_phone"])
def test_a_disk_that_is_full_all_the_same_is_an_error_and_leaves_nothing(over, request, model: Path, profile: str):
    phone: TestDevice = request.getfixturevalue(profile)
    phone.fault("disk_full", at="push", after_bytes=100_000)
    with pytest.raises(errors.NoSpace):
        Store(over(phone)).put(model)
    assert below_root(phone) == []


def test_a_phone_without_sha256sum_is_told_apart(over, phone, model: Path):
    bare = phone(dataclasses.replace(profiles.PIXEL, missing_tools=("sha256sum",)))
    with pytest.raises(errors.CommandFailed, match="no sha256sum"):
        Store(over(bare)).put(model)


def test_a_link_in_place_of_our_folder_is_not_followed(over, pixel: TestDevice, model: Path):
    pixel.path("/data/local/tmp/elsewhere").mkdir()
    pixel.path(ROOT).symlink_to("elsewhere")
    with pytest.raises(errors.CommandFailed, match="is a link"):
        Store(over(pixel)).put(model)
    assert not list(pixel.path("/data/local/tmp/elsewhere").iterdir())


def test_a_bundle_holds_its_files_under_their_names_and_is_brought_once(over, pixel: TestDevice, model: Path, tmp_path):
    program = tmp_path / "a program"
    program.write_text('#!/bin/sh\necho "$1"\n')
    files = {"runner": program, "libLiteRt.so": model, "ld-linux-aarch64.so.1": model}
    device = over(pixel)
    folder = Store(device).bundle(files)
    assert {each.name: each.read_bytes() for each in pixel.path(folder).iterdir()} == {
        name: path.read_bytes() for name, path in files.items()
    }
    assert device.shell([f"{folder}/runner", "$(x) y"]).stdout == "$(x) y\n"
    calls = device.calls
    assert Store(device).bundle(files) == folder
    assert device.calls == calls + 1


def test_a_bundle_with_another_file_is_another_bundle_and_a_damaged_one_is_brought_again(over, pixel, model, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"other")
    device = over(pixel)
    first = Store(device).bundle({"a": model})
    assert Store(device).bundle({"a": other}) != first
    assert Store(device).bundle({"b": model}) != first
    pixel.path(f"{first}/a").write_bytes(b"damaged")
    assert Store(device).bundle({"a": model}) == first
    assert pixel.path(f"{first}/a").read_bytes() == model.read_bytes()


@pytest.mark.parametrize("kind", ["drop", "corrupt_byte", "disk_full"])
def test_a_fault_while_a_bundle_is_pushed_leaves_no_half_of_it(over, pixel: TestDevice, model: Path, kind: str):
    pixel.fault(kind, at="push", after_bytes=100_000, after_calls=1)
    device = over(pixel)
    with contextlib.suppress(errors.NoSpace, *TYPED):
        folder = Store(device).bundle({"a": model, "b": model})
        assert pixel.path(f"{folder}/b").read_bytes() == model.read_bytes()
        return
    assert not [name for name in below_root(pixel) if FINAL.fullmatch(name)]


def test_hostile_file_names_here_do_nothing_there(over, pixel: TestDevice, tmp_path: Path):
    device = over(pixel)
    alphabet = st.text(alphabet="ab .-'\"$()`;\n\\~*é=", min_size=1, max_size=30)

    @ON_A_DEVICE
    @given(alphabet.filter(lambda name: name not in (".", "..")))
    def is_put(name: str) -> None:
        path = tmp_path / "names" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        remote = Store(device).put(path)
        assert remote == f"{ROOT}/{digest(path)}"
        assert pixel.path(remote).read_text() == name

    is_put()
    assert all(FINAL.fullmatch(name) for name in below_root(pixel))


@given(
    st.one_of(st.text(max_size=20), st.sampled_from(["..", ".", "../x", "a/b", "-rf", "$(x)", "a\nb", "a\n", "a b"]))
)
def test_a_name_for_the_phone_is_plain_or_refused(name: str):
    scripts = []

    class Recorder:
        def script(self, text: str, **options: object) -> ShellResult:
            scripts.append(text)
            return ShellResult("", 0)

    store = Store(cast(Device, Recorder()))
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name):
        assert re.fullmatch(rf"{ROOT}/scratch-[0-9a-f]{{16}}-{re.escape(name)}", store.scratch(name))
        return
    with pytest.raises(errors.ConfigError, match="plain file name"):
        store.scratch(name)
    with pytest.raises(errors.ConfigError, match="plain file name"):
        store.bundle({name: Path(__file__)})
    assert not scripts


def test_scratch_folders_are_empty_and_go_at_the_end(over, pixel: TestDevice):
    store, other = Store(over(pixel)), Store(over(pixel))
    folder, kept = store.scratch("out"), other.scratch("out")
    pixel.path(f"{folder}/old").write_text("old")
    assert store.scratch("out") == folder
    assert not list(pixel.path(folder).iterdir())
    store.scratch("more")
    store.remove_scratch()
    assert below_root(pixel) == [kept.removeprefix(f"{ROOT}/")]


@pytest.mark.parametrize("kind", [None, "drop", "corrupt_byte", "hang"])
def test_a_file_is_fetched_with_the_bytes_it_has_on_the_phone(over, pixel: TestDevice, tmp_path: Path, kind):
    store = Store(over(pixel), timeout_s=2.0 if kind == "hang" else 60.0)
    remote = f"{store.scratch('out')}/output.bin"
    pixel.path(remote).write_bytes(b"0123456789" * 10_000)
    if kind:
        pixel.fault(kind, at="pull", after_bytes=50_000)
    store.fetch(remote, tmp_path / "got" / "output.bin")
    assert (tmp_path / "got" / "output.bin").read_bytes() == pixel.path(remote).read_bytes()
    assert len(list((tmp_path / "got").iterdir())) == 1


def test_a_fetch_that_is_damaged_twice_is_an_error_and_leaves_nothing(over, pixel: TestDevice, tmp_path: Path):
    store = Store(over(pixel))
    remote = f"{store.scratch('out')}/output.bin"
    pixel.path(remote).write_bytes(b"0123456789" * 10_000)
    pixel.fault("corrupt_byte", at="pull", after_bytes=50_000, times=2)
    with pytest.raises(errors.CorruptTransfer):
        store.fetch(remote, tmp_path / "got" / "output.bin")
    assert not list((tmp_path / "got").iterdir())


def test_fetching_what_is_not_there_says_so(over, pixel: TestDevice, tmp_path: Path):
    with pytest.raises(errors.DeviceError, match="It is missing"):
        Store(over(pixel)).fetch(f"{ROOT}/nothing '$(x)", tmp_path / "got")


FOREIGN = ("notes.txt", "0" * 63, "bundle-x", "scratch-1-a", "$(touch pwned)", "a\nb", "-rf", "x" + "0" * 64, "A" * 64)


@pytest.mark.parametrize("profile", ["pixel", "old_phone"])
def test_cleaning_removes_ours_and_leaves_foreign_files(over, request, model: Path, profile: str):
    phone: TestDevice = request.getfixturevalue(profile)
    store = Store(over(phone))
    store.put(model)
    store.bundle({"a": model})
    store.scratch("out")
    part = phone.path(f"{ROOT}/{'e' * 64}.0123abcd.part")
    part.write_text("half")
    for name in FOREIGN:
        phone.path(ROOT).joinpath(name).write_text("foreign")
    hidden = phone.path(ROOT) / ".hidden"
    hidden.write_text("foreign")
    # A foreign name whose second line looks like one of ours.
    phone.path(ROOT).joinpath(f"x\n{'d' * 64}").write_text("foreign")
    beside = phone.path("/data/local/tmp") / ("f" * 64)
    beside.write_text("foreign")
    assert store.clean() >= 4
    assert below_root(phone) == sorted([*FOREIGN, ".hidden", f"x\n{'d' * 64}"])
    assert beside.exists()


def test_cleaning_an_untouched_phone_removes_nothing(over, pixel: TestDevice):
    assert Store(over(pixel)).clean() == 0
    assert not pixel.path(ROOT).exists()


def test_cleaning_removes_the_folder_when_nothing_else_is_in_it(over, pixel: TestDevice, model: Path):
    store = Store(over(pixel))
    store.put(model)
    assert store.clean() == 1
    assert not pixel.path(ROOT).exists()


def test_garbage_is_what_is_not_kept(over, pixel: TestDevice, model: Path, tmp_path: Path):
    store = Store(over(pixel))
    kept = store.put(model)
    for number in range(25):
        path = tmp_path / str(number)
        path.write_text(str(number))
        pixel.path(f"{ROOT}/{digest(path)}").write_text(str(number))
    scratch = store.scratch("out")
    assert store.collect_garbage([kept]) == 25
    assert below_root(pixel) == sorted(each.removeprefix(f"{ROOT}/") for each in (kept, scratch))
