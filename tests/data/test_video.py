import builtins

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from savs.data import video
from savs.data.example import Media
from savs.data.media import sample_frames, verify
from savs.errors import DataError

LEVELS = [10, 60, 110, 160, 210]


def levels(frames, grey):
    return [min(LEVELS, key=lambda level: abs(level - grey(frame))) for frame in frames]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov"])
@pytest.mark.parametrize(("n", "expected"), [(1, [2]), (3, [0, 2, 4]), (5, [0, 1, 2, 3, 4])])
def test_frames_are_spread_evenly_in_any_container(film, grey, name, n, expected):
    path = film(name, LEVELS)
    frames = sample_frames(Media(path, "video"), n)
    assert levels(frames, grey) == [LEVELS[i] for i in expected]
    assert {(frame.mode, frame.size) for frame in frames} == {("RGB", (32, 16))}


def test_a_short_video_repeats_frames_and_gives_as_many_as_asked(film, grey):
    frames = sample_frames(Media(film("a.mp4", LEVELS[:2]), "video"), 6)
    assert levels(frames, grey) == [10, 10, 10, 60, 60, 60]


def test_bytes_read_as_the_file(film, grey):
    path = film("a.mp4", LEVELS)
    from_bytes = sample_frames(Media(path.read_bytes(), "video"), 5)
    assert levels(from_bytes, grey) == LEVELS


def test_seeking_through_a_long_video_gives_the_frames_that_decoding_gives(film, monkeypatch):
    # 60 seconds at one frame a second, with few key frames: far more than the seek threshold between samples.
    path = film("long.mp4", [4 * i for i in range(60)], rate=1, gop=7)
    seeks = []
    original = video._frames_from
    monkeypatch.setattr(video, "_frames_from", lambda c, s, moment: (seeks.append(moment), original(c, s, moment))[1])
    sought = sample_frames(Media(path, "video"), 4)
    assert len([moment for moment in seeks if moment is not None]) == 4
    monkeypatch.setattr(video, "_SEEK_AHEAD", float("inf"))
    decoded = sample_frames(Media(path, "video"), 4)
    assert [a.tobytes() for a in sought] == [b.tobytes() for b in decoded]
    assert len({a.tobytes() for a in sought}) == 4


def test_verify_opens_a_video_and_refuses_what_cannot_be_decoded(film, tmp_path):
    path = film("a.mp4", LEVELS)
    verify(Media(path, "video"))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"broken\.mp4 has no video stream: it is cut short"):
        verify(Media(broken, "video"))
    broken.write_text("no video at all, but a few words")
    with pytest.raises(DataError, match=r"broken\.mp4 cannot be decoded as a video.*convert it to MP4"):
        verify(Media(broken, "video"))
    with pytest.raises(DataError, match="there is no file"):
        verify(Media(tmp_path / "gone.mp4", "video"))


def test_sound_alone_is_no_video(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    with pytest.raises(DataError, match="has no video stream"):
        verify(Media(path, "video"))


def test_large_frames_are_refused(film):
    with pytest.raises(DataError, match="32 x 16 pixels a frame; expected at most 100"):
        video.first_video_frame(film("a.mp4", LEVELS), 100)


def test_without_pyav_the_error_names_the_extra(film, monkeypatch):
    path = film("a.mp4", LEVELS)
    imported = builtins.__import__

    def absent(name, *rest, **named):
        if name == "av":
            raise ImportError(name)
        return imported(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(DataError, match=r"pip install 'savs\[video\]'"):
        verify(Media(path, "video"))


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (0, 3)), (-90, (1, 0)), (180, (3, 1))])
def test_frames_are_turned_upright(rotation, corner):
    class Frame:
        width, height = 4, 2

        def to_image(self):
            image = Image.new("RGB", (4, 2))
            image.putpixel((0, 0), (255, 0, 0))
            return image

    frame = Frame()
    frame.rotation = rotation
    assert video._upright(frame, b"", 100).getpixel(corner) == (255, 0, 0)


def test_no_frames_can_be_asked_of_nothing(film):
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        sample_frames(Media(film("a.mp4", LEVELS), "video"), 0)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.integers(1, 50))
def test_spread_shows_each_frame_for_its_share_of_the_time(durations, n):
    starts = [0.0, *np.cumsum(durations)]
    end = starts.pop()
    chosen = video.spread(starts, end=end, n=n)
    assert len(chosen) == n
    assert chosen == sorted(chosen)
    for frame, duration in enumerate(durations):
        assert abs(chosen.count(frame) - n * duration / end) <= 1 + 1e-6
