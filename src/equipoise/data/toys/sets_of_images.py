"""Images whose modes or manifold are known: triangles, and three pictures stacked as the channels of one."""

import numpy as np

from ...checks import check_range
from ...metrics.polygon import triangles as drawn_triangles
from ...ranges import BYTES
from ...spec import call_of
from ..arrays import read_builtin
from .distributions import Drawn, Toy


def triangles(images: int = 20_000) -> Toy:
    """28x28 grey images of one dark triangle, at random angles (Lucic 2018, arXiv:1711.10337, Sec. 5).

    The paper has 60,000 for training, which take some seconds to draw. They are scored by precision and recall on the
    manifold that they are from.
    """
    check_range(at_least=2, images=images)
    score = ("polygon(count=256, tests=64, steps=100, restarts=2)",)
    return Toy(call_of(triangles, images=images), _drawn, BYTES, score, count=images, held_out=max(2, images // 6))


def _drawn(count: int, seed: int) -> Drawn:
    grey = drawn_triangles(count, seed)
    return (grey * 255).round().byte().numpy()[:, None], None


def stacked(images: int = 25_000) -> Toy:
    """28x28 colour images, a built-in grey image in each channel: 10^3 modes (Srivastava 2017, arXiv:1705.07761).

    The paper stacks digits, these are garments. A mode is a class in each channel, which the built-in classifier tells.
    """
    check_range(at_least=2, images=images)
    score = ("modes(planes=True)",)
    return Toy(call_of(stacked, images=images), _stacked, BYTES, score, count=images, held_out=max(2, images // 5))


def _stacked(count: int, seed: int) -> Drawn:
    """Seed 0 stacks images of training, any other one held-out ones."""
    pictures, _ = read_builtin("held_out_" if seed else "")
    chosen = np.random.default_rng(seed).integers(len(pictures), size=(count, 3))
    return pictures[chosen], None
