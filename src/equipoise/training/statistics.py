"""Means of named statistics, which stay on their device."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..processes import ALONE, World

Stats = dict[str, Tensor]


class Means:
    """The mean of all values that were added under a name."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}

    def add(self, values: Mapping[str, Tensor], prefix: str = "") -> None:
        """Takes some more values."""
        for name, value in values.items():
            self.values.setdefault(prefix + name, []).append(value.detach())

    def means(self) -> Stats:
        """The mean of each name."""
        lone = lambda values: values[0] if len(values) == 1 else torch.stack(values).mean()
        return {name: lone(values) for name, values in self.values.items()}


def adapted(components: nn.ModuleDict) -> Stats:
    """The numbers that components adapt while training: "balance.k" of a boundary equilibrium, "ada.p"..."""
    stats: Stats = {}
    for name, component in components.items():
        for path, buffer in component.named_buffers():
            if buffer.numel() == 1 and buffer.is_floating_point():
                stats[f"{name}.{path.rpartition('.')[2]}"] = buffer.detach().reshape(()).clone()
    return stats


def fetched(rounds: list[Stats], world: World = ALONE) -> list[dict[str, float]]:
    """The statistics of rounds as numbers, means over all processes, in one transfer from the device."""
    flat = torch.stack([value.float() for stats in rounds for value in stats.values()])
    world.average([flat])
    numbers = iter(flat.tolist())
    return [{name: next(numbers) for name in stats} for stats in rounds]
