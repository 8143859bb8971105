"""A trained translation applied to a user's own images, in their own sizes and under their own names."""

import logging
from functools import partial
from math import ceil
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..checks import check_choice, check_range
from ..data import BrokenImage, Format, inspect
from ..data.readers import SUFFIXES, Files, Folder, Reader
from ..metrics.full_precision import exact
from ..metrics.generation import to_uint8
from ..parts import Parts
from ..recipe import known
from .pictures import KINDS, check_new, picture
from .sampling import Sampler
from .shortage import out_of_memory

QUALITY = 95  # of JPEG and WebP
OVERLAP = 4  # tiles share a fourth of their side with the next one
SMALLEST = 32  # pixels of a side that any network takes
log = logging.getLogger("equipoise.runs")


class Unfit(ValueError):
    """An image that a network cannot take."""


def translate_files(
    sampler: Sampler, inputs: str | Path, out: str | Path, direction: str | None = None, tile: int | None = None
) -> str:
    """Writes what a generator makes of an image, of a folder or of a zip file of them; says what it wrote.

    `direction` is "a_to_b" or "b_to_a", where the run has learnt both; None is the first. Images larger than `tile`
    pixels are translated in tiles of that side, which overlap and are blended; None: each at once. A network whose
    layers look at a whole image, as instance normalisation does, makes something else of tiles.
    """
    G, inputs, out = generator_of(sampler, direction), Path(inputs), Path(out)
    check_range(at_least=16, tile=16 if tile is None else tile)
    check_new(out, arrays=False)
    is_one = inputs.is_file() and inputs.suffix.lower() in SUFFIXES
    if out.suffix and not is_one:
        raise ValueError(f"{inputs} holds several images, which are written to a folder: --out translated/, not {out}")
    reader = Files(Folder(inputs.parent), (inputs.name,)) if is_one else inspect(inputs).reader
    translated = partial(translated_file, G, reader, known(sampler.recipe.channels), tile)
    written = 0
    for name, image in filter(None, sampler.world.in_turns(Parts(int, len(reader)), translated)):
        file = out if is_one and out.suffix else out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        save(image, file)
        written += 1
    if not written and sampler.world.leads:
        raise ValueError(f"{inputs} has no image that can be translated")
    return f"{written} images in {out}"


def generator_of(sampler: Sampler, direction: str | None) -> nn.Module:
    """The generator of a direction, the first where none is named."""
    if hasattr(sampler.net, "z_dim"):
        raise ValueError(f"{sampler.folder.path} makes images of latent vectors, and has no use for --input")
    ways = {"G_ab": "a_to_b", "G_ba": "b_to_a"}
    found = {ways.get(name, sampler.recipe.domains): net for name, net in sampler.nets.items()}
    chosen = direction or next(iter(found))
    check_choice(chosen, [*found], f"{sampler.folder.path} has not learnt {chosen}")
    return found[chosen]


def translated_file(
    G: nn.Module, reader: Reader, channels: int, tile: int | None, index: int
) -> tuple[str, UInt8[Tensor, "c h w"]] | None:
    """What becomes of an image in its own size, with its name; None, with a warning, of a broken or a thin one."""
    name = reader.names[index] if isinstance(reader, Files) else f"{index:06d}.png"
    try:
        look = reader.look(index)
        pixels = reader.pixels(index, Format(channels, look.height, look.width))
        return name, translated_whole(G, torch.tensor(pixels), name, tile)
    except (BrokenImage, Unfit) as error:
        log.warning("skipped %s", error)
        return None


def save(image: UInt8[Tensor, "c h w"], file: Path) -> None:
    """Writes one new file as its name says; what that kind of file cannot hold as a PNG beside its name."""
    plain = len(image) in (1, 3) or file.suffix.lower() == ".png"
    path = file if plain else file.with_name(f"{file.name}.png")
    with path.open("xb") as new:
        picture(image).save(new, KINDS[path.suffix.lower()], quality=QUALITY)


def translated_whole(
    G: nn.Module, image: UInt8[Tensor, "c h w"], name: str, tile: int | None
) -> UInt8[Tensor, "c h w"]:
    """What becomes of one image in its full size; raises ValueError where memory is short, Unfit for a thin one."""
    device = next(G.parameters()).device
    try:
        with exact(device):
            return to_uint8(in_tiles(G, image[None].to(device) / 127.5 - 1, tile))[0].cpu()
    except RuntimeError as error:
        _, height, width = image.shape
        if out_of_memory(error):
            smaller = (tile or max(height, width)) // 2
            raise ValueError(f"{name}, {width}x{height}, does not fit into memory: choose --tile {smaller}") from None
        if min(height, width) < SMALLEST:
            raise Unfit(f"{name}: {width}x{height} pixels are too few for this network") from None
        raise


def in_tiles(G: nn.Module, image: Float[Tensor, "1 c h w"], tile: int | None) -> Float[Tensor, "1 c h w"]:
    """G of tiles, blended linearly where they overlap; of the whole image where there is no need of tiles.

    >>> image = torch.rand(1, 3, 50, 70)
    >>> torch.allclose(in_tiles(nn.Identity(), image, 16), image)
    True
    """
    height, width = image.shape[2:]
    if tile is None or max(height, width) <= tile:
        return G(image)
    total, weights = torch.zeros_like(image), image.new_zeros(height, width)
    for rows in parts(height, tile):
        for columns in parts(width, tile):
            here = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
            window = (ramp(rows)[:, None] * ramp(columns)).to(image.device)
            total[:, :, *here] += window * G(image[:, :, *here])
            weights[here] += window
    return total / weights


def parts(length: int, tile: int) -> list[range]:
    """Ranges of at most a tile that cover a length evenly and overlap.

    >>> parts(40, 16)
    [range(0, 16), range(12, 28), range(24, 40)]
    """
    if length <= tile:
        return [range(length)]
    overlap = tile // OVERLAP
    count = ceil((length - overlap) / (tile - overlap))
    starts = (round(number * (length - tile) / (count - 1)) for number in range(count))
    return [range(start, start + tile) for start in starts]


def ramp(part: range) -> Float[Tensor, " n"]:
    """Weights that rise over the overlap from the edge of a tile, and fall again."""
    count = len(part)
    distance = torch.minimum(torch.arange(1, count + 1), torch.arange(count, 0, -1))
    return (distance / max(1, count // OVERLAP)).clamp(max=1.0)
