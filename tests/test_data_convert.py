"""Every kind of image becomes the pixels that a user expects."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from equipoise.data.convert import BrokenImage, Format, convert, convert_array, decode, look

COLOUR = (200, 100, 50)
LUMA = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixel(image, channels, kind="PNG", **options):
    """The colour of an image of one colour after a round trip through a file."""
    pixels = decode(encoded(image, kind, **options), Format(channels, image.height, image.width), "x")
    assert (pixels == pixels[:, :1, :1]).all()
    return pixels[:, 0, 0].tolist()


def over_white(value, alpha):
    return round(value * alpha / 255 + 255 - alpha)


PALETTE = Image.new("P", (2, 3), 1)
PALETTE.putpalette([0, 0, 0, *COLOUR])
PLAIN = [
    (Image.new("L", (2, 3), 90), {1: [90], 2: [90, 255], 3: [90] * 3, 4: [90] * 3 + [255]}),
    (Image.new("RGB", (2, 3), COLOUR), {1: [LUMA], 2: [LUMA, 255], 3: [*COLOUR], 4: [*COLOUR, 255]}),
    (PALETTE, {1: [LUMA], 2: [LUMA, 255], 3: [*COLOUR], 4: [*COLOUR, 255]}),
    (Image.new("1", (2, 3), 1), {1: [255], 2: [255, 255], 3: [255] * 3, 4: [255] * 4}),
    (Image.new("1", (2, 3), 0), {1: [0], 2: [0, 255], 3: [0] * 3, 4: [0, 0, 0, 255]}),
    (Image.new("LA", (2, 3), (90, 51)), {1: [over_white(90, 51)], 2: [90, 51], 3: [over_white(90, 51)] * 3}),
    (Image.new("LA", (2, 3), (90, 51)), {4: [90, 90, 90, 51]}),
    (Image.new("RGBA", (2, 3), (*COLOUR, 102)), {2: [LUMA, 102], 4: [*COLOUR, 102]}),
    (Image.new("RGBA", (2, 3), (*COLOUR, 102)), {3: [over_white(c, 102) for c in COLOUR]}),
    (Image.new("RGBA", (2, 3), (*COLOUR, 102)), {1: [over_white(LUMA, 102)]}),
    (Image.new("RGBA", (2, 3), (*COLOUR, 0)), {1: [255], 3: [255] * 3}),
]


@pytest.mark.parametrize(("image", "expected"), PLAIN)
def test_modes(image, expected):
    assert {channels: pixel(image, channels) for channels in expected} == expected


def test_palette_with_transparency():
    for transparency in (1, bytes([255, 0])):  # an index, or alpha by index
        assert pixel(PALETTE, 3, transparency=transparency) == [255, 255, 255]
        assert pixel(PALETTE, 4, transparency=transparency)[3] == 0
    assert pixel(PALETTE, 4, transparency=bytes([255, 102])) == [*COLOUR, 102]
    assert pixel(Image.new("L", (2, 3), 90), 1, transparency=90) == [255]
    assert look(encoded(PALETTE, transparency=1), "x").channels == 4
    assert look(encoded(PALETTE, transparency=0), "x").channels == 3  # no pixel of that colour
    assert pixel(Image.new("RGB", (2, 3), COLOUR), 4, transparency=COLOUR)[3] == 0


@pytest.mark.parametrize("value", [0, 257, 300, 25700, 65535])
def test_sixteen_bits_are_scaled_not_clipped(value):
    grey = Image.fromarray(np.full((3, 2), value, np.uint16))
    assert pixel(grey, 1) == pixel(grey, 1, "TIFF") == [round(value / 257)]
    assert pixel(grey, 3) == [round(value / 257)] * 3
    pgm = b"P5 2 3 65535\n" + np.full(6, value, ">u2").tobytes()
    assert set(decode(pgm, Format(1, 3, 2), "x").flat) == {round(value / 257)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.float32([[0, 0.5, 1]]), [0, 128, 255]),
        (np.float32([[-1, 0, 1]]), [0, 128, 255]),
        (np.float32([[0, 100.4, 255]]), [0, 100, 255]),
        (np.float32([[0, 25700, 65535]]), [0, 100, 255]),
        (np.int32([[0, 1, 255]]), [0, 1, 255]),
        (np.int32([[0, 25700, 65535]]), [0, 100, 255]),
        (np.int32([[0, 2**31 - 1]]), [0, 255]),
    ],
)
def test_thirty_two_bits(values, expected):
    tiff = encoded(Image.fromarray(values), "TIFF")
    assert decode(tiff, Format(1, *values.shape), "x")[0, 0].tolist() == expected


@pytest.mark.parametrize("values", [[-5.0, 300.0], [np.nan, 0.0], [np.inf, 0.0]])
def test_numbers_that_are_no_image(values):
    with pytest.raises(BrokenImage, match=r"x\.tif: its values, from .* are in none of the ranges"):
        decode(encoded(Image.fromarray(np.float32([values])), "TIFF"), Format(1, 1, 2), "x.tif")


def test_cmyk_jpeg():
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, blue = decode(encoded(ink, "JPEG", quality=100), Format(3, 16, 16), "x")[:, 8, 8]
    assert red > 245
    assert max(green, blue) < 10


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, exif=exif)
    tagged = Image.open(io.BytesIO(content))
    expected = np.asarray(ImageOps.exif_transpose(tagged))
    by_hand = {1: pixels, 3: pixels[::-1, ::-1], 6: np.rot90(pixels, -1), 8: np.rot90(pixels)}
    assert np.array_equal(expected, by_hand.get(orientation, expected))
    assert np.array_equal(decode(content, Format(1, *expected.shape), "x")[0], expected)
    assert (look(content, "x").height, look(content, "x").width) == expected.shape


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    assert pixel(frames[0], 3, kind, save_all=True, append_images=frames[1:], **options) == [255, 0, 0]


def test_look():
    assert look(encoded(Image.new("L", (5, 4))), "x").channels == 1
    assert look(encoded(Image.new("RGB", (5, 4))), "x").channels == 3
    assert look(encoded(Image.new("RGBA", (5, 4), (1, 2, 3, 4))), "x").channels == 4
    assert look(encoded(Image.new("RGBA", (5, 4), (1, 2, 3, 255))), "x").channels == 3
    assert look(encoded(Image.new("LA", (5, 4), (1, 2))), "x").channels == 2
    assert look(encoded(Image.fromarray(np.zeros((4, 5), np.uint16))), "x").channels == 1


def test_resizing_leaves_no_halo():
    """Hidden colours of transparent pixels do not show: a white disc on transparent black stays white."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:47, 16:47] = 255
    result = convert(Image.fromarray(pixels), Format(4, 16, 16))
    edge = (result[3] > 8) & (result[3] < 247)
    assert edge.any()
    assert result[:3, edge].min() >= 250
    grey = convert(Image.fromarray(pixels).convert("LA"), Format(2, 16, 16))
    assert grey[0, edge].min() >= 250
    assert convert(Image.fromarray(pixels), Format(3, 16, 16)).min() >= 250


def test_downscaling_is_antialiased():
    stripes = np.tile(np.uint8([0, 255]), (64, 32))
    assert abs(convert(Image.fromarray(stripes), Format(1, 8, 8)).astype(int) - 127).max() <= 8


def test_crop_keeps_the_centre():
    wide = np.arange(40, dtype=np.uint8)[None].repeat(8, 0)
    assert np.array_equal(convert(Image.fromarray(wide), Format(1, 8, 8))[0], wide[:, 16:24])
    odd = wide[:, :33]
    assert np.array_equal(convert(Image.fromarray(odd), Format(1, 8, 8))[0], odd[:, 12:20])
    tall = wide.T.copy()
    assert np.array_equal(convert(Image.fromarray(tall), Format(1, 8, 8))[0], tall[16:24])


def test_stretch_keeps_the_borders():
    wide = np.zeros((8, 40), np.uint8)
    wide[:, :20] = 255
    result = convert(Image.fromarray(wide), Format(1, 8, 8, "stretch"))[0]
    assert (result[:, :3] > 250).all()
    assert (result[:, 5:] < 5).all()


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 50)] * 4, st.sampled_from([1, 2, 3, 4]), st.sampled_from(["crop", "stretch"]))
def test_any_size(height, width, new_height, new_width, channels, fit):
    """A plain image stays plain at any size, however its sides are related."""
    image = Image.new("RGB", (width, height), (90, 90, 90))
    result = convert(image, Format(channels, new_height, new_width, fit))
    expected = {1: [90], 2: [90, 255], 3: [90] * 3, 4: [90] * 3 + [255]}[channels]
    assert result.shape == (channels, new_height, new_width)
    assert result.dtype == np.uint8
    assert (result == np.array(expected)[:, None, None]).all()


def test_arrays_of_any_number_of_channels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 20, 30), dtype=np.uint8)
    result = convert_array(pixels, Format(5, 10, 12))
    each = [convert(Image.fromarray(channel), Format(1, 10, 12)) for channel in pixels]
    assert np.array_equal(result, np.concatenate(each))
    assert convert_array(pixels[:1], Format(3, 20, 30)).shape == (3, 20, 30)
    with pytest.raises(ValueError, match="5 channels cannot become images of 3"):
        convert_array(pixels, Format(3, 10, 12))


def test_broken_files_are_named():
    whole = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")
    for content, reason in ((b"", "empty"), (b"hello", "not an image"), (whole[:-700], "truncated")):
        with pytest.raises(BrokenImage, match=rf"bad\.jpg: .*{reason}") as caught:
            decode(content, Format(3, 8, 8), "bad.jpg")
        assert "\n" not in str(caught.value)


def test_a_bomb_is_refused(monkeypatch):
    content = encoded(Image.new("L", (40, 30)))
    for limit in (1000, 500):  # Pillow warns up to twice the limit, and refuses beyond
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(BrokenImage, match=r"x\.png: a decompression bomb"):
            decode(content, Format(1, 8, 8), "x.png")


def test_a_format_is_checked():
    with pytest.raises(ValueError, match=r"'corp' \(did you mean 'crop'\?\); choices: crop, stretch"):
        Format(3, 8, 8, "corp")
    with pytest.raises(ValueError, match="height must be at least 1, got 0"):
        Format(3, 0, 8)
