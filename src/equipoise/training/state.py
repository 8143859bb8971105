"""Everything that changes while training."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import ceil, floor
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import norms
from ..checks import check_choice
from ..growth import Growth
from ..networks.growing import Growing, growing
from ..optimizers import Optimizing
from ..processes import is_sharded
from ..schedules import Rate
from ..spec import named
from ..weights import device_of
from .loss_scale import FIRST, LossScale
from .player import Player, Players
from .sharding import check_apart, gathered, scatter, shard

Follower = Callable[[int], None]
Optimize = Optimizing | Callable[[nn.Module, Any], Optimizer]


@dataclass
class State:
    """Everything that changes while training, by name, and so everything that a checkpoint holds.

    Networks that no player moves, such as a frozen teacher, are left as they are and are in no checkpoint.
    """

    nets: nn.ModuleDict
    optimizers: dict[str, Optimizer]
    """One per player, by the player's name."""
    averages: nn.ModuleDict
    """The exponential moving averages (EMA) of networks, by the network's name."""
    components: nn.ModuleDict
    """Losses, penalties and augmentations that have a state."""
    moved: tuple[str, ...] = ()
    """The networks of which some player moves weights."""
    followers: list[Follower] = field(default_factory=list)
    """What sets learning rates and momenta to what they are when so many images were seen."""
    seen: int = 0
    """Real images seen: the unit of time."""
    begun: int = -1
    """Real images that were seen when the last round began."""
    scales: nn.ModuleDict = field(default_factory=nn.ModuleDict)
    """The factors of losses in float16, by the player's name."""
    sharded: bool = False
    """Whether weights are sharded over the processes."""

    @classmethod
    def start(
        cls,
        nets: Mapping[str, nn.Module],
        players: Players,
        optimizing: Optimize | Mapping[str, Optimize],
        lr: Rate | Mapping[str, Rate],
        averaged: Iterable[str] | None = None,
        sharded: torch.device | None = None,
    ) -> "State":
        """The state before the first round.

        `averaged` are the networks of which averages are kept, the generators, "G" or "G_ab", unless told otherwise.
        `optimizing` and the learning rates may be one for all players or one per player. What makes optimizers is from
        `equipoise.optimizers`, or any function of (network, learning rate); then its settings stay as they are. With
        `sharded`, a device, weights, averages and moments are sharded over those of all processes, for networks that no
        single one can hold: all processes call this with equal networks on the CPU, and come to `state_dict` together.
        """
        modules = nn.ModuleDict(dict(nets))
        chosen = [name for name in modules if role(name) == "G"] if averaged is None else [*averaged]
        for name in chosen:
            check_choice(name, [*modules], f"there is no network {name!r} to average")
        averages = {name: deepcopy(modules[name]).eval().requires_grad_(False) for name in chosen}
        if sharded is not None:
            check_apart(dict(modules.items()))
            for net in (*modules.values(), *averages.values()):
                shard(net, sharded)
        optimizers: dict[str, Optimizer] = {}
        followers: list[Follower] = []
        for name, player in players.items():
            nets_of = checked_nets(name, player, modules)
            own = modules[nets_of[0]] if len(nets_of) == 1 else nn.ModuleList(modules[net] for net in nets_of)
            optimize = optimizing[name] if isinstance(optimizing, Mapping) else optimizing
            rate = lr[name] if isinstance(lr, Mapping) else lr
            if callable(rate) and not isinstance(optimize, Optimizing):
                raise ValueError(
                    f"the learning rate of {name!r} is a schedule, which equipoise.optimizers alone follow"
                )
            optimizers[name] = optimize(own, rate)
            if isinstance(optimize, Optimizing):
                followers.append(partial(optimize.follow, optimizers[name], rate))
        trained = {id(w) for made in optimizers.values() for group in made.param_groups for w in group["params"]}
        moved = tuple(name for name, net in modules.items() if any(id(w) in trained for w in net.parameters()))
        components = nn.ModuleDict(stateful(players)).to(device_of(modules))
        return cls(
            modules, optimizers, nn.ModuleDict(averages), components, moved, followers, sharded=sharded is not None
        )

    def grow(self, growth: Growth, players: Players) -> None:
        """From now on networks that have levels grow, and their averages; raises ValueError where there are none.

        With `growth.reset` the optimizer of a player that moves such a network is reset whenever a level begins to fade
        in, and when it has done so. Batches and learning rates by level, `growth.batch_at` and `growth.lr_at`, are for
        the caller. A checkpoint is loaded after this call, not before.
        """
        parts = [part for net in (self.nets, self.averages) for part in growing(net)]
        if not parts:
            raise ValueError("no network has levels, so that nothing can grow: choose pggan, or growth='none'")
        for part in parts:
            part.growth = growth
            part.follow_images(self.seen)
        for name, player in players.items():
            own = [part for net in player.nets for part in growing(self.nets[net])]
            if own and growth.reset:
                self.followers.append(partial(reset_at_new_level, self.optimizers[name], own[0], growth))

    def scale_losses(self, factor: float = FIRST) -> None:
        """From now on each player has a factor for its loss, as float16 needs it."""
        for name in self.optimizers.keys() - self.scales.keys():
            self.scales[name] = LossScale(factor).to(device_of(self.nets))

    def following(self) -> list[Follower]:
        """What follows the images seen: settings of optimizers, and all parts that have a method `follow_images`."""
        modules = chain(self.nets.modules(), self.averages.modules(), self.components.modules())
        parts = (getattr(module, "follow_images", None) for module in modules)
        return [*self.followers, *(cast(Follower, follow) for follow in parts if callable(follow))]

    def average(self, images: int, half_life: int | float) -> None:
        """average <- d average + (1 - d) network, d = 2^(-images / half_life); a half-life of 0 copies."""
        for name, average in self.averages.items():
            update_average(average, self.nets[name], 0.5 ** (images / half_life) if half_life > 0 else 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data alone, so that a checkpoint loads without executing code; of a
        sharded state the first process alone has the tensors.
        """
        of = gathered if self.sharded else lambda part: part.state_dict()
        saved = {name: {key: of(part) for key, part in parts.items()} for name, parts in self._parts().items()}
        return {**saved, "seen": self.seen, "begun": self.begun}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        if saved.get("scales"):
            self.scale_losses()
        for name, parts in self._parts().items():
            for key, part in parts.items():
                load = partial(scatter, part) if self.sharded else part.load_state_dict
                load(saved[name][key])
        self.seen, self.begun = saved["seen"], saved["begun"]

    def start_from(self, saved: dict[str, Any]) -> None:
        """Takes over the networks and averages that another `state_dict` gave; all else begins anew."""
        for name, parts in self._parts().items():
            for key, part in parts.items() if name in ("nets", "averages") else ():
                load = partial(scatter, part) if self.sharded else part.load_state_dict
                load(saved[name][key])

    def tensors(self) -> list[Tensor]:
        """All weights, buffers and moments of optimizers, but for what is sharded."""
        modules = (*self.nets.values(), *self.averages.values(), self.components, self.scales)
        held = [x for module in modules for x in (*module.parameters(), *module.buffers())]
        moments = (x for made in self.optimizers.values() for own in made.state.values() for x in own.values())
        every = (*held, *(x for x in moments if isinstance(x, Tensor)))
        return [x.detach() for x in every if not is_sharded(x)]

    def _parts(self) -> dict[str, dict[str, Any]]:
        return {
            "nets": {name: self.nets[name] for name in self.moved},
            "optimizers": self.optimizers,
            "averages": dict(self.averages.items()),
            "components": dict(self.components.items()),
            "scales": dict(self.scales.items()),
        }


def reset_at_new_level(optimizer: Optimizer, part: Growing, growth: Growth, seen: int) -> None:
    """Forgets the moments of an optimizer where other levels are to be trained than in the round before."""
    level = growth.level(seen, part.sides)
    if (floor(level), ceil(level)) != (floor(part.level), ceil(part.level)):
        optimizer.state.clear()


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) net, for weights and the running statistics of batch normalisation.

    Singular vectors of spectral normalisation take a step of their own towards those of the averaged weights, so that
    these are divided by their own largest singular value. All other buffers are copied: a mean of two counters is none.
    """
    pairs = [(mean, now.detach()) for mean, now in zip(average.parameters(), net.parameters(), strict=True)]
    for kind in (True, False):
        if alike := [pair for pair in pairs if is_sharded(pair[0]) == kind]:
            torch._foreach_lerp_([mean for mean, _ in alike], [now for _, now in alike], 1 - decay)
    iterated = {
        id(b) for module in average.modules() if isinstance(module, norms.PowerIteration) for b in module.buffers()
    }
    for (name, mean), now in zip(average.named_buffers(), net.buffers(), strict=True):
        if name.rpartition(".")[2] in ("running_mean", "running_var"):
            mean.lerp_(now, 1 - decay)
        elif id(mean) not in iterated:
            mean.copy_(now)
    norms.advance(average)


def role(net: str) -> str:
    """What a network does, by its name.

    >>> role("G"), role("D_a")
    ('G', 'D')
    """
    return net.partition("_")[0]


def checked_nets(name: str, player: Player, nets: nn.ModuleDict) -> tuple[str, ...]:
    """The networks of a player; raises ValueError for one that does not exist, and for weights that are not trained."""
    for net in player.nets:
        check_choice(net, [*nets], f"the player {name!r} moves {net!r}, but there is no such network")
    if not any(weight.requires_grad for net in player.nets for weight in nets[net].parameters()):
        raise ValueError(f"the player {name!r} has nothing to move: no weight of {', '.join(player.nets)} is trained")
    return player.nets


def stateful(players: Players) -> dict[str, nn.Module]:
    """The components of all players that are modules or have a `state` that is one, by name."""
    found: dict[int, nn.Module] = {}
    for component in (component for player in players.values() for component in player.components):
        module = component if isinstance(component, nn.Module) else getattr(component, "state", None)
        if isinstance(module, nn.Module):
            found[id(module)] = module
    return named(found.values())
