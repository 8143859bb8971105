"""Images from a trained generator."""

from collections.abc import Iterator, Sequence
from math import floor
from pathlib import Path

import torch
from jaxtyping import Float, Real
from torch import Tensor

from ..checks import check_choice
from ..data.label_tables import UserLabels
from ..labels import in_turn
from ..metrics.generation import generate, latents
from ..networks.growing import growing
from ..problems import one_line
from ..processes import ALONE, World
from ..ranges import Range
from ..recipe import known
from ..training import role
from .assemble import build_networks
from .folder import RunFolder, load_checkpoint


class Sampler:
    """The generators of a run, most often one: the EMA generators, or with `raw` those that are trained.

    `checkpoint` is "latest", "best" (by score) or a file. `level` is the shorter side of a level of growing generators,
    which the checkpoint has reached; its images are doubled to their full size. The processes of a `world` make all
    calls together and share the work, and the first one gets the images.
    """

    def __init__(
        self,
        run: str | Path,
        raw: bool = False,
        checkpoint: str = "latest",
        device: torch.device | str = "cpu",
        level: int | None = None,
        world: World = ALONE,
    ) -> None:
        self.folder, self.device, self.world = RunFolder(run), torch.device(device), world
        self.recipe, self.meaning = self.folder.recipe(), self.folder.meaning()
        self.checkpoint, self.weights = self._file(checkpoint), "raw" if raw else "averaged"
        state = load_checkpoint(self.checkpoint, self.device)
        nets = build_networks(self.recipe, self.meaning.space)
        self.nets = {name: net for name, net in nets.items() if role(name) == "G"}
        """All generators by name."""
        try:
            self.seen: int = state["seen"]
            for name, net in self.nets.items():
                net.load_state_dict(state["nets" if raw else "averages"][name])
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{self.checkpoint} is not a checkpoint of {run}: {one_line(error)}") from None
        for net in self.nets.values():
            net.to(self.device).eval()
        if level is not None:
            self._set_level(level)
        self.first = next(iter(self.nets))
        self.net = self.nets[self.first]
        self.range = Range.parse(known(self.recipe.range))

    def _file(self, checkpoint: str) -> Path:
        named = {"latest": self.folder.newest_checkpoint, "best": lambda: self.folder.best_file}
        return named[checkpoint]() if checkpoint in named else Path(checkpoint)

    def _set_level(self, side: int) -> None:
        parts = [part for net in self.nets.values() for part in growing(net)]
        reached = [str(s) for part in parts[:1] for s in part.sides[: floor(part.level) + 1]]
        check_choice(str(side), reached, f"{self.checkpoint} has no level of {side} pixels that has faded in")
        for part in parts:
            part.level = float(part.sides.index(side))

    def __call__(
        self, count: int, seed: int = 0, labels: Tensor | None = None, truncation: float | None = None
    ) -> Iterator[Real[Tensor, "b c h w"]]:
        """Batches of `count` images in all; a network with labels needs `labels`, in the user's units."""
        yield from self.draw(self.latents(count, seed, truncation), labels, seed)

    def latents(self, count: int, seed: int = 0, truncation: float | None = None) -> Float[Tensor, "n z"]:
        """The first latent points of a seed."""
        if not hasattr(self.net, "z_dim"):
            run = self.folder.path
            raise ValueError(f"{run} translates images: equipoise sample {run} --input photos/ --out translated/")
        return latents(self.net, count, seed, truncation)

    def draw(
        self, z: Float[Tensor, "n z"], labels: Tensor | None = None, seed: int = 0
    ) -> Iterator[Real[Tensor, "b c h w"]]:
        """Batches of the images of latent points; the seed is that of noise inside the generator."""
        shown = None if labels is None else self.meaning.for_networks(labels)
        images = generate(self.net, z, shown, seed, self.range)
        yield from self.world.in_turns(images, torch.Tensor.cpu) if self.world.size > 1 else images

    def chosen(self, names: Sequence[str] = ()) -> UserLabels | None:
        """The labels that are named; without names every class, or examples of the data; None where there are none."""
        return self.meaning.parse(names) if names else self.meaning.representatives()

    def labels(self, count: int, names: Sequence[str] = ()) -> UserLabels | None:
        """Those labels in turn, for `count` images."""
        return in_turn(self.chosen(names), count)
