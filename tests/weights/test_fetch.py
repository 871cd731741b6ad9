"""Fetching: the real official files, and every way a download or the cache can fail, with real pip and HTTP."""

from __future__ import annotations

import errno
import http.server
import io
import json
import logging
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from blazeport.errors import ConfigError, OutputError, WeightsError
from blazeport.files import sha256_of
from blazeport.weights import fetch, places
from blazeport.weights.fetch import cached, cached_copies, demo_photos, official_file, official_files
from blazeport.weights.reader import read_tflite
from blazeport.weights.sources import DEMO_PHOTOS, OFFICIAL, Bucket, Installed, Npm, Place, RemoteFile, Source, Wheel

CONTENT = {"toy": b"the toy's weights", "sibling": b"another network", "third": b"one more"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("BLAZEPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network and no program on PATH; the folder that is PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "no-wheels"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return programs


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, RemoteFile]:
    """An empty table of official files for a test to fill."""
    files: dict[str, RemoteFile] = {}
    monkeypatch.setattr(fetch, "OFFICIAL", files)
    monkeypatch.setattr(fetch, "DEMO_PHOTOS", ())
    return files


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A web folder that serves `tmp_path / "web"`."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Bucket(url=f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def real() -> dict[str, Path]:
    """Variant → official file in the real cache. Session fixtures come before those that change the environment."""
    return official_files(OFFICIAL)


def add(table: dict[str, RemoteFile], name: str, *sources: tuple[Place, str]) -> None:
    table[name] = RemoteFile(
        filename=f"{name}.tflite",
        sha256s=(sha256_of(CONTENT[name]),),
        size_bytes=len(CONTENT[name]),
        licence="Apache-2.0",
        origin="test",
        sources=tuple(Source(place=place, member=member) for place, member in sources),
    )


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# --- the real files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", OFFICIAL)
def test_an_official_file_is_fetched_verified_and_cached(variant: str):
    path = official_file(variant)
    assert sha256_of(path) in OFFICIAL[variant].sha256s
    assert path.stat().st_size <= OFFICIAL[variant].size_bytes
    assert cached(variant) == path
    read_tflite(path)


def test_the_demo_photos_are_photos():
    paths = demo_photos()
    assert [path.name for path in paths] == [photo.filename for photo in DEMO_PHOTOS]
    assert {path.read_bytes()[:3] for path in paths} == {b"\x89PN", b"\xff\xd8\xff"}


# --- without a network ------------------------------------------------------------------------------------------------


def test_without_a_network_the_error_lists_every_place_and_the_way_out(cache: Path, offline: Path):
    with pytest.raises(WeightsError) as caught:
        official_files(["pose_detection", "pose_landmark_heavy"])
    first, *tried = str(caught.value).splitlines()
    assert first == "Cannot fetch pose_detection, pose_landmark_heavy. To use files you have: --from DIR. Tried:"
    assert [line.split(": ")[0].strip() for line in tried] == [
        "installed mediapipe",
        "wheel mediapipe==0.10.21",
        "npm @mediapipe/pose@0.5.1675469404",
        "https://storage.googleapis.com/mediapipe-assets/",
    ]
    assert "No matching distribution" in tried[1]
    assert tried[2].endswith("npm is not installed")
    assert all(len(line) < 160 for line in tried)
    assert files_below(cache) == []


def test_the_error_about_photos_names_the_option_for_photos(cache: Path, offline: Path):
    with pytest.raises(WeightsError, match="--calibration DIR"):
        demo_photos()


def test_a_cached_file_needs_no_network(real, offline: Path):
    assert official_file("pose_detection") == real["pose_detection"]


def test_an_unknown_variant_is_an_error_that_lists_them():
    for call in (official_file, cached):
        with pytest.raises(ConfigError, match=r"Expected one of: face_detection_short_range, .* Received: 'x'"):
            call("x")


# --- places -----------------------------------------------------------------------------------------------------------


def test_an_installed_package_is_read_without_importing_it(tmp_path: Path, cache: Path, table, monkeypatch):
    package = tmp_path / "site" / "toy_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "toy.bin").write_bytes(CONTENT["toy"])
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    add(table, "toy", (Installed(package="toy_package"), "toy_package/toy.bin"))
    add(table, "sibling", (Installed(package="toy_package"), "toy_package/sibling.bin"))
    assert official_file("toy").read_bytes() == CONTENT["toy"]
    with pytest.raises(WeightsError, match=r"installed toy_package: it holds no toy_package/sibling\.bin"):
        official_file("sibling")


def write_wheel(folder: Path, members: dict[str, bytes]) -> Wheel:
    folder.mkdir(exist_ok=True)
    info = "toy_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "toy_weights-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_28_x86_64\n")
        archive.writestr(f"{info}/RECORD", "")
    return Wheel(requirement="toy-weights==1.0", platform="manylinux_2_28_x86_64")


def test_a_wheel_is_downloaded_by_pip_and_only_unzipped(tmp_path: Path, cache: Path, offline: Path, table, monkeypatch):
    wheel = write_wheel(tmp_path / "no-wheels", {"toy/toy.bin": CONTENT["toy"], "toy/sibling.bin": CONTENT["sibling"]})
    add(table, "toy", (wheel, "toy/toy.bin"))
    add(table, "sibling", (wheel, "toy/sibling.bin"))
    add(table, "third", (wheel, "toy/third.bin"))
    assert official_file("toy").read_bytes() == CONTENT["toy"]
    # The wheel was opened once, for all it is known to hold.
    assert cached("sibling") is not None
    with pytest.raises(WeightsError, match=r"wheel toy-weights==1\.0: it holds no toy/third\.bin"):
        official_file("third")


def test_a_damaged_wheel_is_a_failure_of_that_place(tmp_path: Path, cache: Path, offline: Path, table, monkeypatch):
    wheel = write_wheel(tmp_path / "no-wheels", {"toy/toy.bin": CONTENT["toy"] * 50})
    add(table, "toy", (wheel, "toy/toy.bin"))
    monkeypatch.setattr(places, "_run", lambda command, folder: (Path(folder) / "toy.whl").write_bytes(b"PK no zip"))
    with pytest.raises(WeightsError, match="the downloaded wheel cannot be read"):
        official_file("toy")


def test_without_pip_uv_or_npm_the_error_says_so(cache: Path, offline: Path, table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: None)
    add(table, "toy", (Wheel(requirement="a==1", platform="any"), "x"), (Npm(spec="@a/b@1"), "x"))
    with pytest.raises(WeightsError, match=r"wheel a==1: neither pip nor uv is installed\n  npm @a/b@1: npm is not"):
        official_file("toy")


@pytest.mark.parametrize("program", ["pip", "uv"])
def test_another_pip_or_uv_serves_when_this_python_has_none(
    tmp_path: Path, cache: Path, offline: Path, table, monkeypatch: pytest.MonkeyPatch, program: str
):
    wheel = write_wheel(tmp_path / "wheels", {"toy/toy.bin": CONTENT["toy"]})
    add(table, "toy", (wheel, "toy/toy.bin"))
    script(
        offline / program,
        f"""
        import shutil
        assert sys.argv[0].endswith("/uv") == (sys.argv[1:4] == ["tool", "run", "pip"])
        wheel = {str(next((tmp_path / "wheels").iterdir()))!r}
        shutil.copy(wheel, sys.argv[sys.argv.index("--dest") + 1])
        """,
    )
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: None)
    assert official_file("toy").read_bytes() == CONTENT["toy"]


def script(path: Path, body: str) -> None:
    lines = [line.removeprefix("        ") for line in body.strip("\n").splitlines()]
    path.write_text("\n".join([f"#!{sys.executable}", "import sys", *lines, ""]))
    path.chmod(0o755)


def tgz(members: dict[str, bytes | None]) -> bytes:
    """A .tgz; a member without content is a link out of the archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content or b""))
    return buffer.getvalue()


def fake_npm(programs: Path, package: bytes) -> Path:
    """An `npm` that "downloads" this package; the log has one line for each time it ran."""
    log, content = programs / "npm.log", programs / "package.tgz"
    log.touch()
    content.write_bytes(package)
    script(
        programs / "npm",
        f"""
        import shutil
        print(sys.argv[1:], file=open({str(log)!r}, "a"))
        shutil.copy({str(content)!r}, sys.argv[sys.argv.index("--pack-destination") + 1])
        """,
    )
    return log


def test_an_npm_package_is_opened_once_for_all_its_files(cache: Path, offline: Path, table):
    log = fake_npm(offline, tgz({f"package/{name}": content for name, content in CONTENT.items()}))
    npm = Npm(spec="@toy/weights@1.0.0")
    for name in CONTENT:
        add(table, name, (npm, f"package/{name}"))
    paths = official_files(["toy", "sibling"])
    assert list(paths) == ["toy", "sibling"]
    assert official_file("third").read_bytes() == CONTENT["third"]
    assert len(log.read_text().splitlines()) == 1
    assert "'pack', '@toy/weights@1.0.0'" in log.read_text()


def test_links_missing_members_and_broken_archives_are_failures(cache: Path, offline: Path, table):
    npm = Npm(spec="@toy/weights@1.0.0")
    add(table, "toy", (npm, "package/toy"))
    for package, complaint in [
        (tgz({"package/toy": None}), "its package/toy is not a regular file"),
        (tgz({"package/other": b""}), "it holds no package/toy"),
        (tgz({"package/toy": CONTENT["toy"] * 999})[:40], "the downloaded package cannot be read"),
        (b"no archive", "the downloaded package cannot be read"),
    ]:
        fake_npm(offline, package)
        with pytest.raises(WeightsError, match=complaint):
            official_file("toy")
    assert files_below(cache) == []


def test_the_complaint_of_npm_is_its_summary_and_of_others_their_last_line(cache: Path, offline: Path, table):
    add(table, "toy", (Npm(spec="@toy/weights@1.0.0"), "package/toy"))
    answer = json.dumps({"error": {"code": "E404", "summary": "Not Found - GET toy", "detail": "Long\ntext."}})
    script(offline / "npm", f"print({answer!r}); print('npm error A complete log', file=sys.stderr); sys.exit(1)")
    with pytest.raises(WeightsError, match=r"npm @toy/weights@1\.0\.0: Not Found - GET toy$"):
        official_file("toy")
    script(offline / "npm", "print('first', file=sys.stderr); print('the last', file=sys.stderr); sys.exit(1)")
    with pytest.raises(WeightsError, match=r"1\.0\.0: the last$"):
        official_file("toy")
    script(offline / "npm", "sys.exit(3)")
    with pytest.raises(WeightsError, match=r"1\.0\.0: exit code 3$"):
        official_file("toy")


def test_a_download_that_hangs_is_given_up(cache: Path, offline: Path, table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "PACKAGE_TIMEOUT_S", 0.2)
    add(table, "toy", (Npm(spec="@toy/weights@1.0.0"), "package/toy"))
    script(offline / "npm", "import time; time.sleep(60)")
    with pytest.raises(WeightsError, match=r"no answer within 0\.2 s"):
        official_file("toy")


# --- only known contents ----------------------------------------------------------------------------------------------


def test_a_wrong_sha256_is_refused_and_the_next_place_tried(tmp_path: Path, cache: Path, table, bucket: Bucket):
    (tmp_path / "web" / "wrong").write_bytes(b"something else")
    add(table, "toy", (bucket, "wrong"), (bucket, "missing"))
    with pytest.raises(WeightsError) as caught:
        official_file("toy")
    assert f"wrong has another sha256 ({sha256_of(b'something else')[:12]}…)" in str(caught.value)
    assert "missing: HTTP 404" in str(caught.value)
    assert files_below(cache) == []

    (tmp_path / "web" / "right").write_bytes(CONTENT["toy"])
    add(table, "toy", (bucket, "wrong"), (bucket, "missing"), (bucket, "right"))
    assert official_file("toy").read_bytes() == CONTENT["toy"]


def test_a_download_that_is_too_large_is_not_read_to_its_end(tmp_path: Path, bucket: Bucket):
    (tmp_path / "web" / "large").write_bytes(bytes(10**6))
    assert places.read_members(bucket, {"large": 1000}) == {"large": bytes(1001)}


def test_a_place_that_does_not_answer_is_asked_once(cache: Path, table, bucket: Bucket, monkeypatch):
    asked = []

    def refuse(url: str, timeout: float) -> None:
        asked.append(url)
        raise OSError("no route")

    monkeypatch.setattr(places.urllib.request, "urlopen", refuse)
    for name in CONTENT:
        add(table, name, (bucket, f"modules/{name}"), (bucket, name))
    with pytest.raises(WeightsError, match="no route"):
        official_files(CONTENT)
    assert len(asked) == 1


def test_what_could_be_fetched_is_kept_when_another_file_fails(tmp_path: Path, cache: Path, table, bucket: Bucket):
    (tmp_path / "web" / "toy").write_bytes(CONTENT["toy"])
    add(table, "sibling", (bucket, "missing"))
    add(table, "toy", (bucket, "toy"))
    with pytest.raises(WeightsError, match=r"^Cannot fetch sibling\. "):
        official_files(["sibling", "toy"])
    assert cached("toy") is not None


# --- a folder of the user's -------------------------------------------------------------------------------------------


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


def test_files_come_from_a_folder_without_a_network(cache: Path, offline: Path, downloads: Path, real):
    # The npm package has the pose detector under another name.
    (downloads / "pose_solution_packed_assets.data").write_bytes(real["pose_detection"].read_bytes())
    path = official_file("pose_detection", from_dir=downloads)
    assert path.name == "pose_detection.tflite"
    assert cache in path.parents
    assert cached("pose_detection") == path


def test_a_file_that_is_not_official_is_refused(cache: Path, downloads: Path):
    (downloads / "pose_detection.tflite").write_bytes(b"mine")
    with pytest.raises(WeightsError, match=r"sha256 is .* expected one of .* pass --allow-unknown"):
        official_file("pose_detection", from_dir=downloads)
    assert files_below(cache) == []


def test_ones_own_file_is_accepted_on_request_and_used_with_a_warning(cache: Path, downloads: Path, real, caplog):
    own = bytearray(real["pose_landmark_lite"].read_bytes())
    for changed_weight in (len(own) // 2, len(own) // 3):
        own[changed_weight] ^= 1
        content = bytes(own)
        (downloads / "pose_landmark_lite.tflite").write_bytes(content)
        path = official_file("pose_landmark_lite", from_dir=downloads, allow_unknown=True)
        assert path.read_bytes() == content
        with caplog.at_level(logging.WARNING):
            assert cached("pose_landmark_lite") == path
        assert "your own file is used" in caplog.text
    assert files_below(cache) == [path]  # the newer one took the older one's place
    assert [(copy.is_own, copy.is_intact) for copy in cached_copies()] == [(True, True)]


def test_ones_own_file_must_be_a_tflite_file(cache: Path, downloads: Path):
    (downloads / "pose_detection.tflite").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(WeightsError, match="mark TFL3"):
        official_file("pose_detection", from_dir=downloads, allow_unknown=True)
    assert files_below(cache) == []


def test_a_folder_that_lacks_the_file_or_does_not_exist_is_an_error(cache: Path, downloads: Path):
    with pytest.raises(WeightsError, match=r"expected to hold pose_detection\.tflite"):
        official_file("pose_detection", from_dir=downloads)
    with pytest.raises(ConfigError, match="A folder with"):
        official_file("pose_detection", from_dir=downloads / "missing")


def test_unknown_files_are_never_accepted_from_the_network(cache: Path):
    with pytest.raises(ConfigError, match="name their folder"):
        official_file("pose_detection", allow_unknown=True)


# --- the cache --------------------------------------------------------------------------------------------------------


def test_a_damaged_cache_entry_is_not_used_and_is_replaced(tmp_path: Path, cache: Path, table, bucket: Bucket, caplog):
    (tmp_path / "web" / "toy").write_bytes(CONTENT["toy"])
    add(table, "toy", (bucket, "toy"))
    path = official_file("toy")
    path.write_bytes(CONTENT["toy"][:-1])
    assert cached("toy") is None
    assert "damaged" in caplog.text
    assert [copy.is_intact for copy in cached_copies()] == [False]
    assert official_file("toy") == path
    assert path.read_bytes() == CONTENT["toy"]
    assert [copy.is_intact for copy in cached_copies()] == [True]


def test_either_official_copy_in_the_cache_will_do(cache: Path, offline: Path, table):
    add(table, "toy")
    table["toy"] = replace(table["toy"], sha256s=("0" * 64, *table["toy"].sha256s))
    path = cache / "downloads" / table["toy"].sha256s[1] / "toy.tflite"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT["toy"])
    assert official_file("toy") == path


def test_a_cache_that_cannot_be_made_is_an_error(tmp_path: Path, downloads: Path, real, monkeypatch):
    source = real["face_detection_short_range"]
    (downloads / source.name).write_bytes(source.read_bytes())
    (tmp_path / "file").touch()
    monkeypatch.setenv("BLAZEPORT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match=r"Cannot write .* choose a writable folder"):
        official_file("face_detection_short_range", from_dir=downloads)
    assert cached("face_detection_short_range") is None


def test_a_read_only_cache_that_has_the_file_is_enough(tmp_path: Path, cache: Path, table, bucket: Bucket, monkeypatch):
    (tmp_path / "web" / "toy").write_bytes(CONTENT["toy"])
    add(table, "toy", (bucket, "toy"))
    path = official_file("toy")

    def read_only(*args, **kwargs) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for operation in ("mkdir", "write_bytes", "replace"):
        monkeypatch.setattr(Path, operation, read_only)
    assert official_file("toy") == path
    assert official_file("toy", from_dir=path.parent) == path


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, cache: Path, table, bucket: Bucket, monkeypatch):
    (tmp_path / "web" / "toy").write_bytes(CONTENT["toy"])
    add(table, "toy", (bucket, "toy"))

    def fills_up(path: Path, data: bytes) -> None:
        with path.open("wb") as stream:
            stream.write(data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fills_up)
    with pytest.raises(OutputError, match="No space left on device"):
        official_file("toy")
    assert files_below(cache) == []


def test_several_processes_may_fetch_at_once(cache: Path, downloads: Path, real):
    source = real["pose_landmark_full"]
    (downloads / source.name).write_bytes(source.read_bytes())
    code = (
        "import sys; from pathlib import Path; from blazeport.weights.fetch import official_file\n"
        "print(official_file('pose_landmark_full', from_dir=Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(downloads)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    printed = {process.communicate(timeout=120)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0, 0, 0]
    assert len(printed) == 1
    assert files_below(cache) == [Path(printed.pop())]
    assert cached("pose_landmark_full") is not None
