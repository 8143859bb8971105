"""Toy data whose distribution is known exactly: points with their density, and images with their modes or manifold.

>>> from equipoise.data import toys
>>> toy = toys.ring(count=8)
>>> points, classes = toy.draw(1000, 0)  # 1,000 points of seed 0, and which mode each is of
>>> points.shape, bool(toy.log_density(points).mean() > toy.log_density(points + 1).mean())
((1000, 2), True)
"""

from .distributions import Toy as Toy
from .mixtures import gaussians_1d as gaussians_1d
from .mixtures import grid as grid
from .mixtures import ring as ring
from .on_curves import spiral as spiral
from .on_curves import swiss_roll as swiss_roll
from .sets_of_images import stacked as stacked
from .sets_of_images import triangles as triangles
