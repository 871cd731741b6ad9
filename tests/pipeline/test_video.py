from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from blazeport.errors import InputError, OutputError
from blazeport.pipeline import video
from blazeport.pipeline.image import write_image
from blazeport.pipeline.video import Frame, Stream, open_camera, open_photos, open_video, write_video


def make_video(path: Path, count: int = 10, size: tuple[int, int] = (64, 48), fps: float = 25) -> Path:
    """A clip whose frames get brighter."""
    with write_video(path, fps) as append:
        for number in range(count):
            append(np.full((size[1], size[0], 3), 20 * number, np.uint8))
    return path


def collect(stream: Stream, frames: list[Frame]) -> None:
    """Appends the frames of a stream, up to an error."""
    for frame in stream.frames:
        frames.append(frame)


class Watched:
    """A capture whose frames have no times, and that remembers that it was released."""

    released = 0

    def __init__(self, source: str, backend: int, real: Any = cv2.VideoCapture) -> None:
        self.capture = real(source, backend)
        self.isOpened, self.read = self.capture.isOpened, self.capture.read

    def get(self, what: int) -> float:
        return 0.0 if what == cv2.CAP_PROP_POS_MSEC else self.capture.get(what)

    def release(self) -> None:
        Watched.released += 1
        self.capture.release()


class Camera:
    """Gives three pictures, and then it is unplugged."""

    def __init__(self, index: int, backend: int) -> None:
        self.left = 3 if index == 0 else -1
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self.left >= 0

    def get(self, what: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.zeros((4, 4, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


def test_a_written_video_is_read_back_with_its_times(tmp_path: Path) -> None:
    stream = open_video(make_video(tmp_path / "new" / "clip.mp4"))
    assert (stream.num_frames, stream.fps) == (10, 25)
    frames = list(stream.frames)
    assert [frame.number for frame in frames] == list(range(10))
    assert [frame.time_us for frame in frames] == [40_000 * number for number in range(10)]
    assert {frame.source for frame in frames} == {str(tmp_path / "new" / "clip.mp4")}
    for frame in frames:
        assert frame.rgb.shape == (48, 64, 3)
        assert abs(float(frame.rgb.mean()) - 20 * frame.number) < 6
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["clip.mp4"]


def test_colors_stay_in_their_channels(tmp_path: Path) -> None:
    with write_video(tmp_path / "clip.mp4", 30) as append:
        append(np.full((48, 64, 3), [200, 30, 30], np.uint8))
    (frame,) = open_video(tmp_path / "clip.mp4").frames
    assert np.abs(frame.rgb.mean(axis=(0, 1)) - [200, 30, 30]).max() < 12


@pytest.mark.parametrize("size", [(63, 47), (2, 300), (1920, 1080)])
def test_frames_of_any_size_can_be_written(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = list(open_video(make_video(tmp_path / "clip.mp4", 3, size)).frames)
    assert len(frames) == 3


def test_an_error_leaves_the_old_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4")
    before = path.read_bytes()

    def fail_in_between() -> None:
        with write_video(path, 25) as append:
            append(np.zeros((8, 8, 3), np.uint8))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_between()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_frame_there_is_no_video(tmp_path: Path) -> None:
    with write_video(tmp_path / "clip.mp4", 25):
        pass
    assert not list(tmp_path.iterdir())


def test_frames_of_several_sizes_are_refused(tmp_path: Path) -> None:
    with write_video(tmp_path / "clip.mp4", 25) as append:
        append(np.zeros((8, 8, 3), np.uint8))
        with pytest.raises(OutputError, match=r"must have one size, 8x8 px as the first\. Received: 9x8"):
            append(np.zeros((8, 9, 3), np.uint8))


def test_a_size_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Cannot write a video of 1x1 px"):
        make_video(tmp_path / "clip.mp4", 1, (1, 1))
    assert not list(tmp_path.iterdir())


def test_other_endings_and_unwritable_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"must end in \.mp4"), write_video(tmp_path / "clip.gif", 25):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"), write_video(tmp_path / "file" / "clip.mp4", 25) as append:
        append(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "does not exist"), (b"", "is empty"), (b"no video at all", "damaged or not a video")],
    ids=["missing", "empty", "text"],
)
def test_what_is_no_video_is_a_one_line_error(
    tmp_path: Path, content: bytes | None, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        open_video(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_an_mp4_without_its_index_is_damaged(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged or not a video"):
        open_video(path)


def test_a_video_that_breaks_off_gives_its_frames_and_then_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.avi"
    noise = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(60):
        writer.write(noise.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames: list[Frame] = []
    with pytest.raises(InputError, match=r"breaks off after \d+ of 60 frames"):
        collect(open_video(path), frames)
    assert capfd.readouterr().err == ""
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert 20 < len(frames) < 40


def test_times_grow_even_where_the_file_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "clip.mp4", 4)
    monkeypatch.setattr(cv2, "VideoCapture", Watched)
    assert [frame.time_us for frame in open_video(path).frames] == [0, 40_000, 80_000, 120_000]


def test_a_camera_that_is_unplugged_is_an_error_after_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    stream = open_camera(0)
    assert stream.num_frames is None
    assert stream.fps == video.DEFAULT_FPS
    frames: list[Frame] = []
    with pytest.raises(InputError, match="Camera 0 gave no more pictures after 3 frames"):
        collect(stream, frames)
    assert [frame.source for frame in frames] == ["camera:0"] * 3
    times = [frame.time_us for frame in frames if frame.time_us is not None]
    assert len(times) == 3
    assert times == sorted(set(times))


def test_a_camera_that_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="There is no camera 97"):
        open_camera(97)
    assert capfd.readouterr().err == ""


def test_the_photos_of_a_folder_come_in_the_order_people_number_them(tmp_path: Path) -> None:
    for name in ("10.png", "2.png", "Frame1.png", "1.png"):
        write_image(tmp_path / name, np.zeros((4, 5, 3), np.uint8))
    stream = open_photos(tmp_path)
    frames = list(stream.frames)
    assert stream.num_frames == 4
    assert [Path(frame.source).name for frame in frames] == ["1.png", "2.png", "10.png", "Frame1.png"]
    assert {frame.time_us for frame in frames} == {None}


def test_a_stream_can_be_left_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "clip.mp4")
    monkeypatch.setattr(cv2, "VideoCapture", Watched)
    monkeypatch.setattr(Watched, "released", 0)
    frames = open_video(path).frames
    next(frames)
    frames.close()
    assert Watched.released == 1
