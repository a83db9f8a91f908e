import hashlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import PngImageFile

from savs.data import media
from savs.data.example import Media
from savs.data.media import MAX_PIXELS, content_key, guess_kind, open_image, sample_frames, verify
from savs.errors import DataError


def encoded(image, format, **options):
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixel(image, at=(0, 0)):
    assert image.mode == "RGB"
    return image.getpixel(at)


def test_a_plain_image_keeps_its_pixels(draw):
    path = draw("a.png")
    assert np.array_equal(np.asarray(open_image(Media(path))), np.asarray(Image.open(path)))


def test_path_bytes_and_decoded_image_open_alike(draw):
    path = draw("a.png")
    images = [open_image(Media(source)) for source in (path, path.read_bytes(), Image.open(path))]
    assert images[0].tobytes() == images[1].tobytes() == images[2].tobytes()


def test_exif_rotation_is_applied_once():
    image = Image.new("RGB", (4, 2), "white")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    upright = open_image(Media(encoded(image, "PNG", exif=exif)))
    assert upright.size == (2, 4)
    assert pixel(upright, (1, 0)) == (255, 0, 0)
    assert open_image(Media(upright)).size == (2, 4)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_does_not_cost_the_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (4, 2), "red"), "JPEG", exif=exif)
    start = data.index(exif.tobytes())
    for at in range(start, start + len(exif.tobytes())):
        opened = open_image(Media(data[:at] + b"\xff" + data[at + 1 :]))
        assert sorted(opened.size) == [2, 4]
        assert opened.getexif().get(0x0112, 1) == 1


def test_transparent_parts_of_a_palette_image_become_white():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 0, 200, 0])
    image.putpixel((1, 0), 1)
    opened = open_image(Media(encoded(image, "PNG", transparency=0)))
    assert [pixel(opened, (x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 200, 0)]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_half_transparent_black_becomes_grey(mode):
    black = (0, 0, 0, 128) if mode == "RGBA" else (0, 128)
    assert pixel(open_image(Media(encoded(Image.new(mode, (1, 1), black), "PNG")))) == (127, 127, 127)


def test_opaque_palette_without_transparency_keeps_its_colours():
    image = Image.new("RGB", (1, 1), (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert pixel(open_image(Media(encoded(image, "GIF")))) == (10, 20, 30)


@pytest.mark.parametrize(("level", "expected"), [(0, 0), (32768, 128), (65535, 255)])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(level, expected, format):
    image = Image.fromarray(np.full((2, 2), level, np.uint16))
    assert pixel(open_image(Media(encoded(image, format)))) == (expected,) * 3


def test_float_images_of_a_known_range_are_scaled_and_others_refused():
    half = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert [pixel(open_image(Media(half)), (x, 0))[0] for x in range(3)] == [0, 128, 255]
    heights = Image.fromarray(np.array([[-3.0, 812.5]], np.float32))
    for check in (verify, open_image):
        with pytest.raises(DataError, match=r"run from -3 to 812\.5; expected 0\.\.1"):
            check(Media(heights))
        for missing in (np.nan, np.inf):
            with pytest.raises(DataError, match="expected 0..1"):
                check(Media(Image.fromarray(np.array([[0.1, missing]], np.float32))))


def test_cmyk_reads_as_the_colours_it_prints():
    cyan_free_red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, blue = pixel(open_image(Media(encoded(cyan_free_red, "JPEG", quality=100))))
    assert red > 240
    assert green < 15
    assert blue < 15


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (200, 100)]
    for format in ("GIF", "PNG", "WEBP"):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=100)
        assert abs(pixel(open_image(Media(data)))[0] - 200) < 12


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("check", [verify, open_image])
def test_an_image_cut_short_is_refused(format, check):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    whole = encoded(noise, format)
    check(Media(whole))
    with pytest.raises(DataError, match="damaged or cut short|no image"):
        check(Media(whole[: len(whole) * 2 // 3]))


@pytest.mark.parametrize("check", [verify, open_image])
def test_files_that_are_no_image_are_refused_by_name(check, tmp_path):
    text = tmp_path / "a.jpg"
    text.write_text("not a picture")
    with pytest.raises(DataError, match=r"a\.jpg is no image that Pillow can read"):
        check(Media(text))
    text.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.jpg is empty \(0 bytes\)"):
        check(Media(text))
    with pytest.raises(DataError, match=r"there is no file .*gone\.jpg; check the path"):
        check(Media(tmp_path / "gone.jpg"))
    with pytest.raises(DataError, match="is a folder"):
        check(Media(tmp_path))


@pytest.mark.parametrize("side", [8_001, 20_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_with_the_limit(side):
    bomb = encoded(Image.new("1", (side, side)), "PNG")
    assert len(bomb) < 1_000_000
    for check in (verify, open_image):
        with pytest.raises(DataError, match="too large.*64,000,000 pixels"):
            check(Media(bomb))
    assert side * side > MAX_PIXELS


def test_a_video_is_no_image(film):
    path = film("a.mp4", [0, 255])
    with pytest.raises(DataError, match="is a video, given as an image"):
        verify(Media(path))
    with pytest.raises(DataError, match="is a video; expected an image"):
        open_image(Media(path, "video"))


@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd tags and sizes before it gives up
@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]), st.integers(0, 60))
def test_damaged_bytes_open_or_are_refused_never_crash(noise, format, at):
    image = encoded(Image.new("RGB", (9, 7), (1, 2, 3)), format)
    damaged = image[:at] + noise + image[at + len(noise) :]
    try:
        verify(Media(damaged))
    except DataError as error:
        assert "in memory" in str(error)
    else:
        assert open_image(Media(damaged)).mode == "RGB", "what is let through before a model is loaded must open after"


def test_content_key_of_a_file_is_the_sha256_of_its_bytes_wherever_it_lies(draw, tmp_path):
    path = draw("a.png")
    other = tmp_path / "b.png"
    other.write_bytes(path.read_bytes())
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert {content_key(Media(source)) for source in (path, other, path.read_bytes())} == {expected}
    assert content_key(Media(draw("c.png", seed=1))) != expected


def test_content_key_of_a_decoded_image_holds_everything_that_changes_what_it_shows():
    base = Image.new("P", (4, 2))
    base.putpalette([1, 2, 3, 4, 5, 6])
    recoloured = base.copy()
    recoloured.putpalette([9, 2, 3, 4, 5, 6])
    see_through = base.copy()
    see_through.info["transparency"] = 0
    turned = base.copy()
    turned.getexif()[0x0112] = 6
    changed = base.copy()
    changed.putpixel((0, 0), 1)
    resized = base.resize((2, 4))
    others = [recoloured, see_through, turned, changed, base.convert("RGB"), resized]
    keys = {content_key(Media(image)) for image in [base, *others]}
    assert len(keys) == 7
    assert content_key(Media(base.copy())) == content_key(Media(base))
    assert len({content_key(Media(Image.new("L", size))) for size in ((4, 2), (2, 4))}) == 2


@pytest.mark.parametrize(
    ("name", "kind"), [("a.PNG", "image"), ("x/b.jpeg", "image"), ("c.mp4", "video"), ("d.txt", None), ("noext", None)]
)
def test_guess_kind(name, kind):
    assert guess_kind(name) == kind


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_frames_of_an_animation_are_spread_by_time_not_by_number(grey, format):
    frames = [Image.new("L", (4, 4), level) for level in (0, 100, 200)]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=[800, 100, 100])
    sampled = sample_frames(Media(data, "video"), 10)
    assert [grey(frame) for frame in sampled] == [0] * 8 + [100, 200]
    assert {frame.mode for frame in sampled} == {"RGB"}


@pytest.mark.parametrize("check", [verify, lambda media: sample_frames(media, 2)])
def test_an_animation_too_long_to_sample_is_refused_before_it_is_decoded(monkeypatch, check):
    frames = [Image.new("L", (40, 30), level) for level in (0, 100, 200)]
    film = Media(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "video")
    monkeypatch.setattr(media, "MAX_PIXELS", 3 * 40 * 30)
    check(film)
    monkeypatch.setattr(media, "MAX_PIXELS", 3 * 40 * 30 - 1)
    monkeypatch.setattr(GifImageFile, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(DataError, match=r"is too large: 3 frames of 40 x 30 .* at most 3,599 .* a video \(MP4\)"):
        check(film)


def test_a_frame_is_decoded_at_most_twice_however_many_are_taken(monkeypatch):
    frames = [Image.new("L", (40, 30), level) for level in range(0, 200, 10)]
    film = Media(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "video")
    decoded = []
    prepare = GifImageFile.load_prepare
    monkeypatch.setattr(GifImageFile, "load_prepare", lambda image: (decoded.append(image.tell()), prepare(image))[1])
    for n in (1, 7, 50):
        decoded.clear()
        assert len(sample_frames(film, n)) == n
        assert len(frames) <= len(decoded) <= 2 * len(frames)


def test_the_pages_of_a_tiff_count_by_their_own_sizes(monkeypatch):
    pages = [Image.new("L", size) for size in ((4, 4), (40, 30), (40, 30))]
    film = Media(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]), "video")
    assert len(sample_frames(replace(film, kind="image"), 3)) == 3
    monkeypatch.setattr(media, "MAX_PIXELS", 2000)
    with pytest.raises(DataError, match="is too large: 3 frames of 40 x 30 pixels"):
        sample_frames(replace(film, kind="image"), 3)


def test_mistakes_of_ours_are_not_taken_for_damage(monkeypatch, draw):
    def stumble(*_):
        raise AttributeError("ours")

    monkeypatch.setattr(media, "_to_rgb", stumble)
    for look in (open_image, lambda image: sample_frames(image, 1)):
        with pytest.raises(AttributeError, match="ours"):
            look(Media(draw("a.png")))


@pytest.mark.parametrize("error", [KeyError("quantization"), RecursionError(), MemoryError(), AssertionError()])
def test_whatever_pillow_raises_is_damage(monkeypatch, draw, error):
    def stumble(*_, **__):
        raise error

    monkeypatch.setattr(PngImageFile, "load", stumble)
    for look in (open_image, verify, lambda image: sample_frames(image, 1)):
        with pytest.raises(DataError, match=r"a\.png is damaged or cut short"):
            look(Media(draw("a.png")))


def test_a_large_image_is_converted_in_strips_without_a_seam(monkeypatch):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (37, 11, 4), dtype=np.uint8))
    grey = Image.fromarray(np.random.default_rng(1).integers(0, 65535, (37, 11), dtype=np.uint16))
    whole = [open_image(Media(source)).tobytes() for source in (image, grey)]
    monkeypatch.setattr(media, "_STRIP_PIXELS", 50)
    assert [open_image(Media(source)).tobytes() for source in (image, grey)] == whole


def test_a_still_image_is_a_video_of_one_frame(draw):
    frames = sample_frames(Media(draw("a.jpg")), 3)
    assert len(frames) == 3
    assert frames[0].tobytes() == frames[2].tobytes()
