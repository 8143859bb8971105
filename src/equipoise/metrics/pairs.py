"""What a function of two images says of consecutive images of a set."""

from collections.abc import Callable

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from .full_precision import exact
from .intervals import of_mean
from .kept import Classes, check_keys
from .metric import Intervals, Values

CHUNK = 32  # images


class PairValues:
    """A function of each pair of consecutive images, computed so many at a time whatever batches they come in."""

    def __init__(self, most: int, compare: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.count, self.most, self.compare = 0, most, compare
        self._found: list[Tensor] = []
        self._waiting: Tensor | None = None

    def update(self, rows: UInt8[Tensor, "n c h w"], labels: Classes | None = None) -> None:
        """Compares the pairs that are complete, as long as there is room."""
        images = rows[: 2 * self.most - self.count].detach().clone()
        self.count += len(images)
        waiting = images if self._waiting is None else torch.cat([self._waiting, images])
        while len(waiting) >= CHUNK:
            self._found.append(self._compared(waiting[:CHUNK]))
            waiting = waiting[CHUNK:]
        self._waiting = waiting.clone()

    @property
    def values(self) -> Float64[Tensor, " n"]:
        """The value of each pair."""
        rest = () if self._waiting is None else (self._compared(self._waiting),)
        return torch.cat([torch.empty(0, dtype=torch.float64), *self._found, *rest])

    def state_dict(self) -> dict[str, Tensor]:
        """What was found, and the images that wait for others."""
        found = torch.cat([torch.empty(0, dtype=torch.float64), *self._found])
        return {"found": found, "waiting": torch.empty(0, 0, 0, 0).byte() if self._waiting is None else self._waiting}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        check_keys(tensors, {"found", "waiting"})
        self._found, self._waiting = [tensors["found"]], tensors["waiting"]
        self.count = 2 * len(tensors["found"]) + len(tensors["waiting"])

    def _compared(self, images: Tensor) -> Float64[Tensor, " n"]:
        with exact(images.device):
            count = len(images) // 2 * 2
            return self.compare(images[0:count:2], images[1:count:2]).cpu().double()


def mean(name: str, real: PairValues | None, generated: PairValues) -> Values:
    """The mean over pairs."""
    return {name: generated.values.mean().item()}


def mean_interval(name: str, real: PairValues | None, generated: PairValues) -> Intervals:
    """Student's interval of the mean."""
    values = generated.values
    return {name: of_mean(values.tolist())} if len(values) > 1 else {}
