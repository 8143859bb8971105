"""The loop: a generator that trains for as long as it is iterated."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..augment import Augmentation
from ..constraints import Constraint
from ..constraints import none as unconstrained
from ..critic import Critic, ask
from ..growth import Growth, fixed
from ..labels import in_turn
from ..losses import Game, Loss, as_game
from ..penalties import Penalty
from .precision import FLOAT32, Precision
from .state import State, update_average

Batch = tuple[Tensor, Tensor | None]  # images [b, c, h, w] in [-1, 1], labels [b] or [b, k]
Stats = dict[str, Tensor]
Rate = Callable[[int], float]  # images seen -> factor of both learning rates
STREAM = int.from_bytes(b"steps")


def steps(
    state: State,
    batches: Iterable[Batch],
    loss: Loss | Game,
    penalties: Sequence[Penalty] = (),
    g_penalties: Sequence[Penalty] = (),
    constraint: Constraint | None = None,
    augment: Augmentation | None = None,
    growth: Growth | None = None,
    d_steps: int = 1,
    g_batch: int | None = None,
    ema_images: int = 10_000,
    rate: Rate | None = None,
    precision: Precision = FLOAT32,
    seed: int = 0,
) -> Iterator[Stats]:
    """Trains for as long as it is iterated; yields the statistics of each generator update, which stay on the device.

    Any networks will do that are called as `G(z)` and `D(images)`, or with labels besides where the batches have some,
    and a `G.z_dim` that says how long a latent vector is. It ends when the batches end.

    A step is `d_steps` updates of the discriminator on fresh batches, each followed by the `constraint` on its weights,
    then one of the generator on `g_batch` samples (as many as a batch has where that is None). The discriminator sees
    all images through `augment`. An augmentation with a method `observe_reals` and layers of the discriminator with a
    method `observe_fakes` hear of its logits after each of its updates. `ema_images` is the half-life of the averaged
    generator. The randomness of a step is drawn from (seed, images seen), so that a resumed run is the same run.
    """
    if d_steps < 1 or ema_images < 1:
        raise ValueError(f"d_steps and ema_images must be at least 1, not {d_steps} and {ema_images}")
    growth, stream = growth or fixed(), iter(batches)
    check_kept([loss, *penalties, *g_penalties, augment, growth], state.components)
    rules = Rules(as_game(loss), penalties, g_penalties, constraint or unconstrained(), augment, precision)
    for module in (state.G, state.D, state.components):
        module.train()
    while True:
        start = state.seen
        with seeded(seed, start, next(state.G.parameters()).device):
            if rate is not None:
                set_rate(rate(start), state.opt_g, state.opt_d)
            fresh = [*islice(stream, d_steps)]
            if len(fresh) < d_steps:
                return
            for real, labels in fresh:
                real = growth(state.seen, real, state.G, state.D, state.ema)
                stats = update_d(state, real, labels, rules)
                state.seen += len(real)
            stats |= update_g(state, real, labels, rules, g_batch or len(real))
            stats |= adapting(state.components)
            update_average(state.ema, state.G, decay=0.5 ** ((state.seen - start) / ema_images))
        yield stats


class Rules(NamedTuple):
    """What the two networks play for, and under which rules."""

    game: Game
    penalties: Sequence[Penalty]
    g_penalties: Sequence[Penalty]
    constraint: Constraint
    augment: Augmentation | None
    precision: Precision


def update_d(state: State, real: Tensor, labels: Tensor | None, rules: Rules) -> Stats:
    """One step of the discriminator."""
    z = noise(len(real), state.G, real.device)
    critic = Critic(state.D, labels, rules.augment, state.G, z, learner=state.D)
    with rules.precision.autocast(real.device):
        with torch.no_grad():
            fake = ask(state.G, z, labels).float()
        if rules.penalties and rules.precision.dtype == torch.float32:  # then penalties can share the loss's run of D
            real, fake = real.detach().requires_grad_(), fake.requires_grad_()
        adversarial = rules.game.d(critic, real, fake)
        logits = {"real": critic(real).detach(), "fake": critic(fake).detach()}
    penalty = total(rules.penalties, critic, real, fake)
    norm = descend(state.opt_d, adversarial + penalty)
    rules.constraint(state.D)
    tell(rules.augment, "observe_reals", logits["real"])
    for layer in state.D.modules():
        tell(layer, "observe_fakes", logits["fake"])
    means = {name: values.mean() for name, values in logits.items()}
    return detached({"loss_d": adversarial, "penalty": penalty, **means, "gradient_d": norm})


def update_g(state: State, real: Tensor, labels: Tensor | None, rules: Rules, count: int) -> Stats:
    """One step of the generator, through a frozen discriminator. Its fakes wear the labels of the reals, in turn."""
    labels = None if labels is None else in_turn(labels, count)
    learning = [weight for weight in state.D.parameters() if weight.requires_grad]
    for weight in learning:
        weight.requires_grad_(False)
    z = noise(count, state.G, real.device).requires_grad_(bool(rules.g_penalties))
    critic = Critic(state.D, labels, rules.augment, state.G, z, learner=state.G)
    with rules.precision.autocast(real.device):
        fake = ask(state.G, z, labels).float()
        adversarial = rules.game.g(critic, real.detach(), fake)
    asked = rules.g_penalties if adversarial.requires_grad else ()  # a generator that is to rest has no terms either
    penalty = total(asked, critic, real.detach(), fake)
    norm = descend(state.opt_g, adversarial + penalty)
    for weight in learning:
        weight.requires_grad_(True)
    return detached({"loss_g": adversarial, "penalty_g": penalty, "gradient_g": norm})


def total(penalties: Sequence[Penalty], critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """The sum of all penalties."""
    return sum((penalty(critic, real, fake) for penalty in penalties), start=torch.zeros((), device=real.device))


def tell(listener: object, method: str, logits: Tensor) -> None:
    """Hands logits to whoever wants to hear of them."""
    if observe := getattr(listener, method, None):
        observe(logits)


def adapting(components: nn.Module) -> Stats:
    """The numbers that components adapt while training, as "balance.k" of a boundary equilibrium, "ada.p"..."""
    stats: Stats = {}
    for module in components.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.ndim == 0 and buffer.is_floating_point():
                stats[f"{type(module).__name__.lower()}.{name}"] = buffer.detach().clone()
    return stats


def check_kept(parts: Iterable[object], components: nn.Module) -> None:
    """Raises ValueError for a part whose state checkpoints would miss."""
    kept = {*components.modules()}
    for part in parts:
        state = part if isinstance(part, nn.Module) else getattr(part, "state", None)
        if isinstance(state, nn.Module) and state not in kept:
            name = type(state).__name__
            raise ValueError(
                f"{name} has a state to keep in checkpoints: hand it to State.start(..., components=[...])"
            )


def descend(optimizer: Optimizer, objective: Tensor) -> Tensor:
    """One step down the objective; the norm of its gradient. An objective that asks nothing leaves all as it is."""
    if not objective.requires_grad:
        return torch.zeros_like(objective)
    optimizer.zero_grad(set_to_none=True)
    objective.backward()
    optimizer.step()
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    return nn.utils.get_total_norm(weight.grad for weight in weights if weight.grad is not None)


def noise(count: int, G: nn.Module, device: torch.device) -> Tensor:
    """Latent vectors z ~ N(0, I)."""
    if not hasattr(G, "z_dim"):
        raise ValueError(f"{type(G).__name__} needs an attribute z_dim, the length of its latent vectors")
    return torch.randn(count, cast(int, G.z_dim), device=device)


def set_rate(factor: float, *optimizers: Optimizer) -> None:
    """Multiplies the first learning rates by `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def detached(stats: Stats) -> Stats:
    """The statistics without their graphs."""
    return {name: value.detach() for name, value in stats.items()}


@contextmanager
def seeded(seed: int, seen: int, device: torch.device) -> Iterator[None]:
    """Draws torch's randomness from (seed, images seen) inside; leaves the caller's untouched.

    STREAM keeps it apart from other randomness that is drawn from a seed and a position, like that of the data.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence([seed, seen, STREAM]).generate_state(1, np.uint64)[0]))
        yield
