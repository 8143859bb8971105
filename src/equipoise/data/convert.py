"""Any image becomes uint8, and any array of floats floats, of the format that training wants."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Num, Real, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from ..checks import check_choice
from ..problems import one_line
from ..ranges import BYTES, Range

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_opening = threading.Lock()


class BrokenImage(ValueError):
    """An image that cannot be decoded: skipped, unless the user is strict."""


@dataclass(frozen=True)
class Format:
    """What images become: channels (1 grey, 2 grey+alpha, 3 RGB, 4 RGBA), height, width, fit, and range of the numbers.

    "crop" scales an image so that it covers height x width and cuts the centre; "stretch" resizes it to exactly that.
    """

    channels: int
    height: int
    width: int
    fit: str = "crop"
    range: Range = BYTES

    def __post_init__(self) -> None:
        check_choice(self.fit, ["crop", "stretch"], f"no way to fit an image is called {self.fit!r}")
        for field in ("channels", "height", "width"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    @property
    def is_point(self) -> bool:
        """Whether an image is one pixel: a point, whose coordinates are its channels."""
        return self.height == self.width == 1

    @property
    def dtype(self) -> type[np.uint8] | type[np.float32]:
        """Of the numbers."""
        return np.uint8 if self.range.is_bytes else np.float32


@dataclass(frozen=True)
class Look:
    """What is known of an image without decoding it: the fewest channels that hold it, its height and width, its range.

    The range is None where floats are in none that is usual, and it is to be stated.
    """

    channels: int
    height: int
    width: int
    range: Range | None = BYTES


def decode(content: bytes, format: Format, name: str) -> UInt8[np.ndarray, "c h w"]:
    """The pixels of an encoded image; `name` is for messages."""
    if not format.range.is_bytes:
        raise ValueError(f"{name}: image files hold bytes, and range={str(format.range)!r} is one of floats")
    with _opened(content, name) as image:
        return convert(ImageOps.exif_transpose(image), format)


def look(content: bytes, name: str) -> Look:
    """The size and kind of an encoded image; only one that has an alpha channel is decoded, to see if it is used."""
    with _opened(content, name) as image:
        width, height = image.size if image.getexif().get(0x0112, 1) < 5 else image.size[::-1]
        colours = 1 if image.mode[0] in "1LIF" else 3
        return Look(colours + (image.has_transparency_data and _is_see_through(eight_bit(image))), height, width)


def convert(image: Image.Image, format: Format) -> UInt8[np.ndarray, "c h w"]:
    """The pixels of an image: alpha without a place to go is laid over white, resizing is antialiased."""
    plain = with_channels(eight_bit(image), format.channels)
    pixels = np.asarray(_fitted(plain, format))
    return np.ascontiguousarray(pixels.reshape(format.height, format.width, -1).transpose(2, 0, 1))


def convert_array(pixels: UInt8[np.ndarray, "k y x"], format: Format) -> UInt8[np.ndarray, "c h w"]:
    """The pixels of an array that may have any number of channels, when the format has the same number."""
    channels, height, width = pixels.shape
    if pixels.shape == format.shape:
        return pixels
    if channels in MODES and format.channels in MODES:
        interleaved = pixels[0] if channels == 1 else pixels.transpose(1, 2, 0)
        flat = np.ascontiguousarray(interleaved)
        return convert(Image.frombytes(MODES[channels], (width, height), flat.tobytes()), format)
    check_same(channels, format)
    grey = Format(1, format.height, format.width, format.fit)
    return np.concatenate([convert_array(channel[None], grey) for channel in pixels])


def convert_floats(pixels: Real[np.ndarray, "k y x"], format: Format) -> Float32[np.ndarray, "c h w"]:
    """Floats with the same channels, resized as images are, neither rounded nor clipped."""
    if pixels.shape == format.shape:
        return pixels.astype(np.float32)
    check_same(len(pixels), format)
    channels = (Image.fromarray(channel.astype(np.float32)) for channel in pixels)
    return np.stack([np.asarray(_fitted(channel, format)) for channel in channels])


def check_same(channels: int, format: Format) -> None:
    """Raises ValueError where the format has another number of channels."""
    if channels != format.channels:
        raise ValueError(f"images of {channels} channels cannot become images of {format.channels} channels")


@contextmanager
def _opened(content: bytes, name: str) -> Iterator[Image.Image]:
    """The image, opened but not decoded; whatever goes wrong with it becomes one line that names it."""
    try:
        with _opening, warnings.catch_warnings():  # Pillow reads the header here: short, and the filter is global
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content))
        with image:
            yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BrokenImage(
            f"{name}: a decompression bomb, more pixels than PIL.Image.MAX_IMAGE_PIXELS = {Image.MAX_IMAGE_PIXELS}"
        ) from None
    except UnidentifiedImageError:
        reason = "not an image of a known kind" if content else "the file is empty"
        raise BrokenImage(f"{name}: {reason}") from None
    except Exception as error:  # a corrupt file can make Pillow raise nearly anything
        raise BrokenImage(f"{name}: {one_line(error)}") from None


def _is_see_through(image: Image.Image) -> bool:
    return "A" in image.mode and bool(np.asarray(image.getchannel("A")).min() < 255)


def eight_bit(image: Image.Image) -> Image.Image:
    """An image of mode L, LA, RGB or RGBA."""
    mode, transparent = image.mode, image.has_transparency_data
    if mode.startswith("I") or mode == "F":
        return Image.fromarray(_deep_grey(image))
    if mode in ("1", "L", "LA", "La"):
        return image.convert("LA" if transparent else "L")
    if mode == "LAB":
        raise BrokenImage("the colour space LAB is not supported")
    return image.convert("RGBA" if transparent else "RGB")


def _deep_grey(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """Grey of more than 8 bits: 16-bit modes and PNG or PNM files fill 0 to 65535, others the range that holds them."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):
        return _rescaled(values, 0, 65535)
    ranges = ((0, 1), (-1, 1), (0, 255), (0, 65535)) if image.mode == "F" else ((0, 255), (0, 65535), (0, 2**31 - 1))
    fits = (r for r in ranges if r[0] <= low and high <= r[1])
    limits = next(fits, None)
    if limits is None:
        raise BrokenImage(f"its values, from {low:g} to {high:g}, are in none of the ranges {ranges}")
    return _rescaled(values, *limits)


def _rescaled(values: Num[np.ndarray, "h w"], low: int, high: int) -> UInt8[np.ndarray, "h w"]:
    return ((values.astype(np.float64) - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8)


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """The image with so many channels; alpha without a place to go is laid over white."""
    if channels not in MODES:
        raise ValueError(f"an image file has 1, 2, 3 or 4 channels, not {channels}")
    if "A" in image.mode and channels in (1, 3):
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colours).convert("RGB")
    return image if image.mode == MODES[channels] else image.convert(MODES[channels])


def _fitted(image: Image.Image, format: Format) -> Image.Image:
    """The image at the format's size; Pillow resizes colours premultiplied by alpha, so that edges get no halo."""
    size = (format.width, format.height)
    if image.size == size:
        return image
    box = _centre(image.size, size) if format.fit == "crop" else None
    return image.resize(size, Image.Resampling.LANCZOS, box)


def _centre(old: tuple[int, int], new: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box of the old image that fills the new one, cut at whole pixels of the new one."""
    scale = max(new[0] / old[0], new[1] / old[1])
    left, top = ((round(o * scale) - n) // 2 / scale for o, n in zip(old, new, strict=True))
    return left, top, min(left + new[0] / scale, float(old[0])), min(top + new[1] / scale, float(old[1]))
