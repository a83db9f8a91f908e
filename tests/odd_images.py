"""Two hundred images such as people really have, or make to do harm: drawn by seed, as (name, bytes)."""

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from itertools import product

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "JPEG2000", "PPM", "TGA", "ICO")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16")


@cache
def odd_images() -> dict[str, bytes]:
    """All of them, by name."""
    kinds = (modes, turned, see_through, deep, moving, cut_short, bombs, no_images)
    return {f"{kind.__name__}-{name}": data for kind in kinds for name, data in kind()}


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    if mode == "LAB":
        return Image.frombytes("LAB", size, pixels.tobytes())
    if mode in ("PA", "LA"):
        return image.convert("L").convert("LA") if mode == "LA" else image.convert("P").convert("PA")
    return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)


def modes() -> Iterator[tuple[str, bytes]]:
    """Every mode in every format that can hold it."""
    for mode, form in product(MODES, FORMATS):
        try:
            yield f"{mode}-{form}", encoded(noise(mode), form)
        except (OSError, KeyError, ValueError):
            continue


def turned() -> Iterator[tuple[str, bytes]]:
    """Every EXIF orientation, some that do not exist, and EXIF data with one byte wrong."""
    for form, orientation in product(("PNG", "JPEG", "TIFF", "WEBP"), range(11)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"{form}-{orientation}", encoded(noise(), form, exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole, block = encoded(noise(), "JPEG", exif=exif), exif.tobytes()
    start = whole.index(block)
    for at in range(len(block)):
        yield f"wrong-{at}", whole[: start + at] + b"\xff" + whole[start + at + 1 :]


def see_through() -> Iterator[tuple[str, bytes]]:
    """Transparency in palettes, in one colour, and of every degree."""
    palette = noise().convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    yield "index-PNG", encoded(palette, "PNG", transparency=3)
    yield "bytes-PNG", encoded(palette, "PNG", transparency=bytes(range(0, 256, 32)))
    yield "index-GIF", encoded(palette, "GIF", transparency=3)
    yield "colour-PNG", encoded(noise(), "PNG", transparency=(1, 2, 3))
    yield "grey-PNG", encoded(noise("L"), "PNG", transparency=7)
    for form in ("PNG", "WEBP", "TIFF", "TGA"):
        image = noise("RGBA")
        image.putalpha(noise("L"))
        yield f"degrees-{form}", encoded(image, form)


def deep() -> Iterator[tuple[str, bytes]]:
    """More than eight bits, in ranges that are known and that are not."""
    ramp = np.linspace(0, 1, 96).reshape(8, 12)
    for name, values in {
        "16": (ramp * 65535).astype(np.uint16),
        "32-as-16": (ramp * 65535).astype(np.int32),
        "32-large": (ramp * (2**31 - 1)).astype(np.int32),
        "32-negative": (ramp * 100 - 50).astype(np.int32),
        "share": ramp.astype(np.float32),
        "bytes": (ramp * 255).astype(np.float32),
        "heights": (ramp * 8000 - 400).astype(np.float32),
        "missing": np.where(ramp > 0.5, np.nan, ramp).astype(np.float32),
    }.items():
        yield f"{name}-TIFF", encoded(Image.fromarray(values), "TIFF")
        if values.dtype == np.uint16:
            yield f"{name}-PNG", encoded(Image.fromarray(values), "PNG")


def moving() -> Iterator[tuple[str, bytes]]:
    """Animations: of one frame and of many, with every way to leave a frame."""
    frames = [Image.new("RGB", (20, 20), (10 * i, 0, 200 - 10 * i)) for i in range(12)]
    for form, n in product(("GIF", "PNG", "WEBP", "TIFF"), (1, 12)):
        yield f"{form}-{n}", encoded(frames[0], form, save_all=True, append_images=frames[1:n])
    for disposal in range(4):
        yield (
            f"left-{disposal}",
            encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=disposal, duration=0, loop=0),
        )


def cut_short() -> Iterator[tuple[str, bytes]]:
    """Each format ending early."""
    for form, share in product(FORMATS, (0.1, 0.5, 0.9, 0.99)):
        whole = encoded(noise(size=(48, 48)), form)
        yield f"{form}-{share}", whole[: int(len(whole) * share)]


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that claim or hold very much."""
    yield "white-PNG", encoded(Image.new("1", (20_000, 20_000)), "PNG")
    yield "largest-PNG", encoded(Image.new("1", (8_000, 8_000)), "PNG")
    yield "largest-see-through-PNG", encoded(Image.new("RGBA", (8_000, 8_000), (9, 8, 7, 6)), "PNG", compress_level=1)
    yield "largest-deep-TIFF", encoded(Image.new("F", (8_000, 8_000)), "TIFF", compression="tiff_lzw")
    yield "long-PNG", encoded(Image.new("L", (60_000, 1)), "PNG")
    yield "tall-PNG", encoded(Image.new("L", (1, 60_000)), "PNG")
    small = encoded(noise(), "PNG")
    for name, size in {
        "claims-much": (65_535, 65_535),
        "claims-most": (2**31 - 1, 2**31 - 1),
        "claims-none": (0, 0),
    }.items():
        yield f"{name}-PNG", small[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)) + small[33:]
    many = zlib.compress(bytes(80_000_000), 9)
    yield "words-PNG", small[:33] + chunk(b"zTXt", b"Comment\0\0" + many) + small[33:]
    yield "profile-PNG", small[:33] + chunk(b"iCCP", b"Profile\0\0" + many) + small[33:]
    gif = encoded(noise().convert("P"), "GIF")
    yield "claims-much-GIF", gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:]
    bmp = encoded(noise(), "BMP")
    yield "claims-much-BMP", bmp[:18] + struct.pack("<ii", 100_000, 100_000) + bmp[26:]
    yield "claims-negative-BMP", bmp[:18] + struct.pack("<ii", -5, 100) + bmp[26:]
    jpeg = encoded(noise(), "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    yield "claims-much-JPEG", jpeg[:frame] + struct.pack(">HH", 65_500, 65_500) + jpeg[frame + 4 :]
    frames = [Image.new("P", (2_000, 2_000), i % 7) for i in range(60)]
    yield "frames-GIF", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], optimize=False)


def no_images() -> Iterator[tuple[str, bytes]]:
    """Files that are something else, whatever they are called."""
    yield "nothing", b""
    yield "zeros", bytes(1000)
    yield "words", b"not a picture\n" * 20
    yield "page", b"<!DOCTYPE html><html><body>404</body></html>"
    yield "vectors", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield "document", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
    yield "program", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    yield "pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
    yield "signature-PNG", b"\x89PNG\r\n\x1a\n"
    yield "signature-JPEG", b"\xff\xd8\xff\xe0"
    yield "signature-TIFF", b"II*\0" + b"\xff" * 64


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
