"""Images from a trained generator."""

from collections.abc import Iterator, Sequence
from math import erfc, sqrt
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from ..critic import ask
from ..metrics.precision import exact
from .assemble import build_networks
from .folder import RunFolder, load_checkpoint

BATCH = 64


class Sampler:
    """The generator of a run: the averaged one, or with `raw` the one that is trained.

    `checkpoint` is "latest", "best" (by score) or a file.
    """

    def __init__(
        self, run: str | Path, raw: bool = False, checkpoint: str = "latest", device: torch.device | str = "cpu"
    ) -> None:
        self.folder, self.device = RunFolder(run), torch.device(device)
        context = self.folder.context()
        self.recipe, self.classes = self.folder.recipe(), tuple(context["classes"])
        self.checkpoint, self.weights = self._file(checkpoint), "raw" if raw else "averaged"
        state = load_checkpoint(self.checkpoint, self.device)
        G, _ = build_networks(self.recipe, len(self.classes))
        try:
            self.seen: int = state["seen"]
            G.load_state_dict(state["G" if raw else "ema"])
        except (KeyError, TypeError, RuntimeError):
            raise ValueError(f"{self.checkpoint} is not a checkpoint of {run}") from None
        self.net = G.to(self.device).eval()

    def _file(self, checkpoint: str) -> Path:
        named = {"latest": self.folder.newest_checkpoint, "best": lambda: self.folder.best_file}
        return named[checkpoint]() if checkpoint in named else Path(checkpoint)

    def __call__(
        self, count: int, seed: int = 0, labels: Tensor | None = None, truncation: float | None = None
    ) -> Iterator[UInt8[Tensor, "b c h w"]]:
        """Batches of `count` images in all; a network with classes needs `labels`."""
        yield from generate(self.net, latents(self.net, count, seed, truncation), labels)

    def labels(self, count: int, names: Sequence[str] = ()) -> Int64[Tensor, " n"] | None:
        """Labels for `count` images: the named classes in turn, or all; None where there are no classes.

        Raises ValueError for a class that is not there, by name or number.
        """
        known = {name: number for number, name in enumerate(self.classes)}
        known |= {str(number): number for number in range(len(self.classes))}
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{self.folder.path} has no class {name!r}; classes: {', '.join(self.classes) or 'none'}"
                )
        if not known:
            return None
        chosen = torch.tensor([known[name] for name in names] or range(len(self.classes)))
        return chosen.repeat(-(-count // len(chosen)))[:count]


def latents(G: nn.Module, count: int, seed: int, truncation: float | None = None) -> Float[Tensor, "n z"]:
    """Latent vectors of a seed, normal or cut off at `truncation` (Brock 2019, arXiv:1809.11096, Sec. 3.1).

    A vector depends on the seed and its number alone, not on how many are drawn.
    """
    if truncation is not None and not truncation > 0:
        raise ValueError(f"truncation must be positive, not {truncation}")
    generator, length = torch.Generator().manual_seed(seed), cast(int, G.z_dim)
    uniform = torch.rand(count, length, generator=generator, dtype=torch.float64)
    tail = 0.0 if truncation is None else erfc(truncation / sqrt(2)) / 2
    return torch.special.ndtri(tail + uniform.clamp(min=1e-12) * (1 - 2 * tail)).float()


def generate(G: nn.Module, z: Float[Tensor, "n z"], labels: Tensor | None) -> Iterator[UInt8[Tensor, "b c h w"]]:
    """Images of latent vectors, in float32, as uint8 on the generator's device."""
    device = next(G.parameters()).device
    for start in range(0, len(z), BATCH):
        part = slice(start, start + BATCH)
        with exact(device):
            images = ask(G, z[part].to(device), None if labels is None else labels[part].to(device))
        yield to_uint8(images)


def to_uint8(images: Float[Tensor, "b c h w"]) -> UInt8[Tensor, "b c h w"]:
    """[-1, 1] to 0..255, rounded: the inverse of what training sees."""
    return (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).contiguous()
