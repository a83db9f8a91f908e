"""Frames of a video file, by time, through PyAV (`pip install savs[video]`).

Knows nothing of images in other files, of examples or of models.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .ts .webm .wmv".split())

#: How far ahead the next wanted frame must lie, in seconds, for a seek to be worth more than decoding on.
_SEEK_AHEAD = 5.0


def spread(starts: Sequence[float], *, end: float, n: int) -> list[int]:
    """Which of the frames that begin at `starts` is showing in the middle of each of `n` equal spans up to `end`.

    >>> spread([0, 1, 2, 3], end=4, n=2)
    [1, 3]
    >>> spread([0, 9], end=10, n=3)  # the first frame shows for nine tenths of the time
    [0, 0, 0]
    """
    return [max(bisect_right(starts, moment) - 1, 0) for moment in _middles(starts[0], end, n)]


def video_frames(source: Any, n: int, max_pixels: int) -> list[Image.Image]:
    """The frames that are showing in the middle of each of `n` equal spans of the video, upright, as RGB images.

    `source` is a path, here or in an object store, or the bytes of a video file.

    Raises:
        DataError: the video cannot be decoded, has no frame, its frames have more than `max_pixels`, or PyAV is absent.
    """
    with _decoder(source) as (container, stream):
        start, end = _time_span(container, stream)
        chosen: list[Image.Image] = []
        shown = None
        frames = _frames_from(container, stream, None)
        upcoming = next(frames, None)
        for moment in _middles(start, end, n):
            if upcoming is not None and moment - upcoming.time > _SEEK_AHEAD:
                frames = _frames_from(container, stream, moment)
                upcoming = next(frames, None)
            while upcoming is not None and (shown is None or upcoming.time <= moment):
                shown, upcoming = upcoming, next(frames, None)
            if shown is None:
                raise DataError(f"{_name(source)} has no frame that can be decoded; make or download the video again")
            chosen.append(_upright(shown, source, max_pixels))
        return chosen


def first_video_frame(source: Any, max_pixels: int) -> Image.Image:
    """The first frame of a video, upright, as an RGB image. Raises as `video_frames`."""
    with _decoder(source) as (container, stream):
        for frame in _frames_from(container, stream, None):
            return _upright(frame, source, max_pixels)
    raise DataError(f"{_name(source)} has no frame that can be decoded; make or download the video again")


def _middles(start: float, end: float, n: int) -> list[float]:
    return [start + (end - start) * (i + 0.5) / n for i in range(n)]


def _name(source: Any) -> str:
    return "video in memory" if isinstance(source, bytes) else str(source)


@contextmanager
def _decoder(source: Any) -> Iterator[tuple[Any, Any]]:
    """The open container and its first video stream; errors of the decoder in the block become `DataError`s."""
    try:
        import av
    except ImportError as error:
        raise DataError(
            f"{_name(source)} is a video, and reading videos needs PyAV; run: pip install 'savs[video]'"
        ) from error
    try:
        with av.open(str(source) if isinstance(source, Path) else BytesIO(_bytes(source))) as container:
            if not container.streams.video:
                raise DataError(
                    f"{_name(source)} has no video stream: it is cut short, or no video; make or download it again"
                )
            yield container, container.streams.video[0]
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except av.FFmpegError as error:
        raise DataError(
            f"{_name(source)} cannot be decoded as a video ({error}); make or download it again, or convert it to MP4"
        ) from error


def _bytes(source: Any) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _time_span(container: Any, stream: Any) -> tuple[float, float]:
    """Start and end of the stream in seconds: as its header says, else as its packets say."""
    if stream.duration and stream.start_time is not None:
        start = float(stream.start_time * stream.time_base)
        return start, start + float(stream.duration * stream.time_base)
    if container.duration:
        start = (container.start_time or 0) / 1e6
        return start, start + container.duration / 1e6
    times = [p.pts * p.time_base for p in container.demux(stream) if p.pts is not None]
    container.seek(0)
    if not times:
        return 0.0, 0.0
    return float(min(times)), float(max(times))


def _frames_from(container: Any, stream: Any, moment: float | None) -> Iterator[Any]:
    """Decoded frames that carry a time, from the last key frame before `moment` (seconds) on."""
    if moment is not None:
        container.seek(int(moment / stream.time_base), stream=stream)
    return (frame for frame in container.decode(stream) if frame.time is not None)


def _upright(frame: Any, source: Any, max_pixels: int) -> Image.Image:
    if frame.width * frame.height > max_pixels:
        raise DataError(
            f"{_name(source)} is too large: {frame.width} x {frame.height} pixels a frame; "
            f"expected at most {max_pixels:,}. Make it smaller"
        )
    image: Image.Image = frame.to_image()
    # The display matrix is given as a counter-clockwise turn, which is also PIL's sense.
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image
