"""Everything that changes while training."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


@dataclass
class State:
    """Everything that changes while training, and so everything that a checkpoint holds."""

    G: nn.Module
    D: nn.Module
    opt_g: Optimizer
    opt_d: Optimizer
    ema: nn.Module
    components: nn.ModuleList
    seen: int = 0
    """Real images shown to the discriminator: the unit of time."""

    @classmethod
    def start(
        cls, G: nn.Module, D: nn.Module, opt_g: Optimizer, opt_d: Optimizer, components: Iterable[object] = ()
    ) -> "State":
        """The state before the first step; of `components` (losses, penalties...) those with a state are kept."""
        parts = (part if isinstance(part, nn.Module) else getattr(part, "state", None) for part in components)
        stateful = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))
        device = next(G.parameters()).device
        return cls(G, D, opt_g, opt_d, deepcopy(G).eval().requires_grad_(False), stateful.to(device))

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data alone, so that a checkpoint loads without executing code."""
        return {name: part if name == "seen" else part.state_dict() for name, part in self._parts()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        for name, part in self._parts():
            if name != "seen":
                part.load_state_dict(saved[name])
        self.seen = saved["seen"]

    def _parts(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) net, for weights and the running statistics of batch normalisation.

    All other buffers are copied: a mean of two unit vectors or of two counters is neither.
    """
    torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in net.parameters()], 1 - decay)
    for (name, mean), now in zip(average.named_buffers(), net.buffers(), strict=True):
        if name.rpartition(".")[2] in ("running_mean", "running_var"):
            mean.lerp_(now, 1 - decay)
        else:
            mean.copy_(now)
