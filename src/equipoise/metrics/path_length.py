"""How evenly images change along a path between two latent points."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..calls import ask, has_mapping
from ..checks import check_choice, check_range
from ..interpolation import slerp
from . import lpips
from .features import Features
from .full_precision import exact
from .intervals import of_mean
from .metric import Intervals, Subject, Values

TOGETHER = 32  # pairs of images
TRIMMED = 0.01  # of the values, at either end


def ppl(count: int = 2_000, epsilon: int | float = 1e-4, space: str = "z", distance: str = "features") -> "PathLength":
    """E d(G(p(t)), G(p(t + e))) / e^2, t ~ U(0, 1) (Karras et al. 2019, arXiv:1812.04948, Sec. 4.1).

    p is the great circle between two latent points in "z", in "w" the straight line between two mapped ones; d is the
    squared distance of features, or "lpips" of VGG-16, which papers have. A hundredth of the values is left out at
    either end. Less is smoother. Unbiased but for what is left out; the interval is Student's over pairs.
    """
    check_range(at_least=2, count=count)
    check_range(above=0, epsilon=epsilon)
    check_choice(space, ["z", "w"], f"no latent space is called {space!r}")
    check_choice(distance, ["features", "lpips"], f"no distance is called {distance!r}")
    return PathLength(count, epsilon, space, distance)


class PathLength:
    """The squared speed at random points of random paths."""

    name = "ppl"

    def __init__(self, count: int, epsilon: int | float, space: str, distance: str) -> None:
        self.count, self.epsilon, self.space, self.distance = count, epsilon, space, distance
        self.sees = "generator" if distance == "lpips" else "features"
        self.speeds: list[float] = []

    def measure(self, subject: Subject, features: Features) -> None:
        """Looks at pairs of images that are `epsilon` apart on a path."""
        G = subject.G
        if self.space == "w" and not has_mapping(G):
            raise ValueError(
                "ppl in w needs a generator with `mapping` and `synthesis`, and this one has none: space='z'"
            )
        first, second = subject.latents(2 * self.count).chunk(2)
        t = torch.rand(self.count, 1, generator=torch.Generator().manual_seed(subject.seed)).to(subject.device)
        labels = subject.some_labels(self.count)
        with exact(subject.device):
            parts = [
                self._speeds(G, first[at], second[at], t[at], None if labels is None else labels[at], features)
                for at in torch.arange(self.count, device=subject.device).split(TOGETHER)
            ]
        self.speeds = torch.cat(parts).tolist()

    def compute(self) -> Values:
        """The mean, trimmed."""
        kept = trimmed(self.speeds)
        return {"ppl": sum(kept) / len(kept)}

    def intervals(self) -> Intervals:
        """Student's interval of the trimmed mean."""
        return {"ppl": of_mean(trimmed(self.speeds))}

    def _speeds(
        self, G: Any, first: Tensor, second: Tensor, t: Tensor, labels: Tensor | None, features: Features
    ) -> Float[Tensor, " n"]:
        """|f(G(p(t))) - f(G(p(t + e)))|^2 / e^2 of each pair, of images in 0 to 255 that are not rounded."""
        in_w = self.space == "w"
        if in_w:
            first, second = ask(G.mapping, first, labels), ask(G.mapping, second, labels)
        images = [
            G.synthesis(torch.lerp(first, second, at)) if in_w else ask(G, great_circle(first, second, at), labels)
            for at in (t, t + self.epsilon)
        ]
        before, after = ((x * 127.5 + 127.5).clamp(0, 255) for x in images)
        return self._distance(before, after, features).double() / self.epsilon**2

    def _distance(self, x: Tensor, y: Tensor, features: Features) -> Float[Tensor, " n"]:
        """The squared distance of two images."""
        if self.distance == "lpips":
            return lpips.load("vgg").to(x.device)(x, y)
        return (features.extract(x) - features.extract(y)).square().sum(1)


def great_circle(a: Float[Tensor, "n z"], b: Float[Tensor, "n z"], t: Float[Tensor, "n 1"]) -> Float[Tensor, "n z"]:
    """Points on the arc between a and b, both of norm sqrt(z)."""
    a, b = (x / x.norm(dim=1, keepdim=True) * x.shape[1] ** 0.5 for x in (a, b))
    return slerp(a, b, t[:, 0])


def trimmed(values: list[float]) -> list[float]:
    """The values but for a hundredth at either end."""
    cut = int(TRIMMED * len(values))
    return sorted(values)[cut : len(values) - cut]
