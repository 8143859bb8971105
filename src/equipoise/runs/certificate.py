"""Whether a faster way of computing gives the gradients that plain float32 gives, on one batch before a run."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from math import isfinite, prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..labels import LabelSpace
from ..recipe import Recipe, known
from ..training import Batch, Player, Terms, Turn
from .assemble import Assembled, assemble, rounds

TOLERANCE = {"float32": 1e-3, "tf32": 0.05, "float16": 0.2, "bfloat16": 0.5}
"""|g - g'| / |g| that is let pass: rounding in bfloat16 makes 0.003 to 0.25 of most presets, a wrong factor of 2, 1."""
MOST = 16  # images of a probe
FACTORS = (2.0**16, 2.0**12, 2.0**8, 2.0**4, 1.0)  # of losses in float16
Dropping = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d
GOLDEN = (5**0.5 - 1) / 2  # whose multiples are spread evenly over [0, 1), one after the other
STILL = 1e-30  # a learning rate under which no weight moves


class Certificate(NamedTuple):
    """How far the gradients of each player are from those in plain float32."""

    precision: str
    errors: dict[str, float]
    """|g - g'| / |g| over all weights of a player, by its name."""
    recompute: bool = False
    compile: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data, as written to recipe.json; an error without bounds is None."""
        errors = {name: error if isfinite(error) else None for name, error in self.errors.items()}
        ways = {"precision": self.precision, "recompute": self.recompute, "compile": self.compile}
        return ways | {"errors": errors}

    @property
    def agrees(self) -> bool:
        """Whether all are as near as the rounding of this precision explains."""
        return all(error <= TOLERANCE[self.precision] for error in self.errors.values())

    def __str__(self) -> str:
        found = ", ".join(f"{name} {error:.2g}" for name, error in self.errors.items())
        verb = "agree" if self.agrees else "do not agree"
        way = self.precision + ", recomputed," * self.recompute + ", compiled," * self.compile
        return f"gradients in {way} {verb} with those in float32: relative errors {found}"


def needs(recipe: Recipe) -> bool:
    """Whether a run computes in another way than plain float32."""
    return recipe.recompute or recipe.compile or recipe.precision != "float32"


def probe_of(recipe: Recipe) -> Recipe:
    """The recipe with a small batch and one step of each player, in which nothing moves."""
    fewer = lambda batch: batch and min(batch // (recipe.pieces or 1), MOST)
    return replace(
        recipe,
        batch=fewer(recipe.batch),
        g_batch=fewer(recipe.g_batch),
        pieces=1,
        d_steps=1,
        lr_g=STILL,
        lr_d=STILL,
    )


def certify(probe: Recipe, labels: LabelSpace, device: torch.device, batch: Batch) -> Certificate:
    """Plays one round of a probe in its way and in plain float32, with the same batch, latents, dropout and noise."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        fast = gradients(probe, labels, device, batch)
        plain = gradients(replace(probe, precision="float32", recompute=False, compile=False), labels, device, batch)
    errors = {name: distance(fast[name], plain[name]) for name in plain}
    return Certificate(known(probe.precision), errors, probe.recompute, probe.compile)


def gradients(recipe: Recipe, labels: LabelSpace, device: torch.device, batch: Batch) -> dict[str, Tensor]:
    """The gradient of each player after a round, in one vector; in float16 with the first factor without overflow.

    A run would find that factor too, by some rounds without an update.
    """
    found: dict[str, Tensor] = {}
    for factor in FACTORS if recipe.precision == "float16" else FACTORS[:1]:
        assembled = assemble(recipe, labels, device)
        players = {name: from_one_seed(player) for name, player in assembled.players.items()}
        assembled = replace(assembled, players=players)
        for net in assembled.state.nets.values():
            draw_alike(net)
        if assembled.growth is not None:  # only the last level has all weights
            assembled.state.seen = known(recipe.images) - 1
        if assembled.precision.needs_scale:
            assembled.state.scale_losses(factor)
        next(rounds(assembled, repeat(batch), recipe))
        found = {name: torch.cat([*of_player(assembled, name)]) for name in assembled.state.optimizers}
        if all(bool(gradient.isfinite().all()) for gradient in found.values()):
            break
    return found


def of_player(assembled: Assembled, name: str) -> Iterator[Tensor]:
    """The gradients of a player's weights, 0 where there is none."""
    for group in assembled.state.optimizers[name].param_groups:
        for weight in group["params"]:
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            yield gradient.detach().float().flatten()


def distance(found: Tensor, wanted: Tensor) -> float:
    """|g - g'| / |g|; infinite where a number is not finite, 0 for 0."""
    error, scale = (found - wanted).norm().item(), wanted.norm().item()
    return error / scale if scale > 0 and error < float("inf") else (0.0 if error == 0 else float("inf"))


def from_one_seed(player: Player) -> Player:
    """The player, who draws the same however much others have drawn.

    A penalty that needs float32 under a faster precision shows the discriminator its images again, augmented once more.
    """

    def objective(turn: Turn) -> Terms:
        torch.manual_seed(0)
        return player.objective(turn)

    return replace(player, objective=objective)


def draw_alike(net: nn.Module) -> None:
    """Lets dropout drop the same values in every run of the network, in every precision.

    What compares two runs, as `consistency_term` does, so sees none of its part of the gradient.
    """
    for module in net.modules():
        if isinstance(module, Dropping):
            module.forward = dropping(module)  # type: ignore[method-assign, assignment]


def dropping(module: Dropping) -> Callable[[Tensor], Tensor]:
    """x / (1 - p) with probability 1 - p, else 0; whole channels of those that drop channels."""
    of_channels = not isinstance(module, nn.Dropout)

    def forward(x: Tensor) -> Tensor:
        if not module.training:
            return x
        torch.rand(1, device=x.device)  # consistency_term asks whether there was a draw
        shape = (*x.shape[:2], *[1] * (x.ndim - 2)) if of_channels else x.shape
        numbers = torch.arange(1, prod(shape) + 1, device=x.device, dtype=torch.float64) * GOLDEN % 1
        return x * (numbers >= module.p).view(shape).to(x.dtype) / (1 - module.p)

    return forward
