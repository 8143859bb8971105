"""Precision and recall on a manifold that is known: grey images of one triangle."""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from ..calls import ask
from ..checks import check_range
from .features import Features
from .full_precision import exact
from .intervals import of_f1, of_share
from .metric import Intervals, Subject, Values
from .reconstruction import descent

SIDE, SCALE, CORNERS = 28, 0.75, 3
FREE = 2 * pi / CORNERS - pi / 18  # a corner's angle within its third, of which the first 10 degrees are left
FINE, COARSE = 8, 2  # points per pixel and axis, in the data and in a search
BANK, TRIES, ROUNDS = 4096, 16, 30  # of the search for the nearest triangle
TOGETHER = 32


def polygon(count: int = 1024, tests: int = 256, steps: int = 200, restarts: int = 4, most: float = 0.75) -> "Polygon":
    """2 P R / (P + R) on the manifold of triangles (Lucic et al. 2018, arXiv:1711.10337, Sec. 5); more is better.

    P is the share of `count` generated images whose nearest triangle is no farther than `most`, in the norm of images
    in [0, 1]; R that of new triangles that the generator makes so well, sought in latent space by `steps` of RMSProp.
    Both are too small where a search does not find what is there. The intervals of P and R are Wilson's, that
    of F1 has the quantiles of its posterior.
    """
    check_range(at_least=2, count=count, tests=tests)
    check_range(at_least=1, steps=steps, restarts=restarts)
    check_range(above=0, most=most)
    return Polygon(count, tests, steps, restarts, most)


class Polygon:
    """The distances of generated images to the manifold, and of triangles to what the generator can make."""

    name, higher = "polygon", True

    def __init__(self, count: int, tests: int, steps: int, restarts: int, most: int | float) -> None:
        self.count, self.tests, self.steps, self.restarts, self.most = count, tests, steps, restarts, most
        self.precision = self.recall = 0.0

    def measure(self, subject: Subject, features: Features) -> None:
        """Searches both ways."""
        with exact(subject.device):
            z, labels = subject.latents(self.count), subject.some_labels(self.count)
            images = grey_in_unit(ask(subject.G, z, labels))
            if images.shape[1:] != (SIDE, SIDE):
                size = "x".join(map(str, images.shape[1:]))
                raise ValueError(f"polygon needs images of {SIDE}x{SIDE} pixels, as its triangles are, not {size}")
            near = torch.cat([distances(part) for part in images.split(TOGETHER)])
        self.precision = (near <= self.most).double().mean().item()
        made = torch.cat([self._search(subject, part) for part in triangles(self.tests, seed=1).split(TOGETHER)])
        self.recall = (made <= self.most).double().mean().item()

    def compute(self) -> Values:
        """F1, precision and recall."""
        both = self.precision + self.recall
        f1 = 2 * self.precision * self.recall / both if both else 0.0
        return {"polygon": f1, "polygon.precision": self.precision, "polygon.recall": self.recall}

    def intervals(self) -> Intervals:
        """Wilson's of both shares, and that of F1 by their posteriors."""
        precision, recall = (self.precision, self.count), (self.recall, self.tests)
        f1 = of_f1(self.compute()["polygon"], precision, recall)
        return {"polygon": f1, "polygon.precision": of_share(*precision), "polygon.recall": of_share(*recall)}

    def _search(self, subject: Subject, targets: Float[Tensor, "n 28 28"]) -> Float[Tensor, " n"]:
        """The distance of each triangle from the nearest image that was found."""
        wanted = targets.to(subject.device)[:, None].repeat(self.restarts, 1, 1, 1)
        z, labels = subject.latents(len(wanted)), subject.some_labels(len(wanted))
        z[: len(targets)] = 0
        best = torch.full((len(wanted),), torch.inf, device=subject.device)
        for errors in descent(subject.G, z, wanted, labels, self.steps, 0.01):
            best = torch.minimum(best, errors)
        return (best.view(self.restarts, -1).amin(0) * SIDE * SIDE).sqrt()


def triangles(count: int, seed: int) -> Float[Tensor, "n 28 28"]:
    """Random triangles, dark on light, in [0, 1]: the data of the study, 8x8 points to a pixel."""
    turns, angles = places(count, torch.Generator().manual_seed(seed))
    return torch.cat([drawn(*pair, FINE) for pair in zip(turns.split(256), angles.split(256), strict=True)])


def places(count: int, generator: torch.Generator) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
    """The turn of a whole triangle, and the angle of each corner within its third of the circle."""
    drawn = torch.rand(count, 1 + CORNERS, generator=generator)
    return drawn[:, 0] * 2 * pi, drawn[:, 1:] * FREE


def drawn(turns: Float[Tensor, " n"], angles: Float[Tensor, "n 3"], points: int) -> Float[Tensor, "n 28 28"]:
    """1 outside and 0 inside of triangles on a circle of 3/4 of the side, their centroid in the middle."""
    at = turns[:, None] + angles + torch.arange(CORNERS) * 2 * pi / CORNERS + pi / 18
    corners = torch.stack([at.cos(), at.sin()], 2) * SCALE / 2
    corners = corners - corners.mean(1, keepdim=True)
    return 1 - covered(corners, points)


def covered(corners: Float[Tensor, "n 3 2"], points: int) -> Float[Tensor, "n 28 28"]:
    """The share of each pixel's points x points that are inside, row by row between the edges on either side."""
    side = SIDE * points
    line = (torch.arange(side) + 0.5) / side - 0.5
    edges = corners.roll(-1, 1) - corners  # counter-clockwise: inside is to the left of each
    x, y, run, rise = (part[:, :, axis, None] for part in (corners, edges) for axis in (0, 1))
    crossing = (x + run / rise * (line - y) + 0.5) * side - 0.5  # of each row with each edge, counted in points
    first = crossing.masked_fill(rise >= 0, -torch.inf).amax(1).ceil()
    behind = crossing.masked_fill(rise <= 0, torch.inf).amin(1).floor() + 1
    in_pixels = lambda ends: (ends[:, :, None] - torch.arange(SIDE) * points).clamp(0, points)
    inside = (in_pixels(behind) - in_pixels(first)).clamp(min=0)
    return inside.view(-1, SIDE, points, SIDE).sum(2) / points**2


def distances(images: Float[Tensor, "n 28 28"]) -> Float[Tensor, " n"]:
    """The distance of each image from the nearest triangle that is found: the best of a bank, then of tries nearby."""
    generator = torch.Generator().manual_seed(0)
    turns, angles = places(BANK, generator)
    bank = torch.cat([drawn(*pair, COARSE) for pair in zip(turns.split(256), angles.split(256), strict=True)])
    best, at = torch.cdist(images.cpu().flatten(1), bank.flatten(1)).min(1)
    turn, angle, reach = turns[at], angles[at], 0.15
    for _ in range(ROUNDS):
        moves = torch.randn(len(images), TRIES, 1 + CORNERS, generator=generator) * reach
        new_turn, new_angle = turn[:, None] + moves[..., 0], (angle[:, None] + moves[..., 1:]).clamp(0, FREE)
        tried = drawn(new_turn.flatten(), new_angle.flatten(0, 1), COARSE).unflatten(0, (len(images), TRIES))
        found, which = (tried - images.cpu()[:, None]).flatten(2).norm(dim=2).min(1)
        better, rows = found < best, torch.arange(len(images))
        best = torch.where(better, found, best)
        turn = torch.where(better, new_turn[rows, which], turn)
        angle = torch.where(better[:, None], new_angle[rows, which], angle)
        reach *= 0.87
    return (drawn(turn, angle, FINE) - images.cpu()).flatten(1).norm(dim=1)


def grey_in_unit(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
    """Images of [-1, 1] as grey ones in [0, 1]."""
    return (images.mean(1) / 2 + 0.5).clamp(0, 1)
