"""Images and videos: open them, check that they can be read, name them by their content.

Knows no task, no data file and no model: what comes out are plain RGB PIL images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from savs.data.example import Media
from savs.data.remote import AnyPath
from savs.data.video import SUFFIXES as VIDEO_SUFFIXES
from savs.data.video import first_video_frame, spread, video_frames
from savs.errors import DataError

#: The largest image that is opened: 8,000 x 8,000. Decoding it takes at most half a gigabyte. An animation that is
#: sampled has no more in all its frames, which are decoded at most twice, at 30 (PNG) to 90 (GIF) megapixels a second.
MAX_PIXELS = 64_000_000
IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .jfif .jpeg .jpg .jp2 .pbm .pgm .png .pnm .ppm .tga .tif .tiff .webp".split()
)

#: What stands in a file's place where Git LFS has not fetched it.
LFS_POINTER = b"version https://git-lfs."

_STRIP_PIXELS = 4_000_000
_ANIMATED_FORMATS = ("GIF", "PNG", "WEBP")
#: Formats that Pillow opens by running another program, or a part of the system, on them.
_RUN_ELSEWHERE = ("EPS", "WMF")
_UNTIMED_FRAME_MS = 100.0
_EXIF_ORIENTATION = 0x0112


def open_image(media: Media) -> Image.Image:
    """Decode one image as every model is shown it: RGB, upright, nothing transparent.

    The EXIF orientation is applied; transparency lies on white; 16-bit grey is scaled to 8 bits; CMYK is converted
    without its colour profile, as the processors of the models do; of an animation the first frame is taken.

    Raises:
        DataError: the file is missing, damaged, no image, or a video, or has more than `MAX_PIXELS`.
    """
    with _opened(media) as image:
        with _decoding(media):
            image.load()
        return _to_rgb(_upright(image), media)


def image_size(media: Media) -> tuple[int, int]:
    """Width and height of an image as it is stored, without decoding it.

    Raises:
        DataError: as `open_image`, for what the file's first bytes show.
    """
    with _opened(media) as image:
        return image.size


def sample_frames(media: Media, n: int) -> list[Image.Image]:
    """`n` frames of a video or an animated image, evenly spaced in time, in order, as RGB images.

    The video is cut into `n` spans of equal duration and the frame that is showing at the middle of each is taken, so
    a video with fewer than `n` frames repeats some: the result always has `n`.

    Raises:
        DataError: the video is missing, damaged or empty, its frames (of an animated image, all of them together) have
            more than `MAX_PIXELS`, or PyAV is not installed.
        ValueError: `n` is below one.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1 frame, got {n}")
    if media.kind == "video" and not _is_animation(media):
        with _readable(media):
            return video_frames(media.source, n, MAX_PIXELS)
    with _opened(media, moving=True) as image:
        starts = _frame_starts(media, image)
        chosen = spread(starts[:-1], end=starts[-1], n=n)
        frames = {}
        for number in sorted(set(chosen)):
            with _decoding(media):
                image.seek(number)
                image.load()
            frames[number] = _to_rgb(image, media)
        return [frames[number] for number in chosen]


def verify(media: Media) -> None:
    """Check that the media can be read: an image is decoded to its end, of a video the first frame.

    Cheaper than `open_image`: JPEG files are decoded at an eighth of their size, which still reads every byte.

    Raises:
        DataError: as `open_image` and `sample_frames`.
    """
    if media.kind == "video" and not _is_animation(media):
        with _readable(media):
            first_video_frame(media.source, MAX_PIXELS)
        return
    with _opened(media, moving=media.kind == "video") as image:
        with _decoding(media):
            image.draft("L", (1, 1))
            image.load()
        if image.mode in ("I", "F"):
            _grey_to_8_bits(image, media)


def content_key(media: Media) -> str:
    """The sha256 of what the media shows, in hex: equal keys mean equal input, wherever it is stored.

    Over the bytes of a file, or of encoded bytes in memory; over mode, size, palette, transparency, orientation and
    pixels of a decoded image. It does not hold the media's kind: a GIF has one key as an image and as a video.
    """
    source = media.source
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    if not isinstance(source, Image.Image):
        with _stream(media, source) as file:
            return hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest()
    palette = source.getpalette() if source.mode in ("P", "PA") else None
    look = (source.mode, source.size, palette, repr(source.info.get("transparency")), _orientation(source))
    digest = hashlib.sha256(json.dumps(look).encode())
    digest.update(source.tobytes())
    return digest.hexdigest()


def identity(media: Media) -> str:
    """What tells two images apart without opening a file: the path, or the content of what is in memory."""
    return str(media.file.resolve()) if media.file else content_key(media)


def guess_kind(name: str) -> Literal["image", "video"] | None:
    """What a file name's suffix says: "image", "video", or None where it says neither."""
    suffix = Path(name).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return "image" if suffix in IMAGE_SUFFIXES else None


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(_EXIF_ORIENTATION, 1))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
    except Exception:
        # EXIF data are damaged far more often than the image they describe: it is shown as it is.
        return image


def _is_animation(media: Media) -> bool:
    """Whether a video is one that Pillow reads: an animated GIF, PNG or WebP, known by content."""
    if isinstance(media.source, Image.Image):
        return True
    with _stream(media, media.source) as stream:
        try:
            Image.open(stream, formats=_ANIMATED_FORMATS).close()
        except Image.DecompressionBombError:
            return True
        except Exception:  # whatever Pillow trips over: then it is none of these formats, and the video decoder's
            return False
        return True


@contextmanager
def _stream(media: Media, source: AnyPath | bytes) -> Iterator[IO[bytes]]:
    with _readable(media):
        opened: IO[bytes] = BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    with opened as stream:
        yield stream


@contextmanager
def _readable(media: Media) -> Iterator[None]:
    """Say what is wrong with a file that cannot even be opened."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"there is no file {media}; check the path, or say where the media lie (image root)") from error
    except IsADirectoryError as error:
        raise DataError(f"{media} is a folder; expected one {media.kind} file") from error
    except PermissionError as error:
        raise DataError(f"{media} may not be read; give yourself permission to read it") from error


@contextmanager
def _opened(media: Media, *, moving: bool = False) -> Iterator[Image.Image]:
    """The PIL image of `media`, not yet decoded, of a size that may be."""
    if media.kind == "video" and not moving:
        raise DataError(f"{media} is a video; expected an image (sample_frames gives images of a video)")
    if isinstance(media.source, Image.Image):
        with _decoding(media):
            image = media.source.copy()
        yield image
        return
    with _stream(media, media.source) as stream:
        with _decoding(media):
            image = Image.open(stream)
        with image:
            if image.format in _RUN_ELSEWHERE:
                raise DataError(f"{media} is a drawing ({image.format}) that another program must run; save it as PNG")
            with _decoding(media):
                n_frames = _n_frames(image) if moving else 1
            _check_size(media, image, n_frames)
            yield image


@contextmanager
def _decoding(media: Media) -> Iterator[None]:
    """Around calls of Pillow, and none of ours: whatever it raises over a file is damage to the file."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise DataError(f"{media} is too large: {error}; expected at most {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise DataError(_unidentified(media)) from error
    except Exception as error:
        raise DataError(f"{media} is damaged or cut short ({error}); make or download the file again") from error


def _frame_starts(media: Media, image: Image.Image) -> list[float]:
    """When each frame of an animation begins, in milliseconds, and last when it all ends."""
    starts = [0.0]
    pixels = 0
    for number in range(_n_frames(image)):
        with _decoding(media):
            image.seek(number)
        pixels += image.width * image.height
        if pixels > MAX_PIXELS:  # the pages of a TIFF have sizes of their own
            raise _too_large(media, image, number + 1)
        with _decoding(media):
            image.load()  # until then a WebP does not tell the duration
        starts.append(starts[-1] + (image.info.get("duration") or _UNTIMED_FRAME_MS))
    return starts


def _n_frames(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def _check_size(media: Media, image: Image.Image, n_frames: int) -> None:
    if n_frames * image.width * image.height > MAX_PIXELS:
        raise _too_large(media, image, n_frames)


def _too_large(media: Media, image: Image.Image, n_frames: int) -> DataError:
    frames, mend = (f"{n_frames} frames of ", ", or a video (MP4)") if n_frames > 1 else ("", "")
    return DataError(
        f"{media} is too large: {frames}{image.width} x {image.height} pixels; expected at most {MAX_PIXELS:,} pixels. "
        f"Make it smaller{mend}"
    )


def _unidentified(media: Media) -> str:
    if media.file is not None and guess_kind(media.file.name) == "video":
        return f"{media} is a video, given as an image; give it as a video (kind)"
    if isinstance(media.source, bytes) and not media.source:
        return f"{media} is empty (0 bytes); make or download it again"
    if media.file is not None and media.file.stat().st_size == 0:
        return f"{media} is empty (0 bytes); make or download the file again"
    if media.file is not None and _begins(media.file, LFS_POINTER):
        return f"{media} is a pointer of Git LFS in the image's place; fetch the image (git lfs pull)"
    return f"{media} is no image that Pillow can read; expected JPEG, PNG, WebP, GIF, TIFF, BMP or the like. Convert it"


def _begins(path: AnyPath, beginning: bytes) -> bool:
    with path.open("rb") as file:
        return bool(file.read(len(beginning)) == beginning)


def _to_rgb(image: Image.Image, media: Media) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey_to_8_bits(image, media).convert("RGB")
    if image.has_transparency_data:
        page = Image.new("RGB", image.size, "white")
        for top, strip in _strips(image):
            rgba = strip.convert("RGBA")
            page.paste(rgba, (0, top), mask=rgba.getchannel("A"))
        return page
    # A fresh image without the source's metadata, which would otherwise turn it again downstream.
    rgb = image.convert("RGB")
    rgb.info = {}
    return rgb


def _grey_to_8_bits(image: Image.Image, media: Media) -> Image.Image:
    """Grey of 16 bits, 32 bits or floats, scaled by its format's range, never by its own darkest and lightest value."""
    extremes = [(values.min(), values.max()) for values in (np.asarray(strip) for _, strip in _strips(image))]
    low, high = float(np.min(extremes)), float(np.max(extremes))
    if image.mode.startswith("I;16") or (image.mode == "I" and 255 < high <= 65535 and low >= 0):
        factor = 1 / 256
    elif image.mode == "F" and low >= 0 and high <= 1:
        factor = 255.0
    elif low >= 0 and high <= 255:
        factor = 1.0
    else:
        raise DataError(
            f"{media} has grey values that run from {low:g} to {high:g}; expected 0..1 (floats), 0..255 or 0..65535. "
            "Scale it to 8 bits"
        )
    grey = Image.new("L", image.size)
    for top, strip in _strips(image):
        scaled = np.asarray(strip, np.float32) * np.float32(factor)
        rounded = np.floor(scaled) if factor < 1 else np.floor(scaled + np.float32(0.5))
        grey.paste(Image.fromarray(rounded.astype(np.uint8)), (0, top))
    return grey


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in strips of a few megapixels, each with its first row: a large one is never there twice."""
    rows = max(1, _STRIP_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))
