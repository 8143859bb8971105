"""Whether a generator can make images that it has never seen: the held-out reconstruction error."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..calls import ask
from ..checks import check_range
from .features import Features
from .intervals import of_mean
from .metric import Intervals, Subject, Values

TOGETHER = 64  # images and restarts


def reconstruction(steps: int = 50, images: int = 200, restarts: int = 1, lr: int | float = 0.01) -> "Reconstruction":
    """mean_i min_z |G(z) - x_i|^2 per pixel and channel, in [0, 1] (Xiang and Li 2017, arXiv:1704.03971, Sec. 4.1).

    x_i are held-out images; RMSProp (0.9, 1e-6) searches z from zeros, further restarts from N(0, 1), and the smallest
    error on the way counts. 50 steps on 200 images while training, 2,000 on 2,000 at the end. It does not depend on a
    number of generated images; fewer steps make it larger. The interval is Student's over images.
    """
    check_range(at_least=1, steps=steps, restarts=restarts)
    check_range(at_least=2, images=images)
    check_range(above=0, lr=lr)
    return Reconstruction(steps, images, restarts, lr)


class Reconstruction:
    """The smallest error of each held-out image."""

    name = "reconstruction"

    def __init__(self, steps: int, images: int, restarts: int, lr: int | float) -> None:
        self.steps, self.images, self.restarts, self.lr = steps, images, restarts, lr
        self.errors: list[float] = []

    def measure(self, subject: Subject, features: Features) -> None:
        """Searches the latent point of each image, several at a time."""
        found = subject.held_out(self.images)
        if found is None:
            raise ValueError("reconstruction needs held-out images, and these data have none")
        images, labels = found
        if images.is_floating_point():
            raise ValueError("reconstruction needs uint8 images, and these are floats")
        parts = images.split(max(1, TOGETHER // self.restarts))
        several = [None] * len(parts) if labels is None else labels.split(len(parts[0]))
        pairs = zip(parts, several, strict=True)
        self.errors = [error for part, label in pairs for error in self._search(subject, part, label)]

    def compute(self) -> Values:
        """The mean over images."""
        return {"reconstruction": sum(self.errors) / len(self.errors)}

    def intervals(self) -> Intervals:
        """Student's interval of the mean."""
        return {"reconstruction": of_mean(self.errors)}

    def _search(self, subject: Subject, images: UInt8[Tensor, "n c h w"], labels: Tensor | None) -> list[float]:
        device, count = subject.device, len(images)
        targets = (images.to(device).float() / 255).repeat(self.restarts, 1, 1, 1)
        repeats = None if labels is None else labels.to(device).repeat(self.restarts, *[1] * (labels.ndim - 1))
        z = subject.latents(len(targets))
        z[:count] = 0
        best = torch.full((len(targets),), torch.inf, device=device)
        for errors in descent(subject.G, z, targets, repeats, self.steps, self.lr):
            best = torch.minimum(best, errors)
        smallest: list[float] = best.view(self.restarts, count).amin(0).tolist()
        return smallest


@torch.enable_grad()
def descent(
    G: nn.Module,
    z: Float[Tensor, "n z"],
    targets: Float[Tensor, "n c h w"],
    labels: Tensor | None,
    steps: int,
    lr: int | float,
) -> Iterator[Float[Tensor, " n"]]:
    """The error of each target before each step of RMSProp on z, and after the last; each descends its own."""
    z = z.clone().requires_grad_()
    optimizer = torch.optim.RMSprop([z], lr=float(lr), alpha=0.9, eps=1e-6)
    for step in range(steps + 1):
        errors = (((ask(G, z, labels) + 1) / 2).clamp(0, 1) - targets).square().mean((1, 2, 3))
        yield errors.detach()
        if step < steps:
            (z.grad,) = torch.autograd.grad(errors.sum(), [z])
            optimizer.step()
